"""Moments of coordinates against gradients written out; the ratios of linear regression through a model."""

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.coherence.measurement import measure
from genbounds.coherence.moments import coordinate_moments
from genbounds.models.examples import DataError
from genbounds.worlds.gradient_regression import GaussianRegression


def network():
    torch.manual_seed(0)
    return (
        nn
        .Sequential(
            nn.Conv1d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5), nn.LayerNorm(5), nn.ReLU(), nn.Linear(5, 3)
        )
        .to(torch.float64)
        .eval()
    )


def data(number=23):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(number, 2, 6, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(0, 3, (number,), generator=generator)


def written_out(model, loss, inputs, targets):
    chosen = dict(model.named_parameters())
    rows = [
        torch.autograd.grad(loss(model(x[None]), y[None]), list(chosen.values()))
        for x, y in zip(inputs, targets, strict=True)
    ]
    return {name: torch.stack(column) for name, column in zip(chosen, zip(*rows, strict=True), strict=True)}


@pytest.mark.parametrize("batch_size", [4, 100])
def test_means_and_variances_are_those_of_gradients_written_out(batch_size):
    model, (x, y), loss = network(), data(), nn.functional.cross_entropy
    found = coordinate_moments(model, loss, (x, y), batch_size=batch_size)
    for name, gradients in written_out(model, loss, x, y).items():
        np.testing.assert_allclose(found.means()[name], gradients.mean(0), rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(found.variances()[name], gradients.var(0), rtol=1e-9, atol=1e-15)
    summary, record = found.summary(), measure(model, loss, (x, y), interval=False)
    assert [layer.name for layer in summary.layers] == [layer.name for layer in record.layers]
    for ours, theirs in zip((*summary.layers, summary.total), (*record.layers, record), strict=True):
        assert ours.coordinates == theirs.parameters
        assert ours.signal == pytest.approx(theirs.signal, rel=1e-8, abs=1e-13)
        assert ours.noise == pytest.approx(theirs.noise, rel=1e-8)
        assert ours.coherence == pytest.approx(theirs.alpha, rel=1e-7, abs=1e-12)


def test_a_large_signal_does_not_swallow_the_variance():
    """Gradients of 1000 with a spread of 1, in float32 and float64: what plain float32 sums would lose."""
    rng = np.random.default_rng(0)
    x = 1000 + rng.normal(size=(3000, 4))
    model = nn.Linear(4, 1, bias=False).eval()
    for dtype, tolerance in ((torch.float64, 1e-7), (torch.float32, 1e-3)):
        inputs = torch.from_numpy(x).to(dtype)
        moments = coordinate_moments(
            model, lambda outputs, _: outputs.mean(), (inputs, torch.zeros(3000, 1)), batch_size=512, dtype=dtype
        )
        truth = inputs.double().numpy().var(axis=0, ddof=1)
        np.testing.assert_allclose(moments.variances()["weight"][0], truth, rtol=tolerance)
        assert moments.summary().total.constant == 0
    naive = np.square(x.astype(np.float32)).sum(0) - np.float32(x.astype(np.float32).sum(0)) ** 2 / np.float32(3000)
    assert np.abs(naive / 2999 - truth).max() > 0.1


def test_linear_regression_has_the_ratios_of_its_closed_form():
    u = np.array([1.0, 0.5, -2.0, 0.0])
    world = GaussianRegression(u, np.zeros(4), 0.7)
    x, y = world.examples(np.random.default_rng(2), 40_000)
    model = nn.Linear(4, 1, bias=False, dtype=torch.float64).eval()
    model.weight.data = torch.from_numpy(u)[None]
    loss = lambda outputs, targets: ((outputs.squeeze(1) - targets) ** 2).mean() / 2  # noqa: E731
    moments = coordinate_moments(model, loss, (torch.from_numpy(x), torch.from_numpy(y)), batch_size=4000)
    truth = u**2 / (u @ u + u**2 + 0.49)
    np.testing.assert_allclose(world.signal_to_noise, truth, rtol=1e-12)
    found = (moments.means()["weight"].square() / moments.variances()["weight"])[0].numpy()
    # The relative spread of an average is 1 / sqrt(m r); fourth moments of the gradients are below 30 variances^2.
    error = 2 * np.sqrt(truth / 40_000) + truth * np.sqrt(30 / 40_000) + 1 / 40_000
    assert (np.abs(found - truth) < 4 * error).all()


def test_a_dead_unit_is_silent():
    model, (x, y), loss = network(), data(), nn.functional.cross_entropy
    with torch.no_grad():
        model[0].bias[1] = -100.0
    found = coordinate_moments(model, loss, (x, y)).summary()
    by_name = {layer.name: layer for layer in found.layers}
    assert by_name["0"].silent == 7  # six weights and a bias
    assert by_name["3"].silent == 5 * 4  # what reads its four positions
    assert found.total.silent >= 27


def test_refusals():
    model, (x, y), loss = network(), data(), nn.functional.cross_entropy
    with pytest.raises(DataError, match="at least two examples, got 1"):
        coordinate_moments(model, loss, (x, y), indices=[3])
    with pytest.raises(ValueError, match="evaluation mode"):
        coordinate_moments(model.train(), loss, (x, y))
