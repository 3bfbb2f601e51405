import itertools
import math

import numpy as np
import pytest
from hypothesis import given

from genbounds.worlds import FiniteWorld, classification, coins, finite, lone_predictor, shattered_points
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
    world = classification([0.2, 0.8], [0, 1], [1, 2])
    again = eval(repr(world))
    np.testing.assert_array_equal(again.losses, world.losses)
    np.testing.assert_array_equal(again.prior, world.prior)
    np.testing.assert_array_equal(again.predictions, world.predictions)


def test_by_default_the_loss_stands_for_the_prediction():
    world = FiniteWorld([0.5, 0.5], [[0.0, 0.25], [1.0, 0.25]])
    assert world.predictions.tolist() == [[0, 1], [2, 1]]


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([[0, 1]], r"predictions must be whole numbers in a table of shape \(2, 2\), got shape \(1, 2\)"),
        ([[0.0, 1.0], [1.0, 0.0]], r"predictions must be whole numbers .*dtype float64"),
        ([[5, 1], [5, 0]], "predictions must decide the losses, got two losses for one prediction on point 0"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(predictions, message):
    with pytest.raises(ValueError, match=message):
        FiniteWorld([0.5, 0.5], [[0.0, 0.5], [1.0, 0.5]], predictions=predictions)


def test_classification_with_noisy_labels():
    """Two inputs; the second has label 1 or 2, once in four times 2."""
    world = classification([0.2, 0.6, 0.2], inputs=[0, 1, 1], labels=[0, 1, 2])
    assert world.losses.shape == (9, 3)  # all functions from two inputs to three labels
    best = world.predictions[np.argmin(world.risks)]
    assert best.tolist() == [0, 1, 1]
    assert world.risks.min() == pytest.approx(0.2)
    np.testing.assert_array_equal(world.losses, world.predictions != [0, 1, 2])
    assert len({tuple(row) for row in world.predictions.tolist()}) == 9


def test_given_classifiers_and_prior():
    world = classification([0.5, 0.5], [1, 0], [1, 1], classifiers=[[0, 1], [1, 1]], prior=[0.9, 0.1], name="mine")
    assert world.predictions.tolist() == [[1, 0], [1, 1]]
    assert (world.name, world.prior.tolist()) == ("mine", [0.9, 0.1])
    with pytest.raises(ValueError, match="labels must be a whole number of at least 0"):
        classification([1.0], [0], [0.5])
