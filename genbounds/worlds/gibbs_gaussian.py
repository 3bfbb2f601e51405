"""The Gibbs algorithm on a quadratic loss with a Gaussian prior: its gap is its symmetrised information."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.checks import positive
from genbounds.worlds.linear_gaussian import LinearGaussian

__all__ = ["GibbsGaussian"]


@dataclass(frozen=True)
class GibbsGaussian(LinearGaussian):
    r"""W drawn from the posterior that is proportional to N(w; 0, sigma0^2 I) exp(-gamma L_S(w)).

    L_S(w) is the mean of the squared losses abs(w - Z_i)^2, so that gamma multiplies a mean; where an exponent is beta
    times a sum, gamma = n beta. Completing the square, with u = 2 gamma sigma0^2:

        W = a (mean of the sample) + N(0, v I),    a = u / (1 + u),    v = sigma0^2 / (1 + u).

    As a^2 / v = 2 gamma a, the gap 2 d a s^2 / n times gamma is d a^2 s^2 / (n v): the symmetrised information.

    Parameters
    ----------
    dimension : int
        d, at least 1.
    n : int
        Examples, at least 1.
    scale : float
        Standard deviation s of a coordinate of an example.
    prior_scale : float
        Standard deviation sigma0 of a coordinate under the prior.
    inverse_temperature : float
        gamma, positive.

    Examples
    --------
    >>> world = GibbsGaussian(3, 12, 1.1, prior_scale=2.0, inverse_temperature=5.0)
    >>> round(world.gap, 5), round(world.symmetrised_information / world.inverse_temperature, 5)
    (0.59024, 0.59024)
    """

    prior_scale: float
    inverse_temperature: float

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("prior_scale", self.prior_scale)
        positive("inverse_temperature", self.inverse_temperature)

    @property
    def _strength(self) -> float:
        return 2 * self.inverse_temperature * self.prior_scale**2

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weight of each example in the posterior's mean, a / n."""
        return np.full(self.n, self._strength / (1 + self._strength) / self.n)

    @property
    def noise_variance(self) -> float:
        """Variance v of a coordinate under the posterior."""
        return self.prior_scale**2 / (1 + self._strength)

    def learn(self, samples: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
        """Draw from the posterior of each sample.

        Parameters
        ----------
        samples : ndarray, shape (runs, n, d)
            Samples.
        generator : numpy.random.Generator
            Source of the draws.

        Returns
        -------
        ndarray, shape (runs, d)
            One draw for each sample.
        """
        means = self.n * self.weights[0] * samples.mean(axis=1)
        return means + math.sqrt(self.noise_variance) * generator.standard_normal(means.shape)
