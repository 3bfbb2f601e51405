"""A learned classifier of small risk on which every bound by uniform convergence fails [NagarajanKolter2019]_."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from genbounds.numerics.checks import count

__all__ = ["MirroredDraw", "MirroredNoise"]


@dataclass(frozen=True)
class MirroredDraw:
    """Errors of one learned classifier.

    Attributes
    ----------
    training_error : float
        On its sample.
    risk : float
        Exactly, given its weights.
    mirrored_error : float
        On the sample with the noise of every input negated, which is as likely a sample as the first.
    """

    training_error: float
    risk: float
    mirrored_error: float


@dataclass(frozen=True)
class MirroredNoise:
    """A linear problem: x = (2 y u, noise), |u|^2 = 1/n, noise normal with covariance (32/D) I in D dimensions.

    One gradient step of size 1 on the linear loss, from zero weights, gives w = (2 n u, sum of y_i noise_i). It is
    right on nearly all new inputs and on its own sample, and wrong on all of the mirrored one. By symmetry, for nearly
    every sample S, training on the mirrored S reaches weights whose risk is near 0 and whose error on S is 1: a
    two-sided uniform bound over the weights that training reaches is near 1, whatever else is left out of them.

    Parameters
    ----------
    n : int
        Examples.
    dimension : int
        D.

    Examples
    --------
    >>> drawn = MirroredNoise(50, 20_000).draw(np.random.default_rng(0))
    >>> drawn.training_error, drawn.mirrored_error, drawn.risk < 0.01
    (0.0, 1.0, True)
    """

    n: int
    dimension: int

    def __post_init__(self) -> None:
        count("n", self.n)
        count("dimension", self.dimension)

    @property
    def typical_risk(self) -> float:
        """Return the risk of weights of the typical length.

        Returns
        -------
        float
            Phi(-4 / sqrt(n 32^2 / D)).
        """
        return float(ndtr(-4 / math.sqrt(self.n * 32**2 / self.dimension)))

    def draw(self, generator: np.random.Generator) -> MirroredDraw:
        """Draw a sample and learn from it.

        Parameters
        ----------
        generator : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        MirroredDraw
            Errors of what was learned.
        """
        signs = generator.choice([-1.0, 1.0], self.n)
        noise = generator.standard_normal((self.n, self.dimension)) * math.sqrt(32 / self.dimension)
        weights = signs @ noise
        # Label times score: 4 from the signal, since 2 n u . 2 u = 4.
        margins = signs * (noise @ weights)
        spread = math.sqrt(32 / self.dimension) * float(np.linalg.norm(weights))
        return MirroredDraw(
            float((4 + margins <= 0).mean()), float(ndtr(-4 / spread)), float((4 - margins <= 0).mean())
        )
