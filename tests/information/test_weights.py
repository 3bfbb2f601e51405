import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.optimize import brentq
from torch import nn

from genbounds.inductive_bias import NetworkPrior
from genbounds.information import feder_ball
from genbounds.information.weights import ball_weight, label_divergence, linear_divergence, regret_limit
from genbounds.numerics import binary_kl
from genbounds.rare_events import counted_tail, quadratic_tail, subset_simulation

RADII = np.geomspace(1e-4, 3.0, 25)


def random_problem(seed, d=3, inputs=4):
    generator = np.random.default_rng(seed)
    x, truth = generator.normal(size=(inputs, d)), generator.normal(size=d)
    return x, truth, generator.normal(size=(d, d)), 0.5 + generator.random()


@pytest.mark.parametrize("seed", range(4))
def test_divergence_of_linear_models_by_its_definition(seed):
    """Draws of the prior: the form has the law of the mean divergence of two normal laws."""
    x, truth, factor, noise = random_problem(seed)
    form = linear_divergence(x.T @ x / len(x), truth, factor, noise)
    draws = np.random.default_rng(1).normal(size=(40_000, 3)) @ factor.T
    direct = (((draws - truth) @ x.T) ** 2).mean(axis=1) / (2 * noise**2)
    assert form.mean == pytest.approx(direct.mean(), rel=0.05)
    levels = np.quantile(direct, [0.01, 0.1, 0.5])
    counted, exact = counted_tail(direct, levels, confidence=0.999), quadratic_tail(form, levels).nats
    assert ((counted.low <= exact) & (exact <= counted.high)).all()


def test_a_truth_outside_of_the_prior_has_a_floor():
    form = linear_divergence(np.eye(2), [1.0, 2.0], [[1.0], [0.0]], 1.0)
    assert form.offset == pytest.approx(2.0)
    assert len(form.weights) == 1


def regret(truth, deviation, noise, n):
    """Exact, for inputs drawn evenly from the unit vectors: each coordinate sees Binomial(n, 1/d) of the examples."""
    seen = np.arange(n + 1)
    q = noise**2 + seen * deviation**2
    share = stats.binom(n, 1 / len(truth)).pmf(seen)
    return sum(share @ (noise**2 / q - 1 + seen * t**2 / q + np.log(q / noise**2)) / 2 for t in truth)


@pytest.mark.parametrize("n", [1, 10, 100, 1000])
def test_regret_of_linear_regression_against_its_exact_value(n):
    """Weight, exactly known, and sampled with a limit: regret <= ball <= its limit, and neither is far off."""
    truth, deviation, noise = np.array([0.5, -1.0, 0.2]), 1.0, 0.7
    form = linear_divergence(np.eye(3) / 3, truth, deviation * np.eye(3), noise)
    weights = quadratic_tail(form, RADII)
    exact, ball = regret(truth, deviation, noise, n), feder_ball(RADII, weights.nats, n)
    assert exact <= ball < exact + 4
    assert regret_limit(weights, n, 0.05).value == pytest.approx(float(ball), rel=1e-9)
    scale, shift = torch.tensor(form.weights), torch.tensor(form.shifts)
    sampled = subset_simulation(lambda z: ((z + shift).square() * scale).sum(1), 3, RADII, chains=50, runs=4)
    limit = regret_limit(sampled, n, 0.05)
    assert ball <= limit.value < ball + math.log(25 / 0.05) + 1
    assert limit.delta == 0.05
    assert "Markov" in limit.method


def test_limits_hold_as_often_as_they_say():
    """Tiny runs whose estimates are wild: the limit is below the bound with the exact weights in at most delta."""
    radii, n = np.array([0.002, 0.01]), 300
    form = linear_divergence(np.eye(2), [0.3, 1.0], np.eye(2), 1.0)
    ball = feder_ball(radii, quadratic_tail(form, radii).nats, n)
    scale, shift = torch.tensor(form.weights), torch.tensor(form.shifts)
    below = 0
    for seed in range(200):
        curve = subset_simulation(
            lambda z: ((z + shift).square() * scale).sum(1), 2, radii, chains=3, moves=4, runs=2, seed=seed
        )
        below += regret_limit(curve, n, 0.2).value < ball
    assert stats.binom(200, 0.2).sf(below - 1) > 0.01


