"""The mean distance and its nulls: all ways to the sums, intervals, groups, shuffles, worlds whose truth is known."""

import json
import math
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import binom

from genbounds.pathways import Paths, PathwayDistance, distance_matrix, pathway_distance, shuffled_null
from genbounds.pathways.nulls.distance_sums import summed_blocks, summed_counts, summed_pairs
from genbounds.pathways.nulls.pair_design import draw_pairs
from genbounds.pathways.nulls.pair_sums import PairSums, standard_error
from genbounds.pathways.nulls.random_lists import list_weights, random_lists
from genbounds.pathways.nulls.shuffled import _compared, shuffled_paths

NONE = np.zeros((0, 1), np.int64)


def top_one(first, experts=4):
    first = np.asarray(first)
    return Paths(
        first[:, :, None].astype(np.int16), np.ones(first.shape, np.int64), (experts,) * first.shape[1], "top 1",
        np.zeros(len(first), np.int64),
    )  # fmt: skip


def random_paths(rng, n=20, layers=3, experts=6, low=1, high=4):
    lengths = rng.integers(low, high + 1, (n, layers))
    symbols = np.argsort(rng.random((n, layers, experts)), axis=2)[:, :, :high].astype(np.int16)
    symbols[np.arange(high) >= lengths[..., None]] = -1
    return Paths(symbols, lengths, (experts,) * layers, "random", np.zeros(n, np.int64))


def planted(rng, n, groups, layers, experts, rho):
    """Samples of a group share a uniform route in each layer with probability rho each; else a uniform expert."""
    codes = np.resize(np.arange(groups), n)
    routes = rng.integers(0, experts, (groups, layers))
    shared = rng.random((n, layers)) < rho
    return np.where(shared, routes[codes], rng.integers(0, experts, (n, layers))), codes


@pytest.mark.parametrize("metric", ["layers", "concatenated", "jaccard"])
@pytest.mark.parametrize("high", [1, 4])
def test_blocks_pairs_and_counts_agree_with_the_matrix(metric, high):
    rng = np.random.default_rng(high)
    n = 90  # more than one block
    paths, codes = random_paths(rng, n, high=high), rng.integers(0, 5, n)
    permuted = np.array([rng.permutation(codes) for _ in range(6)])
    matrix, upper = distance_matrix(paths, metric=metric), np.triu_indices(n, 1)
    h, same = matrix[upper], codes[upper[0]] == codes[upper[1]]
    ways = [summed_blocks(paths, codes, permuted, metric=metric, normalise=None)]
    ways.append(summed_pairs(paths, upper, codes, permuted, metric=metric, normalise=None))
    if high == 1 and metric != "jaccard":
        ways.append(summed_counts(paths, codes, permuted))
    for way in ways:
        sums = way.sums
        assert sums.mean == pytest.approx(h.mean(), rel=1e-12)
        assert sums.variance == pytest.approx(h.var(), rel=1e-9)
        assert (sums.within, sums.between) == pytest.approx((h[same].mean(), h[~same].mean()), rel=1e-12)
        assert sums.share * sums.within + (1 - sums.share) * sums.between == pytest.approx(sums.mean, rel=1e-12)
        within = [h[row[upper[0]] == row[upper[1]]].mean() for row in permuted]
        assert way.permuted_within == pytest.approx(within, rel=1e-12)
        assert sums.rows == pytest.approx(matrix.sum(axis=1))
        assert sums.same_square == pytest.approx((h[same] ** 2).sum())
        assert sums.standard_error == pytest.approx(ways[0].sums.standard_error)
        assert sums.r_squared_error == pytest.approx(ways[0].sums.r_squared_error)
        if way.by_layer is not None:
            assert sum(way.by_layer) == pytest.approx(sums.mean, rel=1e-12)


def test_pairs_are_drawn_uniformly_without_repetition():
    codes, rng = np.array([0, 1, 0, 2, 1, 0, 0]), np.random.default_rng(0)
    allowed = {(i, j) for i in range(7) for j in range(i + 1, 7) if codes[i] == codes[j]}
    counts = dict.fromkeys(allowed, 0)
    for _ in range(2000):
        drawn = list(zip(*draw_pairs(codes, 3, rng), strict=True))
        assert len(set(drawn)) == 3
        for pair in drawn:
            counts[pair] += 1
    expected = 2000 * 3 / 7
    assert all(abs(count - expected) < 5 * math.sqrt(expected) for count in counts.values())
    one, two = draw_pairs(np.zeros(800, np.int64), None, rng)
    assert len(np.unique(one * 800 + two)) == 800 * 799 // 2
    assert (one < two).all()


