"""A mixture with generated examples: closed forms against simulation, and where they are extreme."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.worlds import AugmentedMixture


@pytest.mark.parametrize(
    ("d", "m", "gamma"), [(1, 40, 0.0), (1, 40, 1.0), (50, 10, 0.0), (50, 10, 1.0), (50, 10, 10.0)]
)
def test_closed_forms_are_means_of_simulations(d, m, gamma):
    world, rng = AugmentedMixture(d, m, gamma), np.random.default_rng(int(d + m + gamma))
    drawn = [world.draw(rng) for _ in range(3000)]
    for name in ("test", "train"):
        values = np.array([getattr(each, name) for each in drawn])
        assert abs(values.mean() - getattr(world, name)) <= 4.5 * values.std() / math.sqrt(3000), name


def test_known_values():
    found = [AugmentedMixture(*parts).test for parts in ((1, 40, 0.0), (1, 40, 1.0), (50, 10, 1.0), (50, 10, 10.0))]
    np.testing.assert_allclose(found, [0.5125, 0.515625, 28.125, 27.7066], atol=1e-4)


@given(st.integers(1, 100), st.integers(1, 50), st.integers(1, 20))
def test_the_gap_halves_and_the_test_error_never_improves(d, m, k):
    without, here, more = (AugmentedMixture(d, m, gamma) for gamma in (0.0, float(k), float(k + 1)))
    assert without.gap == pytest.approx(d / m)
    assert d / (2 * m) < more.gap < here.gap
    assert AugmentedMixture(d, m, 1e4).gap == pytest.approx(d / (2 * m), rel=1e-3)
    assert here.gap <= without.gap + 1e-12  # equal at as many generated examples as real ones
    assert here.test >= without.test
    assert here.test <= AugmentedMixture(d, m, 1.0).test + 1e-12


def test_bad_problems_are_refused():
    for wrong in ((0, 1, 0.0), (1, 0, 0.0), (1, 1, -1.0)):
        with pytest.raises(ValueError, match="must"):
            AugmentedMixture(*wrong)
