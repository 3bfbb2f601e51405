"""Measures of one network as tables for a terminal."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from genbounds.measures.records import Measures

__all__ = ["measures_text"]


def measures_text(measures: Measures) -> RenderableType:
    """Return measures, refusals and spectra as tables.

    Parameters
    ----------
    measures : Measures
        What was measured.

    Returns
    -------
    rich renderable
        A table of numbers, one of layers, one of refusals with their reasons, and notes.
    """
    return Group(
        _numbers(measures),
        *([_layers(measures)] if measures.layers else []),
        *([_refusals(measures)] if measures.refused else []),
        *(Text(note) for note in _notes(measures)),
    )


def _numbers(measures: Measures) -> Table:
    estimates = any(each.error is not None for each in measures.measured)
    table = _table("Measures of the network", "measure", "value", *(["estimate: ± 2 standard errors"] * estimates))
    table.add_column("formula, or eq. of Jiang et al. 2020")
    for each in measures.measured:
        spread = 0.0 if each.error is None else 2 * each.error
        interval = "" if each.error is None else f"[{each.value - spread:.4g}, {each.value + spread:.4g}]"
        table.add_row(Text(each.name), f"{each.value:.6g}", *([interval] * estimates), Text(each.equation))
    return table


def _layers(measures: Measures) -> Table:
    shuffled = any(layer.shuffled for layer in measures.layers)
    layers = _table(
        "Spectra of the weight matrices",
        "layer",
        "kind",
        "shape",
        "|W|²",
        "stable rank",
        "above noise",
        "noise fits",
        "α",
        "tail",
        "p",
        *(["shuffled |W|²", "distance"] if shuffled else []),
    )
    for layer in measures.layers:
        law, bulk = layer.power_law, layer.bulk
        fit = ("", "", "") if law is None else _fit(law.alpha, law.standard_error, law.tail, law.log_normal_p)
        layers.add_row(
            Text(layer.name),
            layer.kind,
            f"{layer.rows} × {layer.columns}",
            f"{layer.largest:.4g}",
            f"{layer.stable_rank:.2f}",
            *(("", "") if bulk is None else (f"{bulk.spikes}", f"{1 - bulk.distance:.2f}")),
            *fit,
            *([] if layer.shuffled is None else [f"{layer.shuffled.largest:.4g}", f"{layer.shuffled.distance:.2f}"]),
        )
    return layers


def _refusals(measures: Measures) -> Table:
    table = _table("Not measured")
    table.add_column("measures")
    table.add_column("why")
    for reason in dict.fromkeys(each.reason for each in measures.refused):
        names = ", ".join(each.name for each in measures.refused if each.reason == reason)
        table.add_row(Text(names), Text(f"{reason}."))
    return table


def _notes(measures: Measures) -> list[str]:
    notes = [f"{layer.name}: {reason}" for layer in measures.layers for reason in layer.reasons]
    if any(each.error is not None for each in measures.measured):
        notes.append("Standard errors are over what was drawn: for nearly normal estimates about a 95 % interval.")
    if measures.layers:
        notes.append(
            "Noise fits: 1 minus the distance of the bulk to Marchenko and Pastur's law; above 0.9 it looks like "
            "noise. α ± its scale, not a confidence interval; a small p speaks for a log-normal tail. "
            "All spectra change when neurons are rescaled and the function stays the same."
        )
    return [*notes, "A measure proves nothing."]


def _fit(alpha: float, error: float, tail: int, p_value: float) -> tuple[str, str, str]:
    return f"{alpha:.2f} ± {error:.2f}", f"{tail}", f"{p_value:.2g}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", no_wrap=not number)
    return table
