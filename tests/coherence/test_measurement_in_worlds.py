"""Measured where the truth is known: regression and a softmax head whose coherence is exact."""

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.coherence import measure
from genbounds.worlds import GaussianRegression, SoftmaxHead

SEEDS = 40


def half_squared(outputs, targets):
    return ((outputs[:, 0] - targets) ** 2 / 2).mean()


def linear(weights, bias=False):
    model = nn.Linear(weights.shape[1], len(weights), bias=bias).double().eval()
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(weights))
        if bias:
            model.bias.zero_()
    return model


def records(world, model, loss, m, **settings):
    for seed in range(SEEDS):
        inputs, targets = world.examples(np.random.default_rng([seed, 4]), m)
        yield measure(model, loss, (torch.from_numpy(inputs), torch.from_numpy(targets)), seed=seed, **settings)


REGRESSION = GaussianRegression([0.0, 1.0, 0.5, 0.0], [1.0, -1.0, 0.0, 0.2], label_noise=0.7)
HEAD = SoftmaxHead([[1.0, 0, 0.5], [0, 1.0, 0.5], [0, 0, 1.5]], spreads=[0.5, 0.7, 1.0], bias=True)
CASES = {
    "regression": (REGRESSION, linear(np.array([[0.0, 1.0, 0.5, 0.0]])), half_squared, 600),
    "head": (HEAD, linear(np.zeros((3, 3)), bias=True), nn.functional.cross_entropy, 400),
}


@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_the_truth(case):
    world, model, loss, m = CASES[case]
    found = list(records(world, model, loss, m))
    covered = sum(one.interval[0] <= world.coherence <= one.interval[1] for one in found)
    assert covered >= 33  # P(binomial(40, 0.95) < 33) = 0.001
    for name in ("signal", "noise"):  # without bias: within three of its standard errors
        values = [getattr(one, name) for one in found]
        assert np.mean(values) == pytest.approx(getattr(world, name), abs=3 * np.std(values) / SEEDS**0.5)
    spread = np.std([one.alpha for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.3)


def test_real_labels_against_random_ones():
    """At weights 0: 1 / (d + 2 + d s^2 / |truth|^2) for real labels, nothing for random ones."""
    weights, truth = np.zeros(5), np.array([1.0, 0.5, 0.0, 0.0, -0.5])
    real = GaussianRegression(weights, truth, label_noise=0.5)
    random = GaussianRegression(weights, np.zeros(5), label_noise=1.3)
    model = linear(weights[None])
    for one in records(real, model, half_squared, 200, null_draws=19):
        assert one.alpha == pytest.approx(real.coherence, abs=5 * one.standard_error)
        assert one.p_value == 0.05
    p_values = np.array([one.p_value for one in records(random, model, half_squared, 200, null_draws=19)])
    assert random.coherence == 0
    # Exact: at most j / 20 with probability j / 20. P(binomial(40, 0.1) > 10) = 0.001, and as much on the other side.
    assert (p_values <= 0.1).sum() <= 10
    assert (p_values > 0.9).sum() <= 10


def test_the_plug_in_form_is_biased_as_the_formula_says():
    world, model, loss, _ = CASES["regression"]
    found = list(records(world, model, loss, 10))
    ratio = np.mean([one.squared_mean for one in found]) / np.mean([one.second_moment for one in found])
    assert ratio == pytest.approx(world.plug_in_mean(10), rel=0.15)
    assert ratio > 1.3 * world.coherence


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_that_signs_do_not_change_show_nothing(dtype):
    """Each example has a row of the embedding of its own: all sign patterns tie, whatever rounding does."""
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        model = torch.nn.Sequential(torch.nn.Embedding(50, 7), torch.nn.Flatten(), torch.nn.Linear(7, 3)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        x = torch.randperm(50, generator=generator)[: 3 + 2 * (seed % 2)].reshape(-1, 1)
        y = torch.randint(0, 3, (len(x),), generator=generator)
        record = measure(model, torch.nn.functional.cross_entropy, (x, y), null_draws=19, seed=seed, dtype=dtype)
        assert record.layers[0].p_value == 1.0
