import math
import re

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.information.bayes_mixture import bayes_mixture
from genbounds.models.examples import TensorData
from genbounds.models.guards import ModelError
from genbounds.numerics import kl_isotropic


class Slope(nn.Module):
    """Two classes, one weight: scores (0, weight * input)."""

    def __init__(self, slope):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[slope]]))

    def forward(self, inputs):
        scores = nn.functional.linear(inputs, self.weight)
        return torch.cat([torch.zeros_like(scores), scores], dim=1)


@pytest.fixture
def line():
    inputs = torch.linspace(-2, 2, 60)[:, None]
    targets = (inputs[:, 0] + 0.3 * torch.cos(40 * inputs[:, 0]) > 0).long()
    return TensorData(inputs, targets, "a line")


def log_losses(data, slopes, smoothing):
    """Cumulative log-loss at each slope, in NumPy."""
    x, y = data.inputs.double().numpy()[:, 0], data.targets.numpy()
    margins = np.where(y == 1, 1, -1) * x
    right = 1 / (1 + np.exp(-np.asarray(slopes)[:, None] * margins))
    return -np.log((1 - smoothing) * right + smoothing / 2).sum(axis=1)


def exact_mixture(data, prior_scale, smoothing):
    """-ln of the probability that the mixture over slopes gives to the labels, by quadrature."""
    slopes = np.linspace(-12 * prior_scale, 12 * prior_scale, 40_001)
    density = np.exp(-((slopes / prior_scale) ** 2) / 2) / (prior_scale * math.sqrt(2 * math.pi))
    return -math.log((density * np.exp(-log_losses(data, slopes, smoothing))).sum() * (slopes[1] - slopes[0]))


@pytest.mark.parametrize("smoothing", [0.0, 0.05])
def test_against_quadrature(line, smoothing):
    """Above the mixture's own log-loss, and next to it at the width of the posterior."""
    slope, widths = 4.0, [0.01, 0.3, 1.0, 2.0]
    found = bayes_mixture(
        Slope(slope).eval(), line, range(60), prior_scale=5.0, widths=widths, draws=200, seed=1, smoothing=smoothing
    )
    truth = exact_mixture(line, 5.0, smoothing)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    for width, each in zip(widths, found, strict=True):
        mean = weights @ log_losses(line, slope + width * nodes, smoothing) / weights.sum()
        assert each.kl == pytest.approx(float(kl_isotropic([slope], width, [0.0], 5.0)), rel=1e-6)
        assert abs(each.log_loss - mean) < 4 * each.standard_error + 1e-4
        assert truth < mean + each.kl
        assert each.estimate == each.log_loss + each.kl
        assert each.limit > mean + each.kl
        assert each.limit < math.inf if smoothing else each.limit == math.inf
    assert min(each.estimate for each in found) < truth + 1.5


def test_standard_error_is_that_of_repeated_runs(line):
    model = Slope(2.0).eval()
    runs = [
        bayes_mixture(model, line, range(60), prior_scale=1.0, widths=[1.0], draws=4, seed=seed)[0]
        for seed in range(200)
    ]
    spread = np.std([each.log_loss for each in runs], ddof=1)
    assert spread == pytest.approx(np.mean([each.standard_error for each in runs]), rel=0.15)


def test_limits_hold_as_often_as_they_say(line):
    """At delta = 0.5 for two widths; the true averages are known."""
    model, widths, smoothing = Slope(1.0).eval(), [1.0, 3.0], 0.1
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    means = [weights @ log_losses(line, 1.0 + width * nodes, smoothing) / weights.sum() for width in widths]
    missed = 0
    for seed in range(60):
        found = bayes_mixture(
            model, line, range(60), prior_scale=1.0, widths=widths, draws=2, seed=seed, smoothing=smoothing, delta=0.5
        )
        missed += any(each.limit < mean + each.kl for each, mean in zip(found, means, strict=True))
    assert missed <= 30


def test_a_union_over_widths_is_paid(line):
    model = Slope(1.0).eval()
    settings = {"prior_scale": 1.0, "draws": 3, "seed": 0, "smoothing": 0.1}
    alone = bayes_mixture(model, line, range(60), widths=[1.0], delta=0.01, **settings)[0]
    shared = bayes_mixture(model, line, range(60), widths=[1.0] * 4, delta=0.04, **settings)
    assert [each.limit for each in shared] == pytest.approx([alone.limit] * 4, rel=1e-12)
    assert {each.log_loss for each in shared} == {alone.log_loss}  # the same networks at each width


