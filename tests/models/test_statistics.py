"""Streamed statistics: exact sums, what each is of, and the variance of the 0-1 loss from pairs that share a draw."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn

from genbounds.models.examples import TensorData
from genbounds.models.passes import count_errors, count_errors_shared_draw
from genbounds.models.statistics import (
    LossStatistics,
    count_split_pairs_fresh_draws,
    loss_statistics,
    loss_statistics_shared_draw,
)
from genbounds.pac_bayes import coin_betting, monte_carlo_betting, monte_carlo_binomial, tolstikhin_seldin
from genbounds.pac_bayes.objectives import bounded_cross_entropy
from genbounds.pac_bayes.posteriors import DiagonalGaussian

SCALE = 0.4


def linear_problem(n=1500):
    """A linear classifier with two classes, whose joint errors on two examples are those of a Gaussian pair."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(n, 3, generator=generator)
    targets = (inputs[:, 0] + 0.5 * torch.randn(n, generator=generator) > 0).long()
    model = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-0.7, 0.1, 0.0], [0.7, 0.0, 0.1]]))
    q = DiagonalGaussian.isotropic(dict(model.named_parameters()), SCALE)
    return model.eval(), q, TensorData(inputs, targets, "linear")


def test_they_are_the_statistics_of_the_rounded_losses():
    model, _, data = linear_problem(1234)
    indices, levels = np.arange(7, 1234), [0.0, 0.1, 0.5, 1.0]
    found = loss_statistics(model, data, indices, loss=bounded_cross_entropy, levels=levels)
    with torch.no_grad():
        losses = bounded_cross_entropy(model(data.inputs[7:]), data.targets[7:]).double().numpy()
    up = [Fraction(math.ceil(value * 2**24), 2**24) for value in losses]
    n, total = len(up), sum(up)
    exact = {
        "mean": total / n,
        "second_moment": sum(value * value for value in up) / n,
        "variance": (sum(value * value for value in up) - total * total / n) / (n - 1),
    }
    for name, value in exact.items():
        assert 0 <= Fraction(getattr(found, name)) - value <= value * Fraction(1, 2**52)
    assert losses.mean() <= found.mean <= losses.mean() + 2.0**-24
    assert found.variance == pytest.approx(losses.var(ddof=1), abs=1e-6)
    shares = [(losses > level).mean() for level in levels[:-1]]
    np.testing.assert_allclose(found.frequencies, shares, rtol=1e-15)
    assert found.errors == count_errors(model, data, indices)
    assert found.examples == n


def test_they_do_not_depend_on_order_or_batches(monkeypatch):
    model, _, data = linear_problem()
    indices = np.arange(len(data))
    whole = loss_statistics(model, data, indices, loss=bounded_cross_entropy, levels=[0, 0.5, 1])
    shuffled = np.random.default_rng(0).permutation(indices)
    assert loss_statistics(model, data, shuffled, loss=bounded_cross_entropy, levels=[0, 0.5, 1]) == whole
    monkeypatch.setattr("genbounds.models.passes._EXAMPLES", 7)
    assert loss_statistics(model, data, indices, loss=bounded_cross_entropy, levels=[0, 0.5, 1]) == whole


def test_the_zero_one_loss():
    model, _, data = linear_problem()
    indices = np.arange(len(data))
    found = loss_statistics(model, data, indices, levels=[0.0, 1.0])
    errors, n = count_errors(model, data, indices), len(data)
    assert found == LossStatistics(n, errors, found.mean, found.variance, found.mean, (found.mean,))
    assert 0 <= Fraction(found.mean) - Fraction(errors, n) < Fraction(1, 2**52)
    exact = Fraction(errors * (n - errors), n * (n - 1))
    assert 0 <= Fraction(found.variance) - exact < Fraction(1, 2**52)


def test_a_loss_next_to_a_level_is_counted_as_the_higher_one():
    """float32 knows no 0.7: the loss of that name is below the level in float64, and one of 0.1 above its level."""
    model, _, data = linear_problem(10)

    def constant(value):
        return lambda scores, targets: torch.full((len(targets),), value)

    found = loss_statistics(model, data, np.arange(10), loss=constant(0.7), levels=[0.0, 0.7, 1.0])
    assert found.frequencies == (1.0, 0.0)
    assert loss_statistics(model, data, np.arange(10), loss=constant(0.1), levels=[0, 0.1, 1]).frequencies == (1.0, 1.0)
    assert found.variance == 0.0


def test_the_shared_draw_is_that_of_the_counts():
    model, q, data = linear_problem()
    mean, scale = q.to("cpu", torch.float32)
    indices = np.arange(len(data))
    for number in (0, 1):
        how = {"number": number, "seed": 3, "stage": "s"}
        found = loss_statistics_shared_draw(model, mean, scale, data, indices, **how)
        assert found.errors == count_errors_shared_draw(model, mean, scale, data, indices, **how)
    again = loss_statistics_shared_draw(model, mean, scale, data, indices, **how)
    assert again == found


def chance_of_split_pairs(model, data, count):
    """E_Q l (1 - l') for examples and their partners, from the Gaussian law of z_1 - z_0 on both."""
    x, w = data.inputs.double().numpy()[:count], model.weight.detach().double().numpy()
    signs = 2 * data.targets.numpy()[:count] - 1
    chances = []
    for i in range(count):
        pair = [i, i ^ 1]
        points = x[pair] * signs[pair, None]
        covariance = 2 * SCALE**2 * points @ points.T
        margins = points @ (w[1] - w[0])
        both = multivariate_normal(mean=-margins, cov=covariance).cdf([0.0, 0.0])  # right on both: -margin < 0
        first_right = 0.5 * math.erfc(-margins[0] / math.sqrt(2 * covariance[0, 0]))
        second_right = 0.5 * math.erfc(-margins[1] / math.sqrt(2 * covariance[1, 1]))
        assert both <= min(first_right, second_right) + 1e-9
        chances.append(second_right - both)
    return np.array(chances)


