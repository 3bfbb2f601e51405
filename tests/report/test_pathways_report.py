"""Tables and figure of pathways: every number shown is the record's."""

import io
import itertools
import math
import re

import numpy as np
import pytest
from rich.console import Console

from genbounds.pathways import RoutedLayer, Routing, coactivation
from genbounds.pathways.routing import count_pairs
from genbounds.pathways.training.series_records import series_of
from genbounds.report.pathway_series import draw_pathway_series, pathway_series_text
from genbounds.report.pathways import pathways_text

N, EXPERTS, EXECUTED, WIDTH = 24, 5, 2, 6
GROUPS = np.repeat(np.arange(4), 6)


def routing(seed, layers=3, *, step=None, keep=True, values=True):
    """One token for each sample; groups weigh more and more with the seed."""
    source = np.random.default_rng(seed + 10)
    made = []
    for number in range(layers):
        logits = source.standard_normal((N, EXPERTS)) + seed * source.standard_normal((4, EXPERTS))[GROUPS]
        gates = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        selected = np.argsort(-gates, axis=1)[:, :EXECUTED].astype(np.int16)
        counts = np.zeros((N, EXPERTS), np.int64)
        np.put_along_axis(counts, selected.astype(np.intp), 1, axis=1)
        made.append(
            RoutedLayer(
                name=f"blocks.{number}.gate[{number}]",
                number=number,
                gate="softmax",
                mean_gates=gates.astype(np.float32),
                counts=counts,
                entropy=-(gates * np.log(gates)).sum(axis=1),
                ties=np.zeros(N, np.int64),
                pair_counts=count_pairs(selected, EXPERTS),
                router=source.standard_normal((EXPERTS, WIDTH)).astype(np.float32),
                selected=selected if keep else None,
                weights=np.take_along_axis(gates, selected.astype(np.intp), 1).astype(np.float32) if keep else None,
            )
        )
    correct = (source.random(N) < 0.2 * (1 + seed)).astype(np.float64)
    captured = {"loss": source.random(N), "correct": correct} if values else {}
    return Routing(tuple(made), np.ones(N, np.int64), values=captured, name=f"moment {seed}", step=step)


@pytest.fixture(scope="module")
def series():
    routings = [routing(seed, step=100 * seed) for seed in range(5)]
    return series_of(routings, groups=GROUPS, shuffles=19, permutations=99)


def shown(renderable, width=160):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def rows(text, start):
    """Cells of the table that begins with a title, a list for each row."""
    lines = [line.strip() for line in text[text.index(start) :].splitlines()]
    first = next(i for i, line in enumerate(lines) if set(line) == {"─"}) + 1
    return [line.split() for line in itertools.takewhile(bool, lines[first:])]


def test_a_table_has_the_records_numbers(series):
    text = shown(pathway_series_text(series, series.correlations()))
    table = rows(text, "Pathways of 24 samples through 3 routers")[: len(series.points)]
    for cells, point in zip(table, series.points, strict=True):
        flat = point.record.flat()
        wanted = [
            *(point.step, flat["correct"], flat["loss"], flat["distance/mean"], flat["distance/ratio"]),
            *(flat["distance/shuffled/variance_z"], flat["distance/path_length"], flat["distance/load_balance"]),
            *(flat["distance/within"], flat["distance/r_squared"], flat["distance/p_value"]),
            *(flat["top/r_squared"], flat["top/p_value"]),
        ]
        assert [float(cell) for cell in cells] == pytest.approx(wanted, rel=0.01, abs=0.051)
        assert float(cells[3]) == pytest.approx(flat["distance/mean"], rel=1e-3)
        assert float(cells[9]) == pytest.approx(flat["distance/r_squared"], abs=5e-4)
    table = rows(text, "Single paths")[: len(series.points)]
    for cells, point in zip(table, series.points, strict=True):
        flat = point.record.flat()
        numbers = [float(cell.rstrip("%")) for cell in cells if cell != "/"]
        wanted = [point.step]
        wanted += [flat[f"{prefix}erraticness_median"] for prefix in ("", "centred_")]
        wanted += [flat[f"{prefix}consistency_median"] for prefix in ("", "centred_")]
        wanted += [100 * flat[f"{prefix}erraticness_invalid_share"] for prefix in ("", "centred_")]
        wanted += [flat[f"{prefix}mean_cosine"] for prefix in ("", "centred_")]
        wanted += [flat["router_entropy"], flat["saturation"]]
        assert numbers == pytest.approx(wanted, abs=0.051)
        assert numbers[1] + numbers[3] == pytest.approx(1, abs=2e-3)  # erraticness and consistency


