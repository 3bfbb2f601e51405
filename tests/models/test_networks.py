"""The small networks: their sizes as documented, any image size, many at once, and what each can and cannot see."""

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from genbounds.models.networks import convolutional, mlp, transformer


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_sizes():
    assert (size(mlp()), size(convolutional()), size(transformer())) == (4290, 1762, 7682)
    assert size(mlp(5, 3, 7, layers=2)) == 5 * 7 + 7 + 7 * 7 + 7 + 7 * 3 + 3


@pytest.mark.parametrize("side", [8, 14, 28])
def test_any_even_side(side):
    images = torch.rand(5, 1, side, side)
    for model in (mlp(side * side, 3), convolutional(3, side=side), transformer(3, patch=2, side=side)):
        assert model(images).shape == (5, 3)


def test_transformer_is_attention_by_hand():
    """One head at a time, with a softmax written out."""
    torch.manual_seed(0)
    block = transformer(width=8, blocks=1)[3].double()
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    q, k, v = block.queries_keys_values(block.before_attention(x)).split(8, dim=-1)
    parts = []
    for head in range(4):
        at = slice(2 * head, 2 * head + 2)
        weights = (q[..., at] @ k[..., at].transpose(-1, -2) / 2**0.5).softmax(-1)
        parts.append(weights @ v[..., at])
    middle = x + block.mixed(torch.cat(parts, -1))
    expected = middle + block.narrowed(torch.nn.functional.gelu(block.widened(block.before_perceptron(middle))))
    torch.testing.assert_close(block(x), expected)


def test_transformer_without_positions_does_not_see_their_order():
    torch.manual_seed(0)
    model, images = transformer(3), torch.rand(2, 1, 28, 28)
    turned = torch.cat([images[..., 7:, :], images[..., :7, :]], dim=-2)  # rows of patches change places
    assert not torch.allclose(model(images), model(turned))
    model[2].positions.data.zero_()
    torch.testing.assert_close(model(images), model(turned))


@pytest.mark.parametrize("build", [lambda: mlp(784), convolutional, transformer])
def test_many_at_once(build):
    models = [build() for _ in range(3)]
    images = torch.rand(4, 1, 28, 28)
    weights, buffers = stack_module_state(models)
    together = vmap(lambda w, b: functional_call(models[0], (w, b), (images,)))(weights, buffers)
    for one, model in zip(together, models, strict=True):
        torch.testing.assert_close(one, model(images))


def test_refusals():
    with pytest.raises(ValueError, match="patch must divide"):
        transformer(patch=5)
    with pytest.raises(ValueError, match="4 the width"):
        transformer(width=6)
