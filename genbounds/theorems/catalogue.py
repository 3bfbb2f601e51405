"""The catalogue: every theorem of this package and of packages that announce theirs."""

from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from genbounds.theorems.theorem import REGISTERED, Theorem

__all__ = ["ENTRY_POINTS", "ROOMS", "catalogue", "get"]

#: Modules that define theorems. They stand above this floor, so they are named here and imported on demand.
ROOMS = ("genbounds.information", "genbounds.pac_bayes")

#: Other packages announce a module of theorems under this entry-point group.
ENTRY_POINTS = "genbounds.theorems"


@cache
def _load_rooms() -> None:
    for room in ROOMS:
        import_module(room)
    for announced in entry_points(group=ENTRY_POINTS):
        announced.load()


def catalogue() -> dict[str, Theorem]:
    """Return every theorem by name, sorted.

    Returns
    -------
    dict of str to Theorem
        A fresh dictionary; changing it changes nothing else.

    Examples
    --------
    >>> catalogue()["pac_bayes.maurer"].predictor
    'gibbs'
    """
    _load_rooms()
    return dict(sorted(REGISTERED.items()))


def get(name: str) -> Theorem:
    """Return one theorem.

    Parameters
    ----------
    name : str
        Full name, or the function's name alone where only one theorem bears it.

    Returns
    -------
    Theorem
        Its record.

    Raises
    ------
    ValueError
        If no theorem, or more than one, has that name.

    Examples
    --------
    >>> get("maurer").reference
    'Maurer2004'
    """
    theorems = catalogue()
    if name in theorems:
        return theorems[name]
    matches = [full for full in theorems if full.rpartition(".")[2] == name]
    if len(matches) == 1:
        return theorems[matches[0]]
    nearest = matches or get_close_matches(name, [*theorems, *(full.rpartition(".")[2] for full in theorems)], n=3)
    hint = f"Did you mean {' or '.join(nearest)}?" if nearest else "`genbounds theorems` lists them all."
    raise ValueError(f"name must be one theorem of the catalogue, got {name!r}. {hint}")
