"""Signal-to-noise ratios against NumPy, the law of Student's t, and the linear regression whose ratios are exact."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from genbounds.coherence.alpha import coherence
from genbounds.coherence.relations import one_step_ratio
from genbounds.coherence.signal_to_noise import coordinate_one_step_ratio, summarise
from genbounds.worlds.gradient_regression import GaussianRegression


def sums(gradients):
    return gradients.sum(0), np.square(gradients).sum(0)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 20), st.integers(1, 15), st.integers(0, 2**31))
def test_summaries_are_those_of_the_ratios(m, d, seed):
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(m, d)) * rng.uniform(0.1, 10, d) + rng.normal(size=d)
    found = summarise({"one": sums(gradients[:, :1]), "two": sums(gradients[:, 1:])}, m)
    mean, variance = gradients.mean(0), gradients.var(0, ddof=1)
    ratios = mean**2 / variance
    for layer, part in zip((*found.layers, found.total), (slice(0, 1), slice(1, d), slice(0, d)), strict=True):
        own = ratios[part]
        assert layer.coordinates == len(own)
        assert layer.signal == pytest.approx((mean**2 - variance / m)[part].sum(), rel=1e-7, abs=1e-9)
        assert layer.noise == pytest.approx(variance[part].sum(), rel=1e-9, abs=1e-12)
        if len(own):
            assert layer.mean == pytest.approx((own - 1 / m).mean(), rel=1e-6)
            np.testing.assert_allclose(layer.quantiles, np.quantile(own - 1 / m, found.probabilities), rtol=1e-6)
            assert layer.above_chance == pytest.approx((own > 1 / m).mean())
            edges = [-math.inf, *found.edges, math.inf]
            assert list(layer.histogram) == np.histogram(own, edges)[0].tolist()
        else:
            assert math.isnan(layer.mean)
    total = np.square(gradients).sum(1).mean()
    unbiased = (m * mean @ mean - total) / (m - 1)
    assert found.total.coherence == pytest.approx(coherence(unbiased, total - unbiased), rel=1e-6, abs=1e-9)
    json.dumps(found.to_json(), allow_nan=False)


def test_silent_and_constant_coordinates_are_counted_and_left_out():
    gradients = np.random.default_rng(0).normal(size=(50, 5))
    gradients[:, 1], gradients[:, 2], gradients[:, 3] = 0.0, 0.1, -1e-30
    found = summarise({"layer": sums(gradients)}, 50).total
    assert (found.silent, found.constant) == (1, 2)
    ratios = gradients[:, [0, 4]].mean(0) ** 2 / gradients[:, [0, 4]].var(0, ddof=1)
    assert found.mean == pytest.approx((ratios - 1 / 50).mean())
    assert sum(found.histogram) == 2
    nothing = summarise({"layer": sums(gradients[:, 1:3])}, 50)
    assert math.isnan(nothing.total.mean)
    assert nothing.total.coherence == 1.0
    assert json.loads(json.dumps(nothing.to_json(), allow_nan=False))["total"]["mean"] is None
    assert math.isnan(summarise({"layer": sums(gradients[:, 1:2])}, 50).total.coherence)


def test_rounding_of_float32_sums_is_no_signal():
    """Constant gradients, their sums rounded to float32: a variance of rounding alone."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=1000)
    total = np.float32(values * 100).astype(float)
    squares = 100 * values**2 * (1 + 2**-23 * rng.uniform(-1, 1, 1000))
    assert summarise({"layer": (total, squares)}, 100, rounding=2**-23).total.constant == 1000
    near = summarise({"layer": (values * 100, 100 * values**2 * (1 + 2**-23 * np.abs(rng.normal(size=1000))))}, 100)
    assert near.total.constant < 10


@pytest.mark.parametrize("m", [6, 40])
def test_without_signal_the_ratios_are_students_t(m):
    found = summarise({"layer": sums(np.random.default_rng(m).normal(size=(m, 40_000)))}, m)
    error = 4 * math.sqrt(0.25 / 40_000)
    assert found.total.above_chance == pytest.approx(found.chance, abs=error)
    # The factor that dividing by an estimated variance leaves.
    truth = (m - 1) / (m - 3) / m - 1 / m
    spread = 4 * math.sqrt(2 * ((m - 1) / (m - 3)) ** 3 / 40_000) / m * 2
    assert found.total.mean == pytest.approx(truth, abs=spread)
    assert found.total.quantiles[3] < 0


