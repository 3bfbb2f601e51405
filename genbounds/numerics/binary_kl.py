r"""Relative entropy between two coins, kl(q, p) = q ln(q/p) + (1-q) ln((1-q)/(1-p)), and its two inverses."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import Float64, nonnegative, unit_interval
from genbounds.numerics.deviance import deviance
from genbounds.numerics.double_double import LOG_RATIO_ERROR, log_ratio, two_product, two_sum

__all__ = ["binary_kl", "kl_lower", "kl_upper"]

_BLOCK = 8192
_HALLEY_STEPS = 3
_SATURATED = 800.0  # exp(-800) is 0
_TINY, _SCALE = 2.0**-500, 2.0**400


def binary_kl(q: ArrayLike, p: ArrayLike) -> Float64:
    """Relative entropy in nats between coins with heads probabilities `q` and `p`.

    Parameters
    ----------
    q, p : array_like
        Probabilities in [0, 1]; they broadcast.

    Returns
    -------
    float64 or ndarray
        kl(q, p) in [0, inf], with a relative error below 1e-14 wherever it is a normal number, also for p next
        to q, to 0 and to 1.

    Raises
    ------
    ValueError
        If a probability is NaN or outside [0, 1].

    Examples
    --------
    >>> float(binary_kl(0.0, 0.5))  # ln 2
    0.6931471805599453
    >>> float(binary_kl(0.25, 0.25 + 2.0**-54))  # d^2 / (2 q (1-q))
    8.217...e-33
    """
    remedy = "It is a probability."
    q, p = np.broadcast_arrays(unit_interval("q", q, remedy), unit_interval("p", p, remedy))
    shape = q.shape
    q, p = np.atleast_1d(q), np.atleast_1d(p)
    d = p - q
    return (deviance(q, p, d) + deviance(1.0 - q, 1.0 - p, -d)).reshape(shape)[()]


def kl_upper(q: ArrayLike, c: ArrayLike) -> Float64:
    """Upper inverse of the binary relative entropy, sup{p in [q, 1] : kl(q, p) <= c}, rounded up.

    Parameters
    ----------
    q : array_like
        Probabilities in [0, 1], such as an empirical risk.
    c : array_like
        Budgets in nats, in [0, inf]; they broadcast against `q`.

    Returns
    -------
    float64 or ndarray
        The least float64 that is provably at or above the inverse: the inverse rounded up, or the float above.

    Raises
    ------
    ValueError
        If `q` is NaN or outside [0, 1], or `c` is NaN or negative.

    Notes
    -----
    kl(q, .) is convex, so a Newton step for kl(q, p) = c from any p in (q, 1) lands outside the level set, at or
    above the inverse. Cheap steps find p, one step in double-double proves: its residual carries an explicit error
    margin, and the sum is rounded up.

    Examples
    --------
    >>> float(kl_upper(0.0, 0.1))  # 1 - exp(-0.1)
    0.0951625819640...
    >>> float(kl_upper(0.02, 0.0))
    0.02
    """
    return _inverse(unit_interval("q", q), nonnegative("c", c, "It is a budget in nats."), upper=True)


def kl_lower(q: ArrayLike, c: ArrayLike) -> Float64:
    """Lower inverse of the binary relative entropy, inf{p in [0, q] : kl(q, p) <= c}, rounded down.

    Parameters
    ----------
    q : array_like
        Probabilities in [0, 1], such as an empirical risk.
    c : array_like
        Budgets in nats, in [0, inf]; they broadcast against `q`.

    Returns
    -------
    float64 or ndarray
        The greatest float64 that is provably at or below the inverse: the inverse rounded down, or the float below.

    Raises
    ------
    ValueError
        If `q` is NaN or outside [0, 1], or `c` is NaN or negative.

    Notes
    -----
    As in `kl_upper`: Newton's step on a convex function lands outside the level set.

    Examples
    --------
    >>> float(kl_lower(1.0, 0.1))  # exp(-0.1)
    0.9048374180359...
    """
    return _inverse(unit_interval("q", q), nonnegative("c", c, "It is a budget in nats."), upper=False)


def _inverse(q: NDArray[np.float64], c: NDArray[np.float64], upper: bool) -> Float64:
    """Invert block by block, so that temporaries stay in the cache; end points have closed forms."""
    q, c = np.broadcast_arrays(q, c)
    shape = q.shape
    q, c = q.ravel(), c.ravel()
    result = np.empty(q.size)
    outermost = 1.0 if upper else 0.0
    for start in range(0, q.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        q_block, c_block = q[block], c[block]
        regular = (c_block > 0.0) & (c_block < np.inf) & (np.nextafter(q_block, outermost) != outermost)
        safe_q, safe_c = np.where(regular, q_block, 0.5), np.where(regular, c_block, 1.0)
        with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
            solved = _certify(safe_q, safe_c, _approximate(safe_q, safe_c, upper), upper)
        ends = np.where(c_block == 0.0, q_block, outermost)
        result[block] = np.where(regular, solved, ends)
    return result.reshape(shape)[()]


def _approximate(q: NDArray[np.float64], c: NDArray[np.float64], upper: bool) -> NDArray[np.float64]:
    """Solve kl(q, p) = c to about nine digits by Halley's method."""
    # The mass that shrinks (1-q above, q below) becomes exp(-y) times itself. With w the ratio of the two masses and
    # v = c over the shrinking one, y solves g(y) = y - ln(1 + w (1 - exp(-y))) / w = v, where g is convex, increasing
    # and at most (1 + w) y^2 / 2.
    scale = np.where(np.maximum(q, c) < _TINY, _SCALE, 1.0)  # kl(s q, s p) = s kl(q, p) there, to 2^-100
    q, c = q * scale, c * scale
    shrinking, growing = (1.0 - q, q) if upper else (q, 1.0 - q)
    w = np.clip(shrinking / growing, 1e-290, 1e300)
    v = np.minimum(c / shrinking, _SATURATED)  # y >= v
    floor = np.maximum(np.sqrt(2.0 * v) / np.sqrt(1.0 + w), 1e-300)
    y = np.clip(np.minimum(v + np.log1p(w) / w, floor + v), floor, _SATURATED)
    for _ in range(_HALLEY_STEPS):
        u = -np.expm1(-y)
        grown = 1.0 + w * u
        step = (y - np.log1p(w * u) / w - v) * grown / (u * (1.0 + w))
        y = np.clip(y - step / (1.0 - 0.5 * step * (1.0 - u) / (u * grown)), floor, _SATURATED)
    y = np.where((1.0 + w) * floor < 1e-8, floor, y)  # g is its parabola there, and its float64 value is rounding noise
    return (q + (1.0 - q) * -np.expm1(-y) if upper else q * np.exp(-y)) / scale


