"""PAC-Bayes bounds for predictors that fit the whole sample: what the information of fitting it says about the risk.

P is a prior fixed before the sample, U the set of predictors whose loss is 0 on each of the n examples, and
I_train = -ln P(U) the information that it takes to fit them. A predictor h fits with probability at most
(1 - R(h))^n, so the expectation over samples of the integral of (1 - R(h))^-n over U, with respect to P, is at most 1;
both theorems are Markov's inequality for it. Where the prior is the law of a network's random weights, I_train is what
a sampler of rare events measures: `realisable_from_curve` spends both probabilities of failure.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, nonnegative, round_up
from genbounds.numerics.estimates import UpperLimit
from genbounds.pac_bayes.complexity import GIBBS, complexity
from genbounds.rare_events.curves import TailCurve
from genbounds.theorems import Assumption, theorem

__all__ = ["realisable", "realisable_draw", "realisable_from_curve"]


def _risk(information: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Return 1 - exp(-(information + ln(1 / delta)) / n), rounded up."""
    return np.minimum(round_up(-np.expm1(-complexity(information, n, delta, np.zeros_like)), 5), 1.0)


@theorem(
    statement=r"r(Q)=0\ \Rightarrow\ R(Q) \le 1-\exp\!\left(-\frac{\mathrm{KL}(Q\|P)+\ln(1/\delta)}{n}\right),\quad"
    r"\mathrm{KL}(P(\cdot|U)\|P)=\ln\frac{1}{P(U)}",
    formula="R(Q) <= 1 - exp(-[KL(Q||P) + ln(1 / delta)] / n) where r(Q) = 0; KL(P(.|U)||P) = ln(1 / P(U))",
    predictor="gibbs",
    uniform_over="posteriors",
    assumes=(*GIBBS, Assumption.POSTERIOR_FITS_SAMPLE),
    reference="McAllester1998",
    locator="theorem on sets of consistent concepts, without its 2 ln n + 1; the limit of Catoni2007, Theorem 1.2.6",
)
def realisable(kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the Gibbs risk of a posterior on predictors that fit the whole sample.

    For every distribution of the data and every prior P fixed before the sample: with probability at least 1 - delta
    over n independent examples, simultaneously for every posterior Q on predictors whose loss is 0 on each of them,
    R(Q) <= 1 - exp(-(KL(Q || P) + ln(1 / delta)) / n).

    Parameters
    ----------
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf]. It is smallest, I_train = -ln P(U), for Q = P(.|U): the
        prior conditioned on fitting the sample. An `UpperLimit` of it is an argument, too; its own delta adds up.
    n : array_like of int
        Examples in the bound's own sample, all of them fitted, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(Q), rounded up, in [0, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: a fixed h fits a sample with probability P[loss = 0]^n <= (1 - R(h))^n. By Fubini's theorem the expectation
    over samples of M = integral over U of (1 - R(h))^-n dP(h) is at most 1, and by Markov's inequality M <= 1 / delta
    but for a probability of delta. Where that holds, the change of measure gives E_Q[-n ln(1 - R(h))] <= KL(Q || P) +
    ln M for every Q on U, and -ln(1 - R) is convex: -n ln(1 - R(Q)) <= KL(Q || P) + ln(1 / delta).

    Difference from the literature. McAllester (1998) has R(Q) <= (ln(1 / P(U)) + ln(1 / delta) + 2 ln n + 1) / n for
    the conditional prior of a set U that fits; Valle-Perez et al. (2019) have -ln(1 - R(Q)) <= (ln(1 / P(U)) +
    ln(2 n / delta)) / (n - 1). Here the 2 ln n + 1, the ln(2 n) and the n - 1 are gone, and the exponential stays. The
    number is what Catoni's bound (`catoni`) tends to at no errors for growing C, so that no C need be fixed.
    `seeger_xi` and `maurer` at no errors are the same formula with ln xi(n) and ln(2 sqrt(n)) nats more. A point mass
    gives `occam_kl` at no errors.

    No smaller function of KL, n and delta will do: let N predictors be right on regions of their own, each of
    probability (delta / N)^(1/n) <= 1 / N, with a uniform prior. Then some predictor fits with probability delta, it
    alone, at I_train = ln N, and its risk is the bound.

    Not covered: a posterior that charges a predictor with a loss above 0 on the sample, the vote of Q. An estimate of
    I_train is no upper bound of it.

    Examples
    --------
    One of 2^10 equally likely predictors fits 100 examples; at delta = 2^-10 that is 1 - 2^-0.2:

    >>> f"{realisable(10 * np.log(2), 100, 2.0**-10):.12f}", f"{1 - 2**-0.2:.12f}"
    ('0.129449436704', '0.129449436704')
    """
    return _risk(kl, n, delta)


@theorem(
    statement=r"R(h) \le 1-\exp\!\left(-\frac{\ln(1/P(U))+\ln(1/\delta)}{n}\right),\quad h\sim P(\cdot|U)",
    formula="R(h) <= 1 - exp(-[ln(1 / P(U)) + ln(1 / delta)] / n), one h drawn from P(.|U)",
    predictor="single draw",
    uniform_over="ways to choose a set of predictors that fit",
    assumes=(
        *GIBBS,
        Assumption.DRAWN_FROM_CONDITIONAL_PRIOR,
        Assumption.DRAWS_INDEPENDENT,
        Assumption.DRAWS_FIXED_BEFORE_LOOKING,
        Assumption.IDEAL_RANDOMNESS,
        Assumption.DETERMINISTIC_EVALUATION,
    ),
    reference="McAllester1998",
    locator="theorem on sets of consistent concepts, for one draw; the limit of Catoni2007, Theorem 1.2.7",
)
def realisable_draw(information: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the risk of one predictor drawn from the prior conditioned on fitting the whole sample.

    For every distribution of the data, every prior P fixed before the sample and every way to choose a set U of
    predictors whose loss is 0 on each example: with probability at least 1 - delta over n independent examples and one
    draw h of P(.|U), R(h) <= 1 - exp(-(ln(1 / P(U)) + ln(1 / delta)) / n).

    Parameters
    ----------
    information : array_like
        -ln P(U) in nats or an upper bound of it, in [0, inf]; I_train where U is all predictors that fit. An
        `UpperLimit` of it is an argument, too; its own delta adds up.
    n : array_like of int
        Examples in the bound's own sample, all of them fitted, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1), over the sample and the draw together.

    Returns
    -------
    float64 or ndarray
        Upper bound on R(h), rounded up, in [0, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: the expectation over samples that can be fitted, and over h, of P(U) (1 - R(h))^-n is that of the integral
    of (1 - R(h))^-n over U, at most 1 (see `realisable`). Markov's inequality over the sample and the draw together.

    The same number as for the Gibbs risk, about one predictor instead of their average: neither implies the other.
    `catoni_single_draw` tends to it at no errors for growing C; `rivasplata` at no errors has ln xi(n) nats more. Both
    are about any posterior, by its log density ratio at the draw, which here is ln(1 / P(U)) for every draw.

    Difference from the literature: that of `realisable`. Not covered: the best of several draws; a predictor that a
    sampler reached which only approximates P(.|U), such as one that was trained; the Gibbs risk.

    Examples
    --------
    Half of the prior fits one example: 1 - delta / 2.

    >>> f"{realisable_draw(np.log(2), 1, 0.05):.12f}"
    '0.975000000000'
    """
    information = nonnegative("information", information, "It is -ln P(U) in nats, and P(U) is at most 1.")
    return _risk(information, n, delta)


