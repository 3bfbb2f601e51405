"""Bounds that use other statistics than the mean: common mistakes, each of which some world must expose."""

from dataclasses import replace

import numpy as np
import pytest

from genbounds.numerics import kl_upper
from genbounds.pac_bayes import split_kl, split_kl_discrete, tolstikhin_seldin, unexpected_bernstein
from genbounds.theorems import Grid, catalogue
from genbounds.worlds import FiniteWorld, attack, lone_predictor
from genbounds.worlds.attacks.split_kl import frequencies_above
from genbounds.worlds.attacks.variance import averages, second_moments, statistics_attack, variances


def test_statistics_are_those_of_the_sample():
    world = FiniteWorld([0.5, 0.3, 0.2], [[0.0, 0.4, 1.0], [0.3, 0.3, 0.3]])
    counts = np.array([[3, 1, 2], [0, 5, 1]])
    for row, sample in enumerate(([0, 0, 0, 1, 2, 2], [1, 1, 1, 1, 1, 2])):
        losses = world.losses[:, sample]
        np.testing.assert_allclose(averages(counts, world.losses)[row], losses.mean(axis=1))
        np.testing.assert_allclose(second_moments(counts, world.losses)[row], (losses**2).mean(axis=1))
        np.testing.assert_allclose(variances(counts, world.losses)[row], losses.var(axis=1, ddof=1), atol=1e-16)
        shares = np.stack([(losses > level).mean(axis=1) for level in (0.0, 0.3)], axis=-1)
        levels = np.array([0.0, 0.3, 1.0])
        np.testing.assert_allclose(frequencies_above(levels)(counts, world.losses)[row], shares)


def failing(name, broken, delta=0.05):
    return max(attack(replace(catalogue()[f"pac_bayes.{name}"], function=broken), delta), key=lambda a: a.failure)


def test_doubled_n():
    assert not failing(
        "tolstikhin_seldin",
        lambda risk, variance, kl, n, delta: tolstikhin_seldin(risk, variance, kl, 2 * n, delta),
        1e-6,
    ).survived
    assert not failing(
        "split_kl",
        lambda excess_above, shortfall_below, kl, n, delta, mu: split_kl(
            excess_above, shortfall_below, kl, 2 * n, delta, mu
        ),
    ).survived
    assert not failing(
        "split_kl_discrete",
        lambda frequencies, levels, kl, n, delta: split_kl_discrete(frequencies, levels, kl, 2 * n, delta),
    ).survived


def test_without_delta():
    def broken(risk, variance, kl, n, delta):
        return tolstikhin_seldin(risk, variance, kl, n, np.full(np.shape(delta), 0.999))

    assert not failing("tolstikhin_seldin", broken).survived


def test_without_the_squares():
    def broken(risk, second_moment, kl, n, delta, gamma):
        return unexpected_bernstein(risk, 0 * second_moment, kl, n, delta, gamma)

    assert failing("unexpected_bernstein", broken).failure > 0.9


def test_the_variance_of_the_mixture():
    """Two opposite predictors, half each: their average loss never varies, each of them does."""
    world, n, delta = FiniteWorld([0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]]), 20, 0.3
    half = np.array([0.5, 0.5])
    counts, _ = world.samples(n)
    mixture = FiniteWorld(world.probabilities, half[None] @ world.losses)
    assert np.all(variances(counts, mixture.losses) == 0)
    assert np.all((variances(counts, world.losses) @ half)[5:-5] > 0.18)
    assert statistics_attack(tolstikhin_seldin, world, n, delta, (averages, variances)).survived


def test_gamma_optimised_after_the_fact():
    """Three memorisers, one example, delta = 0.95: the unpaid minimum over gamma fails on every sample."""
    world = FiniteWorld([0.65, 0.175, 0.175], 1 - np.eye(3), [0.62, 0.19, 0.19], name="three memorisers")
    delta, values = 0.95, -np.expm1(-(2.0 ** np.arange(-6, 5)))
    statistics = (averages, second_moments)

    def unpaid(*numbers):
        return np.min([unexpected_bernstein(*numbers, gamma) for gamma in values], axis=0)

    assert statistics_attack(unpaid, world, 1, delta, statistics).failure == pytest.approx(1.0)
    paid = statistics_attack(lambda *numbers: unexpected_bernstein(*numbers, Grid(values)), world, 1, delta, statistics)
    assert paid.survived


def test_an_upper_limit_of_the_shortfall():
    """The shortfall below the cut must be a lower limit: an upper one subtracts too much."""
    world, mu, n, delta = lone_predictor(0.5), 0.5, 20, 0.05
    c = np.log(20.0) / n

    def above(counts, losses):
        return averages(counts, np.maximum(losses - mu, 0))

    def below(counts, losses):
        return averages(counts, np.maximum(mu - losses, 0))

    def at(upper):
        def bound(above, below, kl, n, delta):
            limit = mu * kl_upper(np.minimum(below / mu, 1), c) if upper else below
            return split_kl(above, np.minimum(limit, mu), kl, n, delta, mu)

        return statistics_attack(bound, world, n, delta, (above, below))

    assert at(upper=False).survived
    assert at(upper=True).failure > at(upper=False).failure
