r"""Upper confidence limit for a mean by betting: adapts to a small variance, unlike the kl form.

Theorem. Let x_1, ..., x_m be independent in [0, 1], m fixed in advance, with means whose average is mu < 1. For g in
[0, 1] put M_g(mu) = prod_i (1 + g (mu - x_i) / (1 - mu)). Every factor is at least 1 - g >= 0, and by independence and
the inequality of arithmetic and geometric means

    E M_g(mu) = prod_i (1 + g (mu - E x_i) / (1 - mu)) <= (1 + g (mu - average of E x_i) / (1 - mu))^m = 1,

so the means need not be equal. The average M of M_g over a grid of g fixed in advance has E M(mu) <= 1 too, and by
Markov's inequality M(mu) >= 1/delta with probability at most delta. Each factor increases in mu, hence so does M, and
inf{u : M(u) >= 1/delta} is at or above mu with probability at least 1 - delta.

A bet g = 1 gives 1 - (1 - mean) delta^(1/m) for values of no variance: the excess shrinks as 1/m. The bet that suits a
variance of 1/4 is about sqrt(2 ln(1/delta) / m); the grid reaches down to 1/sqrt(m). Waudby-Smith and Ramdas (2024)
give the method its present form.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import Float64, log_probability, unit_interval
from genbounds.numerics.rounding import round_up

__all__ = ["betting_grid", "betting_upper"]

_CHUNK = 2**16
_HALF_UNIT = 2.0**-53
_SATURATED = 40.0  # 1 - exp(-40) rounds up to 1
_NEWTON_STEPS = 60


def betting_grid(m: int) -> NDArray[np.float64]:
    """Return the bets 1, 1/2, 1/4, ..., down to 1/sqrt(m) or just below.

    Parameters
    ----------
    m : int
        Number of values, at least 1. Nothing else may shape the grid, or the limit would no longer hold.

    Returns
    -------
    ndarray, shape (1 + ceil(log2(m) / 2),)
        Bets g.

    Examples
    --------
    >>> betting_grid(16).tolist()
    [1.0, 0.5, 0.25]
    """
    return np.ldexp(1.0, -np.arange(1 + math.ceil(0.5 * math.log2(m))))


def betting_upper(values: ArrayLike, log_level: ArrayLike) -> Float64:
    """Return an upper confidence limit for the average mean of independent variables in [0, 1], rounded up.

    Parameters
    ----------
    values : array_like, shape (..., m)
        Independent values in [0, 1] along the last axis; their means may differ. m was fixed before looking.
    log_level : array_like
        ln of the probability with which the limit may fail, in [-inf, 0]; broadcasts against the other axes.

    Returns
    -------
    float64 or ndarray
        inf{mu : M(mu) >= exp(-log_level)}, from above, to about 1e-13; it does not depend on the order of the values.

    Raises
    ------
    ValueError
        If a value is NaN or outside [0, 1], there is none, or `log_level` is NaN or positive.

    Notes
    -----
    With s = -ln(1 - mu) a factor is 1 - g + g (1 - x_i) e^s, so ln M is convex and increasing in s, and Newton's method
    converges from anywhere. The limit returned is one at which M, lowered by the rounding error of every logarithm and
    of the sum, was evaluated at or above 1/delta. Where a value is 1, the bet g = 1 loses everything, which the mixture
    survives.

    Examples
    --------
    >>> float(betting_upper([0.0], math.log(0.05)))  # one value: 1 - 0.05
    0.95000000000000...
    >>> round(float(betting_upper(np.full(1000, 0.02), math.log(0.01))), 4)
    0.0262
    """
    values = unit_interval("values", values)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(
            f"values must hold at least one value along the last axis, got shape {values.shape}. "
            "Pass the values themselves, not their mean."
        )
    m = values.shape[-1]
    level = log_probability("log_level", log_level)
    shape = np.broadcast_shapes(values.shape[:-1], level.shape)
    rows = np.broadcast_to(values, (*shape, m)).reshape(-1, m)
    target = np.broadcast_to(-level, shape).ravel()
    result = np.empty(len(rows))
    height = max(1, _CHUNK // m)
    for start in range(0, len(rows), height):
        block = slice(start, start + height)
        result[block] = _limit(1.0 - np.sort(rows[block], axis=-1), target[block], betting_grid(m))
    return result.reshape(shape)[()]


def _limit(rest: NDArray[np.float64], target: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve ln M = target row by row for s, prove the answer by evaluation, and return mu."""
    m = rest.shape[-1]
    with np.errstate(divide="ignore", over="ignore"):
        s = np.minimum(-np.log(np.mean(rest, axis=-1)) + target / m, _SATURATED)  # never above the root
    active = np.flatnonzero(s < _SATURATED)
    for _ in range(_NEWTON_STEPS):
        wealth, slope, _ = _log_wealth(rest[active], s[active], grid)
        moved = np.clip(s[active] + (target[active] - wealth) / slope, 0.0, _SATURATED)
        moving = np.abs(moved - s[active]) > 1e-9 * moved
        s[active] = moved
        active = active[moving]
        if not active.size:
            break

    open_rows = np.flatnonzero(s < _SATURATED)
    push = 2.0**-50
    while open_rows.size:
        wealth, slope, lowered = _log_wealth(rest[open_rows], s[open_rows], grid)
        short = lowered < target[open_rows]
        open_rows, missing = open_rows[short], ((target[open_rows] - lowered) / slope)[short]
        s[open_rows] = np.minimum(s[open_rows] * (1.0 + push) + missing + push, _SATURATED)
        open_rows = open_rows[s[open_rows] < _SATURATED]
        push *= 2.0
    return np.where(s < _SATURATED, np.minimum(round_up(-np.expm1(-s), 5), 1.0), 1.0)


def _log_wealth(
    rest: NDArray[np.float64], s: NDArray[np.float64], grid: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return ln M(s), its slope, and ln M from below, for rows of 1 - x."""
    m = rest.shape[-1]
    logs, slopes, sizes = (np.zeros((len(s), len(grid))) for _ in range(3))
    growth = np.exp(s)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        for start in range(0, m, _CHUNK):
            grown = rest[:, start : start + _CHUNK] * growth
            for j, g in enumerate(grid):
                gain = g * grown
                factor = (1.0 - g) + gain
                log = np.log(factor)
                logs[:, j] += log.sum(axis=-1)
                sizes[:, j] += np.abs(log).sum(axis=-1)
                slopes[:, j] += (gain / factor).sum(axis=-1)  # NaN where a factor is 0; its weight is 0
    # Half units: 13 for a factor (exp 8, two products, two differences, one sum); of the sum's size 8 for a logarithm,
    # fewer than 27 for the pairwise sum of a chunk, one for each chunk, 5 for what follows; 60 for the mean over bets.
    error = _HALF_UNIT * (13.0 * m + (40.0 + m / _CHUNK) * sizes + 60.0)
    lowered = np.where(np.isfinite(logs), logs - error, -np.inf)
    wealth, weights = _log_mean_exp(logs)
    return wealth, np.where(weights > 0.0, weights * slopes, 0.0).sum(axis=-1), _log_mean_exp(lowered)[0]


def _log_mean_exp(logs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ln of the mean of exp(logs) along the last axis, and each entry's share of it."""
    top = logs.max(axis=-1, keepdims=True)
    relative = np.exp(logs - np.where(np.isfinite(top), top, 0.0))
    total = relative.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return top[:, 0] + np.log(total[:, 0] / logs.shape[-1]), relative / total
