"""PAC-Bayes bounds on the risk of the Gibbs predictor, for losses in [0, 1].

Notation, as in the papers: n examples S, prior P, posterior Q, KL = KL(Q || P) in nats, r(Q) and R(Q) the empirical
risk on S and the true risk of a predictor drawn from Q, averaged over the draw; kl the relative entropy between coins
and kl+(q, c) = sup{p >= q : kl(q || p) <= c} its upper inverse. Five theorems share c = (KL + ln(2 sqrt(n)/delta)) / n.
They and `seeger_xi`, which is never larger, rest on one event of probability at least 1 - delta,

    E_P exp(n kl(r(h) || R(h))) <= xi(n) / delta <= 2 sqrt(n) / delta,

so comparing these six on one sample costs nothing. `pac_bayes.catoni` has an event of its own for each C.

Results are rounded up: never below the formula at the numbers passed in. Those are the caller's: `risk` and `kl` must
be upper values themselves. Errors divided by n need one step up (``round_up(errors / n, 1)``), a Monte-Carlo average
needs an upper limit from `genbounds.pac_bayes.monte_carlo`.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import (
    Float64,
    kl_upper,
    log_two_sqrt,
    log_xi,
    round_up,
    unit_interval,
)
from genbounds.pac_bayes.complexity import GIBBS, RISK, complexity
from genbounds.theorems import Free, theorem

__all__ = ["maurer", "mcallester", "quadratic", "seeger_xi", "thiemann", "tolstikhin"]

#: The event on which all of these hold at once.
_EVENT = "E_P exp(n kl(r(h) || R(h))) <= xi(n) / delta"

_LAM = Free("lam", 0.0, 2.0, "Weighs the empirical risk against the complexity term.")


def _complexity_below_2(kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Return c or 2: from c = 2 on a relaxation is at least 1 at every risk, and nothing must overflow."""
    return np.minimum(complexity(kl, n, delta, log_two_sqrt), 2.0)


