"""Gradients in float32 and half precision keep their norms: against float64, where it is hardest."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.models.per_example.factored import gradients as module
from genbounds.models.per_example.factored import outer_products
from genbounds.models.per_example.factored.convolutions import ConvolutionGradients
from genbounds.models.per_example.factored.gradients import DenseGradients, scaled, squared_norms
from genbounds.models.per_example.factored.outer_products import OuterGradients
from genbounds.models.per_example.factored.rows import RowGradients

EPSILON = torch.finfo(torch.float32).eps


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def exact(gradients):
    """Return the squared norms in float64 of gradients from the same factors."""
    wide = gradients.outputs.double().mT @ gradients.inputs.double()
    return wide.flatten(1).square().sum(dim=1)


def outer(inputs, outputs):
    return OuterGradients(inputs, outputs, (inputs.shape[1] * outputs.shape[3], inputs.shape[3]))


def cancelling(seed, positions, spread):
    """Inputs that hardly differ between positions, and outputs that add up to nothing: nearly everything cancels."""
    inputs = normal(seed, 1, 1, 1, 64) + spread * normal(seed + 1, 4, 1, positions, 64)
    outputs = normal(seed + 2, 4, 1, positions, 32)
    return outer(inputs, outputs - outputs.mean(dim=2, keepdim=True))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**20), st.sampled_from([2, 3, 8, 16]), st.sampled_from([1.0, 0.1, 0.01, 1e-3]))
def test_the_double_sum_survives_cancellation(seed, positions, spread):
    gradients = cancelling(seed, positions, spread)
    assert gradients.route == "gram"
    truth = exact(gradients)
    # What rounding the factors themselves does, by the same formula: relative to sqrt(alone / truth).
    alone = (gradients.inputs.double().square().sum(-1) * gradients.outputs.double().square().sum(-1)).flatten(1).sum(1)
    allowed = 64 * EPSILON * (1 + (alone / truth).sqrt())
    assert ((gradients.squared_norms() - truth).abs() <= allowed * truth).all()
    assert ((gradients.norms_and_total()[0] - truth).abs() <= allowed * truth).all()


def test_the_double_sum_alone_would_not(monkeypatch):
    """The test of the test: without the second look, the squared norm is wrong by per cents."""
    monkeypatch.setattr(outer_products, "_CANCELLATION", math.inf)
    gradients = cancelling(5, 16, 1e-3)
    assert (gradients.squared_norms() / exact(gradients) - 1).abs().max() > 1e-3


def test_only_cancelled_examples_are_looked_at_again(monkeypatch):
    easy, hard = cancelling(0, 8, 1.0), cancelling(0, 8, 1e-3)
    inputs = torch.stack([easy.inputs[0], hard.inputs[0], easy.inputs[1], hard.inputs[1]])
    outputs = torch.stack([easy.outputs[0], hard.outputs[0], easy.outputs[1], hard.outputs[1]])
    seen = []
    whole = module.ExampleGradients.squared_norms
    monkeypatch.setattr(module.ExampleGradients, "squared_norms", lambda own: (seen.append(len(own)), whole(own))[1])
    gradients = outer(inputs, outputs)
    assert (gradients.squared_norms() / exact(gradients) - 1).abs().max() < 1e-4
    assert seen == [2]


def test_a_gradient_that_is_exactly_zero():
    inputs, outputs = normal(0, 2, 1, 2, 8).mul(64).round(), normal(1, 2, 1, 2, 8).mul(64).round()
    gradients = outer(inputs.repeat(1, 1, 2, 1), torch.cat([outputs, -outputs], dim=2))
    assert gradients.route == "gram"
    assert gradients.squared_norms().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("size", [1e-38, 1e-25, 1e-12, 1.0, 1e12, 1e20])
@pytest.mark.parametrize("positions", [1, 4, 64])
def test_sizes_whose_squares_leave_float32(size, positions):
    inputs, outputs = normal(0, 3, 2, positions, 20), normal(1, 3, 2, positions, 24) * size
    outputs[1] /= 1024  # neighbours of other sizes
    gradients = outer(inputs, outputs)
    truth = exact(gradients)
    close = {"rtol": 1e-5, "atol": 0.0}
    torch.testing.assert_close(gradients.squared_norms(), truth, **close)
    torch.testing.assert_close(gradients.norms_and_total()[0], truth, **close)
    torch.testing.assert_close(gradients.inner(gradients).diagonal(), truth, **close)
    torch.testing.assert_close(gradients.cross(gradients), truth, **close)
    torch.testing.assert_close(gradients.squares_total().sum(), truth.sum(), **close)
    vector = normal(2, *gradients.shape)
    wide = (gradients.outputs.double().mT @ gradients.inputs.double()).flatten(1) @ vector.flatten().double()
    torch.testing.assert_close(gradients.dots(vector), wide, rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e15])
def test_other_kinds_at_such_sizes(size):
    outputs = normal(0, 3, 6, 5) * size
    ids = torch.tensor([[0, 1, 1, 2, 0, 3]]).expand(3, -1)
    assert torch.allclose(
        RowGradients(ids, outputs, (4, 5)).squared_norms(),
        RowGradients(ids, outputs.double(), (4, 5)).squared_norms(),
        rtol=1e-6,
        atol=0.0,
    )
    dense = DenseGradients(outputs)
    assert torch.allclose(dense.squared_norms(), outputs.double().flatten(1).square().sum(1), rtol=1e-6, atol=0.0)
    geometry = {"stride": (1,), "padding": (1,), "dilation": (1,), "groups": 1}
    for length in (2, 40):
        x, b = normal(1, 3, 4, length), normal(2, 3, 8, length) * size
        narrow, wide = (ConvolutionGradients(x.to(t), b.to(t), (8, 4, 3), **geometry) for t in (x.dtype, torch.float64))
        assert torch.allclose(narrow.squared_norms(), wide.squared_norms(), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(dtype):
    inputs, outputs = normal(0, 3, 1, 40, 8).to(dtype), normal(1, 3, 1, 40, 8).to(dtype)
    gradients, wide = outer(inputs, outputs), outer(inputs.double(), outputs.double())
    squared, total = gradients.norms_and_total()
    assert total.dtype == torch.float32
    torch.testing.assert_close(squared, wide.squared_norms(), rtol=1e-5, atol=0.0)
    mixed = outer(inputs, outputs.float())
    torch.testing.assert_close(mixed.squared_norms(), wide.squared_norms(), rtol=1e-5, atol=0.0)
    assert DenseGradients(inputs).dense(slice(0, 1)).dtype == torch.float32


def test_wide_weights_give_wide_sums():
    """A float32 sum of two large gradients that cancel leaves nothing of a small one; a float64 sum does."""
    inputs, outputs = (
        torch.ones(3, 1, 1, 2),
        torch.tensor([1.0, 2.0**-30, 1.0]).reshape(3, 1, 1, 1).expand(-1, -1, -1, 2),
    )
    weights = torch.tensor([1.0, 1.0, -1.0])
    ids, rows = torch.zeros(3, 1, dtype=torch.int64), outputs[:, 0]
    convolved = ConvolutionGradients(
        inputs.reshape(3, 1, 2), outputs.reshape(3, 1, 2), (1, 1, 1), stride=[1], padding=[0], dilation=[1], groups=1
    )
    for gradients, once in (
        (outer(inputs, outputs), 1),
        (DenseGradients(outputs), 1),
        (RowGradients(ids, rows, (1, 2)), 1),
        (convolved, 2),
    ):
        total = gradients.weighted_total(weights.double())
        assert total.dtype == torch.float64
        assert (total == once * 2.0**-30).all()
        assert gradients.weighted_total(weights).dtype == torch.float32


def test_what_is_not_finite_stays_so():
    outputs = normal(0, 3, 1, 4, 5)
    outputs[1, 0, 2, 3] = torch.nan
    outputs[2, 0, 2, 3] = torch.inf
    for positions in (slice(2, 3), slice(None)):
        gradients = outer(normal(1, 3, 1, 4, 6)[:, :, positions], outputs[:, :, positions])
        finite = gradients.squared_norms().isfinite().tolist()
        assert finite == [True, False, False]


@settings(deadline=None, max_examples=30)
@given(st.integers(-40, 38), st.integers(0, 2**20))
def test_scaling_is_exact(exponent, seed):
    values = normal(seed, 3, 7) * 10.0**exponent
    shrunk, scale = scaled(values)
    assert (shrunk.abs() <= 1).all()
    assert torch.equal(shrunk.double() * scale[:, None], values.double())
    assert torch.equal(scale.log2(), scale.log2().round())


@settings(deadline=None, max_examples=30)
@given(st.integers(-44, 38), st.integers(-44, 38), st.integers(0, 2**20))
def test_squared_norms_of_mixed_sizes(one, other, seed):
    values = normal(seed, 4, 2, 50)
    values[:, 0] *= 10.0**one
    values[:, 1] *= 10.0**other
    values = values.nan_to_num(posinf=1e38, neginf=-1e38)
    truth = values.double().square().flatten(1).sum(dim=1)
    torch.testing.assert_close(squared_norms(values), truth, rtol=1e-6, atol=0.0)
    torch.testing.assert_close(squared_norms(values[:, 0]), values[:, 0].double().square().sum(1), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("length", [1, 511, 512, 513, 300_000])
def test_squared_norms_of_long_vectors(length):
    """A sum of equal squares, added up one after the other in float32, would be off by 5e-4."""
    values = torch.full((2, length), 0.1)
    torch.testing.assert_close(squared_norms(values), values.double().square().sum(1), rtol=1e-6, atol=0.0)
