"""Range checks: what passes comes back in float64, what fails names itself, its value and the next step."""

import math

import numpy as np
import pytest

from genbounds.numerics.checks import confidence, count, finite, log_probability, nonnegative, positive, unit_interval


def test_good_values_come_back_in_float64() -> None:
    for check, value in (
        (unit_interval, [0, 0.5, 1]),
        (nonnegative, [0, 3, math.inf]),
        (positive, [5e-324, 3, 1e308]),
        (confidence, [1e-300, 0.5]),
        (finite, [-1e308, 0, 5e-324]),
        (log_probability, [-math.inf, -2, 0]),
        (count, [1, 2.0, 2**53 - 1]),
    ):
        result = check("x", value)
        assert result.dtype == np.float64
        assert result.tolist() == [float(v) for v in value]
    assert count("x", 0, minimum=0) == 0
    assert unit_interval("x", np.float32(0.1)) == float(np.float32(0.1))
    assert unit_interval("x", True) == 1.0


def test_negative_zero_becomes_zero() -> None:
    assert math.copysign(1.0, unit_interval("x", -0.0)) == 1.0


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (unit_interval, [0.5, 1.0000001], r"x must be in \[0, 1\], got 1.0000001. Rescale a loss from its declared"),
        (unit_interval, -1, r"x must be in \[0, 1\], got -1.0."),
        (unit_interval, [0.1, math.nan], "x must be a number, got nan. NaN proves nothing: look for it upstream."),
        (unit_interval, "0.1", "x must be a real number, got '0.1'"),
        (unit_interval, 0.1 + 0j, "x must be a real number"),
        (nonnegative, -0.5, "x must be non-negative, got -0.5."),
        (finite, [0.0, -math.inf], "x must be finite, got -inf. Look for the overflow upstream."),
        (finite, math.nan, "x must be a number, got nan."),
        (positive, 0.0, "x must be positive and finite, got 0.0."),
        (positive, [1.0, math.inf], "x must be positive and finite, got inf."),
        (confidence, 0.0, "x must be strictly between 0 and 1, got 0.0. It is the probability that the bound may fail"),
        (confidence, 1.0, "x must be strictly between 0 and 1, got 1.0."),
        (log_probability, 0.05, "x must be at most 0, got 0.05. It is the logarithm of a probability"),
        (count, 0, "x must be a whole number of at least 1, got 0.0."),
        (count, 2.5, "x must be a whole number of at least 1, got 2.5."),
        (count, 2.0**53, "x must be a whole number of at least 1 and below 2\\^53, got 9007199254740992.0."),
        (count, 2**53 + 1, "x must be a whole number of at least 1 and below 2\\^53"),  # which rounds to 2^53
        (count, math.inf, "x must be a whole number of at least 1"),
    ],
)
def test_bad_values_are_named(check, value, message) -> None:
    with pytest.raises(ValueError, match=message):
        check("x", value)
