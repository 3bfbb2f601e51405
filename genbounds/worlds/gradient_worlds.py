"""Laws of single examples' gradients whose coherence is exact: Gaussian gradients, and finitely many of them."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import hyp1f1, ncfdtr

from genbounds.numerics.checks import Float64, count, positive, unit_interval
from genbounds.worlds.enumeration import count_vectors, multinomial_law

__all__ = ["FiniteGradients", "GaussianGradients", "GradientWorld"]


class GradientWorld(ABC):
    r"""A law of the gradient g of one example, known by its mean G and the variances of its coordinates.

    With the signal S = abs(G)^2, the noise V = tr Cov(g) and the second moment D = E abs(g)^2 = S + V:

    * coherence alpha = S / D, noise scale V / S = 1 / alpha - 1 [ChatterjeeZielinski2022, McCandlish2018];
    * the mean of n independent gradients has mean G and noise V / n, so that its coherence is
      n alpha / (1 + (n - 1) alpha). To first order this is also R(n), by how much a gradient step on n examples lowers
      the risk, over by how much it lowers their average loss [Liu2020];
    * the plug-in coherence of m examples, abs(mean)^2 over mean abs(g)^2, has a numerator of mean S + V / m: the ratio
      of the two means is alpha + (1 - alpha) / m;
    * coordinates l have the share f_l = D_l / D, and alpha = sum f_l alpha_l over any partition.
    """

    @property
    @abstractmethod
    def mean_gradient(self) -> NDArray[np.float64]:
        """G, shape (P,)."""

    @property
    @abstractmethod
    def variances(self) -> NDArray[np.float64]:
        """Variance of each coordinate of g, shape (P,)."""

    @abstractmethod
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

    @property
    def signal(self) -> float:
        """S, the squared norm of the mean gradient."""
        return float(np.square(self.mean_gradient).sum())

    @property
    def noise(self) -> float:
        """V, the trace of the covariance of the gradients."""
        return float(self.variances.sum())

    @property
    def second_moment(self) -> float:
        """D = S + V, the mean squared norm."""
        return self.signal + self.noise

    @property
    def coherence(self) -> float:
        """Coherence alpha = S / D, in [0, 1]."""
        return self.signal / self.second_moment

    @property
    def noise_scale(self) -> float:
        """V / S; infinite where the mean gradient is 0."""
        return self.noise / self.signal if self.signal > 0 else math.inf

    @property
    def signal_to_noise(self) -> NDArray[np.float64]:
        """G_j^2 / Var g_j of each coordinate, shape (P,); NaN where both are 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.square(self.mean_gradient) / self.variances

    def one_step_ratio(self, n: ArrayLike) -> Float64:
        """Return R(n) = n alpha / (1 + (n - 1) alpha), also the coherence of averages of n gradients.

        Parameters
        ----------
        n : array_like of int
            Examples averaged over, at least 1.

        Returns
        -------
        float64 or ndarray
            In [0, 1].
        """
        return self.signal / (self.signal + self.noise / count("n", n))

    def plug_in_mean(self, m: ArrayLike) -> Float64:
        """Return E abs(mean of m gradients)^2 / D = alpha + (1 - alpha) / m, what the plug-in coherence aims at.

        Parameters
        ----------
        m : array_like of int
            Examples, at least 1.

        Returns
        -------
        float64 or ndarray
            A ratio of means; the mean of the ratio differs from it by a term of order 1 / m.
        """
        return self.coherence + (1 - self.coherence) / count("m", m)

    def layer_coherence(self, coordinates: slice) -> float:
        """Return the coherence alpha_l of some of the coordinates.

        Parameters
        ----------
        coordinates : slice
            Which ones.

        Returns
        -------
        float
            In [0, 1]; NaN where all of them are always 0.
        """
        signal = float(np.square(self.mean_gradient[coordinates]).sum())
        second_moment = signal + float(self.variances[coordinates].sum())
        return signal / second_moment if second_moment > 0 else math.nan

    def layer_share(self, coordinates: slice) -> float:
        """Return the share f_l of some of the coordinates in the second moment.

        Parameters
        ----------
        coordinates : slice
            Which ones.

        Returns
        -------
        float
            In [0, 1].
        """
        part = np.square(self.mean_gradient[coordinates]) + self.variances[coordinates]
        return float(part.sum()) / self.second_moment


