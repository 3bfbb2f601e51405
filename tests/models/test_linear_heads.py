"""Exact Gibbs risks of linear heads: closed forms, high precision, drawn weights; and the features they act on."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from genbounds.models.examples import TensorData
from genbounds.models.guards import ModelError
from genbounds.models.linear_heads import exact_gibbs_risk, extract_features, find_head
from genbounds.models.passes import count_errors_fresh_draws


def head_law(classes, inputs, *, bias=True, rank=0, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    shapes = {"weight": (classes, inputs)} | ({"bias": (classes,)} if bias else {})
    law = {
        "mean": {name: normal(*shape) for name, shape in shapes.items()},
        "scale": {name: 0.3 + 0.3 * normal(*shape).abs() for name, shape in shapes.items()},
    }
    if rank:
        law["factor"] = {name: 0.5 * normal(rank, *shape) for name, shape in shapes.items()}
    return law


def sample(n, inputs, classes, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, inputs, generator=generator, dtype=dtype)
    return TensorData(x, torch.randint(classes, (n,), generator=generator), "vectors")


def test_binary_isotropic_closed_form():
    # sign(w . x) with w ~ N(mu, sigma^2 I): Phi(-y mu . x / (sigma |x|)). Two scores (w, -w) / 2 differ by w . x.
    data, sigma = sample(50, 3, 2), 0.7
    mu = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    law = {
        "mean": {"weight": torch.stack([-mu, mu]) / 2},
        "scale": {"weight": torch.full((2, 3), sigma / math.sqrt(2), dtype=torch.float64)},
    }
    x, y = data.inputs.numpy(), 2 * data.targets.numpy() - 1
    exact = stats.norm.cdf(-y * (x @ mu.numpy()) / (sigma * np.linalg.norm(x, axis=1))).mean()
    value = exact_gibbs_risk(law, data, np.arange(50))
    assert exact - 1e-15 <= value <= exact + 1e-10


def test_population_risk_by_an_angle_integral():
    # x ~ N(0, I) in the plane: the risk depends on the angle of x alone.
    sigma, mu, truth = 0.8, np.array([1.0, 0.3]), np.array([0.2, 1.0])

    def integrand(angle):
        x = np.array([math.cos(angle), math.sin(angle)])
        return stats.norm.cdf(-np.sign(truth @ x) * (mu @ x) / sigma) / (2 * math.pi)

    zero = math.atan2(-truth[0], truth[1])
    population = sum(integrate.quad(integrand, zero + k * math.pi, zero + (k + 1) * math.pi)[0] for k in (0, 1))
    grid = (np.arange(20_000) + 0.5) * 2 * math.pi / 20_000
    x = np.stack([np.cos(grid), np.sin(grid)], axis=1) * np.random.default_rng(0).uniform(0.1, 9, (20_000, 1))
    data = TensorData(torch.from_numpy(x), torch.from_numpy((x @ truth > 0).astype(np.int64)), "circle")
    weight = torch.from_numpy(np.stack([-mu, mu]) / 2)
    law = {"mean": {"weight": weight}, "scale": {"weight": torch.full_like(weight, sigma / math.sqrt(2))}}
    assert exact_gibbs_risk(law, data, np.arange(20_000)) == pytest.approx(
        population, abs=1e-4
    )  # two jumps on the grid


@pytest.mark.parametrize("rank", [0, 2])
def test_two_classes_with_any_covariance_are_above_high_precision(rank):
    data, law = sample(20, 4, 2), head_law(2, 4, rank=rank)
    total = mpmath.mpf(0)
    with mpmath.workdps(40):
        for x, y in zip(data.inputs.tolist(), data.targets.tolist(), strict=True):
            x = [*map(mpmath.mpf, x), mpmath.mpf(1)]

            def score(part, k, x=x):
                row = [*part["weight"][k].tolist(), part["bias"][k].item()]
                return sum(mpmath.mpf(w) * a for w, a in zip(row, x, strict=True))

            margin = score(law["mean"], y) - score(law["mean"], 1 - y)
            variance = mpmath.mpf(0)
            for k in (0, 1):
                row = [*law["scale"]["weight"][k].tolist(), law["scale"]["bias"][k].item()]
                variance += sum((mpmath.mpf(s) * a) ** 2 for s, a in zip(row, x, strict=True))
            for r in range(rank):
                column = {name: value[r] for name, value in law["factor"].items()}
                variance += (score(column, 0) - score(column, 1)) ** 2
            total += mpmath.ncdf(-margin / mpmath.sqrt(variance))
        value = exact_gibbs_risk(law, data, np.arange(20))
        assert total / 20 <= value <= total / 20 + mpmath.mpf("1e-12")


@pytest.mark.parametrize(
    ("classes", "bias", "rank"), [(2, True, 0), (5, True, 0), (4, False, 0), (2, True, 3), (4, True, 2)]
)
def test_against_drawn_weights(classes, bias, rank):
    data = sample(400, 6, classes, dtype=torch.float32)
    law = head_law(classes, 6, bias=bias, rank=rank, dtype=torch.float32)
    model = nn.Linear(6, classes, bias=bias).eval()
    passes = 100
    errors = [
        count_errors_fresh_draws(model, data=data, indices=np.arange(400), seed=0, number=k, **law)
        for k in range(passes)
    ]
    drawn, value = sum(errors) / (400 * passes), exact_gibbs_risk(law, data, np.arange(400))
    deviation = 0.5 / math.sqrt(400 * passes)
    assert value > drawn - 4 * deviation
    if not (rank and classes > 2):  # with a factor it is the union bound
        assert value < drawn + 4 * deviation


def test_blocks_and_order_do_not_matter(monkeypatch):
    data, law = sample(30, 3, 3), head_law(3, 3, rank=1)
    whole = exact_gibbs_risk(law, data, np.arange(30))
    assert exact_gibbs_risk(law, data, np.arange(30)[::-1]) == pytest.approx(whole, rel=1e-14)
    monkeypatch.setattr("genbounds.models.linear_heads._NUMBERS", 50)
    assert exact_gibbs_risk(law, data, np.arange(30)) == pytest.approx(whole, rel=1e-13)


def test_a_head_that_is_almost_not_random_counts_errors():
    data, law = sample(100, 5, 4), head_law(4, 5)
    law["scale"] = {name: 1e-12 * value for name, value in law["scale"].items()}
    scores = data.inputs @ law["mean"]["weight"].T + law["mean"]["bias"]
    wrong = float((scores.argmax(1) != data.targets).double().mean())
    assert wrong <= exact_gibbs_risk(law, data, np.arange(100)) <= wrong + 1e-9


def test_targets_beyond_the_head_are_refused():
    with pytest.raises(ValueError, match="classes of the head, below 2"):
        exact_gibbs_risk(head_law(2, 3), sample(20, 3, 5), np.arange(20))


class Branched(nn.Module):
    """Has a linear layer that is registered last and is not the head."""

    def __init__(self):
        super().__init__()
        self.body, self.fc, self.extra = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(self.body(x).relu() + self.extra(x))


def test_the_head_is_what_gives_the_output_and_its_input_the_features():
    model = Branched().eval()
    data = sample(40, 3, 2, dtype=torch.float32)
    assert find_head(model, data.inputs[:4]) == "fc"
    assert find_head(nn.Linear(3, 2), data.inputs[:4]) == ""
    features = extract_features(model, "fc", data)
    assert len(features) == 40
    assert torch.equal(features.targets, data.targets)
    with torch.no_grad():
        torch.testing.assert_close(model.fc(features.inputs), model(data.inputs))
    assert not model.fc._forward_pre_hooks


class Repeated(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(self.fc(x))


def test_models_without_a_head_are_refused():
    x = torch.randn(4, 3)
    for model in (nn.Sequential(nn.Linear(3, 2), nn.Softmax(1)), Repeated(), nn.LayerNorm(3)):
        with pytest.raises(ModelError, match="must end in one"):
            find_head(model, x)
    with pytest.raises(ModelError, match="one vector per example"):
        find_head(nn.Linear(3, 2), x[:, None])
    tied = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    tied[2].weight = tied[0].weight
    with pytest.raises(ModelError, match=r"0\.weight, 2\.weight"):
        find_head(tied, x)


def test_the_head_is_found_on_any_device():
    with FakeTensorMode(), torch.no_grad():
        model = Branched()
        for layer in (model.body, model.fc, model.extra):
            for name, value in list(layer.named_parameters()):
                setattr(layer, name, nn.Parameter(torch.empty(value.shape, device="cuda")))
        assert find_head(model, torch.empty(4, 3, device="cuda")) == "fc"
