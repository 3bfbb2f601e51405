"""Attacks on bounds from several chunks of data, with every pair of chunks listed."""

from collections.abc import Callable, Iterator
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.worlds.attacks.registry import Bound, attacks
from genbounds.worlds.attacks.targets import graded_losses, just_above, lone_predictors
from genbounds.worlds.failures import Attack
from genbounds.worlds.finite import FiniteWorld, coins, lone_predictor, shattered_points
from genbounds.worlds.posteriors import adversarial_posteriors, gibbs_posteriors, kl_divergence

__all__ = ["excess_attack", "halves_attack", "recursive_attack"]

_MARGIN = 1e-12
#: Inverse temperatures of the first posterior. It is the prior of the next, and so leaves every hypothesis a chance.
_FIRST = np.array([0.0, 1.0, 5.0])


def _pairs(
    world: FiniteWorld, prior: NDArray[np.float64], earlier: NDArray[np.float64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]], NDArray[np.float64]]:
    """Return, for each sample, posteriors of a prior, what pairs of them and `earlier` do there, and divergences."""
    # How often, for independent draws h and h', h errs or h' does not; h errs; h errs and h' does not.
    n = int(counts[0].sum())
    others = np.minimum(earlier @ world.losses, 1.0)
    posteriors = adversarial_posteriors(prior, world.risks, world.empirical_risks(counts), n)
    if len(prior) > 1:
        # How much more often than in truth h is right where h' errs, less how much more often the other way round.
        off = counts - n * world.probabilities
        energies = off @ (world.losses * (1 - others) - (1 - world.losses) * others).T
        tilted = gibbs_posteriors(prior, energies, np.array([0.5, 1.0, 2.0, np.inf]))
        posteriors = np.concatenate([posteriors, tilted], axis=1)
    errs = np.minimum(posteriors @ world.losses, 1.0)
    events = (1 - (1 - errs) * others, errs, errs * (1 - others))
    frequencies = [np.minimum(np.einsum("sfk,sk->sf", event, counts / n), 1.0) for event in events]
    return posteriors, frequencies, kl_divergence(posteriors, prior)


def recursive_attack(
    step: Callable[..., Any],
    world: FiniteWorld,
    sizes: tuple[int, int],
    deltas: tuple[float, float],
    first: Callable[..., Any] | None = None,
) -> Attack:
    """Return the probability that a recursion over two chunks fails, in its first bound or in its second.

    For each first chunk the adversary chooses the temperature of pi_1, a Gibbs posterior, at which most second chunks
    fail; then, knowing both chunks, pi_2.

    Parameters
    ----------
    step : callable
        ``step(previous, frequency_1, frequency_2, frequency_3, kl, n, delta)``.
    world : FiniteWorld
        A world with a 0-1 loss.
    sizes : tuple of two ints
        Examples in the chunks.
    deltas : tuple of two floats
        What the first bound and the step may fail with; the recursion claims their sum.
    first : callable, optional
        ``first(risk, kl, n, delta)``, a bound on the risk of pi_1 from both chunks. By default the step is given that
        risk itself, the least that holds, and is attacked alone.

    Returns
    -------
    Attack
        Failure over all pairs of chunks; slack of the step at the worst pi_1 and the pi_2 with the least bound.
    """
    chunks_1, weights_1 = world.samples(sizes[0])
    chunks_2, weights_2 = world.samples(sizes[1])
    failure, slack = np.zeros(len(chunks_1)), np.zeros(len(chunks_1))
    for place, chunk in enumerate(chunks_1):
        candidates = gibbs_posteriors(world.prior, chunk @ world.losses.T, _FIRST)
        worst = -1.0
        for earlier in np.unique(candidates, axis=0):
            risk = min(float(earlier @ world.risks), 1.0)
            previous, failed = np.full(len(chunks_2), risk), np.zeros(len(chunks_2), dtype=bool)
            if first is not None:
                together = np.minimum(world.empirical_risks(chunk + chunks_2) @ earlier, 1.0)
                previous = first(together, kl_divergence(earlier, world.prior), sum(sizes), deltas[0])
                failed = previous < risk - _MARGIN
            posteriors, frequencies, kl = _pairs(world, earlier, earlier, chunks_2)
            bounds = step(previous[:, None], *frequencies, kl, sizes[1], deltas[1])
            excess = bounds - posteriors @ world.risks
            chance = fsum(weights_2[failed | (excess < -_MARGIN).any(axis=1)])
            if chance > worst:
                favourite = np.argmin(bounds, axis=1)[:, None]
                worst, slack[place] = chance, weights_2 @ np.take_along_axis(excess, favourite, axis=1)[:, 0]
        failure[place] = worst
    spent = deltas[1] + (deltas[0] if first is not None else 0.0)
    return Attack(world.name, spent, fsum(weights_1 * failure), fsum(weights_1 * slack))


def excess_attack(bound: Callable[..., Any], world: FiniteWorld, n: int, delta: float, reference: int) -> Attack:
    """Return the probability that some posterior has a risk above its bound by way of a reference.

    Parameters
    ----------
    bound : callable
        ``bound(reference, frequency_0, frequency_1, kl, n, delta)``; it is given the reference's risk itself.
    world : FiniteWorld
        A world with a 0-1 loss.
    n : int
        Examples in a sample.
    delta : float
        Claimed failure probability.
    reference : int
        Which hypothesis is the reference.

    Returns
    -------
    Attack
        Failure over all samples; slack of the posterior with the smallest bound.
    """
    counts, weights = world.samples(n)
    point = np.eye(len(world.prior))[reference]
    posteriors, (frequency_0, _, frequency_1), kl = _pairs(world, world.prior, point, counts)
    bounds = bound(world.risks[reference], frequency_0, frequency_1, kl, n, delta)
    excess = bounds - posteriors @ world.risks
    favourite = np.argmin(bounds, axis=1)[:, None]
    slack = weights @ np.take_along_axis(excess, favourite, axis=1)[:, 0]
    return Attack(world.name, delta, fsum(weights[(excess < -_MARGIN).any(axis=1)]), float(slack))


