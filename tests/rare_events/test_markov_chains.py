"""Markov chains against Gaussian targets, whose law and whose law under uncorrected steps are closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from genbounds.models.randomness import stream
from genbounds.rare_events.markov_chains import hamiltonian as hamiltonian_module
from genbounds.rare_events.markov_chains.effective_samples import chain_tail, effective_samples, split_r_hat
from genbounds.rare_events.markov_chains.runs import hamiltonian_chains, langevin_chains

CURVATURE = torch.tensor([0.0, 0.5, 2.5], dtype=torch.float64)
CENTRE = torch.tensor([0.0, 1.0, -2.0], dtype=torch.float64)
SHARPNESS = 2.0
PRECISION = 1 + SHARPNESS * CURVATURE  # 1, 2, 6
MEAN = (SHARPNESS * CURVATURE * CENTRE / PRECISION).numpy()


def energy(z):
    return (CURVATURE * (z - CENTRE) ** 2).sum(1) / 2


def coordinates(d=3):
    return [lambda z, i=i: z[:, i] for i in range(d)]


def start(chains, d=3, seed=0):
    return torch.randn(chains, d, generator=stream(seed, "start"), dtype=torch.float64)


def hamiltonian(function=energy, observe=None, chains=32, draws=300, seed=0, **changes):
    settings = {"draws": draws, "warm_up": 200, "leapfrog": 8, "generator": stream(seed, "test")}
    return hamiltonian_chains(function, SHARPNESS, observe or coordinates(), start(chains), **settings | changes)


def test_hamiltonian_chains_have_the_moments_of_the_posterior():
    run = hamiltonian()
    assert run.observed.shape == (32, 300, 3)
    assert 0.7 < run.acceptance.mean() < 0.9
    for i in range(3):
        draws = run.observed[..., i]
        worth = effective_samples(draws)
        assert split_r_hat(draws) < 1.01
        assert abs(draws.mean() - MEAN[i]) < 4 / math.sqrt(worth * PRECISION[i])
        assert draws.var() * float(PRECISION[i]) == pytest.approx(1.0, abs=4 * math.sqrt(2 / worth))
    covariance = np.cov(run.observed.reshape(-1, 3).T)
    assert np.abs(covariance[np.triu_indices(3, 1)]).max() < 0.02


def test_their_tail_is_exact():
    """a_i (z_i - m_i)^2 summed is chi-squared with three degrees of freedom."""

    def squares(z):
        return (PRECISION * (z - torch.from_numpy(MEAN)) ** 2).sum(1)

    run = hamiltonian(observe=[squares], chains=16, draws=1000)
    levels = chi2.ppf([0.003, 0.03, 0.3, 0.9], 3)
    curve = chain_tail(run.observed[..., 0], levels, method="HMC", confidence=0.999)
    truth = -chi2.logcdf(levels, 3)
    assert ((curve.low <= truth) & (truth <= curve.high)).all()
    assert (curve.high - curve.low < 2.0).all()
    assert curve.warnings == ()


def test_what_the_correction_is_for(monkeypatch):
    """Moves that are never refused have another law, and z . grad U / d tells."""
    monkeypatch.setattr(hamiltonian_module, "_hamiltonian", lambda points, *_: points.energies[0] * 0)
    run = hamiltonian(draws=200)
    assert run.acceptance.min() > 0.9
    assert np.median(np.abs(run.observed[..., 2] - MEAN[2])) > 2 / math.sqrt(PRECISION[2])
    assert np.median(run.equipartition) > 2


def test_equipartition_is_one_where_moves_are_corrected():
    run = hamiltonian(chains=32, draws=300)
    worth = effective_samples(run.equipartition)
    assert abs(run.equipartition.mean() - 1) < 4 * run.equipartition.std() / math.sqrt(worth)
    assert worth > 1000


@pytest.mark.parametrize("step", [0.05, 0.3, 0.5])
def test_variance_of_langevin_steps_is_the_closed_form(step):
    """1 / (a (1 - step a / 4)) in each direction, not 1 / a; the mean is right."""
    run = langevin_chains(
        [energy],
        SHARPNESS,
        coordinates(),
        start(400),
        step=step,
        draws=250,
        warm_up=round(12 / step),
        thin=2,
        generator=stream(1, "test"),
    )
    a = PRECISION.numpy()
    wanted = 1 / (a * (1 - step * a / 4))
    for i in range(3):
        draws = run.observed[..., i]
        worth = effective_samples(draws)
        assert draws.mean() == pytest.approx(MEAN[i], abs=4 * math.sqrt(wanted[i] / worth))
        assert draws.var() / wanted[i] == pytest.approx(1.0, abs=4 * math.sqrt(2 / worth))
    # The largest bias is told from the truth wherever it is above the noise.
    assert run.observed[..., 2].var() * a[2] > 1 + 0.8 * (1 / (1 - step * a[2] / 4) - 1)
    balance, error = run.equipartition.mean(), run.equipartition.std() / math.sqrt(effective_samples(run.equipartition))
    assert balance == pytest.approx((1 / (1 - step * a / 4)).mean(), abs=4 * error)
    assert (run.acceptance == 1).all()


def test_an_autoregression_by_another_name():
    """Langevin steps on a Gaussian are one of coefficient 1 - step a / 2: the effective size follows."""
    run = langevin_chains(
        [lambda z: 0 * z.sum(1)],
        0.0,
        coordinates(1),
        start(20, 1),
        step=0.4,
        draws=2000,
        warm_up=50,
        thin=1,
        generator=stream(2, "test"),
    )
    assert effective_samples(run.observed[..., 0]) == pytest.approx(40_000 * 0.2 / 1.8, rel=0.1)


def test_batches_add_their_noise():
    """Gradients of variance c around the mean: (1 / a) (1 + step c / 4) / (1 - step a / 4)."""
    points = torch.tensor([-3.0, 0.0, 1.0, 4.0], dtype=torch.float64)
    parts = [lambda z, x=x: 0.5 * ((z - x) ** 2).sum(1) for x in points]
    step, a, c = 0.2, 1 + SHARPNESS, SHARPNESS**2 * float(points.var(correction=0))
    run = langevin_chains(
        parts,
        SHARPNESS,
        coordinates(1),
        start(400, 1),
        step=step,
        draws=250,
        warm_up=60,
        thin=2,
        generator=stream(3, "test"),
    )
    draws = run.observed[..., 0]
    worth = effective_samples(draws)
    wanted = (1 + step * c / 4) / (a * (1 - step * a / 4))
    assert draws.mean() == pytest.approx(SHARPNESS * 0.5 / a, abs=4 * math.sqrt(wanted / worth))
    assert draws.var() / wanted == pytest.approx(1.0, abs=4 * math.sqrt(2 / worth))
    assert wanted * a > 2.0  # the batches' share is the larger one here
    # Chains do not share the noise of a batch.
    between = np.corrcoef(draws[:100])[np.triu_indices(100, 1)]
    assert abs(between.mean()) < 0.01


def test_chains_in_two_wells_are_noticed():
    """A barrier of 40 nats: no chain crosses it, and each well has some."""

    def wells(z):
        return 20 * ((z[:, 0] / 3) ** 2 - 1) ** 2

    run = hamiltonian(function=wells, chains=6, draws=200)
    draws = run.observed[..., 0]
    assert {True, False} == set((draws.mean(axis=1) > 0).tolist())
    assert split_r_hat(draws) > 1.5
    curve = chain_tail(draws, [0.0], method="HMC")
    assert "Chains disagree" in curve.warnings[0]
    assert curve.high[0] - curve.low[0] > 1.0


def test_the_same_seed_gives_the_same_chains():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, two, other = (hamiltonian(draws=20, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.observed, two.observed)
    assert one.step == two.step
    assert not np.array_equal(one.observed, other.observed)
    assert torch.get_rng_state().equal(before)


def test_bad_settings_are_refused():
    langevin = {"draws": 1, "warm_up": 0, "thin": 1, "generator": stream(0, "test")}
    with pytest.raises(ValueError, match="a chain left for infinity at draw"):
        langevin_chains([energy], 1e3, coordinates(), start(2), step=1.0, **langevin | {"draws": 500})
    for changes in ({"step": 0.0}, {"step": math.nan}, {"thin": 0}, {"draws": 0}, {"warm_up": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(changes))} must be"):
            langevin_chains([energy], 1.0, coordinates(), start(2), **{"step": 0.1} | langevin | changes)
    for changes in ({"draws": 0}, {"warm_up": 0}, {"leapfrog": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(changes))} must be"):
            hamiltonian(**changes)
