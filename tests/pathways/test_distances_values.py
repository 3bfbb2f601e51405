"""Distances between paths: against brute force and exact expectations; blocks, pairs and threads; what is refused."""

import itertools
import sys
from fractions import Fraction

import numpy as np
import pytest

from genbounds.pathways.distances.matrix import distance_blocks, distance_matrix, distances_of_pairs
from genbounds.pathways.distances.spellings import concatenated_spellings, layer_spellings
from genbounds.pathways.paths import Paths, literal_strings

METRICS = ("layers", "concatenated", "literal", "jaccard")


def levenshtein(one, two):
    """The textbook recursion, a row at a time."""
    row = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        before, row = row, [i]
        for j, b in enumerate(two, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
    return row[-1]


def by_hand(paths, metric):
    parts = [
        [[(layer, k) for k in row if k >= 0] for layer, row in enumerate(sample)] for sample in paths.symbols.tolist()
    ]
    strings = literal_strings(paths)

    def between(i, j):
        one, two = (list(itertools.chain(*parts[sample])) for sample in (i, j))
        match metric:
            case "layers":
                return sum(map(levenshtein, parts[i], parts[j]))
            case "concatenated":
                return levenshtein(one, two)
            case "literal":
                return levenshtein(strings[i], strings[j])
            case "jaccard":
                return 1 - len({*one} & {*two}) / len({*one} | {*two})

    n = len(paths)
    return np.array([[between(i, j) for j in range(n)] for i in range(n)])


@pytest.mark.parametrize("metric", METRICS)
def test_distances_are_those_of_the_textbook(random_paths, metric):
    paths = random_paths(5, 30, (5, 130, 64, 3), 6)
    assert np.allclose(distance_matrix(paths, metric=metric), by_hand(paths, metric), rtol=0, atol=1e-15)


@pytest.mark.parametrize("metric", METRICS)
def test_blocks_pairs_threads_and_two_sets_agree(random_paths, metric):
    paths = random_paths(6, 150, (6, 9), 4)
    whole = distance_matrix(paths, metric=metric)
    rows = [rows for rows, _ in distance_blocks(paths, metric=metric)]
    assert [i for each in rows for i in range(each.start, each.stop)] == list(range(150))
    assert (np.concatenate([block for _, block in distance_blocks(paths, metric=metric)]) == whole).all()
    for each, block in distance_blocks(paths, metric=metric, upper=True):
        assert (block == whole[each, each.start :]).all()
    few = paths.of_samples(range(40, 110))
    assert (distance_matrix(few, paths, metric=metric) == whole[40:110]).all()
    assert (distance_matrix(paths, metric=metric, workers=2) == whole).all()
    i, j = np.random.default_rng(0).integers(0, 150, (2, 70_000))
    assert (distances_of_pairs(paths, i, j, metric=metric) == whole[i, j]).all()
    for normalise in ("yujian_bo", None if metric == "jaccard" else "max"):
        whole = distance_matrix(paths, metric=metric, normalise=normalise)
        assert (distances_of_pairs(paths, i, j, metric=metric, normalise=normalise) == whole[i, j]).all()
    assert len(distances_of_pairs(paths, [], [], metric=metric)) == 0


def test_sets_of_paths_may_follow_different_rules(random_paths):
    short, long = random_paths(1, 6, (4, 5), 1), random_paths(2, 6, (4, 5), 4)
    both = [
        [[k for k in row if k >= 0] for row in sample] for each in (short, long) for sample in each.symbols.tolist()
    ]
    wanted = np.array([[sum(map(levenshtein, one, two)) for two in both[6:]] for one in both[:6]])
    assert (distance_matrix(short, long) == wanted).all()
    assert (distance_matrix(long, short) == wanted.T).all()


def test_hamming_counts_places(random_paths):
    paths = random_paths(7, 20, (6, 8), 3, shortest=3)
    places = (paths.symbols[:, None] != paths.symbols[None]).sum(axis=(2, 3))
    assert (distance_matrix(paths, metric="hamming") == places).all()
    assert (distance_matrix(paths, metric="hamming", normalise="max") == places / 6).all()


def test_distances_beyond_a_byte_are_counted(paths_of):
    """rapidfuzz casts to what it is given: 300 would become 44 in a byte."""
    paths = paths_of([[list(range(300))], [list(range(300, 600))], [[0]]])
    assert distance_matrix(paths).tolist() == [[0, 300, 299], [300, 0, 300], [299, 300, 0]]
    assert distances_of_pairs(paths, [0], [1]).tolist() == [300]


def test_characters_that_are_none_are_avoided(paths_of):
    """Symbols pass over the surrogates, and different ones stay different."""
    experts = (30_000, 30_000)
    paths = paths_of([[[0, 29_999], [0, 29_999]], [[29_999], [25_295, 25_296]], [[5], [27_343, 27_344]]], experts)
    assert len(set("".join(concatenated_spellings(paths)[0]))) == 9
    assert [len(string) for string in concatenated_spellings(paths)[0]] == [4, 3, 3]
    for string in itertools.chain(*concatenated_spellings(paths), *layer_spellings(paths)):
        string.encode("utf-8")  # surrogates cannot be
    for metric in METRICS:
        assert np.allclose(distance_matrix(paths, metric=metric), by_hand(paths, metric), rtol=0, atol=1e-15)


def test_too_many_symbols_for_characters():
    layers = 40
    symbols, lengths = np.zeros((2, layers, 2), np.int16), np.full((2, layers), 2)
    symbols[..., 1] = 1
    paths = Paths(symbols, lengths, (32_767,) * layers, "by hand", np.zeros(2, int))
    assert distance_matrix(paths).max() == 0
    with pytest.raises(ValueError, match="metric 'concatenated' must have at most 1112064 experts"):
        distance_matrix(paths, metric="concatenated")


def test_tokens_without_any_expert_are_paths_too(paths_of):
    paths = paths_of([[[], []], [[], []], [[0], []]], (2, 2))
    for metric in ("layers", "concatenated", "jaccard"):
        for normalise in (None, "yujian_bo"):
            assert distance_matrix(paths, metric=metric, normalise=normalise).tolist() == [
                [0, 0, 1],
                [0, 0, 1],
                [1, 1, 0],
            ]
    assert distance_matrix(paths, normalise="max").tolist() == [[0, 0, 1], [0, 0, 1], [1, 1, 0]]


@pytest.mark.parametrize("experts", [2, 3, 5, 6])
def test_expectation_of_two_random_experts(paths_of, experts):
    """Ordered pairs drawn uniformly are 2 - 2 / K apart on average: exactly, by enumeration."""
    paths = paths_of([[list(two)] for two in itertools.permutations(range(experts), 2)])
    total = int(distance_matrix(paths).sum())
    assert Fraction(total, len(paths) ** 2) == 2 - Fraction(2, experts)


@pytest.mark.parametrize(("experts", "k"), [(4, 1), (5, 2), (5, 3), (6, 2)])
def test_expectation_of_random_sets(paths_of, experts, k):
    """Two random sets of k share k^2 / K experts on average, and lists are at most k (1 - 1 / K) apart."""
    lists = list(itertools.permutations(range(experts), k))
    paths = paths_of([[list(each)] for each in lists])
    jaccard = distance_matrix(paths, metric="jaccard")
    shared = 2 * k * (1 - jaccard) / (2 - jaccard)  # I from 1 - I / (2 k - I)
    assert np.isclose(shared.mean(), k * k / experts, rtol=1e-12)
    assert distance_matrix(paths).mean() <= k * (1 - 1 / experts) + 1e-12
    assert np.isclose(distance_matrix(paths, metric="hamming").mean(), k * (1 - 1 / experts), rtol=1e-12)


def test_top_one_needs_no_rapidfuzz_and_edits_name_the_extra(random_paths, monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    assert distance_matrix(random_paths(0, 5, (4, 4), 1)).shape == (5, 5)
    assert distance_matrix(random_paths(0, 5, (4, 4), 3), metric="jaccard").shape == (5, 5)
    with pytest.raises(ImportError, match=r"pip install 'genbounds\[pathways\]'"):
        distance_blocks(random_paths(0, 5, (4, 4), 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "edit"}, "metric must be one of .*'layers'.*, got 'edit'"),
        ({"normalise": "length"}, "normalise must be one of .*'yujian_bo'.*, got 'length'"),
        ({"metric": "jaccard", "normalise": "max"}, "normalise must be None for metric 'jaccard'"),
        ({"metric": "hamming"}, "metric 'hamming' must have paths of equal lengths, got lists of 1 to 3 experts"),
    ],
)
def test_distances_that_cannot_be(random_paths, options, message):
    paths = random_paths(1, 20, (4, 4), 3)
    for call in (distance_blocks, distance_matrix, lambda *a, **k: distances_of_pairs(*a, [0], [1], **k)):
        with pytest.raises(ValueError, match=message):
            call(paths, **options)


def test_sets_and_pairs_that_do_not_fit(random_paths):
    paths = random_paths(1, 4, (4, 4), 3)
    with pytest.raises(ValueError, match="two must have as many experts in each layer"):
        distance_matrix(paths, random_paths(1, 4, (4, 5), 3))
    with pytest.raises(ValueError, match="upper must be False for two sets"):
        distance_blocks(paths, random_paths(2, 4, (4, 4), 3), upper=True)
    for i, j, message in (
        ([4], [0], r"i must be in \[0, 4\), got 4"),
        ([0], [-1], r"j must be in \[0, 4\), got -1"),
        ([0, 1], [0], "i and j must have the same shape"),
        ([0.5], [0], "i must be a one-dimensional array of integers"),
    ):
        with pytest.raises(ValueError, match=message):
            distances_of_pairs(paths, i, j)
