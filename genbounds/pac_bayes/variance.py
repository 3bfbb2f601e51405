r"""PAC-Bayes bounds that profit from losses of small variance or small second moment.

Notation and rounding as in `genbounds.pac_bayes.gibbs`. Both theorems increase in each statistic, so that upper limits
of the statistics may be passed, each with a delta of its own.

For a 0-1 loss nothing is gained over `pac_bayes.seeger_xi`, which then knows the variance R(h) (1 - R(h)); these
bounds are for losses between 0 and 1, such as a bounded cross-entropy, and for differences of losses.
"""

from math import ceil, e, log2, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics import Float64, confidence, count, nonnegative, round_up, unit_interval
from genbounds.numerics.deviance import deviance
from genbounds.pac_bayes.complexity import EMPIRICAL_GIBBS_RISK, GIBBS, RISK, complexity, on_grid
from genbounds.pac_bayes.tempered import catoni
from genbounds.theorems import Assumption, Fixed, Grid, Limit, theorem

__all__ = ["SPLIT_PAIR", "tolstikhin_seldin", "unexpected_bernstein", "unexpected_bernstein_grid"]

#: The event whose probability is the variance of a 0-1 loss: of two draws for each pair, one for each of its examples.
SPLIT_PAIR = "0-1 (errs on an example and not on its partner)"

_GAMMA = Fixed("gamma", 0.0, 1.0, "Share that is bet against the losses: small for a large second moment.")

#: c1 = c2: neighbours in both grids differ by this factor.
_STEP = 1.15
_POWERS = _STEP ** np.arange(200.0)


