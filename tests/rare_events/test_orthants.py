import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import log_ndtr

from genbounds.rare_events.averages import orthants
from genbounds.rare_events.averages.log_means import log_mean
from genbounds.rare_events.averages.orthants import orthant_log_weights


def equicorrelated(n, negatives, rho):
    """Covariance of n variables of correlation rho, some of which have their sign changed."""
    signs = np.where(np.arange(n) < negatives, -1.0, 1.0)
    return np.outer(signs, signs) * (rho + (1 - rho) * np.eye(n))


def by_quadrature(n, negatives, rho):
    """ln of the orthant's probability: given the common factor all are independent, which leaves one dimension."""
    ratio = math.sqrt(rho / (1 - rho))

    def log_integrand(x):
        return (n - negatives) * log_ndtr(ratio * x) + negatives * log_ndtr(-ratio * x) - x * x / 2

    grid = np.linspace(-12, 12, 20_001)
    peak = grid[np.argmax(log_integrand(grid))]
    top = log_integrand(peak)
    area = quad(lambda x: math.exp(log_integrand(x) - top), peak - 8, peak + 8, epsabs=0, epsrel=1e-11, limit=500)[0]
    return top + math.log(area / math.sqrt(2 * math.pi))


def assert_estimates(weights, truth, errors=5):
    found = log_mean(weights)
    assert found.trusted
    assert abs(found.value - truth) < errors * found.standard_error + 1e-12


@settings(max_examples=30)
@given(st.floats(-0.99, 0.99), st.integers(0, 1000))
def test_two_dimensions(rho, seed):
    weights = orthant_log_weights([[1.0, rho], [rho, 1.0]], 2000, seed=seed)
    assert_estimates(weights, math.log(0.25 + math.asin(rho) / (2 * math.pi)), 6)