@dataclass(frozen=True)
class GaussianGradients(GradientWorld):
    r"""Gradients g ~ N(mu, s^2 I) in P dimensions: the plug-in coherence of m of them has a known law.

    Turn the sample of m by an orthogonal matrix whose first row is constant: the mean's squared norm is
    A s^2 / m with A ~ chi^2_P(l), l = m abs(mu)^2 / s^2 (not central), the sum of squared deviations is B s^2 with
    B ~ chi^2_{(m-1)P}, and A and B are independent. As m mean abs(g)^2 = (A + B) s^2,

        alpha_m = abs(mean)^2 / mean abs(g)^2 = (A s^2 / m) / ((A + B) s^2 / m) = A / (A + B).

    For mu = 0 that is Beta(P / 2, (m - 1) P / 2), of mean 1 / m. In general A is chi^2_{P + 2K} given K ~ Poisson(l /
    2), so that alpha_m is Beta(P / 2 + K, (m - 1) P / 2), of mean 1 - b / (c + K), where b = (m - 1) P / 2 and c = m P
    / 2. As E 1 / (c + K) = E int_0^1 t^(c+K-1) dt = int_0^1 t^(c-1) exp(-(1 - t) l / 2) dt, which is 1F1(1; c + 1; -l /
    2) / c,

        E alpha_m = 1 - (1 - 1 / m) 1F1(1; m P / 2 + 1; -l / 2).

    Parameters
    ----------
    mean : array_like, shape (P,)
        mu.
    scale : float
        Standard deviation s of a coordinate, positive.

    Raises
    ------
    ValueError
        If the scale is not positive, or the mean is no finite vector.

    Examples
    --------
    >>> world = GaussianGradients([3.0, 4.0], scale=5.0)
    >>> world.signal, world.noise, round(world.coherence, 6)
    (25.0, 50.0, 0.333333)
    >>> round(float(GaussianGradients([0.0, 0.0, 0.0], scale=1.0).mean_coherence(20)), 12)
    0.05
    """

    mean: NDArray[np.float64]
    scale: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", vectors("mean", self.mean, dimensions=1))
        positive("scale", self.scale)

    @property
    def mean_gradient(self) -> NDArray[np.float64]:
        """The mean mu, shape (P,)."""
        return self.mean

    @property
    def variances(self) -> NDArray[np.float64]:
        """s^2 in every coordinate, shape (P,)."""
        return np.full(len(self.mean), float(self.scale) ** 2)

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
        return self.mean + self.scale * generator.standard_normal((m, len(self.mean)))

    def coherence_law(self, value: ArrayLike, m: ArrayLike) -> Float64:
        """Return the probability that the plug-in coherence of m examples is at most a value.

        Parameters
        ----------
        value : array_like
            In [0, 1].
        m : array_like of int
            Examples, at least 2.

        Returns
        -------
        float64 or ndarray
            Probabilities.
        """
        value, m = unit_interval("value", value, "The coherence is a ratio."), count("m", m, minimum=2)
        size, centre = len(self.mean), m * self.signal / self.scale**2
        below = np.where(value < 1, value, 0.0)
        ratio = below / (1 - below) * (m - 1)  # of A / P to B / ((m - 1) P)
        return np.where(value < 1, ncfdtr(size, (m - 1) * size, centre, ratio), 1.0)[()]

    def mean_coherence(self, m: ArrayLike) -> Float64:
        """Return the mean of the plug-in coherence of m examples.

        Parameters
        ----------
        m : array_like of int
            Examples, at least 1.

        Returns
        -------
        float64 or ndarray
            In (0, 1].
        """
        m = count("m", m)
        return 1 - (1 - 1 / m) * hyp1f1(1, m * len(self.mean) / 2 + 1, -m * self.signal / (2 * self.scale**2))


