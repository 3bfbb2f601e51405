"""Gaussian divergences against high precision, each other, and the properties of a divergence."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import matrix, mp, mpf

from genbounds.numerics import (
    kl_diagonal,
    kl_full,
    kl_isotropic,
    renyi_diagonal,
    renyi_full,
    wasserstein2_diagonal,
    wasserstein2_full,
)

SEED = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@pytest.fixture(autouse=True)
def _digits():
    with mp.workdps(60):
        yield


def exact(x: float) -> mpf:
    return mpf(float(x))


def oracle_diagonal(mean_q, scale_q, mean_p, scale_p) -> mpf:
    total = mpf(0)
    for mq, sq, mp_, sp in np.broadcast(mean_q, scale_q, mean_p, scale_p):
        ratio = exact(sq) / exact(sp)
        total += (ratio**2 - 1) / 2 - mp.log(ratio) + ((exact(mq) - exact(mp_)) / exact(sp)) ** 2 / 2
    return total


def exact_matrix(array) -> matrix:
    return matrix([[exact(x) for x in row] for row in array])


def oracle_full(mean_q, cov_q, mean_p, cov_p) -> mpf:
    cov_q, inverse = cov_q if isinstance(cov_q, matrix) else exact_matrix(cov_q), exact_matrix(cov_p) ** -1
    delta = matrix([exact(a) - exact(b) for a, b in zip(mean_q, mean_p, strict=True)])
    product = inverse * cov_q
    trace = sum(product[i, i] for i in range(len(mean_q)))
    return (trace - len(mean_q) + (delta.T * inverse * delta)[0] - mp.log(mp.det(product))) / 2


def covariance(rng: np.random.Generator, d: int) -> np.ndarray:
    root = rng.standard_normal((d, d))
    cov = root @ root.T + 0.5 * np.eye(d)
    return (cov + cov.T) / 2


def relative(value: float, truth: mpf) -> float:
    return float((exact(value) - truth) / truth)


@given(SEED, st.integers(1, 40), st.sampled_from([1e-15, 1e-9, 1e-4, 0.3, 3.0, 20.0]), st.sampled_from([0, 1e-9, 1]))
def test_diagonal_is_above_high_precision_and_tight(rng, d, spread, shift) -> None:
    scale_p = 10.0 ** rng.uniform(-8, 3, d)
    scale_q = scale_p * np.exp(spread * rng.uniform(-1, 1, d))
    mean_p = rng.standard_normal(d)
    mean_q = mean_p + shift * scale_p * rng.standard_normal(d)
    truth = oracle_diagonal(mean_q, scale_q, mean_p, scale_p)
    value = kl_diagonal(mean_q, scale_q, mean_p, scale_p)
    if truth > 0:
        assert 0 <= relative(value, truth) < 2e-14
    else:
        assert value == 0


def test_a_scale_ratio_next_to_one() -> None:
    value = kl_isotropic(np.zeros(10**6), 1 + 1e-9, 0.0, 1.0)
    truth = 10**6 * oracle_diagonal(0.0, 1 + 1e-9, 0.0, 1.0)
    assert 0 <= relative(value, truth) < 2e-14


def test_float32_arguments_count_as_the_numbers_they_are() -> None:
    rng = np.random.default_rng(0)
    mean, scale = rng.standard_normal(70_000).astype(np.float32), np.full(70_000, 0.03, np.float32)
    prior = np.float32(0.03 * (1 + 1e-4))
    assert kl_diagonal(mean, scale, mean, prior) == kl_diagonal(
        mean.astype(float), scale.astype(float), mean, float(prior)
    )
    truth = 70_000 * oracle_diagonal(0.0, float(scale[0]), 0.0, float(prior))
    assert 0 <= relative(kl_diagonal(mean, scale, mean, prior), truth) < 2e-14


def test_underflow_is_covered_and_overflow_is_infinite() -> None:
    assert kl_diagonal([1e-170], [1.0], [0.0], [1.0]) > 0
    assert kl_diagonal([5e-324], 2.0, 0.0, 2.0) > 0  # the standardised difference is 0 in float64
    assert kl_diagonal([1e200], [1.0], [0.0], [1.0]) == math.inf
    assert kl_diagonal(np.full(3 * 2**15, 7e151), 1.0, 0.0, 1.0) == math.inf  # every block finite, not their sum
    assert kl_diagonal([0.0], [1e150], [0.0], [1e-150]) == math.inf
    assert kl_diagonal(np.zeros((2, 3)), 1.0, 0.0, 1.0) == 0.0


@given(SEED, st.integers(1, 30))
def test_diagonal_adds_over_blocks_and_ignores_equal_coordinates(rng, d) -> None:
    mean_q, mean_p = rng.standard_normal((2, d))
    scale_q, scale_p = np.exp(rng.standard_normal((2, d)))
    whole = kl_diagonal(mean_q, scale_q, mean_p, scale_p)
    cut = d // 2
    parts = sum(kl_diagonal(mean_q[s], scale_q[s], mean_p[s], scale_p[s]) for s in (slice(cut), slice(cut, d)))
    assert parts == pytest.approx(whole, rel=1e-13)
    padded = [np.append(a, b) for a, b in ((mean_q, 7.0), (scale_q, 2.0), (mean_p, 7.0), (scale_p, 2.0))]
    assert kl_diagonal(*padded) == pytest.approx(whole, rel=1e-14)
    order = rng.permutation(d)
    assert kl_diagonal(*(a[order] for a in (mean_q, scale_q, mean_p, scale_p))) == pytest.approx(whole, rel=1e-14)
    assert kl_diagonal(mean_q[:cut], scale_q[:cut], mean_p[:cut], scale_p[:cut]) <= whole  # marginals


@given(SEED, st.integers(1, 6), st.sampled_from([1e-9, 1e-4, 0.1, 1.0, 10.0]))
def test_full_matches_high_precision(rng, d, distance) -> None:
    cov_p = covariance(rng, d)
    cov_q = cov_p + distance * covariance(rng, d)
    cov_q = (cov_q + cov_q.T) / 2
    mean_p = rng.standard_normal(d)
    mean_q = mean_p + distance * rng.standard_normal(d)
    for arguments in ((mean_q, cov_q, mean_p, cov_p), (mean_p, cov_p, mean_q, cov_q)):
        assert abs(relative(kl_full(*arguments), oracle_full(*arguments))) < 1e-12


@given(SEED, st.integers(1, 8))
def test_special_cases_agree(rng, d) -> None:
    mean_q, mean_p = rng.standard_normal((2, d))
    scale_q, scale_p = np.exp(rng.standard_normal((2, d)))
    diagonal = kl_diagonal(mean_q, scale_q, mean_p, scale_p)
    assert kl_full(mean_q, np.diag(scale_q**2), mean_p, np.diag(scale_p**2)) == pytest.approx(diagonal, rel=1e-12)
    one_q, one_p = scale_q[0], scale_p[0]
    isotropic = kl_isotropic(mean_q, one_q, mean_p, one_p)
    assert isotropic == kl_diagonal(mean_q, np.full(d, one_q), mean_p, np.full(d, one_p))
    alpha = 0.7
    assert renyi_full(mean_q, np.diag(scale_q**2), mean_p, np.diag(scale_p**2), alpha) == pytest.approx(
        renyi_diagonal(mean_q, scale_q, mean_p, scale_p, alpha), rel=1e-11
    )
    assert wasserstein2_full(mean_q, np.diag(scale_q**2), mean_p, np.diag(scale_p**2)) == pytest.approx(
        wasserstein2_diagonal(mean_q, scale_q, mean_p, scale_p), rel=1e-12
    )


@given(SEED, st.integers(1, 6))
def test_full_is_affine_invariant_and_contracts(rng, d) -> None:
    mean_q, mean_p, shift = rng.standard_normal((3, d))
    cov_q, cov_p = covariance(rng, d), covariance(rng, d)
    map_ = covariance(rng, d)
    whole = kl_full(mean_q, cov_q, mean_p, cov_p)

    def mapped(cov: np.ndarray) -> np.ndarray:
        image = map_ @ cov @ map_.T
        return (image + image.T) / 2

    moved = kl_full(map_ @ mean_q + shift, mapped(cov_q), map_ @ mean_p + shift, mapped(cov_p))
    assert moved == pytest.approx(whole, rel=1e-9)
    kept = np.arange(d)[: max(1, d - 1)]
    marginal = kl_full(mean_q[kept], cov_q[np.ix_(kept, kept)], mean_p[kept], cov_p[np.ix_(kept, kept)])
    assert marginal <= whole * (1 + 1e-12)
    assert kl_full(mean_p, cov_p, mean_p, cov_p) == 0.0


@given(SEED, st.integers(1, 20))
def test_best_prior_scale_and_the_price_of_a_grid(rng, d) -> None:
    delta, variance = rng.standard_normal(d), np.exp(rng.standard_normal(d))
    best = math.sqrt((variance.sum() + delta @ delta) / d)
    at_best = kl_diagonal(delta, np.sqrt(variance), 0.0, best)
    assert at_best == pytest.approx(0.5 * (d * math.log(best**2) - np.log(variance).sum()), rel=1e-9, abs=1e-12)
    assert kl_diagonal(delta, np.sqrt(variance), 0.0, best * math.exp(rng.standard_normal())) >= at_best * (1 - 1e-13)
    b = 1000.0  # ln of the prior variance moved by 1/(2b) costs d / (16 b^2)
    price = kl_diagonal(delta, np.sqrt(variance), 0.0, best * math.exp(0.25 / b)) - at_best
    assert price == pytest.approx(d / (16 * b**2), rel=2e-3, abs=1e-13 * (1 + at_best))


def oracle_renyi(mean_q, scale_q, mean_p, scale_p, alpha) -> mpf:
    total, alpha = mpf(0), exact(alpha)
    for mq, sq, mp_, sp in np.broadcast(mean_q, scale_q, mean_p, scale_p):
        mixed = (1 - alpha) * exact(sq) ** 2 + alpha * exact(sp) ** 2
        if mixed <= 0:
            return mp.inf
        logs = mp.log(mixed) - 2 * (1 - alpha) * mp.log(exact(sq)) - 2 * alpha * mp.log(exact(sp))
        total += alpha * (exact(mq) - exact(mp_)) ** 2 / (2 * mixed) + logs / (2 * (1 - alpha))
    return total


@given(
    SEED,
    st.sampled_from([1e-3, 0.1, 0.5, 0.9, 0.9999, 1.0001, 1.5, 5.0, 40.0]),
    st.sampled_from([1e-9, 0.01, 0.4, 3.0, 15.0]),
)
def test_renyi_matches_high_precision(rng, alpha, spread) -> None:
    scale_p = np.exp(rng.standard_normal(5))
    scale_q = scale_p * np.exp(spread * rng.uniform(-1, 1, 5))
    mean_p = rng.standard_normal(5)
    mean_q = mean_p + rng.standard_normal() * scale_p
    truth = oracle_renyi(mean_q, scale_q, mean_p, scale_p, alpha)
    value = renyi_diagonal(mean_q, scale_q, mean_p, scale_p, alpha)
    if truth == mp.inf:
        assert value == math.inf
    else:
        assert abs(relative(value, truth)) < 1e-11


@given(SEED, st.integers(1, 5))
def test_renyi_properties(rng, d) -> None:
    mean_q, mean_p = rng.standard_normal((2, d))
    cov_q, cov_p = covariance(rng, d), covariance(rng, d)
    orders = [0.05, 0.3, 0.5, 0.8, 0.99, 1.0, 1.01, 1.3, 2.0, 4.0]
    values = [renyi_full(mean_q, cov_q, mean_p, cov_p, alpha) for alpha in orders]
    assert all(a <= b * (1 + 1e-10) for a, b in itertools.pairwise(values))  # non-decreasing in alpha
    kl = kl_full(mean_q, cov_q, mean_p, cov_p)
    assert values[5] == kl
    for alpha in (1 - 1e-7, 1 + 1e-7):
        assert renyi_full(mean_q, cov_q, mean_p, cov_p, alpha) == pytest.approx(kl, rel=1e-4)
    skewed = 0.3 / 0.7 * renyi_full(mean_p, cov_p, mean_q, cov_q, 0.7)
    assert values[1] == pytest.approx(skewed, rel=1e-9)
    scale = math.exp(rng.standard_normal())
    same = renyi_diagonal(mean_q, scale, mean_p, scale, 3.0)
    assert same == pytest.approx(1.5 * np.sum((mean_q - mean_p) ** 2) / scale**2, rel=1e-12)


def test_renyi_is_infinite_where_the_integral_diverges() -> None:
    assert renyi_diagonal([0.0], [2.0], [0.0], [1.0], 1.34) == math.inf
    assert renyi_diagonal([0.0], [2.0], [0.0], [1.0], 1.33) < math.inf
    assert renyi_full([0.0], [[4.0]], [0.0], [[1.0]], 2.0) == math.inf


@given(SEED, st.integers(1, 5), st.sampled_from([1e-9, 1e-3, 1.0]))
def test_wasserstein_matches_high_precision(rng, d, distance) -> None:
    cov_p = covariance(rng, d)
    cov_q = cov_p + distance * covariance(rng, d)
    cov_q = (cov_q + cov_q.T) / 2
    mean_p = rng.standard_normal(d)
    mean_q = mean_p + distance * rng.standard_normal(d)
    a, b = exact_matrix(cov_q), exact_matrix(cov_p)
    values, vectors = mp.eigsy(b)
    root = vectors * mp.diag([mp.sqrt(v) for v in values]) * vectors.T
    cross = sum(mp.sqrt(v) for v in mp.eigsy(root * a * root, eigvals_only=True))
    squared = sum(a[i, i] + b[i, i] for i in range(d)) - 2 * cross
    squared += sum((exact(x) - exact(y)) ** 2 for x, y in zip(mean_q, mean_p, strict=True))
    value = wasserstein2_full(mean_q, cov_q, mean_p, cov_p)
    assert abs(float(exact(value) - mp.sqrt(squared))) < 1e-14 * d * np.sqrt(np.trace(cov_p))


@given(SEED, st.integers(1, 5))
def test_wasserstein_is_a_distance(rng, d) -> None:
    means = rng.standard_normal((3, d))
    covariances = [covariance(rng, d) for _ in range(3)]

    def distance(i: int, j: int) -> float:
        return float(wasserstein2_full(means[i], covariances[i], means[j], covariances[j]))

    assert distance(0, 0) < 1e-13
    assert distance(0, 1) == pytest.approx(distance(1, 0), rel=1e-12)
    assert distance(0, 2) <= (distance(0, 1) + distance(1, 2)) * (1 + 1e-12)
    assert wasserstein2_diagonal([3.0, 0.0], 1.0, [0.0, 0.0], [1.0, 5.0]) == 5.0


I2 = np.eye(2)
NOT_SPD = np.array([[1.0, 2.0], [2.0, 1.0]])


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (kl_diagonal, ([0.0], [0.0], 0.0, 1.0), "scale_q must be positive, from 1e-150 to 1e150, got 0.0."),
        (kl_diagonal, ([0.0], [1.0], 0.0, -1.0), "scale_p must be positive, from 1e-150 to 1e150, got -1.0."),
        (kl_diagonal, ([math.nan], [1.0], 0.0, 1.0), "mean_q must be finite, got nan. Look upstream"),
        (kl_diagonal, ([0.0], 1.0, [math.inf], 1.0), "mean_p must be finite, got inf."),
        (kl_diagonal, ([0.0, 1.0], [1.0], 0.0, 1.0), r"of one shape, or scalars, got mean_q \(2,\), scale_q \(1,\)"),
        (kl_isotropic, ([0.0], [1.0], 0.0, 1.0), r"scale_q must be one number, got shape \(1,\). Use kl_diagonal"),
        (kl_full, ([0, 0], NOT_SPD, [0, 0], I2), r"cov_q must be positive definite, got lowest eigenvalue -1.0"),
        (kl_full, ([0, 0], I2, [0, 0], NOT_SPD), r"cov_p must be positive definite, got lowest eigenvalue -1.0"),
        (kl_full, ([0, 0], I2, [0, 0], [[1, 0.1], [0, 1]]), "cov_p must be symmetric, got entries that differ by 0.1"),
        (kl_full, ([0, 0], np.eye(3), [0, 0], I2), r"cov_q must be of shape \(2, 2\) beside means of shape \(2,\)"),
        (kl_full, ([0, 0], I2, [0], I2), r"mean_q and mean_p must be of one shape \(d,\), got \(2,\) and \(1,\)"),
        (renyi_diagonal, ([0], [1], [0], [1], 0.0), "alpha must be positive and finite, got 0.0. Order 1 is"),
        (renyi_full, ([0], [[1]], [0], [[1]], math.inf), "alpha must be positive and finite, got inf"),
        (wasserstein2_full, ([0, 0], NOT_SPD, [0, 0], I2), "cov_q must be positive definite"),
        (wasserstein2_diagonal, ([0.0], [-1.0], [0.0], [1.0]), "scale_q must be positive"),
    ],
)
def test_errors(function, arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        function(*arguments)