def test_coins_with_a_logistic_prior():
    """One coin, logit ~ N(0, 2^2): the ball is an interval of logits, and the regret a sum over counts of ones."""
    bias, n, radii = 0.05, 200, np.geomspace(1e-8, 0.5, 20)

    def ends(radius):
        inside = math.log(bias / (1 - bias))
        above = [
            brentq(lambda a: float(binary_kl(bias, 1 / (1 + math.exp(-a)))) - radius, inside, inside + s)
            for s in (-30, 30)
        ]
        return stats.norm.cdf(np.array(above) / 2)

    costs = np.array([-math.log(abs(np.diff(ends(radius))[0])) for radius in radii])
    grid = (np.arange(200_000) + 0.5) / 200_000
    chance = 1 / (1 + np.exp(-2 * stats.norm.ppf(grid)))
    exact, ones = 0.0, np.arange(n + 1)
    for k, p in zip(ones, stats.binom(n, bias).pmf(ones), strict=True):
        if p > 1e-14:
            mixed = np.log(np.exp(k * np.log(chance) + (n - k) * np.log1p(-chance)).mean())
            exact += p * (k * math.log(bias) + (n - k) * math.log1p(-bias) - mixed)
    ball = feder_ball(radii, costs, n)
    assert exact <= ball < exact + 2

    def divergence(z):
        logits = torch.stack([torch.zeros(len(z), dtype=z.dtype), 2 * z[:, 0]], dim=1)
        return label_divergence(logits, torch.tensor([[1 - bias, bias]]).double().expand(len(z), 2))

    both = ball_weight(divergence, 1, radii, subset={"chains": 50, "runs": 6})
    assert not both.flag
    assert (np.abs(both.second.nats - costs) <= 4 * both.second.standard_error + 1e-9).all()
    limit = regret_limit(both, n, 0.05)
    assert exact <= ball <= limit.value < ball + math.log(2 * 20 / 0.05) + 1
    assert limit.value <= regret_limit(both.second, n, 0.025).value


def test_a_teacher_network():
    """The divergence over given inputs is a plain mean, and the teacher's own weights lie in every ball."""
    generator = torch.Generator().manual_seed(0)
    prior = NetworkPrior(nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3)), dtype=torch.float64)
    inputs = torch.randn(12, 2, generator=generator, dtype=torch.float64)
    z = torch.randn(6, prior.dimension, generator=generator, dtype=torch.float64)
    teacher = torch.softmax(prior.outputs(z[:1], inputs)[0], dim=1)
    divergence = prior.loss(label_divergence, (inputs, teacher))
    values = divergence(z)
    student = torch.softmax(prior.outputs(z, inputs), dim=2)
    assert values[0] == pytest.approx(0.0, abs=1e-12)
    assert torch.allclose(values, (teacher * (teacher / student).log()).sum(2).mean(1))
    radii = [0.02, 0.1, 0.5]
    curve = subset_simulation(divergence, prior.dimension, radii, chains=50, runs=4)
    draws = divergence(torch.randn(4000, prior.dimension, generator=generator, dtype=torch.float64)).numpy()
    counted = counted_tail(draws, radii, confidence=0.999)
    assert curve.low[2] <= counted.high[2]
    assert counted.low[2] <= curve.high[2]
    assert curve.nats[0] > curve.nats[1] > curve.nats[2]


def test_labels_without_noise_and_single_precision():
    outputs = torch.tensor([[0.0, 1.0, -2.0]])
    certain = label_divergence(outputs, torch.tensor([[0.0, 1.0, 0.0]]))
    assert certain.dtype == torch.float64
    assert certain[0] == pytest.approx(-torch.log_softmax(outputs.double(), 1)[0, 1].item())
    assert label_divergence(outputs, torch.softmax(outputs.double(), 1))[0] == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_divergence(np.eye(2), [0.0], np.eye(2), 1.0), "must have shapes"),
        (lambda: linear_divergence(-np.eye(2), [0.0, 0.0], np.eye(2), 1.0), "no negative eigenvalue"),
        (lambda: linear_divergence(np.eye(1), [0.0], np.eye(1), 0.0), "noise must be positive"),
        (lambda: ball_weight(lambda z: z[:, 0] ** 2, 1, [-0.1, 0.1]), "radii must be non-negative"),
        (lambda: regret_limit(quadratic_tail(linear_divergence([[1.0]], [0.0], [[1.0]], 1.0), [0.1]), 5, 1.5), "delta"),
        (
            lambda: regret_limit(subset_simulation(lambda z: z[:, 0] ** 2, 1, [0.1], runs=2, unbiased=False), 5, 0.05),
            "certain, counted or unbiased",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
