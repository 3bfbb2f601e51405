r"""The upper tail of a law from its largest values: tail index, far quantiles, end point [Dekkers1989].

Let t be the value that k of the values exceed. Where a law has a tail index gamma at all, excesses over a high t follow
a generalised Pareto law, ``x = t + a Y`` with ``Y = (U^{-gamma} - 1) / gamma`` for uniform U. For gamma < 0 they end at
``t - a / gamma``; for gamma >= 0 nowhere. The logarithms ``ln(x / t)`` are near ``(a / t) Y`` if gamma is negative, and
exponential of mean gamma if it is positive. From ``E Y = 1 / (1 - gamma)`` and
``E Y^2 = 2 / ((1 - gamma) (1 - 2 gamma))`` the first two moments of the logarithms, M1 and M2, give

    gamma_- = 1 - 1 / (2 (1 - M1^2 / M2)),   gamma = M1 + gamma_-,   a = t M1 (1 - gamma_-):

for gamma < 0, M1 vanishes far out in the tail; for gamma > 0, gamma_- does. A level that is exceeded with probability p
is ``t + a ((k / (n p))^gamma - 1) / gamma``, n the number of values.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import count, positive

__all__ = ["UpperTail", "moment_tail"]


@dataclass(frozen=True)
class UpperTail:
    """A generalised Pareto law fitted to the tail of a sample.

    Parameters
    ----------
    index : float
        gamma; below 0 the law has an end.
    threshold : float
        t, exceeded by a share `share` of the values.
    scale : float
        a > 0.
    share : float
        k / n.
    """

    index: float
    threshold: float
    scale: float
    share: float

    @property
    def end(self) -> float:
        """End of the law; infinity if the index is not negative."""
        return self.threshold - self.scale / self.index if self.index < 0 else math.inf

    def level(self, probability: float) -> float:
        """Return the level that is exceeded with a probability.

        Parameters
        ----------
        probability : float
            In (0, share].

        Returns
        -------
        float
            At least the threshold.

        Raises
        ------
        ValueError
            If the probability is out of range.
        """
        chance = float(positive("probability", probability))
        if chance > self.share:
            raise ValueError(f"probability must be at most the tail's share, {self.share:.3g}, got {chance:.3g}.")
        far = math.log(self.share / chance)
        return self.threshold + self.scale * (math.expm1(self.index * far) / self.index if self.index else far)


def moment_tail(largest: ArrayLike, k: int, n: int, weights: ArrayLike | None = None) -> UpperTail:
    """Fit the tail by the moments of the logarithms of the k largest values.

    Parameters
    ----------
    largest : array_like, shape (>= k + 1,)
        The largest of the values in any order, all positive.
    k : int
        How many count, at least 2.
    n : int
        Values in all.
    weights : array_like, optional
        How often each value counts, in a resampled sample; by default once.

    Returns
    -------
    UpperTail
        The estimate.

    Raises
    ------
    ValueError
        If there are too few values, or those that count are equal.

    Examples
    --------
    >>> values = np.random.default_rng(0).random(10**6)  # uniform: gamma = -1, and 1 is the end
    >>> tail = moment_tail(values, 1000, 10**6)
    >>> abs(tail.index + 1) < 0.2, round(tail.end, 4)
    (True, 1.0)
    """
    number, size = int(count("k", k, 2)), int(count("n", n))
    values = positive("largest", largest, "Distances of 0 have no logarithm: look for copies of points.")
    often = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    order = np.argsort(values)[::-1]
    values, often = values[order], often[order]
    reached = np.cumsum(often)
    if not number < reached[-1] or len(values) > size:
        raise ValueError(f"largest must count more than k = {number} of n = {size} values, got {reached[-1]:g}.")
    place = int(np.searchsorted(reached, number, side="right"))  # the value of rank k + 1
    logs, counted = np.log(values[:place] / values[place]), often[:place]
    if not logs.any():
        raise ValueError("largest must differ among the k that count, got equal values. Take a larger k.")
    total = counted.sum()  # k, but for a value that counts several times across it
    first, second = (counted @ logs) / total, (counted @ logs**2) / total
    negative = 1 - 0.5 / (1 - first**2 / second)
    threshold = float(values[place])
    return UpperTail(float(first + negative), threshold, float(threshold * first * (1 - negative)), float(total / size))
