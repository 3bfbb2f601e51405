"""Pathways of one moment, layer by layer: a table for a terminal."""

import math
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from genbounds.pathways.metrics_records import PathwayMetrics
from genbounds.pathways.usage.coactivation import CoActivation, LayerCoActivation

__all__ = ["pathway_table", "pathways_text"]

#: Pairs of experts that are shown for a layer.
_PAIRS = 3


def pathways_text(record: PathwayMetrics, together: CoActivation | None = None) -> RenderableType:
    """Return the metrics of one moment as a table of layers, with what a reader must know.

    Parameters
    ----------
    record : PathwayMetrics
        What was measured.
    together : CoActivation, optional
        Which experts were executed together.

    Returns
    -------
    rich renderable
        The distance with its nulls, a row for each layer, and notes.
    """
    companions = {} if together is None else {layer.name: layer for layer in together.layers}
    table = pathway_table(
        f"Routers: {record.samples:,} samples, {record.tokens:,} tokens",
        "layer",
        "experts",
        "executed",
        "entropy [nats]",
        "/ ln K",
        "effective",
        "largest load",
        "dead",
        "path length",
        *(["P(j|i) and lift"] if companions else []),
    )
    for layer, length in zip(record.load.layers, record.distance.path_length, strict=True):
        table.add_row(
            Text(layer.name),
            f"{layer.experts}",
            f"{layer.executed:.3g}",
            f"{layer.router_entropy:.3f}",
            f"{layer.relative_router_entropy:.2f}",
            f"{layer.effective_experts:.2f}",
            f"{layer.largest_load:.2f}",
            f"{layer.dead_experts}",
            f"{length:.2f}",
            *([_pairs(companions[layer.name])] if companions else []),
        )
    lines = [
        "entropy: of a token's gates, averaged; effective: exp of the entropy of the load, from 1 to K; "
        "largest load: over the mean load; dead: executed for no token; path length: experts of a sample's path.",
        *(
            ["j|i: share of the tokens of expert i that expert j gets too; lift: over what the loads explain."]
            * bool(together)
        ),
        *_notes(record),
    ]
    shown: list[RenderableType] = [Text(str(record.distance)), *_complexity(record), Text(), table]
    return Group(*shown, *(Text(line, style="dim") for line in lines))


def _pairs(layer: LayerCoActivation) -> str:
    return "\n".join(
        f"{pair.other}|{pair.given}\u00a0{pair.probability:.2f}\u00a0x{number(pair.lift, '.2f') or '?'}"
        for pair in layer.pairs[:_PAIRS]
    )


def _complexity(record: PathwayMetrics) -> list[RenderableType]:
    return [
        Text(
            f"{'centred' if part.centred else 'as published'}: erraticness {part.median:.3g} "
            f"[{part.median_low:.3g}, {part.median_high:.3g}], consistency {part.consistency:.3g} (medians), mean "
            f"cosine {part.mean_cosine:.3g} +- {part.mean_cosine_error:.2g}, invalid {part.invalid_share:.1%}"
        )
        for part in (record.raw, record.centred)
        if part is not None
    ]


def _notes(record: PathwayMetrics) -> list[str]:
    return list(dict.fromkeys([*record.notes, *record.distance.warnings, *_of_single_paths(record)]))


def _of_single_paths(record: PathwayMetrics) -> list[str]:
    return [note for part in (record.raw, record.centred) if part is not None for note in part.notes]


def number(value: float, how: str = ".4g") -> str:
    """Return a number for a table; nothing where it is not defined.

    Parameters
    ----------
    value : float
        Any number, or NaN.
    how : str
        Format.

    Returns
    -------
    str
        Empty for NaN.
    """
    return "" if math.isnan(value) else format(value, how)


def pathway_table(title: str, *columns: str) -> Table:
    """Return an empty table in the style of these reports.

    Parameters
    ----------
    title : str
        Above it.
    *columns : str
        Heads; all but the first are of numbers.

    Returns
    -------
    rich.table.Table
        Without rows.
    """
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(columns[0], no_wrap=True)
    for name in columns[1:]:
        table.add_column(name, justify="right")
    return table


def record_notes(records: Sequence[PathwayMetrics]) -> list[str]:
    """Return what a reader of several records must know, once.

    What is said of the single paths of some records only is a share of samples, which a table has.

    Parameters
    ----------
    records : sequence of PathwayMetrics
        Along a training.

    Returns
    -------
    list of str
        Sentences.
    """
    shared = [note for note in _of_single_paths(records[0]) if all(note in _of_single_paths(each) for each in records)]
    own = [note for record in records for note in (*record.notes, *record.distance.warnings)]
    return list(dict.fromkeys([*own, *shared]))
