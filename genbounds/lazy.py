"""Rooms whose names load their module, and with it torch, at their first use only (PEP 562)."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy"]


def lazy(room: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return what a package needs to import its public names when they are asked for.

    Parameters
    ----------
    room : str
        The package.
    homes : mapping of str to str
        For each public name the module that holds it, below the package.

    Returns
    -------
    getattr : callable
        The package's ``__getattr__``.
    dir : callable
        The package's ``__dir__``.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {room!r} has no attribute {name!r}.")
        return getattr(import_module(f"{room}.{homes[name]}"), name)

    return find, lambda: sorted(homes)
