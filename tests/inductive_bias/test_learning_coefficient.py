import json
import math

import numpy as np
import pytest
import torch
from scipy.integrate import dblquad, quad
from scipy.special import k0e, k1e
from torch import nn

from genbounds.inductive_bias.networks import NetworkPrior
from genbounds.inductive_bias.volume.learning_coefficient import LearningCoefficient, learning_coefficient
from genbounds.inductive_bias.volume.learning_laws import quadratic_coefficient, reduced_rank_coefficient
from genbounds.inductive_bias.volume.random_batches import RandomBatches

CURVATURES = torch.logspace(-3, 0, 10, dtype=torch.float64)
N = 1000
SHARPNESS = N / math.log(N)


def bowl(w):
    return 0.7 + w.square() @ CURVATURES / 2


def origin(size):
    return torch.zeros(size, dtype=torch.float64)


def agrees(found, truth):
    return abs(found.value - truth) < 4 * found.standard_error


def test_hamiltonian_chains_settle_at_the_exact_law():
    found = learning_coefficient(bowl, origin(10), N, chains=48, draws=200)
    assert agrees(found, 3.434)
    assert found.standard_error < 0.04
    assert not found.warnings
    assert found.baseline == pytest.approx(0.7)
    assert found.chains.mean() == pytest.approx(found.value)


@pytest.mark.parametrize(("step", "steps", "gamma"), [(2e-2, 10, 1.0), (5e-3, 20, 1.0), (1.5e-2, 5, 30.0)])
def test_langevin_steps_settle_beside_it_as_their_step_says(step, steps, gamma):
    """The localisation is in the space of the weights, and so is the step."""
    found = learning_coefficient(
        bowl, origin(10), N, method="sgld", localisation=gamma, step=step, steps=steps, chains=64, draws=200
    )
    law = quadratic_coefficient(CURVATURES.numpy(), SHARPNESS, gamma, step)
    assert agrees(found, law)
    assert law - quadratic_coefficient(CURVATURES.numpy(), SHARPNESS, gamma) > 5 * found.standard_error
    assert found.step == step


@pytest.mark.parametrize(("gamma", "beta"), [(0.1, None), (25.0, None), (4.0, 0.02)])
def test_localisation_and_temperature(gamma, beta):
    found = learning_coefficient(
        bowl, origin(10), N, localisation=gamma, inverse_temperature=beta, chains=48, draws=200
    )
    assert agrees(found, quadratic_coefficient(CURVATURES.numpy(), N * (beta or 1 / math.log(N)), gamma))


def mean_under(loss, sharpness, gamma):
    """``t E[L]`` in one dimension by quadrature."""
    density = lambda w: math.exp(-sharpness * loss(w) - gamma * w * w / 2)  # noqa: E731
    scale = [10.0**k for k in range(-4, 1)]
    return (
        sharpness * quad(lambda w: loss(w) * density(w), 0, 10, points=scale)[0] / quad(density, 0, 10, points=scale)[0]
    )


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_power_of_one_weight(k):
    """``w^(2k)`` has the coefficient 1 / (2k); its finite-n value is another number, and the one estimated."""
    truth = mean_under(lambda w: w ** (2 * k), SHARPNESS, 1.0)
    found = learning_coefficient(lambda w: w[:, 0] ** (2 * k), origin(1), N, chains=64, draws=300)
    assert agrees(found, truth)
    assert truth < 1 / (2 * k) - 0.001
    assert mean_under(lambda w: w ** (2 * k), 1e7, 1e-3) == pytest.approx(1 / (2 * k), abs=2e-3)


def crossing(sharpness, gamma):
    x = gamma**2 / (8 * sharpness)
    return 0.5 + x * (1 - k1e(x) / k0e(x))


