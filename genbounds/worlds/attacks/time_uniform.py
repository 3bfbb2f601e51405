"""Attacks on bounds that claim to hold for all n at once: the adversary looks after every example and may stop."""

from collections.abc import Callable, Iterator, Sequence
from math import fsum
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.worlds.attacks.registry import Bound, attacks
from genbounds.worlds.attacks.split_kl import excess_losses, frequencies_above, with_levels
from genbounds.worlds.attacks.targets import graded_losses, just_above
from genbounds.worlds.attacks.variance import Statistic, averages, excesses, worlds
from genbounds.worlds.enumeration import count_vectors
from genbounds.worlds.failures import Attack
from genbounds.worlds.finite import FiniteWorld, lone_predictor
from genbounds.worlds.posteriors import adversarial_posteriors, kl_divergence

__all__ = ["Schedule", "stopped_attack", "weighted_attack"]

#: From the points seen so far, shape (paths, i), to the weight of the next example, shape (paths,).
Schedule: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.float64]]

_MARGIN = 1e-12


def stopped_attack(
    bound: Bound, world: FiniteWorld, most: int, delta: float, statistics: Sequence[Statistic] = (averages,)
) -> Attack:
    """Return the probability that after some number of examples some posterior has a risk above its bound.

    Parameters
    ----------
    bound : callable
        ``bound(*statistics of Q, kl, n, delta)``, claimed to hold for all posteriors and all n at once.
    world : FiniteWorld
        The world.
    most : int
        Examples at the last look; the first one is after one example.
    delta : float
        Claimed failure probability, of all looks together.
    statistics : sequence of callable
        What the bound knows of the sample, averaged over Q; they depend on counts of the points alone.

    Returns
    -------
    Attack
        Failure at any look, exact: the probability of all streams that have not failed yet is carried from look to
        look, by counts of the points. Slack at the last look.
    """
    points = len(world.probabilities)
    # The counts of all points but the last are the address of a state; the last one's follows from n.
    alive = np.zeros((most + 1,) * (points - 1))
    alive[(0,) * (points - 1)] = 1.0
    lost = []
    for n in range(1, most + 1):
        seen = alive * world.probabilities[-1]
        for axis in range(points - 1):
            seen += world.probabilities[axis] * np.roll(alive, 1, axis=axis)
        alive = seen
        counts = count_vectors(n, points)
        places = tuple(counts[:, :-1].T)
        reached = alive[places] > 0
        least, _ = excesses(bound, world, n, delta, counts[reached], statistics)
        failed = tuple(place[reached][least < -_MARGIN] for place in places)
        lost.append(fsum(alive[failed]))
        alive[failed] = 0.0
    counts, weights = world.samples(most)
    _, favourite = excesses(bound, world, most, delta, counts, statistics)
    return Attack(f"{world.name}, {most} looks", delta, fsum(lost), fsum(weights * favourite))


