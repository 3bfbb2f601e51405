import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.rare_events.splitting.moves import Shape


def cloud(number, scales, seed=0):
    generator = torch.Generator().manual_seed(seed)
    dimension = len(scales)
    turn, _ = torch.linalg.qr(torch.randn(dimension, dimension, generator=generator, dtype=torch.float64))
    noise = torch.randn(number, dimension, generator=generator, dtype=torch.float64)
    return noise * torch.tensor(scales, dtype=torch.float64) @ turn.T, turn


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(1, 200), st.floats(1e-9, 1e3), st.integers(0, 99))
def test_moves_are_reversible_for_the_gaussian(dimension, number, step, seed):
    """x' = A x + B xi with A symmetric and A A^T + B B^T = I: (x, x') and (x', x) have one law."""
    states, _ = cloud(number, [10.0**-i for i in range(dimension)], seed)
    shape, unit = Shape.of_states(states), torch.eye(dimension, dtype=torch.float64)
    kept, fresh = shape.move(unit, 0 * unit, step), shape.move(0 * unit, unit, step)
    assert torch.allclose(kept, kept.T, atol=1e-12)
    assert torch.allclose(kept.T @ kept + fresh.T @ fresh, unit, atol=1e-12)


def test_the_longest_step_is_a_fresh_draw():
    shape = Shape.of_states(cloud(100, [1.0, 0.01])[0])
    noise = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = shape.move(torch.full((3, 2), 5.0, dtype=torch.float64), noise, shape.longest * (1 + 1e-12))
    assert torch.allclose(moved.norm(dim=1), noise.norm(dim=1), atol=1e-6)


def test_axes_of_a_cloud_are_found():
    states, turn = cloud(4000, [1.0, 0.1, 0.01])
    shape = Shape.of_states(states)
    assert torch.allclose(
        shape.scales.flip(0), torch.tensor([1.0, 0.1, 0.01], dtype=torch.float64), rtol=0.05, atol=0.01
    )
    assert torch.allclose((shape.basis.flip(1).T @ turn).abs(), torch.eye(3, dtype=torch.float64), atol=0.01)


def test_few_states_tell_coordinates_apart_only():
    states = cloud(59, [1.0, 0.1, 0.01])[0]
    assert Shape.of_states(states).basis is None
    assert Shape.of_states(torch.cat([states, states[:1]])).basis is not None
    assert Shape.of_states(torch.randn(30, 1, dtype=torch.float64)).basis is None


@pytest.mark.parametrize("number", [1, 2, 50])
def test_no_direction_is_closed(number):
    still = torch.ones(number, 3, dtype=torch.float64)
    assert Shape.of_states(still).scales.tolist() == [1.0, 1.0, 1.0]
    if number > 1:
        still[:, 0] = torch.arange(number)
        scales = Shape.of_states(still).scales
        assert scales.min() > 0
        assert float(scales.max()) >= float(still[:, 0].std()) / math.sqrt(2)
