"""Which worlds attack a theorem: functions entered under the names of the arguments that they can play with."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from genbounds.worlds.failures import Attack

__all__ = ["ALL_N", "WORLDS", "Bound", "Worlds", "attacks"]

Bound: TypeAlias = Callable[..., Any]
Worlds: TypeAlias = Callable[[Bound, float], Iterator[Attack]]

#: Follows the names where an attack looks after every example, at theorems that hold for all n at once.
ALL_N = "all n"

#: Attacks by the names of a theorem's arguments, its own parameters left out: ``worlds(bound, delta)``.
WORLDS: dict[tuple[str, ...], Worlds] = {}


def attacks(*arguments: str, all_n: bool = False) -> Callable[[Worlds], Worlds]:
    """Enter a function into `WORLDS`.

    Parameters
    ----------
    *arguments : str
        Names of the arguments of the theorems that it can attack, their own parameters left out.
    all_n : bool
        Whether it looks after every example and may stop: only theorems that hold for all n at once need survive it.

    Returns
    -------
    callable
        A decorator that returns the function unchanged.
    """

    def enter(function: Worlds) -> Worlds:
        WORLDS[(*arguments, ALL_N) if all_n else arguments] = function
        return function

    return enter
