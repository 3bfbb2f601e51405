r"""The distribution function of a quadratic form at any depth, by inverting its Laplace transform along a contour.

With X = Q - offset, x = level - offset and ``L(t) = E exp(-t X)``, for every contour C from below to above that passes
the real line at t0 > 0 and leaves the cut ``t <= -1 / (2 max w)`` and the pole 0 on its left,

    ``P(X <= x) = (1 / 2 pi i) int_C exp(t x) L(t) / t dt``,

and with ``-1 / (2 max w) < t0 < 0`` minus the same integral is P(X > x), which keeps information near zero accurate.

The contour is a hyperbola through the saddle t0 of the integrand [Rice1980],

    ``t = t0 + |t0| (-A (cosh u - 1) + i B sinh u)``,   ``A = BEND B``,   ``B = BEND / (2 kappa)``,

whose curvature ``-2 kappa`` at t0 is that of the path of steepest descent, ``kappa = |t0 phi'''| / (6 phi'')`` for
``phi = t x + ln L - ln t``. It runs off to the left, where exp(t x) makes the integrand vanish however few the
dimensions are. In u the integrand is analytic in a strip and falls off doubly exponentially, so the trapezoidal rule
converges geometrically [TrefethenWeideman2014]; everything is taken relative to the value at t0, so that no depth
underflows. Steps are halved until two sums agree.
"""

import math

import numpy as np
from numpy.typing import NDArray

from genbounds.rare_events.quadratic.saddles import Saddle, saddle

__all__ = ["log_tail"]

#: Cotangent of the angle between the real line and the ends of the contour.
BEND = 0.5
#: Smallest curvature of the contour, in units of the width of the integrand at the saddle.
_STRAIGHT = 0.05
#: Logarithm of what is left out of the integrand.
_NEGLIGIBLE = -42.0
#: Relative difference of two sums at which halving stops, and how often it is tried.
_AGREE, _HALVINGS = 1e-12, 6
_FIRST = 24
_BLOCK = 2**19
_UNIT = 2.0**-52


def log_tail(
    weights: NDArray[np.float64], squares: NDArray[np.float64], x: NDArray[np.float64], *, upper: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ln P(X <= x), or ln P(X > x).

    Parameters
    ----------
    weights : ndarray, shape (n,)
        w_i, positive, the largest of them 1; n >= 1.
    squares : ndarray, shape (n,)
        d_i^2.
    x : ndarray, shape (k,)
        Levels, positive: below the mean of X, or for `upper` at the mean and above.
    upper : bool
        Which of the two.

    Returns
    -------
    value : ndarray, shape (k,)
        Natural logarithms.
    error : ndarray, shape (k,)
        Estimated absolute error: what the last halving of the step changed, what was cut off, and rounding. Infinite
        where no digit is left, at noncentralities of some 1e30.
    """
    value, error = np.empty(len(x)), np.empty(len(x))
    block = max(1, _BLOCK // (_FIRST * len(weights)))
    for start in range(0, len(x), block):
        part = slice(start, start + block)
        point = saddle(weights, squares, x[part], upper=upper, pole=1)
        with np.errstate(over="ignore", invalid="ignore"):  # sizes and phases beyond 1e16 are noise
            integral, change, width = _integral(point, squares)
        terms = np.stack([np.log(point.b) / 2, -squares * point.p / 2]).sum(-1)
        size = np.abs(point.tx) + np.abs(terms).sum(0) + math.sqrt(len(weights))
        rounding = change + 16 * _UNIT * size * (1 + 8 * width)
        logs = point.tx + terms.sum(0) + np.log(np.where(integral > 0, integral, 1.0))
        known = (integral > 0) & (rounding < np.inf) & (logs < 0)
        value[part] = np.where(known, logs, -1.0)
        error[part] = np.where(known, rounding, np.inf)
    return value, error


def _integral(
    point: Saddle, squares: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the integral relative to the integrand at the saddle, how much the last halving changed, and the width."""
    p, b, sign = np.abs(point.p), point.b, np.sign(point.tx)
    second = 1 + (p**2 * (0.5 + squares * b)).sum(-1)
    third = 2 * sign + (p**3 * (1 + 3 * squares * b)).sum(-1)
    kappa = np.maximum(third / (6 * second), _STRAIGHT * np.sqrt(second))
    reach, tx = (BEND / (2 * kappa))[:, None], np.abs(point.tx)[:, None]

    def path(u: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Logarithm of modulus and phase of the integrand relative to the saddle's."""
        along, across = -BEND * reach * (np.cosh(u) - 1), reach * np.sinh(u)
        z = along + 1j * across
        pole = 1 + sign[:, None] * z
        shift, im = p[:, None] * along[..., None], p[:, None] * across[..., None]
        re = 1 + shift
        modulus = re**2 + im**2
        size = tx * along - np.log(np.abs(pole)) - np.log(modulus).sum(-1) / 4
        phase = tx * across - np.angle(pole) - np.arctan2(im, re).sum(-1) / 2
        if squares.any():  # minus d^2 b / 2 times p z / (1 + p z)
            share = squares * b / 2
            size -= ((shift * re + im**2) / modulus @ share[..., None])[..., 0]
            phase -= ((im / modulus) @ share[..., None])[..., 0]
        return size, phase

    def integrand(u: NDArray[np.float64]) -> NDArray[np.float64]:
        size, phase = path(u)
        slope = reach * (np.cosh(u) + 1j * BEND * np.sinh(u))
        return np.exp(size) * (np.cos(phase) * slope.real - np.sin(phase) * slope.imag)

    # The end of the contour: beyond it the integrand has vanished.
    coarse = np.arange(0.25, 9, 0.25)
    alive = path(coarse)[0] + coarse > _NEGLIGIBLE
    end = 0.25 * (2 + np.where(alive, np.arange(len(coarse)), -1).max(-1))[:, None]

    steps = _FIRST
    nodes = np.arange(steps + 1) / steps
    values = integrand(end * nodes)
    total = values.sum(-1) - values[:, 0] / 2
    for _ in range(_HALVINGS):
        middle = integrand(end * (nodes[:-1] + 0.5 / steps)).sum(-1)
        change = np.abs(middle - total) / np.abs(middle + total)
        total, steps = total + middle, 2 * steps
        nodes = np.arange(steps + 1) / steps
        if (change <= _AGREE).all():
            break
    # What was cut off falls doubly exponentially from the modulus at the end: over all u it adds up to less than that.
    last = np.exp(path(end)[0]) * (1 + BEND) * reach * np.cosh(end)
    change += steps * np.abs(last[:, 0] / total)
    return total * end[:, 0] / steps / math.pi, change, 1 / np.sqrt(second)
