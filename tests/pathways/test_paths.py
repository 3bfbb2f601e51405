"""Paths: which experts they hold, in which order, what is tied, and what is refused."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.pathways.paths import Paths, cumulative_paths, literal_strings, token_paths, top_paths
from genbounds.pathways.routing import RoutedLayer, Routing


def lists(paths):
    return [
        [row[:length] for row, length in zip(sample, lengths, strict=True)]
        for sample, lengths in zip(paths.symbols.tolist(), paths.lengths.tolist(), strict=True)
    ]


def test_the_definition_by_hand(routing_of_gates):
    routing = routing_of_gates([[0.1, 0.5, 0.15, 0.25], [0.7, 0.1, 0.1, 0.1]], [[0.2, 0.8], [0.55, 0.45]])
    assert lists(top_paths(routing)) == [[[1], [1]], [[0], [0]]]
    assert lists(top_paths(routing, 2)) == [[[1, 3], [1, 0]], [[0, 1], [0, 1]]]
    assert lists(cumulative_paths(routing, 0.6)) == [[[1, 3], [1]], [[0], [0, 1]]]
    # 0.5 + 0.25 = 0.75 does not exceed 0.75, and neither does 0.7 exceed 0.7.
    assert lists(cumulative_paths(routing, 0.75)) == [[[1, 3, 2], [1]], [[0, 1], [0, 1]]]
    assert lists(cumulative_paths(routing, 0.7))[1] == [[0, 1], [0, 1]]
    assert top_paths(routing, 2).experts == (4, 2)
    assert literal_strings(cumulative_paths(routing, 0.6)) == ["1,3-1", "0-0,1"]


@given(seed=st.integers(0, 10**6), tau=st.floats(0.01, 0.99), concentration=st.sampled_from([0.1, 1.0, 10.0]))
def test_a_prefix_is_the_shortest_that_exceeds(random_routing, seed, tau, concentration):
    routing = random_routing(seed, experts=(6, 9), concentration=concentration)
    paths = cumulative_paths(routing, tau)
    for layer, routed in enumerate(routing.layers):
        for i, gates in enumerate(routed.mean_gates.astype(np.float64)):
            order = sorted(range(len(gates)), key=lambda k: (-gates[k], k))
            m = next(m for m in range(1, len(gates) + 1) if gates[order[:m]].sum() / gates.sum() > tau + 2.0**-23)
            assert lists(paths)[i][layer] == order[:m]
    assert (paths.lengths >= 1).all()
    assert (paths.lengths <= np.floor((tau + 2.0**-23) * np.array(paths.experts)) + 1).all()


@pytest.mark.parametrize(("tau", "length"), [(0.5, 33), (0.6, 39), (0.7, 45), (0.8, 52)])
def test_uniform_gates_have_the_longest_paths(routing_of_gates, tau, length):
    paths = cumulative_paths(routing_of_gates(np.full((2, 64), 1 / 64)), tau)
    assert (paths.lengths == length).all()
    assert lists(paths)[0][0] == list(range(length))
    assert (paths.ties == length).all()


@given(weights=st.lists(st.integers(1, 50), min_size=2, max_size=60), data=st.data())
def test_rounding_does_not_decide_what_exceeds(routing_of_gates, weights, data):
    """A cumulative gate that is tau as a fraction does not exceed it, however float32 rounds the gates."""
    kept = data.draw(st.integers(1, len(weights) - 1))
    tau = sum(sorted(weights, reverse=True)[:kept]) / sum(weights)
    paths = cumulative_paths(routing_of_gates(np.array([weights]) / sum(weights)), tau)
    assert paths.lengths.tolist() == [[kept + 1]]


def test_equal_gates_are_ordered_by_number(routing_of_gates):
    gates = np.random.default_rng(0).integers(1, 4, (20, 64))
    paths = top_paths(routing_of_gates(gates / gates.sum(axis=1, keepdims=True)), 64)
    assert lists(paths) == [[sorted(range(64), key=lambda k: (-row[k], k))] for row in gates.tolist()]
    assert (paths.ties == 64 - np.array([len(set(row)) for row in gates.tolist()])).all()


@pytest.mark.parametrize("tau", [1 - 1e-9, 1 - 1e-7, np.nextafter(1, 0)])
def test_gates_that_sum_to_less_than_tau(routing_of_gates, tau):
    gates = np.array([[0.6, 0.3, 0.1 - 3e-6]])
    assert lists(cumulative_paths(routing_of_gates(gates), tau)) == [[[0, 1, 2]]]


@given(seed=st.integers(0, 10**6), taus=st.tuples(st.floats(0.001, 0.999), st.floats(0.001, 0.999)))
def test_lengths_do_not_fall_as_tau_grows(random_routing, seed, taus):
    routing = random_routing(seed, experts=(5, 8))
    low, high = (cumulative_paths(routing, tau) for tau in sorted(taus))
    assert (low.lengths <= high.lengths).all()
    tiny = cumulative_paths(routing, 1e-300)
    assert (tiny.symbols == top_paths(routing).symbols).all()


def test_ties_are_counted_where_they_make_the_path_arbitrary(routing_of_gates):
    gates = [[0.4, 0.4, 0.1, 0.1], [0.4, 0.3, 0.15, 0.15], [0.25, 0.25, 0.25, 0.25], [0.4, 0.3, 0.2, 0.1]]
    routing = routing_of_gates(gates)
    assert top_paths(routing).ties.tolist() == [1, 0, 1, 0]
    assert top_paths(routing, 2).ties.tolist() == [1, 0, 2, 0]
    assert top_paths(routing, 3).ties.tolist() == [2, 1, 3, 0]
    assert top_paths(routing, 4).ties.tolist() == [2, 1, 3, 0]
    assert cumulative_paths(routing, 0.45).ties.tolist() == [1, 0, 2, 0]
    assert lists(top_paths(routing))[2] == [[0]]
    assert top_paths(routing_of_gates(gates, gates)).ties.tolist() == [2, 0, 2, 0]


@given(seed=st.integers(0, 10**6))
def test_renumbering_experts_renumbers_paths(random_routing, seed):
    routing = random_routing(seed, lengths=(3, 3, 2), experts=(5, 7), tokens=False)
    rng = np.random.default_rng(seed)
    new = [rng.permutation(layer.experts) for layer in routing.layers]
    moved = []
    for layer, numbers in zip(routing.layers, new, strict=True):
        gates = np.empty_like(layer.mean_gates)
        gates[:, numbers] = layer.mean_gates
        moved.append(replace(layer, mean_gates=gates))
    for rule in (lambda each: top_paths(each, 3), cumulative_paths):
        before, after = rule(routing), rule(replace(routing, layers=tuple(moved)))
        assert lists(after) == [
            [[int(numbers[k]) for k in part] for part, numbers in zip(sample, new, strict=True)]
            for sample in lists(before)
        ]


def test_paths_of_tokens_are_what_was_executed(random_routing):
    routing = random_routing(1, lengths=(2, 3), experts=(4, 6), k=2)
    first, second = routing.layers
    selected, weights = second.selected.copy(), second.weights.copy()
    selected[0], weights[0] = [-1, 3], [0, 0.5]  # no place left for the first
    selected[1], weights[1] = [-1, -1], 0
    weights[4] = 0.25
    layers = (first, replace(second, selected=selected, weights=weights))
    paths = token_paths(replace(routing, layers=layers))
    assert len(paths) == 5
    assert lists(paths)[0][1] == [3]
    assert paths.lengths.tolist() == [[2, 1], [2, 0], [2, 2], [2, 2], [2, 2]]
    assert (paths.symbols[:, 0] == first.selected).all()
    assert paths.ties.tolist() == [0, 0, 0, 0, 1]
    with pytest.raises(ValueError, match="routing must hold the executed experts of each token"):
        token_paths(random_routing(tokens=False))


def test_samples_are_selected_and_arrays_cannot_be_changed(random_routing):
    paths = cumulative_paths(random_routing(3))
    chosen = paths.of_samples([2, 0])
    assert lists(chosen) == [lists(paths)[2], lists(paths)[0]]
    assert lists(paths.of_samples([True, False, False, True])) == [lists(paths)[0], lists(paths)[3]]
    assert paths.total_lengths.tolist() == [sum(map(len, sample)) for sample in lists(paths)]
    with pytest.raises(ValueError, match="read-only"):
        chosen.symbols[0, 0, 0] = 1


@pytest.mark.parametrize("tau", [0, 1, -0.1, 1.5, float("nan")])
def test_thresholds_that_cannot_be(random_routing, tau):
    with pytest.raises(ValueError, match="tau must be"):
        cumulative_paths(random_routing(), tau)


@pytest.mark.parametrize(("k", "message"), [(0, "k must be a whole number"), (6, "k must be at most"), (1.5, "k must")])
def test_numbers_of_experts_that_cannot_be(random_routing, k, message):
    with pytest.raises(ValueError, match=message):
        top_paths(random_routing(), k)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbols": np.array([[[0, 1], [2, 0]]])}, "symbols must be int16"),
        ({"symbols": np.zeros((1, 2), np.int16)}, "symbols must be int16 of shape"),
        ({"symbols": np.zeros((0, 2, 1), np.int16)}, "symbols must be int16 of shape"),
        ({"lengths": np.array([[2]])}, "lengths must be of shape"),
        ({"lengths": np.array([[2, 3]])}, r"lengths must be in \[0, 2\], got 2 to 3"),
        ({"lengths": np.array([[2, 1]])}, "symbols must be experts as far as lengths say"),
        (
            {"symbols": np.array([[[0, 1], [2, -2]]], np.int16), "lengths": np.array([[2, 1]])},
            "symbols must be experts",
        ),
        (
            {"symbols": np.array([[[-1, 1], [2, 0]]], np.int16), "lengths": np.array([[1, 2]])},
            "symbols must be experts",
        ),
        ({"symbols": np.array([[[0, 1], [3, 0]]], np.int16)}, r"symbols must be below .*, \(3, 3\), got \[1, 3\]"),
        ({"symbols": np.array([[[0, 1], [2, 2]]], np.int16)}, "symbols must be different within a layer"),
        ({"experts": (3,)}, "experts must be of shape"),
        ({"ties": np.zeros(2, int)}, "ties must be of shape"),
        ({"symbols": [[[0, 1], [2, 0]]]}, "symbols must be an array of integers, got list"),
        ({"lengths": np.array([[2.0, 2.0]])}, "lengths must be an array of integers, got an array of float64"),
    ],
)
def test_paths_that_cannot_be_are_refused(change, message):
    paths = Paths(np.array([[[0, 1], [2, 0]]], np.int16), np.array([[2, 2]]), (3, 3), "by hand", np.array([0]))
    with pytest.raises(ValueError, match=message):
        replace(paths, **change)


def test_experts_beyond_sixteen_bits_are_refused():
    """Numbers would wrap round: expert 65539 would be expert 3."""
    gates, zeros = np.zeros((1, 2**16 + 8), np.float32), np.zeros(1, np.int64)
    gates[0, 2**16 + 3] = 1
    layer = RoutedLayer("wide", 0, "softmax", gates, gates.astype(np.int64), np.zeros(1), zeros)
    with pytest.raises(ValueError, match="at most 32768 experts in a layer, got 65544"):
        top_paths(Routing((layer,), np.ones(1, np.int64)))


def test_ten_thousand_samples_take_about_a_second():
    rng, n, experts = np.random.default_rng(0), 10_000, 64
    layers = []
    for number in range(16):
        gates = rng.exponential(size=(n, experts)).astype(np.float32)
        gates /= gates.sum(axis=1, keepdims=True)
        zeros = np.zeros(n, np.int64)
        counts = np.zeros((n, experts), np.int64)
        layers.append(RoutedLayer(f"{number}", number, "softmax", gates, counts, np.ones(n), zeros))
    routing = Routing(tuple(layers), np.ones(n, np.int64))
    start = time.process_time()
    cumulative_paths(routing)
    assert time.process_time() - start < 6  # about 1 on a quiet machine
