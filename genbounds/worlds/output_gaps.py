"""Exact failure probabilities of bounds on the gap of the output by the information that the algorithm keeps.

Such a bound is one number for an algorithm: how much its output can tell about the sample, in some unit, decides it.
The adversary is the algorithm. It has hypotheses to choose from, and prefers those whose gap on the sample is large:
the law of the output is proportional to prior * exp(strength * [gap above a threshold]). At strength 0 it tells nothing
and fails as often as chance alone; at infinity it puts out a hypothesis that fails whenever there is one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.worlds.failures import MARGIN, Attack
from genbounds.worlds.finite import FiniteWorld
from genbounds.worlds.posteriors import gibbs_posteriors

__all__ = ["output_gap_attack"]

#: Strengths of the algorithm's preference, and how many thresholds it tries.
_STRENGTHS = (0.0, 0.3, 1.0, 2.0, 4.0, 8.0, np.inf)
_THRESHOLDS = 8


def output_gap_attack(
    bound: Callable[..., Any],
    information: Callable[[NDArray[np.float64], NDArray[np.float64]], Any],
    world: FiniteWorld,
    n: int,
    delta: float,
) -> Attack:
    """Return the probability that the gap of the output is above its bound, for the most harmful algorithm.

    Parameters
    ----------
    bound : callable
        ``bound(information, n, delta)``, a number for the algorithm.
    information : callable
        From the probabilities of the samples, shape (s,), and the laws of the output, shape (s, h), to what the bound
        takes. Samples stand for the counts of points in them, which is all that these algorithms look at.
    world : FiniteWorld
        The world.
    n : int
        Examples in a sample.
    delta : float
        Claimed failure probability, over sample and output.

    Returns
    -------
    Attack
        Failure over samples and outputs, and the mean of bound minus gap, for the algorithm that fails most often; of
        those that fail equally often, the one with the smaller bound.
    """
    counts, weights = world.samples(n)
    gaps = np.abs(world.risks - world.empirical_risks(counts))
    levels = np.unique(gaps.round(12))[:-1]
    thresholds = levels[np.unique(np.linspace(0, len(levels) - 1, _THRESHOLDS).astype(int))]
    worst: tuple[float, float] = (-1.0, 0.0)
    for threshold in thresholds:
        laws = gibbs_posteriors(world.prior, -1.0 * (gaps > threshold + MARGIN), _STRENGTHS)
        for law in np.moveaxis(laws, 1, 0):
            value = float(bound(information(weights, law), n, delta))
            joint = weights[:, None] * law
            failure = float(joint[gaps > value + MARGIN].sum())
            worst = max(worst, (failure, float((joint * gaps).sum()) - value))
    return Attack(world.name, delta, worst[0], -worst[1])
