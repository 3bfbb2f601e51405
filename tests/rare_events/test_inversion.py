"""Contour inversion: against ball arithmetic along another contour, and closed forms at any depth."""

import math

import flint
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_ndtr
from scipy.stats import chi2, ncx2

from genbounds.rare_events.quadratic import inversion
from genbounds.rare_events.quadratic.inversion import log_tail


def reference(w, d, x, upper):
    """ln P(X <= x), or of the other tail, enclosed: the integral along two rays in ball arithmetic with 40 digits."""
    flint.ctx.dps = 40
    w, squares, x = [flint.arb(v) for v in w], [flint.arb(v) ** 2 for v in d], flint.arb(x)

    def slope(t):
        return x - sum(v / (1 + 2 * v * t) * (1 + e / (1 + 2 * v * t)) for v, e in zip(w, squares, strict=True)) - 1 / t

    low, high = (-0.5 / float(max(w)) * (1 - 1e-13), -1e-12) if upper else (-600.0, 600.0)
    for _ in range(120):
        middle = (low + high) / 2
        rising = slope(flint.arb(middle if upper else math.exp(middle))) > 0
        low, high = (low, middle) if rising else (middle, high)
    t = flint.arb(low if upper else math.exp(low))
    size, sign = abs(t), -1 if upper else 1
    p, b = [2 * v * size / (1 + 2 * v * t) for v in w], [1 / (1 + 2 * v * t) for v in w]
    ray = flint.acb(0, flint.arb(110) / 180 * flint.arb.pi()).exp()

    def integrand(v, analytic):
        z = v.sinh() * ray
        total = size * x * z - (1 + sign * z).log(analytic=analytic)
        for q, c, e in zip(p, b, squares, strict=True):
            total -= (1 + q * z).log(analytic=analytic) / 2 + e * c / 2 * (q * z / (1 + q * z))
        return total.exp() * v.cosh() * ray

    # Beyond the end the modulus is below exp(-130): each shifted term is at most 1.1 e c.
    decay = float(size * x) * abs(math.cos(math.radians(110)))
    end = math.asinh((130 + 1.1 * float(sum(e * c for e, c in zip(squares, b, strict=True)))) / decay)
    whole = flint.acb.integral(integrand, 0, end, rel_tol=flint.arb(10) ** -25, abs_tol=flint.arb(10) ** -25)
    base = t * x + sum((c.log() - e * (1 - c)) / 2 for e, c in zip(squares, b, strict=True))
    answer = base + (whole.imag / flint.arb.pi()).log()
    assert float(answer.rad()) < 1e-13 * max(1.0, abs(float(answer.mid())))
    return float(answer.mid())


def spectrum(generator, most=12):
    """Weights over up to 12 decades with shifts up to about 100, the largest weight 1."""
    n = int(generator.integers(1, most))
    w = 10 ** (-generator.choice([0, 1, 3, 12]) * generator.uniform(size=n))
    return w / w.max(), generator.normal(size=n) * generator.choice([0, 0.3, 3, 30])


@pytest.mark.parametrize("seed", range(24))
def test_against_ball_arithmetic(seed):
    generator = np.random.default_rng(seed)
    w, d = spectrum(generator)
    mean, spread = (w * (1 + d**2)).sum(), math.sqrt((2 * w**2 * (1 + 2 * d**2)).sum())
    upper = seed % 3 == 0
    x = mean + spread * 10 ** generator.uniform(-3, 1.5) if upper else mean * 10 ** -generator.uniform(0, 10)
    value, error = log_tail(w, d**2, np.array([x]), upper=upper)
    assert abs(value[0] - reference(w, d, x, upper)) <= error[0] <= 1e-10 * max(1, abs(value[0]))


def pairs(rates, x, upper):
    """ln of a tail of sum_j v_j E_j with exponential E_j of mean 2, each weight twice: by partial fractions."""
    with mpmath.workdps(400):
        v = [mpmath.mpf(float(r)) for r in rates]
        x = mpmath.mpf(float(x))
        parts = [mpmath.fprod(a / (a - c) for c in v if c != a) for a in v]
        above = sum(k * mpmath.exp(-x / (2 * a)) for k, a in zip(parts, v, strict=True))
        return float(mpmath.log(above if upper else 1 - above))


@given(
    st.lists(st.floats(-12, 0), min_size=1, max_size=6, unique_by=lambda v: round(v, 2)),
    st.floats(-14, 2),
)
@settings(deadline=None, max_examples=60)
def test_doubled_weights_over_twelve_decades(exponents, depth):
    rates = 10.0 ** (np.array(exponents) - max(exponents))
    upper, x = depth >= 0, 2 * rates.sum() * 10.0**depth
    value, error = log_tail(np.repeat(rates, 2), np.zeros(2 * len(rates)), np.array([x]), upper=upper)
    assert abs(value[0] - pairs(rates, x, upper)) <= error[0] + 1e-15 * abs(value[0])
    assert error[0] <= 1e-11 * max(1, abs(value[0]))


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000, 10_000])
def test_central_chi_squared_at_any_depth(n):
    ratio = np.array([1e-200, 1e-30, 1e-3, 0.1, 0.5, 0.9, 0.999])
    value, error = log_tail(np.ones(n), np.zeros(n), n * ratio, upper=False)
    with mpmath.workdps(40):
        exact = []
        for x in n * ratio:
            a, z = mpmath.mpf(n) / 2, mpmath.mpf(float(x)) / 2
            series = mpmath.hyp1f1(1, a + 1, z)
            exact.append(float(a * mpmath.log(z) - z - mpmath.loggamma(a + 1) + mpmath.log(series)))
    assert (np.abs(value - exact) <= error).all()
    assert (error <= 1e-11 * np.maximum(1, np.abs(value))).all()
    assert n < 10_000 or value[0] < -1e6