def _certify(
    q: NDArray[np.float64], c: NDArray[np.float64], p: NDArray[np.float64], upper: bool
) -> NDArray[np.float64]:
    """Take the outward Newton step from `p` in double-double, add its error margin and round outward."""
    lowest, highest = (np.nextafter(q, 1.0), 1.0 - 2.0**-53) if upper else (5e-324, np.nextafter(q, 0.0))
    p = np.fmin(np.fmax(p, lowest), highest)  # the proof below needs any p strictly between q and the end
    scale = np.where(np.maximum(q, c) < _TINY, _SCALE, 1.0)  # exact; keeps the products below from underflowing
    tails, tails_low = two_sum(np.ones_like(q), -q)
    ones_p, ones_p_low = two_sum(np.ones_like(p), -p)
    heads = np.maximum(q, 5e-324)  # q = 0 multiplies this logarithm by 0
    log_heads, log_heads_low = log_ratio(p, heads)
    log_tails, log_tails_low = log_ratio(ones_p, np.maximum(tails, 5e-324), ones_p_low, tails_low)
    log_tails, log_tails_low = log_tails * scale, log_tails_low * scale
    q_scaled, c_scaled = q * scale, c * scale

    # -residual = q ln(p/q) + (1-q) ln((1-p)/(1-q)) + c
    first, first_low = two_product(q_scaled, log_heads)
    second, second_low = two_product(tails, log_tails)
    low = (first_low + q_scaled * log_heads_low) + (second_low + tails * log_tails_low + tails_low * log_tails)
    total, error = two_sum(first, second)
    total, error_c = two_sum(total, c_scaled)
    minus_residual = total + (low + error + error_c)

    step_scale = np.where(p < _TINY, _SCALE, 1.0)  # a subnormal step must not be rounded before its direction is known
    inverse_slope = p * step_scale / (p - q) * ones_p
    step = minus_residual * inverse_slope
    size = np.abs(first) + np.abs(second) + c_scaled
    margin = 2.0 * LOG_RATIO_ERROR * size * np.abs(inverse_slope) + 2.0**-49 * np.abs(step)
    step = step + margin if upper else step - margin
    outward = np.inf if upper else -np.inf
    scale = scale * step_scale
    unscaled = step / scale
    inward = unscaled * scale < step if upper else unscaled * scale > step
    unscaled = np.where(inward, np.nextafter(unscaled, outward), unscaled)
    moved, error = two_sum(p, unscaled)
    moved = np.where(error > 0.0 if upper else error < 0.0, np.nextafter(moved, outward), moved)
    return np.minimum(moved, 1.0) if upper else np.maximum(moved, 0.0)
