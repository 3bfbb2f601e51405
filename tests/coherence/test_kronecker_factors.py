"""Preconditioners against explicit Kronecker products and inverses, from gradients and factors by plain autograd."""

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.coherence.kronecker_factors import fit_preconditioner
from genbounds.models.per_example.engine import PerExampleGradients

DAMPING = 0.03


class Mixed(nn.Module):
    """A grouped convolution, a linear map at several positions, one at one, a normalisation, an embedding."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.convolution = nn.Conv1d(4, 6, 2, groups=2)
        self.norm = nn.LayerNorm(6)
        self.positions = nn.Linear(6, 3)
        self.head = nn.Linear(12, 3, bias=False)

    def forward(self, tokens):
        x = self.convolution(self.embedding(tokens).mT).mT
        return self.head(torch.tanh(self.positions(torch.tanh(self.norm(x)))).flatten(1))


def mixed():
    torch.manual_seed(0)
    model = Mixed().to(torch.float64).eval()
    tokens = torch.randint(0, 7, (11, 5), generator=torch.Generator().manual_seed(1))
    return model, tokens, torch.arange(11) % 3


def factors(model, layer, inputs, targets):
    """Inputs and output gradients (B, T, ...) of a layer, each example's loss by itself."""
    kept = {}

    def note(_, args, output):
        output.retain_grad()
        kept["a"], kept["z"] = args[0], output

    handle = dict(model.named_modules())[layer].register_forward_hook(note)
    nn.functional.cross_entropy(model(inputs), targets, reduction="sum").backward()
    handle.remove()
    model.zero_grad()
    return kept["a"].detach(), kept["z"].grad


def explicit(a, b):
    """``(A (x) B + damping)^-1`` for (B, T, d) factors; entries in the order d_out, d_in."""
    first = torch.einsum("nti,ntj->ij", a, a) / (a.shape[0] * a.shape[1])
    second = torch.einsum("nti,ntj->ij", b, b) / len(b)
    product = torch.kron(second, first)
    return torch.linalg.inv(
        product + DAMPING * product.diagonal().mean() * torch.eye(len(product), dtype=torch.float64)
    )


def written_out(model, inputs, targets):
    chosen = dict(model.named_parameters())
    rows = [
        torch.autograd.grad(nn.functional.cross_entropy(model(x[None]), y[None]), list(chosen.values()))
        for x, y in zip(inputs, targets, strict=True)
    ]
    return {name: torch.stack(column).flatten(1) for name, column in zip(chosen, zip(*rows, strict=True), strict=True)}


def explicit_blocks(model, inputs, targets):
    gradients = written_out(model, inputs, targets)
    blocks = {}
    for name, rows in gradients.items():
        moment = rows.square().mean(0)
        blocks[name] = torch.diag(1 / (moment + DAMPING * moment.mean()))
    a, b = factors(model, "positions", inputs, targets)
    blocks["positions.weight"] = explicit(a, b)
    a, b = factors(model, "head", inputs, targets)
    blocks["head.weight"] = explicit(a[:, None], b[:, None])
    a, b = factors(model, "convolution", inputs, targets)
    patches = (
        a.unfold(2, 2, 1).reshape(11, 2, 2, 4, 2).permute(0, 1, 3, 2, 4).flatten(3)
    )  # B, group, T, channels x taps
    b = b.reshape(11, 2, 3, 4).mT
    products = [
        torch.kron(
            torch.einsum("nti,ntj->ij", b[:, g], b[:, g]) / 11,
            torch.einsum("nti,ntj->ij", patches[:, g], patches[:, g]) / 44,
        )
        for g in range(2)
    ]
    whole = torch.block_diag(*products)
    blocks["convolution.weight"] = torch.linalg.inv(
        whole + DAMPING * whole.diagonal().mean() * torch.eye(len(whole), dtype=torch.float64)
    )
    return gradients, blocks


def squared_norms(model, inputs, targets, preconditioner):
    found = {}

    def take_in(name, rows, gradients):
        part = found.setdefault(name, torch.full((len(inputs),), np.nan, dtype=torch.float64))
        part[rows] = preconditioner.squared_norms(name, gradients)

    PerExampleGradients(model, nn.functional.cross_entropy).visit(inputs, targets, take_in)
    return found


