"""Ruben's mixture: its coefficients by brute force; its interval encloses the truth and says when it is wide."""

import math

import mpmath
import numpy as np
import pytest
from scipy.stats import chi2, ncx2

from genbounds.rare_events import QuadraticForm, quadratic_tail, ruben_tail
from genbounds.rare_events.quadratic import ruben


@pytest.mark.parametrize("shifts", [[0.0, 0.0, 0.0], [1.0, -2.0, 0.5]])
def test_coefficients_are_those_of_the_transform(shifts):
    """c_k is the Taylor coefficient of L(t) y^(-n/2) in y = 1 / (1 + 2 beta t), by 60-digit differentiation."""
    form = QuadraticForm([0.5, 1.0, 1.7], shifts)
    logs = ruben._coefficients(form, 12)
    with mpmath.workdps(60):
        w, d2 = [mpmath.mpf(float(v)) for v in form.weights], [mpmath.mpf(v) ** 2 for v in shifts]

        def series(y):
            g = [1 - w[0] / v for v in w]
            value = mpmath.mpf(1)
            for v, e, r in zip(w, d2, g, strict=True):
                value *= mpmath.sqrt(w[0] / v / (1 - r * y)) * mpmath.exp(-e / 2 * (1 - y) / (1 - r * y))
            return value

        # ... and that function is the transform itself.
        t = mpmath.mpf("0.37")
        y = 1 / (1 + 2 * w[0] * t)
        transform = mpmath.fprod(
            mpmath.exp(-v * e * t / (1 + 2 * v * t)) / mpmath.sqrt(1 + 2 * v * t) for v, e in zip(w, d2, strict=True)
        )
        assert mpmath.almosteq(series(y) * y ** mpmath.mpf(1.5), transform, mpmath.mpf(10) ** -50)
        exact = [float(mpmath.log(c)) for c in mpmath.taylor(series, 0, 11)]
    np.testing.assert_allclose(logs, exact, rtol=1e-12, atol=1e-13)


def test_coefficients_add_up_to_one():
    form = QuadraticForm([0.5, 1.0, 1.7, 5.0], [1.0, -2.0, 0.5, 0.0])
    assert np.exp(ruben._coefficients(form, 1000)).sum() == pytest.approx(1, abs=1e-13)


@pytest.mark.parametrize(("n", "shift"), [(1, 0.0), (6, 0.0), (3, 1.5), (40, 1.0)])
def test_equal_weights_are_the_noncentral_chi_squared(n, shift):
    form = QuadraticForm(np.full(n, 0.3), np.full(n, shift), 1.0)
    law = ncx2(n, n * shift**2) if shift else chi2(n)
    levels = 1 + 0.3 * law.mean() * np.array([0.1, 0.5, 1.0, 1.4])
    curve = ruben_tail(form, levels)
    expected = -law.logcdf((levels - 1) / 0.3)
    assert (curve.low <= expected * (1 + 1e-11)).all()
    assert (expected * (1 - 1e-11) <= curve.high).all()
    np.testing.assert_allclose(curve.nats, expected, rtol=1e-11)


def test_beyond_745_nats():
    """Where scipy's logarithm is minus infinity: thousands of nats, against an exact series with 50 digits."""
    n, shift2, level = 2000, 0.5, 4.0
    form = QuadraticForm(np.ones(n), np.full(n, math.sqrt(shift2)))
    assert ncx2.logcdf(level, n, n * shift2) == -math.inf
    with mpmath.workdps(50):
        half, z = mpmath.mpf(n * shift2) / 2, mpmath.mpf(level) / 2
        total = mpmath.mpf(0)
        for k in range(200):
            a = mpmath.mpf(n) / 2 + k
            poisson = mpmath.exp(k * mpmath.log(half) - half - mpmath.loggamma(k + 1))
            total += poisson * mpmath.gammainc(a, 0, z, regularized=True)
        exact = float(-mpmath.log(total))
    assert exact > 5000
    curve = ruben_tail(form, [level])
    assert curve.low[0] <= exact <= curve.high[0]
    assert curve.high[0] - curve.low[0] < 1e-8
    assert quadratic_tail(form, [level]).nats[0] == pytest.approx(exact, rel=1e-13)


def test_coefficients_of_a_thousand_decades():
    """The first is exp(-3200): they are scaled on the way up, and come out at the noncentral law again."""
    form = QuadraticForm([1.0, 1.3], [80.0, 0.0])
    levels = np.array([5000.0, 6000.0, 6400.0])
    curve, truth = ruben_tail(form, levels, terms=8192), quadratic_tail(form, levels).nats
    assert ((curve.low <= truth) & (truth <= curve.high)).all()
    assert (curve.high - curve.low < 1e-7).all()


@pytest.mark.parametrize("terms", [4, 32, 300])
def test_a_truncated_sum_still_encloses(terms):
    form = QuadraticForm([1.0, 3.0, 20.0], [1.0, 0.0, 2.0])
    levels = form.mean * np.array([1e-4, 0.01, 0.2, 1.0, 2.0])
    truth, curve = quadratic_tail(form, levels).nats, ruben_tail(form, levels, terms=terms)
    assert (curve.low <= truth).all()
    assert (truth <= curve.high).all()
    resolved = ~np.isnan(curve.nats)
    assert bool(curve.warnings) == (not resolved.all())
    np.testing.assert_allclose(curve.nats[resolved], truth[resolved], atol=1e-6)
    if terms == 4:
        assert resolved[0]
        assert not resolved[3]


def test_ill_conditioned_weights_are_refused_in_words():
    curve = ruben_tail(QuadraticForm([1.0, 1e-8], [0.0, 0.0]), [1.0], terms=64)
    assert np.isnan(curve.nats[0])
    assert curve.low[0] <= quadratic_tail(QuadraticForm([1.0, 1e-8], [0.0, 0.0]), [1.0]).nats[0] <= curve.high[0]
    assert "1e+08" in curve.warnings[0]
    with pytest.raises(ValueError, match="must have a weight"):
        ruben_tail(QuadraticForm([], []), [1.0])
    with pytest.raises(ValueError, match="terms must be"):
        ruben_tail(QuadraticForm([1.0], [0.0]), [1.0], terms=0)
    assert np.isinf(ruben_tail(QuadraticForm([1.0], [0.0], 2.0), [1.0, 2.0]).nats).all()


def test_a_forgotten_noncentrality_is_caught():
    form = QuadraticForm([1.0, 3.0], [1.0, 0.5])
    central = ruben_tail(QuadraticForm([1.0, 3.0], [0.0, 0.0]), [0.5])
    assert not central.low[0] <= quadratic_tail(form, [0.5]).nats[0] <= central.high[0]