def exact_variance(degrees, zeta_1, zeta_2):
    pairs = degrees.sum() / 2
    return (pairs * zeta_2 + (degrees * (degrees - 1)).sum() * zeta_1) / pairs**2


@pytest.mark.parametrize("pairs", [None, 60])
def test_the_variance_of_a_mean_over_pairs(pairs):
    """h = x + y + c z_x z_y has zeta_1 = 1 and zeta_2 = 2 + c^2: the formula, its estimate, and the two bootstraps."""
    rng, n, c = np.random.default_rng(1), 14, 2.0
    one, two = draw_pairs(np.zeros(n, np.int64), pairs, rng)
    degrees = np.bincount(np.r_[one, two], minlength=n).astype(float)
    truth = exact_variance(degrees, 1.0, 2 + c**2)
    means, estimates, over_pairs = [], [], []
    for _ in range(4000):
        x, z = rng.standard_normal((2, n))
        h = x[one] + x[two] + c * z[one] * z[two]
        rows = np.bincount(one, h, n) + np.bincount(two, h, n)
        sums = PairSums(degrees, rows, float(h @ h), 0 * degrees, 0 * rows, 0.0)
        means.append(h.mean())
        estimates.append(sums.standard_error**2)
        over_pairs.append(h.var() / len(h))
    assert np.var(means) == pytest.approx(truth, rel=0.12)
    assert np.mean(estimates) == pytest.approx(truth, rel=0.12)
    assert np.mean(over_pairs) < 0.7 * truth  # a bootstrap over pairs would be too short


@pytest.mark.parametrize(("n", "pairs"), [(30, None), (30, 150), (100, None), (100, 600)])
def test_intervals_cover_and_those_over_pairs_do_not(n, pairs):
    rng, shares, layers, repetitions = np.random.default_rng(n), np.array([0.7, 0.1, 0.1, 0.1]), 6, 400
    truth = layers * (1 - (shares**2).sum())
    covered, over_pairs = 0, 0
    for seed in range(repetitions):
        first = rng.choice(4, (n, layers), p=shares)
        first[:, 1:] = np.where(rng.random((n, 1)) < 0.5, first[:, :1], first[:, 1:])  # the marginals stay
        found = pathway_distance(top_one(first), pairs=pairs, shuffles=0, seed=seed)
        low, high = found.interval
        covered += low <= truth <= high
        if pairs is not None:
            continue
        reach = 1.96 * math.sqrt(found.shuffled.variance.observed / found.pairs)
        over_pairs += abs(found.mean - truth) <= reach
    assert 0.90 * repetitions <= covered <= 0.98 * repetitions
    assert over_pairs < 0.7 * repetitions


def test_r_squared_is_zero_on_average_over_all_permutations():
    rng = np.random.default_rng(2)
    paths, codes = random_paths(rng, 6), np.array([0, 0, 0, 1, 1, 2])
    every = np.array(sorted(set(permutations(codes.tolist()))))
    found = summed_blocks(paths, codes, every, metric="layers", normalise=None)
    assert found.permuted_within.mean() == pytest.approx(found.sums.mean, rel=1e-12)
    # PERMANOVA's is (G - 1) / (n - 1) on average.
    square = distance_matrix(paths) ** 2
    total = np.triu(square).sum() / 6
    theirs = []
    for labels in every:
        same = labels[:, None] == labels
        theirs.append(1 - (np.triu(square * same) / same.sum(axis=1)[:, None]).sum() / total)
    assert np.mean(theirs) == pytest.approx(2 / 5, rel=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0])
def test_planted_groups_have_the_distances_of_their_closed_form(rho):
    rng, layers, experts, within, between, total = np.random.default_rng(3), 5, 4, [], [], 300
    for _ in range(total):
        first, codes = planted(rng, 12, 3, layers, experts, rho)
        sums = summed_counts(top_one(first), codes, NONE.reshape(0, 1)).sums
        within.append(sums.within)
        between.append(sums.between)
    apart = layers * (1 - 1 / experts)
    for values, truth in ((within, apart * (1 - rho**2)), (between, apart)):
        assert abs(np.mean(values) - truth) <= 5 * np.std(values) / math.sqrt(total) + 1e-12


