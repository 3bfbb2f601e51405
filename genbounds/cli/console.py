"""Where a command writes: tables for people, one JSON document for machines, progress and errors apart from both."""

import json
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from cyclopts import Parameter
from rich.console import Console

__all__ = ["Flag", "program", "progress_wanted", "show", "show_json", "status"]

#: A switch that is off unless given, without a --no- form.
Flag: TypeAlias = Annotated[bool, Parameter(negative="")]


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the application decide what a reader who left means."""
        raise BrokenPipeError


def _console(*, stderr: bool = False) -> Console:
    """Return a console on the stream of this moment; a pipe or a file gets unwrapped lines without colour."""
    stream = sys.stderr if stderr else sys.stdout
    return _Console(stderr=stderr, highlight=False, width=None if stream.isatty() else 120)


def show(*renderables: Any) -> None:
    """Print tables and text on standard output.

    Parameters
    ----------
    *renderables : object
        What rich can print; strings are printed as they are, whatever brackets they hold.
    """
    console = _console()
    for renderable in renderables:
        console.print(renderable, markup=False)


def show_json(content: Any) -> None:
    """Print one JSON document on standard output, and nothing else.

    Parameters
    ----------
    content : object
        What JSON can carry, every number finite.
    """
    sys.stdout.write(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def status(sentence: str) -> None:
    """Print one sentence on standard error.

    Parameters
    ----------
    sentence : str
        Plain text; markup is not read.
    """
    _console(stderr=True).print(sentence, markup=False, soft_wrap=True)


def progress_wanted() -> bool:
    """Whether somebody is watching standard error.

    Returns
    -------
    bool
        True on a terminal.
    """
    return sys.stderr.isatty()


def program() -> str:
    """Return what to type for this program: its path where the name alone would not find it.

    Returns
    -------
    str
        Such as ``genbounds`` or ``.venv/bin/genbounds``.
    """
    started, found = Path(sys.argv[0]), shutil.which("genbounds")
    if started.name != "genbounds" or (found is not None and Path(found).samefile(started)):
        return "genbounds"
    return str(started)
