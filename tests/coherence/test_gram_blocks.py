"""Gram matrices of gradients against gradients written out, example by example, in float64."""

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.coherence.measurement import measure
from genbounds.coherence.pairs.gram_blocks import gram_matrix, input_distances
from genbounds.coherence.pairs.spectrum import gram_spectrum
from genbounds.coherence.pairs.stiffness import stiffness
from genbounds.models.examples import DataError


def network():
    torch.manual_seed(0)
    return (
        nn
        .Sequential(
            nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 3)
        )
        .to(torch.float64)
        .eval()
    )


def data(number=23):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(number, 1, 6, 6, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(0, 3, (number,), generator=generator)


def written_out(model, loss, inputs, targets, names=None):
    chosen = [p for n, p in model.named_parameters() if names is None or n in names]
    rows = []
    for x, y in zip(inputs, targets, strict=True):
        parts = torch.autograd.grad(loss(model(x[None]), y[None]), chosen)
        rows.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(rows)


@pytest.mark.parametrize("batch_size", [1, 5, 23, 64])
def test_all_pairs_of_all_examples(batch_size):
    model, (x, y), loss = network(), data(), nn.functional.cross_entropy
    found = gram_matrix(model, loss, (x, y), batch_size=batch_size)
    gradients = written_out(model, loss, x, y)
    np.testing.assert_allclose(found.products, (gradients @ gradients.T).numpy(), rtol=1e-9, atol=1e-12)
    assert found.labels.tolist() == y.tolist()
    assert (found.index.tolist(), found.number) == (list(range(23)), 23)
    alpha = measure(model, loss, (x, y), interval=False).plug_in_alpha
    assert gram_spectrum(found).coherence == pytest.approx(alpha, rel=1e-10)


def test_a_subsample_is_drawn_from_the_seed_alone():
    model, (x, y), loss = network(), data(), nn.functional.cross_entropy
    state = torch.get_rng_state()
    found = gram_matrix(model, loss, (x, y), examples=9, batch_size=4, seed=3)
    again = gram_matrix(model, loss, (x, y), examples=9, batch_size=9, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    assert len(found) == 9
    assert found.index.tolist() == again.index.tolist() == sorted(set(found.index.tolist()))
    np.testing.assert_allclose(found.products, again.products, rtol=1e-12, atol=1e-15)
    gradients = written_out(model, loss, x[found.index], y[found.index])
    np.testing.assert_allclose(found.products, (gradients @ gradients.T).numpy(), rtol=1e-9, atol=1e-12)
    other = gram_matrix(model, loss, (x, y), examples=9, seed=4)
    assert other.index.tolist() != found.index.tolist()


def test_one_layer_alone_and_targets_that_are_no_classes():
    model, (x, _), loss = network(), data(8), nn.functional.mse_loss
    y = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    names = ["3.weight", "3.bias"]
    found = gram_matrix(model, loss, (x, y), parameters=names, batch_size=3)
    gradients = written_out(model, loss, x, y, names)
    np.testing.assert_allclose(found.products, (gradients @ gradients.T).numpy(), rtol=1e-9, atol=1e-12)
    assert found.labels is None
    assert stiffness(found).cosine.within is None


def test_float32_agrees_to_its_rounding():
    model, (x, y), loss = network(), data(), nn.functional.cross_entropy
    exact = gram_matrix(model, loss, (x, y)).products
    found = gram_matrix(model, loss, (x, y), dtype=torch.float32)
    assert found.rounding == torch.finfo(torch.float32).eps
    scale = np.sqrt(np.outer(np.diagonal(exact), np.diagonal(exact)))
    assert np.abs((found.products - exact) / scale).max() < 1e-5
    assert next(model.parameters()).dtype == torch.float64


def test_distances_are_one_less_the_cosine():
    x, y = data(6)
    rows = x.flatten(1).numpy()
    index = np.array([4, 0, 2])
    found = input_distances((x, y), index)
    for i, a in enumerate(index):
        for j, b in enumerate(index):
            cosine = rows[a] @ rows[b] / np.linalg.norm(rows[a]) / np.linalg.norm(rows[b])
            assert found[i, j] == pytest.approx(1 - cosine, abs=1e-12)
    with pytest.raises(DataError, match="floating tensors as inputs, got dtype"):
        input_distances((torch.ones(3, 2, dtype=torch.int64), torch.zeros(3, 1)), np.arange(3))
    with pytest.raises(DataError, match="inputs must not be 0, got example 1"):
        input_distances((torch.tensor([[1.0], [0.0]]), torch.zeros(2, 1)), np.arange(2))


def test_refusals():
    model, (x, y), loss = network(), data(4), nn.functional.cross_entropy
    with pytest.raises(ValueError, match="examples must be a whole number of at least 2"):
        gram_matrix(model, loss, (x, y), examples=1)
    with pytest.raises(DataError, match="at least two examples, got 1"):
        gram_matrix(model, loss, (x[:1], y[:1]))
    with pytest.raises(ValueError, match="evaluation mode"):
        gram_matrix(model.train(), loss, (x, y))
