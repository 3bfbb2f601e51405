"""Curves of information as tables for a terminal and as a plot: architectures side by side, and one checkpoint."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from genbounds.inductive_bias.architectures.comparison import Comparison, Difference
from genbounds.rare_events.averages.log_means import TRUSTED
from genbounds.rare_events.curves import TailCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from genbounds.inductive_bias.architectures.random_comparison import RandomComparison
    from genbounds.inductive_bias.volume.local_volume import LocalVolume
    from genbounds.workflow.inductive_bias import CheckpointBias

__all__ = ["checkpoint_text", "comparison_text", "curves_text", "draw_checkpoint", "draw_curves", "random_text"]

# Okabe and Ito's palette: told apart with any colour vision; markers tell the curves apart in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#595959")
_MARKERS = "osD^vPX"
#: Levels that are all written along the axis.
_TICKS = 8


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
    return Group(*_curves(curves, title), Text(f"level: {loss}, at most.", style="dim"), *_notes(curves.items()))


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
    title = f"Information beyond the training data: {comparison.task}"
    return Group(curves_text(comparison.averages, title=title, loss=comparison.loss), *_beside(comparison))


def random_text(comparison: "RandomComparison") -> RenderableType:
    """Return random weights of architectures side by side: what fitting takes, what generalising takes beyond, both.

    Parameters
    ----------
    comparison : RandomComparison
        What two samplers measured.

    Returns
    -------
    rich renderable
        Tables and notes, and before them whether the samplers disagree anywhere.
    """
    alarm = "THE SAMPLERS DISAGREE: where a table has no value none is to be quoted. Run them longer.\n"
    parts = (
        ("Information that fitting the training examples takes", comparison.train.averages),
        ("Information that generalising takes beyond it", comparison.generalisation.averages),
        ("Information that both take", comparison.total.averages),
    )
    return Group(
        *([Text(alarm, style="bold yellow")] if comparison.flag else []),
        Text(comparison.task),
        *(shown for title, curves in parts for shown in (Text(""), *_curves(curves, title))),
        Text(f"level: {comparison.loss}, of training and of test examples, at most.", style="dim"),
        *_notes(named for _, curves in parts for named in curves.items()),
        *_beside(comparison.generalisation),
    )


def checkpoint_text(bias: "CheckpointBias") -> RenderableType:
    """Return what was measured at a checkpoint as tables, each number called what it is.

    Parameters
    ----------
    bias : CheckpointBias
        What `genbounds.workflow.inductive_bias.checkpoint_bias` returned.

    Returns
    -------
    rich renderable
        Tables and notes, and why a part was not measured.
    """
    shown: list[RenderableType] = [
        Text(
            f"{bias.checkpoint} on {bias.train:,} training examples: cross-entropy {bias.train_loss:.4g}, error "
            f"{bias.train_error:.4g}; on {bias.test:,} test examples: error {bias.test_error:.4g}"
        )
    ]
    shown.append(Text(f"Prior: {bias.prior}", style="dim"))
    constant = (1 - 1 / bias.outputs) / bias.outputs
    curves = _linear_curves(bias)
    if curves:
        shown += [
            Text(""),
            curves_text(
                curves,
                title="Information beyond the training examples, of linear spaces around the checkpoint",
                loss=f"mean square error of one-hot targets on the test examples (the constant's is {constant:.4g})",
            ),
            Text("Of the linearised network and of redrawn last layers, not of the network itself.", style="dim"),
        ]
    if bias.volume is not None:
        shown += [Text(""), _volume(bias.volume, bias.outputs)]
    if bias.coefficient is not None:
        shown += [
            Text(
                "\nLocal learning coefficient, an estimate at this number of examples and no information", style="bold"
            ),
            *_lines(str(bias.coefficient).removeprefix("local learning coefficient ")),
        ]
    if bias.evidence is not None:
        own, expanded = -bias.evidence.value, -bias.evidence.expanded
        shown += [
            Text(
                "\nEvidence of the training examples, by Laplace's approximation, without a known error", style="bold"
            ),
            Text(
                f"-ln p(D): {_number(own)} nats ({_number(_to_bits(own))} bits) at the checkpoint, of which the Occam "
                f"factor {_number(bias.evidence.occam_factor)}; {_number(expanded)} nats "
                f"({_number(_to_bits(expanded))} bits) by the expansion to the mode"
            ),
            *_lines("", *bias.evidence.warnings),
        ]
    shown += [Text(f"\n{part}: not measured. {reason[0].upper()}{reason[1:]}") for part, reason in bias.skipped.items()]
    return Group(*shown)


def draw_checkpoint(bias: "CheckpointBias") -> "Axes":
    """Draw the curves that were measured at a checkpoint.

    Parameters
    ----------
    bias : CheckpointBias
        With one curve at least, or its local volume.

    Returns
    -------
    matplotlib Axes
        Of the first panel: one for the test loss of linear spaces, one for the prior mass around the checkpoint.

    Raises
    ------
    ValueError
        If no curve was measured.
    """
    from matplotlib.figure import Figure

    panels = [(_linear_curves(bias), "mean square error on test examples")] if _linear_curves(bias) else []
    if bias.volume is not None:
        panels.append(({"local volume": bias.volume.curve}, "cross-entropy of training examples"))
    if not panels:
        raise ValueError("a curve must have been measured, got none: there is nothing to draw.")
    figure = Figure(figsize=(6.8 * len(panels), 4.4), layout="constrained")
    drawn = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (curves, loss) in zip(drawn, panels, strict=True):
        draw_curves(curves, axes, loss=loss)
    return drawn[0]


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
    levels = np.unique(np.concatenate([curve.levels for curve in curves.values()]))
    if len(levels) <= _TICKS:
        axes.set_xticks(levels, [f"{level:.3g}" for level in levels])
        axes.minorticks_off()
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


def _table(*columns: str) -> Table:
    """Return a table whose first column holds names, if it has no title."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    return table


