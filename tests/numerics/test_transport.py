"""The distance between normal laws against 60 digits, quantiles, and an exact solver of transport."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, wasserstein_distance

from genbounds.numerics import wasserstein1_normal

means = st.floats(-1e6, 1e6, allow_subnormal=False)
scales = st.one_of(st.just(0.0), st.floats(1e-6, 1e6))


def exact(mean_q, scale_q, mean_p, scale_p):
    with mpmath.workdps(60):
        delta = abs(mpmath.mpf(mean_q) - mpmath.mpf(mean_p))
        eta = abs(mpmath.mpf(scale_q) - mpmath.mpf(scale_p))
        if eta == 0:
            return delta
        phi = mpmath.erfc(delta / eta / mpmath.sqrt(2)) / 2  # Phi(-delta / eta)
        return eta * mpmath.sqrt(2 / mpmath.pi) * mpmath.exp(-((delta / eta) ** 2) / 2) + delta * (1 - 2 * phi)


@given(means, scales, means, scales)
def test_it_is_the_real_number_rounded_up(mean_q, scale_q, mean_p, scale_p):
    truth = exact(mean_q, scale_q, mean_p, scale_p)
    value = mpmath.mpf(float(wasserstein1_normal(mean_q, scale_q, mean_p, scale_p)))
    assert truth <= value <= truth * (1 + mpmath.mpf("1e-14")) + mpmath.mpf("1e-320")


@pytest.mark.parametrize("gap", [0.0, 1e-16, 1e-12, 1e-8, 1e-4])
@pytest.mark.parametrize("shift", [0.0, 1e-300, 1e-16, 1e-12, 1e-8, 1e-4, 1.0])
def test_next_to_equal_scales(gap, shift):
    """Where textbook forms divide by nearly nothing."""
    truth = exact(0.0, 1.0 + gap, shift, 1.0)
    value = mpmath.mpf(float(wasserstein1_normal(0.0, 1.0 + gap, shift, 1.0)))
    assert truth <= value <= truth * (1 + mpmath.mpf("1e-14"))


@given(means, scales, means, scales)
def test_it_is_symmetric_and_at_most_the_2_wasserstein_distance(mean_q, scale_q, mean_p, scale_p):
    value = wasserstein1_normal(mean_q, scale_q, mean_p, scale_p)
    assert value == wasserstein1_normal(mean_p, scale_p, mean_q, scale_q)
    assert abs(mean_q - mean_p) <= value <= np.hypot(mean_q - mean_p, scale_q - scale_p) * (1 + 1e-14)


def test_quantiles_and_transport_between_samples():
    levels = (np.arange(200_000) + 0.5) / 200_000
    first, second = norm.ppf(levels, 0.3, 2.0), norm.ppf(levels, -0.1, 0.7)
    value = float(wasserstein1_normal(0.3, 2.0, -0.1, 0.7))
    assert value == pytest.approx(np.abs(first - second).mean(), rel=1e-5)
    assert value == pytest.approx(wasserstein_distance(first, second), rel=1e-5)


def test_arrays_and_points():
    assert wasserstein1_normal(1e308, 1.0, -1e308, 1.0) == np.inf
    values = wasserstein1_normal([0.0, 0.0, 5.0], [0.0, 1.0, 2.0], 0.0, [[0.0], [1.0]])
    assert values.shape == (2, 3)
    assert values[0, 0] == values[1, 1] == 0.0
    assert values[0, 1] == values[1, 0] == pytest.approx(np.sqrt(2 / np.pi), rel=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.nan, 1.0, 0.0, 1.0), "mean_q must be finite"),
        ((0.0, 1.0, np.inf, 1.0), "mean_p must be finite"),
        (("1.0", 1.0, 0.0, 1.0), "mean_q must be finite"),
        ((0.0, 1.0, 1j, 1.0), "mean_p must be finite"),
        ((0.0, -1.0, 0.0, 1.0), "scale_q must be non-negative, got -1.0"),
        ((0.0, 1.0, 0.0, np.inf), "scale_p must be finite"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        wasserstein1_normal(*arguments)
