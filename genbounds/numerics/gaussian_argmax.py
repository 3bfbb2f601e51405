"""Probability that the largest of several Gaussian scores is not the right one, rounded up: an exact Gibbs risk."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

__all__ = ["argmax_error", "pairwise_error"]

#: Relative error allowed to the normal distribution function; SciPy's is below 1e-14 at -9 and 3e-13 at -38.
_NORMAL_ERROR = 2.0**-41
#: Error of the trapezoidal sum that its step is chosen for.
_REMAINDER = 2.0**-34
#: Halves of the strip in which the integrand is bounded, of which each example takes the best.
_STRIPS = 2.0 ** np.arange(2.0, -9.5, -0.5)
_END = 8.5
_SMALLEST_STEP = 2.0**-9
_BLOCK = 2**20


def pairwise_error(margins: ArrayLike, deviations: ArrayLike) -> NDArray[np.float64]:
    """Bound the probability that some of several jointly Gaussian margins is not positive, for any correlation.

    Parameters
    ----------
    margins, deviations : array_like, shape (..., m)
        Means and standard deviations of the margins: the right score minus each of the others. A deviation of 0 is
        a margin that is not random.

    Returns
    -------
    ndarray, shape (...)
        The union bound, the sum of Phi(-margin / deviation), at most 1 and rounded up. With one margin (two classes)
        it is the probability itself (probit).

    Raises
    ------
    ValueError
        If shapes differ, a margin is not finite, or a deviation is negative or not finite.

    Examples
    --------
    >>> round(float(pairwise_error([1.0], [2.0])), 12)  # Phi(-1/2)
    0.308537538726
    """
    mean, deviation = np.asarray(margins, np.float64), np.asarray(deviations, np.float64)
    _check("margins", mean, "deviations", deviation)
    certain = (deviation == 0) & (mean > 0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # a quotient beyond all floats is not certain
        z = np.where(deviation > 0, mean / deviation, -np.inf)
    # A quotient one unit off changes Phi(-z) by a relative z^2 units: a step towards the error covers it.
    each = ndtr(-np.nextafter(z, -np.inf))
    # The smallest float stands for what underflows.
    each = np.where(certain, 0.0, np.maximum(each, np.finfo(np.float64).tiny))
    return np.minimum(1.0, each.sum(axis=-1) * (1.0 + (2.0 * _NORMAL_ERROR + mean.shape[-1] * 2.0**-52)))


def argmax_error(mean: ArrayLike, scale: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    r"""Return the probability that the largest of independent Gaussian scores is not that of the target, rounded up.

    Parameters
    ----------
    mean, scale : array_like, shape (n, K)
        Means and standard deviations (not negative) of K independent scores for each of n examples.
    target : array_like of int, shape (n,)
        Index of the right score.

    Returns
    -------
    ndarray, shape (n,)
        At or above the probability of an error; above it by 2^-34 + K 2^-37 (2e-10 for ten classes), or, where the
        target's scale is about 100 times another, by what separates the union bound from it.

    Raises
    ------
    ValueError
        If shapes do not fit, a mean is not finite, a scale is negative or not finite, or a target is out of range.

    Notes
    -----
    With y the target, the right score wins with probability I = integral f, f(t) = phi(t) prod_{k != y} Phi(x_k(t)),
    x_k(t) = (m_y + s_y t - m_k) / s_k. The trapezoidal sum h sum_j f(j h) over all integers differs from I by at most
    2 M / (e^{2 pi a / h} - 1) if M bounds the integral of abs(f) over every line in the strip abs(Im t) < a (Trefethen
    and Weideman 2014, Theorem 5.1). As abs(phi(x + i v)) = phi(x) e^{v^2 / 2},

        abs(Phi(x + i v)) <= Phi(x) + abs(int_0^v phi(x + i u) du) <= 1 + abs(v) e^{v^2 / 2} / sqrt(2 pi),

    so that M = e^{a^2 / 2} prod_k (1 + b_k a e^{b_k^2 a^2 / 2} / sqrt(2 pi)) with b_k = s_y / s_k will do. For the best
    a of a list the step is the power of two at which the error is below 2^-34, which is added. Terms beyond 8.5 are
    positive and left out.

    Floating point: arguments are right to 3 * 8.5 * 100 units or better, where b <= 100, which changes a product of
    K - 1 factors that is above 1e-18 by a relative 11 K times that; with errors of 2^-41 in each Phi this is below
    K 2^-37, which is added.

    Examples
    --------
    >>> value = argmax_error([[0.0, 0.0, 0.0]], [[1.0, 1.0, 1.0]], [1])  # three alike: 2/3
    >>> bool(2 / 3 <= value[0] < 2 / 3 + 2e-10)
    True
    """
    m, s, y = np.asarray(mean, np.float64), np.asarray(scale, np.float64), np.asarray(target)
    _check("mean", m, "scale", s)
    if m.ndim != 2 or m.shape[1] < 2 or y.shape != m.shape[:1] or y.dtype.kind not in "iu":
        raise ValueError(
            f"mean must be of shape (n, K), K >= 2, and target of n whole numbers, got {m.shape} and {y.shape} "
            f"({y.dtype}). One row belongs to one example."
        )
    if y.size and not 0 <= y.min() <= y.max() < m.shape[1]:
        raise ValueError(f"target must be in 0..{m.shape[1] - 1}, got {y.min()} and {y.max()}. Count classes from 0.")
    rows = np.arange(len(y))
    others = np.arange(m.shape[1])[None, :] != y[:, None]
    shape = (len(y), m.shape[1] - 1)
    margin, rest = (m[rows, y][:, None] - m)[others].reshape(shape), s[others].reshape(shape)
    own = np.broadcast_to(s[rows, y][:, None], shape)
    # A difference of means is off by half a unit at most: one step down. Likewise the deviation, towards the error.
    margin = np.nextafter(margin, -np.inf)
    deviation = np.hypot(own, rest)
    result = pairwise_error(margin, np.where(margin > 0, deviation * (1 + 2.0**-50), deviation * (1 - 2.0**-50)))
    if shape[1] == 1:
        return result
    open_ = np.flatnonzero((result > _REMAINDER) & (own < 100 * rest).all(axis=1))
    offset, slope = margin[open_] / rest[open_], own[open_] / rest[open_]
    steps = _steps(slope)
    for step in np.unique(steps[steps >= _SMALLEST_STEP]):
        t = np.arange(-np.floor(_END / step), np.floor(_END / step) + 1) * step
        weights = step * np.exp(-0.5 * t * t) / np.sqrt(2.0 * np.pi)
        chosen = np.flatnonzero(steps == step)
        for part in np.split(chosen, range(size := max(1, _BLOCK // len(t)), len(chosen), size)):
            product = np.broadcast_to(weights, (len(part), len(t)))
            for k in range(shape[1]):
                product = product * ndtr(offset[part, k, None] + slope[part, k, None] * t)
            error = np.maximum(1.0 - product.sum(axis=1), 0.0) + (_REMAINDER + m.shape[1] * 2.0**-37)
            result[open_[part]] = np.minimum(result[open_[part]], error)
    return result


def _steps(slope: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest power of two that is a step with the remainder wanted, row by row."""
    best = np.zeros(len(slope))
    for a in _STRIPS:
        v = slope * a
        with np.errstate(over="ignore"):
            log_m = 0.5 * a * a + np.log1p(0.4 * v * np.exp(0.5 * v * v)).sum(axis=1)
        best = np.maximum(best, 2.0 * np.pi * a / (log_m + np.log(2.0 / _REMAINDER) + 1e-9))
    return 2.0 ** np.floor(np.log2(best * (1.0 - 1e-9)))


def _check(name: str, value: NDArray[np.float64], spread: str, deviation: NDArray[np.float64]) -> None:
    if value.shape != deviation.shape or not value.ndim:
        raise ValueError(f"{name} and {spread} must be of one shape, got {value.shape} and {deviation.shape}.")
    if not np.isfinite(value).all():
        raise ValueError(f"{name} must be finite, got {value[~np.isfinite(value)][0]}. Look upstream for the overflow.")
    if not (np.isfinite(deviation) & (deviation >= 0)).all():
        raise ValueError(f"{spread} must be finite and not negative, got {np.nanmin(deviation)}. It is a square root.")
