"""Bounds that claim to hold for all n at once, attacked after every example, and bounds that do not."""

import math
from itertools import product

import numpy as np
import pytest

from genbounds.numerics import kl_upper
from genbounds.pac_bayes import (
    clopper_pearson,
    coin_betting,
    coin_betting_kl,
    maurer,
    seeger_xi,
    test_set_kl,
    time_uniform_hoeffding,
)
from genbounds.worlds import FiniteWorld, lone_predictor, shattered_points
from genbounds.worlds.attacks.split_kl import frequencies_above, with_levels
from genbounds.worlds.attacks.time_uniform import stopped_attack, weighted_attack
from genbounds.worlds.attacks.variance import excesses


def test_the_attack_is_the_sum_over_all_streams():
    """Every sequence of six examples from three points, each followed until the bound fails."""
    world = FiniteWorld([0.5, 0.3, 0.2], [[0.0, 1.0, 0.5], [1.0, 0.0, 0.0], [0.2, 0.2, 0.9]], [0.5, 0.3, 0.2])

    def bound(risk, kl, n, delta):
        return kl_upper(risk, 0.3 * (kl - math.log(delta)) / n)  # fails often

    failure = 0.0
    for stream in product(range(3), repeat=6):
        for n in range(1, 7):
            counts = np.bincount(stream[:n], minlength=3)[None]
            least, _ = excesses(bound, world, n, 0.3, counts, (lambda c, losses: c @ losses.T / c.sum(),))
            if least[0] < -1e-12:
                failure += np.prod(world.probabilities[list(stream)])
                break
    assert 0.05 < failure < 0.95
    assert stopped_attack(bound, world, 6, 0.3).failure == pytest.approx(failure, rel=1e-12)
    # The other attack, which lists the sequences, agrees at equal weights.
    listed = weighted_attack(
        lambda risk, kl, n, delta, *_: bound(risk, kl, n, delta), world, 6, 0.3, lambda paths: np.ones(len(paths))
    )
    assert listed.failure == pytest.approx(failure, rel=1e-12)


@pytest.mark.parametrize("bound", [test_set_kl, lambda risk, n, delta: clopper_pearson(np.rint(risk * n), n, delta)])
def test_a_bound_for_one_n_fails_more_often_the_more_often_it_is_looked_at(bound):
    world, delta = lone_predictor(0.3), 0.05

    def at(risk, _kl, n, delta):
        return bound(risk, n, delta)

    failures = [stopped_attack(at, world, looks, delta).failure for looks in (10, 30, 100)]
    assert failures == sorted(failures)
    assert failures[-1] > 1.5 * delta
    assert stopped_attack(coin_betting_kl, world, 100, delta).survived


@pytest.mark.parametrize("bound", [maurer, seeger_xi])
def test_the_fixed_n_theorems_fail_more_often_too(bound):
    """The chance of a failure grows with the looks, though the reserve in their constants keeps it below delta here."""
    failures = [stopped_attack(bound, lone_predictor(0.3), looks, 0.05).failure for looks in (10, 40, 100)]
    assert failures[0] < failures[1] < failures[2] < 0.05


def test_maurer_happens_to_hold_for_all_n():
    """2 sqrt(n) is never below kt(n), so that its number is never below one that does."""
    n = np.arange(1, 3000)
    assert np.all(maurer(0.1, 3.0, n, 0.05) >= coin_betting_kl(0.1, 3.0, n, 0.05) * (1 - 1e-12))
    assert np.all(seeger_xi(0.1, 3.0, n[5:], 0.05) < coin_betting_kl(0.1, 3.0, n[5:], 0.05))


def test_without_the_constant_of_the_mixture():
    """kl+(r, (KL + ln(1/delta)) / n): in order at one n for one predictor, too small for all of them."""

    def broken(risk, kl, n, delta):
        return kl_upper(risk, (kl - math.log(delta)) / n)

    world = lone_predictor(0.2)
    assert stopped_attack(broken, world, 1, 0.05).survived
    assert not stopped_attack(broken, world, 300, 0.05).survived


@pytest.mark.parametrize("change", [{"n": 2}, {"kl": 0}], ids=["n doubled", "no divergence"])
def test_broken_coin_betting(change):
    levels = np.array([0.0, 1.0])
    statistics = (frequencies_above(levels),)

    def broken(frequencies, levels, kl, n, delta):
        return coin_betting(frequencies, levels, change.get("kl", 1) * kl, change.get("n", 1) * n, delta)

    world = shattered_points(6)
    assert not stopped_attack(with_levels(broken, levels), world, 6, 0.15, statistics).survived
    assert stopped_attack(with_levels(coin_betting, levels), world, 6, 0.15, statistics).survived


def test_losses_rounded_down_to_a_level():
    """A loss that is 0.49 or 1, counted as 0 or 1."""
    world, levels = FiniteWorld([0.7, 0.3], [[0.49, 1.0]]), np.array([0.0, 0.5, 1.0])

    def rounded_down(counts, losses):
        return frequencies_above(levels)(counts, np.floor(2 * losses) / 2)

    bound = with_levels(coin_betting, levels)
    assert not stopped_attack(bound, world, 60, 0.05, (rounded_down,)).survived
    assert stopped_attack(bound, world, 60, 0.05, (frequencies_above(levels),)).survived


def constant(weight):
    return lambda risk, kl, n, delta: time_uniform_hoeffding(risk, kl, n, delta, weight * n, weight**2 * n)


def test_hoeffding_without_its_squares():
    def broken(risk, kl, n, delta, weight_sum, _squares):
        return np.minimum(risk + (kl - math.log(delta)) / weight_sum, 1)

    for weights in (lambda paths: np.full(len(paths), 4.0), lambda paths: 4 / np.sqrt(np.full(len(paths), 1.0))):
        assert not weighted_attack(broken, lone_predictor(0.85), 10, 0.05, weights).survived
        assert weighted_attack(time_uniform_hoeffding, lone_predictor(0.85), 10, 0.05, weights).survived


def test_weights_chosen_after_the_fact():
    """The best of eight weights at every look, unpaid; at an eighth of delta each it holds."""
    weights, world, delta = 2.0 ** np.arange(-5, 3), lone_predictor(0.5), 0.4

    def best(risk, kl, n, delta):
        return np.min([constant(weight)(risk, kl, n, delta) for weight in weights], axis=0)

    assert not stopped_attack(best, world, 400, delta).survived
    assert stopped_attack(lambda *x: best(*x[:3], x[3] / 8), world, 400, delta).survived
    for weight in weights:
        assert stopped_attack(constant(weight), world, 100, delta).survived


def test_a_weight_that_saw_its_example():
    """Errors count a tenth: no rule that was fixed before the example could do that."""
    world, delta = lone_predictor(0.6), 0.05

    def clairvoyant(risk, kl, n, delta):
        errors = np.rint(risk * n)
        total, squares = n - 0.9 * errors, n - 0.99 * errors
        return time_uniform_hoeffding(np.minimum(0.1 * errors / total, 1), kl, n, delta, total, squares)

    assert not stopped_attack(clairvoyant, world, 60, delta).survived
    assert stopped_attack(constant(0.75), world, 60, delta).survived
