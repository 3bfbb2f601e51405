"""The saddlepoint approximation: its distance from the truth, its limit at the mean, and its two square roots."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.rare_events import QuadraticForm, quadratic_tail, saddlepoint_nats


def by_definition(form, level):
    """r* from K, K' and K'' with 60 digits."""
    with mpmath.workdps(60):
        w, d2 = [mpmath.mpf(float(v)) for v in form.weights], [mpmath.mpf(float(v)) ** 2 for v in form.shifts]
        x = mpmath.mpf(float(level)) - mpmath.mpf(form.offset)

        def derivative(s):
            return sum(v / (1 - 2 * v * s) * (1 + e / (1 - 2 * v * s)) for v, e in zip(w, d2, strict=True)) - x

        low, high = -(mpmath.mpf(10) ** 12), 1 / (2 * max(w)) * (1 - mpmath.mpf(10) ** -30)
        for _ in range(300):
            s = (low + high) / 2
            low, high = (s, high) if derivative(s) < 0 else (low, s)
        k = sum(v * e * s / (1 - 2 * v * s) - mpmath.log(1 - 2 * v * s) / 2 for v, e in zip(w, d2, strict=True))
        second = sum(2 * (v / (1 - 2 * v * s)) ** 2 * (1 + 2 * e / (1 - 2 * v * s)) for v, e in zip(w, d2, strict=True))
        r, u = mpmath.sign(s) * mpmath.sqrt(2 * (s * x - k)), s * mpmath.sqrt(second)
        return float(-mpmath.log(mpmath.ncdf(r + mpmath.log(u / r) / r)))


@given(
    st.lists(st.floats(-3, 0), min_size=1, max_size=5),
    st.floats(0, 3),
    st.sampled_from([1e-6, 0.01, 0.5, 0.999, 1 - 1e-7, 1 + 1e-7, 1.3, 5.0]),
)
@settings(deadline=None, max_examples=40)
def test_the_formula(exponents, shift, ratio):
    form = QuadraticForm(10.0 ** np.array(exponents), np.full(len(exponents), shift), 0.25)
    level = 0.25 + (form.mean - 0.25) * ratio
    assert saddlepoint_nats(form, [level])[0] == pytest.approx(by_definition(form, level), rel=1e-7, abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_continuous_at_the_mean(shift):
    form = QuadraticForm([1.0, 0.3, 0.05], np.full(3, shift))
    steps = np.array([-1e-2, -1e-4, -1e-6, -1e-9, -1e-13, 0.0, 1e-13, 1e-9, 1e-6, 1e-4, 1e-2])
    nats = saddlepoint_nats(form, form.mean * (1 + steps))
    smooth = np.polynomial.polynomial.polyfit(steps, nats, 3)
    np.testing.assert_allclose(nats, np.polynomial.polynomial.polyval(steps, smooth), atol=3e-7)
    assert (np.diff(nats) < 0).sum() >= 8
    # The limit itself: Phi(skewness / 6).
    skewness = form.cumulant(3) / form.cumulant(2) ** 1.5
    assert nats[5] == pytest.approx(-float(mpmath.log(mpmath.ncdf(skewness / 6))), rel=1e-12)


def test_distance_from_the_truth():
    """Largest for one direction deep down, where 0.154 nats is the most; a hundredth for a dozen directions."""
    generator = np.random.default_rng(0)
    for n, most in [(1, 0.154), (3, 0.06), (12, 0.015), (100, 0.003)]:
        for shift in (0.0, 1.0, 30.0):
            w = generator.uniform(0.2, 1, n)
            form = QuadraticForm(w, generator.normal(size=n) * shift)
            levels = form.mean * np.array([1e-12, 1e-6, 1e-3, 0.1, 0.5, 0.9, 1.0, 1.2, 3.0])
            assert np.abs(saddlepoint_nats(form, levels) - quadratic_tail(form, levels).nats).max() < most


def test_first_order_is_worse():
    """Phi(r) alone is caught: it is off by more than half a nat where r* is off by less than a hundredth."""
    form = QuadraticForm(np.linspace(0.2, 1, 12), np.zeros(12))
    level = 0.01 * form.mean
    s = -np.geomspace(1, 1e4, 400_001)
    k, first, _ = form.cumulant_generating(s)
    i = np.abs(first - level).argmin()
    r = -math.sqrt(2 * (s[i] * level - k[i]))
    truth = quadratic_tail(form, [level]).nats[0]
    assert abs(-float(mpmath.log(mpmath.ncdf(r))) - truth) > 0.5
    assert abs(saddlepoint_nats(form, [level])[0] - truth) < 0.01


def test_edges_and_refusals():
    form = QuadraticForm([1.0], [0.0], 2.0)
    assert np.isinf(saddlepoint_nats(form, [1.0, 2.0])).all()
    with pytest.raises(ValueError, match="must have a weight"):
        saddlepoint_nats(QuadraticForm([], []), [1.0])
    with pytest.raises(ValueError, match="levels must be"):
        saddlepoint_nats(form, [math.nan])
