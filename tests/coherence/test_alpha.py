"""Coherence and its estimates: against vectors written out, subsets enumerated, and moments in closed form."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genbounds.coherence.alpha import (
    coherence,
    coherence_value,
    combined_coherence,
    expected_plug_in,
    layer_fractions,
    plug_in,
    two_batches,
    unbiased,
    unbiased_coherence,
    with_zero_gradients,
)

NUMBERS = st.floats(-8, 8, allow_nan=False).map(lambda x: round(x, 3))
VECTORS = st.tuples(st.integers(2, 7), st.integers(1, 4)).flatmap(lambda shape: arrays(float, shape, elements=NUMBERS))


def moments(vectors):
    vectors = np.asarray(vectors, dtype=float)
    return (vectors.mean(0) ** 2).sum(), (vectors**2).sum(1).mean()


def alpha_m(vectors):
    return float(coherence(*plug_in(*moments(vectors))))


def test_identical_vectors():
    assert alpha_m([[3.0, -4.0]] * 5) == 1.0
    assert alpha_m([[0.1, 0.7, -0.3]] * 7) == 1.0  # where the two squares differ in the last bit


def test_orthogonal_vectors_of_any_length():
    assert alpha_m(np.diag([1.0, 2.0, 5.0, 0.5])) == pytest.approx(0.25, abs=1e-15)


def test_copies_of_orthogonal_vectors():
    assert alpha_m(np.repeat(2 * np.eye(4), 3, axis=0)) == pytest.approx(1 / 4, abs=1e-15)


def test_simplex():
    assert alpha_m(np.eye(5) - 1 / 5) == pytest.approx(0, abs=1e-15)


def test_no_gradient_at_all_is_undefined():
    assert math.isnan(coherence(0.0, 0.0))
    assert plug_in(0.0, 0.0) == (0.0, 0.0)


@given(VECTORS, st.floats(-50, 50).filter(lambda c: abs(c) > 1e-3))
def test_scaling_all_gradients_changes_nothing(vectors, factor):
    if np.abs(vectors).max() > 0:
        assert alpha_m(factor * vectors) == pytest.approx(alpha_m(vectors), abs=1e-12)


@given(VECTORS)
def test_plug_in_against_sums_written_out(vectors):
    signal, noise = plug_in(*moments(vectors))
    mean = vectors.mean(0)
    assert noise == pytest.approx(((vectors - mean) ** 2).sum(1).mean(), abs=1e-10)
    assert signal == pytest.approx((mean**2).sum(), abs=1e-12)
    if signal + noise > 0:
        gram = vectors @ vectors.T
        assert coherence(signal, noise) == pytest.approx(gram.mean() / np.diag(gram).mean(), abs=1e-9)


@given(VECTORS)
def test_average_squared_distance_of_pairs(vectors):
    """Over all ordered pairs, i = j included: 2 (1 - alpha_m) times the average squared norm, exactly."""
    apart = ((vectors[:, None] - vectors[None]) ** 2).sum(2).mean()
    signal, noise = plug_in(*moments(vectors))
    assert apart == pytest.approx(2 * noise, abs=1e-9)
    if signal + noise > 0:
        assert apart == pytest.approx(2 * (1 - coherence(signal, noise)) * (signal + noise), abs=1e-9)


@given(VECTORS)
def test_unbiased_estimates_are_averages_over_pairs(vectors):
    m = len(vectors)
    signal, noise = unbiased(*moments(vectors), m)
    gram = vectors @ vectors.T
    pairs = (gram.sum() - np.trace(gram)) / (m * (m - 1))
    assert signal == pytest.approx(pairs, abs=1e-9)
    assert noise == pytest.approx(np.var(vectors, axis=0, ddof=1).sum(), abs=1e-9)
    assert signal + noise == pytest.approx(moments(vectors)[1], abs=1e-9)
    if signal + noise > 0:
        plain = alpha_m(vectors)
        assert unbiased_coherence(plain, m) == pytest.approx(coherence(signal, noise), abs=1e-9)
        assert expected_plug_in(unbiased_coherence(plain, m), m) == pytest.approx(plain, abs=1e-12)


def test_bias_of_the_plug_in_and_none_of_the_others_by_enumeration():
    """All samples of 4 from a population of 3 gradients, in rational numbers."""
    population = [(Fraction(1), Fraction(0)), (Fraction(-1, 2), Fraction(2)), (Fraction(3), Fraction(1))]
    m, size = 4, len(population)

    def dot(one, other):
        return sum(a * b for a, b in zip(one, other, strict=True))

    mean = [sum(column) / size for column in zip(*population, strict=True)]
    moment = sum(dot(g, g) for g in population) / size
    alpha = dot(mean, mean) / moment
    samples = list(itertools.product(population, repeat=m))
    squared = [dot(total, total) / m**2 for s in samples for total in [[sum(c) for c in zip(*s, strict=True)]]]
    norms = [sum(dot(g, g) for g in s) / m for s in samples]
    plain = sum(squared) / sum(norms)
    assert plain == alpha + (1 - alpha) / m
    assert float(expected_plug_in(float(alpha), m)) == pytest.approx(float(plain), abs=1e-15)
    signal, noise = unbiased([float(x) for x in squared], [float(x) for x in norms], m)
    assert np.mean(signal) == pytest.approx(float(dot(mean, mean)), abs=1e-13)
    assert np.mean(noise) == pytest.approx(float(moment - dot(mean, mean)), abs=1e-13)


def test_signal_keeps_its_sign():
    signal, noise = unbiased(0.0, 3.0, 4)
    assert (signal, noise) == (-1.0, 4.0)
    assert coherence(signal, noise) == pytest.approx(-1 / 3)
    assert unbiased_coherence(0.0, 4) == pytest.approx(-1 / 3)


@given(VECTORS)
def test_one_batch_of_all_and_batches_of_one_are_the_unbiased_estimates(vectors):
    squared, moment = moments(vectors)
    both = two_batches(1, len(vectors), moment, squared)
    np.testing.assert_allclose(both, unbiased(squared, moment, len(vectors)), atol=1e-9)


def test_two_batches_without_bias_by_enumeration():
    population = np.array([[1.0, 0.0], [-0.5, 2.0], [3.0, 1.0]])
    squared = {
        b: np.mean([(np.mean(s, 0) ** 2).sum() for s in itertools.product(population, repeat=b)]) for b in (2, 5)
    }
    np.testing.assert_allclose(two_batches(2, 5, squared[2], squared[5]), plug_in(*moments(population)), rtol=1e-13)


@settings(max_examples=40)
@given(st.lists(VECTORS, min_size=2, max_size=4))
def test_layers_add_up(layers):
    m = min(map(len, layers))
    blocks = [block[:m] for block in layers]
    pairs = [plug_in(*moments(block)) for block in blocks]
    fractions = layer_fractions([signal + noise for signal, noise in pairs])
    if np.isfinite(fractions).all():
        whole = combined_coherence([coherence(*pair) for pair in pairs], fractions)
        assert whole == pytest.approx(alpha_m(np.concatenate(blocks, axis=1)), abs=1e-10)
    else:
        assert all(np.abs(block).max() == 0 for block in blocks)


def test_a_layer_without_gradient_does_not_count():
    assert combined_coherence([0.5, math.nan], layer_fractions([2.0, 0.0])) == 0.5


@given(VECTORS, st.integers(1, 5))
def test_zero_gradients_mixed_in(vectors, zeros):
    if np.abs(vectors).max() > 0:
        diluted = np.concatenate([vectors, np.zeros((zeros, vectors.shape[1]))])
        share = len(vectors) / len(diluted)
        assert alpha_m(diluted) == pytest.approx(with_zero_gradients(alpha_m(vectors), share), abs=1e-12)


def test_a_common_vector_added():
    """What weight decay in the loss does, and why it is left out."""
    vectors = np.random.default_rng(0).normal(size=(9, 3))
    signal, noise = plug_in(*moments(vectors))
    shift = np.array([1.0, -2.0, 0.5])
    moved = ((vectors.mean(0) + shift) ** 2).sum()
    assert alpha_m(vectors + shift) == pytest.approx(coherence(moved, noise), abs=1e-14)
    assert alpha_m(vectors + shift) > 2 * coherence(signal, noise)


def test_real_against_random_rows():
    """Four rows of six features: real ones share the sixth, random ones share none; gradients at w = 0."""
    real = np.array([[1, 0, 0, 0, 0, 1], [0, 1, 0, 0, 0, 1], [0, 0, 1, 0, 0, 1], [0, 0, 0, 1, 0, 1]], dtype=float)
    random = np.array([[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1], [0, 0, 1, -1, 0, 0], [0, 0, 1, 1, 0, 0]], dtype=float)
    assert alpha_m(-real) == 0.625
    assert alpha_m(-random) == 0.25


def test_broadcasting():
    assert coherence([1.0, 2.0], [[1.0], [3.0]]).tolist() == [[0.5, 2 / 3], [0.25, 0.4]]
    signal, noise = unbiased([0.5, 1.0], 2.0, [[2], [4]])
    assert signal.shape == noise.shape == (2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plug_in(2.0, 1.0), "squared_mean must be at most second_moment"),
        (lambda: plug_in(-1.0, 1.0), "squared_mean must be non-negative"),
        (lambda: plug_in(1.0, math.inf), "second_moment must be finite"),
        (lambda: unbiased(math.nan, 1.0, 3), "squared_mean must be a number"),
        (lambda: unbiased(0.5, 1.0, 1), "m must be a whole number of at least 2"),
        (lambda: two_batches(4, 4, 1.0, 1.0), "large must be above small"),
        (lambda: two_batches(4, 8, -1.0, 1.0), "small_squared must be non-negative"),
        (lambda: coherence(0.5, -0.1), "noise must be non-negative"),
        (lambda: coherence(-2.0, 1.0), r"signal \+ noise must be non-negative"),
        (lambda: coherence(math.inf, 1.0), "signal must be finite"),
        (lambda: unbiased_coherence(1.5, 10), r"alpha_m must be in \[0, 1\], got 1.5. The plug-in coherence"),
        (lambda: expected_plug_in(1.2, 10), "alpha must be at most 1"),
        (lambda: coherence_value("alpha", math.nan), "alpha must be a number"),
        (lambda: layer_fractions([1.0, -1.0]), "second_moments must be non-negative"),
        (lambda: combined_coherence([0.5, 0.5], [0.5, 0.4]), "fractions must add up to 1"),
        (lambda: with_zero_gradients(0.5, 1.5), r"share must be in \[0, 1\]"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("centre", [0.0, 1.0])
def test_bias_that_the_ratio_of_unbiased_estimates_keeps(centre):
    """Over all samples of m from three points, the bias is the docstring's up to O(1 / m^2); none without signal."""
    points = np.array([[2.0, 0.0], [-1.0, 0.5], [-1.0, -0.5]]) + centre
    mean, norms = points.mean(0), (points**2).sum(1)
    moment = norms.mean()
    alpha = (mean @ mean) / moment
    first = (alpha * norms.var() - 2 * np.cov(points @ mean, norms, bias=True)[0, 1]) / moment**2
    rest = []
    for m in (40, 80):
        counts = np.array([(a, b, m - a - b) for a in range(m + 1) for b in range(m + 1 - a)])
        chances = [math.factorial(m) // math.prod(map(math.factorial, row)) / 3**m for row in counts.tolist()]
        squared = (((counts / m) @ points) ** 2).sum(1)
        found = unbiased_coherence(squared / ((counts / m) @ norms), m)
        rest.append(abs((np.array(chances) @ found - alpha) * m - first) * m)
    assert abs(first) > 0.05 if centre else first == pytest.approx(0, abs=1e-15)
    assert rest[1] < 1.3 * rest[0] + 1e-9  # what is left falls as 1 / m^2
    assert rest[1] < 0.3 * m * max(abs(first), 0.1)


def test_estimates_at_the_ends_of_the_range_of_floats():
    for scale in (1e-300, 1e300, 1e307):
        signal, noise = unbiased(0.5 * scale, scale, 1000)
        assert (signal / scale, noise / scale) == pytest.approx((499 / 999, 500 / 999), rel=1e-14)


def test_rounding_of_a_bfloat16_model_is_no_error_and_more_is():
    assert plug_in(1 + 2.0**-8, 1.0) == (1.0, 0.0)
    with pytest.raises(ValueError, match="squared_mean must be at most second_moment"):
        plug_in(1 + 2.0**-6, 1.0)


def test_no_estimate_is_below_minus_one():
    assert float(coherence_value("alpha", -1.0)) == -1  # two opposite gradients
    with pytest.raises(ValueError, match="alpha must be at most 1, and at least -1"):
        coherence_value("alpha", -1.001)


def test_a_layer_that_counts_has_a_coherence():
    assert float(combined_coherence([0.5, math.nan], [1.0, 0.0])) == 0.5
    with pytest.raises(ValueError, match="alphas must be a number"):
        combined_coherence([0.5, math.nan], [0.5, 0.5])