def test_split_pairs_count_the_variance():
    model, q, data = linear_problem(60)
    mean, scale = q.to("cpu", torch.float32)
    chances = chance_of_split_pairs(model, data, 60)
    passes = [
        count_split_pairs_fresh_draws(model, mean, scale, data, np.arange(60), number=k, seed=5) for k in range(60)
    ]
    deviation = math.sqrt(60 * (chances * (1 - chances)).sum())
    assert abs(sum(passes) - 60 * chances.sum()) < 4.5 * deviation
    # Independent from pass to pass (chi squared, 59 degrees).
    assert 0.4 < np.var(passes, ddof=1) / (chances * (1 - chances)).sum() < 2.0


def test_both_of_a_pair_meet_the_same_weights():
    """Paired with its own copy an example never splits; weights of the same law, drawn twice, would differ often."""
    model, q, data = linear_problem(200)
    mean, scale = q.to("cpu", torch.float32)
    twice = np.repeat(np.arange(200), 2)
    assert count_split_pairs_fresh_draws(model, mean, scale, data, twice, number=0, seed=1) == 0


def test_an_average_over_pairs_is_the_unbiased_variance():
    """Over all orders of four examples, (l - l')^2 / 2 on pairs averages to the variance, not to twice it."""
    losses = np.array([0.0, 1.0, 1.0, 0.0])
    averages = [
        ((losses[list(order)][::2] - losses[list(order)][1::2]) ** 2).mean() / 2
        for order in np.array(np.meshgrid(*[range(4)] * 4)).reshape(4, -1).T
        if len(set(order)) == 4
    ]
    assert np.mean(averages) == pytest.approx(losses.var(ddof=1))


def test_split_pairs_of_a_network_without_noise():
    """A convolution with scale 0: the count is that of the network itself, the odd example left out."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 4)).eval()
    data = TensorData(torch.randn(41, 1, 8, 8), torch.randint(0, 4, (41,)), "images")
    mean = {name: value.detach() for name, value in model.named_parameters()}
    scale = {name: torch.zeros_like(value) for name, value in mean.items()}
    wrong = (model(data.inputs).argmax(1) != data.targets).numpy()[:40]
    expected = int((wrong & ~wrong[np.arange(40) ^ 1]).sum())
    assert 0 < expected < 20
    for size in (1000, 6):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("genbounds.models.passes._EXAMPLES", size)
            count = count_split_pairs_fresh_draws(model, mean, scale, data, np.arange(41), number=0, seed=1)
        assert count == expected


def test_split_pairs_are_functions_of_seed_stage_and_number():
    model, q, data = linear_problem(400)
    mean, scale = q.to("cpu", torch.float32)

    def count(number=0, seed=1, stage="a"):
        return count_split_pairs_fresh_draws(
            model, mean, scale, data, np.arange(400), number=number, seed=seed, stage=stage
        )

    state = torch.get_rng_state()
    assert count() == count()
    assert len({count(), count(number=1), count(seed=2), count(stage="b")}) > 1
    assert torch.equal(torch.get_rng_state(), state)


def test_from_passes_to_bounds():
    """Draws, limits and bounds end to end: the statistics fit the theorems' arguments."""
    model, q, data = linear_problem(1000)
    mean, scale = q.to("cpu", torch.float32)
    indices, levels = np.arange(1000), np.linspace(0, 1, 5).tolist()
    draws = [
        loss_statistics_shared_draw(
            model, mean, scale, data, indices, number=k, seed=1, loss=bounded_cross_entropy, levels=levels
        )
        for k in range(30)
    ]
    limit = {
        name: float(monte_carlo_betting([getattr(draw, name) for draw in draws], 0.01)) for name in ("mean", "variance")
    }
    shares = monte_carlo_betting(np.array([draw.frequencies for draw in draws]).T, 0.01 / 4)
    assert limit["mean"] <= tolstikhin_seldin(limit["mean"], limit["variance"], 3.0, 1000, 0.05) < 1
    assert coin_betting(shares, levels, 3.0, 1000, 0.05) < 1
    counts = [count_split_pairs_fresh_draws(model, mean, scale, data, indices, number=k, seed=1) for k in range(2)]
    assert 0 < monte_carlo_binomial(sum(counts), 2000, 0.01) < 0.25


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"indices": np.arange(1)}, "indices must name at least two examples, got 1"),
        ({"levels": [0, 0.5, 0.5, 1]}, "levels must increase"),
        ({"levels": [0, 0.5]}, "levels must end with the largest possible loss"),
        ({"loss": lambda scores, targets: scores[:, 0] * 0 - 0.1}, r"loss must return \d+ numbers in \[0, 1\]"),
        ({"loss": lambda scores, targets: scores[:, 0] * math.nan}, "loss must return"),
        ({"loss": lambda scores, targets: (scores * 0).sum()}, "one an example"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    model, _, data = linear_problem(50)
    arguments = {"indices": np.arange(50), "levels": [0, 1]} | change
    with pytest.raises(ValueError, match=message):
        loss_statistics(model, data, **arguments)


def test_a_pair_needs_two():
    model, q, data = linear_problem(5)
    with pytest.raises(ValueError, match="indices must name at least two examples"):
        count_split_pairs_fresh_draws(model, *q.to("cpu", torch.float32), data, np.arange(1), number=0, seed=1)
