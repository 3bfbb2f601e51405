"""Coherence along a training: tables for a terminal, and a figure by epoch and layer."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from genbounds.coherence.layer_records import LayerCoherence
from genbounds.coherence.null import effective_dimension, gaussian_quantile
from genbounds.coherence.records import Coherence
from genbounds.coherence.training.series_records import CoherenceSeries
from genbounds.coherence.training.stability import StabilityDiagnostic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["coherence_series_text", "draw_coherence_series"]

# Okabe and Ito's palette, as in the other plots.
_BLUE, _VERMILLION, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#595959"
#: Columns and rows that a table by layer shows; the files have all.
_COLUMNS, _ROWS = 6, 12
_MARKERS = "os^Dv<>p"

_READING = (
    "alpha: estimate for the population. m-coherence: of the examples themselves, how many a small step on one of them "
    "helps; 1 if gradients were orthogonal, and on average if their signs were random.",
    "The same examples are measured at every checkpoint: intervals of one row are not independent of the next.",
)


def coherence_series_text(series: CoherenceSeries, stability: Sequence[StabilityDiagnostic] = ()) -> RenderableType:
    """Return a series as tables, with what a reader must know.

    Parameters
    ----------
    series : CoherenceSeries
        Records along a training.
    stability : sequence of StabilityDiagnostic
        Diagnostics to be printed with it.

    Returns
    -------
    rich renderable
        A row for each checkpoint, a table of m-coherence by layer, and notes.
    """
    last = series.points[-1].record
    notes = dict.fromkeys(note for point in series.points for note in point.record.notes())
    draws = max(point.record.null_draws for point in series.points)
    test = f"p: against random signs, {draws} patterns, so at least {1 / (draws + 1):.3g}; each checkpoint by itself."
    cut = f"By layer: the {_ROWS} with the largest share at the end; coherence.json has all {len(last.layers)}."
    more = [test] * (draws > 0) + [cut] * (len(last.layers) > _ROWS)
    lines = [*_READING, *more, *notes]
    parts: list[RenderableType] = [_by_checkpoint(series)]
    if len(last.layers) > 1:
        parts.append(_by_layer(series))
    if stability:
        shown = [Text(f"  {each}") for each in stability]
        parts += [Text("Stability along the trajectory", style="bold"), *shown, Text()]
    return Group(*parts, *(Text(line, style="dim") for line in lines))


def _by_checkpoint(series: CoherenceSeries) -> Table:
    unit, numbers = series.axis
    record = series.points[0].record
    second = any(point.record.second is not None for point in series.points)
    drawn = any(point.record.null_draws for point in series.points)
    table = _table(
        f"Coherence of the gradients of {record.m:,} examples, {record.parameters:,} parameters",
        unit,
        "loss",
        "alpha",
        f"{record.level:.0%} interval",
        "m-coherence",
        "noise scale",
        *(["p"] if drawn else []),
        *(["cosine with second set"] if second else []),
    )
    for number, point in zip(numbers, series.points, strict=True):
        found = point.record
        low, high = found.interval
        cells: list[RenderableType] = [
            Text(f"{number:,}  {point.name}" if unit == "checkpoint" else f"{number:,}"),  # names may have brackets
            f"{found.loss:.4g}",
            _number(found.alpha),
            "" if math.isnan(low) else f"[{low:.3g}, {high:.3g}]",
            f"{found.m_coherence:.3g}",
            _number(found.noise_scale),
        ]
        if drawn:
            cells.append("" if found.p_value is None else f"{found.p_value:.3g}")
        if second:
            cells.append("" if found.second is None else str(found.second.total.plug_in))
        table.add_row(*cells)
    return table


def _by_layer(series: CoherenceSeries) -> Table:
    unit, numbers = series.axis
    layers = series.points[-1].record.layers
    chosen = sorted(set(np.linspace(0, len(numbers) - 1, min(_COLUMNS, len(numbers))).round().astype(int).tolist()))
    largest = sorted(layers, key=lambda layer: -(layer.fraction or 0))[:_ROWS]
    title = "m-coherence of layers, and their share of the squared norm"
    table = _table(title, "layer", *(f"{unit} {numbers[i]:,}" for i in chosen))
    for layer in layers:
        if layer not in largest:
            continue
        cells = []
        for i in chosen:
            found = {each.name: each for each in series.points[i].record.layers}.get(layer.name)
            share = "" if found is None or found.fraction is None else f"  {found.fraction:4.0%}"
            cells.append("" if found is None else f"{found.m_coherence:.3g}{share}")
        table.add_row(Text(layer.name or "(root)"), *cells)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(columns[0], overflow="fold")
    for name in columns[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def draw_coherence_series(series: CoherenceSeries, figure: "Figure | None" = None) -> "Figure":
    """Draw coherence along a training: of the network and of its layers, and the loss below.

    Parameters
    ----------
    series : CoherenceSeries
        Records along a training.
    figure : matplotlib Figure, optional
        Where to draw; a new one if left out. No window is opened and no global setting is changed.

    Returns
    -------
    matplotlib Figure
        The figure.
    """
    from matplotlib.figure import Figure

    records = [point.record for point in series.points]
    second = any(record.second is not None for record in records)
    if figure is None:
        figure = Figure(figsize=(7.2, 7.4 if second else 6.2), layout="constrained")
    heights = [3.2, 1.0, 1.0] if second else [3.2, 1.0]
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    unit, numbers = series.axis
    _draw_m_coherence(panels[0], numbers, records)
    losses = [record.loss for record in records]
    panels[1].plot(numbers, losses, color=_VERMILLION, marker="D", markersize=4)
    panels[1].set_ylabel("average loss")
    if min(losses) > 0:
        _logarithmic(panels[1])
    if second:
        _draw_cosine(panels[2], numbers, records)
    for axes in panels:
        axes.grid(visible=True, which="major", color="#D9D9D9", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    _place(panels[-1], unit, numbers)
    note = "The end of a training does not order networks by generalization: compare early."
    figure.supxlabel(note, fontsize=8, color=_GREY)
    return figure


def _draw_m_coherence(axes: "Axes", numbers: Sequence[int], records: Sequence[Coherence]) -> None:
    values = [each.m_coherence for record in records for _, each in record.groups() if each.m_coherence > 0]
    floor = 0.7 * min([1.0, *values])  # intervals go on below the end of a logarithmic axis
    if len(records[-1].layers) > 1:
        _draw_layers(axes, numbers, records, floor)
    axes.plot(
        numbers,
        [record.m_coherence for record in records],
        color="black",
        marker="o",
        linewidth=2.2,
        markersize=5.5,
        label=f"all parameters, {records[0].level:.0%} interval (nominal)",
    )
    _draw_interval(axes, numbers, records, floor, "black")
    axes.axhline(1.0, color=_GREY, linewidth=1.1, linestyle="--", label="orthogonal gradients; random signs on average")
    limits = [_null_limit(record) for record in records]
    if not all(map(math.isnan, limits)):
        label = "random signs: 95% quantile (approx.)"
        axes.plot(numbers, limits, color=_GREY, linewidth=1.1, linestyle=":", label=label)
    axes.annotate(
        "below 1: the average gradient is almost 0, as near a minimum; no sign of conflict",
        (0.01, 1.0),
        xycoords=("axes fraction", "data"),
        xytext=(0, -3),
        textcoords="offset points",
        verticalalignment="top",
        color=_GREY,
        fontsize=8,
    )
    _logarithmic(axes)
    axes.set_ylim(bottom=min(floor, 0.7))
    axes.set_ylabel(f"m-coherence of {records[0].m:,} examples")
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.01), borderaxespad=0.0)


def _draw_layers(axes: "Axes", numbers: Sequence[int], records: Sequence[Coherence], floor: float) -> None:
    """Draw a line for each layer, from dark to light with depth; with names and intervals if they are few."""
    from matplotlib import colormaps

    names = [layer.name for layer in records[-1].layers]
    few = len(names) <= len(_MARKERS)
    for place, name in enumerate(names):
        layers = [next((layer for layer in record.layers if layer.name == name), None) for record in records]
        colour = colormaps["viridis"](0.15 + 0.7 * place / (len(names) - 1))
        label = f"layer {name or '(root)'}"
        axes.plot(
            numbers,
            [math.nan if layer is None else layer.m_coherence for layer in layers],
            color=colour,
            linewidth=1.3,
            marker=_MARKERS[place] if few else "",
            markersize=4,
            label=label if few or place in {0, len(names) - 1} else None,
        )
        if few:
            _draw_interval(axes, numbers, layers, floor, colour)


def _draw_interval(
    axes: "Axes",
    numbers: Sequence[int],
    records: Sequence[Coherence | LayerCoherence | None],
    floor: float,
    colour: Any,
) -> None:
    """Draw the interval of alpha as one of the m-coherence, which is 1 + (m - 1) times the unbiased alpha."""
    low, high = (
        [math.nan if each is None else max(1 + (each.m - 1) * each.interval[end], floor) for each in records]
        for end in (0, 1)
    )
    axes.fill_between(numbers, low, high, color=colour, alpha=0.13, linewidth=0)


def _null_limit(record: Coherence) -> float:
    """Return the m-coherence that Gaussian gradients without signal exceed in 5% of samples; NaN if no signs tell."""
    if not record.pair_square:
        return math.nan
    dimension = effective_dimension(record.second_moment, record.pair_square)
    return record.m * float(gaussian_quantile(0.95, record.m, dimension))


def _draw_cosine(axes: "Axes", numbers: Sequence[int], records: Sequence[Coherence]) -> None:
    pairs = zip(numbers, records, strict=True)
    found = [(number, record.second.total.plug_in) for number, record in pairs if record.second is not None]
    places = [number for number, _ in found]
    low, high = zip(*(cosine.interval for _, cosine in found), strict=True)
    axes.fill_between(places, low, high, color=_GREEN, alpha=0.18, linewidth=0)
    axes.plot(places, [cosine.value for _, cosine in found], color=_GREEN, marker="s", markersize=4)
    axes.axhline(0.0, color=_GREY, linewidth=0.8)
    axes.set_ylim(max(-1.05, min([*low, -0.1])), 1.05)
    axes.set_ylabel("cosine with\nsecond set")


def _logarithmic(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _place(axes: "Axes", unit: str, numbers: Sequence[int]) -> None:
    """Set the x axis: near the origin as it is, further on logarithmic where the numbers span much."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    positive = [number for number in numbers if number > 0]
    if positive and numbers[-1] > 20 * positive[0]:
        axes.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
        axes.set_xlim(numbers[0] - 0.1 * positive[0], 1.05 * numbers[-1])
    axes.set_xlabel(unit)
    if len(numbers) <= 12:
        axes.set_xticks(numbers)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
