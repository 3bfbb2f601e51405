"""What all records of usage have in common: JSON and back, and scalars for loggers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Self

from genbounds.numerics.restoring import number_or_none, restored

__all__ = ["UsageRecord"]


@dataclass(frozen=True)
class UsageRecord:
    """Base of the records: frozen dataclasses of numbers, text, and tuples of such."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            Through `from_json` the same record again; None for what is not defined.
        """
        return {"format": self._format()} | _plain(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Parameters
        ----------
        values : mapping
            What it returned, through a file or not.

        Returns
        -------
        UsageRecord
            The record; NaN for what is not defined.

        Raises
        ------
        ValueError
            If it is something else.
        """
        if values.get("format") != cls._format():
            raise ValueError(
                f"values must be a record of the format {cls._format()!r}, got {values.get('format')!r}. Pass what "
                f"{cls.__name__}.to_json returned."
            )
        return restored(cls, values)

    def flat(self) -> dict[str, float]:
        """Return all scalars under one level of names, as loggers take them.

        Returns
        -------
        dict of str to float
            Those of the whole by their names, those of a part as ``part/name``; without what is not defined.
        """
        found = _scalars(self)
        for each in fields(self):
            for part in _parts(getattr(self, each.name)):
                found |= {f"{part.name}/{name}": value for name, value in _scalars(part).items()}
        return found

    @classmethod
    def _format(cls) -> str:
        return f"genbounds {cls.__name__} 1"


def _plain(value: Any) -> Any:
    """Return a record, or a part of one, in JSON's types."""
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return number_or_none(value) if isinstance(value, float) else value


def _parts(value: Any) -> tuple[Any, ...]:
    """Return the records of the layers in a field, if it holds any."""
    return value if isinstance(value, tuple) and value and is_dataclass(value[0]) else ()


def _scalars(record: Any) -> dict[str, float]:
    """Return the finite numbers among the fields."""
    values = {each.name: getattr(record, each.name) for each in fields(record)}
    return {
        name: float(value) for name, value in values.items() if isinstance(value, int | float) and math.isfinite(value)
    }
