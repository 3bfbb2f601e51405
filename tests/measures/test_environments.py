"""Sign errors against loops and identities with tau; their weights against exact probabilities of an order."""

from collections import defaultdict
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from genbounds.measures import pair_weights, sign_errors, tau_a


def sign(a):
    return int(a > 0) - int(a < 0)


def design(rng, sizes=(2, 3, 2), most=5):
    """A grid with holes, every configuration repeated 1 to `most` times, in random order."""
    points = [point for point in product(*map(range, sizes)) for _ in range(rng.integers(0, most + 1))]
    points = np.array(points)[rng.permutation(len(points))]
    return {f"axis {k}": points[:, k].tolist() for k in range(len(sizes))}, len(points)


def brute(x, y, axes, n, least):
    """Every pair of configurations, and all pairs of their runs, one by one."""
    runs = defaultdict(list)
    for run, point in enumerate(zip(*axes.values(), strict=True)):
        runs[point].append(run)
    errors, left_out = defaultdict(list), 0
    for one, other in combinations(runs, 2):
        differing = [axis for axis, a, b in zip(axes, one, other, strict=True) if a != b]
        if len(differing) != 1:
            continue
        total = squares = wrong = 0.0
        for i, j in product(runs[one], runs[other]):
            d = y[i] - y[j]
            w = 1.0 if n is None else max(0.0, max(0.0, 1 - 2 * np.exp(-2 * n * (abs(d) / 2) ** 2)) ** 2 - 0.5)
            total, squares = total + w, squares + w * w
            wrong += w * (1 - sign(x[i] - x[j]) * sign(d)) / 2
        if squares and total**2 / squares >= least * (1 - 1e-5):
            errors[differing[0]].append(wrong / total)
        else:
            left_out += 1
    return {axis: sorted(found) for axis, found in errors.items()}, left_out


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 300, 10_000]), st.sampled_from([1.0, 4.0, 12.0]))
def test_sign_errors_are_those_of_the_definition(seed, n, least):
    rng = np.random.default_rng(seed)
    axes, runs = design(rng)
    x, y = rng.integers(0, 9, runs).astype(float), rng.integers(0, 30, runs) / 100
    expected, left_out = brute(x, y, axes, n, least)
    if not expected:
        with pytest.raises(ValueError, match="repeats enough"):
            sign_errors(x, y, axes, test_examples=n, effective=least)
        return
    found = sign_errors(x, y, axes, test_examples=n, effective=least)
    everything = [error for errors in expected.values() for error in errors]
    assert found.left_out == left_out
    assert found.kept == len(everything)
    for axis, errors in found.by_axis.items():
        np.testing.assert_allclose(sorted(errors), expected.get(axis, []), atol=1e-12)
    assert found.worst == pytest.approx(max(everything), abs=1e-12)
    assert found.mean == pytest.approx(np.mean(everything), abs=1e-12)
    assert found.quantile(0.9) == pytest.approx(np.quantile(everything, 0.9), abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(3, 6), st.integers(4, 6))
def test_it_is_one_minus_tau_over_two_of_the_pairs_across(seed, first, second):
    """What tau counts over all runs, less what it counts within each configuration, is what is across."""
    x, y = np.random.default_rng(seed).standard_normal((2, first + second))
    parts = slice(None), slice(first), slice(first, None)
    whole, one, other = (tau_a(x[part], y[part]) * len(x[part]) * (len(x[part]) - 1) / 2 for part in parts)
    across = (whole - one - other) / (first * second)
    found = sign_errors(x, y, {"rate": [0.1] * first + [1.0] * second})
    assert found.worst == pytest.approx((1 - across) / 2, abs=1e-12)


