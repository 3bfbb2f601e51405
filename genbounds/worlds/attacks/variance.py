"""Attacks on bounds that use other statistics of the losses than their mean, at one n."""

from collections.abc import Callable, Iterator, Sequence
from math import fsum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from genbounds.worlds.attacks.registry import Bound, attacks
from genbounds.worlds.attacks.targets import graded_losses, just_above
from genbounds.worlds.failures import Attack
from genbounds.worlds.finite import FiniteWorld, coins, shattered_points
from genbounds.worlds.posteriors import adversarial_posteriors, kl_divergence

__all__ = ["Statistic", "averages", "excesses", "second_moments", "statistics_attack", "variances"]

#: From counts of the points, shape (samples, k), and losses, shape (h, k), to a number for each sample and hypothesis.
Statistic: TypeAlias = Callable[[NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]]

_MARGIN = 1e-12
_BLOCK = 2000


def averages(counts: NDArray[np.int64], losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the average loss of each hypothesis on each sample.

    Parameters
    ----------
    counts : ndarray of int64, shape (samples, k)
        How often each point occurs.
    losses : ndarray, shape (h, k)
        Losses in [0, 1].

    Returns
    -------
    ndarray, shape (samples, h)
        Averages.
    """
    return np.minimum(counts @ losses.T / counts.sum(axis=1, keepdims=True), 1.0)


def second_moments(counts: NDArray[np.int64], losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the average squared loss of each hypothesis on each sample.

    Parameters
    ----------
    counts : ndarray of int64, shape (samples, k)
        How often each point occurs.
    losses : ndarray, shape (h, k)
        Losses in [0, 1].

    Returns
    -------
    ndarray, shape (samples, h)
        Averages.
    """
    return averages(counts, losses**2)


def variances(counts: NDArray[np.int64], losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unbiased empirical variance of each hypothesis on each sample.

    Parameters
    ----------
    counts : ndarray of int64, shape (samples, k)
        How often each point occurs, two examples at least.
    losses : ndarray, shape (h, k)
        Losses in [0, 1].

    Returns
    -------
    ndarray, shape (samples, h)
        Sums of (l_i - l_j)^2 over pairs i < j, divided by n (n - 1).
    """
    n = counts.sum(axis=1, keepdims=True)
    squares = (losses[:, :, None] - losses[:, None, :]) ** 2
    return np.einsum("sk,hkl,sl->sh", counts / n, squares, counts / (n - 1)) / 2


def excesses(
    bound: Bound, world: FiniteWorld, n: int, delta: float, counts: NDArray[np.int64], statistics: Sequence[Statistic]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return by how much a bound exceeds the truth, at worst and where it is smallest, for each sample.

    Parameters
    ----------
    bound : callable
        ``bound(*statistics of Q, kl, n, delta)``.
    world : FiniteWorld
        The world.
    n : int
        Examples in a sample.
    delta : float
        Passed to the bound.
    counts : ndarray of int64, shape (samples, k)
        The samples.
    statistics : sequence of callable
        What the bound knows of the sample, averaged over Q.

    Returns
    -------
    tuple of two ndarrays, shape (samples,)
        The least excess over `adversarial_posteriors`, and the excess of the posterior with the least bound.
    """
    least, favourite = np.empty(len(counts)), np.empty(len(counts))
    for start in range(0, len(counts), _BLOCK):
        part = slice(start, start + _BLOCK)
        posteriors = adversarial_posteriors(world.prior, world.risks, world.empirical_risks(counts[part]), n)
        known = [
            np.einsum("sfh,sh...->sf...", posteriors, statistic(counts[part], world.losses)) for statistic in statistics
        ]
        values = np.asarray(bound(*known, kl_divergence(posteriors, world.prior), n, delta))
        excess = values - posteriors @ world.risks
        least[part] = excess.min(axis=1)
        favourite[part] = np.take_along_axis(excess, np.argmin(values, axis=1)[:, None], axis=1)[:, 0]
    return least, favourite


def statistics_attack(
    bound: Bound, world: FiniteWorld, n: int, delta: float, statistics: Sequence[Statistic]
) -> Attack:
    """Return the probability that some posterior has a risk above a bound that knows these statistics of it.

    Parameters
    ----------
    bound : callable
        ``bound(*statistics of Q, kl, n, delta)``.
    world : FiniteWorld
        The world.
    n : int
        Examples in a sample.
    delta : float
        Claimed failure probability.
    statistics : sequence of callable
        What the bound knows of the sample, averaged over Q.

    Returns
    -------
    Attack
        Failure over all samples, the worst posterior being chosen for each.
    """
    counts, weights = world.samples(n)
    least, favourite = excesses(bound, world, n, delta, counts, statistics)
    return Attack(world.name, delta, fsum(weights[least < -_MARGIN]), fsum(weights * favourite))


def worlds(
    bound: Bound, delta: float, statistics: Sequence[Statistic], sizes: Sequence[int]
) -> Iterator[tuple[FiniteWorld, int]]:
    """Yield worlds, with sample sizes, in which a bound on risks in [0, 1] has a chance to fail.

    Parameters
    ----------
    bound : callable
        ``bound(*statistics of Q, kl, n, delta)``.
    delta : float
        Failure probability asked for.
    statistics : sequence of callable
        What the bound knows of the sample.
    sizes : sequence of int
        Sample sizes for lone predictors.

    Yields
    ------
    tuple of FiniteWorld and int
        Lone predictors with a 0-1 loss and with losses of 1/4 and 3/4, their risks just above values of the bound;
        then worlds with a choice of predictors.
    """
    for n in sizes:
        for low, high in ((0.0, 1.0), (0.25, 0.75)):
            for errors in np.unique(((n - 1) * np.linspace(0, 1, min(n, 6)) ** 2).astype(int)):
                counts, losses = np.array([[n - errors, errors]]), np.array([[low, high]])
                known = [statistic(counts, losses)[0, 0] for statistic in statistics]
                risk = just_above(float(np.asarray(bound(*known, 0.0, n, delta))))
                if low < risk < high:
                    rate = (risk - low) / (high - low)
                    yield FiniteWorld([1 - rate, rate], losses, name=f"losses {low} and {high}, risk {risk:.6g}"), n
    yield from ((shattered_points(6), 6), (coins([0.2, 0.3, 0.4]), 6), (graded_losses(), 12))


@attacks("risk", "variance", "kl", "n", "delta")
def _attack_variance(bound: Bound, delta: float) -> Iterator[Attack]:
    statistics = (averages, variances)
    for world, n in worlds(bound, delta, statistics, (2, 3, 20, 300, 5000)):
        yield statistics_attack(bound, world, n, delta, statistics)


@attacks("risk", "second_moment", "kl", "n", "delta")
def _attack_second_moment(bound: Bound, delta: float) -> Iterator[Attack]:
    statistics = (averages, second_moments)
    for world, n in worlds(bound, delta, statistics, (1, 6, 300)):
        yield statistics_attack(bound, world, n, delta, statistics)
