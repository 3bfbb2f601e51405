"""An audit of measures as a table for a terminal."""

import math

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from genbounds.measures.invariance.audit import Audit, Change

__all__ = ["audit_text"]


def audit_text(audit: Audit) -> RenderableType:
    """Return an audit as a table: a row for each measure, a column for each change of the network.

    Parameters
    ----------
    audit : Audit
        What moved.

    Returns
    -------
    rich renderable
        The table, the changes that were not made with their reasons, and how to read it.
    """
    made = [trial for trial in audit.trials if not trial.reason]
    table = Table(
        title="What moves although the function stays", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    table.add_column("measure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    for trial in made:
        table.add_column(trial.name, justify="right")
    rows: dict[str, list[Change]] = {}
    for change in audit.changes:
        rows.setdefault(change.measure, []).append(change)
    for name, changes in rows.items():
        cells = [Text(_cell(change), style="bold red" if change.moved else "dim") for change in changes]
        table.add_row(Text(name), f"{changes[0].before:.4g}", *cells)
    notes = [f"Not tried: {trial.name}: {trial.reason}." for trial in audit.trials if trial.reason]
    largest = max((trial.difference for trial in made if trial.name != "float32"), default=0.0)
    notes.append(
        f"= means unchanged to rounding, other cells the new value. Outputs changed by {largest:.1g} of the largest at "
        "most (float32 apart). A measure that moves is no property of the function; that is no verdict on whether it "
        "predicts."
    )
    return Group(table, *(Text(note) for note in notes))


def _cell(change: Change) -> str:
    if not change.moved:
        return "="
    return "refused" if math.isnan(change.after) else f"{change.after:.4g}"