def test_separated_configurations_have_the_extremes_and_ties_are_coins():
    gap = np.repeat([0.1, 0.2, 0.3], 4) + np.tile([0, 1e-3, 2e-3, 3e-3], 3)
    axes = {"width": np.repeat([1, 2, 3], 4)}
    assert sign_errors(np.exp(50 * gap), gap, axes).by_axis == {"width": (0.0,) * 3}
    assert sign_errors(-gap, gap, axes).by_axis == {"width": (1.0,) * 3}
    assert sign_errors(np.ones(12), gap, axes, test_examples=10_000).by_axis == {"width": (0.5,) * 3}


def test_the_worst_sees_what_the_mean_hides():
    """A measure that follows width everywhere and fails along rate in one place only."""
    points = [(width, rate) for width, rate in product(range(6), range(2)) for _ in range(4)]
    width, rate = np.array(points).T
    gap = width + 0.1 * rate + 1e-3 * np.tile(range(4), 12)
    measure = gap - 0.2 * ((width == 3) & (rate == 1))
    found = sign_errors(measure, gap, {"width": width, "rate": rate})
    assert found.worst == 1
    assert found.mean == pytest.approx(1 / found.kept)
    assert max(found.by_axis["width"]) == 0


def test_twelve_pairs_count_and_eleven_do_not():
    gap = np.linspace(0, 1, 7)
    assert sign_errors(gap, gap, {"a": [0] * 3 + [1] * 4}).kept == 1
    gap = np.linspace(0, 1, 12)
    with pytest.raises(ValueError, match="none among 1 pairs"):
        sign_errors(gap, gap, {"a": [0] + [1] * 11})
    assert sign_errors(gap, gap, {"a": [0] + [1] * 11}, effective=11).worst == 0


@pytest.mark.parametrize("n", [50, 400, 3000])
def test_an_order_is_right_at_least_as_often_as_the_weight_says(n):
    """Exact, at the widest spread of a mean: independent test samples, and one sample with opposite errors."""
    counts = np.arange(n + 1)
    for d in np.linspace(0.01, 0.5, 25):
        promised = pair_weights(d, n) + 0.5
        if promised == 0.5:
            continue
        low, high = 0.5 - d / 2, 0.5 + d / 2
        independent = (binom.pmf(counts, n, low) * binom.sf(counts, n, high)).sum()
        opposite = binom.cdf(np.ceil(n / 2) - 1, n, low)
        assert promised <= independent + 1e-12
        assert promised <= opposite + 1e-12


def test_weights_grow_with_the_difference_and_end_at_one_half():
    weights = pair_weights(np.linspace(-1, 1, 101), 1000)
    assert (np.diff(weights[50:]) >= 0).all()
    np.testing.assert_allclose(weights, weights[::-1], atol=1e-12)
    assert weights[50] == 0
    assert weights[-1] == pytest.approx(0.5)


def test_pairs_within_noise_do_not_count():
    """A measure that is right about clear differences and wrong about those within noise is right."""
    rng = np.random.default_rng(0)
    gap = np.concatenate([0.10 + 1e-4 * rng.random(6), 0.1001 + 1e-4 * rng.random(3), 0.3 + 1e-4 * rng.random(4)])
    measure = np.where(gap > 0.2, 1 + gap, -gap)
    axes = {"a": [0] * 6 + [1] * 7}
    assert sign_errors(measure, gap, axes, test_examples=10_000).worst == 0
    assert sign_errors(measure, gap, axes).worst > 0.3


def test_what_does_not_fit_is_refused():
    gap, axes = np.linspace(0, 1, 8), {"a": [0] * 4 + [1] * 4}
    with pytest.raises(ValueError, match="difference of error rates"):
        sign_errors(gap, 100 * gap, axes, test_examples=1000)
    with pytest.raises(ValueError, match="one for each run"):
        sign_errors(gap[1:], gap, axes)
    with pytest.raises(ValueError, match="test_examples"):
        sign_errors(gap, gap, axes, test_examples=0)
    with pytest.raises(ValueError, match="effective"):
        sign_errors(gap, gap, axes, effective=0)
    with pytest.raises(ValueError, match="share"):
        sign_errors(gap, gap, axes).quantile(1.1)
