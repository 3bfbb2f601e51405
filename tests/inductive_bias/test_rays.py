import numpy as np
import pytest
import torch

from genbounds.inductive_bias.volume.rays import exit_radii


def along(profile, levels, *, start=1.0, limit=100.0, tolerance=1e-9):
    """Exit radii of one ray in the plane on which the cost is a function of the radius."""
    calls = []

    def cost(points):
        calls.append(len(points))
        return profile(points.norm(dim=1))

    directions = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    anchor = torch.zeros(2, dtype=torch.float64)
    levels = np.asarray(levels)
    radii, back, points = exit_radii(
        cost, anchor, directions, levels, np.array([start]), np.array([limit]), np.array([tolerance])
    )
    assert points == sum(calls)
    return radii[0], bool(back[0]), points


@pytest.mark.parametrize("start", [1e-5, 0.3, 40.0])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 6.0])
def test_radii_of_powers(start, power):
    levels = np.array([0.01, 1.0, 7.0])
    radii, back, points = along(lambda r: r**power, levels, start=start, limit=1e6)
    truth = levels ** (1 / power)
    assert radii == pytest.approx(truth, rel=1e-8)
    assert (radii <= truth * (1 + 1e-15)).all()
    assert not back
    assert points < 200


def test_a_step_and_an_infinite_cost_are_found_by_halving():
    radii, _, _ = along(lambda r: torch.where(r < 2.5, 0.0, torch.inf), [0.5])
    assert radii == pytest.approx([2.5], rel=1e-8)
    radii, _, _ = along(lambda r: torch.where(r < 2.5, 0.0, 1.0), [0.5, 0.7])
    assert radii == pytest.approx([2.5, 2.5], rel=1e-8)


def test_a_ray_that_never_leaves_is_infinite():
    radii, back, _ = along(lambda r: r / (1 + r), [0.5, 2.0])
    assert radii[0] == pytest.approx(1.0)
    assert radii[1] == np.inf
    assert not back


@pytest.mark.parametrize("start", [0.2, 1.5])
def test_the_first_exit_counts_where_a_ray_comes_back(start):
    """Above the level between 1 and 2, below it up to 5."""
    radii, back, _ = along(lambda r: torch.where((r > 1) & (r < 2) | (r > 5), 1.0 + 0 * r, 0 * r), [0.5], start=start)
    assert radii == pytest.approx([1.0], rel=1e-8)
    radii, back, _ = along(lambda r: 3 * torch.sin(r) + r, [2.0, 8.0], start=start)
    assert radii[0] < 1
    assert back


def test_an_anchor_on_the_edge_has_radius_zero():
    radii, _, _ = along(lambda r: torch.where(r > 0, 1.0, 0.0), [0.5])
    assert radii.tolist() == [0.0]


def test_nan_is_refused():
    with pytest.raises(ValueError, match="cost must be a number"):
        along(lambda r: r * torch.nan, [0.5])
