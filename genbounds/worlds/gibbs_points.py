"""The Gibbs algorithm that has to name a point: a world in which bounds by information are attained."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from genbounds.numerics.binary_kl import binary_kl
from genbounds.numerics.checks import Float64, count, nonnegative, positive

__all__ = ["GibbsPoints"]


@dataclass(frozen=True)
class GibbsPoints:
    r"""One of k equally likely points is seen; the output is a point, its loss on z is 1 unless it is z.

    The Gibbs algorithm with a uniform prior and inverse temperature gamma puts out the point seen with probability
    p = e^gamma / (e^gamma + k - 1), and each other one equally often. Only one event matters, output = point: it has
    probability p under the joint law and 1/k under the product of its marginals, and the two laws are in constant
    ratio on it and off it. So the gap and the total variation are p - 1/k, and the relative entropies are binary:
    I(Z;W) = kl(p || 1/k) and, in the other direction, kl(1/k || p). Together they are gamma (p - 1/k).

    At gamma = 2 ln(k - 1), where p = 1 - 1/k, the gap is tanh(gamma / 4), the largest that a loss in [0, 1] allows, and
    the bound by I(Z;W) with the best sub-Gaussian parameter of a loss of mean 1 - 1/k (Kearns and Saul),
    sigma^2 = (1 - 2/k) / (2 ln(k - 1)), is attained too.

    Parameters
    ----------
    points : int
        Number k of points, at least 2.
    inverse_temperature : float
        gamma, positive.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> world = GibbsPoints(points=3, inverse_temperature=2 * math.log(2))
    >>> round(world.gap, 12) == round(math.tanh(math.log(2) / 2), 12)  # 1/3
    True
    """

    points: int
    inverse_temperature: float

    def __post_init__(self) -> None:
        count("points", self.points, minimum=2)
        positive("inverse_temperature", self.inverse_temperature)

    @property
    def recall(self) -> float:
        """Probability p that the output is the point seen."""
        return float(expit(self.inverse_temperature - math.log(self.points - 1)))

    @property
    def gap(self) -> float:
        """E[L_mu(W) - L_S(W)], also the total variation between the joint law and the product."""
        return self.recall - 1 / self.points

    @property
    def risk(self) -> float:
        """E L_mu(W)."""
        return 1 - 1 / self.points

    @property
    def train_risk(self) -> float:
        """E L_S(W)."""
        return 1 - self.recall

    @property
    def mutual_information(self) -> float:
        """I(Z;W), nats."""
        return float(binary_kl(self.recall, 1 / self.points))

    @property
    def lautum(self) -> float:
        """Relative entropy of the product of the marginals to the joint law, nats."""
        return float(binary_kl(1 / self.points, self.recall))

    @property
    def symmetrised_information(self) -> float:
        """The sum of both, nats: gamma times the gap."""
        return self.inverse_temperature * self.gap

    @property
    def sigma(self) -> float:
        """Smallest sub-Gaussian parameter of the loss on a fresh point."""
        return math.sqrt((1 - 2 / self.points) / (2 * math.log(self.points - 1))) if self.points > 2 else 0.5

    def loss_cgf(self, rate: ArrayLike) -> Float64:
        """Return ln E exp(-rate (loss - mean)) for the loss on a fresh point.

        Parameters
        ----------
        rate : array_like
            Non-negative.

        Returns
        -------
        float64 or ndarray
            Nats.
        """
        rate = nonnegative("rate", rate)
        # ln(1 + (e^rate - 1) / k) - rate / k, without overflow where the rate is large.
        small = np.log1p(np.expm1(np.minimum(rate, 1.0)) / self.points) - rate / self.points
        large = np.logaddexp(-math.log(self.points), math.log(self.risk) - rate) + rate * self.risk
        return np.where(rate <= 1, small, large)[()]

    def simulate(self, generator: np.random.Generator, runs: int) -> NDArray[np.float64]:
        """Draw points and outputs and return L_mu(W) - L_S(W) for each: their mean estimates `gap`.

        Parameters
        ----------
        generator : numpy.random.Generator
            Source of randomness.
        runs : int
            Number of draws.

        Returns
        -------
        ndarray, shape (runs,)
            Gaps.
        """
        seen = generator.integers(self.points, size=runs)
        # The Gumbel trick: the largest log-weight plus noise is a draw from the normalised weights.
        noise = generator.gumbel(size=(runs, self.points))
        noise[np.arange(runs), seen] += self.inverse_temperature
        return self.risk - (noise.argmax(axis=1) != seen)
