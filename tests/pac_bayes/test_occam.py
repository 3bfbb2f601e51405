import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.pac_bayes import clopper_pearson, maurer, occam_binomial, occam_kl, seeger_xi, test_set_kl

lengths = st.one_of(st.just(0.0), st.floats(0, 10), st.floats(0, 1e5))
deltas = st.one_of(st.floats(1e-12, 0.999), st.sampled_from([1e-300, 1 - 2.0**-53]))


@st.composite
def counts(draw, largest=120):
    n = draw(st.integers(1, largest))
    return draw(st.integers(0, n)), n


@given(st.floats(0, 1), lengths, st.integers(1, 10**6), deltas)
def test_occam_kl_encloses_the_formula(oracle, risk, length, n, delta):
    with oracle.precision():
        assert oracle.kl_upper_encloses(occam_kl(risk, length, n, delta), risk, oracle.complexity(length, n, delta))


@given(counts(), st.floats(0, 100), deltas)
def test_occam_binomial_encloses_the_exact_limit(oracle, counts, length, delta):
    errors, n = counts
    with oracle.precision():
        level = mpf(delta) * mpmath.exp(-mpf(length))
        assert oracle.binomial_limit_encloses(occam_binomial(errors, length, n, delta), errors, n, level)


@given(counts(10**5), lengths, st.floats(1e-9, 0.9))
def test_ordering(counts, length, delta):
    errors, n = counts
    risk = errors / n
    exact, chernoff = occam_binomial(errors, length, n, delta), occam_kl(risk, length, n, delta)
    assert exact <= chernoff * (1 + 1e-12)
    assert risk <= exact or delta > 0.5
    assert chernoff <= seeger_xi(risk, length, n, delta) <= maurer(risk, length, n, delta) * (1 + 1e-12)
    assert chernoff <= risk + math.sqrt((length - math.log(delta)) / (2 * n)) + 1e-12 or chernoff == 1


@given(counts(10**4), st.floats(1e-9, 0.9))
def test_without_a_choice_they_are_the_holdout_bounds(counts, delta):
    errors, n = counts
    np.testing.assert_allclose(occam_binomial(errors, 0.0, n, delta), clopper_pearson(errors, n, delta), rtol=1e-13)
    np.testing.assert_allclose(occam_kl(errors / n, 0.0, n, delta), test_set_kl(errors / n, n, delta), rtol=1e-13)


@given(counts(1000), st.floats(0, 50), st.floats(0.001, 0.5))
def test_a_bit_costs_what_half_the_delta_costs(counts, length, delta):
    errors, n = counts
    bit = length + math.log(2)
    for bound, first in ((occam_binomial, errors), (occam_kl, errors / n)):
        longer = bound(first, bit, n, delta)
        np.testing.assert_allclose(longer, bound(first, length, n, delta / 2), rtol=1e-11)
        assert longer >= bound(first, length, n, delta)


def test_levels_far_below_the_smallest_float():
    """No errors: 1 - exp(-(length + ln(1 / delta)) / n) at a level of e^-6003."""
    expected = -math.expm1(-(6000 + math.log(20)) / 10_000)
    np.testing.assert_allclose(occam_binomial(0, 6000.0, 10_000, 0.05), expected, rtol=1e-13)


@pytest.mark.parametrize("bound", [occam_binomial, occam_kl])
def test_an_infinite_code_proves_nothing(bound):
    assert bound(0, math.inf, 10**6, 0.05) == 1.0
    assert bound(0, np.finfo(float).max, 1, 0.05) == 1.0


def test_cifar10_released_row():
    """A released row of a compressed network (d = 3000): 6812 errors in 50,000, 8490 bits less two."""
    length, n = (8490.094247824229 - 2) * math.log(2), 50_000
    assert round(float(occam_kl(0.13624000549316406, length, n, 0.05)), 6) == 0.350731
    assert round(float(occam_binomial(6812, length, n, 0.05)), 6) == 0.350627


def test_shapes():
    assert isinstance(occam_kl(0.1, 3.0, 10, 0.05), float)
    assert isinstance(occam_binomial(1, 3.0, 10, 0.05), float)
    assert occam_kl(np.zeros((4, 1)), [1.0, 2.0], 10, 0.05).shape == (4, 2)
    assert occam_binomial(np.arange(4)[:, None], [1.0, 2.0], 10, 0.05).shape == (4, 2)


@pytest.mark.parametrize(
    ("bound", "numbers", "message"),
    [
        (occam_binomial, (0, -1.0, 10, 0.05), "code_length must be non-negative, got .* P.h. is at most 1"),
        (occam_kl, (0.0, -1.0, 10, 0.05), "code_length must be non-negative"),
        (occam_kl, (0.0, math.nan, 10, 0.05), "code_length must be a number"),
        (occam_kl, (1.5, 1.0, 10, 0.05), r"risk must be in \[0, 1\]"),
        (occam_kl, (0.5, 1.0, 0, 0.05), "n must be a whole number of at least 1"),
        (occam_binomial, (11, 1.0, 10, 0.05), "must be at most n"),
        (occam_binomial, (0.5, 1.0, 10, 0.05), "errors must be a whole number"),
        (occam_binomial, (0, 1.0, 0, 0.05), "n must be a whole number of at least 1"),
        (occam_binomial, (0, 1.0, 10, 0.0), "delta must be strictly between 0 and 1"),
        (occam_kl, (0.0, 1.0, 10, 1.0), "delta must be strictly between 0 and 1"),
    ],
)
def test_bad_numbers_are_refused(bound, numbers, message):
    with pytest.raises(ValueError, match=message):
        bound(*numbers)
