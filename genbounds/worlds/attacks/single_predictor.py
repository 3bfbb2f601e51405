"""Attacks on bounds for one predictor: given, or chosen on the sample by its code length."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from genbounds.worlds.attacks.registry import Bound, attacks
from genbounds.worlds.attacks.targets import graded_losses, lone_predictors
from genbounds.worlds.failures import Attack, hypothesis_attack
from genbounds.worlds.finite import FiniteWorld, coins, shattered_points


def _attack_occam(bound: Bound, delta: float, graded: bool) -> Iterator[Attack]:
    for n in (1, 6, 20, 300):
        for world in lone_predictors(lambda errors, n, delta: bound(errors / n, 0.0, n, delta), n, delta):
            yield hypothesis_attack(bound, world, n, delta)
    worlds = [(shattered_points(6), 6), (coins([0.2, 0.3, 0.4]), 6)] + [(graded_losses(), 12)] * graded
    for world, n in worlds:
        yield hypothesis_attack(bound, world, n, delta)


@attacks("errors", "code_length", "n", "delta")
def _attack_occam_errors(bound: Bound, delta: float) -> Iterator[Attack]:
    def at_rate(risk: ArrayLike, code_length: ArrayLike, n: int, delta: float) -> Any:
        return bound(np.rint(np.asarray(risk) * n), code_length, n, delta)

    yield from _attack_occam(at_rate, delta, graded=False)


def _attack_holdout(bound: Bound, delta: float, graded: bool) -> Iterator[Attack]:
    def ignoring_code(risk: ArrayLike, _code_length: ArrayLike, n: int, delta: float) -> Any:
        return bound(risk, n, delta)

    for n in (1, 2, 7, 30, 300):
        for world in lone_predictors(lambda errors, n, delta: bound(errors / n, n, delta), n, delta):
            yield hypothesis_attack(ignoring_code, world, n, delta)
    for losses in graded_losses().losses if graded else ():
        world = FiniteWorld(probabilities=graded_losses().probabilities, losses=losses[None], name="one graded loss")
        yield hypothesis_attack(ignoring_code, world, 12, delta)


@attacks("errors", "n", "delta")
def _attack_holdout_errors(bound: Bound, delta: float) -> Iterator[Attack]:
    yield from _attack_holdout(lambda risk, n, delta: bound(np.rint(np.asarray(risk) * n), n, delta), delta, False)


@attacks("risk", "code_length", "n", "delta")
def _attack_occam_risks(bound: Bound, delta: float) -> Iterator[Attack]:
    yield from _attack_occam(bound, delta, graded=True)


@attacks("risk", "n", "delta")
def _attack_holdout_risks(bound: Bound, delta: float) -> Iterator[Attack]:
    yield from _attack_holdout(bound, delta, graded=True)
