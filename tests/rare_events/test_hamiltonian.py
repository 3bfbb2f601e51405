"""Hamiltonian moves: what they leave invariant, against closed forms and quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from genbounds.rare_events.markov_chains.hamiltonian import Points, evaluate, transition

DOUBLE = torch.float64


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=DOUBLE, generator=generator(seed))


def one(beta):
    return torch.tensor([beta], dtype=DOUBLE)


def test_without_an_energy_nothing_is_refused_and_a_quarter_turn_forgets():
    z = normal(20_000, 3)
    points = evaluate([lambda z: z[:, 0]], z)
    moved, acceptance = transition(points, [lambda z: z[:, 0]], one(0.0), math.pi / 2, 1, generator(1))
    torch.testing.assert_close(acceptance, torch.ones(len(z), dtype=DOUBLE))
    correlation = torch.corrcoef(torch.stack([z[:, 0], moved.z[:, 0]]))[0, 1]
    assert abs(correlation) < 4 / math.sqrt(len(z))
    assert abs(moved.z.var() - 1) < 4 * math.sqrt(2 / moved.z.numel())


@pytest.mark.parametrize("leapfrog", [1, 5])
def test_two_quadratic_energies_leave_their_gaussian_invariant(leapfrog):
    energies = [lambda z: (z[:, :2] ** 2).sum(1), lambda z: (z[:, 2] - 1) ** 2]
    beta = torch.tensor([4.0, 1.5], dtype=DOUBLE)
    precision = torch.tensor([9.0, 9.0, 4.0, 1.0], dtype=DOUBLE)
    mean = torch.tensor([0.0, 0.0, 0.75, 0.0], dtype=DOUBLE)
    z = mean + normal(100_000, 4) / precision.sqrt()
    points, accepted = evaluate(energies, z), []
    stream = generator(1)
    for _ in range(4):
        points, acceptance = transition(points, energies, beta, 0.5, leapfrog, stream)
        accepted.append(acceptance.mean())
    # Steps are so large that moves left uncorrected would show.
    assert 0.3 < float(torch.stack(accepted).mean()) < 0.92
    error = 1 / (precision * len(z)).sqrt()
    assert ((points.z.mean(0) - mean).abs() < 4.5 * error).all()
    assert ((points.z.var(0) * precision - 1).abs() < 4.5 * math.sqrt(2 / len(z))).all()
    torch.testing.assert_close(points.energies, evaluate(energies, points.z).energies)
    torch.testing.assert_close(points.slopes, evaluate(energies, points.z).slopes)


def test_a_law_with_two_wells_and_a_kink():
    def energy(z):
        return (z[:, 0].abs() - 1.5).abs() + 0.2 * z[:, 0]

    beta = 3.0

    def moment(power):
        def integrand(x):
            return x**power * math.exp(-(x**2) / 2 - beta * (abs(abs(x) - 1.5) + 0.2 * x))

        return quad(integrand, -8, 8, limit=200, points=[-1.5, 0, 1.5])[0]

    density = [moment(power) for power in range(3)]
    mean, square = density[1] / density[0], density[2] / density[0]
    # Rejection from N(0, I) is exact; the moves have to keep what it gives.
    z = normal(400_000, 1, seed=3)
    kept = torch.rand(len(z), dtype=DOUBLE, generator=generator(4)) < (-beta * (energy(z) + 0.3)).exp()
    points = evaluate([energy], z[kept])
    stream = generator(5)
    for _ in range(3):
        points, acceptance = transition(points, [energy], one(beta), 0.4, 4, stream)
    assert 0.3 < float(acceptance.mean()) < 0.97
    values = points.z[:, 0]
    assert abs(float(values.mean()) - mean) < 4.5 * math.sqrt((square - mean**2) / len(values))
    assert abs(float((values**2).mean()) - square) < 4.5 * float((values**2).std()) / math.sqrt(len(values))


def test_moves_to_where_there_is_no_number_are_refused():
    def energy(z):
        return torch.where(z[:, 0] > 0, z[:, 1].square(), math.nan)

    z = normal(2000, 2).abs()
    moved, acceptance = transition(evaluate([energy], z), [energy], one(1.0), 1.0, 3, generator(1))
    assert (moved.z[:, 0] > 0).all()
    assert moved.energies.isfinite().all()
    assert (acceptance == 0).any()


def test_a_chain_at_infinity_stays_or_leaves_and_harms_no_other():
    def energy(z):
        return torch.where(z[:, 0] > 3, math.inf, z[:, 0] ** 2)

    z = torch.tensor([[4.0], [1.0]], dtype=DOUBLE)
    moved, _ = transition(evaluate([energy], z), [energy], one(1.0), 0.3, 3, generator(0))
    assert moved.z[1].isfinite().all()
    assert moved.energies[0, 1].isfinite()


def test_chains_depend_on_the_stream_alone():
    energy = [lambda z: (z**2).sum(1)]
    points = evaluate(energy, normal(5, 2))
    state = torch.get_rng_state()
    first, again, other = (transition(points, energy, one(1.0), 0.5, 4, generator(seed))[0].z for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_chains_are_taken_and_mixed_by_number():
    points = Points(
        torch.arange(6.0).reshape(3, 2), torch.arange(6.0).reshape(2, 3), torch.arange(12.0).reshape(2, 3, 2)
    )
    taken = points.take(torch.tensor([2, 2, 0]))
    assert taken.z.tolist() == [[4, 5], [4, 5], [0, 1]]
    assert taken.energies.tolist() == [[2, 2, 0], [5, 5, 3]]
    mixed = points.where(torch.tensor([True, False, False]), taken)
    assert mixed.z.tolist() == [[0, 1], [4, 5], [0, 1]]
    assert np.array_equal(mixed.slopes[1, 1], points.slopes[1, 2])


@pytest.mark.parametrize(
    "energy", [lambda z: z.sum(), lambda z: z, lambda z: (z[:, 0] > 0).double()], ids=["one", "many", "flat"]
)
def test_energies_that_cannot_drive_are_refused(energy):
    with pytest.raises(ValueError, match=r"energy must be differentiable and of shape \(4,\)"):
        evaluate([energy], normal(4, 2))
