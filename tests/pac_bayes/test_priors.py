"""The paid grid of prior scales: what it costs is what its docstring says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.numerics import kl_isotropic
from genbounds.pac_bayes.priors import scale_grid, snap


@given(st.integers(1, 10**7), st.floats(1e-4, 0.1), st.floats(0.2, 10))
def test_grid_is_geometric_and_covers_its_range(parameters, smallest, largest):
    grid = scale_grid(parameters, smallest, largest)
    assert grid[0] == pytest.approx(smallest)
    assert grid[-1] == pytest.approx(largest)
    steps = np.diff(2 * np.log(grid))
    assert steps.max() <= math.sqrt(8 / parameters) * (1 + 1e-6)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-5)


@pytest.mark.parametrize("parameters", [100, 10_000, 1_000_000])
def test_snapping_costs_at_most_half_a_nat(parameters):
    # Posterior N(m, s^2 I) with |m|^2 = d: the best prior variance is 1 + s^2; take the worst place between two points.
    grid = scale_grid(parameters)
    for lower, upper in zip(grid[10:-1:97], grid[11::97], strict=False):
        best = math.sqrt(lower * upper)
        s = best / 2
        shift = math.sqrt(best**2 - s**2)

        def kl(prior_scale, s=s, shift=shift):
            return float(kl_isotropic(np.full(parameters, shift), s, np.zeros(parameters), prior_scale))

        cost = min(kl(scale) for scale in snap(best**2, grid)) - kl(best)
        assert 0 <= cost <= 0.5 * (1 + 0.1 * math.sqrt(8 / parameters)) + 1e-6


@pytest.mark.parametrize("parameters", [1000, 10**6])
def test_no_other_spacing_costs_less(parameters):
    # Total cost of a grid with spacing h over the default range: d h^2 / 16 + ln(number of points).
    span = 2 * math.log(1.0 / 1e-3)

    def cost(h):
        return parameters * h * h / 16 + math.log(span / h)

    ours = span / (len(scale_grid(parameters)) - 1)
    assert all(cost(ours) <= cost(ours * factor) + 1e-3 for factor in (0.5, 0.8, 1.25, 2))


def test_neighbours():
    grid = np.array([0.1, 0.2, 0.4])
    assert snap(0.3**2, grid) == (0.2, 0.4)
    assert snap(0.01**2, grid) == (0.1, 0.1)
    assert snap(9.0, grid) == (0.4, 0.4)


@pytest.mark.parametrize("arguments", [(0,), (5, 0.0, 1.0), (5, 1.0, 0.5), (5, 0.1, math.inf)])
def test_impossible_grids_are_refused(arguments):
    with pytest.raises(ValueError, match="must"):
        scale_grid(*arguments)
