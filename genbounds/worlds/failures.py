"""Exact failure probabilities of bounds in small worlds, summed over every outcome.

Each function answers: with which probability does the number that the theorem returns lie below the truth, when
everything the theorem leaves open is chosen by an adversary? A theorem is refuted by an answer above its delta. A
value counts as below the truth if it is so by more than 1e-12, which is far more than the rounding of an
enumeration and far less than any interesting difference.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import fsum, inf
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from genbounds.worlds.enumeration import count_vectors, multinomial_law, poisson_binomial_law
from genbounds.worlds.finite import FiniteWorld
from genbounds.worlds.posteriors import adversarial_posteriors, kl_divergence

__all__ = [
    "MARGIN",
    "Attack",
    "composed_attack",
    "fresh_draws_attack",
    "gibbs_attack",
    "hypothesis_attack",
    "shared_draws_attack",
]

#: By how much a value must lie below the truth to count as a failure.
MARGIN = 1e-12
#: Numbers in the largest temporary array.
_BLOCK = 2**21


@dataclass(frozen=True)
class Attack:
    """What an attack on a bound in one world found.

    Parameters
    ----------
    world : str
        The world.
    delta : float
        Failure probability that the bound allows itself.
    failure : float
        Failure probability that it has, exact up to the rounding of the enumeration.
    slack : float
        How far the bound lies above the truth on average, for the posterior or predictor that it makes look best.
    ratio : float
        For a bound that holds on average: the smallest quotient of bound and truth less what rounding is allowed;
        infinite where the truth is 0. A theorem that is too small by more than that factor is caught.
    """

    world: str
    delta: float
    failure: float
    slack: float
    ratio: float = inf

    @property
    def survived(self) -> bool:
        """Whether the bound fails no more often than it may (1e-11 allowed for rounding of the enumeration)."""
        return self.failure <= self.delta * (1 + 1e-11)


def _summary(world: str, delta: float, weights: ArrayLike, failed: ArrayLike, slack: ArrayLike) -> Attack:
    weights = np.ravel(weights)
    failure = fsum(weights[np.ravel(failed)])
    return Attack(world, delta, failure, fsum(weights * np.ravel(slack)))


def gibbs_attack(
    bound: Callable[..., Any],
    world: FiniteWorld,
    n: int,
    delta: float,
    priors: ArrayLike | None = None,
) -> Attack:
    """Return the probability that some posterior has a risk above its bound.

    Parameters
    ----------
    bound : callable
        ``bound(risk, kl, n, delta)``, claimed to hold for all posteriors at once.
    world : FiniteWorld
        The world.
    n : int
        Examples in a sample.
    delta : float
        Claimed failure probability.
    priors : array_like, shape (K, h), optional
        Candidate priors, the best of which is chosen after seeing the sample: the bound then gets the smallest KL
        divergence, and must have paid for the choice itself. The world's prior by default.

    Returns
    -------
    Attack
        Failure over all samples, the worst posterior of `adversarial_posteriors` being chosen for each; slack of the
        posterior with the smallest bound.
    """
    counts, weights = world.samples(n)
    candidates = np.atleast_2d(world.prior if priors is None else np.asarray(priors, np.float64))
    failed, slack = [], []
    block = max(1, _BLOCK // ((len(world.prior) + 16) * len(world.prior)))
    for start in range(0, len(counts), block):
        empirical = world.empirical_risks(counts[start : start + block])
        posteriors = adversarial_posteriors(world.prior, world.risks, empirical, n)
        risk = np.minimum(np.einsum("sfh,sh->sf", posteriors, empirical), 1.0)
        kl = np.min([kl_divergence(posteriors, prior) for prior in candidates], axis=0)
        excess = bound(risk, kl, n, delta) - posteriors @ world.risks
        failed.append((excess < -MARGIN).any(axis=1))
        favourite = np.argmin(excess + posteriors @ world.risks, axis=1)
        slack.append(np.take_along_axis(excess, favourite[:, None], axis=1)[:, 0])
    return _summary(world.name, delta, weights, np.concatenate(failed), np.concatenate(slack))


def hypothesis_attack(bound: Callable[..., Any], world: FiniteWorld, n: int, delta: float) -> Attack:
    """Return the probability that some single hypothesis has a risk above its bound.

    Parameters
    ----------
    bound : callable
        ``bound(risk, code_length, n, delta)``, claimed to hold for all hypotheses at once, with code length
        ln(1 / prior) in nats. A holdout bound ignores the code length; in a world of one hypothesis nothing is
        chosen, with more of them the predictor is selected on the sample.
    world : FiniteWorld
        The world.
    n : int
        Examples in a sample.
    delta : float
        Claimed failure probability.

    Returns
    -------
    Attack
        Failure over all samples, the worst hypothesis being chosen for each; slack of the hypothesis with the
        smallest bound.
    """
    counts, weights = world.samples(n)
    values = np.asarray(bound(world.empirical_risks(counts), -np.log(world.prior), n, delta))
    excess = values - world.risks
    favourite = np.argmin(values, axis=1)
    slack = np.take_along_axis(excess, favourite[:, None], axis=1)[:, 0]
    return _summary(world.name, delta, weights, (excess < -MARGIN).any(axis=1), slack)


def fresh_draws_attack(limit: Callable[..., Any], means: ArrayLike, delta: float) -> Attack:
    """Return the probability that a limit from independent, non-identical 0-1 draws is below their average mean.

    Parameters
    ----------
    limit : callable
        ``limit(errors, draws, delta)``.
    means : array_like, shape (m,)
        Probability that each draw errs.
    delta : float
        Claimed failure probability.

    Returns
    -------
    Attack
        Failure over all numbers of errors.
    """
    means = np.asarray(means, np.float64)
    excess = np.asarray(limit(np.arange(means.size + 1), means.size, delta)) - means.mean()
    return _summary(f"{means.size} fresh draws", delta, poisson_binomial_law(means), excess < -MARGIN, excess)


def shared_draws_attack(
    limit: Callable[..., Any], posterior: ArrayLike, risks: ArrayLike, m: int, delta: float
) -> Attack:
    """Return the probability that a limit from m predictors drawn from a finite posterior is below the Gibbs risk.

    Parameters
    ----------
    limit : callable
        ``limit(values, delta)`` with values of shape (outcomes, m).
    posterior : array_like, shape (h,)
        Probabilities to draw each predictor.
    risks : array_like, shape (h,)
        Their empirical risks, in [0, 1].
    m : int
        Number of draws.
    delta : float
        Claimed failure probability.

    Returns
    -------
    Attack
        Failure over all multisets of draws.
    """
    posterior, risks = np.asarray(posterior, np.float64), np.asarray(risks, np.float64)
    counts = count_vectors(m, posterior.size)
    values = np.repeat(np.tile(risks, len(counts)), counts.ravel()).reshape(len(counts), m)
    excess = np.asarray(limit(values, delta)) - posterior @ risks
    law = multinomial_law(counts, posterior)
    return _summary(f"{m} draws of {posterior.size} predictors", delta, law, excess < -MARGIN, excess)


def composed_attack(
    bound: Callable[..., Any],
    limit: Callable[..., Any],
    world: FiniteWorld,
    n: int,
    deltas: tuple[float, float],
    epochs: int = 1,
) -> Attack:
    """Return the probability that a certificate fails: a bound on top of a Monte-Carlo limit, both random.

    Every example of the sample meets `epochs` fresh draws of the posterior. For each sample the posterior is the
    one of `adversarial_posteriors` that fails most often over the draws: any rule that picks a posterior from the
    sample, before drawing, fails at most that often.

    Parameters
    ----------
    bound : callable
        ``bound(risk, kl, n, delta)``.
    limit : callable
        ``limit(errors, draws, delta)``, an upper limit of the empirical Gibbs risk.
    world : FiniteWorld
        A world with a 0-1 loss.
    n : int
        Examples in a sample.
    deltas : tuple of two floats
        What the bound and the limit may each fail with; the certificate claims their sum.
    epochs : int
        Draws an example.

    Returns
    -------
    Attack
        Failure over all samples and draws; slack at the worst posterior.
    """
    counts, weights = world.samples(n)
    draws = n * epochs
    limits = np.asarray(limit(np.arange(draws + 1), draws, deltas[1]))
    failure, slack = np.empty(len(counts)), np.empty(len(counts))
    for sample, row in enumerate(counts):
        empirical = world.empirical_risks(row[None])
        posteriors = adversarial_posteriors(world.prior, world.risks, empirical, n)[0]
        means = np.minimum(posteriors @ world.losses, 1.0)  # the probability to err on each point
        law = poisson_binomial_law(np.repeat(means, row * epochs, axis=1))
        kl = kl_divergence(posteriors, world.prior)
        excess = bound(limits, kl[:, None], n, deltas[0]) - (posteriors @ world.risks)[:, None]
        chance = (law * (excess < -MARGIN)).sum(axis=1)
        worst = np.argmax(chance)
        failure[sample], slack[sample] = chance[worst], law[worst] @ excess[worst]
    return Attack(world.name, sum(deltas), fsum(weights * failure), fsum(weights * slack))
