"""Bounds on the risk of one given predictor from examples that it never saw: the yardstick of every certificate."""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, binomial_upper, confidence, count, kl_upper, round_up, unit_interval
from genbounds.theorems import Assumption, theorem

__all__ = ["clopper_pearson", "test_set_kl"]


@theorem(
    statement=r"R(h) \le \max\{p : \mathbb{P}[\mathrm{Bin}(n,p)\le k] \ge \delta\}",
    formula="R(h) <= max{ p : P[Bin(n, p) <= errors] >= delta }",
    predictor="deterministic",
    assumes=(Assumption.IID, Assumption.ZERO_ONE_LOSS, Assumption.PREDICTOR_INDEPENDENT_OF_SAMPLE),
    reference="ClopperPearson1934",
    locator="one-sided form; Langford2005, Theorem 3.3",
)
def clopper_pearson(errors: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the risk of one predictor from its number of errors on held-out data (exact binomial limit).

    For every distribution of the data and every predictor h fixed before the sample: with probability at least
    1 - delta over n independent examples, R(h) is at most the largest p for which a binomial variable has
    probability at least delta to be as small as the errors seen.

    Parameters
    ----------
    errors : array_like of int
        Errors on the n held-out examples, from 0 to n.
    n : array_like of int
        Held-out examples, at least 1.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(h), rounded up, at most 1; at least errors / n for delta <= 1/2.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    The errors k are binomial with the risk R as success probability, and P[Bin(n, p) <= k] decreases in p: the
    limit is below R only if P[Bin(n, R) <= k] < delta, and the k for which this holds have probability below delta.
    For given R and n the failure probability is the largest binomial tail below delta: no bound that depends on the
    number of errors alone and grows with it can be smaller everywhere.

    Not covered: a predictor that was selected with these examples (choosing among K costs a factor K in delta), a
    second look at the same examples. At most `test_set_kl` on the same data.

    Examples
    --------
    Without errors the limit solves (1 - p)^n = delta; with n errors nothing is excluded:

    >>> f"{clopper_pearson(0, 10, 0.05):.10f}", f"{1 - 0.05 ** (1 / 10):.10f}"
    ('0.2588655509', '0.2588655509')
    >>> float(clopper_pearson(10, 10, 0.05))
    1.0
    """
    log_level = -round_up(-np.log(confidence("delta", delta)), 4)
    return binomial_upper(count("errors", errors, minimum=0), count("n", n), log_level)


@theorem(
    statement=r"R(h) \le \mathrm{kl}^{+}\!\left(r(h),\ \frac{\ln(1/\delta)}{n}\right)",
    formula="R(h) <= kl+( r(h), ln(1 / delta) / n )",
    predictor="deterministic",
    assumes=(
        Assumption.INDEPENDENT_SAMPLE,
        Assumption.LOSS_IN_UNIT_INTERVAL,
        Assumption.PREDICTOR_INDEPENDENT_OF_SAMPLE,
    ),
    reference="Hoeffding1963",
    locator="Theorem 1, Equation (2.1); Langford2005, Section 3",
)
def test_set_kl(risk: ArrayLike, n: ArrayLike, delta: ArrayLike) -> Float64:
    """Bound the risk of one predictor from its average loss on held-out data, for losses in [0, 1] (Chernoff).

    For every predictor h fixed before the sample: with probability at least 1 - delta over n independent examples,
    which need not be identically distributed, the average of their n expected losses is at most
    kl+(r(h), ln(1 / delta) / n).

    Parameters
    ----------
    risk : array_like
        Average loss on the n held-out examples, in [0, 1]; rounded up (``round_up(errors / n, 1)`` for a ratio).
    n : array_like of int
        Held-out examples, at least 1.
    delta : array_like
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    float64 or ndarray
        Upper bound on R(h), rounded up, in [risk, 1].

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    exp is convex, so E exp(-t X) <= 1 - p + p exp(-t) for X in [0, 1] with mean p; the product over the examples is
    largest at equal means (AM-GM), hence P[r <= x] <= exp(-n kl(x || R)) for x <= R, which is below delta for every
    x whose kl+ stays below R.

    One-sided, so ln(1 / delta) and not ln(2 / delta). Never below `clopper_pearson` for a 0-1 loss: prefer that
    one there. Not covered: a predictor that was selected with these examples, a second look at them.

    Examples
    --------
    Without loss the bound is 1 - delta^(1/n), as for `clopper_pearson`:

    >>> f"{test_set_kl(0.0, 10, 0.05):.10f}"
    '0.2588655509'
    """
    c = round_up(-np.log(confidence("delta", delta)) / count("n", n), 5)
    return kl_upper(unit_interval("risk", risk), c)


# The name is the literature's; pytest, where somebody imports it into a test module, must not take it for a test.
vars(test_set_kl)["__test__"] = False