@theorem(
    statement=r"R(Q) \le \mathrm{kl}^{+}\!\left(r(Q),\ \frac{\mathrm{KL}(Q\|P)+\ln(2\sqrt{n}/\delta)}{n}\right)",
    formula="R(Q) <= kl+( r(Q), [KL(Q||P) + ln(2 sqrt(n) / delta)] / n )",
    predictor="gibbs",
    uniform_over="posteriors",
    assumes=GIBBS,
    limits=RISK,
    event=_EVENT,
    reference="Maurer2004",
    locator="Theorem 5",
)
def maurer(risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the Gibbs risk by inverting the binary relative entropy (PAC-Bayes-kl, Maurer's constant).

    For every distribution of the data and every prior P fixed before the sample: with probability at least
    1 - delta over n independent examples, simultaneously for every posterior Q (which may depend on the sample in
    any way), kl(r(Q) || R(Q)) <= (KL(Q || P) + ln(2 sqrt(n) / delta)) / n; the result is the largest R(Q) that
    this allows.

    Parameters
    ----------
    risk : array_like
        Empirical Gibbs risk r(Q) on the n examples or an upper limit of it, in [0, 1].
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(Q), rounded up, in [risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Proof: E_S exp(n kl(r(h) || R(h))) <= 2 sqrt(n) for every fixed h (Maurer's Theorem 1, for losses in [0, 1] by
    his Lemma 3), then Markov's inequality over S, the change of measure from P to Q, and convexity of kl.

    Difference from the paper: Maurer proves the moment to be at most 2 sqrt(n) for n >= 8. It is at most xi(n) (see
    `seeger_xi`) for every n, and xi(n) <= 2 sqrt(n) for n = 1, ..., 7 by direct calculation (equality at n = 1), so
    the theorem holds for all n >= 1. The earlier forms (KL + ln((n + 1) / delta)) / n (Seeger 2002) and
    (KL + ln(n / delta)) / (n - 1) (Langford and Seeger 2001) are never smaller for n >= 2.

    Not covered: the Monte-Carlo error of `risk` (pass an upper limit and spend its delta too); the posterior mean
    or any other single predictor; a prior chosen among K after seeing the sample (add ln K to `kl`).

    Never above `mcallester`, `quadratic`, `tolstikhin`, `thiemann`; never below `seeger_xi` and, if Q is a point mass,
    `occam_kl`.

    Examples
    --------
    With no error and Q = P the bound is 1 - (delta / (2 sqrt(n)))^(1/n); here 1 - 400^(-1/100):

    >>> f"{maurer(0.0, 0.0, 100, 0.05):.10f}"
    '0.0581550791'
    >>> f"{1 - 400 ** (-1 / 100):.10f}"
    '0.0581550791'
    """
    return kl_upper(unit_interval("risk", risk), complexity(kl, n, delta, log_two_sqrt))


@theorem(
    statement=r"R(Q) \le \mathrm{kl}^{+}\!\left(r(Q),\ \frac{\mathrm{KL}(Q\|P)+\ln(\xi(n)/\delta)}{n}\right),"
    r"\quad \xi(n)=\sum_{k=0}^{n}\binom{n}{k}\Big(\frac kn\Big)^{k}\Big(1-\frac kn\Big)^{n-k}",
    formula="R(Q) <= kl+( r(Q), [KL(Q||P) + ln(xi(n) / delta)] / n ), xi(n) = sum_k C(n,k) (k/n)^k (1-k/n)^(n-k)",
    predictor="gibbs",
    uniform_over="posteriors",
    assumes=GIBBS,
    limits=RISK,
    event=_EVENT,
    reference="Maurer2004",
    locator="Theorem 5 with the sum in the proof of Theorem 1 before it is bounded; xi as in Germain2015",
)
def seeger_xi(risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the Gibbs risk as `maurer` does, with the exact constant xi(n) in place of 2 sqrt(n).

    For every distribution of the data and every prior P fixed before the sample: with probability at least
    1 - delta over n independent examples, simultaneously for every posterior Q,
    kl(r(Q) || R(Q)) <= (KL(Q || P) + ln(xi(n) / delta)) / n.

    Parameters
    ----------
    risk : array_like
        Empirical Gibbs risk r(Q) on the n examples or an upper limit of it, in [0, 1].
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(Q), rounded up, in [risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    For a 0-1 loss n r(h) is binomial, and E_S exp(n kl(r(h) || R(h))) = xi(n) whatever R(h) in (0, 1) is: nothing
    smaller can stand in this proof. For losses in [0, 1] the moment is at most that (Maurer's Lemma 3: a convex
    function of independent [0, 1] variables has its largest mean at coins). As sqrt(n) <= xi(n) <= 2 sqrt(n), and
    xi(n) is close to sqrt(pi n / 2) + 2/3, the gain over `maurer` tends to ln(2 sqrt(2 / pi)) = 0.467 nats.

    Difference from the literature: `log_xi` sums xi(n) up to its own limit of n and uses a proven upper form beyond
    it, both rounded up. The tightest of this module's bounds, apart from `catoni` at a lucky C; equal to `maurer` at
    n = 1. Not covered: what is not covered by `maurer`.

    Examples
    --------
    xi(1) = 2, so that no error, Q = P and one example give 1 - delta / 2; xi(2) = 5/2 gives 1 - sqrt(delta / 2.5):

    >>> f"{seeger_xi(0.0, 0.0, 1, 0.05):.12f}"
    '0.975000000000'
    >>> f"{seeger_xi(0.0, 0.0, 2, 0.1):.12f}"
    '0.800000000000'
    """
    return kl_upper(unit_interval("risk", risk), complexity(kl, n, delta, log_xi))


@theorem(
    statement=r"R(Q) \le r(Q)+\sqrt{\frac{\mathrm{KL}(Q\|P)+\ln(2\sqrt{n}/\delta)}{2n}}",
    formula="R(Q) <= r(Q) + sqrt( [KL(Q||P) + ln(2 sqrt(n) / delta)] / (2n) )",
    predictor="gibbs",
    uniform_over="posteriors",
    assumes=GIBBS,
    limits=RISK,
    event=_EVENT,
    reference="McAllester1999",
    locator="Theorem 1, with the constant of Maurer2004, Theorem 5",
)
def mcallester(risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the Gibbs risk by the empirical risk plus a square root (McAllester's form).

    For every distribution of the data and every prior P fixed before the sample: with probability at least
    1 - delta over n independent examples, simultaneously for every posterior Q, R(Q) <= r(Q) + sqrt(c / 2) with
    c = (KL(Q || P) + ln(2 sqrt(n) / delta)) / n.

    Parameters
    ----------
    risk : array_like
        Empirical Gibbs risk r(Q) on the n examples or an upper limit of it, in [0, 1].
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(Q), rounded up; 1 where the formula exceeds 1, as no risk does.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Pinsker's inequality kl(q || p) >= 2 (p - q)^2 applied to `maurer`, which it never undercuts.

    Difference from the paper: McAllester (1999) has ln(1/delta) + (5/2) ln n + 8 over 2n - 1 under the root; the
    constant here is smaller for every n and follows from Maurer (2004).

    Below `quadratic` exactly where it is above 1/4: for large risks. Not covered: what is not covered by `maurer`.

    Examples
    --------
    With KL = 0, n = 100 and delta = 20 e^(-8), c = 8 / 100 and the bound is 0.1 + sqrt(0.04):

    >>> f"{mcallester(0.1, 0.0, 100, 20 * np.exp(-8)):.12f}"
    '0.300000000000'
    """
    c = _complexity_below_2(kl, n, delta)
    return np.minimum(round_up(unit_interval("risk", risk) + np.sqrt(c / 2), 5), 1.0)


@theorem(
    statement=r"R(Q) \le \left(\sqrt{r(Q)+\tfrac c2}+\sqrt{\tfrac c2}\right)^{2},"
    r"\quad c=\frac{\mathrm{KL}(Q\|P)+\ln(2\sqrt{n}/\delta)}{n}",
    formula="R(Q) <= ( sqrt(r(Q) + c/2) + sqrt(c/2) )^2, c = [KL(Q||P) + ln(2 sqrt(n) / delta)] / n",
    predictor="gibbs",
    uniform_over="posteriors",
    assumes=GIBBS,
    limits=RISK,
    event=_EVENT,
    reference="PerezOrtiz2021",
    locator="Theorem 1 (PAC-Bayes-quadratic); Rivasplata2019",
)
def quadratic(risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the Gibbs risk by a square of two roots (PAC-Bayes-quadratic).

    For every distribution of the data and every prior P fixed before the sample: with probability at least
    1 - delta over n independent examples, simultaneously for every posterior Q,
    R(Q) <= (sqrt(r(Q) + c/2) + sqrt(c/2))^2 with c = (KL(Q || P) + ln(2 sqrt(n) / delta)) / n.

    Parameters
    ----------
    risk : array_like
        Empirical Gibbs risk r(Q) on the n examples or an upper limit of it, in [0, 1].
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(Q), rounded up; 1 where the formula exceeds 1, as no risk does.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    For p > q, kl(q || p) >= (p - q)^2 / (2p); solving p - q <= sqrt(2 p c) for sqrt(p) gives the formula, which is
    q + c + sqrt(2 q c + c^2). So it never undercuts `maurer`.

    The minimum of `thiemann` over `lam`; never above `tolstikhin`; below `mcallester` exactly where that is below 1/4.
    Smooth in r and c, which is why it is trained on. Not covered: what is not covered by `maurer`.

    Examples
    --------
    Without errors the bound is 2c, here with c = 8 / 100:

    >>> f"{quadratic(0.0, 0.0, 100, 20 * np.exp(-8)):.12f}"
    '0.160000000000'
    """
    half = _complexity_below_2(kl, n, delta) / 2
    root = np.sqrt(unit_interval("risk", risk) + half) + np.sqrt(half)
    return np.minimum(round_up(np.square(root), 12), 1.0)


@theorem(
    statement=r"R(Q) \le r(Q)+\sqrt{2\,r(Q)\,c}+2c,\quad c=\frac{\mathrm{KL}(Q\|P)+\ln(2\sqrt{n}/\delta)}{n}",
    formula="R(Q) <= r(Q) + sqrt(2 r(Q) c) + 2c, c = [KL(Q||P) + ln(2 sqrt(n) / delta)] / n",
    predictor="gibbs",
    uniform_over="posteriors",
    assumes=GIBBS,
    limits=RISK,
    event=_EVENT,
    reference="TolstikhinSeldin2013",
    locator="Equation (3), after McAllester2003",
)
def tolstikhin(risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the Gibbs risk by a sum that shows the fast rate at small risk (refined Pinsker).

    For every distribution of the data and every prior P fixed before the sample: with probability at least
    1 - delta over n independent examples, simultaneously for every posterior Q, R(Q) <= r(Q) + sqrt(2 r(Q) c) + 2c
    with c = (KL(Q || P) + ln(2 sqrt(n) / delta)) / n.

    Parameters
    ----------
    risk : array_like
        Empirical Gibbs risk r(Q) on the n examples or an upper limit of it, in [0, 1].
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(Q), rounded up; 1 where the formula exceeds 1, as no risk does.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    From p - q <= sqrt(2 p c), as for `quadratic`, with the root split once more. In Tolstikhin and
    Seldin (2013) this is the relaxation of the kl bound, not their empirical Bernstein inequality.

    Never below `quadratic`, hence never below `maurer`; equal to `quadratic` at r = 0. It shows a rate of 1 / sqrt(n)
    turning into 1 / n as the risk goes to zero. Not covered: what is not covered by `maurer`.

    Examples
    --------
    With c = 8 / 100 and r = 0.25 the bound is 0.25 + sqrt(0.04) + 0.16:

    >>> f"{tolstikhin(0.25, 0.0, 100, 20 * np.exp(-8)):.12f}"
    '0.610000000000'
    """
    c = _complexity_below_2(kl, n, delta)
    risk = unit_interval("risk", risk)
    return np.minimum(round_up(risk + np.sqrt(2 * risk * c) + 2 * c, 8), 1.0)


@theorem(
    statement=r"R(Q) \le \frac{r(Q)}{1-\lambda/2}+\frac{\mathrm{KL}(Q\|P)+\ln(2\sqrt{n}/\delta)}"
    r"{n\,\lambda\,(1-\lambda/2)}",
    formula="R(Q) <= r(Q) / (1 - lam/2) + [KL(Q||P) + ln(2 sqrt(n) / delta)] / (n lam (1 - lam/2))",
    predictor="gibbs",
    uniform_over="posteriors and lam",
    assumes=GIBBS,
    limits=RISK,
    event=_EVENT,
    reference="Thiemann2017",
    locator="Theorem 3",
    parameters=(_LAM,),
)
def thiemann(risk: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike, lam: ArrayLike) -> Float64:
    """Bound the Gibbs risk by a sum that is linear in risk and KL, for all lam at once (PAC-Bayes-lambda).

    For every distribution of the data and every prior P fixed before the sample: with probability at least
    1 - delta over n independent examples, simultaneously for every posterior Q and every lam in (0, 2),
    R(Q) <= r(Q) / (1 - lam/2) + (KL(Q || P) + ln(2 sqrt(n) / delta)) / (n lam (1 - lam/2)).

    Parameters
    ----------
    risk : array_like
        Empirical Gibbs risk r(Q) on the n examples or an upper limit of it, in [0, 1].
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).
    lam : array_like
        Free, in (0, 2): optimise it after seeing the sample, nothing is to be paid.

    Returns
    -------
    float64 or ndarray
        Upper bound on R(Q), rounded up; 1 where the formula exceeds 1, as no risk does.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    sqrt(2 p c) <= lam p / 2 + c / lam for every lam > 0, put into p - q <= sqrt(2 p c). All lam come from the one
    event of `maurer`: that is why they hold together.

    Its minimum over lam is `quadratic`, at lam = 2 / (sqrt(2 r / c + 1) + 1). For fixed lam the best posterior is the
    Gibbs posterior dQ/dP proportional to exp(-lam n r(h)). Not covered: what is not covered by `maurer`.

    Examples
    --------
    Without errors lam = 1 is best and gives 2c, here with c = 8 / 100:

    >>> f"{thiemann(0.0, 0.0, 100, 20 * np.exp(-8), 1.0):.12f}"
    '0.160000000000'
    """
    lam = _LAM.check(lam)
    rest = 1 - lam / 2
    risk, c = unit_interval("risk", risk), complexity(kl, n, delta, log_two_sqrt)
    with np.errstate(over="ignore"):  # a lam next to 0 overflows to infinity, which is capped at 1
        return np.minimum(round_up(risk / rest + c / (lam * rest), 6), 1.0)
