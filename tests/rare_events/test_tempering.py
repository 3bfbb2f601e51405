"""Temperatures of a pilot, and the resampling of populations."""

import math

import numpy as np
import pytest
import torch

from genbounds.rare_events.markov_chains.hamiltonian import Points
from genbounds.rare_events.tempering import populations as tempering
from genbounds.rare_events.tempering.populations import Populations, Task

DOUBLE = torch.float64


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def square(z):
    return (z**2).mean(1)


def populations(levels, losses=(square,), limit=math.inf, energies=None, d=6):
    task = Task(energies or losses, losses, limit, np.array(levels))
    return Populations(task, d, 4, 16, 8, torch.device("cpu"), DOUBLE, False)


def test_the_path_is_cooled_until_the_lowest_level_is_common():
    found = populations([0.05, 0.5]).pilot(generator(), 0.9, 1000)
    coldness = np.array([float(rung.coldness[0]) for rung in found.rungs])
    assert coldness[0] == 0
    assert (np.diff(coldness) > 0).all()
    assert found.reached
    assert 0.5 < found.acceptance < 0.98
    # At inverse temperature b the mean of the energy is 1 / (1 + 2 b / d).
    assert 0.03 < 1 / (1 + coldness[-1] / 3) < 0.055
    assert found.weights.sum(1) == pytest.approx([1, 1])
    assert (found.weights @ coldness)[0] > (found.weights @ coldness)[1]
    finer = populations([0.05, 0.5]).pilot(generator(), 0.99, 1000)
    # The number of temperatures goes like (1 / overlap - 1)^(-1/2), which is 3.3 times more.
    assert 2.6 < (len(finer.rungs) - 1) / (len(found.rungs) - 1) < 4.2


def test_the_rise_leaves_the_share_of_the_chains_effective():
    energy = torch.rand(500, dtype=DOUBLE, generator=generator()) * 1e6 + 3e8
    for overlap in (0.5, 0.9, 0.999):
        rise = tempering._rise(energy, overlap)
        weights = (-rise * (energy - energy.min())).exp()
        assert float(weights.sum() ** 2 / (weights**2).sum()) / 500 == pytest.approx(overlap, rel=1e-6)
    assert tempering._rise(torch.full((9,), 2.0, dtype=DOUBLE), 0.9) is None
    assert tempering._rise(torch.full((9,), math.inf, dtype=DOUBLE), 0.9) is None


def test_offspring_are_proportional_to_weights():
    weights = torch.tensor([[0.5, 0.3, 0.2, 0.0], [1.0, 1.0, 1.0, 1.0]], dtype=DOUBLE)
    stream, total = generator(), torch.zeros(2, 4, dtype=DOUBLE)
    for _ in range(4000):
        drawn = tempering._offspring((weights * 7).log() - 900, stream)
        counts = torch.stack([torch.bincount(row, minlength=4) for row in drawn]).double()
        expected = 4 * weights / weights.sum(1, keepdim=True)
        assert ((counts - expected).abs() < 1).all()
        total += counts
    torch.testing.assert_close(total / 4000, expected, atol=0.03, rtol=0)


def test_a_population_keeps_its_mean_weight_when_resampled():
    z = torch.arange(8.0, dtype=DOUBLE)[:, None]
    points = Points(z, z.T, z[None])
    logs = torch.tensor([[0.0, -50.0, -50.0, -1.0], [0.0, -0.1, 0.1, 0.0]], dtype=DOUBLE)
    new, moved = tempering._resampled(logs, points, generator())
    torch.testing.assert_close(torch.logsumexp(new, 1), torch.logsumexp(logs, 1))
    assert len(new[0].unique()) == 1
    assert set(moved.z[:4, 0].tolist()) == {0.0, 3.0}
    assert torch.equal(new[1], logs[1])  # evenly weighed: left alone
    assert torch.equal(moved.z[4:], z[4:])


def test_what_cannot_be_reached_ends_at_the_limit_of_temperatures():
    found = populations([-1.0, 2.0]).pilot(generator(), 0.9, 12)
    assert not found.reached
    assert len(found.rungs) == 13
    assert found.weights[0].tolist() == [0.0] * 12 + [1.0]


def test_the_condition_is_met_before_the_level():
    def first(z):
        return (z[:, :3] ** 2).mean(1)

    def second(z):
        return (z[:, 3:] ** 2).mean(1)

    found = populations([0.1], (first, second), 0.05).pilot(generator(), 0.9, 1000)
    active = [len(rung.coldness) for rung in found.rungs]
    assert active == sorted(active)
    assert set(active) == {1, 2}
    assert found.reached
    assert found.weights.shape == (2, len(active))


def test_a_constant_energy_is_no_path():
    found = populations([-1.0], (square,), energies=(lambda z: 0 * z[:, 0] + 2,)).pilot(generator(), 0.9, 100)
    assert len(found.rungs) == 1
    assert not found.reached


def test_points_are_counted():
    run = populations([0.3])
    schedule = run.pilot(generator(), 0.9, 1000)
    before, steps = run.evaluations, len(schedule.rungs) - 1
    run.anneal(generator(1), schedule)
    spent = run.evaluations - before
    assert spent % 64 == 0
    assert 64 * (1 + steps) <= spent <= 64 * (1 + 8 * steps)