def halves_attack(
    bound: Callable[..., Any], world: FiniteWorld, n: int, delta: float, inverse_temperature: float
) -> Attack:
    """Return the probability that some posterior has a risk above its bound from two priors, one of each half.

    Parameters
    ----------
    bound : callable
        ``bound(risk, kl_forward, kl_backward, n, delta)``.
    world : FiniteWorld
        The world.
    n : int
        Examples in a sample, at least 2.
    delta : float
        Claimed failure probability.
    inverse_temperature : float
        Each half's prior is the Gibbs posterior of the world's prior at this inverse temperature and that half's
        empirical risk times its examples, finite.

    Returns
    -------
    Attack
        Failure over all pairs of halves; slack of the posterior with the smallest bound.
    """
    halves = [world.samples(size) for size in (n // 2, n - n // 2)]
    priors = [
        gibbs_posteriors(world.prior, counts @ world.losses.T, np.array([inverse_temperature]))[:, 0]
        for counts, _ in halves
    ]
    failure, slack = [], []
    for counts_1, weight_1, learnt_1 in zip(*halves[0], priors[0], strict=True):
        for counts_2, weight_2, learnt_2 in zip(*halves[1], priors[1], strict=True):
            empirical = world.empirical_risks((counts_1 + counts_2)[None])
            between = np.sqrt(learnt_1 * learnt_2)
            posteriors = adversarial_posteriors(between / between.sum(), world.risks, empirical, n)[0]
            risk = np.minimum(posteriors @ empirical[0], 1.0)
            bounds = bound(risk, kl_divergence(posteriors, learnt_1), kl_divergence(posteriors, learnt_2), n, delta)
            excess = bounds - posteriors @ world.risks
            failure.append(weight_1 * weight_2 * bool((excess < -_MARGIN).any()))
            slack.append(weight_1 * weight_2 * excess[np.argmin(bounds)])
    return Attack(world.name, delta, fsum(failure), fsum(slack))


def _memorisers() -> FiniteWorld:
    return FiniteWorld([0.65, 0.175, 0.175], 1 - np.eye(3), [0.62, 0.19, 0.19], name="three memorisers")


def _fixed_points(bound: Callable[[float, float], Any], n: int) -> Iterator[FiniteWorld]:
    """Yield lone predictors whose risk is just above what ``bound(risk, rate of errors)`` makes of this risk."""
    for errors in np.unique((np.linspace(0, 1, min(n, 4)) ** 2 * (n - 1)).astype(int)):
        risk = 1.0
        for _ in range(6):  # a bound by way of a risk depends on it less than by its own amount
            risk = min(just_above(bound(risk, errors / n)), 1.0)
        if risk < 1:
            yield lone_predictor(risk, f"lone predictor, risk just above the bound at {errors} of {n} errors")


@attacks("previous", "frequency_1", "frequency_2", "frequency_3", "kl", "n", "delta")
def _attack_steps(bound: Bound, delta: float) -> Iterator[Attack]:
    for n in (6, 100):
        for world in _fixed_points(lambda risk, rate, n=n: bound(risk, 1.0, rate, 0.0, 0.0, n, delta), n):  # type: ignore[misc]
            yield recursive_attack(bound, world, (1, n), (0.0, delta))
    for world, sizes in ((shattered_points(3), (1, 4)), (coins([0.2, 0.4]), (2, 3)), (_memorisers(), (1, 1))):
        yield recursive_attack(bound, world, sizes, (0.0, delta))


@attacks("reference", "frequency_0", "frequency_1", "kl", "n", "delta")
def _attack_excess(bound: Bound, delta: float) -> Iterator[Attack]:
    # The reference errs on the second of three points, the other predictor on the third, and the prior rules it out.
    for n in (1, 6, 40):
        for errors in range(min(n, 3)):
            risk = just_above(bound(0.0, 1.0, errors / n, 0.0, n, delta))
            if risk < 1:
                world = FiniteWorld([1 - risk, risk], [[0, 0], [0, 1]], [1e-3, 1 - 1e-3], name="a perfect reference")
                yield excess_attack(bound, world, n, delta, 0)
    for world, n in ((shattered_points(4), 4), (coins([0.2, 0.3, 0.4]), 6), (_memorisers(), 1)):
        for reference in range(min(3, len(world.prior))):
            yield excess_attack(bound, world, n, delta, reference)


@attacks("risk", "kl_forward", "kl_backward", "n", "delta")
def _attack_halves(bound: Bound, delta: float) -> Iterator[Attack]:
    for n in (2, 7):
        for world in lone_predictors(lambda errors, n, delta: bound(errors / n, 0.0, 0.0, n, delta), n, delta):
            yield halves_attack(bound, world, n, delta, 0.0)
    for world, n in ((shattered_points(3), 5), (coins([0.2, 0.4]), 4), (graded_losses(), 6), (_memorisers(), 2)):
        for inverse_temperature in (0.0, 3.0):
            yield halves_attack(bound, world, n, delta, inverse_temperature)
