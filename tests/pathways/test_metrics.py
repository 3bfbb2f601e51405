"""All metrics of one moment are those of their own modules, with reasons for what is missing."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from genbounds.numerics.checks import finite
from genbounds.pathways import (
    Routing,
    cumulative_paths,
    expert_load,
    pathway_metrics,
    saturation,
    top_paths,
)
from genbounds.pathways.complexity import erraticness
from genbounds.pathways.mean_distance import pathway_distance
from genbounds.pathways.metrics_records import HEADLINES, PathwayMetrics
from genbounds.pathways.routing import RoutedLayer, count_pairs

pytest.importorskip("rapidfuzz", reason="edit distances need rapidfuzz")

FAST = {"shuffles": 5, "permutations": 9}


def routing_of(seed=0, n=24, layers=4, experts=5, *, groups=None, pull=0.0, name="", step=None, values=()):
    """Gates at random, pulled towards an expert of each group; two tokens a sample, both executed alike."""
    rng = np.random.default_rng(seed)
    lengths = np.full(n, 2)
    made = []
    for place in range(layers):
        logits = rng.standard_normal((n, experts))
        if groups is not None:
            favoured = np.random.default_rng(place).integers(experts, size=1 + int(np.max(groups)))
            logits[np.arange(n), favoured[groups]] += pull
        gates = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        selected = np.argsort(-gates, axis=1)[:, :2].repeat(2, axis=0).astype(np.int16)
        counts = np.stack([np.bincount(row, minlength=experts) for row in selected.reshape(n, -1)])
        made.append(
            RoutedLayer(
                f"layers.{place}.gate",
                place,
                "softmax",
                gates.astype(np.float32),
                counts,
                -(gates * np.log(gates)).sum(axis=1),
                np.zeros(n, np.int64),
                count_pairs(selected, experts),
                router=rng.standard_normal((experts, 6)).astype(np.float32),
                selected=selected,
                weights=np.full(selected.shape, 0.5, np.float32),
            )
        )
    return Routing(
        tuple(made), lengths, values={each: rng.random(n) for each in values}, name=name, step=step, warnings=("seen",)
    )


def test_each_part_is_that_of_its_own_module():
    groups = np.arange(24) % 4
    routing, last = routing_of(groups=groups, pull=1.0, values=("loss", "correct")), routing_of(9)
    found = pathway_metrics(routing, groups=groups, last=last, tau=0.6, seed=3, level=0.9, **FAST)
    setting = {"seed": 3, "level": 0.9} | FAST
    assert found.distance.to_json() == pathway_distance(cumulative_paths(routing, 0.6), groups, **setting).to_json()
    assert found.top.to_json() == pathway_distance(top_paths(routing), groups, metric="hamming", **setting).to_json()
    assert found.load == expert_load(routing)
    assert found.saturation == saturation(routing, last)
    for part, centred in ((found.raw, False), (found.centred, True)):
        whole = erraticness(routing, centred=centred, level=0.9)
        assert (part.median, part.mean, part.mean_cosine) == (whole.median, whole.mean, whole.average_cosine)
        assert part.consistency == 1 - whole.median
        assert (part.median_low, part.median_high) == whole.interval
        assert part.flat() == whole.flat()
    loss = routing.values["loss"]
    by_name = {value.name: value for value in found.values}
    assert by_name["loss"].mean == loss.mean()
    assert by_name["loss"].standard_error == pytest.approx(loss.std(ddof=1) / 24**0.5)
    assert by_name["correct"].n == 24
    assert found.notes == ("seen",)


def test_top_paths_and_other_distances():
    routing = routing_of()
    two = pathway_metrics(routing, paths="top", k=2, metric="jaccard", **FAST)
    assert two.distance.to_json() == pathway_distance(top_paths(routing, 2), metric="jaccard", **FAST).to_json()
    assert two.top.metric == "hamming"
    assert two.top.mean == pytest.approx(two.top.load_balance, abs=1e-12)
    divided = pathway_metrics(routing, normalise="yujian_bo", pairs=50, **FAST)
    assert (divided.distance.normalise, divided.top.normalise, divided.distance.pairs) == ("yujian_bo", None, 50)
    with pytest.raises(ValueError, match="paths must be 'cumulative' or 'top', got 'literal'"):
        pathway_metrics(routing, paths="literal")


def test_planted_groups_are_seen_and_random_ones_are_not():
    groups = np.arange(40) % 4
    planted = pathway_metrics(routing_of(n=40, groups=groups, pull=4.0), groups=groups, shuffles=5, permutations=99)
    assert planted.top.groups.r_squared > 0.3
    assert planted.top.groups.p_value == 0.01
    assert planted.distance.groups.p_value == 0.01
    p_values = [
        pathway_metrics(routing_of(seed, n=40), groups=groups, shuffles=0, permutations=19).top.groups.p_value
        for seed in range(40)
    ]
    assert np.mean(np.array(p_values) <= 0.1) < 0.1 + 4 * (0.1 * 0.9 / 40) ** 0.5


def without_router(routing):
    return replace(routing, layers=(*routing.layers[:-1], replace(routing.layers[-1], router=None)))


def other_width(routing):
    router = np.ones((5, 7), np.float32)
    return replace(routing, layers=(*routing.layers[:-1], replace(routing.layers[-1], router=router)))


@pytest.mark.parametrize(
    ("routing", "reason"),
    [
        (routing_of(layers=2), "at least three layers, and there are 2"),
        (without_router(routing_of()), "a router has no matrix"),
        (other_width(routing_of()), "routers read vectors of different widths"),
    ],
)
def test_what_cannot_be_measured_is_none_with_its_reason(routing, reason):
    found = pathway_metrics(routing, **FAST)
    assert (found.raw, found.centred, found.saturation, found.distance.groups) == (None, None, None, None)
    assert reason in found.notes[-1]
    assert "erraticness_median" not in found.flat()
    assert str(found).startswith("24 samples through")


@pytest.mark.parametrize("full", [True, False])
def test_through_json_it_is_exactly_the_same(full):
    groups = np.arange(24) % 3
    if full:
        found = pathway_metrics(routing_of(values=("loss",)), groups=groups, last=routing_of(1), **FAST)
    else:
        found = pathway_metrics(routing_of(n=5, layers=2), shuffles=0, permutations=0)
    text = json.dumps(found.to_json(), allow_nan=False)
    again = PathwayMetrics.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    assert again.flat() == found.flat()
    assert str(again) == str(found)
    with pytest.raises(ValueError, match="values must be a record of the format 'genbounds PathwayMetrics 1'"):
        PathwayMetrics.from_json(found.load.to_json())


def test_numbers_for_loggers():
    groups = np.arange(24) % 3
    found = pathway_metrics(routing_of(values=("loss",)), groups=groups, last=routing_of(1), **FAST)
    flat, headline = found.flat(), found.headline()
    assert all(type(value) is float for value in flat.values())
    assert finite("flat", list(flat.values())).size == len(flat)
    assert list(headline) == ["loss", *HEADLINES]
    assert headline["distance/r_squared"] == found.distance.groups.r_squared
    assert headline["saturation"] == found.saturation.saturation
    assert flat["layers.1.gate/gini"] == found.load.layers[1].gini
    assert flat["top/layer 2/mean"] == found.top.by_layer[2]
    assert not any(name.endswith("/number") for name in flat)


def test_the_same_arguments_give_the_same_record():
    one, two, other = (pathway_metrics(routing_of(), seed=seed, pairs=40, **FAST).to_json() for seed in (1, 1, 2))
    assert one == two
    assert one != other


def test_it_needs_no_torch():
    code = "import genbounds.pathways.training.series_records, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_value_with_the_name_of_a_metric_is_refused():
    found = pathway_metrics(routing_of(values=("router_entropy",)), **FAST)
    with pytest.raises(ValueError, match="values must have names of their own, got router_entropy"):
        found.flat()
