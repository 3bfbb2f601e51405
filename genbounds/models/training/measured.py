"""Measurements along a training: each with its place, the order in which they stand, and what tells them apart."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

__all__ = ["Measured", "Placed", "axis", "in_order"]


class Recorded(Protocol):
    """A record that JSON carries."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            Through its class's `from_json` the same again.
        """


R = TypeVar("R", bound=Recorded)


@dataclass(frozen=True)
class Measured(Generic[R]):
    """What was measured at one moment of a training; each room says what by a class of its own.

    Attributes
    ----------
    name : str
        Of the checkpoint, or of the moment.
    epoch, step : int or None
        How many epochs and steps had been taken, as far as it is known.
    record
        What was measured.
    """

    name: str
    epoch: int | None
    step: int | None
    record: R

    #: Class of the record, which reads with `from_json` what its `to_json` wrote.
    kind: ClassVar[Any]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON carries them.

        Returns
        -------
        dict
            Through `from_json` the same again.
        """
        return {"name": self.name, "epoch": self.epoch, "step": self.step, "record": self.record.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Parameters
        ----------
        values : mapping
            What `to_json` returned, other keys besides or not.

        Returns
        -------
        Measured
            The same again.

        Raises
        ------
        ValueError
            If it is something else.
        """
        try:
            return cls(values["name"], values["epoch"], values["step"], cls.kind.from_json(values["record"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"values must be a measurement that to_json wrote, got {type(error).__name__}: {error} in that of "
                f"{values.get('name')!r}. Was it edited? Delete it to measure again."
            ) from error


class Placed(Protocol):
    """What belongs to a moment of a training: its name, and how many epochs and steps had been taken."""

    @property
    def name(self) -> str:
        """Of the checkpoint, or of the moment."""

    @property
    def epoch(self) -> int | None:
        """Epochs taken, as far as it is known."""

    @property
    def step(self) -> int | None:
        """Steps taken, as far as it is known."""


P = TypeVar("P", bound=Placed)


def axis(points: Sequence[Placed]) -> tuple[str, tuple[int, ...]]:
    """Return what points are told apart by, and the number of each.

    Parameters
    ----------
    points : sequence
        In their order.

    Returns
    -------
    unit : {"epoch", "step", "checkpoint"}
        Epochs if all are known and rise, else steps if all are known and rise, else the order from 1.
    numbers : tuple of int
        One for each.
    """
    for unit in ("epoch", "step"):
        numbers = [getattr(point, unit) for point in points]
        if None not in numbers and all(one < two for one, two in itertools.pairwise(numbers)):
            return unit, tuple(numbers)
    return "checkpoint", tuple(range(1, len(points) + 1))


def in_order(points: Iterable[P]) -> tuple[P, ...]:
    """Sort measurements; a moment that was measured twice, as after a resumed training, counts last.

    Parameters
    ----------
    points : iterable
        In the order in which they were made.

    Returns
    -------
    tuple
        By steps where all are known, else by epochs where all are, else as given.
    """
    last = list({(point.name, point.epoch, point.step): point for point in points}.values())
    for unit in ("step", "epoch"):
        if all(getattr(point, unit) is not None for point in last):
            return tuple(sorted(last, key=lambda point: getattr(point, unit)))
    return tuple(last)
