"""Posterior samples against linear models, whose posterior and whose information are exact."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genbounds.inductive_bias.gaussian.spaces import linear_hypotheses
from genbounds.inductive_bias.networks import NetworkPrior
from genbounds.inductive_bias.samples.posterior import posterior_samples
from genbounds.inductive_bias.samples.posterior_records import PosteriorSamples
from genbounds.models.networks import mlp
from genbounds.rare_events.markov_chains.effective_samples import effective_samples

N, D, NOISE, SCALE = 12, 3, 0.8, 1.5
SOURCE = np.random.default_rng(0)
INPUTS = SOURCE.normal(size=(N + 20, D))
TARGETS = INPUTS @ [1.0, -1.0, 0.5] + NOISE * SOURCE.normal(size=N + 20)


def regression():
    x, y = torch.from_numpy(INPUTS), torch.from_numpy(TARGETS)[:, None]
    prior = NetworkPrior(nn.Linear(D, 1, bias=False), SCALE, dtype=torch.float64)
    return prior, F.mse_loss, (x[:N], y[:N]), (x[N:], y[N:])


def exact(beta=1 / (2 * NOISE**2)):
    """exp(-n beta mse) is the likelihood of Gaussian noise of variance 1 / (2 beta)."""
    return linear_hypotheses(INPUTS, TARGETS, scale=SCALE, given=np.arange(N), noise=math.sqrt(1 / (2 * beta)))


def curvatures(beta):
    """Eigenvalues of the Hessian of U in whitened space."""
    x = INPUTS[:N] * SCALE
    return 1 + 2 * beta * np.linalg.eigvalsh(x.T @ x)


@pytest.fixture(scope="module")
def sampled():
    return posterior_samples(
        *regression(), inverse_temperature=1 / (2 * NOISE**2), chains=12, draws=400, warm_up=120, steps=6
    )


def test_the_information_is_that_of_the_exact_posterior(sampled):
    truth = exact()
    levels = truth.floor + (truth.mean_loss - truth.floor) * np.array([0.02, 0.1, 0.3, 1.0, 3.0])
    wanted = truth.information(levels).nats
    curve = sampled.information(levels, "loss", confidence=0.999)
    seen = np.isfinite(curve.nats)
    assert seen[1:].all()
    assert wanted[1] > 2.0
    assert ((curve.low <= wanted) & (wanted <= curve.high)).all()
    assert sampled.test_loss.mean() == pytest.approx(truth.mean_loss, rel=0.02)
    assert sampled.warnings == ()
    assert abs(sampled.balance().value - 1) < 4 * sampled.balance().standard_error
    assert sampled.acceptance.min() > 0.6


@pytest.mark.parametrize("beta", [0.05, 5.0])
def test_tempered_posteriors_are_those_of_another_noise(beta):
    """The law changes with beta, and with it the information of one and the same level."""
    found = posterior_samples(*regression(), inverse_temperature=beta, chains=16, draws=150, warm_up=120, steps=6)
    truth = exact(beta)
    level = truth.mean_loss * np.array([0.9])
    curve = found.information(level, "loss", confidence=0.999)
    assert curve.low[0] <= truth.information(level).nats[0] <= curve.high[0]
    assert f"beta = {beta:g}" in found.law
    other = exact(1 / (2 * NOISE**2)).information(level).nats[0]
    assert abs(other - truth.information(level).nats[0]) > 0.1


def test_levels_beyond_the_draws_are_refused(sampled):
    floor = exact().floor
    curve = sampled.information([floor, floor * (1 + 1e-6), 10.0], "loss")
    assert np.isnan(curve.nats[:2]).all()
    assert (curve.high[:2] == math.inf).all()
    worth = effective_samples(sampled.test_loss)
    assert 0 < curve.low[1] < math.log(worth)
    assert any("not extrapolated" in warning for warning in curve.warnings)
    assert "Hamiltonian Monte Carlo, 12 chains" in curve.method


@pytest.mark.parametrize("step", [0.01, 0.04])
def test_langevin_steps_say_how_wrong_they_are(step):
    """The balance is the average of 1 / (1 - step a / 4), and the warning prints it."""
    beta = 1 / (2 * NOISE**2)
    found = posterior_samples(
        *regression(),
        inverse_temperature=beta,
        method="sgld",
        step=step,
        steps=3,
        chains=60,
        draws=150,
        warm_up=80,
    )
    wanted = (1 / (1 - step * curvatures(beta) / 4)).mean()
    balance = found.balance()
    assert balance.value == pytest.approx(wanted, abs=4 * balance.standard_error)
    if step == 0.04:
        assert balance.interval[0] > 1.0
    curve = found.information([10.0], "loss")
    assert "their law is not the posterior, but wider" in curve.warnings[0]
    assert f"{balance.value:.3f}" in curve.warnings[0]
    assert "on all examples, uncorrected" in found.method


def test_batches_of_the_train_set_average_to_it():
    """Unequal batches: the mean of the draws, which noise does not move in a linear model, is the posterior's."""
    setting = {"method": "sgld", "step": 0.01, "steps": 3, "chains": 60, "draws": 50, "warm_up": 50}
    beta = 0.3
    found = posterior_samples(*regression(), inverse_temperature=beta, batch_size=5, **setting)
    whole = posterior_samples(*regression(), inverse_temperature=beta, **setting)
    assert "one of 3 batches" in found.method
    assert found.balance().value > whole.balance().value + 0.02
    prior, loss, train, test = regression()
    assert (
        found.train_loss.min() > float(((train[1] - train[0] @ torch.linalg.lstsq(*train).solution) ** 2).mean()) - 1e-9
    )
    again = posterior_samples(prior, loss, train, test, inverse_temperature=beta, batch_size=5, **setting)
    assert np.array_equal(found.test_loss, again.test_loss)


