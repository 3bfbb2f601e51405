"""Correlations along a training: closed forms, other libraries, and series that correlate with everything."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from genbounds.pathways.training.correlations import (
    Correlation,
    correlation,
    effective_points,
    lag_one,
    partial_correlation,
)


def random_pair(seed, n=12):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, n))
    return x, y + 0.5 * x


@pytest.mark.parametrize("seed", range(5))
def test_pearson_and_spearman_are_those_of_scipy(seed):
    x, y = random_pair(seed)
    y = np.round(y)  # ties
    found = correlation(x, y)
    assert found.pearson == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-13)
    assert found.spearman == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-13)
    assert found.changes == pytest.approx(stats.pearsonr(np.diff(x), np.diff(y)).statistic, abs=1e-13)
    assert found.notes == ()
    assert math.isnan(found.partial)


SERIES = arrays(np.float64, 8, elements=st.integers(-50, 50).map(float))


@given(SERIES, SERIES, st.integers(-100, 100), st.sampled_from([1e-9, 0.1, 3.0, 1e6]))
@settings(deadline=None, max_examples=60)
def test_shifts_scales_signs_and_exchange(x, y, shift, scale):
    found, moved = correlation(x, y), correlation(y, scale * (x + shift))
    for name in ("pearson", "spearman", "changes", "effective_points"):
        mine, other = getattr(found, name), getattr(moved, name)
        assert mine == pytest.approx(other, abs=1e-9, nan_ok=True), name
    assert found.lag_one == pytest.approx(moved.lag_one[::-1], abs=1e-9, nan_ok=True)
    turned = correlation(-x, y)
    assert turned.pearson == pytest.approx(-found.pearson, abs=1e-12, nan_ok=True)
    if not math.isnan(found.pearson):
        assert -1 <= found.pearson <= 1
        assert 1 - 1e-12 <= found.effective_points <= 8 + 1e-12
        assert math.isfinite(correlation(x, x).pearson)
        assert correlation(x, x).pearson == pytest.approx(1, abs=1e-12)


def by_regression(x, y, given):
    """The definition: residuals of least squares with a constant."""
    design = np.column_stack([np.ones(len(x)), given])
    left = [values - design @ np.linalg.lstsq(design, values, rcond=None)[0] for values in (x, y)]
    return stats.pearsonr(*left).statistic


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("covariates", [1, 2, 4])
def test_partial_correlation_is_that_of_residuals(seed, covariates):
    rng = np.random.default_rng(100 + seed)
    x, y = random_pair(seed)
    z = rng.standard_normal((12, covariates)) * np.logspace(0, 6, covariates) + 1e3
    assert partial_correlation(x, y, z) == pytest.approx(by_regression(x, y, z), abs=1e-9)


def by_recursion(r, i, j, given):
    """From correlations alone: take out one covariate after the other."""
    if not given:
        return r[i, j]
    *rest, k = given
    one, two, three = (by_recursion(r, a, b, rest) for a, b in ((i, j), (i, k), (j, k)))
    return (one - two * three) / math.sqrt((1 - two**2) * (1 - three**2))


def test_partial_correlation_by_recursion():
    values = np.random.default_rng(5).standard_normal((4, 9))
    expected = by_recursion(np.corrcoef(values), 0, 1, [2, 3])
    assert partial_correlation(values[0], values[1], values[2:].T) == pytest.approx(expected, abs=1e-12)


def test_partial_correlation_does_not_see_what_it_is_given():
    x, y = random_pair(1)
    step, entropy = np.arange(12.0), np.random.default_rng(2).random(12)
    found = correlation(x, y, {"step": step, "entropy": entropy}).partial
    moved = correlation(x + 30 * step - entropy, y - 7 * step, {"step": 1e6 * step, "entropy": 1e-3 * entropy - 4})
    assert moved.partial == pytest.approx(found, abs=1e-9)
    assert moved.covariates == ("step", "entropy")
    same = partial_correlation(x, y, np.column_stack([step, step, np.ones(12)]))  # nothing new, and nothing
    assert same == pytest.approx(partial_correlation(x, y, step[:, None]), abs=1e-12)
    assert partial_correlation(x, y, np.ones((12, 1))) == pytest.approx(correlation(x, y).pearson, abs=1e-12)


def test_too_few_checkpoints_for_the_covariates():
    x, y = random_pair(0, 4)
    found = correlation(x, y, {"step": [0, 1, 2, 3], "entropy": [1, 3, 2, 5]})
    assert math.isnan(found.partial)
    assert found.notes == ("partial correlation: 2 covariates need at least 5 checkpoints, got 4",)
    five = correlation(*random_pair(0, 5), {"step": range(5), "entropy": [1, 3, 2, 5, 4]})
    assert math.isfinite(five.partial)
    assert "step and entropy" in str(five)


def test_what_covariates_explain_wholly_has_no_partial_correlation():
    step = np.arange(8.0)
    found = correlation(3 * step + 0.1, step**2, {"step": step})
    assert math.isnan(found.partial)
    assert "explain one series wholly" in found.notes[-1]


def test_constant_series():
    found = correlation([2.0] * 5, range(5), {"step": [0, 1, 2, 4, 8]})
    assert all(map(math.isnan, (found.pearson, found.spearman, found.changes, found.effective_points, found.partial)))
    assert "x is constant" in found.notes
    assert math.isnan(lag_one([1.0, 1.0, 1.0]))
    third = 1 / 3
    nearly = correlation([0.1 + 0.2, 0.3, third * 0.9, 0.3], [1, 2, 3, 5])  # constant but for rounding
    assert math.isnan(nearly.pearson)
    lines = correlation([1, 2, 3, 4], [1, 4, 2, 8])
    assert lines.notes == ("correlation of changes: the changes of one series are all the same",)


def test_few_points():
    with pytest.raises(ValueError, match="x must be of at least 3 checkpoints, got 2"):
        correlation([1, 2], [3, 4])
    three = correlation([1, 2, 4], [3, 4, 1])
    assert math.isnan(three.changes)
    assert three.notes == ("correlation of changes: 3 checkpoints have 2 changes",)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2, math.nan], [1, 2, 3], "x must be a number"),
        ([1, 2, 3], [1, 2, math.inf], "y must be finite"),
        ([1, 2, 3], [1, 2, 3, 4], "must have a value for each checkpoint"),
        ([[1, 2, 3]], [1, 2, 3], "x must be one number for each checkpoint"),
    ],
)
def test_what_cannot_be(x, y, message):
    with pytest.raises(ValueError, match=message):
        correlation(x, y)


@pytest.mark.parametrize("n", [4, 5, 10, 100])
def test_lag_one_of_a_line_and_of_alternation(n):
    assert lag_one(np.arange(n) * 7.0 - 3) == pytest.approx((n - 3) / n, abs=1e-12)
    if n % 2 == 0:
        assert lag_one([(-1.0) ** t for t in range(n)]) == pytest.approx(-(n - 1) / n, abs=1e-12)


def test_lag_one_of_noise_is_biased_as_it_is_said():
    rng = np.random.default_rng(0)
    for rho, n, draws in ((0.0, 10, 4000), (0.5, 50, 4000)):
        x = ar1(rng, rho, n, draws)
        seen = np.array([lag_one(row) for row in x])
        error = seen.std() / math.sqrt(draws)
        assert abs(seen.mean() - (rho - (1 + 4 * rho) / n)) < 4 * error + 0.3 / n**2 * (1 + 4 * rho) + 4e-3


def ar1(rng, rho, n, draws):
    noise = rng.standard_normal((draws, n))
    x = np.empty_like(noise)
    x[:, 0] = noise[:, 0]
    for t in range(1, n):
        x[:, t] = rho * x[:, t - 1] + math.sqrt(1 - rho**2) * noise[:, t]
    return x


@pytest.mark.parametrize(("rho", "other"), [(0.9, 0.8), (0.5, 0.5), (0.95, 0.0)])
def test_the_formula_of_effective_points_is_exact_for_known_means(rho, other):
    """The variance of the mean product of two independent stationary series, by its covariance matrices."""
    n = 15
    lags = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    variance = (rho**lags * other**lags).sum() / n**2  # E (sum x_t y_t / n)^2
    k = np.arange(1, n)
    assert 1 / variance == pytest.approx(n / (1 + 2 * ((1 - k / n) * (rho * other) ** k).sum()), rel=1e-12)
    x, y = (ar1(np.random.default_rng(seed), r, n, 40_000) for seed, r in ((1, rho), (2, other)))
    products = (x * y).mean(axis=1)
    assert products.var() == pytest.approx(variance, rel=0.05)


def test_effective_points_of_trends_and_of_noise():
    assert effective_points(np.arange(10), np.arange(10) ** 2) == pytest.approx(1, abs=0.2)
    alternating = np.array([(-1.0) ** t for t in range(10)])
    assert effective_points(alternating, np.arange(10)) == 10  # products below 0 count as 0
    rng = np.random.default_rng(3)
    found = [effective_points(*rng.standard_normal((2, 20))) for _ in range(300)]
    assert np.median(found) > 15


def test_two_random_walks_correlate_and_nothing_here_calls_it_significant():
    """The attack: the usual test finds independent walks dependent most of the time; effective points warn of it."""
    rng = np.random.default_rng(0)
    naive, pearson, effective, of_changes = [], [], [], []
    for _ in range(300):
        x, y = rng.standard_normal((2, 30)).cumsum(axis=1)
        naive.append(stats.pearsonr(x, y).pvalue < 0.05)
        pearson.append(correlation(x, y).pearson)
        effective.append(effective_points(x, y))
        of_changes.append(stats.pearsonr(np.diff(x), np.diff(y)).pvalue < 0.05)
    assert np.mean(naive) > 0.45  # 0.56 over 4,000
    assert np.median(effective) < 5
    assert np.mean(np.abs(pearson) * np.sqrt(effective) > 1.96) < 0.05
    assert abs(np.mean(of_changes) - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 300)
    assert not any("p_value" in name for name in Correlation.__dataclass_fields__)


def test_two_lines_with_noise_correlate_but_their_changes_do_not():
    rng = np.random.default_rng(1)
    step = np.arange(200.0)
    found = correlation(step + rng.standard_normal(200), -step + rng.standard_normal(200), {"step": step})
    assert found.pearson < -0.99
    assert abs(found.changes) < 0.3
    assert abs(found.partial) < 0.3


def test_through_json():
    for found in (correlation([1, 2, 4], [3, 4, 1]), correlation(*random_pair(3), {"step": range(12)})):
        again = Correlation.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
        assert again.to_json() == found.to_json()
        assert str(again) == str(found)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: effective_points([1, 2, 3], [1, 2, 4, 3]), "a value for each checkpoint"),
        (lambda: partial_correlation([1, 2, 3, 4], [1, 3, 2], np.ones((4, 1))), "a value for each checkpoint"),
        (lambda: partial_correlation([1, 2, 3, 4], [1, 3, 2, 4], np.ones((5, 1))), "a value for each checkpoint"),
        (lambda: partial_correlation([1, 2, 3, 4], [1, 3, 2, 4], [1, 2, 3, 5]), "a row for each checkpoint"),
    ],
)
def test_series_of_different_lengths_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