def test_two_crossing_valleys():
    """``w_1^2 w_2^2``: closed form at finite n, by quadrature, and far below the coefficient 1/2."""
    moment = lambda p: quad(  # noqa: E731
        lambda w: (2 * SHARPNESS * w * w + 1) ** (-0.5 - p) * (w * w) ** p * math.exp(-w * w / 2),
        0,
        12,
        points=[0.05, 1],
    )[0]
    truth = crossing(SHARPNESS, 1.0)
    assert SHARPNESS * moment(1) / moment(0) == pytest.approx(truth, rel=1e-6)
    found = learning_coefficient(lambda w: w.square().prod(1), origin(2), N, chains=64, draws=600)
    assert agrees(found, truth)
    assert truth < 0.4
    assert crossing(1e6, 1.0) == pytest.approx(0.5 - 1 / math.log(16e6), abs=0.01)
    assert crossing(1e300, 1.0) == pytest.approx(0.5, abs=2e-3)


def test_a_linear_network_without_a_signal():
    """``|B A|^2`` of widths two: the eigenvalues of a Wishart matrix give the exact value at finite n."""

    def moment(sharpness, power):
        def integrand(s, u):  # l = e^s, e^u with s < u
            small, large = math.exp(s), math.exp(u)
            density = (large - small) * math.sqrt(small * large) * math.exp(-(small + large) / 2)
            saturation = sum(2 * sharpness * value / (1 + 2 * sharpness * value) for value in (small, large))
            return density * saturation**power / ((1 + 2 * sharpness * small) * (1 + 2 * sharpness * large))

        return dblquad(integrand, -45, 5, lambda u: -45.0, lambda u: u, epsabs=0, epsrel=1e-6)[0]

    def exact(sharpness):
        return moment(sharpness, 1) / moment(sharpness, 0)  # - d ln Z / d ln t

    def loss(w):
        a, b = w.reshape(-1, 2, 2, 2).unbind(1)
        return (b @ a).square().sum((1, 2))

    truth = exact(SHARPNESS)
    found = learning_coefficient(loss, origin(8), N, chains=64, draws=200)
    assert agrees(found, truth)
    assert reduced_rank_coefficient(2, 2, 2) == (1.5, 1)
    assert truth < 1.5 - 4 * found.standard_error
    assert exact(1e7) == pytest.approx(1.5, abs=0.01)


class Centre(nn.Module):
    """Predicts one vector for all: the gradient of a batch is w less the batch's mean."""

    def __init__(self, centre):
        super().__init__()
        self.w = nn.Parameter(centre.clone())

    def forward(self, x):
        return self.w.expand(len(x), -1)


