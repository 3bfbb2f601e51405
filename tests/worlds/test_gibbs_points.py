"""The Gibbs algorithm that names a point: its closed forms, by enumeration and by draws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from genbounds.worlds import FiniteWorld, Gibbs, GibbsPoints, Learning

small = st.builds(GibbsPoints, st.integers(2, 6), st.floats(0.05, 6.0))


@given(small)
def test_it_is_the_gibbs_algorithm_on_points(world):
    """Against the enumeration of a finite world that knows nothing of this one."""
    k = world.points
    finite = Learning(FiniteWorld(np.full(k, 1 / k), 1 - np.eye(k)), Gibbs(world.inverse_temperature), n=1)
    for name in ("gap", "risk", "train_risk", "mutual_information", "lautum", "symmetrised_information"):
        assert getattr(world, name) == pytest.approx(float(getattr(finite, name)), rel=1e-9, abs=1e-14)
    assert world.gap == pytest.approx(float(finite.total_variations[0]), rel=1e-9)
    assert world.symmetrised_information == pytest.approx(world.mutual_information + world.lautum, rel=1e-9)


@pytest.mark.parametrize("points", [2, 3, 10, 10**6])
def test_sigma_is_the_smallest(points):
    """Kearns and Saul: the largest 2 ln E exp(-t (loss - mean)) / t^2, found by search."""
    world = GibbsPoints(points, 1.0)
    largest = minimize_scalar(
        lambda t: -2 * float(world.loss_cgf(t)) / t**2, bounds=(1e-2, 40), method="bounded", options={"xatol": 1e-9}
    )
    assert world.sigma**2 == pytest.approx(-largest.fun, rel=1e-4)
    rates = np.geomspace(1e-3, 1e3, 400)
    assert np.all(world.loss_cgf(rates) <= np.square(rates * world.sigma) / 2 + 1e-15)
    upper = np.log(1 / points * np.exp(-rates[:200]) + (1 - 1 / points)) + rates[:200] / points  # the other tail
    assert np.all(upper <= np.square(rates[:200] * world.sigma) / 2 + 1e-15)


def test_cumulants_by_hand():
    world = GibbsPoints(4, 1.0)
    for rate in (0.0, 0.3, 2.0):
        expected = math.log(0.25 * math.exp(rate * 0.75) + 0.75 * math.exp(-rate * 0.25))
        assert float(world.loss_cgf(rate)) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("points", [2, 10**6])
def test_cumulants_at_small_and_large_rates(points):
    world = GibbsPoints(points, 1.0)
    variance = (1 - 1 / points) / points
    assert float(world.loss_cgf(1e-6)) == pytest.approx(variance * 1e-12 / 2, rel=2e-6)
    assert float(world.loss_cgf(1e4)) == pytest.approx(1e4 * world.risk - math.log(points), rel=1e-12)
    around = world.loss_cgf([1 - 1e-9, 1 + 1e-9])
    assert around[1] == pytest.approx(around[0], rel=1e-7)


def test_draws():
    world = GibbsPoints(5, 1.5)
    gaps = world.simulate(np.random.default_rng(3), 40_000)
    assert abs(gaps.mean() - world.gap) < 4 * gaps.std() / math.sqrt(len(gaps))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 1.0), "points must be a whole number of at least 2, got 1"),
        ((3, 0.0), "inverse_temperature must be positive and finite, got 0.0"),
    ],
)
def test_parameters_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        GibbsPoints(*arguments)
