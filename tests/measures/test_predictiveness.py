"""Rank statistics against loops over pairs, limits and invariances; controls and nulls against what they must do."""

import math
from collections import Counter, defaultdict
from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from genbounds.measures import (
    additive_prediction,
    conditional_information,
    granulated_kendall,
    noisy_oracle,
    permutation_null,
    random_measure,
    tau_a,
)

numbers = st.integers(-3, 3).map(float)
columns = st.integers(2, 12).flatmap(
    lambda n: st.tuples(st.lists(numbers, min_size=n, max_size=n), st.lists(numbers, min_size=n, max_size=n))
)


def sign(a):
    return int(a > 0) - int(a < 0)


def grid(*sizes):
    points = np.array(list(product(*(range(size) for size in sizes))))
    return {f"axis {k}": points[:, k] for k in range(len(sizes))}


@given(columns)
def test_tau_is_the_mean_over_ordered_pairs(pair):
    x, y = pair
    pairs = list(permutations(range(len(x)), 2))
    assert tau_a(x, y) == sum(sign(x[i] - x[j]) * sign(y[i] - y[j]) for i, j in pairs) / len(pairs)


@given(columns)
def test_tau_is_symmetric_odd_and_blind_to_monotone_transformations(pair):
    x, y = map(np.array, pair)
    assert tau_a(x, y) == tau_a(y, x) == -tau_a(-x, y) == tau_a(np.exp(x) * 1e300, y)


def test_tau_agrees_with_tau_b_without_ties_and_is_zero_where_tau_b_is_undefined():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 700))  # more than one block of rows
    assert tau_a(x, y) == pytest.approx(kendalltau(x, y).statistic, abs=1e-12)
    assert tau_a(np.ones(5), np.arange(5)) == 0


@pytest.mark.parametrize(
    ("x", "y"), [([1, math.nan], [0, 1]), ([1], [1]), ([1, 2, 3], [1, 2]), ([1, math.inf], [0, 1])]
)
def test_bad_columns_are_refused(x, y):
    with pytest.raises(ValueError, match="must be"):
        tau_a(x, y)


def brute_psi(x, y, axes, axis):
    lines = defaultdict(list)
    for run in range(len(x)):
        lines[tuple(axes[name][run] for name in axes if name != axis)].append(run)
    found = [tau_a(x[line], y[line]) for line in map(np.array, lines.values()) if len(line) > 1]
    return sum(found) / len(found)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_granulated_is_the_mean_over_lines_also_with_holes(seed):
    rng = np.random.default_rng(seed)
    axes = grid(3, 2, 4)
    kept = np.sort(rng.permutation(24)[:20])
    axes = {name: column[kept] for name, column in axes.items()}
    x, y = rng.integers(0, 6, (2, 20)).astype(float)
    found = granulated_kendall(x, y, axes)
    for axis in axes:
        assert found.psi[axis] == pytest.approx(brute_psi(x, y, axes, axis), abs=1e-12)
    assert found.value == pytest.approx(np.mean(list(found.psi.values())), abs=1e-12)
    assert found.without("axis 0") == pytest.approx((found.psi["axis 1"] + found.psi["axis 2"]) / 2, abs=1e-12)


def test_one_over_n_earns_exactly_its_axis():
    """The measure 1/n has psi 1 along sizes and 0 along all others: Psi rewards it, Psi without sizes does not."""
    axes = grid(4, 3, 2)
    gap = 1 / (1 + axes["axis 0"]) + 0.01 * axes["axis 1"] + 0.001 * axes["axis 2"]
    found = granulated_kendall(1 / (1.0 + axes["axis 0"]), gap, axes)
    assert found.psi == {"axis 0": 1.0, "axis 1": 0.0, "axis 2": 0.0}
    assert found.without("axis 0") == 0