def test_random_batches_add_a_known_variance_and_the_baseline_is_that_of_all_data():
    x = torch.randn(100, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = Centre(x.mean(0)).eval()
    loss = lambda out, target: (out - target).square().sum(1) / 2  # noqa: E731
    prior = NetworkPrior(model, 1.0, dtype=torch.float64)
    full = prior.loss(loss, (x, x))
    batches = RandomBatches(prior, loss, x, x, 5)
    step, t = 2e-3, 100 / math.log(100)
    found = learning_coefficient(
        full,
        prior.latent().double(),
        100,
        method="sgld",
        step=step,
        batch_loss=batches,
        chains=64,
        draws=150,
        steps=8,
        burn_in=20,
    )
    a = t + 1
    noise = float(x.var(0, unbiased=True).sum()) * (1 / 5 - 1 / 100)
    variance = (4 * step + step**2 / 4 * t**2 * noise) / (1 - (1 - step * a / 2) ** 2)
    assert agrees(found, t * variance / 2)
    assert t * variance / 2 > quadratic_coefficient(np.ones(4), t, 1.0, step) + 0.005
    assert found.baseline == pytest.approx(float(((x - x.mean(0)) ** 2).sum(1).mean() / 2))
    assert "random batches" in found.method


def test_batches_are_each_chains_own_and_average_to_the_whole():
    x = torch.arange(6.0, dtype=torch.float64)[:, None]
    model = Centre(torch.zeros(1, dtype=torch.float64)).eval()
    prior = NetworkPrior(model, 1.0, dtype=torch.float64)
    batches = RandomBatches(prior, nn.functional.mse_loss, x, x, 2)
    found = batches(torch.zeros(4000, 1, dtype=torch.float64), torch.Generator().manual_seed(0))
    assert len(found.unique()) == 14  # of the 15 pairs two have equal sums of squares, 0 + 25 = 9 + 16
    assert float(found.mean()) == pytest.approx(55 / 6, abs=4 * float(found.std()) / math.sqrt(4000))
    with pytest.raises(ValueError, match="batch_size must be"):
        RandomBatches(prior, nn.functional.mse_loss, x, x, 7)


def test_intervals_cover():
    truth = quadratic_coefficient(CURVATURES[-3:].numpy(), SHARPNESS, 1.0)
    covered = 0
    for seed in range(40):
        found = learning_coefficient(
            lambda w: w.square() @ CURVATURES[-3:] / 2, origin(3), N, chains=6, draws=30, burn_in=20, seed=seed
        )
        covered += found.low <= truth <= found.high
    assert covered >= 34  # of 40 at 95 %


def test_the_same_seed_gives_the_same_record_and_it_can_be_kept():
    runs = [learning_coefficient(bowl, origin(10), N, chains=4, draws=20, seed=3) for _ in range(2)]
    assert runs[0].to_json() == runs[1].to_json()
    back = LearningCoefficient.from_json(json.loads(json.dumps(runs[0].to_json(), allow_nan=False)))
    assert back.to_json() == runs[0].to_json()
    assert str(back) == str(runs[0])


def test_a_point_that_is_no_minimum_is_pointed_out():
    saddle = lambda w: w[:, 0] ** 4 - w[:, 0].square()  # noqa: E731
    found = learning_coefficient(saddle, origin(1), N, chains=4, draws=50)
    assert found.value < 0
    assert "no minimum" in found.warnings[0]
    slope = learning_coefficient(lambda w: (w[:, 0] - 0.05).square(), origin(1), N, chains=4, draws=50)
    assert slope.value > 0
    assert "smaller loss than w*" in slope.warnings[0]


def test_chains_that_are_too_short_say_so():
    found = learning_coefficient(bowl, origin(10), N, method="sgld", step=1e-4, steps=1, chains=4, draws=50, burn_in=0)
    assert found.r_hat > 1.05
    assert any("mixed" in said for said in found.warnings)


def test_a_step_that_is_refused_too_often_says_so():
    found = learning_coefficient(lambda w: 1e6 * bowl(w), origin(10), N, burn_in=1, chains=4, draws=50)
    assert any("are accepted" in said for said in found.warnings)


def test_divergence_is_an_error():
    with pytest.raises(ValueError, match="left for infinity"):
        learning_coefficient(bowl, origin(10), N, method="sgld", step=0.1, steps=400, chains=2, draws=10)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "sgld"}, "step must be .* or use 'hmc'"),
        ({"method": "nuts"}, "method must be"),
        ({"chains": 1}, "chains must be"),
        ({"method": "hmc", "step": 0.1}, "step must be None"),
        ({"localisation": 0.0}, "localisation must be"),
        ({"inverse_temperature": 0.0}, "inverse_temperature must be"),
        ({"anchor": torch.zeros(1, 10)}, "anchor must be a vector"),
        ({"anchor": torch.full((10,), math.inf).double()}, "loss must be"),
        ({"draws": 7}, "draws must be"),
        ({"batch_loss": lambda w, generator: bowl(w)}, "batch_loss and step must be None"),
    ],
)
def test_refusals(settings, said):
    with pytest.raises(ValueError, match=said):
        learning_coefficient(bowl, **{"anchor": origin(10), "n": N} | settings)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_law_on_a_gpu_in_single_precision():
    curvatures = CURVATURES.float().cuda()
    found = learning_coefficient(
        lambda w: (w.square() @ curvatures) / 2, torch.zeros(10, device="cuda"), N, chains=48, draws=200
    )
    assert agrees(found, 3.434)
