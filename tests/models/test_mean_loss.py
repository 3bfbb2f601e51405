"""The mean of a loss as a function of the parameters: against autograd on the whole set, and Jacobians written out."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from genbounds.models.blocks import Block, Blocks
from genbounds.models.guards import ModelError
from genbounds.models.mean_loss import MeanLoss
from genbounds.models.randomness import stream


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.norm = nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        x = self.norm(self.embedding(tokens))
        return self.head(x + self.attention(x, x, x, need_weights=False)[0]).mean(1)


class Partly(nn.Module):
    """A parameter that is never used, and one behind which nothing depends on the loss's curvature."""

    def __init__(self):
        super().__init__()
        self.used, self.idle = nn.Linear(3, 2), nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.used(x).tanh()


def worlds():
    torch.manual_seed(0)
    x = torch.randn(11, 3, dtype=torch.float64)
    images = torch.randn(5, 1, 6, 6, dtype=torch.float64)
    tokens = torch.randint(0, 7, (6, 5))
    classes = torch.arange(11) % 3
    mlp = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
    convolution = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    return {
        "mlp": (mlp, F.cross_entropy, x, classes),
        "squares": (mlp, F.mse_loss, x, x.flip(0)),
        "one each": (mlp, lambda z, y: F.cross_entropy(z, y, reduction="none"), x, classes),
        "convolution": (convolution, F.cross_entropy, images, classes[:5]),
        "attention, tied": (Attention(), F.cross_entropy, tokens, tokens[:, 0]),
        "logistic": (
            nn.Linear(3, 1),
            lambda z, y: F.binary_cross_entropy_with_logits(z.squeeze(1), y.to(z)),
            x,
            classes % 2,
        ),
        "partly": (Partly(), F.cross_entropy, x, classes % 2),
        "flat": (mlp, lambda z, y: z[:, 0].mean(), x, classes),
    }


WORLDS = worlds()


def oracle(model, loss, inputs, targets):
    """Mean loss, gradient and Gauss-Newton matrix from Jacobians of single examples."""
    values = {name: value.detach() for name, value in model.named_parameters()}
    shapes = [value.shape for value in values.values()]

    def outputs(flat, x):
        parts = flat.split([shape.numel() for shape in shapes])
        shaped = {name: part.reshape(shape) for name, part, shape in zip(values, parts, shapes, strict=True)}
        return functional_call(model, shaped, (x,))

    flat = torch.cat([value.flatten() for value in values.values()])
    matrix, gradient, total = 0.0, 0.0, 0.0
    for x, y in zip(inputs.split(1), targets.split(1), strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda w, x=x: outputs(w, x).squeeze(0), flat)

        def of_outputs(z, y=y):
            return loss(z.unsqueeze(0), y).sum()

        z = outputs(flat, x).squeeze(0)
        matrix = matrix + jacobian.T @ torch.autograd.functional.hessian(of_outputs, z) @ jacobian
        gradient = gradient + jacobian.T @ torch.func.grad(of_outputs)(z)
        total += float(of_outputs(z))
    return total / len(inputs), gradient / len(inputs), matrix / len(inputs)


@pytest.mark.parametrize("name", WORLDS)
@torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
def test_against_jacobians_of_single_examples(name):
    model, loss, inputs, targets = WORLDS[name]
    model = model.double().eval()
    value, gradient, matrix = oracle(model, loss, inputs, targets)
    found = MeanLoss(model, loss, Blocks((inputs, targets), 4))
    assert found.size == len(gradient)
    got, slope = found.value_and_gradient()
    assert got == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(slope, gradient, rtol=1e-10, atol=1e-13)
    vectors = torch.randn(3, found.size, dtype=torch.float64)
    torch.testing.assert_close(found.gauss_newton(vectors), vectors @ matrix, rtol=1e-9, atol=1e-12)


def hessian_oracle(model, loss, inputs, targets):
    """The Hessian of the mean loss by autograd, all at once."""
    values = {name: value.detach() for name, value in model.named_parameters()}
    shapes = [value.shape for value in values.values()]

    def mean(flat):
        parts = flat.split([shape.numel() for shape in shapes])
        shaped = {name: part.reshape(shape) for name, part, shape in zip(values, parts, shapes, strict=True)}
        return loss(functional_call(model, shaped, (inputs,)), targets).mean()

    return torch.autograd.functional.hessian(mean, torch.cat([value.flatten() for value in values.values()]))