def realisable_from_curve(curve: TailCurve, n: int, delta: float, sampling_delta: float) -> UpperLimit:
    """Return risk bounds for the prior conditioned on a training loss that only predictors without errors reach.

    The curve's upper limit of the information, at all levels at once, goes into `realisable` and `realisable_draw`,
    whose numbers agree: they bound the Gibbs risks of P(. | loss <= level) for all levels at once, or the risk of one
    draw, a single one in all, from P(. | loss <= level) at one of the levels. Both probabilities of failure are spent:
    the theorem's over the sample, and the sampler's, over its own randomness, whatever the sample. For an unbiased
    estimate of P(loss <= level) that is Markov's inequality, however few draws there were.

    Parameters
    ----------
    curve : TailCurve
        -ln P(training loss <= level) under the prior, at levels that imply a loss of 0 on every example: for 0-1 errors
        any level below 1 / n, for a mean cross entropy any below ln(2) / n, for then every example's class has a
        probability above 1/2. That the levels do is taken on trust.
    n : int
        Examples of the training sample, at least 1.
    delta : float
        Probability over the sample, and the draw, with which the theorem may fail, in (0, 1).
    sampling_delta : float
        Probability over the sampler's randomness with which any limit may fail, in (0, 1); spent even by a curve that
        is certain.

    Returns
    -------
    UpperLimit
        One bound on the risk for each level, that may fail, any of them, with ``delta + sampling_delta``.

    Raises
    ------
    ValueError
        If an argument is outside its range, or the curve gives no upper limit.

    Examples
    --------
    An exactly known P(U) = 1/2, one example:

    >>> value = np.log([2.0])
    >>> curve = TailCurve([0.0], value, [0.0], value, value, confidence=1.0, kind="exact", method="closed form")
    >>> limit = realisable_from_curve(curve, 1, delta=0.04, sampling_delta=0.01)
    >>> f"{limit.value[0]:.12f}", limit.delta
    ('0.980000000000', 0.05)
    """
    information = curve.upper_limit(sampling_delta)
    value = realisable(information.value, n, delta)
    method = f"prior conditioned on the training loss, its information by {information.method}"
    return UpperLimit(value, delta + sampling_delta, method)
