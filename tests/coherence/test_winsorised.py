import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats.mstats import winsorize
from torch import nn
from torch.nn import functional as F

from genbounds.coherence.winsorised import winsorised_gradients, winsorised_mean
from genbounds.models.per_example.engine import PerExampleGradients
from genbounds.models.randomness import stream

ROWS = arrays(np.float64, array_shapes(min_dims=2, max_dims=3, min_side=3, max_side=9), elements=st.floats(-1e6, 1e6))
C = st.floats(0, 50) | st.sampled_from([0.0, 10.0, 12.5, 20.0, 25.0, 50.0])


def network():
    layers = nn.Sequential(nn.Conv1d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.LayerNorm(9), nn.Linear(9, 3)).double()
    generator = stream(0, "test network")
    for value in layers.parameters():
        value.data.copy_(torch.randn(value.shape, generator=generator, dtype=torch.float64) / 2)
    return layers


def batch(number=11):
    generator = stream(0, "test batch")
    return torch.randn(number, 1, 5, generator=generator).double(), torch.randint(3, (number,), generator=generator)


def one_by_one(model, loss, x, y):
    """Return the gradients of all examples by plain autograd, one example after the other."""
    rows = [
        torch.autograd.grad(loss(model(x[i : i + 1]), y[i : i + 1]), list(model.parameters())) for i in range(len(x))
    ]
    return [torch.stack(each) for each in zip(*rows, strict=True)]


