"""Co-activation: rows sum to k - 1, adjacent ranks are caught, loads alone are no lift."""

import importlib.util
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.pathways.routing import count_pairs
from genbounds.pathways.usage.coactivation import CoActivation, coactivation, coactivation_matrix, expected_pairs
from genbounds.pathways.usage.expert_sets import joint_inclusion

spec = importlib.util.spec_from_file_location("usage_worlds", Path(__file__).parent / "usage_worlds.py")
worlds = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worlds)
random_sets, routing_of = worlds.random_sets, worlds.routing_of


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7), st.integers(1, 4))
def test_rows_sum_to_k_minus_1(seed, experts, k):
    rng = np.random.default_rng(seed)
    k = min(k, experts)
    counts = count_pairs(random_sets(rng, 12, experts, k, rng.dirichlet(np.full(experts, 0.3)) + 1e-9), experts)
    used = np.diag(counts)
    matrix, expected = coactivation_matrix(counts), expected_pairs(counts, 12)
    assert matrix[used > 0].sum(axis=1) == pytest.approx(k - 1)
    assert np.isnan(matrix[used == 0]).all()
    assert expected.sum(axis=1) == pytest.approx(k * used)
    assert np.diag(expected) == pytest.approx(used)
    new = rng.permutation(experts)
    moved = coactivation_matrix(counts[np.ix_(new, new)])
    assert moved == pytest.approx(matrix[np.ix_(new, new)], nan_ok=True)


def test_counts_of_adjacent_ranks_are_refused():
    selected, counts = random_sets(np.random.default_rng(0), 300, 16, 8), np.zeros((16, 16), np.int64)
    for one, two in itertools.pairwise(selected.T):
        np.add.at(counts, (one, two), 1)
        np.add.at(counts, (two, one), 1)
    counts += np.diag(np.bincount(selected.ravel(), minlength=16))
    rows = coactivation_matrix(counts).sum(axis=1)
    assert ((rows > 1) & (rows < 2)).all()
    with pytest.raises(ValueError, match="pair_counts must count all pairs"):
        expected_pairs(counts, 300)


@pytest.mark.parametrize(("experts", "k"), [(5, 2), (6, 3), (6, 5), (4, 1), (3, 3)])
def test_the_law_of_largest_entropy_is_the_enumerated_one(experts, k):
    weights = np.random.default_rng(k).lognormal(0, 1.5, experts)
    sets = [np.isin(np.arange(experts), chosen) for chosen in itertools.combinations(range(experts), k)]
    law = np.array([weights[chosen].prod() for chosen in sets])
    joint = np.einsum("s,si,sj->ij", law / law.sum(), sets, sets)
    assert joint_inclusion(np.diag(joint), k) == pytest.approx(joint, abs=1e-10)


def test_experts_always_or_never_chosen_and_impossible_shares():
    joint = joint_inclusion([1.0, 0.5, 0.5, 0.0, 1.0], 3)
    assert joint[0].tolist() == [1.0, 0.5, 0.5, 0.0, 1.0]
    assert joint[1, 2] == 0.0
    with pytest.raises(ValueError, match="inclusion must sum to k = 2"):
        joint_inclusion([0.5, 0.5], 2)


def test_loads_alone_are_no_lift_and_a_planted_pair_is_found():
    rng = np.random.default_rng(5)
    loads = np.array([8.0, 4, 2, 1, 1, 1])
    # Sets of the law of largest entropy with weights `loads`: independent ones among all sets of three.
    sets = np.array(list(itertools.combinations(range(6), 3)))
    law = loads[sets].prod(axis=1)
    free = sets[rng.choice(len(sets), 6000, p=law / law.sum())]
    layer = coactivation(routing_of([free], [60] * 100, 6), pairs=30).layers[0]
    assert layer.divergence < 0.02
    for pair in layer.pairs:
        assert abs(pair.probability - pair.expected) <= 5 * pair.standard_error
        assert pair.lift == pytest.approx(1, abs=0.2)
    planted = free.copy()
    planted[:1500] = [3, 4, 0]
    found = coactivation(routing_of([planted], [60] * 100, 6), pairs=30)
    strongest = max(found.layers[0].pairs, key=lambda pair: pair.lift)
    assert {strongest.given, strongest.other} == {3, 4}
    assert strongest.lift > 1.5  # a quarter of the tokens raises the loads of both as well
    assert found.layers[0].divergence > 0.1
    again = CoActivation.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    assert found.flat()["layers.0.gate/companions"] == 2.0


def test_the_error_of_a_pair_covers_where_samples_are_clusters():
    rng, covered = np.random.default_rng(6), 0
    for _ in range(120):
        together = np.repeat(rng.random(40) < 0.5, 6)
        selected = np.where(together[:, None], [0, 1], [0, 2])
        pairs = coactivation(routing_of([selected], [6] * 40, 3)).layers[0].pairs
        pair = next(pair for pair in pairs if (pair.given, pair.other) == (0, 1))
        covered += abs(pair.probability - 0.5) <= 1.96 * pair.standard_error
    assert covered / 120 >= 0.87  # tokens as units would cover 0.58


def test_dropped_tokens_have_no_expectation_and_missing_parts_are_said():
    routing = routing_of([np.array([[0, 1], [1, -1], [2, 0]])], [1, 2], 3)
    layer = coactivation(routing).layers[0]
    assert math.isnan(layer.divergence)
    assert math.isnan(layer.pairs[0].expected)
    assert layer.companions == pytest.approx(4 / 5)
    bare = replace(routing.layers[0], selected=None, weights=None, gates=None)
    assert math.isnan(coactivation(replace(routing, layers=(bare,))).layers[0].pairs[0].standard_error)
    with pytest.raises(ValueError, match="layers must have counts of pairs"):
        coactivation(replace(routing, layers=(replace(bare, pair_counts=None),)))
    with pytest.raises(ValueError, match="pair_counts must be a symmetric table"):
        coactivation_matrix([[1, 1], [0, 1]])
    with pytest.raises(ValueError, match="at most the number on the diagonal"):
        coactivation_matrix([[1, 2], [2, 1]])


def test_the_divergence_is_the_total_variation_between_laws_of_pairs():
    """Of six pairs of four experts, equally loaded, two are seen: 2/3 of them would have to change."""
    selected = np.array([[0, 1], [2, 3]] * 6)
    layer = coactivation(routing_of([selected], [4, 8], 4)).layers[0]
    assert layer.divergence == pytest.approx(2 / 3)
    assert layer.pairs[0].lift == pytest.approx(3)
    assert {(pair.given, pair.other) for pair in layer.pairs} == {(0, 1), (1, 0), (2, 3), (3, 2)}