@pytest.mark.parametrize("n", [2, 5, 30, 150])
def test_correlation_one_half(n):
    """k negative signs among n variables of correlation 1/2: k! (n - k)! / (n + 1)!, as for ranks of one among n."""
    for negatives in sorted({0, n // 4, n // 2}):
        truth = math.lgamma(negatives + 1) + math.lgamma(n - negatives + 1) - math.lgamma(n + 2)
        assert_estimates(orthant_log_weights(equicorrelated(n, negatives, 0.5), 2000), truth)


@pytest.mark.parametrize(("n", "negatives", "rho"), [(10, 3, 0.9), (100, 20, 0.1), (400, 100, 0.3), (400, 200, 0.8)])
def test_hundreds_of_dimensions_by_quadrature(n, negatives, rho):
    truth = by_quadrature(n, negatives, rho)
    assert_estimates(orthant_log_weights(equicorrelated(n, negatives, rho), 1500), truth)
    assert truth < -7


def test_independent_coordinates_have_no_error():
    weights = orthant_log_weights(np.diag(np.linspace(0.1, 9, 40)), 50)
    np.testing.assert_allclose(weights, -40 * math.log(2), rtol=1e-13)


def random_covariance(n, seed):
    factor = np.random.default_rng(seed).standard_normal((n, n + 2))
    return factor @ factor.T


def test_against_plain_counting():
    covariance = random_covariance(4, 1)
    normal = np.random.default_rng(0).multivariate_normal(np.zeros(4), covariance, 400_000)
    share = (normal > 0).all(axis=1).mean()
    error = math.sqrt(share * (1 - share) / 400_000)
    assert abs(math.exp(log_mean(orthant_log_weights(covariance, 20_000)).value) - share) < 5 * error


def test_all_orthants_add_up_to_one():
    covariance, total, variance = random_covariance(5, 2), 0.0, 0.0
    for pattern in np.ndindex(*(2,) * 5):
        signs = 2.0 * np.array(pattern) - 1
        weights = np.exp(orthant_log_weights(covariance * np.outer(signs, signs), 4000, seed=sum(pattern)))
        total, variance = total + weights.mean(), variance + weights.var() / 4000
    assert abs(total - 1) < 5 * math.sqrt(variance)


def test_unbiased_at_any_shift(monkeypatch):
    """The shift decides the spread, never the mean."""
    truth = math.lgamma(3) + math.lgamma(5) - math.lgamma(8)
    generator = np.random.default_rng(5)
    spreads = []
    for size in (0.0, 0.3, 1.0):
        saddle = generator.normal(0, size, 6)
        monkeypatch.setattr(orthants, "_saddle_point", lambda _, saddle=saddle: saddle)
        weights = np.exp(orthant_log_weights(equicorrelated(6, 2, 0.5), 100_000) - truth)
        assert abs(weights.mean() - 1) < 5 * weights.std() / math.sqrt(100_000)
        spreads.append(weights.std())
    monkeypatch.undo()
    assert np.exp(orthant_log_weights(equicorrelated(6, 2, 0.5), 2000) - truth).std() < min(spreads)


def test_no_weight_is_above_the_value_at_the_saddle_point():
    covariance = equicorrelated(40, 13, 0.4)
    factor = orthants._ordered_factor(covariance)
    s = orthants._saddle_point(factor @ factor.T)
    h = orthants._inverse_mills(s)
    z, shifts = factor.T @ h, np.tril(factor, -1).T @ h

    def log_weight(z, shifts):
        return (log_ndtr(np.tril(factor, -1) @ z + shifts) + shifts * (shifts / 2 - z)).sum()

    top = log_weight(z, shifts)
    assert orthant_log_weights(covariance, 5000).max() <= top
    assert by_quadrature(40, 13, 0.4) <= top
    generator = np.random.default_rng(0)
    for _ in range(20):  # largest in z, smallest in the shifts; the last shift is 0
        step = 0.1 * generator.standard_normal(40)
        assert log_weight(z + step, shifts) < top < log_weight(z, shifts + step)
    assert shifts[-1] == 0


@settings(max_examples=20)
@given(st.integers(1, 8), st.integers(0, 10**6))
def test_units_do_not_matter(n, seed):
    covariance = random_covariance(n, seed)
    units = np.exp(np.random.default_rng(seed).normal(0, 3, n))
    plain = orthant_log_weights(covariance, 30, seed=seed)
    np.testing.assert_allclose(
        orthant_log_weights(covariance * np.outer(units, units), 30, seed=seed), plain, rtol=1e-7
    )
    np.testing.assert_array_equal(orthant_log_weights(covariance, 30, seed=seed), plain)


def test_nearly_singular_and_far_out():
    """Correlation 1e-9 - 1: 1/4 + arcsin(rho) / (2 pi) once more, 7e-6. And the opposite one: next to 1/2."""
    rho = 1 - 1e-9
    assert_estimates(orthant_log_weights([[1, -rho], [-rho, 1]], 5000), math.log(math.acos(rho) / (2 * math.pi)))
    assert log_mean(orthant_log_weights([[1, rho], [rho, 1]], 5000)).value == pytest.approx(-math.log(2), abs=1e-4)


@pytest.mark.parametrize("noise", [1e-8, 1e-12])
def test_nearly_singular_labels_that_hardly_fit(noise):
    """Six points on an arc, one sign against its neighbours: it fits by noise alone, p ~ noise."""
    angles = np.array([0.0, 0.3, 0.5, 1.0, 1.2, 1.9])
    signs = np.array([1.0, -1.0, 1.0, 1.0, 1.0, 1.0])
    kernel = np.cos(angles[:, None] - angles) * np.outer(signs, signs)
    law = log_mean(orthant_log_weights(kernel + 1e-4 * np.eye(6), 5000))
    truth = law.value + math.log(noise / 1e-4)
    found = log_mean(orthant_log_weights(kernel + noise * np.eye(6), 2000))
    assert found.low - 0.05 < truth < found.high + 0.05
    assert found.trusted == (noise > 1e-10)  # rounding ends the search for a good shift, and the alarm is raised


def test_many_draws_are_many_blocks():
    few, many = (orthant_log_weights(random_covariance(3, 0), draws) for draws in (1024, 2500))
    np.testing.assert_array_equal(many[:1024], few)
    assert len(np.unique(many)) == len(many) == 2500


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        ([[1.0, 1.0], [1.0, 1.0]], "covariance must be positive definite, got one that is singular"),
        ([[1.0, 2.0], [2.0, 1.0]], "covariance must be positive definite"),
        ([[0.0]], "covariance must be positive definite"),
        ([[1.0, 0.5], [0.4, 1.0]], "covariance must be symmetric"),
        ([1.0, 2.0], "covariance must be a square matrix, got shape"),
        (np.zeros((0, 0)), "covariance must be a square matrix"),
        ([[math.nan]], "covariance must be a number"),
        ([[math.inf]], "covariance must be finite"),
    ],
)
def test_bad_covariances_are_refused(covariance, message):
    with pytest.raises(ValueError, match=message):
        orthant_log_weights(covariance, 10)


def test_bad_draws_are_refused():
    with pytest.raises(ValueError, match="draws must be a whole number of at least 1"):
        orthant_log_weights([[1.0]], 0)
