import io
import math

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from genbounds.information.langevin.optimiser import Langevin, LangevinStep, _moved, langevin_noise_scale
from genbounds.models.randomness import normal_noise, stream
from genbounds.worlds import LangevinQuadratic


def network(dtype=torch.float64):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).to(dtype)


def run(model, optimizer, steps, start=0):
    inputs = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4)
    for step in range(start, start + steps):
        optimizer.zero_grad()
        (model(inputs * (1 + step)).square().mean()).backward()
        optimizer.step(batch_size=3)
    return torch.cat([value.detach().reshape(-1) for value in model.parameters()])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_step_is_the_formula(dtype):
    weight = torch.tensor([1.0, -2.0, 3.0], dtype=dtype, requires_grad=True)
    gradient = torch.tensor([0.5, 0.25, -4.0], dtype=dtype)
    weight.grad = gradient.clone()
    before = weight.detach().clone()
    optimizer = Langevin([weight], lr=0.1, inverse_temperature=5.0, seed=3, weight_decay=0.01)
    optimizer.step(batch_size=1)
    wide = torch.promote_types(dtype, torch.float32)
    noise = normal_noise(stream(3, "langevin noise", 0), dtype)(3)
    drift = 0.01 * before.to(wide) + gradient.to(wide)
    expected = before.to(wide) - 0.1 * drift + math.sqrt(2 * 0.1 / 5.0) * noise
    assert torch.equal(weight.detach(), expected.to(dtype))


def test_every_coordinate_gets_noise():
    """Also those of a parameter that no gradient reached."""
    used, unused = (torch.zeros(2000, dtype=torch.float64, requires_grad=True) for _ in range(2))
    used.grad = torch.zeros(2000, dtype=torch.float64)
    Langevin([used, unused], lr=0.1, noise_scale=0.3, seed=0).step(batch_size=1)
    for weight in (used, unused):
        assert weight.detach().std().item() == pytest.approx(0.3, rel=0.06)


def test_same_seed_same_weights_and_no_global_randomness():
    state = torch.get_rng_state()
    runs = []
    for seed in (1, 1, 2):
        model = network()
        runs.append(run(model, Langevin(model.parameters(), lr=0.1, inverse_temperature=50.0, seed=seed), 5))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert torch.equal(state, torch.get_rng_state())


def test_steps_have_noise_of_their_own():
    weight = torch.zeros(100, dtype=torch.float64, requires_grad=True)
    optimizer = Langevin([weight], lr=0.1, noise_scale=1.0, seed=0)
    path = []
    for _ in range(3):
        before = weight.detach().clone()
        optimizer.step(batch_size=1)
        path.append(weight.detach() - before)
    assert len({tuple(noise.tolist()) for noise in path}) == 3


