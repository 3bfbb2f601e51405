"""What a field of a certificate must be: checks that say where in the file they fail."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from genbounds.certificates.errors import CertificateError, shown

__all__ = ["number", "one_of", "plain", "probability", "rows", "table", "text", "whole"]


def text(path: str, value: Any) -> str:
    """Return `value`, a string that is not empty.

    Parameters
    ----------
    path : str
        Where it stands.
    value : object
        What stands there.

    Returns
    -------
    str
        The same string.

    Raises
    ------
    CertificateError
        If it is not a string, or empty.
    """
    if not isinstance(value, str) or not value.strip():
        raise CertificateError(path, f"must be a text that is not empty, got {shown(value)}.")
    return value


def one_of(path: str, value: Any, choices: Sequence[str]) -> str:
    """Return `value`, one of a few words.

    Parameters
    ----------
    path : str
        Where it stands.
    value : object
        What stands there.
    choices : sequence of str
        Words allowed.

    Returns
    -------
    str
        The same word.

    Raises
    ------
    CertificateError
        If it is anything else.
    """
    if not isinstance(value, str) or value not in choices:
        raise CertificateError(path, f"must be one of {', '.join(map(repr, choices))}, got {shown(value)}.")
    return value


def number(path: str, value: Any, lowest: float = -np.inf, highest: float = np.inf) -> float:
    """Return `value` as a float: a finite number in a range.

    Parameters
    ----------
    path : str
        Where it stands.
    value : object
        What stands there; NumPy scalars are taken, booleans and strings are not.
    lowest, highest : float
        Range, ends included.

    Returns
    -------
    float
        The number.

    Raises
    ------
    CertificateError
        If it is not a number, not finite or out of range.
    """
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not isfinite(value) or not lowest <= value <= highest:
        wanted = "a finite number" if lowest == -np.inf else f"a number of at least {lowest:g}"
        wanted += "" if highest == np.inf else f" and at most {highest:g}"
        raise CertificateError(path, f"must be {wanted}, got {shown(value)}.")
    return float(value)


def probability(path: str, value: Any) -> float:
    """Return `value` as a float strictly between 0 and 1.

    Parameters
    ----------
    path : str
        Where it stands.
    value : object
        What stands there.

    Returns
    -------
    float
        The number.

    Raises
    ------
    CertificateError
        If it is not a number, or not strictly between 0 and 1.
    """
    checked = number(path, value)
    if not 0 < checked < 1:
        raise CertificateError(path, f"must be strictly between 0 and 1, got {shown(value)}.")
    return checked


def whole(path: str, value: Any, lowest: int = 0) -> int:
    """Return `value` as an int.

    Parameters
    ----------
    path : str
        Where it stands.
    value : object
        What stands there; floats are not taken, even 3.0.
    lowest : int
        Smallest value allowed.

    Returns
    -------
    int
        The number.

    Raises
    ------
    CertificateError
        If it is not a whole number, or too small.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < lowest:
        raise CertificateError(path, f"must be a whole number of at least {lowest}, got {shown(value)}.")
    return int(value)


def table(path: str, value: Any) -> dict[str, Any]:
    """Return a copy of `value`, a mapping from texts to plain JSON values.

    Parameters
    ----------
    path : str
        Where it stands.
    value : object
        What stands there.

    Returns
    -------
    dict
        A deep copy, with NumPy scalars and arrays turned into numbers and lists.

    Raises
    ------
    CertificateError
        If it is not a mapping, or holds something that JSON cannot carry exactly.
    """
    if not isinstance(value, Mapping):
        raise CertificateError(path, f"must be a table (a JSON object), got {shown(value)}.")
    for key in value:
        if not isinstance(key, str):
            raise CertificateError(path, f"must have texts as keys, got {shown(key)}.")
    return {key: plain(f"{path}.{key}".lstrip("."), entry) for key, entry in value.items()}


def rows(path: str, value: Any) -> list[Any]:
    """Return `value` as a list.

    Parameters
    ----------
    path : str
        Where it stands.
    value : object
        A list or a tuple.

    Returns
    -------
    list
        Its elements, unchecked.

    Raises
    ------
    CertificateError
        If it is neither a list nor a tuple.
    """
    if not isinstance(value, list | tuple):
        raise CertificateError(path, f"must be a list, got {shown(value)}.")
    return list(value)


def plain(path: str, value: Any) -> Any:
    """Return a deep copy of `value` made of what JSON carries exactly.

    Parameters
    ----------
    path : str
        Where it stands.
    value : object
        None, booleans, texts, whole and finite numbers, and lists, tuples and mappings of these;
        NumPy scalars and arrays become numbers and lists.

    Returns
    -------
    object
        The copy.

    Raises
    ------
    CertificateError
        If something else is found, an infinity or a NaN included.
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise CertificateError(path, f"must fit in 64 bits, got {shown(value)}.")
        return value
    if isinstance(value, float):
        return number(path, value)
    if isinstance(value, list | tuple):
        return [plain(f"{path}[{place}]", entry) for place, entry in enumerate(value)]
    if isinstance(value, Mapping):
        return table(path, value)
    raise CertificateError(path, f"must be something that JSON can carry, got a {type(value).__name__}.")
