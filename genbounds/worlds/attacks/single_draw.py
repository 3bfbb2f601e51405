"""Attacks on bounds for one predictor drawn from a posterior: over sample and draw, for the most harmful posterior."""

from collections.abc import Iterator

from genbounds.worlds.attacks.registry import Bound, attacks
from genbounds.worlds.attacks.targets import graded_losses
from genbounds.worlds.failures import Attack
from genbounds.worlds.finite import FiniteWorld, coins, shattered_points
from genbounds.worlds.single_draws import renyi_attack, single_draw_attack


def _worlds(delta: float) -> Iterator[tuple[FiniteWorld, int]]:
    """Yield worlds with a bad predictor and a little of a perfect one to hide it in, then richer ones."""
    for n in (1, 5, 60):
        for risk in (0.05, 0.9, 1 - 0.4 * delta):
            name = f"a predictor of risk {risk:.3g} and a perfect one, {n} examples"
            yield FiniteWorld([1 - risk, risk], [[0.0, 1.0], [0.0, 0.0]], [1 - 1e-9, 1e-9], name), n
    yield from ((shattered_points(4), 5), (coins([0.2, 0.3, 0.4]), 6), (graded_losses(), 8))


@attacks("risk", "log_ratio", "n", "delta")
def _attack_log_ratio(bound: Bound, delta: float) -> Iterator[Attack]:
    for world, n in _worlds(delta):
        yield single_draw_attack(bound, world, n, delta)


@attacks("risk", "renyi", "n", "delta")
def _attack_renyi(bound: Bound, delta: float) -> Iterator[Attack]:
    for world, n in _worlds(delta):
        yield renyi_attack(bound, world, n, delta)
