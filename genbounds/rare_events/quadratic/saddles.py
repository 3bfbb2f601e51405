r"""Where the Laplace transform of a quadratic form is balanced against a level: the tilts of all four routes.

For X = Q - offset and x = level - offset let ``L(t) = E exp(-t X)``, which is
``prod a_i^(-1/2) exp(-d_i^2 (1 - 1 / a_i) / 2)`` with ``a_i = 1 + 2 w_i t``. Everything is said in the dimensionless

    ``p_i = 2 w_i t / a_i``,   ``b_i = 1 / a_i = 1 - p_i``:

    ``t E_t X = sum p (1 + d^2 b) / 2``,  ``t^2 Var_t X = sum p^2 (1/2 + d^2 b)``,  ``ln L = sum (ln b - d^2 p) / 2``

under the tilt exp(-t X). The point sought is the t with ``x t = pole + sum p (1 + d^2 b) / 2``: with pole = 0 the tilt
whose mean is x; with pole = 1 the minimum of ``|exp(t x) L(t) / t|`` on the real line, where contours of the inversion
cross it. It is positive for the lower tail and negative, above ``-1 / (2 max w)``, for the upper one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Saddle", "saddle"]

_STEPS = 200


@dataclass(frozen=True, eq=False)
class Saddle:
    """A point t of the real line for each of k levels.

    Attributes
    ----------
    tx : ndarray, shape (k,)
        t times x, of the sign of t.
    p, b : ndarray, shape (k, n)
        ``2 w t / (1 + 2 w t)`` and ``1 / (1 + 2 w t)``.
    """

    tx: NDArray[np.float64]
    p: NDArray[np.float64]
    b: NDArray[np.float64]


def saddle(
    weights: NDArray[np.float64], squares: NDArray[np.float64], x: NDArray[np.float64], *, upper: bool, pole: int
) -> Saddle:
    """Return the balanced points.

    Parameters
    ----------
    weights : ndarray, shape (n,)
        w_i, positive, the largest of them 1.
    squares : ndarray, shape (n,)
        d_i^2.
    x : ndarray, shape (k,)
        Levels above the offset, positive. For pole = 0 below the mean of X, or above it for `upper`.
    upper : bool
        Whether t is negative.
    pole : {0, 1}
        What is added to the right-hand side.

    Returns
    -------
    Saddle
        The points, to a relative accuracy of 1e-12 or better.
    """
    mean, variance = (weights * (1 + squares)).sum(), 2 * (weights**2 * (1 + 2 * squares)).sum()
    # Ends of an interval that holds the root, in ln t for the lower tail and in the logit of -2 t for the upper.
    if upper:
        gap = (x - mean) / (x + np.sqrt(mean) * np.sqrt(x))  # 1 - sqrt(mean / x), since E_t X <= mean / (1 + 2t)^2
        low = np.minimum(np.maximum(gap, pole / (2 + mean)), 0.5)
        low, high = np.log(low) - np.log1p(-low), np.log(x + 4 * pole)
    else:
        low = -np.log(x) if pole else np.log((mean - x) / variance)  # E_t X >= mean - t variance
        high = np.log(pole + len(weights) / 2 + squares.sum() / 8) - np.log(x)  # p b <= 1 / 4
    low, high = low - 1e-9, high + 1e-9
    at, sign = (low + high) / 2, -1 if upper else 1
    for _ in range(_STEPS):
        tx, p, b = _at(weights, x, at, upper)
        right, slope = sign * (p * (1 + squares * b)).sum(-1) / 2, sign * (p * b * (1 + squares * (b - p))).sum(-1) / 2
        if upper:
            value = np.log(right) - np.log(pole - tx)
            slope = (slope / right + tx / (pole - tx)) / (1 + np.exp(at))
        else:
            value = np.log(tx) - np.log(pole + right)
            slope = 1 - slope / (pole + right)
        low, high = np.where(value < 0, at, low), np.where(value > 0, at, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            to = at - value / slope
        to = np.where((to > low) & (to < high), to, (low + high) / 2)
        if (np.abs(to - at) <= 1e-12 * (1 + np.abs(at))).all():
            break
        at = to
    return Saddle(*_at(weights, x, at, upper))


def _at(
    weights: NDArray[np.float64], x: NDArray[np.float64], at: NDArray[np.float64], upper: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return t x, p and b."""
    if not upper:
        v = 2 * weights * np.exp(at)[:, None]
        b = 1 / (1 + v)
        return np.exp(at) * x, v * b, b
    sigma, rest = 1 / (1 + np.exp(-at)), 1 / (1 + np.exp(at))  # -2t and 1 + 2t
    b = 1 / ((1 - weights) + weights * rest[:, None])
    return -sigma / 2 * x, -weights * sigma[:, None] * b, b
