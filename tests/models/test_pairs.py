"""Pairs of draws: their counts against probabilities in closed form, and against the passes with one draw."""

import math

import numpy as np
import torch
from torch import nn

from genbounds.models.examples import TensorData
from genbounds.models.pairs import PairCounts, count_pairs
from genbounds.models.passes import count_errors

SCALES = (0.4, 0.8)


def linear_problem(n=2000):
    """A linear classifier, two Gaussians over its weights, and the exact probabilities of their errors."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(n, 3, generator=generator)
    targets = (inputs[:, 0] + 0.5 * torch.randn(n, generator=generator) > 0).long()
    model = nn.Linear(3, 2, bias=False).eval()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-0.7, 0.1, 0.0], [0.7, 0.0, 0.1]]))
    mean = {"weight": model.weight.detach()}
    gaussians = [(mean, {"weight": torch.full((2, 3), scale)}) for scale in SCALES]
    # z_1 - z_0 is Gaussian with mean (w_1 - w_0).x and variance 2 scale^2 |x|^2.
    x, w = inputs.double(), model.weight.detach().double()
    margin = (2 * targets - 1) * (x @ (w[1] - w[0])) / (math.sqrt(2) * x.norm(dim=1))
    exact = [torch.special.ndtr(-margin / scale).numpy() for scale in SCALES]
    return model, gaussians, TensorData(inputs, targets, "linear"), exact


def assert_counts_fit(passes, exact_first, exact_second):
    """Each sum over passes lies within five standard deviations, known as the variables are independent."""
    p, q = exact_first, exact_second
    cells = ((1 - p) * (1 - q), (1 - p) * q, p * (1 - q), p * q)
    for counted, cell in zip(np.sum(passes, axis=0), cells, strict=True):
        deviation = math.sqrt(len(passes) * float((cell * (1 - cell)).sum()))
        assert abs(counted - len(passes) * cell.sum()) <= 5 * deviation


def test_two_gaussians_err_independently_on_each_example():
    model, (a, b), data, (p, q) = linear_problem()
    passes = [count_pairs(model, a, b, data, np.arange(2000), number=k, seed=1) for k in range(20)]
    assert {counts.examples for counts in passes} == {2000}
    assert_counts_fit(passes, p, q)


def test_two_draws_of_one_gaussian_are_two():
    model, (a, _), data, (p, _) = linear_problem()
    passes = [count_pairs(model, a, a, data, np.arange(2000), number=k, seed=1) for k in range(20)]
    assert_counts_fit(passes, p, p)
    both = sum(counts.n11 for counts in passes)
    assert both < 0.9 * 20 * p.sum()  # the same draw twice would err together whenever it errs


def test_against_one_network():
    model, (a, _), data, (p, _) = linear_problem()
    network = a[0]
    passes = [count_pairs(model, a, network, data, np.arange(2000), number=k, seed=1) for k in range(20)]
    wrong = (model(data.inputs).argmax(1) != data.targets).double().numpy()
    assert_counts_fit(passes, p, wrong)
    assert {counts.second for counts in passes} == {count_errors(model, data, np.arange(2000))}


def test_margins_are_sums():
    counts = PairCounts(5, 3, 2, 1)
    assert (counts.examples, counts.first, counts.second) == (11, 3, 4)


def test_counts_are_functions_of_seed_stage_and_number():
    model, (a, b), data, _ = linear_problem()

    def count(number=0, seed=1, stage="a"):
        return count_pairs(model, a, b, data, np.arange(1500), number=number, seed=seed, stage=stage)

    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert count() == count()
    assert len({count(), count(number=1), count(seed=2), count(stage="b")}) == 4
    assert torch.equal(torch.get_rng_state(), state)


def test_the_last_predictor_may_be_the_same_for_all_of_several_blocks(monkeypatch):
    monkeypatch.setattr("genbounds.models.passes._EXAMPLES", 7)
    model, (a, _), data, _ = linear_problem(50)
    assert count_pairs(model, a, a[0], data, np.arange(50), number=3, seed=1).second == count_errors(
        model, data, np.arange(50)
    )