def _first_power(least: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the smallest k >= 0 with c^k >= least."""
    return np.searchsorted(_POWERS, round_up(least, 20))


def _mean_weights() -> NDArray[np.float64]:
    """Return (e^u - 1 - u) / u for u = c^-k, by its series: nothing cancels."""
    u = 1.0 / _POWERS
    total = np.ones_like(u)
    for term in range(24, 2, -1):
        total = 1.0 + u / term * total
    return u / 2.0 * total


_MEAN_WEIGHTS = _mean_weights()


@np.errstate(over="ignore")  # a KL near the largest float overflows to infinity, which is an upper bound
def _paid(kl: ArrayLike, candidates: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return KL + ln(candidates), rounded up."""
    return np.asarray(round_up(nonnegative("kl", kl) + np.log(candidates), 5))


@theorem(
    statement=r"R(Q) \le \min_{u\in U_1} r(Q)+\frac{e^u-1-u}{u}\,\bar V"
    r"+\frac{\mathrm{KL}(Q\|P)+\ln\frac{2|U_1|}{\delta}}{u\,n},\quad"
    r"\bar V=\min\Big\{\tfrac14,\ \min_{u\in U_2}\frac{1-\exp\big(-2u\,V(Q)-\frac{1}{\lfloor n/2\rfloor}"
    r"(\mathrm{KL}(Q\|P)+\ln\frac{2|U_2|}{\delta})\big)}{2(1-e^{-u})}\Big\},\quad U_i=\{1,c^{-1},c^{-2},\dots\}",
    formula="R(Q) <= min_u r(Q) + V' (e^u - 1 - u)/u + [KL(Q||P) + ln(2 k1 / delta)] / (u n), V' = min{ 1/4, min_u "
    "[1 - exp(-2 u V(Q) - [KL(Q||P) + ln(2 k2 / delta)] / floor(n/2))] / (2 - 2 exp(-u)) }, u = 1, 1/c, ..., c^(1-k)",
    predictor="gibbs",
    uniform_over="posteriors",
    assumes=GIBBS,
    limits={**RISK, "variance": Limit(EMPIRICAL_GIBBS_RISK, "gibbs", SPLIT_PAIR)},
    reference="TolstikhinSeldin2013",
    locator="Theorem 4 (PAC-Bayes-empirical-Bernstein), both of its steps before they are simplified",
)
def tolstikhin_seldin(risk: ArrayLike, variance: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    r"""Bound the Gibbs risk by empirical risk and empirical variance (empirical Bernstein inequality).

    For every distribution of the data and every prior P fixed before the sample: with probability at least
    1 - delta over n independent examples, simultaneously for every posterior Q, the inequality of the statement, with
    c = 1.15, and sizes k1 and k2 of the two grids that n and delta determine.

    Parameters
    ----------
    risk : array_like
        Empirical Gibbs risk r(Q) on the n examples or an upper limit of it, in [0, 1].
    variance : array_like
        V(Q) = E_Q V_n(h) or an upper limit of it, in [0, 1], where V_n(h) = sum_(i<j) (l_i - l_j)^2 / (n (n - 1)) is
        the unbiased empirical variance of the losses of one predictor, never that of a mixture. Allowed too is its
        form on disjoint pairs fixed before the sample, the average of (l_(2i-1) - l_(2i))^2 / 2. Which of the two must
        not depend on the sample: the smaller of both costs a union. No empirical variance exceeds 1/2; from there on
        the argument says nothing.
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in the bound's own sample, at least 2; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1): one half each for the risk and for the variance.

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
    Risk. (e^x - 1 - x) / x^2 increases, so with x = u (R(h) - l) <= u the moment E e^x is at most
    1 + (e^u - 1 - u) V <= exp((e^u - 1 - u) V), V the variance of l. Markov's inequality over n examples and P, the
    change of measure and Jensen give, for one u, R(Q) <= r(Q) + V(Q) (e^u - 1 - u) / u + (KL + ln(1/delta)) / (u n).

    Variance. V_n(h) is the average, over all ways to pair the examples, of the average of m = floor(n/2) independent
    variables W = (l - l')^2 / 2 in [0, 1/2] of mean V. By convexity of exp, first over the pairings and then between
    0 and 1/2, E exp(-2 u m V_n) <= (E exp(-2 u W))^m <= (1 - 2 V (1 - e^(-u)))^m. So `catoni` bounds 2 V(Q) from
    2 V_n(Q) with m examples in place of n. No variance of a loss in [0, 1] exceeds 1/4.

    Both hold for one u. For k of them, each holds at delta / (2 k), and the best one may be taken. u = c^-j runs from
    1 to the first that is at most 2 sqrt(ln(2/delta) / ((e - 2) n)) for the risk; for the variance there are k2 of
    them, c^k2 being the first power that is at least (1 + sqrt(1 + (n - 1) / ln(2/delta))) / 2.

    Difference from the paper: it bounds (e^u - 1 - u) / u by (e - 2) u, the moment of the variance by
    exp(-2 u m V (1 - u/2)), and the smallest value on each grid by (1 + c) sqrt(...). All three are left out, and with
    them the paper's two cases: the result is never above the paper's at c1 = c2 = 1.15 and delta1 = delta2 = delta / 2.
    Its constant 2 / (n - 1) is 4 / (2 floor(n/2)) here, the same for odd n.

    Not monotone in n and delta to the last digit, for the grids' sizes jump. Not covered: what is not covered by
    `maurer`.

    Examples
    --------
    Small losses with little spread, and what `maurer` makes of them:

    >>> f"{tolstikhin_seldin(0.3, 0.0001, 100.0, 60000, 0.05):.4f}"
    '0.3038'
    >>> from genbounds.pac_bayes import maurer
    >>> f"{maurer(0.3, 100.0, 60000, 0.05):.4f}"
    '0.3281'
    """
    n = count("n", n, 2, "A variance needs two examples.")
    delta = confidence("delta", delta)
    log_inverse = np.log(2) - np.log(delta)
    size_1 = 1 + _first_power(np.sqrt((e - 2) * n / (4 * log_inverse)))
    size_2 = _first_power(0.5 + 0.5 * np.sqrt(1 + (n - 1) / log_inverse))

    def smallest(size: NDArray[np.intp], values: Float64) -> NDArray[np.float64]:
        inside = np.arange(values.shape[-1]) < size[..., None]
        return np.asarray(np.min(np.where(inside, values, np.inf), axis=-1))

    doubled = np.minimum(2 * unit_interval("variance", variance), 1.0)
    u = 1.0 / _POWERS[: size_2.max()]
    paid = _paid(kl, 2 * size_2)
    of_twice = catoni(doubled[..., None], paid[..., None], (n // 2)[..., None], delta[..., None], u)
    bounded = np.asarray(np.minimum(round_up(smallest(size_2, of_twice) / 2, 8), 0.25))  # u to four units, twice

    u = 1.0 / _POWERS[: size_1.max()]
    cost = np.asarray(complexity(_paid(kl, 2 * size_1), n, delta, np.zeros_like))
    risk = unit_interval("risk", risk)
    with np.errstate(over="ignore"):
        values = risk[..., None] + _MEAN_WEIGHTS[: size_1.max()] * bounded[..., None] + cost[..., None] / u
    return np.minimum(round_up(smallest(size_1, values), 24), 1.0)


@theorem(
    statement=r"R(Q) \le \frac1\gamma\left[1-\exp\!\left(-\gamma\,r(Q)-(-\ln(1-\gamma)-\gamma)\,r_2(Q)"
    r"-\frac{\mathrm{KL}(Q\|P)+\ln(1/\delta)}{n}\right)\right]",
    formula="R(Q) <= [1 - exp(-g r(Q) - s r2(Q) - [KL(Q||P) + ln(1 / delta)] / n)] / g, g = gamma, "
    "s = -ln(1 - g) - g, r2 the mean of squared losses",
    predictor="gibbs",
    uniform_over="posteriors",
    assumes=(*GIBBS, Assumption.PARAMETER_FIXED_BEFORE_SAMPLE),
    parameters=(_GAMMA,),
    limits={**RISK, "second_moment": Limit(EMPIRICAL_GIBBS_RISK, "gibbs")},
    reference="Mhammedi2019",
    locator="The unexpected Bernstein inequality (after Fan, Grama and Liu 2015) with b = 1, before its last step",
)
def unexpected_bernstein(
    risk: ArrayLike, second_moment: ArrayLike, kl: ArrayLike, n: ArrayLike, delta: ArrayLike, gamma: ArrayLike | Grid
) -> Float64:
    """Bound the Gibbs risk by the empirical mean and mean square of the losses (unexpected Bernstein inequality).

    For every distribution of the data, every prior P and every gamma in (0, 1), both fixed before the sample: with
    probability at least 1 - delta over n independent examples, simultaneously for every posterior Q,
    R(Q) <= (1 - exp(-gamma r(Q) - s r2(Q) - (KL(Q || P) + ln(1 / delta)) / n)) / gamma, s = -ln(1 - gamma) - gamma.

    Parameters
    ----------
    risk : array_like
        Empirical Gibbs risk r(Q) on the n examples or an upper limit of it, in [0, 1].
    second_moment : array_like
        r2(Q), the average of E_Q l(h, z)^2 over the n examples, or an upper limit of it, in [0, 1]. No limit of r(Q)
        is below r2(Q), for squares of numbers in [0, 1] are smaller; for a 0-1 loss the two are equal.
    kl : array_like
        KL(Q || P) in nats or an upper bound of it, in [0, inf].
    n : array_like of int
        Examples in the bound's own sample, at least 1; never those that shaped P.
    delta : array_like
        Probability with which the bound may fail, in (0, 1). For a Grid: of all its candidates together.
    gamma : array_like or Grid
        Fixed, in (0, 1). An array is one fixed value an element, not a choice among them. A Grid fixed before the
        sample is a choice, whose union is paid: see `unexpected_bernstein_grid`.

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
    (y - ln(1 + y)) / y^2 decreases, so that for y = -gamma l >= -gamma it is at most s / gamma^2, which says
    exp(-gamma l - s l^2) <= 1 - gamma l. Hence E exp(-gamma l - s l^2) <= 1 - gamma R(h) for every fixed h and
    E_S exp(-n (gamma r(h) + s r2(h) + ln(1 - gamma R(h)))) <= 1; then Markov's inequality, the change of measure, and
    Jensen's inequality for the convex -ln(1 - gamma R).

    Difference from the paper: it goes on to 1 - gamma R <= exp(-gamma R), which gives
    R(Q) <= r(Q) + (s / gamma) r2(Q) + (KL + ln(1/delta)) / (gamma n), never smaller than the form here. The paper's
    theorems centre the loss at a predictor learnt from the other half of the sample; here the loss is as given.

    For a 0-1 loss it is `catoni` at C = -ln(1 - gamma). `coin_betting` holds for all gamma at once, for a logarithm
    more, and sees the whole distribution of the losses. Not covered: what is not covered by `maurer`.

    Examples
    --------
    Without loss and with Q = P the bound is (1 - delta^(1/n)) / gamma, here 0.2 / 0.5:

    >>> f"{unexpected_bernstein(0.0, 0.0, 0.0, 1, 0.8, 0.5):.12f}"
    '0.400000000000'
    """
    if isinstance(gamma, Grid):
        return on_grid(lambda paid, value: unexpected_bernstein(risk, second_moment, paid, n, delta, value), kl, gamma)
    gamma = _GAMMA.check(gamma)
    weight = deviance(np.ones((*gamma.shape, 1)), 1.0 - gamma[..., None], -gamma[..., None])[..., 0]
    squares = round_up(weight, 50) * unit_interval("second_moment", second_moment)
    exponent = gamma * unit_interval("risk", risk) + squares + complexity(kl, n, delta, np.zeros_like)
    with np.errstate(over="ignore"):  # a gamma next to 0 overflows to infinity, which is capped at 1
        return np.minimum(round_up(-np.expm1(-exponent) / gamma, 12), 1.0)


def unexpected_bernstein_grid(n: int, delta: float) -> Grid:
    """Return the grid of Mhammedi, Gruenwald and Guedj for `unexpected_bernstein`: 1/2, 1/4, ..., 1/2^k.

    Parameters
    ----------
    n : int
        Examples in the bound's own sample, at least 1.
    delta : float
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    Grid
        k = ceil(log2(sqrt(n / ln(1/delta)) / 2)) candidates with equal shares, at least one.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    Examples
    --------
    >>> unexpected_bernstein_grid(1000, 0.05).values
    (0.5, 0.25, 0.125, 0.0625)
    """
    ratio = count("n", n) / -np.log(confidence("delta", delta))
    return Grid(2.0**-k for k in range(1, max(1, ceil(log2(sqrt(ratio) / 2))) + 1))
