"""Trace estimators and spectral densities: exact cases, honest standard errors, and their order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.numerics.spectral_density import spectral_density
from genbounds.numerics.traces import hutch_plus_plus, hutchinson, xtrace

ESTIMATORS = [hutchinson, hutch_plus_plus, xtrace]


def matrix(eigenvalues, seed=0):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((len(eigenvalues), len(eigenvalues))))[0]
    return basis @ np.diag(eigenvalues) @ basis.T


def products(a):
    return lambda vectors: vectors @ a


SPECTRA = {
    "flat": np.full(40, 1.0) + 0.5 * np.cos(np.arange(40)),
    "power law": np.arange(1, 41.0) ** -1.5,
    "indefinite": np.linspace(-1, 2, 40),
}


@pytest.mark.parametrize("estimate", ESTIMATORS)
@pytest.mark.parametrize("name", SPECTRA)
def test_estimates_are_unbiased_and_their_intervals_cover(estimate, name):
    a = matrix(SPECTRA[name])
    found = [estimate(products(a), 40, np.random.default_rng(seed), probes=24) for seed in range(400)]
    values, errors = (np.array([getattr(each, what) for each in found]) for what in ("value", "standard_error"))
    assert abs(values.mean() - np.trace(a)) <= 4.5 * values.std() / 20
    covered = np.mean([each.interval[0] <= np.trace(a) <= each.interval[1] for each in found])
    ratio = np.sqrt(np.mean(errors**2)) / values.std()
    if estimate is xtrace:  # terms are dependent, and the docstring says what that costs
        assert 0.5 <= ratio <= 1.1
        assert covered >= 0.7
    else:
        assert ratio == pytest.approx(1, abs=0.2)
        assert covered >= 0.95 - 4.5 * (0.95 * 0.05 / 400) ** 0.5


def test_a_decaying_spectrum_is_where_the_range_pays():
    a = matrix(SPECTRA["power law"])
    spread = {
        estimate: np.std([estimate(products(a), 40, np.random.default_rng(s), probes=24).value for s in range(200)])
        for estimate in ESTIMATORS
    }
    assert spread[xtrace] < spread[hutch_plus_plus] < spread[hutchinson]


def test_the_error_of_leaving_one_out_is_worst_where_the_rank_is_near_half_of_the_products():
    values = np.zeros(60)
    values[:15] = 1 + 0.5 * np.cos(np.arange(15))
    found = [xtrace(products(matrix(values)), 60, np.random.default_rng(seed), probes=30) for seed in range(300)]
    covered = np.mean([each.interval[0] <= values.sum() <= each.interval[1] for each in found])
    assert 0.35 < covered < 0.65  # what the docstring says
    honest = [hutch_plus_plus(products(matrix(values)), 60, np.random.default_rng(s), probes=30) for s in range(300)]
    assert np.mean([each.interval[0] <= values.sum() <= each.interval[1] for each in honest]) > 0.88


@pytest.mark.parametrize("rank", [1, 3, 7])
@pytest.mark.parametrize("estimate", [hutch_plus_plus, xtrace])
def test_low_ranks_are_exact(estimate, rank):
    values = np.zeros(60)
    values[:rank] = np.arange(1, rank + 1) * (-1.0) ** np.arange(rank)
    found = estimate(products(matrix(values)), 60, np.random.default_rng(1), probes=24)
    assert found.value == pytest.approx(values.sum(), abs=1e-10)
    assert found.standard_error <= 1e-10


def test_a_matrix_of_zeros_has_trace_zero():
    for estimate in ESTIMATORS:
        found = estimate(np.zeros_like, 9, np.random.default_rng(0), probes=6)
        assert found.value == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_leaving_one_out_is_factorising_anew(seed):
    """The estimate against its definition: a basis of A times all vectors but one, for each."""
    rng = np.random.default_rng(seed)
    a = matrix(rng.standard_normal(20), seed)
    drawn = np.random.default_rng(seed).standard_normal((5, 20))
    drawn *= 20**0.5 / np.linalg.norm(drawn, axis=1, keepdims=True)
    terms = []
    for i, vector in enumerate(drawn):
        basis = np.linalg.qr(a @ np.delete(drawn, i, axis=0).T)[0]
        rest = vector - basis @ (basis.T @ vector)
        terms.append(np.trace(basis.T @ a @ basis) + rest @ a @ rest)
    found = xtrace(products(a), 20, np.random.default_rng(seed), probes=10)
    assert found.value == pytest.approx(np.mean(terms), rel=1e-9)
    assert found.standard_error == pytest.approx(np.std(terms, ddof=1) / 5**0.5, rel=1e-6)


def test_bad_products_and_counts_are_refused():
    rng = np.random.default_rng(0)
    for estimate in ESTIMATORS:
        with pytest.raises(ValueError, match="products must give finite"):
            estimate(lambda v: v * np.nan, 9, rng, probes=6)
        with pytest.raises(ValueError, match="probes"):
            estimate(lambda v: v, 9, rng, probes=1)
    with pytest.raises(ValueError, match="even"):
        xtrace(lambda v: v, 30, rng, probes=7)
    with pytest.raises(ValueError, match="at most twice"):
        xtrace(lambda v: v, 3, rng, probes=8)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=12), st.integers(0, 99))
def test_quadratures_are_probabilities_on_the_spectrum(values, seed):
    a = matrix(np.array(values), seed)
    found = spectral_density(lambda v: a @ v, len(values), np.random.default_rng(seed), steps=12, starts=2)
    for nodes, weights in zip(found.nodes, found.weights, strict=True):
        assert sum(weights) == pytest.approx(1)
        assert min(values) - 1e-8 <= min(nodes)
        assert max(nodes) <= max(values) + 1e-8


def test_moments_are_those_of_the_starts_and_means_are_unbiased():
    values = np.concatenate([np.linspace(0, 1, 90), [5.0, 7.0], np.full(8, -0.5)])
    a = matrix(values)
    found = spectral_density(lambda v: a @ v, 100, np.random.default_rng(0), steps=6, starts=4)
    rng = np.random.default_rng(0)
    starts = [rng.standard_normal(100) for _ in range(4)]
    for power in range(12):  # below twice the steps
        direct = np.mean([v @ np.linalg.matrix_power(a, power) @ v / (v @ v) for v in starts])
        value, _ = found.mean(lambda x, power=power: x**power)
        assert value == pytest.approx(direct, rel=1e-8)
    many = spectral_density(lambda v: a @ v, 100, np.random.default_rng(1), steps=30, starts=60)
    for function in (lambda x: x, lambda x: (x > 0.75) * 1.0, np.abs):
        value, error = many.mean(function)
        assert abs(value - function(values).mean()) <= 4.5 * error + 0.01  # a step is seen through nodes


def test_the_density_is_the_smoothed_spectrum():
    values = np.concatenate([np.linspace(0, 1, 190), [4.0] * 10])
    a = matrix(values)
    found = spectral_density(lambda v: a @ v, 200, np.random.default_rng(0), steps=60, starts=40)
    grid = np.linspace(-1, 5, 200)
    density, error = found.density(grid, 0.2)
    truth = np.exp(-(((grid[:, None] - values) / 0.2) ** 2) / 2).mean(1) / (0.2 * np.sqrt(2 * np.pi))
    assert (np.abs(density - truth) <= 5 * error + 0.01).all()
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=0.01)


def test_an_iteration_that_ends_early_is_complete():
    found = spectral_density(lambda v: 2 * v, 30, np.random.default_rng(0), steps=10, starts=2)
    assert found.nodes == ((pytest.approx(2.0),), (pytest.approx(2.0),))
