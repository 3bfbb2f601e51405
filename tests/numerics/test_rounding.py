"""Outward rounding: always on the promised side, by no more than promised."""

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genbounds.numerics import round_down, round_up

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
    assert round_up(0.0, 4) == 5e-324
    assert round_down(0.0, 4) == 0.0
    assert round_up(math.inf, 4) == math.inf
    assert round_up(np.array([1.0, 2.0]), 1).tolist() == [1.0 + 2**-51, 2.0 + 2**-50]
