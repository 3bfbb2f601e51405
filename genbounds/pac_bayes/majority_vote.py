"""Bounds on the risk of the majority vote over a posterior, weighted by it.

Notation as in `genbounds.pac_bayes.gibbs`; W(x) is the share of Q that errs on the example x. All three theorems rest
on one fact, for any number of classes: *where the vote errs, W >= 1/2*. For if the vote's class c is not the label y,
then c has at least as much of Q as y has, both together have at most all of it, and so at most half of Q says y. Ties
count as errors, however they are broken. The rest is the moments of W: R(Q) = E W, and E W^2 is the probability that
two independent draws of Q both err on the same new example.

The vote is that of all of Q. A vote of finitely many draws is another predictor.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, kl_upper, log_xi, nonnegative, round_up, unit_interval
from genbounds.pac_bayes.complexity import EMPIRICAL_GIBBS_RISK, GIBBS, complexity, log_xi_times
from genbounds.theorems import Assumption, Limit, theorem

__all__ = ["AGREEMENT", "TANDEM", "c_bound", "first_order", "tandem"]

#: Two draws of the posterior meet the same example: the events whose probability two of the theorems need.
TANDEM = "0-1 (both of two draws err)"
AGREEMENT = "0-1 (two draws both err or are both right)"

_ASSUMES = (Assumption.ZERO_ONE_LOSS, *(condition for condition in GIBBS if "LOSS" not in condition.name))
_UNIT = np.finfo(np.float64).eps


@theorem(
    statement=r"R(\mathrm{MV}_Q) \le 2\,R(Q)",
    formula="R(MV_Q) <= 2 R(Q)",
    predictor="majority vote",
    uniform_over="posteriors",
    assumes=(Assumption.ZERO_ONE_LOSS,),
    reference="LangfordShaweTaylor2002",
    locator="Section 2, for any number of classes",
    limits={"gibbs_risk": Limit("risk", "gibbs")},
)
def first_order(gibbs_risk: ArrayLike) -> Float64:
    """Bound the risk of the majority vote by twice the risk of the Gibbs predictor.

    For every distribution of the data and every distribution Q on classifiers, R(MV_Q) <= 2 R(Q), surely. So if
    `gibbs_risk` is a bound on R(Q) with probability at least 1 - delta, simultaneously for every posterior Q, then so
    is the result on R(MV_Q).

    Parameters
    ----------
    gibbs_risk : array_like
        Risk R(Q) of the Gibbs predictor or an upper bound of it, in [0, 1].

    Returns
    -------
    float64 or ndarray
        Upper bound on the risk of the vote; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If the risk is NaN or outside [0, 1].

    Notes
    -----
    Markov's inequality for W: the vote errs only where W >= 1/2, so R(MV_Q) <= P[W >= 1/2] <= 2 E W. Plurality over
    many classes included (see the module). Equality where every example has W = 1/2 or W = 0.

    Often loose: a vote is mostly better than its voters, which this does not see. `tandem` and `c_bound` do, where the
    voters err on different examples. Not covered: a vote of finitely many draws; one of the voters.

    Examples
    --------
    >>> float(first_order(0.03)), float(first_order(0.7))
    (0.06, 1.0)
    """
    return np.minimum(2 * unit_interval("gibbs_risk", gibbs_risk), 1.0)


@theorem(
    statement=r"R(\mathrm{MV}_Q) \le 4\,\mathrm{kl}^{+}\!\left(t(Q),\ "
    r"\frac{2\,\mathrm{KL}(Q\|P)+\ln(\xi(n)/\delta)}{n}\right),\quad t(Q)=\mathbb{E}_{Q^{2}}\,\hat{e}(h,h')",
    formula="R(MV_Q) <= 4 kl+( t(Q), [2 KL(Q||P) + ln(xi(n) / delta)] / n ), t(Q): two draws both err",
    predictor="majority vote",
    uniform_over="posteriors",
    assumes=_ASSUMES,
    reference="Masegosa2020",
    locator="Theorem 9, with the kl inverse in place of its relaxation",
    limits={"tandem_risk": Limit(EMPIRICAL_GIBBS_RISK, "gibbs", TANDEM)},
)
def tandem(tandem_risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the risk of the majority vote by the probability that two draws err together (second order).

    For every distribution of the data and every prior P fixed before the sample: with probability at least 1 - delta
    over n independent examples, simultaneously for every posterior Q, R(MV_Q) <= 4 T(Q) and
    kl(t(Q) || T(Q)) <= (2 KL(Q || P) + ln(xi(n) / delta)) / n, where T(Q) is the probability that two independent draws
    of Q both err on a new example, and t(Q) its average over the sample.

    Parameters
    ----------
    tandem_risk : array_like
        t(Q) or an upper limit of it, in [0, 1].
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf]; counted twice here.
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on the risk of the vote, rounded up; 1 where the formula exceeds 1.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Markov's inequality for W^2: R(MV_Q) <= P[W^2 >= 1/4] <= 4 E W^2 = 4 T(Q). "Both err" is a 0-1 loss of the pair,
    with prior P x P and posterior Q x Q, whose divergence is 2 KL(Q || P): T(Q) is bounded by `seeger_xi`. Plurality
    over many classes included (see the module): for two draws that err by different classes both errors count.

    Difference from the paper: their bound is the relaxation `thiemann` of this one, and never below it.

    Below `first_order` where two draws err together less than half as often as one errs, all costs included; for
    nearly equal voters it is twice as large. Not covered: a vote of finitely many draws; one of the voters.

    Examples
    --------
    If two draws never err together and Q = P, the bound is 4 (1 - (delta / xi(n))^(1/n)):

    >>> from genbounds.numerics import xi
    >>> f"{tandem(0.0, 0.0, 100, 0.05):.9f}", f"{4 * (1 - (0.05 / xi(100)) ** 0.01):.9f}"
    ('0.216962240', '0.216962240')
    """
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        c = complexity(2 * nonnegative("kl", kl), n, delta, log_xi)
    return np.minimum(4 * kl_upper(unit_interval("tandem_risk", tandem_risk), c), 1.0)


