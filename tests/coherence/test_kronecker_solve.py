"""EK-FAC by curvlinops: exact where it can be, our own products against the library's, and what is refused."""

import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genbounds.coherence.curvature.damped_solve import conjugate_gradients
from genbounds.coherence.curvature.influence import influence
from genbounds.coherence.curvature.kronecker_solve import _as_module, _check_layers, kronecker_solution
from genbounds.models.blocks import Blocks
from genbounds.models.guards import ModelError
from genbounds.models.mean_loss import MeanLoss


@pytest.fixture
def curvlinops():
    return pytest.importorskip("curvlinops", exc_type=ImportError)


def examples(number=40, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(number, 4, generator=generator, dtype=torch.float64)
    return x, (x[:, :3].argmax(1) + (torch.rand(number, generator=generator) < 0.2)) % 3


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double().eval()


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own, when it loads forward mode
def test_products_and_solutions_are_the_librarys(curvlinops):
    """The Gauss-Newton matrix itself: their operator and their conjugate gradients, our own."""
    model, (x, y) = network(), examples()
    mean = MeanLoss(model, F.cross_entropy, Blocks((x, y), 16))
    theirs = curvlinops.GGNLinearOperator(
        model, nn.CrossEntropyLoss(), list(model.parameters()), [(x[:16], y[:16]), (x[16:], y[16:])]
    )
    v = torch.randn(mean.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mean.gauss_newton(v[None])[0], theirs @ v, rtol=1e-10, atol=1e-13)
    dense = theirs @ torch.eye(mean.size, dtype=torch.float64) + 0.01 * torch.eye(mean.size, dtype=torch.float64)
    ours = conjugate_gradients(mean.gauss_newton, v[None], damping=0.01, tolerance=1e-12, max_steps=500)
    torch.testing.assert_close(ours.vectors[0], torch.linalg.solve(dense, v), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("loss", [F.mse_loss, nn.MSELoss()])
def test_exact_for_one_linear_layer_and_squares(curvlinops, loss):
    """The Hessian in the outputs is the same for all examples: the matrix is a Kronecker product."""
    torch.manual_seed(0)
    model, (x, _) = nn.Linear(4, 3).double().eval(), examples()
    y = torch.randn(len(x), 3, dtype=torch.float64)
    mean = MeanLoss(model, loss, Blocks((x, y), 16))
    sides = torch.randn(2, mean.size, dtype=torch.float64)
    found = kronecker_solution(mean, Blocks((x, y), 16), loss, sides, damping=0.05)
    exact = conjugate_gradients(mean.gauss_newton, sides, damping=0.05, tolerance=1e-13, max_steps=100)
    assert max(found.residuals) < 1e-10
    torch.testing.assert_close(found.vectors, exact.vectors, rtol=1e-8, atol=1e-10)


def test_an_approximation_with_its_true_residual(curvlinops):
    model, data, query = network(), examples(), examples(15, seed=2)
    settings = {"damping": 0.05, "groups": 3}
    exact = influence(model, F.cross_entropy, data, query, tolerance=1e-10, **settings)
    found = influence(model, F.cross_entropy, data, query, curvature="ekfac", **settings)
    assert np.corrcoef(exact.influences, found.influences)[0, 1] > 0.9
    assert not np.allclose(exact.influences, found.influences, rtol=0.01)
    assert not found.converged
    assert 1e-3 < max(found.residuals) < 1
    assert found.steps == 0
    assert "EK-FAC, an approximation" in str(found)
    assert all(value.grad is None for value in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "curvlinops", None)
    with pytest.raises(ImportError, match=r"pip install 'genbounds\[curvature\]'"):
        influence(network(), F.cross_entropy, examples(), examples(), curvature="ekfac", damping=0.1)


@pytest.mark.parametrize("known", [F.cross_entropy, F.mse_loss, F.binary_cross_entropy_with_logits])
def test_losses_that_the_library_would_take_for_others(known):
    module = _as_module(known)
    assert isinstance(_as_module(type(module)()), type(module))
    for other in (lambda z, y: known(z, y), type(module)(reduction="sum"), nn.NLLLoss()):
        with pytest.raises(ModelError, match="without further settings"):
            _as_module(other)
    with pytest.raises(ModelError, match="without further settings"):
        _as_module(nn.CrossEntropyLoss(label_smoothing=0.1))
    with pytest.raises(ModelError, match="without further settings"):
        _as_module(nn.CrossEntropyLoss(weight=torch.ones(3)))


def test_layers_that_the_library_would_take_for_others():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x))

    data = Blocks(examples(), 8, dtype=torch.float32)
    refused = [
        (Tied(), "a.weight of Linear and Linear"),
        (nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3)), "of LayerNorm"),
        (nn.Sequential(nn.Conv2d(2, 2, 1, groups=2)), "of Conv2d"),
        (nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")), "of Conv2d"),
    ]
    for model, shown in refused:
        with pytest.raises(ModelError, match=shown):
            _check_layers(MeanLoss(model, F.cross_entropy, data))
    mixed = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
    _check_layers(MeanLoss(mixed, F.cross_entropy, data, parameters=["0.weight", "0.bias"]))


def test_keyword_inputs_are_refused(curvlinops):
    model, (x, y) = nn.Linear(4, 3).double().eval(), examples()
    blocks = Blocks(({"input": x}, y), 16)
    mean = MeanLoss(model, F.cross_entropy, blocks)
    with pytest.raises(ModelError, match="got keyword inputs"):
        kronecker_solution(mean, blocks, F.cross_entropy, torch.ones(1, 15, dtype=torch.float64), damping=0.1)
