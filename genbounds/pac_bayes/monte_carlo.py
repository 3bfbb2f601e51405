"""Upper limits on the empirical Gibbs risk from draws of the posterior: the Monte-Carlo step, paid for in delta.

The empirical Gibbs risk r(Q) = E_{h ~ Q} (1/n) sum_i loss(h, z_i) of a network is not computable; it is estimated
from draws. These theorems turn draws into an upper limit of r(Q) that holds with probability at least 1 - delta
over the draws, the sample and Q being given. Put the limit into a bound of `genbounds.pac_bayes.gibbs` in place of
r(Q): both are increasing in it, and the two deltas add up.

Two ways to draw:

* one fresh predictor per example, the whole sample visited a whole number of times: `monte_carlo_binomial` (0-1
  loss) or `monte_carlo_kl`. All m = epochs * n losses count as draws.
* predictors shared by the whole sample, one empirical risk each: `monte_carlo_betting`, which profits from their
  small spread, or `monte_carlo_kl`. Only the m predictors count as draws.

The number of draws must be fixed before any is evaluated: drawing on until the limit looks good voids it.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import (
    Float64,
    betting_upper,
    binomial_upper,
    confidence,
    count,
    kl_upper,
    round_up,
    unit_interval,
)
from genbounds.pac_bayes.complexity import EMPIRICAL_GIBBS_RISK
from genbounds.theorems import Assumption, theorem

__all__ = ["monte_carlo_betting", "monte_carlo_binomial", "monte_carlo_kl"]

_ASSUMES = (
    Assumption.DRAWS_INDEPENDENT,
    Assumption.DRAWS_FIXED_BEFORE_LOOKING,
    Assumption.IDEAL_RANDOMNESS,
    Assumption.DETERMINISTIC_EVALUATION,
)


@theorem(
    statement=r"r(Q) \le \max\left\{\frac{k+1}{m},\ \max\{p : \mathbb{P}[\mathrm{Bin}(m,p)\le k]\ge\delta\}\right\}",
    formula="r(Q) <= max( (k + 1) / m, max{ p : P[Bin(m, p) <= k] >= delta } ), k errors in m draws, at most 1",
    predictor="gibbs",
    quantity=EMPIRICAL_GIBBS_RISK,
    assumes=(Assumption.ZERO_ONE_LOSS, *_ASSUMES),
    reference="Hoeffding1956",
    locator="Theorem 4; for identical draws ClopperPearson1934",
)
def monte_carlo_binomial(errors: ArrayLike, draws: ArrayLike, delta: ArrayLike) -> Float64:
    """Limit the empirical Gibbs risk from errors counted with one fresh draw per example (exact binomial tails).

    For every sample and every posterior Q fixed before the draws: with probability at least 1 - delta over m
    independent draws, r(Q) is at most the exact binomial upper limit of the k errors or (k + 1) / m, whichever is
    larger.

    Parameters
    ----------
    errors : array_like of int
        Errors k among the m draws, from 0 to m.
    draws : array_like of int
        Draws m: the number of examples times the number of epochs, every example drawn equally often.
    delta : array_like
        Probability with which the limit may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper limit of r(Q), rounded up, in [(errors + 1) / draws, 1], or 1 for errors = draws.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Draw j meets example i(j) and errs with probability p_j = E_Q loss(h, z_i(j)), independently of the others. The
    p_j differ, and their average is p = r(Q). So k is a sum of independent, non-identical Bernoulli variables.
    Hoeffding (1956, Theorem 4): P[k <= c] <= P[Bin(m, p) <= c] for every integer c <= m p - 1.

    Proof: both terms of the maximum grow with k. The limit is below p only if k + 1 < m p and
    P[Bin(m, p) <= k] < delta. Let c be the largest k with both properties (if there is none, the limit cannot
    fail). Then c <= m p - 1, and the failure probability is P[k <= c] <= P[Bin(m, p) <= c] < delta.

    Difference from common use: the exact binomial limit alone is not valid here. With m = 2, p_1 = 1 and
    p_2 = 0.9 (so p = 0.95), k <= 1 has probability 0.1, a binomial variable gives it 0.0975; at delta = 0.098 the
    binomial limit for k = 1 is sqrt(1 - delta) = 0.9497 < p and fails with probability 0.1 > delta. The same
    construction fails at every delta, however small. (k + 1) / m mends it at next to no cost: at delta <= 1/4 it
    exceeds the exact limit only for k = m - 1, all draws but one in error (checked for every m up to 300).

    Below `monte_carlo_kl` unless (k + 1) / m decides.

    Examples
    --------
    Without errors the limit is 1 - delta^(1/m), as long as that is above 1/m:

    >>> f"{monte_carlo_binomial(0, 10, 0.05):.10f}", f"{1 - 0.05 ** (1 / 10):.10f}"
    ('0.2588655509', '0.2588655509')
    >>> f"{monte_carlo_binomial(1, 2, 0.098):.10f}"
    '1.0000000000'
    """
    errors, draws = count("errors", errors, minimum=0), count("draws", draws)
    exact = binomial_upper(errors, draws, -round_up(-np.log(confidence("delta", delta)), 4))
    return np.minimum(np.maximum(exact, round_up((errors + 1) / draws, 1)), 1.0)


@theorem(
    statement=r"r(Q) \le \mathrm{kl}^{+}\!\left(\hat r,\ \frac{\ln(1/\delta)}{m}\right)",
    formula="r(Q) <= kl+( average loss of m draws, ln(1 / delta) / m )",
    predictor="gibbs",
    quantity=EMPIRICAL_GIBBS_RISK,
    assumes=(Assumption.LOSS_IN_UNIT_INTERVAL, *_ASSUMES),
    reference="Hoeffding1963",
    locator="Theorem 1, Equation (2.1); LangfordCaruana2001 with ln(2 / delta)",
)
def monte_carlo_kl(risk: ArrayLike, draws: ArrayLike, delta: ArrayLike) -> Float64:
    """Limit the empirical Gibbs risk from the average of independent draws in [0, 1] (Chernoff).

    For every sample and every posterior Q fixed before the draws: with probability at least 1 - delta over m
    independent draws with values in [0, 1] whose means average to r(Q), r(Q) <= kl+(average, ln(1 / delta) / m).

    Parameters
    ----------
    risk : array_like
        Average value of the m draws, in [0, 1]; rounded up (``round_up(errors / draws, 1)`` for a ratio).
    draws : array_like of int
        Draws m: losses, if each draw met one example and every example was met equally often; predictors, if each
        draw was evaluated on the whole sample.
    delta : array_like
        Probability with which the limit may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper limit of r(Q), rounded up, in [risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    The draws need not be identically distributed: see `pac_bayes.test_set_kl`, which is the same inequality about
    the sample. Difference from Langford and Caruana (2001): only one side is needed, so ln(1 / delta) replaces
    ln(2 / delta).

    Usually above `monte_carlo_binomial` for errors counted one a draw, and far above `monte_carlo_betting` for
    predictors that were evaluated on the whole sample, whose risks hardly differ.

    Examples
    --------
    Without loss the limit is 1 - delta^(1/m):

    >>> f"{monte_carlo_kl(0.0, 10, 0.05):.10f}"
    '0.2588655509'
    """
    c = round_up(-np.log(confidence("delta", delta)) / count("draws", draws), 5)
    return kl_upper(unit_interval("risk", risk), c)


@theorem(
    statement=r"r(Q) \le \inf\Big\{\mu : \frac1G\sum_{g}\prod_{i=1}^{m}"
    r"\Big(1+g\,\frac{\mu-x_i}{1-\mu}\Big)\ge\frac1\delta\Big\},\quad g\in\{1,\tfrac12,\tfrac14,\dots\}",
    formula="r(Q) <= inf{ mu : mean_g prod_i (1 + g (mu - x_i) / (1 - mu)) >= 1 / delta }, g = 1, 1/2, 1/4, ...",
    predictor="gibbs",
    quantity=EMPIRICAL_GIBBS_RISK,
    assumes=(Assumption.LOSS_IN_UNIT_INTERVAL, *_ASSUMES),
    reference="WaudbySmithRamdas2024",
    locator="Section 4 (capital processes), with a fixed grid of bets from the number of draws alone",
)
def monte_carlo_betting(values: ArrayLike, delta: ArrayLike) -> Float64:
    """Limit the empirical Gibbs risk from the risks of draws shared by the whole sample (variance-adaptive).

    For every sample and every posterior Q fixed before the draws: with probability at least 1 - delta over m
    independent draws with values in [0, 1] whose means average to r(Q), r(Q) is at most the smallest mu at which a
    gambler who bets on values below mu, a share g of the wealth each time, averaged over a fixed grid of shares,
    would have multiplied the stake by 1 / delta.

    Parameters
    ----------
    values : array_like of shape (..., m)
        Values x_i of the draws in [0, 1] along the last axis: one empirical risk per predictor drawn, or one loss
        per example-wise draw. Their order does not matter. Rounded up, if they are ratios.
    delta : array_like
        Probability with which the limit may fail, in (0, 1); broadcast against the leading axes of `values`.

    Returns
    -------
    float64 or ndarray
        Upper limit of r(Q), rounded up, in [average of values, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range, or there is no draw.

    Notes
    -----
    At mu = r(Q) = p and for values with means p_i that average to p, every factor is non-negative (g <= 1) and the
    expected product is prod_i (1 + g (p - p_i) / (1 - p)) <= 1 by AM-GM, with equality for equal means. So the mean
    over g has expectation at most 1 and, by Markov's inequality, reaches 1 / delta with probability at most delta.
    It increases in mu, hence the limit falls below p only where it reaches 1 / delta at p.

    Difference from Waudby-Smith and Ramdas (2024): their bets are predictable and the draws come one by one, which
    allows stopping at any time; here the shares are fixed by m alone, which needs no order and covers draws with
    different means, but the number of draws must be fixed.

    Adapts to the spread of the values: for the nearly equal risks of draws shared by many examples it is far below
    `monte_carlo_kl`. One draw x gives 1 - delta (1 - x).

    Examples
    --------
    One draw allows the one share g = 1, and (1 - x) / (1 - mu) = 1 / delta gives mu = 1 - delta (1 - x):

    >>> f"{monte_carlo_betting([0.2], 0.05):.10f}"
    '0.9600000000'
    """
    values = unit_interval("values", values)
    return betting_upper(values, -round_up(-np.log(confidence("delta", delta)), 4))
