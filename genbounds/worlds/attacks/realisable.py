"""Attacks on bounds for predictors that fit the whole sample."""

from collections.abc import Iterator

import numpy as np

from genbounds.worlds.attacks.registry import Bound, attacks
from genbounds.worlds.attacks.targets import graded_losses, just_above
from genbounds.worlds.failures import Attack
from genbounds.worlds.finite import FiniteWorld, coins, lone_predictor, shattered_points
from genbounds.worlds.realisable import conditional_draw_attack, fitting_posteriors_attack, own_regions


def _worlds(bound: Bound, delta: float) -> Iterator[tuple[FiniteWorld, int]]:
    """Yield worlds where one predictor is all that fits, with its risk just above its bound, and richer ones."""
    for n in (1, 5, 60, 10_000):
        risk = just_above(bound(0.0, n, delta))
        if risk < 1:
            yield lone_predictor(risk, f"lone predictor, {n} examples"), n
    for n, predictors in ((1, 2), (1, 8), (2, 3), (3, 4), (20, 2)):
        share = 1 - just_above(bound(np.log(predictors), n, delta))
        if 0 < share < 1 / predictors:
            yield own_regions(predictors, share), n
    for n, predictors in ((6, 3), (20, 2)):
        risk = just_above(bound(np.log(predictors), n, delta))
        if risk < 1:
            yield coins([risk] * predictors), n
    yield from ((shattered_points(5), 5), (coins([0.2, 0.3, 0.4]), 6), (graded_losses(), 8))


@attacks("kl", "n", "delta")
def _attack_posteriors(bound: Bound, delta: float) -> Iterator[Attack]:
    for world, n in _worlds(bound, delta):
        yield fitting_posteriors_attack(bound, world, n, delta)


@attacks("information", "n", "delta")
def _attack_draws(bound: Bound, delta: float) -> Iterator[Attack]:
    for world, n in _worlds(bound, delta):
        yield conditional_draw_attack(bound, world, n, delta)
