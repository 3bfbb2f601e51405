"""Gradients of a classifier's softmax head at zero logits, as at the start of training: coherence exact."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.checks import nonnegative, positive
from genbounds.worlds.gradient_worlds import GradientWorld, vectors

__all__ = ["SoftmaxHead"]


@dataclass(frozen=True)
class SoftmaxHead(GradientWorld):
    r"""Cross-entropy of a linear head W h + b at W = 0, b = 0, for features h ~ N(mu_y, spread_y^2 I) of class y.

    All C classes are predicted with probability 1 / C, so that an example's gradient in W is (1/C - onehot(y)) h'.
    With the prior p_c of class c and the mean feature mu = sum p_c mu_c, row c of G is mu / C - p_c mu_c, and

        S = sum p_c^2 abs(mu_c)^2 - abs(mu)^2 / C,   D = (1 - 1/C) E abs(h)^2,
        alpha = (C sum p_c^2 abs(mu_c)^2 - abs(mu)^2) / ((C - 1) E abs(h)^2).

    Only the first two moments of the features enter. For balanced classes the numerator is the variance of the class
    means, mean_c abs(mu_c)^2 - abs(mu)^2, and labels that are independent of the features have no coherence. Unbalanced
    ones have some: with mu_c = mu it is (C sum p_c^2 - 1) abs(mu)^2 / ((C - 1) E abs(h)^2), as a step learns which
    class is frequent. A bias is a feature that is always 1. Two classes with features mu and -mu have identical
    gradients: alpha = 1.

    Parameters
    ----------
    means : array_like, shape (C, p)
        Mean feature mu_c of each class, C at least 2.
    spreads : array_like, shape (C,)
        Standard deviation of a coordinate of the features in each class, at least 0.
    priors : array_like, shape (C,), optional
        Probabilities of the classes; equal if left out.
    bias : bool
        Whether the head has a bias. Coordinates are the weight's, shape (C, p) row by row, then the bias's C.

    Raises
    ------
    ValueError
        If the shapes do not fit, the priors are not positive with sum 1, or all gradients are 0.

    Examples
    --------
    >>> SoftmaxHead([[1.0, 2.0], [-1.0, -2.0]], spreads=[0.0, 0.0]).coherence
    1.0
    >>> SoftmaxHead([[1.0, 2.0], [1.0, 2.0]], spreads=[1.0, 3.0]).coherence
    0.0
    """

    means: NDArray[np.float64]
    spreads: NDArray[np.float64]
    priors: NDArray[np.float64] | None = None
    bias: bool = False

    def __post_init__(self) -> None:
        means = vectors("means", self.means, dimensions=2)
        classes = len(means)
        spreads = nonnegative("spreads", self.spreads)
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "spreads", spreads)
        priors = self._priors
        if classes < 2 or spreads.shape != (classes,) or priors.shape != (classes,) or abs(priors.sum() - 1) > 1e-12:
            raise ValueError(
                f"means, spreads and priors must belong to the same two or more classes, priors with sum 1, got "
                f"shapes {means.shape}, {spreads.shape} and {priors.shape}, sum {priors.sum()!r}. Give one of each for "
                "each class."
            )
        if not (means.any() or spreads.any() or self.bias):
            raise ValueError("means must not all be 0 without spread and bias, got nothing else: every gradient is 0.")

    @property
    def _priors(self) -> NDArray[np.float64]:
        classes = len(self.means)
        return np.full(classes, 1 / classes) if self.priors is None else positive("priors", self.priors)

    @property
    def mean_gradient(self) -> NDArray[np.float64]:
        """G: rows mu / C - p_c mu_c, then 1 / C - p_c for a bias."""
        weighted = self._priors[:, None] * self.means
        bias = (1 / len(self.means) - self._priors)[: None if self.bias else 0]
        return np.concatenate([(weighted.sum(axis=0) / len(self.means) - weighted).ravel(), bias])

    @property
    def variances(self) -> NDArray[np.float64]:
        """Variance of each coordinate."""
        classes = len(self.means)
        errors = self._priors * np.square(1 / classes - np.eye(classes))  # row: output, column: class of the example
        features = np.square(self.means) + np.square(self.spreads)[:, None]
        bias = errors.sum(axis=1)[: None if self.bias else 0]
        return np.concatenate([(errors @ features).ravel(), bias]) - np.square(self.mean_gradient)

    def examples(self, generator: np.random.Generator, m: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Draw m examples.

        Parameters
        ----------
        generator : numpy.random.Generator
            Source of randomness.
        m : int
            Number of examples.

        Returns
        -------
        tuple of ndarray
            Features, shape (m, p), and classes, shape (m,).
        """
        labels = generator.choice(len(self.means), size=m, p=self._priors)
        noise = generator.standard_normal((m, self.means.shape[1]))
        return self.means[labels] + self.spreads[labels, None] * noise, labels

    def gradients(self, features: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the gradient of each example.

        Parameters
        ----------
        features : ndarray, shape (m, p)
            Features.
        labels : ndarray of int, shape (m,)
            Classes.

        Returns
        -------
        ndarray, shape (m, P)
            The gradients, the weight's coordinates first.
        """
        errors = 1 / len(self.means) - np.eye(len(self.means))[labels]
        weight = (errors[:, :, None] * features[:, None, :]).reshape(len(features), -1)
        return np.hstack([weight, errors]) if self.bias else weight

    def sample(self, generator: np.random.Generator, m: int) -> NDArray[np.float64]:
        """Draw the gradients of m examples.

        Parameters
        ----------
        generator : numpy.random.Generator
            Source of randomness.
        m : int
            Number of examples.

        Returns
        -------
        ndarray, shape (m, P)
            Independent gradients.
        """
        return self.gradients(*self.examples(generator, m))
