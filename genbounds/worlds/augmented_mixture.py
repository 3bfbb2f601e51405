"""Two normal classes whose means are learned from examples and from a generator trained on them [ZhengEtAl2023]_."""

from dataclasses import dataclass

import numpy as np

from genbounds.numerics.checks import count, nonnegative

__all__ = ["AugmentedMixture", "AugmentedMixtureDraw"]


@dataclass(frozen=True)
class AugmentedMixtureDraw:
    """Mean negative log-likelihoods of one learned mean, constants left out.

    Attributes
    ----------
    test : float
        Expected on new examples, exactly given the learned mean.
    train : float
        On all that was trained on, generated examples too.
    """

    test: float
    train: float


@dataclass(frozen=True)
class AugmentedMixture:
    """Inputs y mu + e with labels y = +-1 and e normal in d dimensions, and the mean of y x as the learned mean.

    A generator draws normal inputs around the mean of the m examples. The learner takes the mean of both, m real and
    gamma m generated ones. With v = (1 + gamma / (1 + gamma)^2) / m the learned mean is normal around mu with
    covariance v I: generated examples add noise and no knowledge.

    Parameters
    ----------
    dimension : int
        d.
    examples : int
        m.
    gamma : float
        Generated examples for each real one, at least 0; gamma m is rounded to a whole number.

    Examples
    --------
    >>> world = AugmentedMixture(50, 10, 1.0)
    >>> round(world.test, 4), round(AugmentedMixture(50, 10, 0.0).gap, 4)
    (28.125, 5.0)
    """

    dimension: int
    examples: int
    gamma: float

    def __post_init__(self) -> None:
        count("dimension", self.dimension)
        count("examples", self.examples)
        nonnegative("gamma", self.gamma)

    @property
    def generated(self) -> int:
        """Return the number of generated examples.

        Returns
        -------
        int
            gamma m, rounded.
        """
        return round(self.gamma * self.examples)

    @property
    def _spread(self) -> float:
        """Variance of each coordinate of the learned mean around that of the examples: noise of the generator."""
        return self.generated / (self.examples + self.generated) ** 2

    @property
    def test(self) -> float:
        """Return the expected negative log-likelihood of a new example.

        Returns
        -------
        float
            (d / 2) (1 + v), v = (1 + gamma / (1 + gamma)^2) / m: largest at gamma = 1, least without the generator.
        """
        return self.dimension / 2 * (1 + 1 / self.examples + self._spread)

    @property
    def train(self) -> float:
        """Return the expected mean negative log-likelihood of all that was trained on.

        Returns
        -------
        float
            (d / 2) times the mean of 1 - 1 / m + s over the real and 1 - 2 / (m + g) + s over the g generated examples,
            with s = g / (m + g)^2.
        """
        m, g = self.examples, self.generated
        real, made = 1 - 1 / m + self._spread, 1 - 2 / (m + g) + self._spread
        return self.dimension / 2 * (m * real + g * made) / (m + g)

    @property
    def gap(self) -> float:
        """Return the expected gap, test minus train.

        Returns
        -------
        float
            (d / 2) (1 / m + (1 + 2 g / (m + g)) / (m + g)) with g generated examples: d / m without them, a little more
            up to a third of m, and half as much in the end.
        """
        return self.test - self.train

    def draw(self, generator: np.random.Generator) -> AugmentedMixtureDraw:
        """Draw examples, train the generator, generate, and learn.

        Parameters
        ----------
        generator : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        AugmentedMixtureDraw
            What the learned mean scores; mu = 0, on which nothing depends.
        """
        real = generator.standard_normal((self.examples, self.dimension))
        made = real.mean(0) + generator.standard_normal((self.generated, self.dimension))
        seen = np.concatenate([real, made])
        mean = seen.mean(0)
        train = float(np.square(seen - mean).sum(1).mean() / 2)
        return AugmentedMixtureDraw(float(self.dimension + mean @ mean) / 2, train)
