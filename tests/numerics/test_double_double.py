"""Error-free transformations and the double-double logarithm against ball arithmetic."""

import math
from fractions import Fraction

import flint
import numpy as np
from flint import arb
from hypothesis import given
from hypothesis import strategies as st

from genbounds.numerics.double_double import LOG_RATIO_ERROR, log_ratio, two_product, two_sum

FACTOR = st.floats(1e-100, 1e100)
POSITIVE = st.one_of(st.floats(5e-324, 1.0), st.floats(-745.0, 0.0).map(math.exp).filter(bool))


@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300))
def test_two_sum_is_exact(a: float, b: float) -> None:
    high, low = two_sum(np.float64(a), np.float64(b))
    assert Fraction(float(high)) + Fraction(float(low)) == Fraction(a) + Fraction(b)


@given(FACTOR, FACTOR)
def test_two_product_is_exact(a: float, b: float) -> None:
    high, low = two_product(np.float64(a), np.float64(-b))
    assert Fraction(float(high)) + Fraction(float(low)) == -Fraction(a) * Fraction(b)


def check(a: float, b: float, a_low: float = 0.0, b_low: float = 0.0) -> None:
    high, low = log_ratio(*(np.array([v]) for v in (a, b, a_low, b_low)))
    flint.ctx.prec = 2400
    truth = ((arb(a) + arb(a_low)) / (arb(b) + arb(b_low))).log()
    if (a, a_low) == (b, b_low):
        assert high[0] == low[0] == 0
    else:
        assert abs((arb(high[0]) + arb(low[0])) / truth - 1) < arb(LOG_RATIO_ERROR) / 4


@given(POSITIVE, POSITIVE, st.integers(0, 60), st.sampled_from([-1, 1]))
def test_log_ratio_of_floats(a: float, b: float, close: int, sign: int) -> None:
    check(a, b)
    check(a, max(a * (1 + sign * 2.0**-close), 5e-324))
    check(a, max(math.nextafter(a, sign * math.inf), 5e-324))


@given(POSITIVE, POSITIVE, st.integers(0, 60))
def test_log_ratio_of_complements(p: float, q: float, close: int) -> None:
    for other in (q, p * (1 + 2.0**-close), math.nextafter(p, 1.0)):
        if p < 1 and other < 1:
            (a, a_low), (b, b_low) = (two_sum(np.float64(1.0), np.float64(-v)) for v in (p, other))
            check(float(a), float(b), float(a_low), float(b_low))
