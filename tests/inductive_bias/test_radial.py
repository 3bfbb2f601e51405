import math

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import chi2, kstest, ncx2

from genbounds.inductive_bias.volume.radial import draw_radii, log_radial_mass, reach


def by_mpmath(size, square, b, radius):
    """The integral at 40 digits, in pieces around its largest value."""
    with mp.workdps(40):
        b, end = mp.mpf(b), mp.mpf(radius)
        peak = (mp.sqrt(b**2 + 4 * (size - 1)) - b) / 2
        top = min(peak, end)
        width = min(top, 1 / mp.sqrt(1 + (size - 1) / top**2), abs(top / (size - 1)) * 40 if end < peak else mp.inf)
        steps = [0.3, 1, 3, 6, 10, 15, 25, 40]
        ends = [top - k * width for k in reversed(steps)] + [top] + [top + k * width for k in steps]
        ends = (
            sorted({mp.mpf(0), end, *(p for p in ends if 0 < p < end)})
            if mp.isfinite(end)
            else [mp.mpf(0), *(p for p in ends if p > 0)]
        )
        height = (size - 1) * mp.log(top) - (top + b) ** 2 / 2

        def integrand(r):
            return mp.exp((size - 1) * mp.log(r) - (r + b) ** 2 / 2 - height) if r else mp.mpf(0)

        whole = mp.log(mp.quad(integrand, ends)) + height
        return float(whole - (mp.mpf(square) - b**2) / 2 - mp.mpf(size) / 2 * mp.log(2 * mp.pi))


@pytest.mark.parametrize("size", [2, 3, 10, 300, 10_000])
@pytest.mark.parametrize("b", [-40.0, 0.0, 0.7, 25.0])
@pytest.mark.parametrize("share", [1e-3, 0.5, 1.01, 3.0])
def test_against_forty_digits(size, b, share):
    radius = share * (math.sqrt(b * b + 4 * (size - 1)) - b) / 2
    square = b * b + 3.0
    expected = by_mpmath(size, square, b, radius)
    assert float(log_radial_mass(size, square, b, radius)) == pytest.approx(expected, rel=1e-13, abs=1e-11)


@pytest.mark.parametrize("size", [1, 2, 5, 100, 10_000, 10**7])
def test_around_the_origin_it_is_the_chi_squared_law(size):
    radius = np.sqrt(size) + np.array([-0.9, 0.0, 2.0])
    surface = math.log(2) + size / 2 * math.log(math.pi) - gammaln(size / 2)
    found = log_radial_mass(size, 0.0, 0.0, radius) + surface
    assert found == pytest.approx(chi2.logcdf(radius**2, size), rel=1e-8, abs=1e-8 * math.sqrt(size))
    assert float(log_radial_mass(size, 0.0, 0.0, np.inf)) == pytest.approx(-surface, rel=1e-12)


def test_one_dimension_is_a_difference_of_normal_probabilities():
    for b in (-30.0, -1.0, 0.0, 2.0, 30.0):
        with mp.workdps(500):
            truth = mp.log((mp.erfc(mp.mpf(b) / mp.sqrt(2)) - mp.erfc(mp.mpf(b + 1.5) / mp.sqrt(2))) / 2)
        assert float(log_radial_mass(1, b * b, b, 1.5)) == pytest.approx(float(truth), rel=1e-13)


def test_a_ball_off_centre_is_the_non_central_chi_squared_law():
    """In three dimensions the average over directions is a one-dimensional integral over the cosine."""
    for length, radius in ((0.5, 1.0), (3.0, 2.0), (6.0, 3.0)):
        cosine, weight = np.polynomial.legendre.leggauss(60)
        terms = log_radial_mass(3, length**2, length * cosine, radius)
        mass = 2 * math.pi * (weight * np.exp(terms)).sum()
        assert mass == pytest.approx(ncx2.cdf(radius**2, 3, length**2), rel=1e-10)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5000), st.floats(-100, 100), st.floats(0, 100), st.floats(1e-6, 1e3), st.floats(1, 10))
def test_grows_with_the_radius_and_stops_at_the_reach(size, b, across, radius, factor):
    square = b * b + across
    small, large, whole, last = log_radial_mass(
        size, square, b, [radius, radius * factor, np.inf, float(reach(size, b))]
    )
    assert small <= large + 1e-9 * abs(large)
    assert large <= whole + 1e-9 * abs(whole)
    assert last == pytest.approx(whole, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("size", [1, 2, 40, 5000])
@pytest.mark.parametrize("b", [-30.0, 0.0, 4.0])
@pytest.mark.parametrize("share", [0.2, 1.02, np.inf])
def test_radii_are_drawn_from_the_mass_that_they_bound(size, b, share):
    peak = (math.sqrt(b * b + 4 * (size - 1)) - b) / 2
    end = share * max(peak, 0.5)
    drawn = draw_radii(size, np.full(2000, b), end, torch.Generator().manual_seed(0))
    assert ((drawn > 0) & (drawn <= end)).all()

    def cumulative(radius):
        return np.exp(log_radial_mass(size, b * b, b, radius) - log_radial_mass(size, b * b, b, end))

    assert kstest(drawn, cumulative).pvalue > 1e-4


def test_radii_of_many_rays_at_once_and_of_none():
    ends = np.array([[0.0, 1.0], [2.0, np.inf], [0.0, 0.0]])
    drawn = draw_radii(3, np.array([[-1.0], [2.0], [0.0]]), ends, torch.Generator().manual_seed(0))
    assert drawn.shape == ends.shape
    assert ((drawn > 0) == (ends > 0)).all()
    assert (drawn <= ends).all()


def test_nothing_lies_within_radius_zero():
    assert float(log_radial_mass(4, 1.0, 0.5, 0.0)) == -np.inf


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((0, 1.0, 0.0, 1.0), "dimension"), ((2, 1.0, 1.1, 1.0), "projection"), ((2, 1.0, 0.0, -1.0), "radius")],
)
def test_what_is_out_of_range_is_refused(arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        log_radial_mass(*arguments)