@theorem(
    statement=r"R(\mathrm{MV}_Q) \le 1-\frac{(1-2\bar r)^{2}}{2\bar a-1}\ \text{if}\ \bar r<\tfrac12,\quad"
    r"\bar r=\mathrm{kl}^{+}\!\left(r(Q),\tfrac{\mathrm{KL}(Q\|P)+\ln(2\xi(n)/\delta)}{n}\right),\ "
    r"\bar a=\mathrm{kl}^{+}\!\left(a(Q),\tfrac{2\mathrm{KL}(Q\|P)+\ln(2\xi(n)/\delta)}{n}\right)",
    formula="R(MV_Q) <= 1 - (1 - 2r)^2 / (2a - 1) if r < 1/2, r = kl+( r(Q), [KL(Q||P) + ln(2 xi(n) / delta)] / n ), "
    "a = kl+( a(Q), [2 KL(Q||P) + ln(2 xi(n) / delta)] / n ), a(Q): two draws both err or are both right",
    predictor="majority vote",
    uniform_over="posteriors",
    assumes=_ASSUMES,
    reference="Germain2015",
    locator="PAC-Bound 1, after Lacasse2006",
    limits={
        "risk": Limit(EMPIRICAL_GIBBS_RISK, "gibbs"),
        "agreement": Limit(EMPIRICAL_GIBBS_RISK, "gibbs", AGREEMENT),
    },
)
def c_bound(risk: ArrayLike, agreement: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the risk of the majority vote by mean and variance of its voters (C-bound).

    For every distribution of the data and every prior P fixed before the sample: with probability at least 1 - delta
    over n independent examples, simultaneously for every posterior Q, the risk R(Q) of one draw and the probability
    A(Q) that two draws are both right or both wrong are at most r and a, their upper inverses at delta / 2 each, and
    R(MV_Q) <= 1 - (1 - 2r)^2 / (2a - 1) if r < 1/2.

    Parameters
    ----------
    risk : array_like
        Empirical Gibbs risk r(Q) on the n examples or an upper limit of it, in [0, 1].
    agreement : array_like
        a(Q), how often two independent draws of Q both err or are both right on an example, averaged over the n
        examples, or an upper limit of it, in [0, 1]. With two classes: how often they predict the same.
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1): one half for each of the two quantities.

    Returns
    -------
    float64 or ndarray
        Upper bound on the risk of the vote, rounded up; 1 where r is 1/2 or more.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or no distribution has such a risk and such an agreement.

    Notes
    -----
    A(Q) = 1 - 2 E W (1 - W), so Var W = E W^2 - (E W)^2 with E W^2 = R(Q) - (1 - A(Q)) / 2. Cantelli's inequality
    P[W >= 1/2] <= Var W / (Var W + (1/2 - R(Q))^2) is 1 - (1 - 2 R(Q))^2 / (2 A(Q) - 1), which increases in A(Q), and
    in R(Q) below 1/2: upper limits of both may be put in. "Both err or both are right" is a 0-1 loss of the pair, with
    prior P x P and posterior Q x Q; both limits are `seeger_xi`.

    Differences from the paper: it states the bound for two classes and by the disagreement of two draws, which there is
    1 - A(Q); with A(Q) defined by errors, as here, it holds for plurality votes (see the module). No bound on A(Q) may
    be below 1 - 2 r (1 - r): such numbers lie in the event that the theorem excludes, and are refused.

    Below `first_order` where the voters err independently enough and R(Q) is not next to 0. Not covered: a vote of
    finitely many draws; one of the voters.

    Examples
    --------
    For a huge sample: W = 0.4 everywhere makes the vote perfect, W = 0 or 1 makes it no better than its voters.

    >>> [f"{c_bound(0.4, agreement, 0.0, 10**15, 0.05):.3f}" for agreement in (0.52, 0.76, 1.0)]
    ['0.000', '0.923', '0.960']
    """
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        twice = 2 * nonnegative("kl", kl)
    r = kl_upper(unit_interval("risk", risk), complexity(kl, n, delta, lambda n: log_xi_times(2, n)))
    a = kl_upper(unit_interval("agreement", agreement), complexity(twice, n, delta, lambda n: log_xi_times(2, n)))
    r, a = np.broadcast_arrays(r, a)
    # 1 - (1 - 2r)^2 / (2a - 1) = (4 r (1 - r) - 2 (1 - a)) / (2a - 1); 2a - 1 and 1 - a are exact for a >= 1/2.
    spread = 4 * r * (1 - r)
    numerator = spread - 2 * (1 - a) + 4 * _UNIT * spread
    useful = r < 0.5
    if np.any(useful & ((numerator < 0) | (a < 0.5))):
        raise ValueError(
            f"agreement must be at least 1 - 2 r (1 - r) where the risk is at most r, got {agreement!r} with the risk "
            f"{risk!r}. No posterior has both: take them from the same sample and the same posterior."
        )
    with np.errstate(divide="ignore"):  # 2a - 1 next to 0
        bound = round_up(numerator / np.where(useful, 2 * a - 1, 1.0), 2)
    return np.where(useful, np.minimum(bound, 1.0), 1.0)[()]
