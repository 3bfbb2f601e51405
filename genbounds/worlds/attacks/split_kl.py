"""Attacks on bounds that split a loss into parts, at one n."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.worlds.attacks.registry import Bound, attacks
from genbounds.worlds.attacks.variance import Statistic, averages, statistics_attack, worlds
from genbounds.worlds.failures import Attack
from genbounds.worlds.finite import FiniteWorld

__all__ = ["excess_losses", "frequencies_above", "with_levels"]


def frequencies_above(levels: NDArray[np.float64]) -> Statistic:
    """Return the statistic that says how often losses are above each level but the last.

    Parameters
    ----------
    levels : ndarray, shape (K + 1,)
        In increasing order.

    Returns
    -------
    callable
        From counts and losses to frequencies, shape (samples, h, K).
    """

    def statistic(counts: NDArray[np.int64], losses: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([averages(counts, (losses > level).astype(np.float64)) for level in levels[:-1]], axis=-1)

    return statistic


def with_levels(bound: Bound, levels: NDArray[np.float64], low: float = 0.0, span: float = 1.0) -> Bound:
    """Return a bound of frequencies and levels at given levels.

    Parameters
    ----------
    bound : callable
        ``bound(frequencies, levels, kl, n, delta)``.
    levels : ndarray
        The levels, in [0, 1].
    low, span : float
        The bound is asked about the loss low + span * l, and its answer translated back.

    Returns
    -------
    callable
        ``bound(frequencies, kl, n, delta)``; frequencies that have left 1 by rounding are put back.
    """
    moved = low + span * levels
    return lambda frequencies, *rest: (bound(np.minimum(frequencies, 1.0), moved, *rest) - low) / span


def excess_losses() -> FiniteWorld:
    """Return a world of differences of 0-1 losses, -1, 0 and 1, rescaled to 0, 1/2 and 1: mostly no difference.

    Returns
    -------
    FiniteWorld
        Three points, four hypotheses.
    """
    return FiniteWorld(
        probabilities=[0.7, 0.2, 0.1],
        losses=[[0.5, 0.5, 0.5], [0.5, 0.0, 1.0], [0.5, 1.0, 0.0], [0.5, 0.5, 1.0]],
        prior=[0.4, 0.3, 0.2, 0.1],
        name="differences of 0-1 losses",
    )


@attacks("excess_above", "shortfall_below", "kl", "n", "delta", "mu")
def _attack_cut(bound: Bound, delta: float) -> Iterator[Attack]:
    for mu in (0.1, 0.5, 0.75):

        def above(counts: NDArray[np.int64], losses: NDArray[np.float64], mu: float = mu) -> NDArray[np.float64]:
            return np.minimum(averages(counts, np.maximum(losses - mu, 0.0)), 1 - mu)

        def below(counts: NDArray[np.int64], losses: NDArray[np.float64], mu: float = mu) -> NDArray[np.float64]:
            return np.minimum(averages(counts, np.maximum(mu - losses, 0.0)), mu)

        def cut(above: Any, below: Any, *rest: Any, mu: float) -> Any:
            return bound(np.minimum(above, 1 - mu), np.minimum(below, mu), *rest, mu)

        statistics, at_mu = (above, below), partial(cut, mu=mu)
        for world, n in [*worlds(at_mu, delta, statistics, (1, 6, 300)), (excess_losses(), 12)]:
            yield statistics_attack(at_mu, world, n, delta, statistics)


@attacks("frequencies", "levels", "kl", "n", "delta")
def _attack_levels(bound: Bound, delta: float) -> Iterator[Attack]:
    for levels, low, span in (([0, 1], 0, 1), ([0, 0.25, 0.5, 0.75, 1], 0, 1), ([0, 0.5, 1], -1, 2)):
        at_levels = with_levels(bound, np.array(levels), low, span)
        statistics = (frequencies_above(np.array(levels)),)
        for world, n in [*worlds(at_levels, delta, statistics, (1, 6, 300)), (excess_losses(), 12)]:
            yield statistics_attack(at_levels, world, n, delta, statistics)
