"""Saturation: itself is 1, random routing meets k/K, and the baseline of the loads is an exact average."""

import importlib.util
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genbounds.pathways.usage.saturation import Saturation, saturation

spec = importlib.util.spec_from_file_location("usage_worlds", Path(__file__).parent / "usage_worlds.py")
worlds = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worlds)
random_sets, routing_of = worlds.random_sets, worlds.routing_of


def test_the_last_checkpoint_is_saturated_even_where_tokens_were_dropped():
    selected = random_sets(np.random.default_rng(0), 12, 6, 3)
    selected[3, 2], selected[5] = -1, -1
    routing = routing_of([selected], [5, 7], 6)
    layer = saturation(routing, routing).layers[0]
    assert layer.saturation == layer.top_agreement == layer.jaccard == 1.0
    assert layer.saturation_error == 0.0
    assert layer.random == pytest.approx((12 * 3 - 4) / 12 / 6)


def test_by_hand_and_the_record():
    rng = np.random.default_rng(1)
    one, two = random_sets(rng, 20, 5, 2), random_sets(rng, 20, 5, 2)
    found = saturation(routing_of([one], [8, 12], 5), routing_of([two], [8, 12], 5))
    shared = [len({*a} & {*b}) for a, b in zip(one, two, strict=True)]
    layer = found.layers[0]
    assert layer.saturation == pytest.approx(np.mean(shared) / 2) == found.saturation
    assert layer.jaccard == pytest.approx(np.mean([s / (4 - s) for s in shared]))
    assert layer.top_agreement == pytest.approx((one[:, 0] == two[:, 0]).mean())
    assert Saturation.from_json(json.loads(json.dumps(found.to_json()))) == found
    relabelled = np.random.default_rng(2).permutation(5)
    again = saturation(routing_of([relabelled[one]], [8, 12], 5), routing_of([relabelled[two]], [8, 12], 5))
    assert again.layers == found.layers


def test_the_baseline_of_the_loads_is_the_average_over_all_orders():
    rng = np.random.default_rng(3)
    one, two = (random_sets(rng, 6, 4, 2, [5, 2, 1, 0.5]) for _ in range(2))
    last = routing_of([two], [6], 4)
    orders = [one[list(order)] for order in itertools.permutations(range(6))]
    matches = [np.mean([(row[:, None] == two[i]).sum() / 2 for i, row in enumerate(order)]) for order in orders]
    assert saturation(routing_of([one], [6], 4), last).layers[0].same_loads == pytest.approx(
        np.mean(matches), abs=1e-12
    )


def test_random_routing_meets_k_of_k_experts():
    rng = np.random.default_rng(4)
    one, two = random_sets(rng, 4000, 16, 4), random_sets(rng, 4000, 16, 4)
    layer = saturation(routing_of([one], [40] * 100, 16), routing_of([two], [40] * 100, 16)).layers[0]
    assert layer.random == 0.25
    # Of the hypergeometric number of shared experts the variance is k k/K (1 - k/K) (K - k)/(K - 1).
    deviation = np.sqrt(4 * 0.25 * 0.75 * 12 / 15 / 4000) / 4
    assert abs(layer.saturation - 0.25) <= 4 * deviation
    assert layer.saturation_error == pytest.approx(deviation, rel=0.3)


def test_what_cannot_be_compared_is_refused():
    one = routing_of([np.array([[0, 1], [1, 2], [0, 2]])], [1, 2], 3, token_ids=[4, 5, 6])
    other_ids = replace(one, token_ids=np.array([4, 5, 7], np.int32))
    with pytest.raises(ValueError, match="same tokens, got 1 that differ"):
        saturation(other_ids, one)
    with pytest.raises(ValueError, match="same tokens, got 3 tokens of 2 samples"):
        saturation(one, routing_of([np.array([[0, 1], [1, 2], [0, 2]])], [2, 1], 3))
    bare = replace(one, layers=(replace(one.layers[0], selected=None, weights=None, gates=None),))
    with pytest.raises(ValueError, match="keep='routes'"):
        saturation(bare, one)
    with pytest.raises(ValueError, match="same layers, experts and k"):
        saturation(one, routing_of([np.array([[0], [1], [0]])], [1, 2], 3))


def test_experts_that_capacity_left_out_of_either_checkpoint():
    rng = np.random.default_rng(21)
    early, last = random_sets(rng, 40, 5, 3), random_sets(rng, 40, 5, 3)
    early[:10, 2], early[5:8] = -1, -1
    last[20:35, 2], last[6:8], last[30] = -1, -1, -1  # tokens 6 and 7 have no expert at either checkpoint
    layer = saturation(routing_of([early], [15, 25], 5), routing_of([last], [15, 25], 5)).layers[0]
    sets = [({*a} - {-1}, {*b} - {-1}) for a, b in zip(early.tolist(), last.tolist(), strict=True)]
    size_early, size_last = (sum(len(pair[side]) for pair in sets) for side in (0, 1))
    assert layer.saturation == pytest.approx(sum(len(a & b) for a, b in sets) / size_last)
    assert layer.random == pytest.approx(size_early / 40 / 5)
    assert layer.jaccard == pytest.approx(np.mean([len(a & b) / len(a | b) for a, b in sets if a | b]))
    has = last[:, 0] >= 0
    assert layer.top_agreement == pytest.approx((early[has, 0] == last[has, 0]).mean())