class TestMean:
    @settings(deadline=None, max_examples=80)
    @given(ROWS, C)
    def test_against_percentiles_of_numpy(self, rows, c):
        low = np.percentile(rows, c, axis=0, method="higher")
        high = np.percentile(rows, 100 - c, axis=0, method="lower")
        ours = winsorised_mean(torch.from_numpy(rows), c).numpy()
        scale = np.abs(rows).max(axis=0)
        # Where 100 - c rounds, or the two percentiles of an even number cross at the median, numpy's are others.
        straight = math.ceil(c * (len(rows) - 1) / 100) <= (len(rows) - 1) // 2 and 100 - (100 - c) == c
        if straight:
            assert np.all(np.abs(ours - np.clip(rows, low, high).mean(axis=0)) <= 1e-12 * scale)
        clipped = min(math.ceil(c * (len(rows) - 1) / 100), (len(rows) - 1) // 2)
        classical = winsorize(rows, limits=((clipped + 0.5) / len(rows),) * 2, axis=0) if clipped else rows
        assert np.all(np.abs(ours - np.asarray(classical).mean(axis=0)) <= 1e-12 * scale)

    @settings(deadline=None, max_examples=40)
    @given(ROWS)
    def test_ends_are_the_mean_and_the_median(self, rows):
        values, scale = torch.from_numpy(rows), np.abs(rows).max(axis=0)
        assert np.all(np.abs(winsorised_mean(values, 0).numpy() - rows.mean(axis=0)) <= 1e-12 * scale)
        assert np.all(np.abs(winsorised_mean(values, 50).numpy() - np.median(rows, axis=0)) <= 1e-12 * scale)

    @settings(deadline=None, max_examples=40)
    @given(ROWS, C, st.randoms(use_true_random=False), st.floats(-8, 8))
    def test_symmetries(self, rows, c, random, factor):
        values = torch.from_numpy(rows)
        mean, order = winsorised_mean(values, c), list(range(len(rows)))
        random.shuffle(order)
        assert torch.equal(mean, winsorised_mean(values[order], c))
        scale = 1e-12 * (1 + values.abs().amax(dim=0)) * (1 + abs(factor))
        assert torch.all((winsorised_mean(factor * values, c) - factor * mean).abs() <= scale)
        assert torch.all((winsorised_mean(values + factor, c) - (factor + mean)).abs() <= scale)
        assert torch.all(mean >= values.amin(dim=0) - scale)
        assert torch.all(mean <= values.amax(dim=0) + scale)

    @pytest.mark.parametrize("size", [1e3, 1e30, math.inf])
    @pytest.mark.parametrize("c", [1e-9, 2, 10, 50])
    @pytest.mark.parametrize("sign", [-1, 1])
    def test_corrupted_examples_up_to_the_number_clipped_cannot_carry_it_away(self, size, c, sign):
        values = torch.randn(30, 4, generator=stream(0, "corrupted"), dtype=torch.float64)
        honest = values.clone()
        clipped = min(math.ceil(c * 29 / 100), 14)
        values[5 : 5 + clipped] = sign * size
        rest = torch.cat([honest[:5], honest[5 + clipped :]])
        mean = winsorised_mean(values, c)
        assert torch.all(mean >= rest.amin(dim=0))
        assert torch.all(mean <= rest.amax(dim=0))
        values[5 : 5 + clipped + 1] = sign * size  # one more is too many, and any is for the mean
        if c < 50:
            assert torch.all(winsorised_mean(values, c).abs() >= size / 31 - 4)
        assert torch.all(values.mean(dim=0).abs() >= size / 31 - 4)

    def test_nan_stays(self):
        values = torch.ones(9, 2)
        values[3, 1] = torch.nan
        assert winsorised_mean(values, 20).isnan().tolist() == [False, True]

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_dtypes_and_blocks(self, dtype, monkeypatch):
        values = torch.randn(30, 7, 11, generator=stream(0, "dtypes"), dtype=torch.float64).to(dtype)
        whole = winsorised_mean(values, 10)
        assert (whole.dtype, whole.shape) == (dtype, (7, 11))
        torch.testing.assert_close(whole.double(), winsorised_mean(values.double(), 10), rtol=1e-2, atol=5e-3)
        monkeypatch.setattr("genbounds.coherence.winsorised._BLOCK", 100)
        assert torch.equal(whole, winsorised_mean(values, 10))
        assert winsorised_mean(values.to("meta"), 10).device.type == "meta"

    @pytest.mark.parametrize("c", [-1, 50.5, math.nan])
    def test_c_out_of_range(self, c):
        with pytest.raises(ValueError, match=r"c must be in \[0, 50\], got"):
            winsorised_mean(torch.zeros(5, 2), c)

    @pytest.mark.parametrize(("rows", "c", "least"), [(0, 0, 1), (2, 5, 3)])
    def test_too_few(self, rows, c, least):
        with pytest.raises(ValueError, match=f"at least {least} examples, got {rows}"):
            winsorised_mean(torch.zeros(rows, 2), c)


class TestGradients:
    @pytest.mark.parametrize("c", [0, 3, 20, 50])
    @pytest.mark.parametrize("chunk_size", [1, 4, 16])
    def test_plain_autograd_one_example_after_the_other(self, c, chunk_size):
        model, (x, y) = network(), batch()
        told = winsorised_gradients(PerExampleGradients(model, F.cross_entropy, chunk_size=chunk_size), x, y, c)
        assert told.item() == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-12)
        for value, rows in zip(model.parameters(), one_by_one(model, F.cross_entropy, x, y), strict=True):
            torch.testing.assert_close(value.grad, winsorised_mean(rows, c), rtol=1e-9, atol=1e-12)

    def test_nothing_clipped_is_backward_and_is_added_as_backward_adds(self):
        model, (x, y) = network(), batch()
        F.cross_entropy(model(x), y).backward()
        plain = [value.grad.clone() for value in model.parameters()]
        winsorised_gradients(PerExampleGradients(model, F.cross_entropy), x, y, 0)
        for value, gradient in zip(model.parameters(), plain, strict=True):
            torch.testing.assert_close(value.grad, 2 * gradient, rtol=1e-9, atol=1e-12)

    def test_frozen_and_tied_parameters(self):
        model, (x, y) = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5)).double(), batch()
        x = x.squeeze(1)
        model[2].weight = model[0].weight
        model[0].bias.requires_grad_(False)
        winsorised_gradients(PerExampleGradients(model, F.cross_entropy), x, y, 10)
        assert model[0].bias.grad is None
        rows = [
            torch.autograd.grad(F.cross_entropy(model(x[i : i + 1]), y[i : i + 1]), model[0].weight)[0]
            for i in range(11)
        ]
        wanted = winsorised_mean(torch.stack(rows), 10)
        torch.testing.assert_close(model[0].weight.grad, wanted, rtol=1e-9, atol=1e-12)

    def test_mappings(self):
        class Named(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = network()

            def forward(self, pixels):
                return self.inner(pixels)

        model, (x, y) = Named(), batch()
        winsorised_gradients(PerExampleGradients(model, F.cross_entropy), {"pixels": x}, y, 10)
        wanted = [winsorised_mean(rows, 10) for rows in one_by_one(model, F.cross_entropy, x, y)]
        for value, gradient in zip(model.parameters(), wanted, strict=True):
            torch.testing.assert_close(value.grad, gradient, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("size", [1e3, 1e9])
    def test_one_corrupted_example(self, size):
        model = nn.Linear(5, 1).double()
        x, y = batch(20)[0].squeeze(1), torch.zeros(20, 1).double()
        engine = PerExampleGradients(model, F.mse_loss)
        honest = torch.cat([rows.flatten(1) for rows in one_by_one(model, F.mse_loss, x[1:], y[1:])], dim=1)
        y[0] = size
        winsorised_gradients(engine, x, y, 5)
        moved = torch.cat([value.grad.flatten() for value in model.parameters()])
        assert torch.all(moved >= honest.amin(dim=0))
        assert torch.all(moved <= honest.amax(dim=0))

    def test_same_weights_again(self):
        ends = []
        for _ in range(2):
            model, (x, y) = network(), batch()
            engine, optimizer = (
                PerExampleGradients(model, F.cross_entropy),
                torch.optim.Adam(model.parameters(), lr=0.05),
            )
            for _ in range(4):
                optimizer.zero_grad()
                winsorised_gradients(engine, x, y, 10)
                optimizer.step()
            ends.append(torch.cat([value.detach().flatten() for value in model.parameters()]))
        assert torch.equal(*ends)

    @pytest.mark.parametrize("c", [-1, 51])
    def test_c_is_refused_before_anything_is_computed(self, c):
        model, (x, y) = network(), batch()
        engine = PerExampleGradients(model, F.cross_entropy)
        with pytest.raises(ValueError, match="c must be in"):
            winsorised_gradients(engine, x, y, c)
        with pytest.raises(ValueError, match="at least 3 examples, got 2"):
            winsorised_gradients(engine, x[:2], y[:2], 5)
        assert all(value.grad is None for value in model.parameters())


def test_parameters_without_axes_and_in_half_precision():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(0.5))

        def forward(self, x):
            return self.scale * x

    x, y = torch.tensor([[1.0], [1.0], [2.0], [2.0], [4.0]]), torch.zeros(5, 1)
    for dtype in (torch.float64, torch.bfloat16):
        model = Scaled().to(dtype)
        for _ in range(2):  # gradients are x^2: 1, 1, 4, 4, 16, the ends of which move to 1 and 4
            winsorised_gradients(PerExampleGradients(model, F.mse_loss), x.to(dtype), y.to(dtype), 20)
        assert model.scale.grad.dtype == dtype
        assert model.scale.grad.item() == pytest.approx(2 * (1 + 1 + 4 + 4 + 4) / 5, rel=1e-2)


def test_infinite_values_are_averaged_where_nothing_is_clipped():
    values = torch.tensor([[1.0, -math.inf], [2.0, 0.0], [3.0, 0.0]])
    assert winsorised_mean(values, 0).tolist() == [2.0, -math.inf]
    assert winsorised_mean(values[:, 1], 10).item() == 0
