"""Coherence of one network, layer by layer: a table for a terminal and a plot."""

import math
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from genbounds.coherence.records import Coherence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["coherence_text", "draw_coherence"]

# Okabe and Ito's palette, as in the other plots.
_BLUE, _VERMILLION, _GREY = "#0072B2", "#D55E00", "#595959"


def coherence_text(record: Coherence) -> RenderableType:
    """Return a record of coherence as a table, with what a reader must know.

    Parameters
    ----------
    record : Coherence
        What `genbounds.coherence.measure` returned.

    Returns
    -------
    rich renderable
        A row for all parameters and one for each layer, and notes.
    """
    table = Table(
        title=f"Coherence of the gradients of {record.m:,} examples, {record.parameters:,} parameters",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("layer")
    level = f"{record.level:.0%} interval"
    for name in (
        "parameters",
        "share",
        "alpha",
        level,
        "m-coherence",
        "noise scale",
        *(["p"] if record.null_draws else []),
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for label, numbers in record.groups():
        low, high = numbers.interval
        cells = [
            f"{numbers.parameters:,}",
            "" if numbers.fraction is None else f"{numbers.fraction:.1%}",
            _number(numbers.alpha),
            "" if math.isnan(low) else f"[{low:.4g}, {high:.4g}]",
            _number(numbers.m_coherence),
            _number(numbers.noise_scale),
        ]
        if record.null_draws:
            cells.append(f"{numbers.p_value:.3g}")
        table.add_row(Text(label), *cells, style="bold" if numbers is record else "")
    lines = [
        f"alpha: estimate for the population; m-coherence: of the {record.m:,} examples themselves, 1 for orthogonal "
        "gradients; share: of the average squared norm; noise scale: batch size at which noise and signal balance.",
        *([_null(record)] if record.null_draws else []),
        *record.notes(),
    ]
    counted = f"average loss {record.loss:.6g}; {record.zero_gradients:,} examples without gradient."
    second = [] if record.second is None else [Text(str(record.second))]
    return Group(table, Text(counted), *second, *(Text(line, style="dim") for line in lines))


def draw_coherence(record: Coherence, axes: "Axes | None" = None) -> "Axes":
    """Draw the coherence of each layer with its interval.

    Parameters
    ----------
    record : Coherence
        What `genbounds.coherence.measure` returned.
    axes : matplotlib Axes, optional
        Where to draw; a new figure if left out. No window is opened and no global setting is changed.

    Returns
    -------
    matplotlib Axes
        The axes drawn on; layers whose coherence is not defined have a name and no point.
    """
    from matplotlib.figure import Figure

    groups = list(record.groups())
    if axes is None:
        axes = Figure(figsize=(6.8, min(1.8 + 0.28 * len(groups), 40.0)), layout="constrained").add_subplot()
    for place, (_, numbers) in enumerate(groups):
        low, high = numbers.interval
        if not math.isnan(low):
            axes.plot([low, high], [place, place], color=_BLUE, linewidth=2.0, solid_capstyle="butt")
    places = range(len(groups))
    axes.plot(
        [numbers.alpha for _, numbers in groups],
        places,
        "o",
        color=_BLUE,
        label=f"estimate, {record.level:.0%} interval (nominal)",
    )
    axes.plot(
        [numbers.plug_in_alpha for _, numbers in groups],
        places,
        "s",
        color=_VERMILLION,
        markerfacecolor="none",
        label="plug-in, of the examples themselves",
    )
    axes.axvline(1 / record.m, color=_GREY, linestyle=":", linewidth=1.2, label="plug-in of orthogonal gradients: 1/m")
    axes.axvline(0.0, color=_GREY, linewidth=0.8)
    shares = ("-" if numbers.fraction is None else f"{numbers.fraction:.0%}" for _, numbers in groups)
    axes.set_yticks(places, [f"{label}  {share}" for (label, _), share in zip(groups, shares, strict=True)])
    axes.invert_yaxis()
    axes.set_ylabel("layer, its share")
    axes.set_xlabel(f"coherence of the gradients of {record.m:,} examples; share of the average squared norm")
    axes.grid(visible=True, axis="x", color="#D9D9D9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.01), borderaxespad=0.0)
    return axes


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def _null(record: Coherence) -> str:
    return (
        f"p: of the hypothesis that gradients are symmetric about 0, each by itself, from {record.null_draws} patterns "
        f"of random signs, so at least {1 / (record.null_draws + 1):.3g}."
    )
