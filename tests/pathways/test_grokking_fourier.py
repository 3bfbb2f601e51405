"""Fourier components against numpy's transform, brute force and laws of noise; ranks against their definitions."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.numerics.unevenness import gini
from genbounds.pathways.grokking.fourier import (
    fourier_basis,
    frequency_norms,
    gaussian_gini,
    key_frequencies,
    top_share,
)
from genbounds.pathways.grokking.weights import effective_rank, stable_rank, weight_norm

PRIMES = (5, 7, 11, 13, 23, 59)
few = settings(deadline=None, max_examples=40)


@pytest.mark.parametrize("p", [3, 9, *PRIMES, 113])
def test_the_basis_is_orthonormal(p):
    basis = fourier_basis(p)
    np.testing.assert_allclose(basis @ basis.T, np.eye(p), atol=4e-15 * math.sqrt(p))


@given(p=st.sampled_from([9, *PRIMES]), seed=st.integers(0, 1000))
@few
def test_norms_are_those_of_numpys_transform_and_keep_the_energy(p, seed):
    matrix = np.random.default_rng(seed).standard_normal((p, 4))
    norms = frequency_norms(matrix)
    transform = np.fft.rfft(matrix, axis=0)[1:]
    np.testing.assert_allclose(norms, np.sqrt(2 / p * (np.abs(transform) ** 2).sum(axis=1)), rtol=1e-12)
    constant = p * np.square(matrix.mean(axis=0)).sum()
    assert np.isclose((norms**2).sum() + constant, np.square(matrix).sum(), rtol=1e-12)


@given(p=st.sampled_from(PRIMES), seed=st.integers(0, 1000), data=st.data())
@few
def test_renaming_remainders(p, seed, data):
    """A shift changes no norm; a factor permutes frequencies; a constant row added to all is not seen."""
    generator = np.random.default_rng(seed)
    matrix = generator.standard_normal((p, 3))
    norms = frequency_norms(matrix)
    shift, factor = data.draw(st.integers(1, p - 1)), data.draw(st.integers(1, p - 1))
    np.testing.assert_allclose(frequency_norms(np.roll(matrix, shift, axis=0)), norms, rtol=1e-10)
    np.testing.assert_allclose(frequency_norms(matrix + generator.standard_normal(3)), norms, rtol=1e-10)
    scaled = frequency_norms(matrix[factor * np.arange(p) % p])
    where = factor * np.arange(1, p // 2 + 1) % p
    np.testing.assert_allclose(scaled[np.minimum(where, p - where) - 1], norms, rtol=1e-10)
    assert np.isclose(gini(scaled), gini(norms))


@given(values=st.lists(st.floats(0, 1e3), min_size=1, max_size=30).filter(any))
@few
def test_gini_is_the_mean_difference_and_inside_its_range(values):
    n = len(values)
    brute = sum(abs(a - b) for a, b in itertools.product(values, repeat=2)) / (2 * n * sum(values))
    assert np.isclose(gini(values), brute, rtol=1e-9, atol=1e-12)
    assert -1e-12 <= gini(values) <= 1 - 1 / n + 1e-12
    # Any transfer from a smaller to a larger value raises it; adding the same to all lowers it.
    moved = sorted(values)
    moved[0], moved[-1] = 0.0, moved[-1] + moved[0]
    if n > 1:
        assert gini(moved) >= gini(values) - 1e-12
    assert gini(np.add(values, 1.0)) <= gini(values) + 1e-12


def test_gini_of_extremes():
    assert gini(np.full(7, 0.3)) == pytest.approx(0, abs=1e-15)
    assert gini([0, 0, 0, 2, 0]) == pytest.approx(0.8)
    assert gini([1e308, 1e308, 0]) == pytest.approx(1 / 3)


def test_the_null_of_gini_is_that_of_normal_matrices():
    generator = np.random.default_rng(1)
    direct = [gini(frequency_norms(generator.standard_normal((59, 64)))) for _ in range(400)]
    drawn = gaussian_gini(59, 64, 4000)
    error = math.hypot(np.std(direct) / 20, np.std(drawn) / math.sqrt(4000))
    assert abs(np.mean(direct) - drawn.mean()) < 4 * error
    # Large d: norms are nearly normal with relative deviation 1 / (2 sqrt(d)), and Gini is that over sqrt(pi).
    expected = (28 / 29) / (2 * 8 * math.sqrt(math.pi))
    assert drawn.mean() == pytest.approx(expected, rel=0.02)


def test_noise_has_key_frequencies_no_more_often_than_stated():
    generator = np.random.default_rng(2)
    found = sum(bool(key_frequencies(generator.standard_normal((23, 6)), 0.2)) for _ in range(1000))
    # At most 0.2 by the union bound, and not far below: shares of so many frequencies are nearly independent.
    assert 0.15 < found / 1000 < 0.2 + 3 * math.sqrt(0.16 / 1000)


def test_planted_frequencies_are_found():
    generator, x = np.random.default_rng(3), np.arange(59)
    basis = fourier_basis(59)
    planted = (4, 11, 27)
    rows = [row for k in planted for row in (2 * k - 1, 2 * k)]
    matrix = basis[rows].T @ generator.standard_normal((6, 64)) * 3 + 0.3 * generator.standard_normal((59, 64))
    assert key_frequencies(matrix) == planted
    assert top_share(frequency_norms(matrix), 3) > 0.85
    one = np.cos(2 * np.pi * 5 * x / 59)[:, None]
    assert key_frequencies(one) == (5,)
    assert gini(frequency_norms(one)) == pytest.approx(1 - 1 / 29)


@given(seed=st.integers(0, 1000), top=st.integers(1, 12))
@few
def test_top_share_is_that_of_the_largest(seed, top):
    norms = np.random.default_rng(seed).exponential(size=10)
    brute = max(sum(norms[list(chosen)] ** 2) for chosen in itertools.combinations(range(10), min(top, 10)))
    assert top_share(norms, top) == pytest.approx(brute / (norms**2).sum())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fourier_basis(8), "modulus must be odd, got 8"),
        (lambda: frequency_norms(np.zeros(5)), "matrix must have a row"),
        (lambda: frequency_norms(np.full((5, 2), np.nan)), "matrix must be a number"),
        (lambda: gini([0.0, 0.0]), "values must hold a positive number"),
        (lambda: gini([-1.0, 2.0]), "values must be non-negative"),
        (lambda: gini([np.inf, 2.0]), "values must be finite"),
        (lambda: top_share([0.0]), "norms must hold a positive number"),
        (lambda: key_frequencies(np.ones((5, 2))[:3]), "matrix must have power"),
        (lambda: key_frequencies(np.eye(5), 1.0), "level must be strictly between"),
        (lambda: effective_rank(np.zeros((2, 2))), "matrix must be a matrix other than 0"),
        (lambda: stable_rank(np.ones(3)), "matrix must be a matrix other than 0"),
        (lambda: weight_norm({"w": [np.inf]}), "w must be finite"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@given(seed=st.integers(0, 1000), rank=st.integers(1, 5), size=st.floats(1e-150, 1e150))
@few
def test_ranks_are_ordered_and_do_not_see_scale_or_rotation(seed, rank, size):
    generator = np.random.default_rng(seed)
    matrix = generator.standard_normal((6, rank)) @ generator.standard_normal((rank, 5))
    effective, stable = effective_rank(matrix), stable_rank(matrix)
    assert 1 - 1e-9 <= stable <= effective + 1e-9
    assert effective <= rank + 1e-6
    rotation = np.linalg.qr(generator.standard_normal((6, 6)))[0]
    assert effective_rank(size * rotation @ matrix) == pytest.approx(effective, rel=1e-8)
    assert stable_rank(size * rotation @ matrix) == pytest.approx(stable, rel=1e-8)
    values = np.sqrt(np.linalg.eigvalsh(matrix.T @ matrix)[::-1][:rank].clip(0))
    shares = values / values.sum()
    assert effective == pytest.approx(math.prod(s**-s for s in shares), rel=1e-4)
    assert stable == pytest.approx((values**2).sum() / values[0] ** 2, rel=1e-6)


def test_the_norm_of_all_weights_is_that_of_one_long_vector():
    generator = np.random.default_rng(4)
    weights = {
        str(i): generator.standard_normal(shape).astype(np.float32) for i, shape in enumerate([(3, 2), (4,), ()])
    }
    long = np.concatenate([np.ravel(value).astype(np.float64) for value in weights.values()])
    assert weight_norm(weights) == pytest.approx(np.linalg.norm(long), rel=1e-14)


def test_singular_values_of_zero_count_for_nothing():
    assert effective_rank(np.diag([2.0, 2.0, 0.0])) == pytest.approx(2)
    assert stable_rank(np.diag([2.0, 2.0, 0.0])) == pytest.approx(2)


@pytest.mark.parametrize("value", [-1.7, 0.1, 1 / 3, 1e5])
def test_what_rounding_leaves_of_a_constant_is_no_frequency(value):
    constant = np.full((59, 8), value)
    assert not frequency_norms(constant).any()
    with pytest.raises(ValueError, match="power to share"):
        key_frequencies(constant)