def classes():
    source = torch.Generator().manual_seed(0)
    x = torch.randn(60, 2, generator=source)
    y = (x[:, 0] * x[:, 1] > 0).long()
    return (x[:20], y[:20]), (x[20:], y[20:])


def test_a_network_with_classes():
    prior = NetworkPrior(mlp(2, 2, 8))
    torch.manual_seed(3)
    state = torch.get_rng_state()
    settings = {"chains": 3, "draws": 16, "warm_up": 15, "steps": 4, "batch_size": 16}
    found = posterior_samples(prior, F.cross_entropy, *classes(), **settings)
    assert torch.get_rng_state().equal(state)
    assert found.test_error.shape == (3, 16)
    assert np.isin((found.train_error * 20).round(9), np.arange(21)).all()
    # Draws from the posterior fit better than the prior's.
    z = torch.randn(500, prior.dimension, generator=torch.Generator().manual_seed(1))
    assert found.train_loss.mean() < float(prior.loss(F.cross_entropy, classes()[0])(z).mean())
    again = posterior_samples(prior, F.cross_entropy, *classes(), **settings)
    assert again.to_json() == found.to_json()
    other = posterior_samples(prior, F.cross_entropy, *classes(), **settings | {"seed": 1})
    assert not np.array_equal(other.test_loss, found.test_loss)
    langevin = posterior_samples(prior, F.cross_entropy, *classes(), method="sgld", step=1e-3, **settings)
    assert langevin.test_error.shape == (3, 16)
    curve = found.information([0.0, 1.0])
    assert curve.nats[1] == 0.0
    assert any("independent ones" in warning for warning in curve.warnings)


def test_chains_that_have_not_arrived_are_noticed():
    """Tiny Langevin steps from the prior: the train loss still falls."""
    found = posterior_samples(
        *regression(), inverse_temperature=5.0, method="sgld", step=1e-4, steps=1, chains=4, draws=200, warm_up=0
    )
    assert any("Chains disagree on the train loss" in warning for warning in found.warnings)
    fields = {name: getattr(found, name) for name in PosteriorSamples.__dataclass_fields__}
    stuck = PosteriorSamples(**fields | {"acceptance": np.array([0.9, 0.1, 0.9, 0.9])})
    assert any("accepts only 0.10" in warning for warning in stuck.warnings)


def test_records_come_back(sampled):
    back = PosteriorSamples.from_json(json.loads(json.dumps(sampled.to_json())))
    assert back.to_json() == sampled.to_json()
    assert np.isnan(back.test_error).all()
    assert back.information([1.0], "loss").to_json() == sampled.information([1.0], "loss").to_json()
    with pytest.raises(ValueError, match="targets are no classes"):
        back.information([0.5])
    with pytest.raises(ValueError, match="'loss' or 'error'"):
        back.information([0.5], "accuracy")
    with pytest.raises(ValueError, match="one number for each draw"):
        PosteriorSamples(**{**sampled.to_json(), "train_loss": [[1.0]]})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"inverse_temperature": 0.0}, "inverse_temperature must be"),
        ({"method": "nuts"}, "method must be"),
        ({"method": "sgld"}, "step must be a number for 'sgld'"),
        ({"step": 0.1}, "None for 'hmc'"),
        ({"chains": 1}, "chains must be"),
        ({"draws": 7}, "draws must be"),
        ({"warm_up": 0}, "warm_up must be"),
        ({"method": "sgld", "step": 5.0}, "a chain left for infinity"),
    ],
)
def test_bad_settings_are_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        posterior_samples(*regression(), **{"inverse_temperature": 100.0, "draws": 50} | changes)