def test_repeatable_and_independent_of_what_came_before(line):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    settings = {"prior_scale": 1.0, "draws": 3, "seed": 7}
    state = torch.get_rng_state()
    both = bayes_mixture(model, line, range(60), widths=[0.1, 0.5], **settings)
    assert torch.equal(torch.get_rng_state(), state)
    assert both[1:] == bayes_mixture(model, line, range(60), widths=[0.5], **settings)
    part = bayes_mixture(model, line, [3, 40, 41], widths=[0.5], **settings)[0]
    assert part.examples == 3
    assert part.log_loss < both[1].log_loss


def test_the_prior_may_stand_around_the_start(line):
    model = nn.Linear(1, 2).eval()
    start = {name: value.detach() + 0.1 for name, value in model.named_parameters()}
    near, far = (
        bayes_mixture(model, line, range(9), prior_scale=0.5, widths=[0.5], draws=2, seed=0, centre=centre)[0]
        for centre in (start, {name: value + 5 for name, value in start.items()})
    )
    assert near.kl == pytest.approx(4 * 0.1**2 / (2 * 0.5**2), rel=1e-5)
    assert near.log_loss == far.log_loss
    assert far.kl > near.kl


def test_types_and_devices(line):
    """float64 throughout agrees with float32 to its rounding; the width counted is the one drawn with."""
    model = Slope(2.0).eval()
    settings = {"prior_scale": 1.0, "widths": [0.1], "draws": 500, "seed": 0}
    single = bayes_mixture(model, line, range(60), **settings)[0]
    double = bayes_mixture(model, line, range(60), dtype=torch.float64, **settings)[0]
    assert double.width == 0.1
    assert single.width == float(np.float32(0.1))
    assert single.kl == pytest.approx(double.kl, rel=1e-6)
    assert abs(single.log_loss - double.log_loss) < 6 * double.standard_error


def test_it_says_what_is_estimated(line):
    model = Slope(2.0).eval()
    plain, smooth = (
        bayes_mixture(model, line, range(60), prior_scale=1.0, widths=[0.1], draws=2, seed=0, smoothing=s)[0]
        for s in (0.0, 0.1)
    )
    assert re.fullmatch(r"width 0\.1: [\d.]+ \+- [\d.]+ nats an example, estimated", str(plain))
    assert str(smooth).endswith("with probability 0.95 over the draws")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": []}, "widths and indices must not be empty"),
        ({"indices": []}, "widths and indices must not be empty"),
        ({"smoothing": 1.0}, "smoothing must be below 1"),
        ({"smoothing": -0.1}, r"smoothing must be in \[0, 1\]"),
        ({"widths": [0.0]}, "widths must be positive and finite"),
        ({"draws": 1}, "draws must be a whole number of at least 2"),
        ({"prior_scale": 0.0}, "scale_p must be positive"),
        ({"delta": 1.0}, "delta must be strictly between 0 and 1"),
        ({"centre": {"bias": torch.zeros(2)}}, r"centre must have the names and shapes .* got \['bias'\]"),
    ],
)
def test_what_cannot_be_is_refused(line, change, message):
    arguments = {"indices": [0, 1], "prior_scale": 1.0, "widths": [0.1], "draws": 2, "seed": 0} | change
    with pytest.raises(ValueError, match=message):
        bayes_mixture(Slope(1.0).eval(), line, **arguments)


def test_networks_that_no_prior_covers_are_refused(line):
    settings = {"prior_scale": 1.0, "widths": [0.1], "draws": 2, "seed": 0}
    with pytest.raises(ModelError, match="training mode"):
        bayes_mixture(nn.Sequential(nn.Linear(1, 2), nn.Dropout()), line, [0, 1], **settings)
    normalised = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 2))
    normalised(line.inputs)
    with pytest.raises(ModelError, match="model must hold what it learnt in parameters, got buffers"):
        bayes_mixture(normalised.eval(), line, [0, 1], **settings)
    with pytest.raises(ModelError, match="two columns"):
        bayes_mixture(nn.Linear(1, 1).eval(), line, [0, 1], **settings)
    with pytest.raises(ModelError, match="must be finite"):
        bayes_mixture(Slope(math.inf).eval(), line, [0, 1], **(settings | {"centre": {"weight": torch.ones(1, 1)}}))