def _curves(curves: Mapping[str, TailCurve], title: str) -> tuple[RenderableType, RenderableType]:
    table = _table("", "level", "nats", "interval", "bits")
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
    return Text(title, style="bold"), table


def _notes(curves: Iterable[tuple[str, TailCurve]]) -> list[Text]:
    """Say how curves came about, and their warnings."""
    named = list(curves)
    methods = _together((name, f"{each.kind}, {each.method}; intervals: {_confidence(each)}.") for name, each in named)
    warnings = _together((name, warning) for name, each in named for warning in each.warnings)
    said = [Text(line, style="dim") for line in methods]
    return said + [Text(f"Warning: {line}", style="yellow") for line in warnings]


def _beside(comparison: Comparison) -> list[RenderableType]:
    """Return the spaces of a comparison, and differences from the first."""
    first, *others = comparison.averages
    shown: list[RenderableType] = [Text(f"{name}: {space}.", style="dim") for name, space in comparison.spaces.items()]
    return shown + ([_differences([comparison.difference(name, first) for name in others])] if others else [])


def _together(named: Iterable[tuple[str, str]]) -> list[str]:
    """Say a sentence that holds for several curves once."""
    names: dict[str, dict[str, None]] = {}
    for name, sentence in named:
        names.setdefault(sentence, {})[name] = None
    return [f"{', '.join(those)}: {sentence}" for sentence, those in names.items()]


def _lines(text: str, *warnings: str) -> list[Text]:
    """Return the text of a record: its first line, and warnings."""
    first, *more = text.splitlines() or [""]
    said = [Text(first)] if first else []
    return said + [Text(f"Warning: {line}", style="yellow") for line in (*more, *warnings)]


def _linear_curves(bias: "CheckpointBias") -> dict[str, TailCurve]:
    named = {"linearised network": bias.tangent, "last layer": bias.head}
    return {name: curve for name, curve in named.items() if curve is not None}


def _volume(volume: "LocalVolume", outputs: int) -> RenderableType:
    """Return the prior mass around a checkpoint: for a whole space only the upper end of its information stands."""
    curve = volume.curve
    table = _table("level", "nats at most", "bits at most", "estimate", "interval")
    for level, nats, low, high, tail in zip(curve.levels, curve.nats, curve.low, curve.high, volume.tail, strict=True):
        trusted = tail < TRUSTED
        estimate = (_value(nats, low), _interval(low, high)) if trusted else ("not resolved", "")
        table.add_row(f"{level:.4g}", _value(high, low), _value(_to_bits(high), _to_bits(low)), *estimate)
    return Group(
        Text("Information of a small training loss, by the prior mass around the checkpoint", style="bold"),
        table,
        Text(
            f"level: cross-entropy of the training examples, at most (guessing has {math.log(outputs):.4g}). The mass "
            f"of all weights is larger than that around the checkpoint, so nats are at most this, at a nominal "
            f"{curve.confidence:.0%}; {volume.rays:,} rays.",
            style="dim",
        ),
        *_lines("", *curve.warnings),
    )


def _differences(differences: list[Difference]) -> RenderableType:
    table = _table("", "level", "nats", "interval", "bits")
    for difference in differences:
        rows = zip(difference.levels, difference.nats, difference.low, difference.high, strict=True)
        for place, (level, value, low, high) in enumerate(rows):
            cells = ("not resolved", "", "")
            if not math.isnan(value):
                cells = (_signed(value), f"[{_signed(low)}, {_signed(high)}]", _signed(_to_bits(value)))
            table.add_row(
                Text(f"{difference.one} - {difference.other}" if place == 0 else ""),
                f"{level:.4g}",
                *cells,
                end_section=place == len(difference.levels) - 1,
            )
    one = differences[0]
    how = "certain" if one.confidence == 1 else f"{one.confidence:.0%} (nominal), each by itself"
    return Group(
        Text(f"\nDifferences, {one.method}", style="bold"),
        table,
        Text(f"positive: the first of the two needs more. Intervals: {how}.", style="dim"),
    )


def _number(value: float) -> str:
    """Write a number with as many places as a reader needs."""
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{'-' if value < -5e-4 else '+'}{_number(abs(value))}"


def _value(value: float, low: float) -> str:
    """Return a number for a cell: what is not resolved is shown by its lower limit."""
    if math.isnan(value):
        return f"> {_number(low)}"
    return "infinite" if math.isinf(value) else _number(value)


def _interval(low: float, high: float) -> str:
    if math.isinf(low):
        return ""
    return f"[{_number(low)}, {'inf' if math.isinf(high) else _number(high)}]"


def _confidence(curve: TailCurve) -> str:
    return "certain" if curve.confidence == 1 else f"{curve.confidence:.0%} (nominal), each by itself"
