"""Records as JSON carries them, and read back: nested frozen dataclasses, tuples, mappings and arrays of numbers."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

__all__ = ["number_or_none", "restored"]

T = TypeVar("T")


def number_or_none(value: float) -> float | None:
    """Return a number as JSON carries it.

    Parameters
    ----------
    value : float
        Any number.

    Returns
    -------
    float or None
        None for NaN and infinity, which JSON does not have.
    """
    return float(value) if math.isfinite(value) else None


def restored(kind: type[T], values: Mapping[str, Any]) -> T:
    """Return the record of a type whose fields stand in `values`, as its ``to_json`` wrote them.

    Parameters
    ----------
    kind : type
        A frozen dataclass.
    values : mapping
        Its fields by name, through a file or not; what else is in it was derived from them. None stands for a number
        that is not defined.

    Returns
    -------
    object
        The record.

    Raises
    ------
    KeyError
        If a field is missing.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Measured:
    ...     value: float
    ...     standard_error: float
    >>> restored(Measured, {"value": 0.5, "standard_error": number_or_none(math.nan), "derived": 7})
    Measured(value=0.5, standard_error=nan)
    """
    hints = get_type_hints(kind)
    return kind(**{part.name: _value(hints[part.name], values[part.name]) for part in fields(kind)})  # type: ignore[arg-type]


def _value(hint: Any, value: Any) -> Any:
    if get_origin(hint) is UnionType:
        if value is None:
            return None
        (hint,) = (one for one in get_args(hint) if one is not NoneType)
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return restored(hint, value)  # type: ignore[arg-type]
    if origin is tuple:
        inner = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_value(one, part) for one, part in zip(inner, value, strict=True))
    if origin is np.ndarray:
        return np.array([[math.nan if number is None else number for number in row] for row in value], dtype=np.float64)
    if origin is not None:
        return dict(value)
    return math.nan if hint is float and value is None else value