@pytest.mark.parametrize("name", WORLDS)
@torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
def test_the_hessian_is_that_of_autograd(name):
    model, loss, inputs, targets = WORLDS[name]
    matrix = hessian_oracle(model.double().eval(), loss, inputs, targets)
    for batch_size in (4, len(inputs)):
        found = MeanLoss(model, loss, Blocks((inputs, targets), batch_size))
        vectors = torch.randn(3, found.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(found.hessian(vectors), vectors @ matrix, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_the_products_are_those_of_another_package():
    curvlinops = pytest.importorskip("curvlinops", reason="needs curvlinops-for-pytorch, which brings torchvision")
    model, loss, inputs, targets = WORLDS["mlp"]
    model = model.double().eval()
    parameters = list(model.parameters())
    mean = MeanLoss(model, loss, Blocks((inputs, targets), 5))
    vectors = torch.randn(3, mean.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for operator, products in (
        (curvlinops.HessianLinearOperator, mean.hessian),
        (curvlinops.GGNLinearOperator, mean.gauss_newton),
    ):
        theirs = operator(model, nn.CrossEntropyLoss(), parameters, [(inputs, targets)])
        torch.testing.assert_close(products(vectors), (theirs @ vectors.T).T.detach(), rtol=1e-9, atol=1e-12)


def test_nothing_of_the_models_is_touched():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double().eval()
    model[0].weight.requires_grad_(False)
    model[2].bias.grad = torch.full((3,), 5.0, dtype=torch.float64)
    state = torch.get_rng_state()
    with torch.no_grad():
        found = MeanLoss(model, F.cross_entropy, Blocks((torch.randn(4, 3).double(), torch.arange(4) % 3), 2))
        state = torch.get_rng_state()
        found.gauss_newton(torch.ones(1, found.size, dtype=torch.float64))
        found.value_and_gradient()
        found.mean_eigenvalue(stream(0, "test"), 2)
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    assert found.names == ("0.bias", "2.weight", "2.bias")
    assert not model[0].weight.requires_grad
    assert torch.equal(model[2].bias.grad, torch.full((3,), 5.0, dtype=torch.float64))
    assert all(value.grad is None for name, value in model.named_parameters() if name != "2.bias")


def test_a_choice_of_parameters_is_a_block_of_the_matrix():
    model, loss, inputs, targets = WORLDS["mlp"]
    model = model.double().eval()
    _, _, matrix = oracle(model, loss, inputs, targets)
    found = MeanLoss(model, loss, Blocks((inputs, targets), 4), parameters=["2.weight", "2.bias"])
    torch.testing.assert_close(
        found.gauss_newton(torch.eye(found.size, dtype=torch.float64)), matrix[16:, 16:], rtol=1e-10, atol=1e-13
    )


def test_blocks_do_not_matter():
    model, loss, inputs, targets = WORLDS["mlp"]
    means = [MeanLoss(model.double(), loss, Blocks((inputs, targets), size)) for size in (1, 5, 11)]
    vector = torch.ones(1, means[0].size, dtype=torch.float64)
    for mean in means[1:]:
        torch.testing.assert_close(mean.gauss_newton(vector), means[0].gauss_newton(vector), rtol=1e-13, atol=1e-15)


def test_the_mean_eigenvalue_is_unbiased_with_the_stated_spread():
    model, loss, inputs, targets = WORLDS["logistic"]
    model = model.double().eval()
    _, _, matrix = oracle(model, loss, inputs, targets)
    found = MeanLoss(model, loss, Blocks((inputs, targets), 11))
    mean = float(matrix.trace()) / found.size
    exact = [found.mean_eigenvalue(stream(seed, "probe"), 1) for seed in range(300)]
    # Signs of a 4 x 4 matrix: 2 (|G|_F^2 - sum of squares of the diagonal) is the variance of one probe's trace.
    deviation = math.sqrt(2 * float(matrix.square().sum() - matrix.diagonal().square().sum())) / found.size
    assert sum(exact) / 300 == pytest.approx(mean, abs=4 * deviation / math.sqrt(300))
    assert torch.tensor(exact).std() == pytest.approx(deviation, rel=0.25)


def test_refusals():
    data = Blocks((torch.randn(4, 3), torch.arange(4) % 3), 2)
    with pytest.raises(ModelError, match="statistics of the batch"):
        MeanLoss(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), F.cross_entropy, data)

    class Wrapped(nn.Linear):
        def forward(self, x):
            return {"logits": super().forward(x)}

    with pytest.raises(ModelError, match=r"got a dict\. Wrap it"):
        MeanLoss(Wrapped(3, 3), F.cross_entropy, data).value_and_gradient()

    class Detached(nn.Linear):
        def forward(self, x):
            return super().forward(x).detach()

    with pytest.raises(ModelError, match="depends on none"):
        MeanLoss(Detached(3, 3), F.cross_entropy, data).value_and_gradient()


def test_everything_stays_on_one_device():
    """Tensors without data, on a device of their own, refuse to meet those of the CPU."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).to("meta")
    part = Block(0, np.arange(4), torch.empty(4, 3, device="meta"), torch.empty(4, dtype=torch.int64, device="meta"))
    blocks = type("Given", (list,), {"number": 8})([part, part])  # real ones look at values
    mean = MeanLoss(model, F.cross_entropy, blocks)
    product = mean.gauss_newton(torch.empty(2, mean.size, dtype=torch.float64, device="meta"))
    assert (product.device.type, product.dtype, tuple(product.shape)) == ("meta", torch.float64, (2, 31))
    product = mean.hessian(torch.empty(2, mean.size, dtype=torch.float64, device="meta"))
    assert (product.device.type, product.dtype, tuple(product.shape)) == ("meta", torch.float64, (2, 31))


def test_a_count_of_errors_has_no_hessian():
    blocks = Blocks((torch.randn(4, 3), torch.arange(4) % 3), 2)
    mean = MeanLoss(nn.Linear(3, 3), lambda z, y: (z.argmax(1) != y).float().mean(), blocks)
    with pytest.raises(ModelError, match="differentiable"):
        mean.hessian(torch.ones(1, mean.size, dtype=torch.float64))
