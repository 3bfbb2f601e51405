"""Exact failure probabilities of bounds for one predictor drawn from a posterior, over sample and draw together.

The adversary chooses the posterior Q for each sample, knowing the truth. A bound that grows with the density ratio
fails at a predictor h exactly while the ratio is below a critical value, so the most harmful Q gives every predictor
that can fail just less than its critical share, and the rest to the one where it spoils least. A draw for which a
theorem refuses to print a number is judged by the smallest number that it prints; its proof covers that too.
"""

from collections.abc import Callable
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.worlds.failures import MARGIN, Attack
from genbounds.worlds.finite import FiniteWorld

__all__ = ["renyi_attack", "single_draw_attack"]

#: A log ratio that every theorem refuses, and halvings that find the one from which it prints a number.
_REFUSED, _STEPS = -100.0, 32
#: How far inside of a critical value the adversary stays, lest rounding decide.
_INSIDE = 1 - 1e-9


def _smallest_printed(bound: Callable[..., Any], empirical: NDArray[np.float64], n: int, delta: float) -> float:
    """Return the smallest log ratio for which the bound is printed whatever the risk."""
    low, high, risks = _REFUSED, 0.0, np.unique(empirical)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        try:
            bound(risks, middle, n, delta)
        except ValueError:
            low = middle
        else:
            high = middle
    return high


def _critical(
    value: Callable[..., Any], empirical: NDArray[np.float64], risks: NDArray[np.float64], lowest: float, highest: float
) -> NDArray[np.float64]:
    """Return the largest divergence or log ratio at which ``value(risk, at)`` is below the truth, or minus infinity."""
    columns = np.stack([empirical.ravel(), np.broadcast_to(risks, empirical.shape).ravel()], axis=1)
    pairs, places = np.unique(columns, axis=0, return_inverse=True)
    risk, truth = pairs.T
    low, high = np.full(len(pairs), lowest), np.full(len(pairs), highest)
    possible = value(risk, low) < truth - MARGIN
    for _ in range(_STEPS):
        middle = (low + high) / 2
        fails = value(risk, middle) < truth - MARGIN
        low, high = np.where(fails, middle, low), np.where(fails, high, middle)
    return np.where(possible, low, -np.inf)[places.ravel()].reshape(empirical.shape)


def _attack(world: FiniteWorld, delta: float, weights: NDArray[np.float64], excess: NDArray[np.float64]) -> Attack:
    return Attack(world.name, delta, fsum(weights[excess < -MARGIN]), fsum((weights * excess).ravel()))


def single_draw_attack(bound: Callable[..., Any], world: FiniteWorld, n: int, delta: float, draws: int = 1) -> Attack:
    """Return the probability that the bound of one drawn predictor is below its risk, for the most harmful posterior.

    Parameters
    ----------
    bound : callable
        ``bound(risk, log_ratio, n, delta)``, increasing in the log ratio; it may refuse small ones by ValueError.
    world : FiniteWorld
        The world.
    n : int
        Examples in a sample.
    delta : float
        Claimed failure probability, over the sample and the draw.
    draws : int
        How many are drawn, the one whose bound looks best being kept: 1 is what theorems allow.

    Returns
    -------
    Attack
        Failure and slack over all samples and draws.
    """
    counts, weights = world.samples(n)
    empirical, prior = world.empirical_risks(counts), world.prior
    lowest = _smallest_printed(bound, empirical, n, delta)

    def value(risk: NDArray[np.float64], log_ratio: NDArray[np.float64]) -> Any:
        return bound(risk, np.maximum(log_ratio, lowest), n, delta)

    critical = _critical(value, empirical, world.risks, lowest, -float(np.log(prior.min())))
    posterior = prior * np.exp(critical) * _INSIDE
    # At most a whole posterior, filled from the largest share down; what is left goes where it spoils least.
    order = np.argsort(-posterior, axis=1)
    filled = np.minimum(np.cumsum(np.take_along_axis(posterior, order, axis=1), axis=1), 1.0)
    np.put_along_axis(posterior, order, np.diff(filled, axis=1, prepend=0.0), axis=1)
    posterior[np.arange(len(posterior)), np.argmin(posterior, axis=1)] += 1 - filled[:, -1]
    drawn = posterior > 0
    values = value(empirical, np.log(np.where(drawn, posterior, prior)) - np.log(prior))
    # The best of several draws is at one place of this order if all are there or behind, and not all behind.
    order = np.argsort(values, axis=1)
    behind = np.cumsum(np.take_along_axis(posterior, order, axis=1)[:, ::-1], axis=1)[:, ::-1] ** draws
    kept = np.empty_like(posterior)
    np.put_along_axis(kept, order, -np.diff(behind, axis=1, append=0.0), axis=1)
    return _attack(world, delta, weights[:, None] * kept, values - world.risks)


def renyi_attack(bound: Callable[..., Any], world: FiniteWorld, n: int, delta: float) -> Attack:
    """Return the probability that a bound by the divergence of order 2 fails, for the most harmful posterior.

    Parameters
    ----------
    bound : callable
        ``bound(risk, renyi, n, delta)``, increasing in the divergence.
    world : FiniteWorld
        The world.
    n : int
        Examples in a sample.
    delta : float
        Claimed failure probability, over the sample and the draw.

    Returns
    -------
    Attack
        Failure and slack over all samples and draws.

    Notes
    -----
    A posterior with mass q on the predictors F costs least if it is the prior, scaled, on F and off it: then
    D_2 = ln(1 + (q - P(F))^2 / (P(F) (1 - P(F)))). Candidates for F are those that still fail at some divergence.
    """
    counts, weights = world.samples(n)
    empirical, prior = world.empirical_risks(counts), world.prior

    def value(risk: NDArray[np.float64], renyi: NDArray[np.float64]) -> Any:
        return bound(risk, renyi, n, delta)

    critical = _critical(value, empirical, world.risks, 0.0, -2 * float(np.log(prior.min())))
    posterior, harm = np.tile(prior, (len(counts), 1)), np.zeros(len(counts))
    for level in critical.T:
        inside = (critical >= level[:, None]) & (level >= 0)[:, None]
        share = (prior * inside).sum(axis=1)
        rest = np.maximum(1 - share, 0.0)
        mass = np.minimum(share + np.sqrt(np.expm1(np.maximum(level, 0.0) * _INSIDE) * share * rest), 1.0)
        on, off = mass / np.where(share > 0, share, 1.0), (1 - mass) / np.where(rest > 0, rest, 1.0)
        better = mass > harm
        posterior = np.where(better[:, None], prior * np.where(inside, on[:, None], off[:, None]), posterior)
        harm = np.maximum(mass, harm)
    renyi = np.log(np.maximum((posterior**2 / prior).sum(axis=1, keepdims=True), 1.0))
    return _attack(world, delta, weights[:, None] * posterior, value(empirical, renyi) - world.risks)
