"""In which order measurements of a training stand, and by what they are told apart."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

__all__ = ["Placed", "axis", "in_order"]


class Placed(Protocol):
    """Something measured at a moment of a training: its name, and how many epochs and steps had been taken."""

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
