"""Measures of outputs: the definition against per-example gradients, Euler's identity, and known distributions."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from genbounds.measures import output_measures
from genbounds.models.data import load_data
from genbounds.models.guards import ModelError


def seeded(build, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build().double().eval()


def examples(n=40, width=6, classes=3):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, width, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, classes, (n,), generator=generator)


def found(model, x, y):
    measures = output_measures(model, load_data((x, y)), dtype=torch.float64)
    return {each.name: each.value for each in measures}


NETWORKS = {
    "biases": lambda: nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3)),
    "normalised": lambda: nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_fisher_rao_is_the_mean_square_of_gradients_along_the_weights(name):
    model, (x, y) = seeded(NETWORKS[name]), examples()
    weights = {key: value.detach() for key, value in model.named_parameters()}

    def along(gradients):
        return sum((weights[key] * value).flatten(1).sum(1) for key, value in gradients.items())

    def loss(values, one, target):
        return F.cross_entropy(functional_call(model, values, (one[None],)), target[None])

    empirical = along(vmap(grad(loss), (None, 0, 0))(weights, x, y)).square().mean()
    p = model(x).detach().softmax(1)
    true = sum(
        (p[:, k] * along(vmap(grad(loss), (None, 0, 0))(weights, x, torch.full_like(y, k))).square()) for k in range(3)
    ).mean()
    measures = found(model, x, y)
    assert measures["fisher_rao"] == pytest.approx(float(empirical), rel=1e-10)
    assert measures["fisher_rao_true"] == pytest.approx(float(true), rel=1e-10)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_euler_gives_the_printed_form_without_biases_and_only_there(depth):
    def build(bias):
        inner = [part for _ in range(depth - 1) for part in (nn.Linear(6, 6, bias=bias), nn.ReLU())]
        return nn.Sequential(*inner, nn.Linear(6, 3, bias=bias))

    x, y = examples()
    for bias in (False, True):
        model = seeded(lambda bias=bias: build(bias), depth)
        f = model(x).detach()
        p = f.softmax(1)
        printed = depth**2 * float(((p - F.one_hot(y, 3)) * f).sum(1).square().mean())
        variance = depth**2 * float(((p * f.square()).sum(1) - (p * f).sum(1).square()).mean())
        measures = found(model, x, y)
        same = measures["fisher_rao"] == pytest.approx(printed, rel=1e-10)
        assert same is not (bias and depth > 1)
        if not bias:
            assert measures["fisher_rao_true"] == pytest.approx(variance, rel=1e-10)


def test_entropy_loss_and_error_of_known_outputs():
    model = nn.Linear(3, 3, bias=False).double().eval()
    nn.init.eye_(model.weight)
    p = torch.tensor([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3], [0.125, 0.75, 0.125]], dtype=torch.float64)
    measures = found(model, p.log(), torch.tensor([1, 0, 1]))
    entropy = (1.5 * math.log(2) + math.log(3) + 0.25 * math.log(8) - 0.75 * math.log(0.75)) / 3
    assert measures["output_entropy"] == pytest.approx(entropy, rel=1e-12)
    assert measures["cross_entropy"] == pytest.approx((math.log(4) + math.log(3) - math.log(0.75)) / 3, rel=1e-12)
    assert measures["training_error"] == pytest.approx(1 / 3)


def test_certain_outputs_have_no_entropy_and_no_nan():
    model = nn.Linear(2, 2, bias=False).double().eval()
    with torch.no_grad():
        model.weight.copy_(2000 * torch.eye(2))
    x = torch.eye(2, dtype=torch.float64)
    measures = found(model, x, torch.tensor([0, 1]))
    assert measures.pop("margin") == pytest.approx(2000)
    assert all(abs(value) < 1e-300 for value in measures.values()), measures


def test_attention_is_differentiated_too():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
            self.head = nn.Linear(6, 3)

        def forward(self, x):
            return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))

    model = seeded(Attending)
    x = torch.randn(8, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.arange(8) % 3
    weights = {key: value.detach() for key, value in model.named_parameters()}

    def scaled(t):
        return F.cross_entropy(
            functional_call(model, {key: t * value for key, value in weights.items()}, (x,)), y, reduction="none"
        )

    step = 1e-5
    along = (scaled(1 + step) - scaled(1 - step)) / (2 * step)
    assert found(model, x, y)["fisher_rao"] == pytest.approx(float(along.square().mean()), rel=1e-6)


def test_training_mode_is_refused():
    x, y = examples()
    with pytest.raises(ModelError, match="evaluation mode"):
        output_measures(nn.Linear(6, 3).train(), load_data((x, y)))