@dataclass(frozen=True)
class FiniteGradients(GradientWorld):
    """Finitely many gradients with their probabilities: whatever a sample can show is enumerated.

    Parameters
    ----------
    gradients : array_like, shape (k, P)
        The gradients; not all of them 0.
    probabilities : array_like, shape (k,), optional
        Their probabilities, positive; equal if left out.

    Raises
    ------
    ValueError
        If the gradients are no finite matrix or all 0, or the probabilities are not positive, one for each gradient,
        with sum 1.

    Examples
    --------
    Four examples that share one feature and have one of their own each; the same without a shared feature:

    >>> shared = FiniteGradients([[1, 0, 0, 0, 1], [0, 1, 0, 0, 1], [0, 0, 1, 0, 1], [0, 0, 0, 1, 1]])
    >>> shared.coherence, FiniteGradients([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]).coherence
    (0.625, 0.25)
    """

    gradients: NDArray[np.float64]
    probabilities: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        gradients = vectors("gradients", self.gradients, dimensions=2)
        if not gradients.any():
            raise ValueError("gradients must not all be 0, got nothing else. Coherence is 0 / 0 there.")
        object.__setattr__(self, "gradients", gradients)
        k, given = len(gradients), self._law
        if given.shape != (k,) or abs(given.sum() - 1) > 1e-12:
            raise ValueError(
                f"probabilities must be {k} numbers with sum 1, got shape {given.shape} and sum {given.sum()!r}. "
                "Give one for each gradient."
            )

    @property
    def _law(self) -> NDArray[np.float64]:
        k = len(self.gradients)
        return np.full(k, 1 / k) if self.probabilities is None else positive("probabilities", self.probabilities)

    @property
    def mean_gradient(self) -> NDArray[np.float64]:
        """G, shape (P,)."""
        return self._law @ self.gradients

    @property
    def variances(self) -> NDArray[np.float64]:
        """Variance of each coordinate, shape (P,)."""
        return self._law @ np.square(self.gradients - self.mean_gradient)

    def sample(self, generator: np.random.Generator, m: int) -> NDArray[np.float64]:
        """Draw the gradients of m examples, with replacement.

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
        return self.gradients[generator.choice(len(self.gradients), size=m, p=self._law)]

    def coherence_law(self, m: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the plug-in coherence of every sample of m examples, with its probability.

        Parameters
        ----------
        m : int
            Examples drawn with replacement, at least 1.

        Returns
        -------
        tuple of ndarray
            Coherences and probabilities, one for each way in which m examples share the k gradients.

        Raises
        ------
        ValueError
            If a sample can consist of zero gradients only, which have no coherence, or there are too many samples.
        """
        squared_norms = np.square(self.gradients).sum(axis=1)
        if not squared_norms.all():
            raise ValueError("gradients must all differ from 0 here, got a 0. A sample of such has no coherence.")
        counts = count_vectors(m, len(self.gradients))
        shares = counts / m
        values = np.square(shares @ self.gradients).sum(axis=1) / (shares @ squared_norms)
        return values, multinomial_law(counts, self._law)

    def subset_coherence(self, size: ArrayLike) -> Float64:
        r"""Return the coherence of averages over random subsets, drawn without replacement.

        For equally probable gradients, m of them, the mean of k drawn without replacement has the noise
        V (m - k) / (k (m - 1)), so that 1 / alpha_k - 1 = (1 / alpha - 1) (m - k) / (k (m - 1)).

        Parameters
        ----------
        size : array_like of int
            Size k of the subsets, from 1 to m.

        Returns
        -------
        float64 or ndarray
            E abs(G)^2 over the mean squared norm of a subset's average.

        Raises
        ------
        ValueError
            If the gradients are not equally probable, there are no such subsets, or their averages are all 0.
        """
        m, k = len(self.gradients), count("size", size)
        if np.ptp(self._law) > 0:
            raise ValueError("probabilities must be equal for subsets, got different ones. Repeat gradients instead.")
        if (k > m).any():
            raise ValueError(f"size must be at most the {m} gradients, got {k.max():.0f}. Take smaller subsets.")
        second_moment = self.signal + self.noise * (m - k) / (k * max(m - 1, 1))
        if not second_moment.all():
            raise ValueError(f"size must leave averages that are not all 0, got {m}: all gradients add up to 0.")
        return self.signal / second_moment


def vectors(name: str, value: ArrayLike, dimensions: int) -> NDArray[np.float64]:
    """Return a finite array of so many dimensions and at least one number as float64.

    Parameters
    ----------
    name : str
        Argument's name, for the error.
    value : array_like
        The numbers.
    dimensions : int
        How many dimensions they must have.

    Returns
    -------
    ndarray
        The numbers.

    Raises
    ------
    ValueError
        If it is not such an array.
    """
    array = np.asarray(value, dtype=np.float64)
    if array.ndim != dimensions or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(
            f"{name} must be finite numbers in {dimensions} dimensions, got shape {array.shape} with "
            f"{array.size - np.isfinite(array).sum()} that are not finite. Give at least one in each dimension."
        )
    return array
