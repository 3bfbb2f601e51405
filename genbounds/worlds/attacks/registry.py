"""Which worlds attack a theorem: functions entered under the names of the arguments that they can play with."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from genbounds.worlds.failures import Attack

__all__ = ["WORLDS", "Bound", "Worlds", "attacks"]

Bound: TypeAlias = Callable[..., Any]
Worlds: TypeAlias = Callable[[Bound, float], Iterator[Attack]]

#: Attacks by the names of a theorem's arguments, its own parameters left out: ``worlds(bound, delta)``.
WORLDS: dict[tuple[str, ...], Worlds] = {}


def attacks(*arguments: str) -> Callable[[Worlds], Worlds]:
    """Enter a function into `WORLDS`.

    Parameters
    ----------
    *arguments : str
        Names of the arguments of the theorems that it can attack, their own parameters left out.

    Returns
    -------
    callable
        A decorator that returns the function unchanged.
    """

    def enter(function: Worlds) -> Worlds:
        WORLDS[arguments] = function
        return function

    return enter
