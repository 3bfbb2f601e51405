"""Where there is no coherence: all sign patterns enumerated, exact p-values, laws of Gaussian gradients."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from genbounds.coherence.null import (
    effective_dimension,
    gaussian_quantile,
    gaussian_tail,
    pair_square,
    sign_flip_p_value,
)

WHOLE = st.tuples(st.integers(2, 7), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(-9, 9))
)


def all_totals(vectors):
    patterns = np.array(list(itertools.product([-1, 1], repeat=len(vectors))))
    return ((patterns @ vectors) ** 2).sum(1)


@given(WHOLE)
def test_mean_and_variance_over_all_sign_patterns(vectors):
    """The average of m alpha_m is exactly 1, here in whole numbers, and pair_square is exact over all patterns."""
    totals, norms = all_totals(vectors), (vectors**2).sum(1)
    assert totals.sum() == len(totals) * norms.sum()
    gram = vectors @ vectors.T
    off = (gram**2).sum() - (norms**2).sum()
    assert ((totals - norms.sum()) ** 2).sum() == 2 * off * len(totals)
    m = len(vectors)
    assert pair_square(totals, norms.sum(), m) == pytest.approx(off / (m * (m - 1)), rel=1e-12)


@pytest.mark.parametrize("draws", [1, 4, 19])
def test_the_p_value_is_valid_by_enumeration(draws):
    """Observed signs and K others all fair: P(p <= j / (K + 1)) is at most j / (K + 1), over every pattern."""
    vectors = np.array([[3, 1], [1, -2], [2, 2], [1, 0], [0, 4], [-1, 3], [5, 1]])
    totals = all_totals(vectors)
    above = (totals[None] >= totals[:, None]).mean(1)  # P(flipped >= observed), for each observed pattern
    for j in range(1, draws + 1):
        chance = stats.binom.cdf(j - 1, draws, above).mean()
        assert chance <= j / (draws + 1) + 1e-12
        assert chance > 0.75 * j / (draws + 1) - 0.02  # and hardly conservative: only ties are
    # The variant without the ones fails: at p = 0 already.
    assert stats.binom.cdf(0, draws, above).mean() > 0.0


def test_the_p_value_counts_itself():
    flipped = np.arange(1.0, 100.0)
    assert sign_flip_p_value(1000.0, flipped) == 0.01
    assert sign_flip_p_value(99.0, flipped) == 0.02  # ties count
    assert sign_flip_p_value(0.0, flipped) == 1.0
    layers = sign_flip_p_value([1000.0, 0.0], np.stack([flipped, flipped], axis=1))
    assert layers.tolist() == [0.01, 1.0]


def sample(m, d, size, mean=0.0, scales=1.0, seed=0):
    generator = np.random.default_rng(seed)
    g = generator.normal(size=(size, m, d)) * scales
    g[..., 0] += mean
    return (g.mean(1) ** 2).sum(1) / (g**2).sum(2).mean(1)


@pytest.mark.parametrize(("m", "d"), [(2, 1), (5, 3), (12, 20)])
def test_law_of_isotropic_gaussian_gradients(m, d):
    shown = sample(m, d, 4000)
    assert stats.kstest(shown, lambda x: 1 - gaussian_tail(x, m, d)).pvalue > 0.01
    assert stats.kstest(shown, lambda x: 1 - gaussian_tail(x, m, 1.3 * d)).pvalue < 0.01  # the test has power
    law = stats.beta(d / 2, (m - 1) * d / 2)
    assert law.mean() == pytest.approx(1 / m)
    assert law.var() == pytest.approx((1 / m) * (1 - 1 / m) / (m * d / 2 + 1))
    for level in (0.05, 0.5, 0.95):
        assert gaussian_quantile(level, m, d) == pytest.approx(law.ppf(level), rel=1e-9)
        assert gaussian_tail(law.ppf(level), m, d) == pytest.approx(1 - level, rel=1e-9)


def test_law_with_signal():
    m, d, alpha = 6, 4, 0.2
    shown = sample(m, d, 4000, mean=math.sqrt(d * alpha / (1 - alpha)), seed=3)
    assert stats.kstest(shown, lambda x: 1 - gaussian_tail(x, m, d, alpha)).pvalue > 0.01
    assert stats.kstest(shown, lambda x: 1 - gaussian_tail(x, m, d, 0.15)).pvalue < 0.01


@pytest.mark.parametrize(("value", "m", "d", "alpha"), [(0.3, 5, 3, 0.1), (0.05, 50, 8.5, 0.02), (0.9, 3, 2, 0.7)])
def test_law_with_signal_as_a_poisson_mixture(value, m, d, alpha):
    half = mpmath.mpf(m) * d * alpha / (1 - mpmath.mpf(alpha)) / 2
    expected = mpmath.nsum(
        lambda j: (
            mpmath.exp(-half)
            * half**j
            / mpmath.factorial(j)
            * mpmath.betainc(mpmath.mpf(d) / 2 + j, mpmath.mpf(m - 1) * d / 2, value, 1, regularized=True)
        ),
        [0, mpmath.inf],
    )
    assert float(gaussian_tail(value, m, d, alpha)) == pytest.approx(float(expected), abs=1e-10)


def test_tails_far_out_are_not_differences_from_one():
    with mpmath.workdps(30):
        expected = mpmath.betainc(50, 4950, mpmath.mpf(0.06), 1, regularized=True)
    assert float(gaussian_tail(0.06, 100, 100)) == pytest.approx(float(expected), rel=1e-9)
    assert expected < 1e-30
    assert gaussian_tail(0.0, 9, 3) == 1
    assert gaussian_tail(1.0, 9, 3) == gaussian_tail(1.0, 9, 3, 0.5) == 0


def test_effective_dimension():
    generator = np.random.default_rng(1)
    scales = 1 / np.sqrt(np.arange(1, 41))
    g = generator.normal(size=(2000, 40)) * scales
    gram = g @ g.T
    norms = np.diag(gram)
    square = ((gram**2).sum() - (norms**2).sum()) / (2000 * 1999)
    exact = (scales**2).sum() ** 2 / (scales**4).sum()
    assert effective_dimension(norms.mean(), square) == pytest.approx(exact, rel=0.05)
    shown = sample(30, 40, 4000, scales=scales, seed=2)
    for level in (0.5, 0.9, 0.95):  # approximate: the law of few directions is more skewed
        assert (shown > gaussian_quantile(level, 30, exact)).mean() == pytest.approx(1 - level, abs=0.05)
    assert effective_dimension(2.0, 4.0) == 1.0
    assert effective_dimension(2.0, 0.0) == math.inf
    assert math.isnan(effective_dimension(0.0, 0.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sign_flip_p_value(1.0, []), "flipped must hold at least one draw"),
        (lambda: sign_flip_p_value(1.0, 2.0), "flipped must hold at least one draw"),
        (lambda: sign_flip_p_value([1.0, 2.0], [1.0, 2.0]), "flipped must have one total for each"),
        (lambda: sign_flip_p_value(-1.0, [1.0]), "observed must be non-negative"),
        (lambda: sign_flip_p_value(1.0, [math.nan]), "flipped must be a number"),
        (lambda: pair_square([1.0], 1.0, 1), "m must be a whole number of at least 2"),
        (lambda: pair_square([1.0], -1.0, 3), "squared_sum must be non-negative"),
        (lambda: effective_dimension(-1.0, 1.0), "second_moment must be non-negative"),
        (lambda: gaussian_tail(1.5, 3, 2), r"alpha_m must be in \[0, 1\]"),
        (lambda: gaussian_tail(0.5, 1, 2), "m must be a whole number of at least 2"),
        (lambda: gaussian_tail(0.5, 3, 0), "dimension must be positive"),
        (lambda: gaussian_tail(0.5, 3, 2, alpha=1.0), r"alpha must be in \[0, 1\)"),
        (lambda: gaussian_tail(0.5, 3, 2, alpha=-0.1), r"alpha must be in \[0, 1\)"),
        (lambda: gaussian_quantile(1.2, 3, 2), r"level must be in \[0, 1\]"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_rounding_does_not_break_ties():
    """Where signs change nothing but the last bits, nothing is significant; a real difference of 1e-5 counts."""
    exact = 3.0
    nearly = exact * (1 - np.array([2e-16, 1e-7, -1e-7, 2e-6]))
    assert float(sign_flip_p_value(exact, nearly)) == 1.0
    assert float(sign_flip_p_value(exact, [exact * (1 - 1e-5)] * 4)) == 0.2


@pytest.mark.parametrize("d", [1, 2])
def test_spread_of_the_pair_square(d):
    """Orthogonal lines with 500 unit gradients each, all patterns: relative variance (2 + 12 / d) / K, here K = 1."""
    line, chance = (2.0 * np.arange(501) - 500) ** 2, stats.binom.pmf(np.arange(501), 500, 0.5)
    for _ in range(d - 1):
        line, chance = np.add.outer(line, line).ravel(), np.multiply.outer(chance, chance).ravel()
    single = np.asarray(pair_square(line[None], 500 * d, 500 * d))
    mean = chance @ single
    assert float(effective_dimension(1.0, mean)) == pytest.approx(d, rel=5e-3)
    assert chance @ (single - mean) ** 2 / mean**2 == pytest.approx(2 + 12 / d, rel=0.02)


def test_low_quantiles():
    assert float(gaussian_quantile(1e-20, 10, 4)) == pytest.approx(7.64719112935e-12, rel=1e-9)