def weighted_attack(bound: Bound, world: FiniteWorld, most: int, delta: float, schedule: Schedule) -> Attack:
    """Return the probability that a bound on weighted risks fails at some look, over all sequences of examples.

    Parameters
    ----------
    bound : callable
        ``bound(risk, kl, n, delta, weight_sum, weight_squares)``.
    world : FiniteWorld
        The world.
    most : int
        Examples at the last look.
    delta : float
        Claimed failure probability, of all looks together.
    schedule : callable
        The weights.

    Returns
    -------
    Attack
        Failure at any look, over all k^most sequences; slack at the last look.
    """
    points = len(world.probabilities)
    paths, chance = np.zeros((1, 0), np.int64), np.ones(1)
    sums, squares, losses = np.zeros(1), np.zeros(1), np.zeros((1, len(world.prior)))
    alive, lost = np.ones(1, bool), []
    for n in range(1, most + 1):
        weight = np.repeat(schedule(paths), points)
        drawn = np.tile(np.arange(points), len(paths))
        paths = np.c_[np.repeat(paths, points, axis=0), drawn]
        chance, alive = np.repeat(chance, points) * world.probabilities[drawn], np.repeat(alive, points)
        sums, squares = np.repeat(sums, points) + weight, np.repeat(squares, points) + weight**2
        losses = np.repeat(losses, points, axis=0) + weight[:, None] * world.losses.T[drawn]
        empirical = np.minimum(losses / sums[:, None], 1.0)
        posteriors = adversarial_posteriors(world.prior, world.risks, empirical, n)
        risk = np.minimum(np.einsum("sfh,sh->sf", posteriors, empirical), 1.0)
        kl = kl_divergence(posteriors, world.prior)
        values = np.asarray(bound(risk, kl, n, delta, sums[:, None], squares[:, None]))
        excess = values - posteriors @ world.risks
        failed = alive & (excess.min(axis=1) < -_MARGIN)
        lost.append(fsum(chance[failed]))
        alive &= ~failed
    favourite = np.take_along_axis(excess, np.argmin(values, axis=1)[:, None], axis=1)[:, 0]
    return Attack(f"{world.name}, weighted, {most} looks", delta, fsum(lost), fsum(chance * favourite))


@attacks("risk", "kl", "n", "delta", all_n=True)
def _attack_risk(bound: Bound, delta: float) -> Iterator[Attack]:
    for world, n in worlds(bound, delta, (averages,), (1, 6, 100)):
        yield stopped_attack(bound, world, 100 if len(world.prior) == 1 else min(n, 6), delta)


@attacks("frequencies", "levels", "kl", "n", "delta", all_n=True)
def _attack_levels(bound: Bound, delta: float) -> Iterator[Attack]:
    for levels, low, span in (([0, 0.25, 0.75, 1], 0, 1), ([0, 0.5, 1], -1, 2)):
        at_levels = with_levels(bound, np.array(levels), low, span)
        statistics = (frequencies_above(np.array(levels)),)
        for world, n in [*worlds(at_levels, delta, statistics, (16,)), (excess_losses(), 6)]:
            yield stopped_attack(at_levels, world, min(n, 16 if len(world.prior) == 1 else 4), delta, statistics)


def _after_mistakes(paths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weigh an example by what came before: a lot after the last point, which is the one of errors."""
    return np.where((paths[:, -1:] == 1).any(axis=1), 2.0, 0.5)


@attacks("risk", "kl", "n", "delta", "weight_sum", "weight_squares", all_n=True)
@attacks("risk", "kl", "n", "delta", "weight_sum", "weight_squares")
def _attack_weighted(bound: Bound, delta: float) -> Iterator[Attack]:
    schedules: tuple[Schedule, ...] = (
        lambda paths: np.ones(len(paths)),
        lambda paths: np.full(len(paths), 2.0 / np.sqrt(paths.shape[1] + 1.0)),
        _after_mistakes,
    )
    for schedule in schedules:
        weights = [float(schedule(np.zeros((1, i), np.int64))[0]) for i in range(10)]
        for n in (1, 4, 10):
            total, squares = sum(weights[:n]), sum(weight**2 for weight in weights[:n])
            risk = just_above(float(np.asarray(bound(0.0, 0.0, n, delta, total, squares))))
            if risk < 1:
                yield weighted_attack(bound, lone_predictor(risk), 10, delta, schedule)
        yield weighted_attack(bound, graded_losses(), 6, delta, schedule)
    for weight in (0.2, 1.0):  # equal weights: counts are enough, and longer streams can be followed

        def equal(risk: ArrayLike, kl: ArrayLike, n: int, delta: float, weight: float = weight) -> ArrayLike:
            return bound(risk, kl, n, delta, weight * n, weight**2 * n)

        for n in (20, 60):
            risk = just_above(float(np.asarray(equal(0.0, 0.0, n, delta))))
            if risk < 1:
                yield stopped_attack(equal, lone_predictor(risk), 100, delta)
