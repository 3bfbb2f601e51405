"""Outward rounding: always on the promised side, by no more than promised."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.numerics.rounding import mean_up, round_down, round_up

VALUE = st.floats(0.0, 1e300)


@given(VALUE, st.integers(0, 100))
def test_covers_the_stated_error(value: float, ulps: int) -> None:
    error = Fraction(ulps, 2**52)
    exact = Fraction(value)
    up, down = Fraction(float(round_up(value, ulps))), Fraction(float(round_down(value, ulps)))
    assert up > exact * (1 + error)
    assert down == 0 or down < exact * (1 - error)
    if value > 1e-300:
        assert up <= exact * (1 + error + Fraction(2, 2**51))
        assert down >= exact * (1 - error - Fraction(2, 2**51))


def test_zero_infinity_and_arrays() -> None:
    assert mean_up(np.full(3, 1.7e308), 0) == math.inf
    assert round_up(0.0, 4) == 5e-324
    assert round_down(0.0, 4) == 0.0
    assert round_up(math.inf, 4) == math.inf
    assert round_up(np.array([1.0, 2.0]), 1).tolist() == [1.0 + 2**-51, 2.0 + 2**-50]


@given(st.lists(st.floats(0.0, 1e290), min_size=1, max_size=50))
def test_a_mean_is_covered_in_any_order(values: list[float]) -> None:
    exact = sum(map(Fraction, values)) / len(values)
    for order in (values, sorted(values), sorted(values, reverse=True)):
        up = Fraction(float(mean_up(np.array(order), 3)))
        assert (
            exact * (1 + Fraction(3, 2**52))
            <= up
            <= exact * (1 + Fraction(30 + len(values), 2**52)) + Fraction(1, 2**1070)
        )


def test_a_mean_needs_entries() -> None:
    assert mean_up(np.ones((2, 3)), 0).shape == (2,)
    for nothing in (np.float64(1.0), np.ones((2, 0))):
        with pytest.raises(ValueError, match="values must have entries along a last axis, got shape"):
            mean_up(nothing, 0)
