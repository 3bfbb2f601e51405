"""Training against test representations, layer by layer: a table for a terminal and a plot."""

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from genbounds.information.representations.layer_analysis import LayerAnalysis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_layers", "layers_text"]

# Okabe and Ito's palette, as in the other plots.
_BLUE, _VERMILLION, _GREY = "#0072B2", "#D55E00", "#595959"


def layers_text(analysis: LayerAnalysis) -> RenderableType:
    """Return the comparison as a table with its verdict.

    Parameters
    ----------
    analysis : LayerAnalysis
        What `genbounds.information.representations.funnels.analyse_layers` found.

    Returns
    -------
    rich renderable
        For each layer the distance of training and test representations, the floor of sampling, and the limit that the
        distance puts on the difference of the losses.
    """
    table = Table(
        title=f"{analysis.size} training and {analysis.size} test examples, layer by layer",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("layer")
    for name in ("numbers", "W1", "floor", "p", "constants to go", "limit"):
        table.add_column(name, justify="right", no_wrap=True)
    for layer in analysis.layers:
        style = "bold" if layer.name == analysis.funnel else ""
        distances = (f"{layer.distance:.4g}", f"{layer.floor:.4g}", f"{layer.p_value:.2g}")
        limits = (f"{layer.remaining_lipschitz:.3g}", f"{layer.limit:.4g}")
        table.add_row(Text(layer.name), f"{layer.dimension:,}", *distances, *limits, style=style)
    gap = (
        f"{analysis.loss} loss: {analysis.train_loss:.4g} on the training examples, {analysis.test_loss:.4g} on the "
        f"test examples. Their difference {analysis.gap:.4g} "
    )
    state = "lies within every limit." if analysis.holds else "exceeds a limit: a declared constant is too small."
    note = "Test examples enter: a diagnosis, which certifies nothing."
    return Group(table, Text(gap + state), Text(analysis.sentence), Text(note, style="dim"))


def draw_layers(analysis: LayerAnalysis, axes: "Axes | None" = None) -> "Axes":
    """Draw distances, their floors and the limits over the layers.

    Parameters
    ----------
    analysis : LayerAnalysis
        What `genbounds.information.representations.funnels.analyse_layers` found.
    axes : matplotlib Axes, optional
        Where to draw; a new figure if left out. No window is opened and no global setting is changed.

    Returns
    -------
    matplotlib Axes
        The axes drawn on; limits that are infinite are left out.
    """
    from matplotlib.figure import Figure

    if axes is None:
        axes = Figure(figsize=(6.8, 4.4), layout="constrained").add_subplot()
    places = list(range(len(analysis.layers)))
    distances = [layer.distance for layer in analysis.layers]
    axes.plot(
        places, [layer.limit for layer in analysis.layers], color=_VERMILLION, marker="s", label="limit on the gap"
    )
    axes.plot(places, distances, color=_BLUE, marker="o", linewidth=2.0, label="W1 of training and test")
    floors = [layer.floor for layer in analysis.layers]
    axes.plot(places, floors, color=_GREY, linestyle=":", marker="_", label="W1 of training and training: the floor")
    if analysis.gap:
        axes.axhline(abs(analysis.gap), color="black", linewidth=1.0, linestyle="--", label="gap on these examples")
    axes.set_yscale("log")
    axes.set_xticks(places, [layer.name for layer in analysis.layers], rotation=30, ha="right")
    axes.set_xlabel("layer")
    axes.set_ylabel(f"{analysis.loss} loss, or distance")
    axes.grid(visible=True, which="major", color="#D9D9D9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.01), borderaxespad=0.0)
    return axes
