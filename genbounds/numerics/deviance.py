"""a ln(a/b) + b - a without cancellation: the one kernel behind every relative entropy in this room.

The binary relative entropy is a sum of two of these, a Gaussian's relative entropy is a sum over its scales, and
Loader's form of the binomial probability is its exponential.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["deviance"]

#: Coefficients of artanh(r)/r - 1 = r^2 (1/3 + r^2/5 + ...); for r^2 <= 1/16 the terms left out are below 2^-55.
_ARTANH = [1.0 / k for k in range(27, 1, -2)]
_NEAR = 0.4


def deviance(a: NDArray[np.float64], b: NDArray[np.float64], difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a ln(a/b) + b - a, half the Poisson deviance, which is non-negative.

    Parameters
    ----------
    a, b : ndarray
        Non-negative masses, of one shape.
    difference : ndarray
        b - a. It is an argument because it must be right to a few units in its last place also where b is
        next to a; where `a` and `b` are floats themselves, ``b - a`` is.

    Returns
    -------
    ndarray
        Values with a relative error below 1e-14; infinity where b = 0 < a, and b where a = 0.

    Notes
    -----
    With x = (b - a)/a this is a (x - ln(1 + x)). Near x = 0, with r = x/(2 + x), ln(1 + x) = 2 artanh(r) gives
    x - ln(1 + x) = r (x - 2 r^2 (1/3 + r^2/5 + r^4/7 + ...)), where nothing cancels.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x = difference / a
        near = np.abs(x) <= _NEAR
        r = np.where(near, x, 0.0)
        r = r / (2.0 + r)
        square = r * r
        series = np.full_like(r, _ARTANH[0])
        for coefficient in _ARTANH[1:]:
            series = series * square + coefficient
        result = a * (r * (x - 2.0 * square * series))
        far = ~near
        if far.any():
            a, b, difference = a[far], b[far], difference[far]
            ratio = b / a
            extreme = (ratio < 1e-290) | (ratio > 1e290)  # next to underflow or overflow
            log = np.log(np.where(extreme, b, ratio)) - np.where(extreme, np.log(a), 0.0)
            result[far] = np.where(a == 0.0, difference, difference - a * log)
    return result