def test_the_standard_error_of_r_squared():
    """That of its linear part, written out pair by pair; and as large as the spread over repetitions."""
    rng, found, errors = np.random.default_rng(14), [], []
    for _ in range(400):
        codes = rng.integers(0, 3, 30)
        shared = rng.random((30, 5)) < 0.7
        first = np.where(shared, codes[:, None], rng.integers(0, 4, (30, 5)))
        sums = summed_counts(top_one(first), codes, NONE.reshape(0, 1)).sums
        found.append(sums.r_squared)
        errors.append(sums.r_squared_error)
    one, two = np.triu_indices(30, 1)
    h, same = (first[one] != first[two]).sum(axis=1), (codes[one] == codes[two]).astype(float)
    within, share, mean = h[same > 0].mean(), same.mean(), h.mean()
    linear = -same * (h - within) / (share * mean) + within * (h - mean) / mean**2
    rows = np.bincount(one, linear, 30) + np.bincount(two, linear, 30)
    assert standard_error(sums.degrees, rows, float(linear @ linear)) == pytest.approx(errors[-1], rel=1e-9)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(found), rel=0.15)


def rejections(rho, repetitions, alpha=0.1):
    rng, found = np.random.default_rng(4), 0
    for seed in range(repetitions):
        first, codes = planted(rng, 12, 3, 2, 3, rho)
        record = pathway_distance(top_one(first, 3), codes, shuffles=0, permutations=19, seed=seed)
        found += record.groups.p_value <= alpha
    return found


def test_the_p_value_of_groups_has_its_level_and_power():
    assert binom.sf(rejections(0.0, 400) - 1, 400, 0.1) > 1e-4
    assert rejections(0.9, 60) > 50


def test_a_p_value_without_the_observed_labels_would_break_its_level():
    """With 9 permutations, #{...} / 9 is 0 in one of ten cases: a level of 5 % is missed."""
    rng, with_one, without = np.random.default_rng(5), 0, 0
    for _ in range(600):
        first, codes = planted(rng, 10, 2, 6, 5, 0.0)
        permuted = np.array([rng.permutation(codes) for _ in range(9)])
        found = summed_counts(top_one(first, 5), codes, permuted)
        count = int((found.permuted_within <= found.sums.within).sum())
        with_one += (1 + count) / 10 <= 0.05
        without += count / 9 <= 0.05
    assert with_one == 0
    assert binom.sf(without - 1, 600, 0.05) < 1e-2


def test_self_pairs_are_not_counted():
    first = np.array([[0], [0], [1], [1]])
    found = pathway_distance(top_one(first, 2), list("aabb"), shuffles=0)
    assert found.pairs == 6
    assert found.mean == pytest.approx(4 / 6)  # with self-pairs 1/2
    assert found.groups.share == pytest.approx(2 / 6)


@pytest.mark.parametrize("metric", ["layers", "hamming"])
def test_shuffles_cannot_change_the_mean_of_a_sum_over_layers(metric):
    rng = np.random.default_rng(6)
    paths = random_paths(rng, 15, low=1 if metric == "layers" else 3, high=3)
    mean = distance_matrix(paths, metric=metric).mean()
    for _ in range(5):
        other = shuffled_paths(paths, rng)
        assert (other.lengths == paths.lengths).all()
        assert distance_matrix(other, metric=metric).mean() == pytest.approx(mean, rel=1e-13)
        for layer in range(3):
            assert sorted(map(tuple, other.symbols[:, layer])) == sorted(map(tuple, paths.symbols[:, layer]))
    null = shuffled_null(paths, np.arange(15), metric=metric, shuffles=19)
    assert math.isnan(null.mean.z)
    assert math.isnan(null.mean.p_value)
    assert "same for every shuffle" in null.mean.reason
    assert null.variance.reason == ""
    assert null.within.reason.startswith("not defined: no pair")
    moved = shuffled_null(paths, np.arange(15), metric="jaccard", shuffles=19)
    assert math.isfinite(moved.mean.z)


def test_lists_of_a_length_nobody_shares_do_not_move():
    rng = np.random.default_rng(7)
    paths = random_paths(rng, 4, layers=2, high=4)
    symbols = np.full((4, 2, 4), -1, np.int16)
    lengths = np.array([[1, 1], [2, 2], [3, 3], [4, 4]])
    for sample in range(4):
        symbols[sample, :, : sample + 1] = np.arange(sample + 1)
    paths = Paths(symbols, lengths, (6, 6), "by hand", np.zeros(4, np.int64))
    null = shuffled_null(paths, np.zeros(4, np.int64), metric="jaccard", shuffles=9)
    assert null.movable == 0
    assert null.mean.reason == "not defined: no shuffle changed it"
    assert "move 0%" in " ".join(pathway_distance(paths, shuffles=9, metric="jaccard").warnings)