def test_resumed_runs_go_on_with_the_same_bits():
    whole = network()
    expected = run(whole, Langevin(whole.parameters(), lr=0.1, inverse_temperature=50.0, seed=4), 7)
    first = network()
    optimizer = Langevin(first.parameters(), lr=0.1, inverse_temperature=50.0, seed=4)
    run(first, optimizer, 3)
    file = io.BytesIO()
    torch.save({"model": first.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    second = network()
    second.load_state_dict(saved["model"])
    resumed = Langevin(second.parameters(), lr=9.0, noise_scale=1.0, seed=9)
    resumed.load_state_dict(saved["optimizer"])
    assert torch.equal(run(second, resumed, 4, start=3), expected)
    assert len(resumed.record) == 7
    assert resumed.record[0] == LangevinStep(0.1, langevin_noise_scale(0.1, 50.0), 3, 0.0)


def test_schedules_are_recorded():
    weight = torch.zeros(2, requires_grad=True)
    optimizer = Langevin([weight], lr=0.4, inverse_temperature=10.0, seed=0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for beta in (10.0, 20.0, 40.0):
        optimizer.param_groups[0]["inverse_temperature"] = beta
        optimizer.step(batch_size=2)
        scheduler.step()
    assert [step.step_size for step in optimizer.record] == pytest.approx([0.4, 0.2, 0.1])
    scales = [math.sqrt(2 * 0.4 / 10), math.sqrt(2 * 0.2 / 20), math.sqrt(2 * 0.1 / 40)]
    assert [step.noise_scale for step in optimizer.record] == pytest.approx(scales)


def test_a_closure_is_called():
    weight = torch.ones(2, requires_grad=True)
    optimizer = Langevin([weight], lr=0.1, noise_scale=1e-6, seed=0)

    def closure():
        optimizer.zero_grad()
        loss = weight.square().sum() / 2
        loss.backward()
        return float(loss.detach())

    assert optimizer.step(closure, batch_size=1) == 1.0
    assert weight.detach().tolist() == pytest.approx([0.9, 0.9], abs=1e-4)


def test_the_law_of_the_weights_is_that_of_the_world():
    """Quadratic loss, many coordinates: mean 0 and the variance of the closed form, within 4 standard errors."""
    d = 20000
    world = LangevinQuadratic(d, 4, 1.5, step=0.1, inverse_temperature=30.0, steps=12)
    generator = torch.Generator().manual_seed(7)
    sample = 1.5 * torch.randn(4, d, generator=generator, dtype=torch.float64)
    weight = torch.zeros(d, dtype=torch.float64, requires_grad=True)
    optimizer = Langevin([weight], lr=0.1, inverse_temperature=30.0, seed=11)
    for _ in range(12):
        optimizer.zero_grad()
        (weight - sample).square().sum(dim=1).mean().backward()
        optimizer.step(batch_size=4)
    left = weight.detach() - sample.mean(dim=0) * world.weights.sum()
    assert abs(left.mean().item()) <= 4 * math.sqrt(world.noise_variance / d)
    assert left.var().item() == pytest.approx(world.noise_variance, abs=4 * world.noise_variance * math.sqrt(2 / d))


def test_everything_stays_on_one_device():
    # Fake CUDA tensors raise as soon as two devices meet.
    with FakeTensorMode(), torch.no_grad():
        weight = torch.empty(5, 3, device="cuda", dtype=torch.bfloat16)
        weight.grad = torch.empty_like(weight)
        bare = torch.empty(4, device="cuda", dtype=torch.bfloat16)
        for parameter in (weight, bare):
            moved = _moved(parameter, 0.1, 0.2, 0.3, lambda *shape: torch.empty(shape, device="cuda"))
            assert (moved.device.type, moved.dtype, moved.shape) == ("cuda", torch.bfloat16, parameter.shape)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0.1}, "inverse_temperature or noise_scale must be given"),
        ({"lr": 0.1, "inverse_temperature": 1.0, "noise_scale": 1.0}, "and not both"),
        ({"lr": 0.0, "noise_scale": 1.0}, "lr must be positive"),
        ({"lr": 0.1, "noise_scale": 0.0}, "noise_scale must be positive"),
        ({"lr": 0.1, "inverse_temperature": -1.0}, "inverse_temperature must be positive"),
        ({"lr": 0.1, "noise_scale": 1.0, "weight_decay": -1.0}, "weight_decay must be non-negative"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Langevin([torch.zeros(1, requires_grad=True)], seed=0, **arguments)


def test_refuses_frozen_parameters_and_empty_batches():
    """Torch's optimisers leave parameters without a gradient alone; noise would not."""
    frozen, trained = torch.ones(2), torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="params must require gradients"):
        Langevin([trained, frozen], lr=0.1, noise_scale=1.0, seed=0)
    optimizer = Langevin([trained], lr=0.1, noise_scale=1.0, seed=0)
    for size in (0, -3, 2.5):
        with pytest.raises(ValueError, match="batch_size must be"):
            optimizer.step(batch_size=size)
    assert torch.equal(trained, torch.ones(2))
    assert optimizer.record == []


def test_refuses_mixtures():
    weight = torch.zeros(1, requires_grad=True)
    with pytest.raises(ValueError, match="one floating dtype on one device"):
        Langevin([weight, torch.zeros(1, dtype=torch.float64, requires_grad=True)], lr=0.1, noise_scale=1.0, seed=0)
    with pytest.raises(ValueError, match="params must be one group"):
        Langevin(
            [{"params": [weight]}, {"params": [torch.zeros(1, requires_grad=True)], "lr": 1.0}],
            lr=0.1,
            noise_scale=1.0,
            seed=0,
        )
