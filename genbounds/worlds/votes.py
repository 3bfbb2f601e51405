"""Exact failure probabilities of bounds on majority votes, the adversary choosing the posterior for each sample.

W(x) is the share of the posterior that errs on the point x. Of all ways to err, the vote suffers most if everyone who
errs names the same wrong class and ties go to it: it then errs exactly where W >= 1/2.
"""

from collections.abc import Callable, Sequence
from math import expm1, fsum, log, log1p
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.worlds.failures import MARGIN, Attack
from genbounds.worlds.finite import FiniteWorld
from genbounds.worlds.posteriors import adversarial_posteriors, kl_divergence

__all__ = ["memorised_coins_attack", "vote_attack", "vote_moments"]


def vote_moments(shares: NDArray[np.float64], probabilities: NDArray[np.float64]) -> tuple[Any, Any, Any, Any]:
    """Return what a posterior's voters do on points that have these probabilities.

    Parameters
    ----------
    shares : ndarray, shape (..., k)
        W: the share of the posterior that errs on each point.
    probabilities : ndarray, shape (..., k)
        Probabilities of the points, or their frequencies in a sample.

    Returns
    -------
    tuple of ndarray
        Gibbs risk, probability that two draws both err, probability that both or none err, risk of the vote.
    """
    parts = (shares, shares**2, shares**2 + (1 - shares) ** 2, (shares >= 0.5 - MARGIN).astype(np.float64))
    return tuple(np.minimum((part * probabilities).sum(axis=-1), 1.0) for part in parts)


def _printed(bound: Callable[..., Any], columns: Sequence[NDArray[np.float64]], n: int, delta: float) -> Any:
    """Evaluate a bound; where it refuses to print a number, nothing is claimed: 1."""
    try:
        return bound(*columns, n, delta)
    except ValueError:
        size = columns[0].size
        if size == 1:
            return np.ones(1)
        halves = ([column[part] for column in columns] for part in (slice(size // 2), slice(size // 2, None)))
        return np.concatenate([np.atleast_1d(_printed(bound, half, n, delta)) for half in halves])


def vote_attack(
    bound: Callable[..., Any], limit: Callable[..., Any], world: FiniteWorld, n: int, delta: float
) -> Attack:
    """Return the probability that some posterior's vote, or what the theorem limits it by, exceeds its bound.

    Parameters
    ----------
    bound : callable
        ``bound(risk, tandem_risk, agreement, kl, n, delta)`` of the sample, claimed for all posteriors at once.
    limit : callable
        ``limit(risk, tandem_risk, agreement)`` of the truth: at least the risk of the vote, and bounded in the
        theorem's proof, such as 4 times the tandem risk.
    world : FiniteWorld
        A world with a 0-1 loss.
    n : int
        Examples in a sample.
    delta : float
        Claimed failure probability.

    Returns
    -------
    Attack
        Failure over all samples, the worst posterior being chosen for each; slack of the posterior with the smallest
        bound.
    """
    counts, weights = world.samples(n)
    posteriors = adversarial_posteriors(world.prior, world.risks, world.empirical_risks(counts), n)
    shares = np.minimum(posteriors @ world.losses, 1.0)
    *observed, _ = vote_moments(shares, (counts / n)[:, None, :])
    risk, tandem_risk, agreement, vote = vote_moments(shares, world.probabilities)
    truth = np.maximum(vote, np.minimum(limit(risk, tandem_risk, agreement), 1.0))
    columns = [column.ravel() for column in (*observed, kl_divergence(posteriors, world.prior))]
    values = np.reshape(_printed(bound, columns, n, delta), truth.shape)
    excess = values - truth
    favourite = np.take_along_axis(excess, np.argmin(values, axis=1)[:, None], axis=1)[:, 0]
    return Attack(world.name, delta, fsum(weights[(excess < -MARGIN).any(axis=1)]), fsum(weights * favourite))


def memorised_coins_attack(bound: Callable[..., Any], n: int, delta: float) -> Attack:
    """Return the probability that a bound is below the risk of a vote of memorisers.

    Each predictor is a fair coin at every one of 2^60 equally likely points: that is the prior. The posterior turns the
    coins of the points in the sample into coins that err with probability p. It costs exactly kl(p || 1/2) for each
    point, and outside of the sample W stays 1/2: the vote learns nothing and, ties being errors, always errs there.

    Parameters
    ----------
    bound : callable
        ``bound(risk, tandem_risk, agreement, kl, n, delta)``, claimed for all posteriors at once.
    n : int
        Examples in a sample.
    delta : float
        Claimed failure probability.

    Returns
    -------
    Attack
        Failure for the p that looks best; samples in which a point occurs twice are not counted as failures.
    """
    points = 2.0**60
    p = np.linspace(0, 0.5, 51)[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        kl = n * np.where(p > 0, p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p)), log(2))
    distinct = 1 + expm1(fsum(log1p(-i / points) for i in range(n)))
    values = _printed(bound, [p, p**2, p**2 + (1 - p) ** 2, kl], n, delta)
    excess = float(np.min(values)) - (1 - n / points)
    return Attack(f"coins memorised at {n} points", delta, distinct if excess < -MARGIN else 0.0, excess)
