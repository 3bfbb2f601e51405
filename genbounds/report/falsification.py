"""One measure, many truths: a table and a picture of the risks consistent with what a function was given."""

import math
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from genbounds.measures.falsification import Falsification

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_falsification", "falsification_text"]

_COLOURS = ("tab:green", "tab:blue", "tab:orange", "tab:red")


def falsification_text(found: Falsification, *, bound: bool = False) -> RenderableType:
    """Return the truths and the values as tables.

    Parameters
    ----------
    found : Falsification
        What was found.
    bound : bool
        Whether the values claim to be upper bounds on the error, so that it matters where they are below it.

    Returns
    -------
    rich renderable
        Two tables, and how to read them.
    """
    truths = _table("Truths that the input allows", "labels outside of the sample", "error")
    for truth in found.truths:
        truths.add_row(truth.name, f"{truth.risk:.4f}")
    columns = ("measure", "value", *(["is below the error with"] if bound else []))
    values = _table("Evaluated once, the same in all of them", *columns)
    for name, value in found.values.items():
        values.add_row(Text(name), f"{value:.6g}", *([", ".join(found.below(name))] if bound else []))
    low, high = found.interval
    note = (
        f"The sample is {found.n:,} of {found.population:,} equally likely examples. Every error from {low:.4f} to "
        f"{high:.4f} is consistent with it: labels outside may be set one by one. If the {len(found.truths)} truths "
        f"are equally likely no function of sample and network has a root mean square error below "
        f"{math.sqrt(found.floor()):.3f}. A theorem is not refuted by truths made after training, but none can be "
        "tight in all of them."
    )
    return Group(truths, values, Text(note))


def draw_falsification(found: Falsification, *, bound: bool = False) -> "Figure":
    """Draw every value as one line over all truths.

    Parameters
    ----------
    found : Falsification
        What was found.
    bound : bool
        Whether the values claim to be upper bounds on the error, and are drawn on its axis.

    Returns
    -------
    matplotlib.figure.Figure
        A line for each measure, a point for each truth on it; a diamond for a bound that is at most 1.
    """
    from matplotlib.figure import Figure

    names = list(found.values)
    figure = Figure(figsize=(8, 2.2 + 0.28 * len(names)), layout="constrained")
    plot = figure.subplots()
    for row, name in enumerate(names):
        plot.plot(found.interval, [row, row], color="0.7", linewidth=2, zorder=1)
        for truth, colour in zip(found.truths, _COLOURS, strict=True):
            plot.plot(truth.risk, row, "o", color=colour, zorder=2, label=None if row else truth.name)
        if bound and found.values[name] <= 1:
            plot.plot(found.values[name], row, "D", color="k", markersize=5, zorder=3)
    if bound:
        plot.plot([], [], "D", color="k", markersize=5, label="the bound, if at most 1")
    plot.set_yticks(range(len(names)), [f"{name} = {value:.4g}" for name, value in found.values.items()], fontsize=8)
    plot.invert_yaxis()
    plot.set_xlim(-0.02, 1.02)
    plot.set_xlabel("error on the whole population")
    plot.set_title("One measure, many truths: same sample, same network, same value", fontsize=10)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number == 1 else "left", no_wrap=number < 2)
    return table
