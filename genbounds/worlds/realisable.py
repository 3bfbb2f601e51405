"""Exact failure probabilities of bounds for predictors that fit the whole sample, and worlds where they are sharp.

On a sample that no predictor fits nothing is claimed: it counts as no failure, and for no slack.
"""

from collections.abc import Callable
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.worlds.failures import MARGIN, Attack
from genbounds.worlds.finite import FiniteWorld
from genbounds.worlds.posteriors import gibbs_posteriors, kl_divergence

__all__ = ["conditional_draw_attack", "fitting_posteriors_attack", "own_regions"]

#: Inverse temperatures of an adversary who prefers bad predictors among those that fit.
_ADVERSARY = (0.25, 0.5, 1.0, 2.0, np.inf)


def own_regions(predictors: int, share: float) -> FiniteWorld:
    """Return predictors each of which is right on a region of its own, where no other is, and wrong elsewhere.

    Parameters
    ----------
    predictors : int
        How many, at least 1, equally likely under the prior.
    share : float
        Probability of each region, in (0, 1 / predictors).

    Returns
    -------
    FiniteWorld
        One point for each region, and one on which all are wrong.
    """
    rest = 1 - predictors * share
    losses = np.hstack([1 - np.eye(predictors), np.ones((predictors, 1))])
    return FiniteWorld([*[share] * predictors, rest], losses, name=f"{predictors} regions of probability {share:.3g}")


def _fitting(world: FiniteWorld, counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which hypotheses fit which samples, shape (samples, h)."""
    return counts @ world.losses.T == 0


def _worst_sets(world: FiniteWorld, fits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return sets of hypotheses that fit: the k worst of all, for each k; shape (samples, h, h)."""
    place = np.argsort(np.argsort(-world.risks))
    return fits[:, None, :] & (place <= np.arange(len(place))[:, None])


def _attack(
    world: FiniteWorld,
    delta: float,
    weights: NDArray[np.float64],
    fits: NDArray[np.bool_],
    failure: Any,
    slack: NDArray[np.float64],
) -> Attack:
    claims = fits.any(axis=1)
    claimed = fsum(weights[claims])
    mean = fsum(weights[claims] * slack[claims]) / claimed if claimed > 0 else 0.0
    return Attack(world.name, delta, fsum(weights * failure), mean)


def fitting_posteriors_attack(bound: Callable[..., Any], world: FiniteWorld, n: int, delta: float) -> Attack:
    """Return the probability that some posterior on predictors that fit the sample has a risk above its bound.

    Parameters
    ----------
    bound : callable
        ``bound(kl, n, delta)``, claimed for all posteriors on predictors without a loss on the sample at once.
    world : FiniteWorld
        The world.
    n : int
        Examples in a sample.
    delta : float
        Claimed failure probability.

    Returns
    -------
    Attack
        Failure over all samples, the worst posterior being chosen for each among the prior conditioned on sets of
        predictors that fit, tilts of it towards bad predictors, and single predictors; slack of the prior conditioned
        on all of them.
    """
    counts, weights = world.samples(n)
    fits = _fitting(world, counts)
    # A predictor that fits is worth n ln(1 - R) nats to the adversary, and one that does not is out of reach.
    energies = np.where(fits, n * np.log1p(-np.minimum(world.risks, 1 - MARGIN)), 1e9)
    tilts = gibbs_posteriors(world.prior, energies, _ADVERSARY)
    singles = fits[:, None, :] & np.eye(len(world.prior), dtype=bool)
    masses = np.concatenate([tilts, singles, world.prior * _worst_sets(world, fits)], axis=1) * fits[:, None, :]
    total = masses.sum(axis=2, keepdims=True)
    posteriors = np.divide(masses, total, out=np.zeros_like(masses), where=total > 0)
    values = bound(kl_divergence(posteriors, world.prior), n, delta)
    excess = np.where(total[..., 0] > 0, values - posteriors @ world.risks, np.inf)
    return _attack(world, delta, weights, fits, (excess < -MARGIN).any(axis=1), excess[:, -1])


def conditional_draw_attack(bound: Callable[..., Any], world: FiniteWorld, n: int, delta: float) -> Attack:
    """Return the probability that the bound of one draw from the prior, given that it fits, is below its risk.

    Parameters
    ----------
    bound : callable
        ``bound(information, n, delta)``, claimed for one draw from the prior conditioned on a set of predictors without
        a loss on the sample, with information -ln of the set's prior probability.
    world : FiniteWorld
        The world.
    n : int
        Examples in a sample.
    delta : float
        Claimed failure probability, over the sample and the draw.

    Returns
    -------
    Attack
        Failure over all samples and draws, for each sample with the most harmful of the sets of the k worst predictors
        that fit; slack for the set of all.
    """
    counts, weights = world.samples(n)
    fits = _fitting(world, counts)
    masses = world.prior * _worst_sets(world, fits)
    total = masses.sum(axis=2)
    chances = np.divide(masses, total[..., None], out=np.zeros_like(masses), where=total[..., None] > 0)
    information = np.maximum(-np.log(np.where(total > 0, total, 1.0)), 0.0)
    values = np.asarray(bound(information, n, delta))
    failure = (chances * (values[..., None] - world.risks < -MARGIN)).sum(axis=2).max(axis=1)
    return _attack(world, delta, weights, fits, failure, values[:, -1] - chances[:, -1] @ world.risks)