@pytest.mark.parametrize("batch_size", [4, 64])
def test_norms_and_products_are_those_of_explicit_matrices(batch_size):
    model, inputs, targets = mixed()
    p = fit_preconditioner(
        model, nn.functional.cross_entropy, (inputs, targets), damping=DAMPING, batch_size=batch_size
    )
    assert p.forms == {
        "embedding.weight": "diagonal",
        "convolution.weight": "kronecker 3 x 4 in 2 groups",
        "convolution.bias": "diagonal",
        "norm.weight": "diagonal",
        "norm.bias": "diagonal",
        "positions.weight": "kronecker 3 x 6",
        "positions.bias": "diagonal",
        "head.weight": "kronecker 3 x 12",
    }
    gradients, blocks = explicit_blocks(model, inputs, targets)
    norms = squared_norms(model, inputs, targets, p)
    vectors = {name: torch.randn_like(value, dtype=torch.float64) for name, value in model.named_parameters()}
    images = p.apply(vectors)
    for name, rows in gradients.items():
        truth = torch.einsum("ni,ij,nj->n", rows, blocks[name], rows)
        np.testing.assert_allclose(norms[name], truth, rtol=1e-8)
        image = blocks[name] @ vectors[name].flatten()
        np.testing.assert_allclose(images[name].flatten(), image, rtol=1e-8, atol=1e-8 * float(image.abs().max()))


def test_factors_too_large_keep_their_diagonal():
    model, inputs, targets = mixed()
    p = fit_preconditioner(model, nn.functional.cross_entropy, (inputs, targets), damping=DAMPING, largest_factor=5)
    assert p.forms["head.weight"] == "kronecker 3 x 12 (diagonal)"
    assert p.forms["positions.weight"] == "kronecker 3 x 6 (diagonal)"
    a, b = factors(model, "head", inputs, targets)
    whole = torch.kron(b.T @ b / 11, torch.diag(a.square().mean(0)))
    inverse = torch.linalg.inv(whole + DAMPING * whole.diagonal().mean() * torch.eye(len(whole), dtype=torch.float64))
    rows = written_out(model, inputs, targets)["head.weight"]
    found = squared_norms(model, inputs, targets, p)["head.weight"]
    np.testing.assert_allclose(found, torch.einsum("ni,ij,nj->n", rows, inverse, rows), rtol=1e-8)


def test_a_parameter_without_gradient_is_left_out():
    model, inputs, targets = mixed()
    with torch.no_grad():
        model.positions.weight.zero_()
        model.positions.bias.zero_()
        model.head.weight.zero_()
    # The head's inputs are 0, and nothing passes back through it.
    p = fit_preconditioner(model, nn.functional.cross_entropy, (inputs, targets))
    norms = squared_norms(model, inputs, targets, p)
    assert all(torch.equal(part, torch.zeros(11, dtype=torch.float64)) for part in norms.values())


def test_refusals():
    model, inputs, targets = mixed()
    with pytest.raises(ValueError, match="damping must be positive"):
        fit_preconditioner(model, nn.functional.cross_entropy, (inputs, targets), damping=0.0)
    with pytest.raises(ValueError, match="largest_factor must be a whole number"):
        fit_preconditioner(model, nn.functional.cross_entropy, (inputs, targets), largest_factor=0)


def test_directions_without_gradients_are_not_weighted_by_rounding():
    """Fewer examples than inputs and hardly any damping: eigenvalues of rounding must not make P indefinite."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Linear(12, 3, bias=False).double().eval()
    x, y = torch.randn(4, 12, generator=generator).double(), torch.zeros(4, 3).double()
    p = fit_preconditioner(model, nn.functional.mse_loss, (x, y), damping=1e-25)
    for _ in range(20):
        vector = torch.randn(3, 12, generator=generator).double()
        assert float((vector * p.apply({"weight": vector})["weight"]).sum()) > 0