def test_the_variance_over_pairs_shows_structure_across_layers():
    rng, low = np.random.default_rng(8), 0
    for seed in range(300):
        null = shuffled_null(top_one(rng.integers(0, 3, (10, 3)), 3), np.arange(10), shuffles=19, seed=seed)
        low += null.variance.p_value <= 0.1
    assert binom.sf(low - 1, 300, 0.1) > 1e-4
    same = np.repeat(rng.integers(0, 4, (40, 1)), 5, axis=1)
    null = shuffled_null(top_one(same), np.arange(40), shuffles=39)
    assert null.variance.z > 5
    assert null.variance.p_value == 2 / 40
    assert null.variance.ratio == pytest.approx(5, rel=0.1)  # five layers that are one


def test_random_lists_follow_the_law_of_plackett_and_luce():
    rng = np.random.default_rng(9)
    weights = np.array([0.4, 0.3, 0.2, 0.1, 0.0])
    paths = random_paths(rng, 20_000, layers=1, experts=5, low=0, high=3)
    drawn = random_lists(paths, [weights], rng)
    assert (drawn.lengths == paths.lengths).all()
    full = drawn.symbols[drawn.lengths[:, 0] >= 2, 0]
    for one, two in ((0, 1), (3, 0), (2, 3)):
        chance = weights[one] * weights[two] / (1 - weights[one])
        seen = ((full[:, 0] == one) & (full[:, 1] == two)).mean()
        assert seen == pytest.approx(chance, abs=5 * math.sqrt(chance / len(full)))
    assert list_weights(drawn.symbols[:, 0], 5) == pytest.approx(weights, abs=0.01)


def test_routes_without_structure_are_as_far_as_random_lists():
    rng = np.random.default_rng(10)
    base = random_paths(rng, 300, layers=3, experts=12, low=3, high=6)
    paths = random_lists(base, [rng.dirichlet(np.ones(12))] * 3, rng)
    found = pathway_distance(paths, shuffles=1)
    assert found.ratio == pytest.approx(1, abs=0.02)
    top = pathway_distance(top_one(rng.integers(0, 4, (200, 3))), shuffles=1)
    assert top.ratio == pytest.approx(200 / 199, abs=0.01)
    assert top.mean == top.load_balance


def test_the_record_goes_through_json_and_is_the_same_for_a_seed():
    rng = np.random.default_rng(11)
    paths, codes = random_paths(rng, 40), rng.integers(0, 4, 40)
    found = pathway_distance(paths, codes, shuffles=9, permutations=19, seed=3)
    again = PathwayDistance.from_json(json.loads(json.dumps(found.to_json())))
    assert again.to_json() == found.to_json()
    assert str(again) == str(found)
    assert again.groups == found.groups
    assert found.to_json() == pathway_distance(paths, codes, shuffles=9, permutations=19, seed=3).to_json()
    assert found.flat()["r_squared"] == found.groups.r_squared
    assert "shuffled/mean_z" not in found.flat()
    assert all(math.isfinite(value) for value in found.flat().values())
    assert "same for every shuffle" in str(found)
    some = pathway_distance(paths, codes, pairs=300, shuffles=0, permutations=19)
    assert some.pairs == 300
    assert abs(some.mean - found.mean) < 5 * some.standard_error
    assert math.isnan(pathway_distance(paths, shuffles=0).random_mean)
    with pytest.raises(ValueError, match="values must be a record"):
        PathwayDistance.from_json({})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], "one label for each of 4"),
        ([0, 0, 0, 0], "at least two, one of them with two"),
        ([0, 1, 2, 3], "at least two, one of them with two"),
        ([0.0, 0.0, 1.0, math.nan], "must be labels, got None or NaN"),
        (["a", "a", "b", math.nan], "must be labels, got None or NaN"),
        (np.array([1, 1, 2, math.nan], object), "must be labels, got None or NaN"),
        (["a", "a", "b", None], "must be labels, got None or NaN"),
        (np.array(["a", "a", 1, 1], object), "text or numbers, not both"),
    ],
)
def test_labels_that_make_no_groups_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        pathway_distance(top_one(np.zeros((4, 2), int)), labels)
    with pytest.raises(ValueError, match="at least two samples"):
        pathway_distance(top_one(np.zeros((1, 2), int)))


def test_paths_that_do_not_differ_have_no_r_squared():
    found = pathway_distance(top_one(np.zeros((6, 2), int)), list("aabbcc"), shuffles=9, permutations=9)
    assert found.mean == found.standard_error == 0
    assert math.isnan(found.groups.r_squared)
    assert math.isnan(found.groups.p_value)
    assert found.shuffled.variance.reason == "not defined: no shuffle changed it"