def test_repeated_settings_flat_axes_and_unknown_axes_are_refused():
    with pytest.raises(ValueError, match="tell the runs apart"):
        granulated_kendall([1, 2], [1, 2], {"lr": [1, 1]})
    with pytest.raises(ValueError, match=r"'b'.* must vary"):
        granulated_kendall([1, 2], [1, 2], {"a": [1, 2], "b": [1, 1]})
    with pytest.raises(ValueError, match="missing"):
        granulated_kendall([1, 2], [1, 2], {"a": [1, math.nan]})
    with pytest.raises(ValueError, match="some, not all"):
        granulated_kendall([1, 2], [1, 2], {"a": [1, 2]}).without("a")


def entropy(counter):
    total = sum(counter.values())
    return -sum(c / total * math.log(c / total) for c in counter.values())


def brute_share(x, y, axes, chosen):
    strata = defaultdict(list)
    for i, j in permutations(range(len(x)), 2):
        strata[tuple((axes[name][i], axes[name][j]) for name in chosen)].append((sign(x[i] - x[j]), sign(y[i] - y[j])))
    pairs = len(x) * (len(x) - 1)
    information = left = 0.0
    for members in strata.values():
        v, g, both = Counter(a for a, _ in members), Counter(b for _, b in members), Counter(members)
        information += len(members) / pairs * (entropy(v) + entropy(g) - entropy(both))
        left += len(members) / pairs * entropy(g)
    return information / left if left > 1e-12 else None


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_conditional_information_is_that_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    axes = grid(2, 3, 2)
    x, y = rng.integers(0, 8, (2, 12)).astype(float)
    found = conditional_information(x, y, axes)
    sets = [chosen for size in range(3) for chosen in combinations(axes, size)]
    expected = {chosen: brute_share(x, y, axes, chosen) for chosen in sets}
    assert set(found.settled) == {chosen for chosen, value in expected.items() if value is None}
    for chosen, value in found.given.items():
        assert value == pytest.approx(expected[chosen], abs=1e-12)
    assert found.value == min(found.given.values()) == found.given[found.at]


def test_information_is_whole_for_the_gap_and_none_for_a_constant():
    rng = np.random.default_rng(1)
    gap, axes = rng.standard_normal(24), grid(4, 3, 2)
    assert conditional_information(np.exp(gap), gap, axes).value == pytest.approx(1, abs=1e-12)
    assert conditional_information(-gap, gap, axes).value == pytest.approx(1, abs=1e-12)
    assert conditional_information(np.ones(24), gap, axes).value == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="certain"):
        conditional_information(np.ones(3), np.ones(3), {"a": [1, 2, 3]})


def test_a_hyper_parameter_tells_nothing_given_itself():
    axes = grid(5, 5)
    gap = axes["axis 0"] + 0.1 * np.random.default_rng(2).standard_normal(25)
    found = conditional_information(axes["axis 0"].astype(float), gap, axes)
    assert found.given[()] > 0.3
    assert found.given["axis 0",] == pytest.approx(0, abs=1e-12)
    assert found.value == pytest.approx(0, abs=1e-12)


def test_information_of_a_random_measure_falls_with_the_number_of_runs():
    """The bias that makes a null necessary: about .016 at 24 runs, less than .003 at 96."""
    rng = np.random.default_rng(3)

    def average(*sizes):
        axes, runs = grid(*sizes), math.prod(sizes)
        return np.mean([
            conditional_information(*rng.standard_normal((2, runs)), axes, most=0).value for _ in range(60)
        ])

    assert 0.004 < average(4, 3, 2) < 0.04
    assert average(8, 4, 3) < 0.008


def test_additive_gaps_are_predicted_and_random_ones_are_not():
    rng = np.random.default_rng(4)
    axes = grid(4, 3, 4)
    additive = 0.3 * axes["axis 0"] ** 2 + np.array([0.1, -0.5, 0.2])[axes["axis 1"]] + 5
    np.testing.assert_allclose(additive_prediction(additive, axes, rng), additive, atol=1e-9)
    scores = [tau_a(additive_prediction(gap, axes, rng), gap) for gap in rng.standard_normal((30, 48))]
    assert abs(np.mean(scores)) < 0.15
    with pytest.raises(ValueError, match="at most the number of runs"):
        additive_prediction([1.0, 2.0], {"a": [1, 2]}, rng)


