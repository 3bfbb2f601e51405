"""How well one affine function of a measure predicts the gap of a single network, wherever it comes from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.measures.predictiveness.runs import joint_codes, paired_ranks, setting_codes
from genbounds.numerics.checks import count, finite

__all__ = ["RobustFit", "robust_regression"]

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class RobustFit:
    """The affine predictor whose worst environment is best.

    Attributes
    ----------
    slope, intercept : float
        The gap is predicted as slope times measure plus intercept; slope >= 0.
    error : float
        Root of the mean square error in the worst environment, in units of the gap. The fit has seen it: it is no
        promise for other networks.
    baseline : float
        The same for the best constant, which knows no measure; never below `error`.
    at_least : float
        What no such predictor is below, by weights on the environments: `error` but for rounding. Where it is clearly
        less, `error` need not be the least: the measure spans more decades than float64 resolves (take a logarithm), or
        the fit is perfect to rounding.
    environments : int
        Environments of two runs or more.
    """

    slope: float
    intercept: float
    error: float
    baseline: float
    at_least: float
    environments: int


@dataclass(frozen=True)
class _Moments:
    """Within each environment: means of measure (x) and gap (y), variance of x, least-squares slope, variance left."""

    x: Float64
    y: Float64
    xx: Float64
    slope: Float64
    left: Float64

    def own(self, a: float) -> Float64:
        """Return the best intercept of each environment for a slope."""
        return self.y - a * self.x

    def spread(self, a: float) -> Float64:
        """Return the mean square error of each environment at its own intercept, as a sum of what is not negative."""
        return self.xx * np.square(a - self.slope) + self.left

    def errors(self, a: float, b: float) -> Float64:
        """Return the mean square error of each environment."""
        return np.square(b - self.own(a)) + self.spread(a)


def robust_regression(
    measure: ArrayLike, gap: ArrayLike, settings: Mapping[str, Sequence[Any] | NDArray[Any]], *, fixed: int
) -> RobustFit:
    """Minimise the mean square error of a * measure + b in the worst environment, with a >= 0 [Dziugaite2020]_.

    Parameters
    ----------
    measure, gap : array_like, shape (n,)
        One finite number for each run. Unlike rank statistics this depends on the scale: a product of norms may need
        its logarithm first.
    settings : mapping of str to sequence, length n
        What was varied, without the seed: runs of equal settings are repeats of one configuration.
    fixed : int
        Number of hyper-parameters that an environment holds fixed: all of them, so that environments are
        configurations; all but one, lines; 1, all runs with one value of one of them; 0, all runs, where the fit is
        least squares.

    Returns
    -------
    RobustFit
        The optimum, and a lower limit that proves it.

    Raises
    ------
    ValueError
        If the columns do not fit, `fixed` is above the number of hyper-parameters, or no environment has two runs.

    Notes
    -----
    With c_e = E_e[gap] - a E_e[measure] and v_e = Var_e(gap - a measure) the error of environment e is
    (b - c_e)^2 + v_e. For fixed a the best b is where the two parabolas that matter cross: they are exchanged until no
    other is above. The value is convex in a, and the weights that balance the two parabolas give its slope, so a is
    found by bisection; the weights of both ends of the last bracket, mixed to slope 0, are the dual solution.

    Examples
    --------
    >>> fit = robust_regression([0, 1, 2, 3], [1, 3, 5, 7], {"width": [1, 1, 2, 2]}, fixed=1)
    >>> round(fit.slope, 9), round(fit.intercept, 9), round(fit.baseline, 9)
    (2.0, 1.0, 2.236067977)
    """
    codes = setting_codes(settings, len(paired_ranks(measure, gap)[0]))
    x, y = finite("measure", measure), finite("gap", gap)
    if np.abs(y).max() > 1e150:
        raise ValueError(f"gap must have squares that float64 holds, got {np.abs(y).max():.3g}. Rescale it.")
    held = int(count("fixed", fixed, minimum=0))
    if held > len(codes):
        raise ValueError(f"fixed must be at most {len(codes)}, the number of hyper-parameters, got {held}. Lower it.")
    # Squares of large norms would overflow, and a column that does not vary has to be 0 to the last bit.
    scale = float(np.abs(x).max()) or 1.0
    x, start, origin = x / scale - x[0] / scale, float(x[0]) / scale, float(y[0])
    parts = [_within(x, y - origin, joint_codes(codes, axes)) for axes in combinations(codes, held)]
    table = np.concatenate(parts, axis=1)
    if not table.size:
        raise ValueError("settings must leave two runs in an environment, got one in each. Repeat, or lower `fixed`.")
    mean_x, mean_y, xx, slope, left = table
    middle, wide = _scale(mean_x, xx)
    height, high = _scale(mean_y, xx * slope**2 + left)
    found = _Moments(
        (mean_x - middle) / wide, (mean_y - height) / high, xx / wide**2, slope * wide / high, left / high**2
    )
    a, b, least = _solve(found)
    flat = _intercept(found, 0.0)[0]
    return RobustFit(
        a * high / wide / scale,
        origin + height + high * b - a * high / wide * (start + middle),
        high * math.sqrt(found.errors(a, b).max()),
        high * math.sqrt(found.errors(0.0, flat).max()),
        min(high * math.sqrt(least), high * math.sqrt(found.errors(a, b).max())),
        table.shape[1],
    )


def _within(x: Float64, y: Float64, code: NDArray[np.int64]) -> Float64:
    """Return what `_Moments` holds, for each group of two runs or more: shape (5, groups)."""
    runs = np.bincount(code)

    def mean(values: Float64) -> Float64:
        return np.bincount(code, values) / runs

    dx, dy = x - mean(x)[code], y - mean(y)[code]
    xx = mean(dx * dx)
    slope = np.divide(mean(dx * dy), xx, where=xx > 0, out=np.zeros(len(xx)))
    return np.stack([mean(x), mean(y), xx, slope, mean(np.square(dy - slope[code] * dx))])[:, runs > 1]


def _scale(means: Float64, variances: Float64) -> tuple[float, float]:
    """Return mean and standard deviation over environments of equal weight; 1 instead of a deviation of 0."""
    middle = float(means.mean())
    return middle, math.sqrt(float((variances + (means - middle) ** 2).mean())) or 1.0


def _intercept(m: _Moments, a: float) -> tuple[float, Float64]:
    """Return the best b for a slope a, and weights on the environments under which it is the mean of their own."""
    own = m.own(a)
    left = right = int(np.argmax(m.spread(a)))
    b = own[left]
    for _ in own:
        errors = m.errors(a, b)
        top = int(np.argmax(errors))
        if errors[top] <= max(errors[left], errors[right]) * (1 + 1e-15):
            break
        left, right = (left, top) if own[top] > b else (top, right)
        if own[left] >= own[right]:
            break
        # Where both parabolas are as high: by the difference of their values at b, which is no difference of squares.
        drop = (errors[left] - errors[right]) / (own[right] - own[left]) / 2
        b = min(max(b - drop, own[left]), own[right])
    weights = np.zeros(len(own))
    share = (own[right] - b) / (own[right] - own[left]) if own[right] > own[left] else 1.0
    weights[left] += share
    weights[right] += 1 - share
    return float(b), weights


def _solve(m: _Moments) -> tuple[float, float, float]:
    """Return the best a >= 0 and b in standardised units, and a lower limit of the worst error."""

    def slope(a: float, b: float, weights: Float64) -> float:
        return float(weights @ (m.xx * (a - m.slope) + m.x * (b - m.own(a))))

    low, (b, weights) = 0.0, _intercept(m, 0.0)
    falling = slope(low, b, weights)
    if falling >= 0:
        return 0.0, b, _lower_limit(m, weights)
    # The mean over environments is at least (a - correlation)^2: beyond this it exceeds the worst error at a = 0.
    high = 2 + math.sqrt(float(np.max(m.errors(0.0, b))))
    up, above = _intercept(m, high)
    rising = slope(high, up, above)
    best = (float(np.max(m.errors(0.0, b))), 0.0, b)
    for _ in range(64):
        middle = (low + high) / 2
        b, there = _intercept(m, middle)
        best = min(best, (float(np.max(m.errors(middle, b))), middle, b))
        turn = slope(middle, b, there)
        if turn < 0:
            low, weights, falling = middle, there, turn
        else:
            high, above, rising = middle, there, turn
    share = rising / (rising - falling)
    return best[1], best[2], _lower_limit(m, share * weights + (1 - share) * above)


def _lower_limit(m: _Moments, weights: Float64) -> float:
    """Return the least weighted mean of the errors over all b and a >= 0: no worst error is below it."""
    x, y = m.x - weights @ m.x, m.y - weights @ m.y
    xx, xy = float(weights @ (m.xx + x * x)), float(weights @ (m.xx * m.slope + x * y))
    a = max(0.0, xy) / xx if xx > 0 else 0.0
    # The errors at the minimum are sums of squares: their mean does not cancel, as a difference of moments would.
    return float(weights @ m.errors(a, float(weights @ m.own(a))))