def test_linear_regression_has_the_ratios_of_its_closed_form():
    world = GaussianRegression(np.array([1.0, 0.5, -2.0, 0.0]), np.zeros(4), 0.7)
    m = 400_000
    gradients = world.sample(np.random.default_rng(2), m)
    for j in range(4):
        layer = summarise({"w": sums(gradients[:, j : j + 1])}, m).total
        u = np.array([1.0, 0.5, -2.0, 0.0])
        truth = u[j] ** 2 / (u @ u + u[j] ** 2 + 0.49)
        assert world.signal_to_noise[j] == pytest.approx(truth, rel=1e-12)
        # sd of the ratio by the delete-a-block jackknife.
        blocks = gradients[:, j].reshape(100, -1)
        parts = blocks.mean(1) ** 2 / blocks.var(1)
        assert layer.mean == pytest.approx(truth, abs=4 * parts.std() / 10 + 4 / m)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 20), st.integers(1, 1000), st.integers(0, 2**31))
def test_the_one_step_ratio_of_coordinates_is_that_of_two_numbers(d, n, seed):
    rng = np.random.default_rng(seed)
    squared_means, variances = rng.exponential(size=d) ** 3, rng.exponential(size=d) ** 3
    variances[rng.random(d) < 0.2] = 0
    squared_means[rng.random(d) < 0.2] = 0
    found = coordinate_one_step_ratio(squared_means, variances, n)
    if squared_means.sum() + variances.sum() == 0:
        assert math.isnan(found)
    else:
        alpha = squared_means.sum() / (squared_means.sum() + variances.sum())
        assert found == pytest.approx(float(one_step_ratio(alpha, n)), rel=1e-12, abs=1e-12)


def test_the_one_step_ratio_is_the_ratio_of_gains_by_enumeration():
    """Two examples with repetition from a population of three: gains of the step on both, to first order."""
    points = np.array([[1.0, 2.0], [-1.0, 0.5], [0.5, 1.0]])
    means = [(g + h) / 2 for g in points for h in points]
    fresh = np.mean([mean @ points.mean(0) for mean in means])
    own = np.mean([mean @ mean for mean in means])
    found = coordinate_one_step_ratio(points.mean(0) ** 2, points.var(0), 2)
    assert found == pytest.approx(fresh / own, rel=1e-12)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="m must be a whole number of at least 2"):
        summarise({"a": ([1.0], [1.0])}, 1)
    with pytest.raises(ValueError, match="sums must be at most what the sums of squares allow"):
        summarise({"a": ([3.0], [1.0])}, 3)
    with pytest.raises(ValueError, match="a layer or more"):
        summarise({}, 3)
    with pytest.raises(ValueError, match="sums of squares must be non-negative"):
        summarise({"a": ([0.0], [-1.0])}, 3)
    with pytest.raises(ValueError, match="variances must be non-negative"):
        coordinate_one_step_ratio([1.0], [-1.0], 2)
    assert math.isnan(coordinate_one_step_ratio([0.0], [0.0], 2))


def test_text_says_what_is_expected_by_chance():
    text = str(summarise({"": sums(np.random.default_rng(0).normal(size=(30, 8)))}, 30))
    assert text.startswith("signal-to-noise ratio of the gradient's coordinates, 30 examples (1/m is 0.033; 33% of")


def test_what_is_constant_what_is_above_chance_and_where_edges_belong():
    squares = np.ones(3)
    total = np.sqrt(2 * squares * (1 - 2.0**-52 * np.array([8, 64, 4096])))  # variance of 8, 64 and 4096 roundings
    assert summarise({"": (total, squares)}, 2).total.constant == 1
    exact = summarise({"": (np.array([2.0]), np.array([4.0]))}, 2)  # 0 and 2: average 1, variance 2, ratio 1/2 = 1/m
    assert exact.total.above_chance == 0
    assert exact.edges[8] == 0.5
    assert exact.total.histogram.index(1) == 9  # an edge belongs to the bin above it


@pytest.mark.parametrize("m", [2, 3, 30])
def test_share_above_chance_is_students(m):
    assert summarise({"": ([1.0], [2.0])}, m).chance == pytest.approx(2 * stats.t(m - 1).cdf(-1), rel=1e-12)
