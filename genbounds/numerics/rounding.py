"""Outward rounding: the last step of every formula that proves."""

import numpy as np

from genbounds.numerics.checks import Float64

__all__ = ["mean_up", "round_down", "round_up"]

#: NumPy's exp, log, expm1, log1p and sqrt stay within four units in the last place; sums and products within one half.
_UNIT = np.finfo(np.float64).eps


def round_up(value: Float64 | float, ulps: int) -> Float64:
    """Return a float64 that is at least the real number that `value` approximates.

    Parameters
    ----------
    value : float64 or ndarray
        Non-negative results of a short computation without cancellation.
    ulps : int
        Relative error of the computation in units of 2^-52: count four for every transcendental
        function and one for every other operation on the longest path.

    Returns
    -------
    float64 or ndarray
        ``value * (1 + ulps * 2^-52)`` stepped one float further; infinities stay.
    """
    return np.nextafter(value * (1.0 + ulps * _UNIT), np.inf)


def round_down(value: Float64 | float, ulps: int) -> Float64:
    """Return a float64 that is at most the non-negative real number that `value` approximates.

    Parameters
    ----------
    value : float64 or ndarray
        Non-negative results of a short computation without cancellation.
    ulps : int
        As in `round_up`.

    Returns
    -------
    float64 or ndarray
        ``value * (1 - ulps * 2^-52)`` stepped one float down, never below 0.
    """
    return np.maximum(np.nextafter(value * (1.0 - ulps * _UNIT), -np.inf), 0.0)


@np.errstate(over="ignore")  # to infinity, an upper bound
def mean_up(values: Float64, ulps: int) -> Float64:
    """Return the mean over the last axis, rounded up.

    Parameters
    ----------
    values : ndarray, shape (..., n)
        Non-negative numbers, at least one along the last axis.
    ulps : int
        Relative error of each, as in `round_up`.

    Returns
    -------
    float64 or ndarray, shape (...)
        At least the mean of the real numbers, in whatever order they are summed.

    Raises
    ------
    ValueError
        If there is no last axis, or nothing along it.

    Examples
    --------
    >>> float(mean_up(np.array([0.25, 0.75]), 0))
    0.5000000000000...
    """
    if np.ndim(values) == 0 or np.shape(values)[-1] == 0:
        raise ValueError(
            f"values must have entries along a last axis, got shape {np.shape(values)}. Pass one an example."
        )
    return round_up(np.mean(values, axis=-1), ulps + np.shape(values)[-1] // 2 + 2)
