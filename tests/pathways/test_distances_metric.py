"""Distances between paths as metrics: axioms, bounds, invariances, and what breaks them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.pathways.distances.matrix import distance_matrix
from genbounds.pathways.distances.measures import distance_warnings
from genbounds.pathways.paths import Paths

EXPERTS = (4, 3)
EDITS = ("layers", "concatenated", "literal")
METRICS = [(metric, how) for metric in (*EDITS, "jaccard") for how in (None, "yujian_bo")]


@st.composite
def samples(draw, n=3):
    part = [st.permutations(range(experts)) for experts in EXPERTS]
    return [[draw(each)[: draw(st.integers(1, 3))] for each in part] for _ in range(n)]


@pytest.mark.parametrize(("metric", "normalise"), METRICS)
@given(three=samples())
def test_axioms_of_a_metric(paths_of, metric, normalise, three):
    d = distance_matrix(paths_of(three, EXPERTS), metric=metric, normalise=normalise)
    assert (d == d.T).all()
    for i, j in itertools.product(range(3), repeat=2):
        one, two = ([set(part) if metric == "jaccard" else part for part in three[k]] for k in (i, j))
        assert (d[i, j] == 0) == (one == two)
    assert all(d[i, k] <= d[i, j] + d[j, k] + 1e-15 for i, j, k in itertools.permutations(range(3)))
    if normalise:
        assert (d <= 1).all()


@pytest.mark.parametrize("normalise", [None, "yujian_bo", "max"])
@given(seed=st.integers(0, 10**6))
def test_hamming_is_a_metric_that_bounds_edits(random_paths, normalise, seed):
    paths = random_paths(seed, 3, (5, 4), 3, shortest=3)
    d = distance_matrix(paths, metric="hamming", normalise=normalise)
    assert all(d[i, k] <= d[i, j] + d[j, k] + 1e-15 for i, j, k in itertools.permutations(range(3)))
    for metric in ("layers", "concatenated"):
        assert (distance_matrix(paths, metric=metric, normalise=normalise) <= d).all()


@pytest.mark.parametrize("metric", ["layers", "concatenated"])
def test_division_by_the_larger_length_breaks_the_triangle(paths_of, metric):
    """In words ab, ba and aba do; a path has no expert twice in a layer, and ab, bc and abc do as well."""
    paths = paths_of([[[0, 1]], [[1, 2]], [[0, 1, 2]]], (3,))
    d = distance_matrix(paths, metric=metric, normalise="max")
    assert np.allclose(d[[0, 0, 1], [1, 2, 2]], [1, 1 / 3, 1 / 3])
    assert "need not be a metric" in distance_warnings(paths, metric=metric, normalise="max")[0]
    every = [[list(part)] for k in (1, 2, 3) for part in itertools.permutations(range(3), k)]
    d = distance_matrix(paths_of(every, (3,)), metric=metric, normalise="yujian_bo")
    assert (d[:, None, :] <= d[:, :, None] + d[None] + 1e-15).all()
    assert distance_warnings(paths, metric=metric, normalise="yujian_bo") == ()


def test_what_a_record_must_warn_of(paths_of):
    paths = paths_of([[[0, 1]], [[1, 0]], [[2, 1]]], ties=np.array([0, 2, 1]))
    assert "count digits" in distance_warnings(paths, metric="literal")[0]
    # Numbers of one and of two digits: lists of equal lengths are strings of different ones.
    assert "need not be a metric" in distance_warnings(paths, metric="literal", normalise="max")[0]
    assert distance_warnings(paths, normalise="max") == distance_warnings(paths)  # equal lengths: still a metric
    assert distance_warnings(paths)[0].startswith("2 of 3 paths have equal gates somewhere")


@given(seed=st.integers(0, 10**6))
def test_bounds_by_lengths_and_between_distances(random_paths, seed):
    paths = random_paths(seed, 12, (6, 5, 70), 5)
    layers, whole = distance_matrix(paths), distance_matrix(paths, metric="concatenated")
    total = paths.total_lengths
    one, two = paths.lengths[:, None], paths.lengths[None]
    assert (whole <= layers).all()
    assert (np.abs(total[:, None] - total) <= whole).all()
    assert (whole <= np.maximum(total[:, None], total)).all()
    assert (np.abs(one - two).sum(axis=2) <= layers).all()
    assert (layers <= np.maximum(one, two).sum(axis=2)).all()
    assert np.allclose(distance_matrix(paths, normalise="max"), layers / np.maximum(one, two).sum(axis=2))
    assert np.allclose(distance_matrix(paths, normalise="yujian_bo"), 2 * layers / (total[:, None] + total + layers))


def test_an_edit_across_layers_may_be_cheaper(paths_of):
    """A tail of one layer can be substituted for a head of the next, if layers are not kept apart."""
    paths = paths_of([[[0, 1], [0]], [[0], [1, 0]]])
    assert distance_matrix(paths)[0, 1] == 2
    assert distance_matrix(paths, metric="concatenated")[0, 1] == 1


@given(seed=st.integers(0, 10**6))
def test_one_expert_in_each_layer_makes_edits_hamming(random_paths, paths_of, seed):
    paths = random_paths(seed, 8, (4, 3, 6), 1)
    hamming = (paths.symbols[:, None] != paths.symbols[None]).sum(axis=(2, 3))
    for metric in ("layers", "concatenated", "hamming"):
        assert (distance_matrix(paths, metric=metric) == hamming).all()
    # rapidfuzz itself agrees: one more path of another length takes the cheap way away.
    longer = paths_of([[[0, 1], [0], [0]]], (4, 3, 6))
    mixed = Paths(
        np.concatenate([np.pad(paths.symbols, ((0, 0), (0, 0), (0, 1)), constant_values=-1), longer.symbols]),
        np.concatenate([paths.lengths, longer.lengths]),
        paths.experts,
        "mixed",
        np.zeros(9, int),
    )
    for metric in ("layers", "concatenated"):
        assert (distance_matrix(mixed, metric=metric)[:8, :8] == hamming).all()


def renumbered(paths, numbers):
    symbols = np.stack(
        [np.append(new, -1)[paths.symbols[:, layer]] for layer, new in enumerate(numbers)], axis=1
    ).astype(np.int16)
    return Paths(symbols, paths.lengths, paths.experts, paths.rule, paths.ties)


@given(seed=st.integers(0, 10**6))
def test_renumbering_the_experts_of_each_layer_changes_nothing(random_paths, seed):
    rng = np.random.default_rng(seed)
    ragged, equal = random_paths(seed, 6, (12, 12, 9), 4), random_paths(seed, 6, (12, 12, 9), 4, shortest=4)
    numbers = [rng.permutation(experts) for experts in (12, 12, 9)]
    for paths, metrics in ((ragged, ("layers", "concatenated", "jaccard")), (equal, ("hamming",))):
        for metric in metrics:
            before, after = (distance_matrix(each, metric=metric) for each in (paths, renumbered(paths, numbers)))
            assert (before == after).all()


def test_literal_strings_do_change_when_experts_are_renumbered(paths_of):
    paths = paths_of([[[1], [1]], [[2], [1]]], (12, 12))
    moved = renumbered(paths, [(np.arange(12) + 9) % 12, np.arange(12)])  # 1 becomes 10 and 2 becomes 11
    assert moved.symbols.ravel().tolist() == [10, 1, 11, 1]
    other = renumbered(paths, [(np.arange(12) + 8) % 12, np.arange(12)])  # 1 becomes 9 and 2 becomes 10
    assert [distance_matrix(each, metric="literal")[0, 1] for each in (paths, moved, other)] == [1, 1, 2]


@pytest.mark.parametrize("metric", [*EDITS, "jaccard"])
@given(seed=st.integers(0, 10**6))
def test_samples_may_be_permuted_and_repeated(random_paths, metric, seed):
    paths = random_paths(seed, 7, (5, 6), 4)
    order = np.random.default_rng(seed).permutation(7)
    d = distance_matrix(paths, metric=metric)
    assert (distance_matrix(paths.of_samples(order), metric=metric) == d[np.ix_(order, order)]).all()
    twice = distance_matrix(paths.of_samples([0, 1, 0]), metric=metric)
    assert twice[0, 2] == 0
    assert (twice[0] == twice[2]).all()
