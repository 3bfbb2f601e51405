"""Worlds that no bound can tell apart: the same law of sample and hypothesis, and other risks [GastparEtAl2024]_.

A function of the sample and the hypothesis, whatever it computes, has the same law in both worlds of a pair. It cannot
be close to the risk in both; and if it is a valid upper bound in the second world, it is loose in the first.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.checks import count

__all__ = ["LinearMapTwins", "ShatteredDraw", "ShatteredTwins"]


@dataclass(frozen=True)
class ShatteredDraw:
    """What a learner saw and returned, with its risk in both worlds.

    Attributes
    ----------
    indices : ndarray of int64, shape (n,)
        The points of the sample.
    labels : ndarray of int64, shape (n,)
        Their labels.
    hypothesis : ndarray of int64, shape (d,)
        The label that the learner gives each point.
    risk_own : float
        Risk in the world whose labels are the hypothesis itself: 0.
    risk_other : float
        Risk in the world whose labels off the sample are fair coins.
    """

    indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    hypothesis: NDArray[np.int64]
    risk_own: float
    risk_other: float


@dataclass(frozen=True)
class ShatteredTwins:
    """d points, all labellings, n uniform draws, and a learner that picks uniformly among consistent labellings.

    In world A the truth is the hypothesis; in world B it is a uniform labelling, of which the learner saw the sample.
    In both the sample's labels are fair coins and the hypothesis is uniform among those that agree: the pair (S, h) has
    one law. The risk is 0 in A and about half of the unseen points in B.

    Parameters
    ----------
    points : int
        d, at least 2.
    n : int
        Examples.

    Examples
    --------
    >>> ShatteredTwins(1000, 500).tightness.__round__(4)
    0.1516
    """

    points: int
    n: int

    def __post_init__(self) -> None:
        count("points", self.points, minimum=2)
        count("n", self.n)

    @property
    def mean_risk(self) -> float:
        """Return the mean risk in world B; in world A the risk is 0.

        Returns
        -------
        float
            (1/2) (1 - 1/d)^n.
        """
        return 0.5 * (1 - 1 / self.points) ** self.n

    @property
    def tightness(self) -> float:
        """Return the mean distance from the risk that some world costs every estimator, at the least.

        Returns
        -------
        float
            (1/4) (1 - 1/d)^n: the two mean absolute errors add up to at least the mean difference of the risks.
        """
        return self.mean_risk / 2

    @property
    def estimability_floor(self) -> float:
        """Return the least mean square error of any estimator when either world is as likely.

        Returns
        -------
        float
            The mean of the variance of the risk given (S, h): with u unseen points the risk is 0 or Binomial(u, 1/2)/d,
            each with probability 1/2, whose variance is (2 u + u^2) / (16 d^2); and E u = d (1 - 1/d)^n,
            E u (u - 1) = d (d - 1) (1 - 2/d)^n.
        """
        d = self.points
        unseen = d * (1 - 1 / d) ** self.n
        return (3 * unseen + d * (d - 1) * (1 - 2 / d) ** self.n) / (16 * d * d)

    def draw(self, generator: np.random.Generator) -> ShatteredDraw:
        """Draw a sample and a hypothesis, and what both worlds make of it.

        Parameters
        ----------
        generator : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        ShatteredDraw
            The pair with its risks.
        """
        indices = generator.integers(0, self.points, self.n)
        hypothesis = generator.integers(0, 2, self.points)
        truth = generator.integers(0, 2, self.points)
        truth[indices] = hypothesis[indices]
        return ShatteredDraw(indices, hypothesis[indices], hypothesis, 0.0, float((truth != hypothesis).mean()))


@dataclass(frozen=True)
class LinearMapTwins:
    """Linear maps over the field of q elements: a learner that prefers k coordinates, given n = k examples.

    Inputs are uniform vectors, labels linear in them. The learner returns the one map on its k coordinates that fits
    the sample, if the k x k design is invertible. In world A the truth is uniform among the maps on these coordinates,
    and the learner is right. In world B it uses another coordinate besides: given the design the labels are as uniform
    as before, and the risk is 1 - 1/q.

    Parameters
    ----------
    q : int
        A prime: elements of the field.
    k : int
        Coordinates, and examples.

    Examples
    --------
    >>> twins = LinearMapTwins(11, 20)
    >>> round(twins.solvable, 4), round(twins.risk, 4)
    (0.9008, 0.9091)
    """

    q: int
    k: int

    def __post_init__(self) -> None:
        count("k", self.k)
        if int(count("q", self.q, minimum=2)) >= 2 and any(self.q % p == 0 for p in range(2, math.isqrt(self.q) + 1)):
            raise ValueError(f"q must be a prime, got {self.q}. Take {self.q + 1} or another.")

    @property
    def solvable(self) -> float:
        """Return the probability that a uniform k x k matrix is invertible.

        Returns
        -------
        float
            prod over i = 1 to k of 1 - q^(-i).
        """
        return math.prod(1 - float(self.q) ** -i for i in range(1, self.k + 1))

    @property
    def risk(self) -> float:
        """Return the risk in world B of a learner that found a map; in world A it is 0.

        Returns
        -------
        float
            1 - 1/q, exactly: a linear map that is not zero is uniform.
        """
        return 1 - 1 / self.q

    @property
    def failure(self) -> float:
        """Return the probability with which every estimator is off by at least half of `risk` in one of the worlds.

        Returns
        -------
        float
            `solvable` / 2, at least.
        """
        return self.solvable / 2
