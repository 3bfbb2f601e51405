"""Two samplers in one call: where they agree, where they do not, and a network beyond the reach of counting."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2, ncx2, norm
from torch import nn
from torch.nn import functional as F

from genbounds.inductive_bias.networks import NetworkPrior
from genbounds.rare_events import sampled_tail

QUICK = {"annealing": {"overlap": 0.9, "leapfrog": 8}, "subset": {"chains": 50}}


def test_they_agree_on_a_half_space():
    levels = [-9.0, -5.0, -2.0]
    truth = -norm.logcdf(levels)
    found = sampled_tail(lambda z: -z[:, 0], 3, levels, **QUICK)
    assert found.agrees.all()
    assert not found.flag
    assert "annealed importance sampling" in found.first.method
    assert "subset simulation" in found.second.method
    assert ((found.combined.low < truth) & (truth < found.combined.high)).all()
    assert (found.combined.standard_error < 0.3).all()


def test_they_agree_beyond_a_condition():
    def first(z):
        return (z[:, :3] ** 2).mean(1)

    found = sampled_tail(lambda z: (z[:, 3:] ** 2).mean(1), 6, [0.05, 0.2], condition=(first, 0.05), seed=2, **QUICK)
    alone = -chi2(3).logcdf(3 * np.array([0.05, 0.2]))
    assert found.condition.agrees.all()
    assert (abs(found.condition.combined.nats - alone[0]) < 4 * found.condition.combined.standard_error).all()
    assert (abs(found.tail.combined.nats - alone) < 4 * found.tail.combined.standard_error).all()
    assert not found.flag


def two_modes(z):
    """A wide bowl around 0 in all twenty directions, and far from it a narrow valley that only two of them see."""
    return torch.minimum((z**2).mean(1), ((z[:, 0] - 5) ** 2 + z[:, 1] ** 2) / 2)


def test_two_modes_raise_the_flag_once_one_sampler_finds_the_second():
    levels = np.array([0.01, 0.3])
    truth = -np.log(chi2(20).cdf(20 * levels) + ncx2(2, 25).cdf(2 * levels))
    more = {"chains": 1000, "moves": 20}
    found = sampled_tail(two_modes, 20, levels, annealing={"leapfrog": 8, "overlap": 0.95}, subset=more)
    # Annealing follows the gradient into the bowl, and is sure of 38 nats where 17 are enough.
    assert found.first.low[0] > truth[0] + 15
    assert found.verdicts[0] == "disagree"
    assert found.flag
    assert math.isnan(found.combined.nats[0])
    assert found.combined.low[0] < truth[0] < found.combined.high[0]
    assert "THE SAMPLERS DISAGREE at the level 0.01" in str(found)
    assert found.agrees[1]


def test_both_may_miss_the_same_and_no_flag_can_tell():
    found = sampled_tail(two_modes, 20, [0.01], annealing={"leapfrog": 8, "overlap": 0.95}, subset={"chains": 30})
    assert found.agrees.all()
    assert found.combined.low[0] > 35 > 17.05  # which is the truth


def relu_world():
    """Forty points in the plane, a smooth function with noise-free, standardised targets, and the net 2-32-1."""
    inputs = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    targets = torch.sin(3 * inputs[:, :1]) + inputs[:, 1:] ** 2
    targets = (targets - targets.mean()) / targets.std()
    network = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
    prior = NetworkPrior(network, {"0.bias": 1.0, "2.bias": 1.0}, dtype=torch.float64)
    return prior, prior.loss(F.mse_loss, (inputs, targets))


def test_a_relu_network_where_it_can_be_counted():
    prior, loss = relu_world()
    found = sampled_tail(loss, prior.dimension, [0.5, 0.7, 0.9], **QUICK)
    z = torch.randn(100_000, prior.dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    hits = (loss(z)[:, None] <= torch.tensor([0.5, 0.7, 0.9])).sum(0).numpy()
    counted, error = -np.log(hits / 1e5), 1 / np.sqrt(hits)
    assert found.agrees.all()
    assert (abs(found.combined.nats - counted) < 4 * np.hypot(error, found.combined.standard_error)).all()


@pytest.mark.slow
def test_a_relu_network_beyond_fifty_nats():
    prior, loss = relu_world()
    assert prior.dimension == 129
    found = sampled_tail(loss, 129, [0.01, 0.02, 0.1], subset={"chains": 50, "moves": 100})
    assert found.agrees.all()
    assert 50 < found.combined.low[0] < found.combined.nats[0] < 62
    assert found.combined.standard_error[0] < 1
    assert (found.first.standard_error < 1.5).all()
