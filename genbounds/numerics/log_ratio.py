"""The log density ratio of two Gaussians at a point that was drawn from one of them and then rounded."""

import math

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["log_ratio_diagonal"]

_BLOCK = 2**15
_UNIT = 2.0**-53
#: Relative error of a summand and of a block's pairwise sum, in half units: fewer than 20 and 27.
_SUM_UNITS = 64


def log_ratio_diagonal(
    point: ArrayLike,
    radius: ArrayLike,
    mean_q: ArrayLike,
    scale_q: ArrayLike,
    mean_p: ArrayLike,
    scale_p: ArrayLike,
) -> np.float64:
    """Return an upper bound of ln Q(B) / P(B) for Gaussians with independent coordinates and a small box B.

    Parameters
    ----------
    point : array_like, shape (d,)
        Centre of the box, such as weights rounded to float32.
    radius : array_like
        Half of the box's length in each coordinate, at least 0: what was rounded away is at most this. With 0 the
        result is the log ratio of the densities at the point.
    mean_q, scale_q, mean_p, scale_p : array_like
        Means and standard deviations, of the shape of `point` or scalars that stand for every coordinate.

    Returns
    -------
    float64
        Nats, of either sign, rounded up.

    Raises
    ------
    ValueError
        If shapes differ, a number is not finite, or a scale is not positive.

    Notes
    -----
    With a = (x - mean_q) / scale_q and z = (x - mean_p) / scale_p a coordinate adds
    g(x) = ln(scale_p / scale_q) + (z^2 - a^2) / 2. Q(B) / P(B) is an average over B of the density ratio, so its
    logarithm is at most the sum over coordinates of the largest g in the box, and within rho of x
    g is at most g(x) + rho |z / scale_p - a / scale_q| + rho^2 / (2 scale_p^2).

    Examples
    --------
    >>> round(float(log_ratio_diagonal([1.0], 0.0, 1.0, 1.0, 0.0, 1.0)), 12)  # z^2 / 2
    0.5
    >>> round(float(log_ratio_diagonal([0.0], 0.0, 0.0, 1.0, 0.0, 2.0)), 12)  # ln 2
    0.69314718056
    """
    names = ("point", "radius", "mean_q", "scale_q", "mean_p", "scale_p")
    arrays = [np.asarray(value) for value in (point, radius, mean_q, scale_q, mean_p, scale_p)]
    shape = arrays[0].shape
    for name, array in zip(names, arrays, strict=True):
        if array.shape not in ((), shape):
            raise ValueError(f"{name} must have the shape of point, {shape}, or none, got {array.shape}. Ravel alike.")
        if not np.isfinite(array).all() or ("scale" in name and not (array > 0).all()):
            raise ValueError(
                f"{name} must be finite, and a scale positive, got {array.min()!r} at least. Look upstream."
            )
        if name == "radius" and (array < 0).any():
            raise ValueError(f"radius must be at least 0, got {array.min()!r}. It is half of the length of a box.")
    flat = [np.broadcast_to(array, shape).reshape(-1) for array in arrays]
    sums, sizes, dimension = [], [], math.prod(shape)
    for start in range(0, dimension, _BLOCK):
        x, rho, mq, sq, mp, sp = (array[start : start + _BLOCK].astype(np.float64) for array in flat)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            a, z, spread = (x - mq) / sq, (x - mp) / sp, np.log(sp / sq)
            slope, steep = np.abs(z / sp - a / sq), np.abs(z / sp) + np.abs(a / sq)
            edge = rho * slope + 0.5 * np.square(rho / sp)
            sums += [(spread + 0.5 * (np.square(z) - np.square(a)) + edge).sum()]
            # What the summands are made of, without cancellation: the rounding of each is relative to this.
            sizes += [(np.abs(spread) + 0.5 * (np.square(z) + np.square(a)) + rho * steep + edge).sum()]
    if not math.isfinite(sum(map(float, sizes))):
        return np.float64(math.inf)
    total = math.fsum(sums) + _SUM_UNITS * _UNIT * (math.fsum(sizes) + dimension)
    return np.float64(math.nextafter(total, math.inf))
