"""The application: its commands, its exit codes, and one clear sentence where something is wrong."""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from cyclopts import App, CycloptsError
from rich.text import Text

from genbounds.cli.console import show, status
from genbounds.version import __version__

__all__ = ["EXIT_CODES", "INTERNAL_ERROR", "INTERRUPTED", "OK", "REFUSED", "USAGE_ERROR", "app", "main"]

OK, INTERNAL_ERROR, USAGE_ERROR, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130

EXIT_CODES = """**Exit codes**

- 0: done; a vacuous bound is a value, not an error
- 1: unexpected error
- 2: a wrong option, file, checkpoint or value
- 3: the certificate is refused, or a theorem refuted
- 130: interrupted

Every command takes `--debug`, which shows the whole traceback of an error."""

app = App(
    name="genbounds",
    help="What can be proved about a trained network's error on data it has not seen.",
    help_epilogue=EXIT_CODES,
    help_format="markdown",
    version=__version__,
    suppress_keyboard_interrupt=False,
)
# The docstrings are the help. Importing the commands is cheap: what is heavy, they import when they run.
for _name in (
    "demo",
    "certify",
    "compress",
    "prompt",
    "supersample",
    "coherence",
    "inductive-bias",
    "pathways",
    "measure",
    "audit",
    "falsify",
    "sweep",
    "rank",
    "verify",
    "curve",
    "theorems",
    "validate",
):
    _function = _name.replace("-", "_")
    app.command(getattr(import_module(f"genbounds.cli.{_function}"), _function), name=_name)


def _greet() -> None:
    """Greet, and show where to start."""
    show(
        Text.from_markup(
            f"[bold]genbounds {__version__}[/bold]: a checkpoint goes in, a certificate of its error comes out, and "
            "anyone can check it.\n\n"
            "  [bold]genbounds demo[/bold]           see it work on real handwritten digits (a minute)\n"
            "  [bold]genbounds verify FILE[/bold]    check a certificate that somebody gave you\n"
            "  [bold]genbounds theorems[/bold]       what can be proved, and under which conditions\n\n"
            "[bold]genbounds certify --help[/bold] tells how to certify a checkpoint of your own."
        )
    )


def main(tokens: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    tokens : sequence of str, optional
        Arguments; the process's own if left out.

    Returns
    -------
    int
        Exit code, see `EXIT_CODES`.
    """
    given = list(sys.argv[1:] if tokens is None else tokens)
    debug = "--debug" in given
    given = [token for token in given if token != "--debug"]
    if not given:
        _greet()
        return OK
    try:
        result = app(given, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return USAGE_ERROR
    except KeyboardInterrupt:
        resumed = "`certify`, `coherence`, `demo`, `inductive-bias`, `pathways` and `supersample`"
        status(f"Interrupted. The same command, run again, goes on where {resumed} stopped.")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:
        if debug:
            traceback.print_exc()
        expected = isinstance(error, ValueError | OSError | ImportError)
        status(f"genbounds: {_sentence(error)}" if expected else f"genbounds: {type(error).__name__}: {error}")
        if not expected and not debug:
            status("This is unexpected: please report it, with what the same command prints with --debug.")
        return USAGE_ERROR if expected else INTERNAL_ERROR
    return result if isinstance(result, int) else OK


def _sentence(error: Exception) -> str:
    """Return what an error says, a missing file by its name."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return str(error)
