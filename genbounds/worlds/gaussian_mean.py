"""The sample mean of Gaussian examples, with and without noise: the first world to try a bound in."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.checks import positive
from genbounds.worlds.linear_gaussian import LinearGaussian

__all__ = ["GaussianMean", "NoisyGaussianMean"]


@dataclass(frozen=True)
class GaussianMean(LinearGaussian):
    """W is the mean of n examples Z_i ~ N(0, s^2 I): the least squares estimate of their expectation.

    The gap of the squared loss is 2 s^2 d / n. I(S;W) is infinite, as W is a function of S with a density, and
    I(W;Z_i) = d/2 ln(n / (n - 1)) is not. The bound by single examples is of order 1/sqrt(n) and too large by a
    factor that grows like sqrt(n); the one by Wasserstein distances (absolute loss) is exact as n grows.

    Parameters
    ----------
    dimension : int
        d, at least 1.
    n : int
        Examples, at least 1.
    scale : float
        Standard deviation s of a coordinate of an example.

    Examples
    --------
    >>> world = GaussianMean(dimension=1, n=10, scale=1.0)
    >>> world.gap, world.mutual_information, round(float(world.individual_information[0]), 6)
    (0.2, inf, 0.05268)
    >>> round(float(world.wasserstein_distances.mean() / world.absolute_gap), 4)
    1.0118
    """

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weight of each example, 1/n."""
        return np.full(self.n, 1 / self.n)

    @property
    def noise_variance(self) -> float:
        """No noise: 0."""
        return 0.0

    def learn(self, samples: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the mean of each sample.

        Parameters
        ----------
        samples : ndarray, shape (runs, n, d)
            Samples.
        generator : numpy.random.Generator
            Not used: this learner is deterministic.

        Returns
        -------
        ndarray, shape (runs, d)
            The means.
        """
        return samples.mean(axis=1)


@dataclass(frozen=True)
class NoisyGaussianMean(GaussianMean):
    """The mean of n Gaussian examples plus noise N(0, tau^2 I).

    The gap is that of `GaussianMean`; the information is d/2 ln(1 + s^2 / (n tau^2)).

    Parameters
    ----------
    dimension : int
        d, at least 1.
    n : int
        Examples, at least 1.
    scale : float
        Standard deviation s of a coordinate of an example.
    noise : float
        Standard deviation tau of a coordinate of the noise.

    Examples
    --------
    >>> world = NoisyGaussianMean(dimension=3, n=50, scale=1.0, noise=0.1)
    >>> round(world.mutual_information, 6), round(float(world.individual_information[0]), 6)
    (1.647918, 0.020135)
    """

    noise: float

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("noise", self.noise)

    @property
    def noise_variance(self) -> float:
        """Variance of a coordinate of the noise, tau^2."""
        return self.noise**2

    def learn(self, samples: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
        """Return the mean of each sample plus noise.

        Parameters
        ----------
        samples : ndarray, shape (runs, n, d)
            Samples.
        generator : numpy.random.Generator
            Source of the noise.

        Returns
        -------
        ndarray, shape (runs, d)
            The noisy means.
        """
        return samples.mean(axis=1) + self.noise * generator.standard_normal((len(samples), self.dimension))
