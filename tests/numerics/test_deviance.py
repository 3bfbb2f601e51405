"""The kernel a ln(a/b) + b - a against ball arithmetic, on both sides of its switch."""

import math

import flint
import numpy as np
import pytest
from flint import arb
from hypothesis import example, given
from hypothesis import strategies as st

from genbounds.numerics.deviance import deviance

MASS = st.one_of(st.floats(-600.0, 600.0).map(math.exp), st.floats(0.5, 2.0))


def one(a: float, b: float) -> float:
    return float(deviance(np.array([a]), np.array([b]), np.array([b - a]))[0])


@given(MASS, MASS)
@example(1.0, 1.4)
@example(1.0, 0.6)
@example(1.0, math.nextafter(1.4, 2.0))
@example(1.0, math.nextafter(0.6, 0.0))
@example(5e-324, 1.0)
@example(1.0, 5e-324)
def test_matches_ball_arithmetic(a: float, b: float) -> None:
    flint.ctx.prec = 400
    for second in (b, a * (1 + 0.7 * math.tanh(math.log(b))), math.nextafter(a, 0.0)):
        if second > 0:
            truth = arb(a) * (arb(a) / arb(second)).log() + arb(second) - arb(a)
            if a != second and truth > arb(1e-300):
                assert abs(arb(one(a, second)) / truth - 1) < arb(1e-14)


def test_end_points() -> None:
    assert one(0.0, 0.0) == one(2.0, 2.0) == 0.0
    assert one(0.0, 3.0) == 3.0
    assert one(3.0, 0.0) == math.inf


@given(MASS, MASS)
def test_is_never_negative(a: float, b: float) -> None:
    assert one(a, b) >= 0.0
    assert one(a, a) == 0.0


def test_difference_is_trusted() -> None:
    a = np.array([0.1])
    assert deviance(a, a, np.array([1e-20]))[0] == pytest.approx(1e-40 / 0.2)