@pytest.mark.parametrize("d", [0.0, 0.3, 5.0, 100.0, 1e4])
def test_one_dimension_is_the_normal_law(d):
    roots = np.concatenate([d * np.array([1e-6, 0.1, 0.9]), [max(d - 1, 1e-3), d + 1e-3]])
    roots = np.sort(roots[roots > 0])
    roots = roots[roots**2 < 1 + d**2]
    value, error = log_tail(np.ones(1), np.array([d**2]), roots**2, upper=False)
    exact = []
    for root in roots:  # P(-root < z + d < root)
        with mpmath.workdps(50):
            exact_root = mpmath.sqrt(mpmath.mpf(float(root**2)))
            inside = mpmath.ncdf(exact_root - d) - mpmath.ncdf(-exact_root - d)
            exact.append(float(mpmath.log(inside)))
    assert (np.abs(value - exact) <= error + 1e-15 * np.abs(value)).all()
    beyond = d + np.array([1.0, 3.0, 30.0])
    value, error = log_tail(np.ones(1), np.array([d**2]), beyond**2, upper=True)
    exact = np.logaddexp(log_ndtr(d - beyond), log_ndtr(-d - beyond))
    assert (np.abs(value - exact) <= error + 1e-11 * np.abs(exact)).all()


@pytest.mark.parametrize(("n", "d"), [(1, 0.0), (4, 0.0), (7, 2.0), (50, 0.7)])
def test_within_reach_of_scipy(n, d):
    law = ncx2(n, n * d * d) if d else chi2(n)
    x = law.mean() * np.array([0.2, 0.7, 0.99])
    np.testing.assert_allclose(log_tail(np.ones(n), np.full(n, d * d), x, upper=False)[0], law.logcdf(x), rtol=1e-10)
    x = law.mean() * np.array([1.0, 1.5, 4.0])
    np.testing.assert_allclose(log_tail(np.ones(n), np.full(n, d * d), x, upper=True)[0], law.logsf(x), rtol=1e-10)


@pytest.mark.parametrize("upper", [False, True])
def test_the_contour_does_not_matter(monkeypatch, upper):
    """Contours that run off at other angles give the same number: up to 10,000 weights and a noncentrality of 10^8."""
    generator = np.random.default_rng(3)
    for n, shift in [(1, 0.1), (30, 10.0), (1000, 1.0), (10_000, 100.0)]:
        w, d = 10.0 ** -generator.uniform(0, 12, n), generator.normal(size=n) * shift
        w /= w.max()
        mean, spread = (w * (1 + d**2)).sum(), math.sqrt((2 * w**2 * (1 + 2 * d**2)).sum())
        x = mean + spread * np.array([0.01, 30.0]) if upper else mean * np.array([1e-9, 0.3, 0.999])
        value, error = log_tail(w, d**2, x, upper=upper)
        monkeypatch.setattr(inversion, "BEND", 0.35)
        other, more = log_tail(w, d**2, x, upper=upper)
        monkeypatch.undo()
        assert (np.abs(value - other) <= error + more).all()
        assert (np.abs(value - other) <= 1e-10 * np.maximum(1, np.abs(value))).all()


def test_a_straight_contour_would_fail(monkeypatch):
    """With one direction the integrand falls off too slowly along a vertical line: bending it is not decoration."""
    exact = chi2(1).logcdf(0.1)
    assert log_tail(np.ones(1), np.zeros(1), np.array([0.1]), upper=False)[0][0] == pytest.approx(exact, abs=1e-13)
    monkeypatch.setattr(inversion, "BEND", 0.02)
    value, error = log_tail(np.ones(1), np.zeros(1), np.array([0.1]), upper=False)
    assert abs(value[0] - exact) > 1e-6 or error[0] > 1e-6


def test_what_is_cut_off_is_in_the_error(monkeypatch):
    w, d2, x = np.array([1.0, 0.3, 0.01]), np.array([0.0, 4.0, 1.0]), np.array([1e-6, 0.1, 2.0])
    exact = log_tail(w, d2, x, upper=False)[0]
    monkeypatch.setattr(inversion, "_NEGLIGIBLE", -8.0)
    value, error = log_tail(w, d2, x, upper=False)
    assert (np.abs(value - exact) > 1e-9).any()
    assert (np.abs(value - exact) <= error).all()


@pytest.mark.parametrize("squares", [[1e32], [1e34], [2.5e32, 3.4e33, 5.7e33]])
@pytest.mark.parametrize("upper", [False, True])
def test_without_digits_nothing_is_claimed(squares, upper):
    """Noncentralities at which the integral is noise: a logarithm of a probability, with an error that says so."""
    squares = np.array(squares)
    length = math.sqrt(squares.sum())
    x = np.square(length + np.array([3.0, 30.0, 1e5, 1e9]) * (1 if upper else -1))
    value, error = log_tail(np.ones(len(squares)), squares, x, upper=upper)
    assert (value < 0).all()
    assert (error > 10).all()
    assert not np.isnan(error).any()
