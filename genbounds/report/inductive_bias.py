"""Curves of information as tables for a terminal and as a plot, and architectures side by side."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from genbounds.inductive_bias.architectures.comparison import Comparison, Difference
from genbounds.rare_events.curves import TailCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["comparison_text", "curves_text", "draw_curves"]

# Okabe and Ito's palette: told apart with any colour vision; markers tell the curves apart in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#595959")
_MARKERS = "osD^vPX"


def curves_text(curves: Mapping[str, TailCurve], *, title: str, loss: str) -> RenderableType:
    """Return curves of information as a table, with what a reader must know.

    Parameters
    ----------
    curves : mapping of str to TailCurve
        Curves by name; their levels may differ.
    title : str
        What is measured.
    loss : str
        The loss whose levels these are.

    Returns
    -------
    rich renderable
        A row for each curve and level, and notes: how each curve came about, and its warnings.
    """
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in ("level", "nats", "interval", "bits"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, curve in curves.items():
        for place in range(len(curve.levels)):
            table.add_row(
                Text(name if place == 0 else ""),
                f"{curve.levels[place]:.4g}",
                _value(curve.nats[place], curve.low[place]),
                _interval(curve.low[place], curve.high[place]),
                _value(_to_bits(curve.nats[place]), _to_bits(curve.low[place])),
                end_section=place == len(curve.levels) - 1,
            )
    lines = [
        f"{name}: {curve.kind}, {curve.method}; intervals: {_confidence(curve)}." for name, curve in curves.items()
    ]
    warnings = [f"{name}: {warning}" for name, curve in curves.items() for warning in curve.warnings]
    return Group(
        table,
        Text(f"level: {loss}, at most.", style="dim"),
        *(Text(line, style="dim") for line in lines),
        *(Text(f"Warning: {line}", style="yellow") for line in warnings),
    )


def comparison_text(comparison: Comparison) -> RenderableType:
    """Return architectures side by side as tables: their curves, and their differences from the first.

    Parameters
    ----------
    comparison : Comparison
        What was measured.

    Returns
    -------
    rich renderable
        Tables and notes.
    """
    first, *others = comparison.averages
    title = f"Information beyond the training data: {comparison.task}"
    spaces = [Text(f"{name}: {space}") for name, space in comparison.spaces.items()]
    differences = [_difference(comparison.difference(name, first)) for name in others]
    return Group(curves_text(comparison.averages, title=title, loss=comparison.loss), *spaces, *differences)


def draw_curves(curves: Mapping[str, TailCurve], axes: "Axes | None" = None, *, loss: str = "loss") -> "Axes":
    """Draw information over levels of the loss, with intervals; where only a lower limit is known, an arrow upwards.

    Parameters
    ----------
    curves : mapping of str to TailCurve
        Curves by name.
    axes : matplotlib Axes, optional
        Where to draw; a new figure if left out. No window is opened and no global setting is changed.
    loss : str
        The loss whose levels these are.

    Returns
    -------
    matplotlib Axes
        The axes drawn on: levels on a logarithmic axis where all are positive, nats on the left and bits on the right.
    """
    from matplotlib.figure import Figure

    if axes is None:
        axes = Figure(figsize=(6.8, 4.4), layout="constrained").add_subplot()
    for place, (name, curve) in enumerate(curves.items()):
        colour, marker = _COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)]
        known = np.isfinite(curve.nats)
        axes.plot(curve.levels[known], curve.nats[known], color=colour, marker=marker, markersize=4.5, label=name)
        between = known & np.isfinite(curve.high)
        axes.fill_between(
            curve.levels[between], curve.low[between], curve.high[between], color=colour, alpha=0.2, linewidth=0
        )
        beyond = ~known & np.isfinite(curve.low) & (curve.low > 0)
        axes.errorbar(
            curve.levels[beyond],
            curve.low[beyond],
            yerr=0.04 * max(1.0, np.max(curve.nats[known], initial=1.0)),
            lolims=True,
            linestyle="none",
            color=colour,
            marker=marker,
            markersize=4.5,
            markerfacecolor="none",
        )
        impossible = curve.levels[np.isposinf(curve.low)]
        if impossible.size:
            axes.axvline(impossible.max(), color=colour, linestyle=":", linewidth=1.2)
    if all((curve.levels > 0).all() for curve in curves.values()):
        axes.set_xscale("log")
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel(f"{loss} at most")
    axes.set_ylabel("information in nats")
    bits = axes.secondary_yaxis("right", functions=(_to_bits, _to_nats))
    bits.set_ylabel("bits")
    axes.grid(visible=True, color="#D9D9D9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["top"].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return axes


def _to_bits(nats: Any) -> Any:
    return nats / math.log(2)


def _to_nats(bits: Any) -> Any:
    return bits * math.log(2)


def _difference(difference: Difference) -> RenderableType:
    table = Table(
        title=f"{difference.one} minus {difference.other}, {difference.method}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("level", "nats", f"{difference.confidence:.0%} interval" if difference.confidence < 1 else "interval"):
        table.add_column(name, justify="right", no_wrap=True)
    for level, value, low, high in zip(
        difference.levels, difference.nats, difference.low, difference.high, strict=True
    ):
        cells = ("not resolved", "") if math.isnan(value) else (f"{value:+.3f}", f"[{low:+.3f}, {high:+.3f}]")
        table.add_row(f"{level:.4g}", *cells)
    return table


def _value(value: float, low: float) -> str:
    """Return a number for a cell: what is not resolved is shown by its lower limit."""
    if math.isnan(value):
        return f"> {low:.3f}"
    return "infinite" if math.isinf(value) else f"{value:.3f}"


def _interval(low: float, high: float) -> str:
    if math.isinf(low):
        return ""
    return f"[{low:.3f}, {'inf' if math.isinf(high) else f'{high:.3f}'}]"


def _confidence(curve: TailCurve) -> str:
    return "certain" if curve.confidence == 1 else f"{curve.confidence:.0%} (nominal), each by itself"
