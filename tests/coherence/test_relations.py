"""Relations of coherence: batches by enumerating all of them, the rest by their definitions."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.coherence.alpha import coherence, plug_in
from genbounds.coherence.relations import (
    batch_coherence,
    example_coherence,
    gradient_diversity,
    m_coherence,
    noise_scale,
    norm_test,
    norm_test_batch,
    one_step_ratio,
)

ALPHAS = st.floats(1e-6, 1)
SIZES = st.integers(1, 1000)


def alpha_m(vectors):
    return float(coherence((vectors.mean(0) ** 2).sum(), vectors.var(0).sum()))


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(7).normal(0.3, 1.0, (6, 3))


@pytest.mark.parametrize("size", [1, 2, 4])
def test_independent_draws_by_enumeration(vectors, size):
    batches = np.array([np.mean(draw, axis=0) for draw in itertools.product(vectors, repeat=size)])
    assert alpha_m(batches) == pytest.approx(float(batch_coherence(alpha_m(vectors), size)), rel=1e-12)


@pytest.mark.parametrize("size", range(1, 7))
def test_subsets_by_enumeration(vectors, size):
    batches = np.array([np.mean(draw, axis=0) for draw in itertools.combinations(vectors, size)])
    expected = float(batch_coherence(alpha_m(vectors), size, population=6))
    assert alpha_m(batches) == pytest.approx(expected, rel=1e-12)
    if size < 6:
        assert example_coherence(expected, size, population=6) == pytest.approx(alpha_m(vectors), rel=1e-12)


@given(ALPHAS, SIZES, st.integers(1, 1000))
def test_inverses_and_batches_of_batches(alpha, size, other):
    assert example_coherence(batch_coherence(alpha, size), size) == pytest.approx(alpha, rel=1e-9)
    twice = batch_coherence(batch_coherence(alpha, size), other)
    assert twice == pytest.approx(float(batch_coherence(alpha, size * other)), rel=1e-9)
    finite = batch_coherence(alpha, size, population=size + other)
    assert finite >= batch_coherence(alpha, size) * (1 - 1e-12)  # without repetition, averages vary less
    assert example_coherence(finite, size, population=size + other) == pytest.approx(alpha, rel=1e-9)


@given(ALPHAS, SIZES)
def test_one_number_in_many_forms(alpha, n):
    scale = noise_scale(alpha)
    assert 1 / (1 + scale) == pytest.approx(alpha, rel=1e-12)
    assert noise_scale(batch_coherence(alpha, n)) == pytest.approx(scale / n, rel=1e-6, abs=1e-12)
    assert one_step_ratio(alpha, n) == pytest.approx(n * alpha / (1 + (n - 1) * alpha), rel=1e-12)
    assert norm_test(alpha, n) == pytest.approx(math.sqrt(scale / n), rel=1e-12)
    theta = norm_test(alpha, n)
    if theta > 0:
        assert norm_test_batch(alpha, theta) == pytest.approx(n, rel=1e-9)
    assert m_coherence(alpha, n) * gradient_diversity(alpha, n) == pytest.approx(1, rel=1e-12)


def test_one_step_ratio_by_coordinates():
    """Liu et al.'s form, a sum over coordinates of signal to noise ratios, is the same number."""
    generator = np.random.default_rng(3)
    mean, variance, n = generator.normal(size=20), generator.uniform(0.1, 3, 20), 37
    batch = mean**2 + variance / n
    weights = batch / batch.sum()
    by_coordinates = 1 - np.sum(weights / (mean**2 / variance + 1 / n)) / n
    alpha = (mean**2).sum() / (mean**2 + variance).sum()
    assert one_step_ratio(alpha, n) == pytest.approx(by_coordinates, abs=1e-15)


def test_one_step_ratio_is_what_a_step_on_a_line_gains():
    """Exact decreases, to first order, averaged over all samples of 3 from a population."""
    gradients = np.array([[1.0, 0.5], [-0.2, 1.0], [0.3, -2.0]])
    mean = gradients.mean(0)
    steps = [np.mean(draw, axis=0) for draw in itertools.product(gradients, repeat=3)]
    test, train = np.mean([step @ mean for step in steps]), np.mean([step @ step for step in steps])
    alpha = coherence(*plug_in(mean @ mean, (gradients**2).sum(1).mean()))
    assert one_step_ratio(alpha, 3) == pytest.approx(test / train, rel=1e-13)


def test_norm_test_on_vectors(vectors):
    """Byrd et al.: the standard error of a batch's gradient over its norm, with the population's variance."""
    mean = vectors.mean(0)
    expected = math.sqrt(vectors.var(0).sum() / (4 * (mean @ mean)))
    assert norm_test(alpha_m(vectors), 4) == pytest.approx(expected, rel=1e-12)


def test_diversity_on_vectors(vectors):
    direct = (vectors**2).sum() / (vectors.sum(0) ** 2).sum()
    assert gradient_diversity(alpha_m(vectors), 6) == pytest.approx(direct, rel=1e-12)


def test_ends():
    assert noise_scale([0.0, -0.01, 1.0]).tolist() == [math.inf, math.inf, 0.0]
    assert norm_test(-0.01, 10) == norm_test_batch(0.0, 0.5) == gradient_diversity(0.0, 10) == math.inf
    assert batch_coherence([0.0, 1.0], 5).tolist() == [0.0, 1.0]
    assert batch_coherence(0.3, 6, population=6) == 1.0
    assert math.isnan(batch_coherence(0.0, 6, population=6))  # the average of all is zero
    assert m_coherence(1.0, 50) == 50
    assert noise_scale(1e-310) == gradient_diversity(1e-310, 1) == math.inf  # out of a float's range


def test_negative_estimates_keep_their_sign_up_to_the_pole():
    m = 100
    lowest = -1 / (m - 1)
    ratios = one_step_ratio([lowest / 2, lowest * 0.99], m)
    assert (ratios < 0).all()
    with pytest.raises(ValueError, match="alpha must be above the pole of the formula"):
        one_step_ratio(lowest, 102)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: noise_scale(1.1), "alpha must be at most 1"),
        (lambda: noise_scale(math.nan), "alpha must be a number"),
        (lambda: batch_coherence(0.5, 0), "size must be a whole number"),
        (lambda: batch_coherence(0.5, 7, population=6), "size must be at most the population"),
        (lambda: example_coherence(0.5, 6, population=6), "size must be below the population"),
        (lambda: norm_test_batch(0.5, 0.0), "theta must be positive"),
        (lambda: m_coherence(-0.1, 5), r"alpha_m must be in \[0, 1\]"),
        (lambda: gradient_diversity(0.1, 0), "m must be a whole number"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("alpha", [1 - 2.0**-40, 1 - 1e-12, 0.75, 1e-12])
def test_noise_scale_keeps_its_digits_where_examples_nearly_agree(alpha):
    exact = (1 - Fraction(alpha)) / Fraction(alpha)
    assert float(noise_scale(alpha)) == pytest.approx(float(exact), rel=4e-16)


def test_ends_of_batches():
    assert math.isnan(batch_coherence(0.0, 4, population=4))
    with pytest.raises(ValueError, match="alpha must be above the pole"):
        batch_coherence(-1.0, 2)  # the pole itself
