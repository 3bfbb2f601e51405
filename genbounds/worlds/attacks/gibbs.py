"""Attacks on bounds that hold for all posteriors at once."""

from collections.abc import Iterator

from genbounds.worlds.attacks.registry import Bound, attacks
from genbounds.worlds.attacks.targets import graded_losses, lone_predictors
from genbounds.worlds.failures import Attack, gibbs_attack
from genbounds.worlds.finite import coins, shattered_points


@attacks("risk", "kl", "n", "delta")
def _attack_gibbs(bound: Bound, delta: float) -> Iterator[Attack]:
    for n in (1, 6, 20, 300, 10_000):
        for world in lone_predictors(lambda errors, n, delta: bound(errors / n, 0.0, n, delta), n, delta):
            yield gibbs_attack(bound, world, n, delta)
    for world, n in ((shattered_points(6), 6), (coins([0.2, 0.3, 0.4]), 6), (graded_losses(), 12)):
        yield gibbs_attack(bound, world, n, delta)