def test_no_prediction_sees_its_own_gap():
    axes = grid(5, 4)
    gap = np.random.default_rng(5).standard_normal(20)
    before = additive_prediction(gap, axes, np.random.default_rng(6))
    moved = gap.copy()
    moved[7] += 100
    assert additive_prediction(moved, axes, np.random.default_rng(6))[7] == pytest.approx(before[7], abs=1e-9)


def test_an_oracle_with_noise_and_a_random_measure():
    rng = np.random.default_rng(7)
    gap = rng.standard_normal(300)
    assert (noisy_oracle(gap, 0, rng) == gap).all()
    assert np.std(noisy_oracle(gap, 0.1, rng) - gap) == pytest.approx(0.1, rel=0.2)
    assert abs(tau_a(random_measure(300, rng), gap)) < 0.16  # four standard deviations
    with pytest.raises(ValueError, match="noise"):
        noisy_oracle(gap, -1, rng)


def test_a_p_value_is_valid():
    """Under exchangeability P(p <= a) <= a; 400 tries, so 4 standard errors are .06 at a = .1."""
    rng = np.random.default_rng(8)
    gap = np.arange(8.0)
    found = [
        permutation_null(lambda x: tau_a(x, gap), rng.standard_normal(8), rng, permutations=19).p_value
        for _ in range(400)
    ]
    assert np.mean(np.array(found) <= 0.1) < 0.16
    assert np.mean(np.array(found) <= 0.1) > 0.04


def test_the_null_is_the_law_over_all_permutations():
    gap = np.arange(5.0)
    exact = [tau_a(np.array(order, float), gap) for order in permutations(range(5))]
    null = permutation_null(lambda x: tau_a(x, gap), gap, np.random.default_rng(9), permutations=4000)
    assert null.mean == pytest.approx(0, abs=4 * np.std(exact) / 4000**0.5)
    assert null.standard_deviation == pytest.approx(np.std(exact), rel=0.06)
    assert null.p_value == pytest.approx(2 / 120, abs=0.009)


def test_blocks_keep_what_they_tell():
    """A measure that is its block alone is not moved by shuffles within blocks, so that nothing speaks for it."""
    block = np.repeat([0, 1, 2], 4)
    gap = block + np.linspace(0, 0.5, 12)
    null = permutation_null(lambda x: tau_a(x, gap), block, np.random.default_rng(0), permutations=50, within=block)
    assert null.p_value == 1
    assert null.standard_deviation == 0
    assert permutation_null(lambda x: tau_a(x, gap), block, np.random.default_rng(0), permutations=99).p_value < 0.05
    with pytest.raises(ValueError, match="within"):
        permutation_null(lambda x: tau_a(x, gap), gap, np.random.default_rng(0), within=range(12))


def test_the_same_seed_gives_the_same_null():
    gap = np.arange(6.0)
    one, two = (permutation_null(lambda x: tau_a(x, gap), gap, np.random.default_rng(3), permutations=20) for _ in "ab")
    assert one == two


@pytest.mark.parametrize("seed", range(4))
def test_the_published_scorer_agrees(seed):
    """Without ties tau-a is tau-b, and its binary signs are ours."""
    scorer = pytest.importorskip("mbe_eval", reason="needs the extra test")
    pandas = pytest.importorskip("pandas", reason="needs the extra frame")
    rng = np.random.default_rng(seed)
    axes = grid(3, 4, 5)
    x, y = rng.standard_normal((2, 60))
    x += 0.5 * y + axes["axis 1"]
    table = pandas.DataFrame({**axes, "measure": x, "gap": y})
    psi, _ = scorer.granulated_kendall(table, "measure", "gap", list(axes))
    k, _ = scorer.jiang_normalized_cmi(table, "measure", "gap", list(axes))
    assert granulated_kendall(x, y, axes).value == pytest.approx(psi, abs=1e-12)
    assert conditional_information(x, y, axes).value == pytest.approx(k, abs=1e-12)
