"""Concentration of paths: closed forms, the null of layers, and the estimate of unseen paths."""

import importlib.util
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from genbounds.pathways.usage.concentration import PathConcentration, chao_shen_entropy, path_concentration

spec = importlib.util.spec_from_file_location("usage_worlds", Path(__file__).parent / "usage_worlds.py")
worlds = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worlds)
routing_of, sticky = worlds.routing_of, worlds.sticky


def test_all_paths_once_and_one_path_only():
    grid = np.array([(a, b) for a in range(3) for b in range(3)])
    found = path_concentration(routing_of([grid[:, [0]], grid[:, [1]]], [3] * 3, 3))
    assert (found.distinct, found.most_frequent) == (9, 1 / 9)
    assert found.coverage == pytest.approx(1)
    assert found.path_entropy == pytest.approx(math.log(9))
    assert math.isnan(found.chao_shen)
    one = path_concentration(routing_of([np.zeros((6, 1), int)] * 2, [3] * 2, 3))
    assert (one.distinct, one.path_entropy, one.effective_paths, one.most_frequent) == (1, 0.0, 1.0, 1.0)
    assert (one.distinct_p_value, one.entropy_p_value, one.chao_shen) == (1.0, 1.0, 0.0)
    assert PathConcentration.from_json(json.loads(json.dumps(found.to_json()))).to_json() == found.to_json()


def test_paths_are_counted_as_tuples_however_many_there_could_be():
    rng = np.random.default_rng(0)
    base = rng.integers(-1, 200, (20, 24))  # 200^24 possible paths are beyond 64 bits
    base[1] = base[0]
    base[1, 0] = (base[0, 0] + 1) % 200  # differs in the first layer only, whose code is the first to be compressed
    experts = base[rng.integers(0, 20, 300)]
    routing = routing_of([experts[:, [place]] for place in range(24)], [10] * 30, 200)
    found = path_concentration(routing, permutations=2)
    counts = Counter(map(tuple, experts.tolist()))
    shares = np.array(list(counts.values())) / 300
    assert found.distinct == len(counts)
    assert found.most_frequent == shares.max()
    assert found.path_entropy == pytest.approx(-(shares * np.log(shares)).sum())
    assert found.log_possible == pytest.approx(24 * math.log(200))
    assert found.coverage == pytest.approx(len(counts) / 200.0**24)


def test_layers_that_go_together_concentrate_paths_and_independent_ones_keep_the_level():
    rng, kept = np.random.default_rng(1), 0
    together = sticky(rng, 20, 10, 4)
    found = path_concentration(routing_of([together, together, together], [10] * 20, 4))
    assert found.distinct_p_value == found.entropy_p_value == 1 / 100
    assert found.distinct_z < -3
    for repetition in range(120):
        layers = [sticky(rng, 16, 10, 3) for _ in range(3)]
        null = path_concentration(routing_of(layers, [10] * 16, 3), permutations=19, seed=repetition)
        kept += null.entropy_p_value <= 0.1
    assert kept / 120 <= 0.21  # 0.1 and four standard errors


def test_samples_are_units_too():
    rng = np.random.default_rng(2)
    layers = [rng.integers(0, 3, (12, 1)) for _ in range(2)]
    routing = routing_of(layers, [1] * 12, 3)
    assert path_concentration(routing, units="samples").distinct == path_concentration(routing).distinct


def test_unseen_paths_are_made_up_for_where_draws_are_independent():
    rng = np.random.default_rng(3)
    law = rng.dirichlet(np.full(300, 0.7))
    truth = -(law[law > 0] * np.log(law[law > 0])).sum()
    counts = rng.multinomial(200, law, size=100)
    plug_in = [-(c[c > 0] / 200 * np.log(c[c > 0] / 200)).sum() for c in counts]
    estimates = [chao_shen_entropy(c) for c in counts]
    assert truth - np.mean(plug_in) > 0.3
    assert abs(np.mean(estimates) - truth) < 0.1
    with pytest.raises(ValueError, match="counts must be above 0 somewhere"):
        chao_shen_entropy([0, 0])


def test_paths_that_differ_in_the_first_of_many_layers_stay_different():
    """Four symbols in each of forty layers: numbers of 64 bits would forget the first eight."""
    first = np.arange(12).reshape(-1, 1) % 3
    routing = routing_of([first] + [np.zeros((12, 1), int)] * 39, [2] * 6, 3)
    assert path_concentration(routing, permutations=1).distinct == 3
