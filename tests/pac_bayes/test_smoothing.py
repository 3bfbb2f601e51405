import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.pac_bayes.smoothing import bits_per_token, smoothed_loss, smoothed_loss_range

vocabularies = st.integers(2, 100) | st.integers(2, 10**6)
alphas = st.floats(1e-12, 1 - 1e-12) | st.sampled_from([1e-300, 0.5, 1 - 2.0**-53])
logs = st.floats(-1e4, 0.0) | st.sampled_from([0.0, -math.inf, -1e-300])


def exact_bits(log_probability, vocabulary, alpha):
    p = mpf(0) if log_probability == -math.inf else mpmath.exp(mpf(log_probability))
    return -mpmath.log((1 - mpf(alpha)) * p + mpf(alpha) / vocabulary, 2)


@given(vocabularies, alphas)
def test_the_range_contains_all_bits(vocabulary, alpha):
    low, high = smoothed_loss_range(vocabulary, alpha)
    with mpmath.workdps(400):
        least, most = exact_bits(0.0, vocabulary, alpha), exact_bits(-math.inf, vocabulary, alpha)
        assert least - mpf("1e-11") <= low <= least
        assert most <= high <= most * (1 + mpf("1e-14"))
        delta = mpmath.log(1 + (1 - mpf(alpha)) * vocabulary / mpf(alpha), 2)
        assert abs(high - low - delta) < 1e-10


@given(logs, vocabularies, alphas)
def test_the_loss_is_the_exact_one_rounded_up(log_probability, vocabulary, alpha):
    low, high = smoothed_loss_range(vocabulary, alpha)
    loss = smoothed_loss(log_probability, vocabulary, alpha)
    with mpmath.workdps(400):
        exact = (exact_bits(log_probability, vocabulary, alpha) - mpf(float(low))) / (
            mpf(float(high)) - mpf(float(low))
        )
        assert 0 <= exact <= float(loss) <= 1
        assert float(loss) - exact < mpf("2e-11") / (mpf(float(high)) - mpf(float(low)))


@given(logs, vocabularies, st.floats(1e-9, 0.999))
def test_there_and_back(log_probability, vocabulary, alpha):
    back = bits_per_token(smoothed_loss(log_probability, vocabulary, alpha), vocabulary, alpha)
    exact = exact_bits(log_probability, vocabulary, alpha)
    assert exact <= back <= exact + 1e-10


def test_published_range():
    """GPT-2's vocabulary, alpha = 1e-4: Delta = log2(1 + 0.9999 * 50257 / 1e-4)."""
    low, high = smoothed_loss_range(50_257, 1e-4)
    assert high - low == pytest.approx(math.log2(1 + 0.9999 * 50_257 / 1e-4), rel=1e-10)
    assert round(float(high - low), 2) == 28.90


def test_a_document_is_the_average_of_its_tokens():
    losses = smoothed_loss(np.log([[0.5, 0.25], [1.0, 0.125]]), 8, 0.1)
    assert losses.shape == (2, 2)
    bits = -np.log2(0.9 * np.array([[0.5, 0.25], [1.0, 0.125]]) + 0.1 / 8)
    np.testing.assert_allclose(bits_per_token(losses.mean(axis=1), 8, 0.1), bits.mean(axis=1), rtol=1e-9)


@pytest.mark.parametrize(
    ("function", "numbers", "message"),
    [
        (smoothed_loss_range, (1, 0.5), "vocabulary must be a whole number of at least 2"),
        (smoothed_loss_range, (10, 0.0), "alpha must be strictly between 0 and 1, got 0.0. It is the share"),
        (smoothed_loss_range, (10, 1.0), "alpha must be strictly between 0 and 1"),
        (smoothed_loss, (0.1, 10, 0.5), "log_probabilities must be at most 0"),
        (smoothed_loss, (math.nan, 10, 0.5), "log_probabilities must be a number"),
        (bits_per_token, (1.1, 10, 0.5), r"loss must be in \[0, 1\]"),
    ],
)
def test_bad_numbers_are_refused(function, numbers, message):
    with pytest.raises(ValueError, match=message):
        function(*numbers)
