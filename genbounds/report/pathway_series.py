"""Pathways along a training: tables for a terminal, correlations with what they are worth, and a figure."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from genbounds.pathways.metrics_records import PathwayMetrics
from genbounds.pathways.training.correlations import CAVEATS, Correlation
from genbounds.pathways.training.series_records import PathwaySeries
from genbounds.report.pathways import number, pathway_table, record_notes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_pathway_series", "pathway_series_text"]

# Okabe and Ito's palette, as in the other plots.
_BLUE, _VERMILLION, _GREEN, _ORANGE, _PURPLE, _GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#595959"

_READING = (
    "distance: mean over pairs of samples, in experts unless another metric was asked for; ratio: over random lists of "
    "the same lengths, 1 without structure; z: of its spread over pairs against layers shuffled apart; length: experts "
    "of a path; balance: mean top-1 distance, which is exactly how evenly experts are used; R2 = 1 - within / all, 0 "
    "on average for labels that have nothing to do with routes, with its p-value; within: pairs of one group.",
    "erraticness: the published C, higher is more erratic; consistency = 1 - C; medians of valid samples. Only the "
    "centred ones are functions of a network with softmax routers. entropy: of gates, in nats. saturation: executed "
    "experts in common with the last checkpoint, which every approach to it raises.",
    "Raw distance follows path length and so entropy, whose direction is accidental: read R2. All of it tracks a "
    "training, and predicts nothing.",
)


def pathway_series_text(series: PathwaySeries, correlations: Mapping[str, Correlation] | None = None) -> RenderableType:
    """Return a series as tables, with what a reader must know.

    Parameters
    ----------
    series : PathwaySeries
        Records along a training.
    correlations : mapping of str to Correlation, optional
        Of headline numbers with accuracy, or with whatever stood in for it.

    Returns
    -------
    rich renderable
        A row for each checkpoint in two tables, correlations, and notes.
    """
    lines = [*_READING, *record_notes([point.record for point in series.points])]
    parts: list[RenderableType] = [_distances(series), _routers(series)]
    if correlations:
        parts.append(_correlations(correlations))
        lines = [*CAVEATS, *lines]
    return Group(*parts, *(Text(line, style="dim") for line in lines))


def _labels(series: PathwaySeries) -> list[Text]:
    unit, numbers = series.axis
    pairs = zip(numbers, series.points, strict=True)
    return [Text(f"{place:,}  {point.name}" if unit == "checkpoint" else f"{place:,}") for place, point in pairs]


def _value(record: PathwayMetrics, *names: str) -> float:
    """Return the mean of the first of these values that was captured."""
    found = {value.name: value.mean for value in record.values}
    return next((found[name] for name in names if name in found), math.nan)


def _distances(series: PathwaySeries) -> RenderableType:
    first = series.points[0].record
    title = f"Pathways of {first.samples:,} samples through {len(first.routers)} routers: distances"
    names = ("accuracy", "loss", "distance", "ratio", "z", "length", "balance", "within", "R2", "p", "R2 top-1", "p")
    table = pathway_table(title, series.axis[0], *names)
    for label, point in zip(_labels(series), series.points, strict=True):
        record, distance = point.record, point.record.distance
        cells = [
            number(_value(record, "correct", "accuracy"), ".3f"),
            number(_value(record, "loss")),
            number(distance.mean),
            number(distance.ratio, ".3f"),
            number(distance.shuffled.variance.z, "+.1f"),
            number(distance.mean_length, ".2f"),
            number(distance.load_balance, ".3f"),
        ]
        for groups in (distance.groups, record.top.groups):
            if groups is None:
                cells += [""] * (3 if groups is distance.groups else 2)
                continue
            cells += [number(groups.within)] if groups is distance.groups else []
            cells += [number(groups.r_squared, ".3f"), number(groups.p_value, ".2g")]
        table.add_row(label, *cells[: len(names)])
    return table


def _routers(series: PathwaySeries) -> RenderableType:
    names = ("erraticness", "centred", "consistency", "centred", "invalid", "mean cosine", "centred")
    table = pathway_table(
        "Single paths (as published, and centred) and routers", series.axis[0], *names, "entropy", "saturation"
    )
    for label, point in zip(_labels(series), series.points, strict=True):
        record = point.record
        both = (record.raw, record.centred)
        cells = [
            *("" if part is None else number(part.median, ".3f") for part in both),
            *("" if part is None else number(part.consistency, ".3f") for part in both),
            " / ".join(f"{part.invalid_share:.1%}" for part in both if part is not None),
            *("" if part is None else number(part.mean_cosine, ".3f") for part in both),
            number(record.load.router_entropy, ".3f"),
            "" if record.saturation is None else number(record.saturation.saturation, ".3f"),
        ]
        table.add_row(label, *cells)
    return table


def _correlations(correlations: Mapping[str, Correlation]) -> RenderableType:
    given = next(iter(correlations.values()))
    covariates = " and ".join(given.covariates)
    names = ("Pearson", "Spearman", f"given {covariates}" if covariates else "partial", "of changes")
    title = f"Correlations with accuracy along {given.points} checkpoints of one training"
    table = pathway_table(title, "quantity", *names, "checkpoints, effectively", "lag-1 autocorrelation")
    for name, each in correlations.items():
        numbers = (each.pearson, each.spearman, each.partial, each.changes)
        cells = [*(number(value, "+.2f") for value in numbers), number(each.effective_points, ".1f")]
        table.add_row(Text(name), *cells, number(each.lag_one[0], "+.2f"))
    return table


def draw_pathway_series(series: PathwaySeries, figure: "Figure | None" = None) -> "Figure":
    """Draw pathways along a training: accuracy and loss, distances with their nulls, R^2, cosines, entropy, saturation.

    Parameters
    ----------
    series : PathwaySeries
        Records along a training.
    figure : matplotlib Figure, optional
        Where to draw; a new one if left out. No window is opened and no global setting is changed.

    Returns
    -------
    matplotlib Figure
        The figure.
    """
    from matplotlib.figure import Figure

    if figure is None:
        figure = Figure(figsize=(10.5, 8.6), layout="constrained")
    panels = figure.subplots(3, 2, sharex=True)
    unit, places = series.axis
    records = [point.record for point in series.points]
    _draw_learning(panels[0, 0], places, records)
    _draw_distances(panels[0, 1], places, records)
    _draw_r_squared(panels[1, 0], places, records)
    _draw_complexity(panels[1, 1], places, records)
    _draw_entropy(panels[2, 0], places, records)
    _draw_saturation(panels[2, 1], places, records)
    for axes in panels.flat:
        axes.grid(visible=True, which="major", color="#D9D9D9", linewidth=0.6)
        axes.set_axisbelow(True)
        if len(axes.get_legend_handles_labels()[0]) > 1:  # two axes have colours for their lines
            axes.legend(fontsize=8, frameon=False)
    for axes in figure.axes:
        axes.spines["top"].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.yaxis.label.set_fontsize(9)
    for axes in panels[-1]:
        axes.set_xlabel(unit)
    note = (
        f"{records[0].samples:,} samples, {len(records)} checkpoints of one training. It tracks, it does not predict."
    )
    figure.supxlabel(note, fontsize=8, color=_GREY)
    return figure


def _line(
    axes: "Axes", places: Sequence[int], values: Sequence[float], label: str, colour: str, **style: object
) -> None:
    if not all(map(math.isnan, values)):
        shown = {"marker": "o", "markersize": 3, "linewidth": 1.4} | style
        axes.plot(places, values, color=colour, label=label, **shown)  # type: ignore[arg-type]


def _draw_learning(axes: "Axes", places: Sequence[int], records: Sequence[PathwayMetrics]) -> None:
    _line(axes, places, [_value(record, "correct", "accuracy") for record in records], "accuracy", _BLUE)
    axes.set_ylabel("accuracy", color=_BLUE)
    axes.set_ylim(-0.03, 1.03)
    losses = [_value(record, "loss") for record in records]
    if not all(map(math.isnan, losses)):
        second = axes.twinx()
        _line(second, places, losses, "loss", _VERMILLION, marker="D")
        second.set_ylabel("loss [nats]", color=_VERMILLION)


def _draw_distances(axes: "Axes", places: Sequence[int], records: Sequence[PathwayMetrics]) -> None:
    """Draw each distance over what random lists of the same lengths give, so that levels can be compared."""
    found = [record.distance for record in records]
    null = [each.random_mean or math.nan for each in found]
    ratios = [each.ratio for each in found]
    low, high = ([each.interval[end] / base for each, base in zip(found, null, strict=True)] for end in (0, 1))
    axes.fill_between(places, low, high, color=_BLUE, alpha=0.15, linewidth=0)
    _line(axes, places, ratios, f"all pairs, {found[0].level:.0%} interval (nominal)", _BLUE)
    within = [math.nan if each.groups is None else each.groups.within for each in found]
    _line(
        axes, places, [a / b for a, b in zip(within, null, strict=True)], "pairs of one group", _VERMILLION, marker="s"
    )
    axes.axhline(1.0, color=_GREY, linewidth=1.1, linestyle="--", label="random lists of the same lengths")
    top = [record.top for record in records]
    nulls = [each.load_balance or math.nan for each in top]
    same = [
        math.nan if each.groups is None else each.groups.within / base for each, base in zip(top, nulls, strict=True)
    ]
    _line(axes, places, same, "top-1, one group, over load balance", _GREEN, marker="^")
    axes.set_ylabel("distance / its null")


def _draw_r_squared(axes: "Axes", places: Sequence[int], records: Sequence[PathwayMetrics]) -> None:
    """Draw R^2; marks are filled where its p-value is at most 0.05, each checkpoint by itself."""
    for name, colour, marker in (("distance", _BLUE, "o"), ("top", _GREEN, "^")):
        groups = [getattr(record, name).groups for record in records]
        values = [math.nan if each is None else each.r_squared for each in groups]
        label = "paths" if name == "distance" else "top-1 paths"
        _line(axes, places, values, f"{label}; filled: p <= 0.05", colour, marker="")
        for place, value, each in zip(places, values, groups, strict=True):
            if each is not None:
                filled = colour if each.p_value <= 0.05 else "white"
                axes.plot([place], [value], color=colour, marker=marker, markersize=5, markerfacecolor=filled)
    if all(record.distance.groups is None for record in records):
        axes.annotate("no groups of samples were given", (0.5, 0.5), xycoords="axes fraction", ha="center", color=_GREY)
    else:
        axes.axhline(0.0, color=_GREY, linewidth=0.9, linestyle="--")
    axes.set_ylabel("R² of groups (higher: routes shared)")


def _draw_complexity(axes: "Axes", places: Sequence[int], records: Sequence[PathwayMetrics]) -> None:
    for name, colour, style in (("raw", _GREY, ":"), ("centred", _PURPLE, "-")):
        parts = [getattr(record, name) for record in records]
        for what, marker in (("consistency", "o"), ("mean_cosine", "s")):
            values = [math.nan if part is None else getattr(part, what) for part in parts]
            label = f"{'as published' if name == 'raw' else 'centred'}: {what.replace('_', ' ')}"
            _line(axes, places, values, label, colour, linestyle=style, marker=marker)
    axes.set_ylabel("consistency = 1 - C (median), mean cosine")


def _draw_entropy(axes: "Axes", places: Sequence[int], records: Sequence[PathwayMetrics]) -> None:
    _line(axes, places, [record.load.router_entropy for record in records], "router entropy", _ORANGE)
    axes.set_ylabel("router entropy [nats]", color=_ORANGE)
    second = axes.twinx()
    _line(second, places, [record.distance.mean_length for record in records], "path length", _BLUE, marker="D")
    second.set_ylabel("path length [experts]", color=_BLUE)


def _draw_saturation(axes: "Axes", places: Sequence[int], records: Sequence[PathwayMetrics]) -> None:
    found = [record.saturation for record in records]
    _line(axes, places, [math.nan if each is None else each.saturation for each in found], "all layers", "black")
    known = [each for each in found if each is not None]
    if known:
        random = sum(layer.random for layer in known[0].layers) / len(known[0].layers)
        axes.axhline(random, color=_GREY, linewidth=1.1, linestyle="--", label="experts at random, k/K")
    else:
        axes.annotate("experts of tokens were not kept", (0.5, 0.5), xycoords="axes fraction", ha="center", color=_GREY)
    axes.set_ylim(0, 1.03)
    axes.set_ylabel("saturation (last checkpoint: 1)")
