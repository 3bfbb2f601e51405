"""Exact failure probabilities of bounds whose empirical risk is estimated on a random part of the sample."""

from collections.abc import Callable
from math import comb, fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.worlds.enumeration import count_vectors, multinomial_law
from genbounds.worlds.failures import MARGIN, Attack
from genbounds.worlds.finite import FiniteWorld

__all__ = ["subsample_attack"]


def _hypergeometric_law(drawn: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the probability of each row of `drawn` when it is dealt from each row of `held`."""
    m, k = int(held[0].sum()), int(drawn[0].sum())
    ways = np.array([[comb(many, few) for few in range(k + 1)] for many in range(m + 1)], dtype=np.float64)
    return ways[held[:, None, :], drawn[None]].prod(axis=-1) / comb(m, k)


def subsample_attack(
    bound: Callable[..., Any],
    world: FiniteWorld,
    documents: int,
    subsample: int,
    delta: float,
    *,
    replacement: bool = True,
) -> Attack:
    """Return the probability that a predictor chosen on the sample has a risk above its bound from a part of it.

    Parameters
    ----------
    bound : callable
        ``bound(subsample_risk, code_length, documents, subsample, delta)``, claimed for one hypothesis that was chosen
        by the sample before the part was drawn; code lengths are ln(1 / prior).
    world : FiniteWorld
        The world.
    documents : int
        Examples in a sample.
    subsample : int
        Examples drawn from it.
    delta : float
        Claimed failure probability.
    replacement : bool
        Whether an example may be drawn twice.

    Returns
    -------
    Attack
        Failure over all samples and parts, the hypothesis that fails most often over the parts being chosen for each
        sample; slack of that hypothesis.
    """
    counts, weights = world.samples(documents)
    chances, slacks = np.empty((2, len(counts), len(world.prior)))
    for chosen, (losses, risk, prior) in enumerate(zip(world.losses, world.risks, world.prior, strict=True)):
        # Points with equal losses are one: k draws of a 0-1 loss have k + 1 outcomes.
        levels, level = np.unique(losses, return_inverse=True)
        held = counts @ (level[:, None] == np.arange(len(levels)))
        drawn = count_vectors(subsample, len(levels))
        law = multinomial_law(drawn, held / documents) if replacement else _hypergeometric_law(drawn, held)
        estimates = np.minimum(drawn @ levels / subsample, 1.0)
        excess = np.asarray(bound(estimates, -np.log(prior), documents, subsample, delta)) - risk
        chances[:, chosen], slacks[:, chosen] = law @ (excess < -MARGIN), law @ excess
    worst = chances.argmax(axis=1)[:, None]
    failure, slack = (np.take_along_axis(table, worst, axis=1)[:, 0] for table in (chances, slacks))
    name = f"{world.name}, {subsample} of {documents} drawn {'with' if replacement else 'without'} replacement"
    return Attack(name, delta, fsum(weights * failure), fsum(weights * slack))
