"""Range checks shared by every formula: a bad number raises, and nothing is silently clipped.

Each check returns its argument as a float64 array (or NumPy scalar), so that a formula reads
``risk = unit_interval("risk", risk)`` and goes on in float64. Every error names the argument, what it
must be, the offending value and the next step.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: What a formula returns: a float64 scalar for scalar arguments, an array otherwise.
Float64: TypeAlias = np.float64 | NDArray[np.float64]

__all__ = [
    "Float64",
    "confidence",
    "count",
    "finite",
    "log_probability",
    "nonnegative",
    "positive",
    "unit_interval",
]


def _fail(name: str, wanted: str, values: NDArray[Any], bad: NDArray[Any], remedy: str) -> None:
    first = np.asarray(values)[np.asarray(bad)].ravel()[0].item()
    raise ValueError(f"{name} must be {wanted}, got {first!r}. {remedy}".strip())


def _float64(name: str, value: ArrayLike, remedy: str) -> NDArray[np.float64]:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be a real number, got {value!r} (dtype {array.dtype}). {remedy}".strip())
    array = array.astype(np.float64) + 0.0  # no negative zero
    if np.isnan(array).any():
        _fail(name, "a number", array, np.isnan(array), f"NaN proves nothing: look for it upstream. {remedy}")
    return array


def unit_interval(
    name: str, value: ArrayLike, remedy: str = "Rescale a loss from its declared range to [0, 1] first."
) -> NDArray[np.float64]:
    """Return `value` as float64, in [0, 1].

    Parameters
    ----------
    name : str
        Argument's name, for the error.
    value : array_like
        Values to check.
    remedy : str
        Next step, appended to the error.

    Returns
    -------
    ndarray
        The values in float64.

    Raises
    ------
    ValueError
        If a value is NaN or outside [0, 1].
    """
    array = _float64(name, value, remedy)
    bad = (array < 0) | (array > 1)
    if bad.any():
        _fail(name, "in [0, 1]", array, bad, remedy)
    return array


def finite(name: str, value: ArrayLike, remedy: str = "Look for the overflow upstream.") -> NDArray[np.float64]:
    """Return `value` as float64, any finite real number.

    Parameters
    ----------
    name : str
        Argument's name, for the error.
    value : array_like
        Values to check.
    remedy : str
        Next step, appended to the error.

    Returns
    -------
    ndarray
        The values in float64.

    Raises
    ------
    ValueError
        If a value is NaN or infinite.
    """
    array = _float64(name, value, remedy)
    if np.isinf(array).any():
        _fail(name, "finite", array, np.isinf(array), remedy)
    return array


def nonnegative(name: str, value: ArrayLike, remedy: str = "") -> NDArray[np.float64]:
    """Return `value` as float64, in [0, inf].

    Parameters
    ----------
    name : str
        Argument's name, for the error.
    value : array_like
        Values to check; infinity is allowed.
    remedy : str
        Next step, appended to the error.

    Returns
    -------
    ndarray
        The values in float64.

    Raises
    ------
    ValueError
        If a value is NaN or negative.
    """
    array = _float64(name, value, remedy)
    if (array < 0).any():
        _fail(name, "non-negative", array, array < 0, remedy)
    return array


def positive(name: str, value: ArrayLike, remedy: str = "") -> NDArray[np.float64]:
    """Return `value` as float64, in (0, inf).

    Parameters
    ----------
    name : str
        Argument's name, for the error.
    value : array_like
        Values to check.
    remedy : str
        Next step, appended to the error.

    Returns
    -------
    ndarray
        The values in float64.

    Raises
    ------
    ValueError
        If a value is NaN, infinite or not positive.
    """
    array = _float64(name, value, remedy)
    bad = (array <= 0) | np.isinf(array)
    if bad.any():
        _fail(name, "positive and finite", array, bad, remedy)
    return array


def confidence(
    name: str, value: ArrayLike, remedy: str = "It is the probability that the bound may fail, such as 0.05."
) -> NDArray[np.float64]:
    """Return `value` as float64, strictly inside (0, 1).

    Parameters
    ----------
    name : str
        Argument's name, for the error.
    value : array_like
        Probabilities with which a bound may fail.
    remedy : str
        Next step, appended to the error.

    Returns
    -------
    ndarray
        The values in float64.

    Raises
    ------
    ValueError
        If a value is NaN or outside (0, 1).
    """
    array = _float64(name, value, remedy)
    bad = (array <= 0) | (array >= 1)
    if bad.any():
        _fail(name, "strictly between 0 and 1", array, bad, remedy)
    return array


def log_probability(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return `value` as float64, in [-inf, 0].

    Parameters
    ----------
    name : str
        Argument's name, for the error.
    value : array_like
        Natural logarithms of probabilities.

    Returns
    -------
    ndarray
        The values in float64.

    Raises
    ------
    ValueError
        If a value is NaN or positive.
    """
    remedy = "It is the logarithm of a probability, such as math.log(0.05)."
    array = _float64(name, value, remedy)
    if (array > 0).any():
        _fail(name, "at most 0", array, array > 0, remedy)
    return array


def count(name: str, value: ArrayLike, minimum: int = 1, remedy: str = "") -> NDArray[np.float64]:
    """Return a whole number (of examples, errors, draws) as float64, which is exact below 2^53.

    Parameters
    ----------
    name : str
        Argument's name, for the error.
    value : array_like
        Whole numbers; floats with an integer value are accepted.
    minimum : int
        Smallest value allowed.
    remedy : str
        Next step, appended to the error.

    Returns
    -------
    ndarray
        The values in float64.

    Raises
    ------
    ValueError
        If a value is NaN, not whole, below `minimum` or not below 2^53, where n + 1 is not a float any more.
    """
    array = _float64(name, value, remedy)
    bad = (array < minimum) | (array != np.floor(array)) | (array >= 2.0**53)
    if bad.any():
        limit = " and below 2^53" if (array >= 2.0**53).any() else ""
        _fail(name, f"a whole number of at least {minimum}{limit}", array, bad, remedy)
    return array
