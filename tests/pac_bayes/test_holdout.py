import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf
from scipy.special import betaincinv

from genbounds.pac_bayes import clopper_pearson, test_set_kl

deltas = st.one_of(st.floats(1e-12, 0.999), st.sampled_from([1e-300, 1 - 2.0**-53]))


@st.composite
def counts(draw, largest=150):
    n = draw(st.integers(1, largest))
    return draw(st.integers(0, n)), n


@given(counts(), deltas)
def test_clopper_pearson_encloses_the_exact_limit(oracle, counts, delta):
    errors, n = counts
    with oracle.precision():
        assert oracle.binomial_limit_encloses(clopper_pearson(errors, n, delta), errors, n, mpf(delta))


@given(counts(10**6), st.floats(1e-6, 0.5))
def test_clopper_pearson_is_a_quantile_of_the_beta_distribution(counts, delta):
    errors, n = counts
    if errors < n:
        expected = betaincinv(errors + 1.0, n - errors, 1 - delta)
        np.testing.assert_allclose(clopper_pearson(errors, n, delta), expected, rtol=1e-9)


@given(st.floats(0, 1), st.integers(1, 10**6), deltas)
def test_the_chernoff_form_encloses_the_formula(oracle, risk, n, delta):
    with oracle.precision():
        assert oracle.kl_upper_encloses(test_set_kl(risk, n, delta), risk, -mpmath.log(mpf(delta)) / n)


@given(counts(10**5), st.floats(1e-9, 0.9))
def test_exact_is_below_chernoff_is_below_hoeffding(counts, delta):
    errors, n = counts
    exact, chernoff = clopper_pearson(errors, n, delta), test_set_kl(errors / n, n, delta)
    assert exact <= chernoff * (1 + 1e-12)
    assert errors / n <= exact or delta > 0.5
    assert chernoff <= errors / n + math.sqrt(math.log(1 / delta) / (2 * n)) + 1e-12 or chernoff == 1


@pytest.mark.parametrize("n", [1, 3, 10, 25])
@pytest.mark.parametrize("delta", [0.05, 0.3])
def test_coverage_in_rational_arithmetic(n, delta):
    """At every risk just above a limit the failure probability, an exact fraction, is at most delta, and nearly it."""
    limits = [Fraction(float(limit)) for limit in clopper_pearson(np.arange(n + 1), n, delta)]
    for limit in limits[:-1]:
        risk = limit + Fraction(1, 10**30)
        failure = sum(math.comb(n, k) * risk**k * (1 - risk) ** (n - k) for k in range(n + 1) if limits[k] < risk)
        assert Fraction(delta) * (1 - Fraction(1, 10**9)) < failure <= Fraction(delta)


def test_shapes():
    assert isinstance(clopper_pearson(3, 10, 0.05), float)
    assert clopper_pearson(np.arange(4)[:, None], [10, 20], 0.05).shape == (4, 2)
    assert isinstance(test_set_kl(0.3, 10, 0.05), float)
    assert test_set_kl(np.zeros((4, 1)), [10, 20], 0.05).shape == (4, 2)


@given(counts(1000), st.floats(0.001, 0.5))
def test_monotone(counts, delta):
    errors, n = counts
    limit = clopper_pearson(errors, n, delta)
    assert clopper_pearson(errors, n, delta / 2) >= limit
    assert clopper_pearson(errors, n + 1, delta) <= limit
    assert clopper_pearson(errors + 1, n + 1, delta) >= limit * (1 - 1e-12)
    assert (
        test_set_kl(errors / n, n, delta / 2)
        >= test_set_kl(errors / n, n, delta)
        >= test_set_kl(errors / n, n + 1, delta)
    )


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((-1, 10, 0.05), "errors must be a whole number of at least 0"),
        ((1.5, 10, 0.05), "errors must be a whole number of at least 0"),
        ((math.nan, 10, 0.05), "errors must be a number"),
        ((11, 10, 0.05), "must be at most n"),
        ((0, 0, 0.05), "n must be a whole number of at least 1"),
        ((0, 10, 0.0), "delta must be strictly between 0 and 1"),
        ((0, 10, 1.0), "delta must be strictly between 0 and 1"),
        ((0, 10, math.nan), "delta must be a number"),
    ],
)
def test_clopper_pearson_refuses_bad_numbers(numbers, message):
    with pytest.raises(ValueError, match=message):
        clopper_pearson(*numbers)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((1.1, 10, 0.05), r"risk must be in \[0, 1\]"),
        ((math.nan, 10, 0.05), "risk must be a number"),
        ((0.1, 0, 0.05), "n must be a whole number of at least 1"),
        ((0.1, 10, 1.5), "delta must be strictly between 0 and 1"),
    ],
)
def test_the_chernoff_form_refuses_bad_numbers(numbers, message):
    with pytest.raises(ValueError, match=message):
        test_set_kl(*numbers)
