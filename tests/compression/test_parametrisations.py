"""Parametrisations: rebuilt from their description, linear, differentiable, of full rank, the same on every machine."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from genbounds.compression.parametrisations import KINDS, FullSpace, RandomSubspace, rebuild, unit


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(16, 3)).eval()


@pytest.fixture(scope="module")
def start(model):
    return dict(model.named_parameters())


def maps(start):
    return [FullSpace(start), RandomSubspace(start, 1), RandomSubspace(start, 20, 3), RandomSubspace(start, 99, 1)]


def flat(weights):
    return torch.cat([value.detach().flatten() for value in weights.values()])


@pytest.mark.parametrize("number", range(4))
def test_a_description_is_enough(start, number):
    mapped = maps(start)[number]
    again = rebuild(mapped.describe(), start)
    z = torch.randn(mapped.dimension, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert again.dimension == mapped.dimension
    assert mapped.describe()["kind"] in KINDS
    assert all(isinstance(value, int) for key, value in mapped.describe().items() if key != "kind")
    assert torch.equal(flat(mapped.weights(z)), flat(again.weights(z)))
    assert torch.equal(mapped.initial, again.initial)


@pytest.mark.parametrize("number", range(4))
def test_the_network_starts_where_it_started(model, start, number):
    mapped = maps(start)[number]
    found = mapped.weights(mapped.initial)
    assert found.keys() == start.keys()
    assert all(found[name].shape == value.shape for name, value in start.items())
    inputs = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(functional_call(model, found, (inputs,)), model(inputs), atol=1e-6)


@pytest.mark.parametrize("number", range(4))
def test_the_derivative_is_the_map_itself(start, number):
    mapped = maps(start)[number]
    generator = torch.Generator().manual_seed(3)
    z, direction = (torch.randn(mapped.dimension, generator=generator, dtype=torch.float64) for _ in range(2))
    jacobian = torch.func.jacrev(lambda z: torch.cat([v.flatten() for v in mapped.weights(z).values()]))(z)
    assert torch.allclose(jacobian @ direction, flat(mapped.weights(z + direction)) - flat(mapped.weights(z)))
    assert torch.linalg.matrix_rank(jacobian) == mapped.dimension


def test_a_subspace_moves_all_weights_by_about_their_unit(start):
    mapped = RandomSubspace(start, 60, seed=5)
    z = torch.randn(60, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    for name, value in mapped.weights(z).items():
        moves = (value - start[name].double()).detach() / unit(start[name])
        if moves.numel() > 10:
            assert 0.5 < float(moves.square().mean().sqrt()) < 1.6


def test_the_random_signs_are_those_of_any_machine(start):
    """NumPy keeps the raw bits of PCG64. Five coordinates: factors of 10 x 3 and 2 x 10 signs, one word each."""
    left, right = (int(word) for word in np.random.PCG64(7).random_raw(2))
    assert (left, right) == (11_530_976_094_092_348_043, 16_550_673_365_885_938_325)
    mapped = RandomSubspace(start, 5, seed=7)
    one = torch.zeros(5, dtype=torch.float64)
    still, moved = mapped.weights(one), mapped.weights(one + torch.eye(5, dtype=torch.float64)[0])
    change = (moved["0.weight"] - still["0.weight"]).flatten()[:10] / unit(start["0.weight"]) * 5**0.5
    first = 2 * (left & 1) - 1
    assert change.tolist() == pytest.approx([first * (2 * (right >> place & 1) - 1) for place in range(10)])


@pytest.mark.parametrize("seed", [0, 1])
def test_another_seed_is_another_subspace(start, seed):
    z = torch.ones(20)
    assert not torch.equal(
        flat(RandomSubspace(start, 20, seed).weights(z)), flat(RandomSubspace(start, 20, 2).weights(z))
    )


def test_units_are_powers_of_two():
    assert unit(torch.full((3, 3), 0.3)) == 0.25
    assert unit(torch.zeros(4, 16)) == 0.25  # 1 / sqrt(fan-in)
    assert unit(torch.zeros(7)) == 1.0


def test_devices_and_types_follow_the_coordinates(start):
    for dtype in (torch.float64, torch.bfloat16, torch.float32):
        for mapped in maps(start):
            assert {value.dtype for value in mapped.weights(mapped.initial.to(dtype)).values()} == {dtype}


def test_what_cannot_be(start):
    with pytest.raises(ValueError, match="dimension must be at most the number of parameters, 99, got 100"):
        RandomSubspace(start, 100)
    with pytest.raises(ValueError, match="dimension must be"):
        RandomSubspace(start, 0)
    with pytest.raises(ValueError, match="seed must be"):
        RandomSubspace(start, 5, -1)
    with pytest.raises(ValueError, match="kind must be one of"):
        rebuild({"kind": "telepathy"}, start)
