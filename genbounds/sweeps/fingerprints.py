"""Fingerprints: one canonical form for JSON and for arrays, and its SHA-256."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NUMBERS", "array_sha256", "is_json", "json_sha256", "table_sha256"]

#: Kinds of arrays that have a fingerprint: booleans, integers, real and complex numbers.
NUMBERS = "biufc"


def is_json(value: Any) -> bool:
    """Whether a value comes back from JSON equal.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    bool
        False for tuples, tables whose keys are no text, NaN, infinities and objects.

    Examples
    --------
    >>> is_json({"a": [1, 0.5, None]}), is_json((1, 2)), is_json(float("inf"))
    (True, False, False)
    """
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


def json_sha256(content: Any) -> str:
    """Fingerprint a JSON value.

    Parameters
    ----------
    content : object
        What JSON can carry, every number finite.

    Returns
    -------
    str
        SHA-256, in hexadecimal, of its JSON in ASCII with sorted keys and without spaces.

    Examples
    --------
    >>> json_sha256({"a": 1, "b": [0.5]}) == json_sha256({"b": [0.5], "a": 1})
    True
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def array_sha256(array: NDArray[Any]) -> str:
    """Fingerprint an array of numbers or booleans.

    Parameters
    ----------
    array : ndarray
        Of a numeric or boolean dtype; its byte order and layout in memory play no part.

    Returns
    -------
    str
        SHA-256, in hexadecimal, of dtype, shape and content.

    Raises
    ------
    ValueError
        If it holds something else, such as objects.
    """
    if array.dtype.kind not in NUMBERS:
        raise ValueError(f"array must hold numbers or booleans, got dtype {array.dtype}. Convert it first.")
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    whole = hashlib.sha256(json.dumps([plain.dtype.str, list(array.shape)]).encode("ascii"))
    whole.update(plain.reshape(-1).view(np.uint8).data)
    return whole.hexdigest()


def table_sha256(values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """Fingerprint JSON values and arrays together.

    Parameters
    ----------
    values : mapping
        JSON values by name.
    arrays : mapping of str to ndarray
        Arrays by name.

    Returns
    -------
    str
        SHA-256 in hexadecimal.
    """
    return json_sha256([dict(values), {name: array_sha256(array) for name, array in arrays.items()}])
