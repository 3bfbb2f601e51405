import itertools
import math

import numpy as np
import pytest
from hypothesis import given

from genbounds.worlds import FiniteWorld, coins, finite, lone_predictor, shattered_points
from genbounds.worlds.strategies import finite_worlds


@given(finite_worlds())
def test_samples_against_every_ordered_sample(world):
    n = 4
    expected = np.zeros_like(world.risks)
    for sample in itertools.product(range(len(world.probabilities)), repeat=n):
        weight = math.prod(world.probabilities[point] for point in sample)
        expected += weight * world.losses[:, list(sample)].mean(axis=1) ** 2
    counts, weights = world.samples(n)
    assert np.all(counts.sum(axis=1) == n)
    np.testing.assert_allclose(weights @ world.empirical_risks(counts) ** 2, expected, rtol=1e-12, atol=1e-15)


@given(finite_worlds())
def test_empirical_risks_are_unbiased(world):
    counts, weights = world.samples(5)
    np.testing.assert_allclose(weights @ world.empirical_risks(counts), world.risks, rtol=1e-12, atol=1e-15)
    assert np.all(world.risks <= 1)


def test_shattered_points_can_memorise_every_sample():
    world = shattered_points(4)
    assert world.losses.shape == (16, 4)
    assert len({tuple(row) for row in world.losses}) == 16
    counts, _ = world.samples(3)
    empirical = world.empirical_risks(counts)
    for row, risks in zip(counts, empirical, strict=True):
        assert world.risks[risks == 0].max() == pytest.approx((row == 0).sum() / 4)


def test_coins_are_independent():
    risks = np.array([0.1, 0.3, 0.6])
    world = coins(risks)
    np.testing.assert_allclose(world.risks, risks, rtol=1e-14)
    joint = (world.losses * world.probabilities) @ world.losses.T
    np.testing.assert_allclose(joint, np.outer(risks, risks) + np.diag(risks * (1 - risks)), rtol=1e-14)


def test_lone_predictor():
    assert lone_predictor(0.3).risks.tolist() == [0.3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probabilities": [0.5, 0.6]}, "probabilities must be positive numbers that add up to 1"),
        ({"probabilities": [1.0, 0.0]}, "probabilities must be positive numbers that add up to 1"),
        ({"probabilities": [math.nan, 1.0]}, "probabilities must be a number"),
        ({"losses": [[0.0, 1.5]]}, r"losses must be in \[0, 1\]"),
        ({"losses": [0.0, 1.0]}, "losses must be a table of hypotheses by 2 points"),
        ({"losses": [[0.0, 1.0, 1.0]]}, "losses must be a table of hypotheses by 2 points"),
        ({"prior": [0.5, 0.5]}, "prior must have 1 entries, got 2"),
        ({"prior": [0.5]}, "prior must be positive numbers that add up to 1"),
    ],
)
def test_worlds_that_do_not_fit_together_are_refused(arguments, message):
    good = {"probabilities": [0.5, 0.5], "losses": [[0.0, 1.0]]}
    with pytest.raises(ValueError, match=message):
        FiniteWorld(**(good | arguments))


def test_weights_that_lost_their_digits_are_refused(monkeypatch):
    world = FiniteWorld([0.5, 0.5], [[0.0, 1.0]])
    exact = finite.multinomial_law
    monkeypatch.setattr(finite, "multinomial_law", lambda *arguments: exact(*arguments) * (1 + 2e-11))
    with pytest.raises(ArithmeticError, match="n=3 is too large"):
        world.samples(3)


def test_a_world_can_be_written_down_again():
    world = shattered_points(2)
    again = eval(repr(world))
    np.testing.assert_array_equal(again.losses, world.losses)
    np.testing.assert_array_equal(again.prior, world.prior)
