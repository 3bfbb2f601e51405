"""Progress of long work: a bar on a terminal, silence elsewhere."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["track"]

T = TypeVar("T")


def track(items: Iterable[T], description: str, *, total: int, progress: bool) -> Iterator[T]:
    """Yield `items`, drawing a bar on standard error if `progress` is set and it is a terminal.

    Parameters
    ----------
    items : iterable
        The work.
    description : str
        What is under way.
    total : int
        Number of items.
    progress : bool
        Whether to show anything.

    Yields
    ------
    object
        The items, unchanged.
    """
    if not (progress and sys.stderr.isatty()):
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as bar

    yield from bar(items, description, total=total, console=Console(stderr=True), transient=True)
