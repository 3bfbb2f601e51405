import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.information import (
    steinke_zakynthinou,
    steinke_zakynthinou_interpolation,
    steinke_zakynthinou_linear,
    steinke_zakynthinou_squared,
    steinke_zakynthinou_unbounded,
)

CMI = st.floats(0, 200) | st.sampled_from([0.0, 5e-324, 1e-12, math.log(2)])
PAIRS = st.integers(1, 10**6)
RISKS = st.floats(0, 1) | st.just(0.0)


ONE = mpf(1)


def close_above(value, truth, cap=ONE):
    """Whether the value is at or above the truth, by rounding alone."""
    truth = min(truth, cap)
    return truth <= mpf(float(value)) <= truth * (1 + mpf("1e-13")) + mpf("1e-300")


@given(CMI, PAIRS)
def test_square_root(cmi, n):
    with mpmath.workdps(40):
        assert close_above(steinke_zakynthinou(cmi, n), mpmath.sqrt(2 * mpf(cmi) / n))


@given(CMI, PAIRS, st.floats(1e-9, 1e3))
def test_unbounded(cmi, n, squares):
    with mpmath.workdps(40):
        truth = mpmath.sqrt(2 * mpf(cmi) / n * mpf(squares))
        assert close_above(steinke_zakynthinou_unbounded(cmi, n, squares), truth, mpf("inf"))


@given(CMI, PAIRS)
def test_squared_is_a_branch_of_lambert(cmi, n):
    """x - 1 - ln x = 2 I is solved by -W(-exp(-1 - 2I)), on the branch below -1."""
    with mpmath.workdps(60):
        x = -mpmath.lambertw(-mpmath.exp(-1 - 2 * mpf(cmi)), -1).real if cmi > 0 else mpf(1)
        assert close_above(steinke_zakynthinou_squared(cmi, n), x / n)


@given(RISKS, CMI, PAIRS)
def test_linear(risk, cmi, n):
    with mpmath.workdps(40):
        golden = mpmath.log((1 + mpmath.sqrt(5)) / 2)
        assert close_above(steinke_zakynthinou_linear(risk, cmi, n), 2 * mpf(risk) + mpf(cmi) / (n * golden))


@given(CMI, PAIRS)
def test_interpolation(cmi, n):
    with mpmath.workdps(40):
        assert close_above(steinke_zakynthinou_interpolation(0.0, cmi, n), mpf(cmi) / (n * mpmath.log(2)))
    assert steinke_zakynthinou_interpolation(1e-300, cmi, n) == 1.0


@given(st.floats(0, 1e4), st.integers(1, 10**4))
def test_published_constants_are_never_less(cmi, n):
    assert steinke_zakynthinou_squared(cmi, n) <= min(1, (3 * cmi + 1.5 * math.log(3)) / n) * (1 + 1e-12)
    assert 1.5 * math.log(3) < 2
    assert steinke_zakynthinou_linear(0.1, cmi, n) <= min(1, 0.2 + 3 * cmi / n) + 1e-12
    assert steinke_zakynthinou_interpolation(0.0, cmi, n) <= min(1, 1.5 * cmi / n) + 1e-12


def test_the_best_constant_of_the_squared_form_by_search():
    """The proof's bound at every s on a grid, against the closed form of its minimum."""
    s = np.linspace(1e-4, 1 - 1e-4, 200_001)
    for cmi in (0.01, 0.3, 2.0, 20.0):
        searched = np.min((2 * cmi - np.log1p(-s)) / s)
        assert 1000 * steinke_zakynthinou_squared(cmi, 1000) == pytest.approx(min(searched, 1000), rel=1e-6)


def test_the_golden_ratio_solves_the_corner_condition():
    t = np.log((1 + 5**0.5) / 2)
    assert np.exp(t) + np.exp(-2 * t) == pytest.approx(2, abs=1e-15)


def test_ranges_of_one_give_the_bounded_form():
    for cmi, n in ((0.3, 7), (5.0, 100)):
        assert steinke_zakynthinou_unbounded(cmi, n, 1.0) == pytest.approx(steinke_zakynthinou(cmi, n), rel=1e-14)


def test_scale():
    """A loss in [3, 5] is twice one in [0, 1]: so is its gap."""
    assert steinke_zakynthinou_unbounded(0.3, 50, 4.0) == pytest.approx(2 * steinke_zakynthinou(0.3, 50), rel=1e-14)


def test_ends_and_shapes():
    assert steinke_zakynthinou(0.0, 5) < 1e-300
    assert steinke_zakynthinou_squared(0.0, 5) == pytest.approx(0.2, rel=1e-14)
    assert steinke_zakynthinou_linear(0.25, 0.0, 5) == pytest.approx(0.5, rel=1e-14)
    for bound in (steinke_zakynthinou, steinke_zakynthinou_squared):
        assert bound(np.inf, 5) == bound(1e308, 1) == 1.0
        assert bound([0.1, 0.2], [[5], [6], [7]]).shape == (3, 2)
    assert steinke_zakynthinou_linear(0.0, np.inf, 5) == steinke_zakynthinou_interpolation(0.0, np.inf, 5) == 1.0
    assert steinke_zakynthinou_unbounded(0.0, 5, np.inf) == steinke_zakynthinou_unbounded(np.inf, 5, 0.0) == np.inf


@pytest.mark.parametrize(
    ("bound", "numbers", "words"),
    [
        (steinke_zakynthinou, (-0.1, 5), "cmi must be non-negative"),
        (steinke_zakynthinou, (0.1, 0), "n must be a whole number"),
        (steinke_zakynthinou, (math.nan, 5), "cmi must be a number"),
        (steinke_zakynthinou_unbounded, (0.1, 5, -1.0), "squared_range must be non-negative"),
        (steinke_zakynthinou_squared, (-0.1, 5), "cmi must be non-negative"),
        (steinke_zakynthinou_linear, (1.1, 0.1, 5), "train_risk must be in"),
        (steinke_zakynthinou_interpolation, (-0.1, 0.1, 5), "train_risk must be in"),
    ],
)
def test_bad_numbers_are_refused(bound, numbers, words):
    with pytest.raises(ValueError, match=words):
        bound(*numbers)
