"""Stiffness of linear regression against arbitrary precision, recursions, limits and simulation."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.worlds import GaussianRegression, cosine_stiffness, sign_stiffness


def over_the_sphere(function, d):
    """Mean of a function of t = abs(cos(x, u)), by quadrature over its angle in arbitrary precision."""
    weight = lambda psi: mpmath.cos(psi) ** (d - 2)  # noqa: E731
    points = [0, min(mpmath.pi / 2, 3 / mpmath.sqrt(d)), mpmath.pi / 2]
    total = mpmath.quad(lambda psi: function(mpmath.sin(psi)) * weight(psi), points)
    return total / mpmath.quad(weight, points)


@pytest.mark.parametrize("d", [2, 3, 7, 50])
@pytest.mark.parametrize("tau", [0.0, 0.1, 1.0, 10.0])
def test_both_are_integrals_over_the_sphere(d, tau):
    """P(abs(e) < abs(u . x)) given the direction of x is an incomplete beta function; the rest are angles."""

    def certain(t):
        z = t**2 / (tau**2 + t**2) if tau else 1
        return mpmath.betainc(mpmath.mpf(1) / 2, mpmath.mpf(d) / 2, 0, z, regularized=True)

    rho = 1 / mpmath.sqrt(1 + mpmath.mpf(tau) ** 2)
    cosine = over_the_sphere(lambda t: t * certain(t), d) ** 2
    sign = over_the_sphere(lambda t: 2 / mpmath.pi * mpmath.asin(rho * t) * certain(t), d)
    assert cosine_stiffness(d, tau) == pytest.approx(float(cosine), rel=1e-10)
    assert sign_stiffness(d, tau) == pytest.approx(float(sign), rel=1e-10)


@pytest.mark.parametrize("d", [*range(1, 12), 100, 1001, 20_000])
def test_without_noise(d):
    expected = (mpmath.gamma(mpmath.mpf(d) / 2) / (mpmath.sqrt(mpmath.pi) * mpmath.gamma((mpmath.mpf(d) + 1) / 2))) ** 2
    assert cosine_stiffness(d) == pytest.approx(float(expected), rel=1e-10)
    # Integration by parts: e_n = e_(n-2) - 1 / (n^2 W_n) with W_n = int cos^n.
    if d == 1:
        assert sign_stiffness(1) == 1
        return
    with mpmath.workdps(40):
        e, n = (mpmath.pi / 4, 0) if d % 2 == 0 else (mpmath.pi / 2 - 1, 1)
        w = mpmath.pi / 2 if n == 0 else mpmath.mpf(1)
        while n < d - 2:
            n += 2
            w *= mpmath.mpf(n - 1) / n
            e -= 1 / (n**2 * w)
        assert sign_stiffness(d) == pytest.approx(float(2 / mpmath.pi * e), rel=1e-11)


def test_figures_and_limits():
    assert cosine_stiffness(2) == pytest.approx(4 / math.pi**2, rel=1e-12)
    assert sign_stiffness(2) == pytest.approx(0.5, rel=1e-12)
    assert sign_stiffness(3) == pytest.approx(1 - 2 / math.pi, rel=1e-12)
    assert cosine_stiffness(10**6) * 10**6 == pytest.approx(2 / math.pi, rel=1e-5)
    assert sign_stiffness(10**6) * 10**3 == pytest.approx((2 / math.pi) ** 1.5, rel=1e-5)
    assert cosine_stiffness(4, math.inf) == 0
    assert sign_stiffness(4, math.inf) == 0
    for tau in (0.3, 1.0, 5.0):  # in one dimension both are the square of Sheppard's angle
        angle = 2 / math.pi * math.asin(1 / math.hypot(1, tau))
        assert cosine_stiffness(1, tau) == pytest.approx(angle**2, rel=1e-12)
        assert sign_stiffness(1, tau) == pytest.approx(angle**2, rel=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.floats(0, 20), st.floats(0, 20))
def test_noise_and_dimension_lower_it(d, tau, more):
    for stiffness in (cosine_stiffness, sign_stiffness):
        value = stiffness(d, tau)
        assert 0 <= value <= 1 + 1e-14
        assert stiffness(d, tau + more) <= value * (1 + 1e-9)
        assert stiffness(d + 1, tau) <= value * (1 + 1e-9)
    assert cosine_stiffness(d, tau) <= sign_stiffness(d, tau) * (1 + 1e-9)


@pytest.mark.parametrize(("d", "tau"), [(1, 0.5), (3, 0.0), (5, 1.0), (50, 0.5)])
def test_simulated(d, tau):
    u = np.zeros(d)
    u[-1] = 2.0
    world, generator = GaussianRegression(u, np.zeros(d), 2.0 * tau), np.random.default_rng(4)
    first, second = world.sample(generator, 200_000), world.sample(generator, 200_000)
    inner = np.einsum("ij,ij->i", first, second)
    cosines = inner / np.sqrt(np.square(first).sum(axis=1) * np.square(second).sum(axis=1))
    assert cosines.mean() == pytest.approx(cosine_stiffness(d, tau), abs=4 * cosines.std() / math.sqrt(len(inner)))
    assert np.sign(inner).mean() == pytest.approx(sign_stiffness(d, tau), abs=4 / math.sqrt(len(inner)))


@pytest.mark.parametrize("stiffness", [cosine_stiffness, sign_stiffness])
def test_what_cannot_be(stiffness):
    with pytest.raises(ValueError, match="dimension must be a whole number of at least 1"):
        stiffness(0)
    with pytest.raises(ValueError, match="noise_ratio must be non-negative"):
        stiffness(2, -1.0)
