"""Error counts: whole numbers that do not depend on batches, and unbiased for the Gibbs risk where that is known."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.models.examples import TensorData
from genbounds.models.passes import (
    block_size,
    count_errors,
    count_errors_fresh_draws,
    count_errors_shared_draw,
    predict,
)
from genbounds.pac_bayes.posteriors import DiagonalGaussian


def linear_problem(n=2500):
    """A linear classifier whose Gibbs risk is a mean of normal tails (Langford and Shawe-Taylor 2002)."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(n, 3, generator=generator)
    targets = (inputs[:, 0] + 0.5 * torch.randn(n, generator=generator) > 0).long()
    model = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-0.7, 0.1, 0.0], [0.7, 0.0, 0.1]]))
    q = DiagonalGaussian.isotropic(dict(model.named_parameters()), 0.4)
    # z_1 - z_0 is Gaussian with mean (w_1 - w_0).x and variance 2 * 0.16 |x|^2.
    x, w = inputs.double(), model.weight.detach().double()
    margin = (2 * targets - 1) * (x @ (w[1] - w[0])) / (math.sqrt(2) * 0.4 * x.norm(dim=1))
    exact = torch.special.ndtr(-margin)
    return model.eval(), q, TensorData(inputs, targets, "linear"), exact


def test_plain_count_is_the_count_and_has_no_batch_size():
    model, _, data, _ = linear_problem()
    indices = np.arange(5, 2105)
    wrong = int((model(data.inputs[5:2105]).argmax(1) != data.targets[5:2105]).sum())
    assert {count_errors(model, data, indices, batch_size=size) for size in (1, 7, 500, 5000)} == {wrong}
    assert count_errors(model, data, indices[::-1].copy()) == wrong
    flipped = {"weight": -model.weight.detach()}
    assert count_errors(model, data, indices, weights=flipped) == 2100 - wrong
    assert count_errors(model, data, indices) == wrong


def test_fresh_draws_count_the_exact_gibbs_risk():
    # 30 passes: a sum of independent Bernoulli variables with known probabilities, so its standard deviation is known.
    model, q, data, exact = linear_problem()
    indices = np.arange(len(data))
    mean, scale = q.to("cpu", torch.float32)
    passes = [count_errors_fresh_draws(model, mean, scale, data, indices, number=k, seed=1) for k in range(30)]
    deviation = math.sqrt(30 * float((exact * (1 - exact)).sum()))
    assert abs(sum(passes) - 30 * float(exact.sum())) < 5 * deviation
    # And they are independent: the spread between passes is that of independent variables (chi squared, 29 degrees).
    spread = np.var(passes, ddof=1) / float((exact * (1 - exact)).sum())
    assert 0.35 < spread < 2.1  # beyond 1e-5 and 1 - 1e-4 quantiles


def test_shared_draws_are_unbiased():
    model, q, data, exact = linear_problem(500)
    indices = np.arange(len(data))
    mean, scale = q.to("cpu", torch.float32)
    rates = np.array([
        count_errors_shared_draw(model, mean, scale, data, indices, number=k, seed=1) / 500 for k in range(400)
    ])
    assert abs(rates.mean() - float(exact.mean())) < 5 * rates.std(ddof=1) / 20


def test_counts_are_functions_of_seed_stage_and_number():
    model, q, data, _ = linear_problem()
    mean, scale = q.to("cpu", torch.float32)

    def count(number=0, seed=1, stage="a", stop=2500):
        how = {"number": number, "seed": seed, "stage": stage}
        return count_errors_fresh_draws(model, mean, scale, data, np.arange(stop), **how)

    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert count() == count()
    assert len({count(), count(number=1), count(seed=2), count(stage="b")}) > 1
    assert torch.equal(torch.get_rng_state(), state)
    # Blocks have streams of their own: the first block counts the same whatever follows it.
    block = block_size(data, np.arange(2500))
    first = count(stop=block)
    assert count(stop=2 * block) >= first


@pytest.mark.parametrize("bad", [torch.tensor([[1.0, math.nan]]), torch.tensor([[math.inf, 0.0]])])
def test_scores_must_be_finite(bad):
    with pytest.raises(
        ValueError, match="outputs must be finite, got NaN or infinity for 1 of 1 examples, the first being example 0"
    ):
        predict(bad)


def test_scores_must_be_a_matrix():
    with pytest.raises(ValueError, match="one row of scores per example"):
        predict(torch.zeros(3))


@pytest.mark.parametrize(("shape", "size"), [((1, 28, 28), 1000), ((3, 224, 224), 27), ((3, 2000, 2000), 1)])
def test_large_inputs_come_in_small_blocks(shape, size):
    data = TensorData(torch.zeros(2, *shape, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), "images")
    assert block_size(data, np.arange(2)) == size


def test_a_block_of_large_inputs_counts_as_any_other(monkeypatch):
    model, _, data, _ = linear_problem(50)
    whole = count_errors(model, data, np.arange(50))
    monkeypatch.setattr("genbounds.models.passes._NUMBERS", 12)
    assert block_size(data, np.arange(50)) == 4
    assert count_errors(model, data, np.arange(50)) == whole