def test_a_matching_that_looks_constant_has_no_standard_error():
    """Of four samples in two couples, no sum at a sample differs, and the estimate would be 0 while distances vary."""
    found = pathway_distance(top_one([[0], [0], [1], [1]], 2), shuffles=0)
    assert found.shuffled.variance.observed > 0
    assert math.isnan(found.standard_error)
    for n, pairs in ((5, None), (12, 9)):
        rng = np.random.default_rng(n)
        for _ in range(50):
            first = rng.integers(0, 2, (n, 1))
            record = pathway_distance(top_one(first, 2), pairs=pairs, shuffles=0, seed=int(rng.integers(1000)))
            assert record.standard_error > 0 or record.mean in (0, 1)


def test_shuffles_that_all_give_the_same_have_no_z_score():
    found = [
        pathway_distance(top_one(np.random.default_rng(seed).integers(0, 2, (4, 2)), 2), shuffles=2, seed=seed)
        for seed in range(40)
    ]
    same = [each.shuffled.variance for each in found if each.shuffled.variance.null_sd == 0]
    assert same
    assert all(math.isnan(part.z) and part.p_value > 0.5 for part in same)
    for each in found:
        assert all(type(value) is float for value in each.flat().values())


def test_a_single_layer_has_nothing_to_be_shuffled_against():
    """On drawn pairs its mean and variance would move: noise of the panel."""
    paths = random_paths(np.random.default_rng(12), 210, layers=1)  # more pairs than a panel
    null = shuffled_null(paths, np.arange(210) % 3, metric="jaccard", shuffles=3)
    assert "single layer" in null.mean.reason
    assert "single layer" in null.variance.reason
    assert null.within.reason == ""


def test_layers_of_many_experts_are_counted_in_memory_of_the_samples():
    first = np.random.default_rng(13).integers(0, 2**15, (9, 2))
    first[1] = first[0]
    found = pathway_distance(top_one(first, 2**15), [0, 0, 0, 1, 1, 1, 2, 2, 2], shuffles=9, permutations=9)
    assert found.mean == pytest.approx(2 * 35 / 36)
    assert found.shuffled.variance.observed == pytest.approx(4 * 35 / 36**2)
    assert found.groups.within == pytest.approx(2 * 8 / 9)


def test_a_statistic_beside_its_shuffles():
    part = _compared(3.0, np.array([1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 1.0]), "")
    assert part.p_value == pytest.approx(2 * (1 + 2) / 8)  # two of seven are at least as large
    assert part.null_sd == pytest.approx(np.std([1, 2, 3, 4, 1, 2, 1], ddof=1))
    assert _compared(1.0, np.array([1.0, 2.0, 3.0]), "").p_value == 1.0
    assert _compared(5.0, np.array([1.0, 2.0, 3.0]), "").p_value == 0.5


def test_weights_of_lists_are_those_of_maximum_likelihood():
    """At the maximum each expert is held as often as its weight's share of what was there says."""
    rng = np.random.default_rng(15)
    lists = random_paths(rng, 60, layers=1, experts=6, low=0, high=4).symbols[:, 0]
    weights = list_weights(lists, 6)
    expected = np.zeros(6)
    for one in lists:
        there = np.ones(6, bool)
        for expert in one[one >= 0]:
            expected += np.where(there, weights / weights[there].sum(), 0)
            there[expert] = False
    assert expected == pytest.approx(np.bincount(lists[lists >= 0], minlength=6), rel=1e-6)
    assert list_weights(np.full((3, 2), -1, np.int16), 4).tolist() == [0.25] * 4


def test_permutations_as_extreme_as_the_labels_count_and_so_do_the_labels():
    """A third of all permutations of two couples are the couples again."""
    paths = top_one([[0], [0], [1], [1]], 2)
    found = [
        pathway_distance(paths, list("aabb"), shuffles=0, permutations=3, seed=s).groups.p_value for s in range(60)
    ]
    assert set(found) == {0.25, 0.5, 0.75, 1.0}
    assert np.mean(found) == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize(("metric", "normalise"), [("layers", "yujian_bo"), ("layers", "max"), ("literal", None)])
def test_what_is_not_counted_is_measured(metric, normalise):
    paths = top_one(np.random.default_rng(16).integers(0, 12, (20, 3)), 12)
    matrix = distance_matrix(paths, metric=metric, normalise=normalise)
    found = pathway_distance(paths, metric=metric, normalise=normalise, shuffles=0)
    assert found.mean == pytest.approx(matrix[np.triu_indices(20, 1)].mean(), rel=1e-12)