def test_correlations_come_with_the_number_of_checkpoints_and_what_they_are_worth(series):
    found = series.correlations()
    text = shown(pathway_series_text(series, found))
    assert "Correlations with accuracy along 5 checkpoints of one training" in text
    assert "given step and router_entropy" in re.sub(r"\s+", " ", text)
    table = {cells[0]: cells[1:] for cells in rows(text, "Correlations with accuracy")}
    assert float(table["distance/r_squared"][0]) == pytest.approx(found["distance/r_squared"].pearson, abs=5e-3)
    words = " ".join(text.split())
    assert "no independent draws, so there is no p-value" in words
    assert "predicts nothing" in words
    assert "Correlations" not in shown(pathway_series_text(series))


def test_names_are_shown_where_there_are_no_steps():
    series = series_of([routing(seed) for seed in range(2)], shuffles=0, permutations=0)
    text = shown(pathway_series_text(series))
    assert "1  moment 0" in text
    assert "2  moment 1" in text


def test_what_was_not_measured_is_left_empty():
    """Two layers have no erraticness, no tokens no saturation, no groups no R^2; nothing says nan."""
    series = series_of([routing(seed, 2, keep=False, values=False) for seed in range(2)], shuffles=0, permutations=0)
    text = shown(pathway_series_text(series))
    assert "nan" not in text
    assert "at least three layers" in text
    figure = draw_pathway_series(series)
    assert [each.get_text() for each in figure.axes[2].texts] == ["no groups of samples were given"]


def test_one_moment_is_a_table_of_layers():
    one = routing(3)
    record = series_of([one], groups=GROUPS, shuffles=19, permutations=99).points[0].record
    text = shown(pathways_text(record, coactivation(one)))
    for layer, each in zip(record.load.layers, coactivation(one).layers, strict=True):
        (cells,) = [line.split() for line in text.splitlines() if layer.name in line]
        numbers = [float(cell) for cell in cells[1:9]]
        wanted = (layer.experts, layer.executed, layer.router_entropy, layer.relative_router_entropy)
        wanted += (layer.effective_experts, layer.largest_load, layer.dead_experts)
        assert numbers[:7] == pytest.approx(wanted, abs=6e-3)
        assert cells[9] == f"{each.pairs[0].other}|{each.pairs[0].given}"
        assert float(cells[10]) == pytest.approx(each.pairs[0].probability, abs=6e-3)
    assert "R2" in text
    assert "erraticness" in text


def test_the_figure_draws_the_records_numbers(series):
    figure = draw_pathway_series(series)
    lines = {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}
    steps = [point.step for point in series.points]
    expected = {
        "accuracy": "correct",
        "loss": "loss",
        "router entropy": "router_entropy",
        "path length": "distance/path_length",
        "centred: mean cosine": "centred_mean_cosine",
        "as published: consistency": "consistency_median",
        "paths; filled: p <= 0.05": "distance/r_squared",
        "all layers": "saturation",
    }
    for label, name in expected.items():
        values = [point.record.flat().get(name, math.nan) for point in series.points]
        assert list(lines[label].get_xdata()) == steps
        assert list(lines[label].get_ydata()) == pytest.approx(values)
    same = lines["pairs of one group"].get_ydata()
    for value, point in zip(same, series.points, strict=True):
        assert value == pytest.approx(point.record.distance.groups.within / point.record.distance.random_mean)
    assert figure.axes[4].get_xlabel() == "step"


def test_marks_are_filled_where_p_is_small(series):
    axes = draw_pathway_series(series).axes[2]
    marks = [line for line in axes.get_lines() if line.get_marker() == "o" and len(line.get_xdata()) == 1]
    groups = [point.record.distance.groups for point in series.points]
    assert [mark.get_markerfacecolor() != "white" for mark in marks] == [each.p_value <= 0.05 for each in groups]
    assert len({each.p_value <= 0.05 for each in groups}) == 2  # the case has both kinds
