"""Curvature: against matrices written out, closed forms of the last layer, and what scaling does."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genbounds.measures import curvature, head_curvature
from genbounds.models.data import load_data
from genbounds.models.guards import ModelError


def network(seed=0, act=nn.Tanh):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 6), act(), nn.Linear(6, 3)).double().eval()


def examples(n=50, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return load_data((
        torch.randn(n, 4, generator=generator, dtype=torch.float64),
        torch.randint(0, 3, (n,), generator=generator),
    ))


def written_out(model, data, names=None):
    values = {name: value.detach() for name, value in model.named_parameters()}
    chosen = [name for name in values if names is None or name in names]
    shapes = [values[name].shape for name in chosen]

    def mean(flat):
        parts = flat.split([shape.numel() for shape in shapes])
        moved = {name: part.reshape(shape) for name, part, shape in zip(chosen, parts, shapes, strict=True)}
        return F.cross_entropy(torch.func.functional_call(model, values | moved, (data.inputs,)), data.targets)

    return torch.autograd.functional.hessian(mean, torch.cat([values[name].flatten() for name in chosen])).numpy()


@pytest.mark.parametrize("trace", ["hutchinson", "hutch++", "xtrace"])
def test_trace_and_ends_are_those_of_the_matrix(trace):
    model, data = network(), examples()
    hessian = written_out(model, data)
    values = np.linalg.eigvalsh(hessian)
    found = curvature(model, data, trace=trace, dtype=torch.float64, density=True)
    assert found.parameters == 51
    assert abs(found.trace.value - values.sum()) <= 4.5 * found.trace.standard_error
    assert found.ends.largest == pytest.approx(values[-1], rel=1e-6)
    assert found.ends.smallest == pytest.approx(values[0], rel=1e-4)
    mean, error = found.density.mean(lambda x: x**2)
    assert abs(mean - np.mean(values**2)) <= 4.5 * error
    assert json.dumps(found.to_json(), allow_nan=False)


def test_the_linearised_matrix_has_no_negative_eigenvalue():
    model, data = network(2), examples()
    full = curvature(model, data, dtype=torch.float64)
    linear = curvature(model, data, matrix="gauss-newton", dtype=torch.float64)
    assert full.ends.smallest < -1e-4
    assert linear.ends.smallest >= -1e-12


def test_the_same_seed_gives_the_same_numbers_whatever_the_model_required():
    model, data = network(), examples()
    one = curvature(model, data, dtype=torch.float64)
    assert one == curvature(model.requires_grad_(False), data, dtype=torch.float64)
    assert one.trace != curvature(model, data, dtype=torch.float64, seed=1).trace


class Diagonal(nn.Module):
    """f(x) = <u * v, x>."""

    def __init__(self, u, v):
        super().__init__()
        self.u, self.v = nn.Parameter(torch.tensor(u)), nn.Parameter(torch.tensor(v))

    def forward(self, x):
        return x @ (self.u * self.v)


def test_a_diagonal_network_at_a_minimum_of_white_data():
    """tr H = |u|^2 + |v|^2, at least twice the 1-norm of u * v: flat minima are sparse ones."""
    u, v = [1.0, -2.0, 0.5, 0.1], [0.3, 1.0, 2.0, 0.2]
    model = Diagonal(u, v).double().eval()
    x = torch.tensor(np.sqrt(4) * np.eye(4))  # mean of x x^T is the identity
    data = [(x, model(x).detach())]

    def half_square(outputs, targets):
        return ((outputs - targets) ** 2).mean() / 2

    from genbounds.models.blocks import Blocks
    from genbounds.models.mean_loss import MeanLoss

    mean = MeanLoss(model, half_square, Blocks(data[0], 3))
    hessian = mean.hessian(torch.eye(8, dtype=torch.float64))
    norms = float(np.sum(np.square(u)) + np.sum(np.square(v)))
    assert float(hessian.trace()) == pytest.approx(norms)
    assert norms >= 2 * np.abs(np.multiply(u, v)).sum()
    weights = torch.tensor(u + v, dtype=torch.float64)
    adaptive = float((hessian.diag() * weights**2).sum())
    assert adaptive == pytest.approx(2 * float(np.sum(np.multiply(u, v) ** 2)))


def test_the_head_in_closed_form():
    model, data = network(act=nn.ReLU), examples()
    hessian = written_out(model, data, ["2.weight"])
    found = head_curvature(model, data, dtype=torch.float64)
    assert found.trace == pytest.approx(np.trace(hessian), rel=1e-10)
    assert found.largest.largest == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-6)
    weight = model[2].weight.detach().numpy()
    blocks = hessian.reshape(3, 6, 3, 6)
    flatness = sum(weight[s] @ weight[t] * np.trace(blocks[s, :, t]) for s in range(3) for t in range(3))
    assert found.relative_flatness == pytest.approx(flatness, rel=1e-10)


def test_relative_flatness_does_not_see_a_scaling_of_the_features():
    model, other, data = network(act=nn.ReLU), network(act=nn.ReLU), examples()
    with torch.no_grad():
        other[0].weight.mul_(8)
        other[0].bias.mul_(8)
        other[2].weight.div_(8)
    one, two = (head_curvature(each, data, dtype=torch.float64) for each in (model, other))
    assert two.relative_flatness == pytest.approx(one.relative_flatness, rel=1e-12)
    assert two.trace == pytest.approx(64 * one.trace, rel=1e-12)


def test_models_that_do_not_end_in_a_linear_layer_are_refused():
    with pytest.raises(ModelError, match="end in one"):
        head_curvature(nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)).eval(), examples())
    with pytest.raises(ModelError, match="evaluation mode"):
        curvature(network().train(), examples())
