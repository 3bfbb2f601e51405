"""Learners that average Gaussian examples: every quantity of information and every gap in closed form."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import lambertw

from genbounds.numerics.checks import Float64, count, nonnegative, positive

__all__ = ["LinearGaussian"]


@dataclass(frozen=True)
class LinearGaussian(ABC):
    r"""A learner W = sum_i g_i Z_i + N(0, v I) of n independent examples Z_i ~ N(0, s^2 I) in d dimensions.

    Its subclasses say which weights g and which noise variance v. All else follows. With V = s^2 sum g_i^2 + v, the
    variance of a coordinate of W:

    * Squared loss abs(w - z)^2: a fresh example Z' has W - Z' ~ N(0, (s^2 + V) I), the example Z_i that W was
      trained on has covariance g_i s^2 with it, so that the gap is E[L_mu(W) - L_S(W)] = 2 d s^2 mean(g).
    * I(S;W) = d/2 ln(1 + r) and KL(P_S P_W || P_SW) = d/2 (2 r - ln(1 + r)) with the signal-to-noise ratio
      r = s^2 sum g_i^2 / v; they add up to d r.
    * I(W;Z_i) = -d/2 ln(1 - rho_i^2) with rho_i^2 = g_i^2 s^2 / V; given the other examples, what is left of W is
      g_i Z_i + noise, and I(W;Z_i | others) = d/2 ln(1 + g_i^2 s^2 / v).
    * The loss on a fresh example is c chi^2_d, c = s^2 + V. For x >= 0, x - ln(1 + x) <= x^2 / 2; with x = 2 c t,
      ln E exp(-t (loss - mean)) = d/2 (x - ln(1 + x)) <= t^2 c^2 d: below its mean the loss is sub-Gaussian with
      sigma = c sqrt(2 d). That tail is the one that bounds L_mu - L_S from above; the upper tail is heavier.
    * Absolute loss abs(w - z), one dimension: a centred Gaussian of variance a^2 has absolute mean a sqrt(2/pi). Given
      Z_i, W is N(g_i Z_i, V - g_i^2 s^2), and the 1-Wasserstein distance to N(0, V) is E abs(g_i Z_i + (a - b) N) for
      the two scales a and b, which averages over Z_i to sqrt(2/pi) sqrt(g_i^2 s^2 + (a - b)^2).

    Parameters
    ----------
    dimension : int
        d, at least 1.
    n : int
        Examples, at least 1.
    scale : float
        Standard deviation s of a coordinate of an example.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    dimension: int
    n: int
    scale: float

    def __post_init__(self) -> None:
        count("dimension", self.dimension)
        count("n", self.n)
        positive("scale", self.scale)

    @property
    @abstractmethod
    def weights(self) -> NDArray[np.float64]:
        """Weight g_i of each example in the output, shape (n,)."""

    @property
    @abstractmethod
    def noise_variance(self) -> float:
        """Variance v of a coordinate of the output, given the sample."""

    @abstractmethod
    def learn(self, samples: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
        """Run the learner itself, step by step where it has steps.

        Parameters
        ----------
        samples : ndarray, shape (runs, n, d)
            Samples.
        generator : numpy.random.Generator
            Source of its own noise.

        Returns
        -------
        ndarray, shape (runs, d)
            One output for each sample.
        """

    def sample(self, generator: np.random.Generator, runs: int) -> NDArray[np.float64]:
        """Draw samples.

        Parameters
        ----------
        generator : numpy.random.Generator
            Source of randomness.
        runs : int
            Number of samples.

        Returns
        -------
        ndarray, shape (runs, n, d)
            The examples.
        """
        return self.scale * generator.standard_normal((runs, self.n, self.dimension))

    def simulate(self, generator: np.random.Generator, runs: int) -> NDArray[np.float64]:
        """Train on fresh samples and return L_mu(W) - L_S(W) of the squared loss for each: their mean estimates `gap`.

        Parameters
        ----------
        generator : numpy.random.Generator
            Source of randomness.
        runs : int
            Number of trainings.

        Returns
        -------
        ndarray, shape (runs,)
            Gaps; L_mu(W) = abs(W)^2 + d s^2 is exact, nothing but the training is simulated.
        """
        samples = self.sample(generator, runs)
        outputs = self.learn(samples, generator)
        risks = np.square(outputs).sum(axis=1) + self.dimension * self.scale**2
        return risks - np.square(outputs[:, None] - samples).sum(axis=2).mean(axis=1)

    @property
    def signal_variance(self) -> float:
        """Variance of a coordinate of the output that the sample causes, s^2 sum g_i^2."""
        return float(self.scale**2 * np.square(self.weights).sum())

    @property
    def signal_to_noise(self) -> float:
        """Ratio r of the two variances of the output; infinite without noise."""
        return self.signal_variance / self.noise_variance if self.noise_variance > 0 else math.inf

    @property
    def loss_variance(self) -> float:
        """Variance c of a coordinate of W - Z' for a fresh example."""
        return self.scale**2 + self.signal_variance + self.noise_variance

    @property
    def gap(self) -> float:
        """E[L_mu(W) - L_S(W)] of the squared loss, 2 d s^2 mean(g)."""
        return float(2 * self.dimension * self.scale**2 * self.weights.mean())

    @property
    def risk(self) -> float:
        """E L_mu(W) of the squared loss, d c."""
        return self.dimension * self.loss_variance

    @property
    def train_risk(self) -> float:
        """E L_S(W) of the squared loss."""
        return self.risk - self.gap

    @property
    def sigma(self) -> float:
        """Sub-Gaussian parameter of the squared loss of (W', Z'), drawn independently, below its mean: c sqrt(2 d)."""
        return self.loss_variance * math.sqrt(2 * self.dimension)

    def loss_cgf(self, rate: ArrayLike) -> Float64:
        """Return ln E exp(-rate (loss - mean)) for the squared loss of (W', Z'), drawn independently.

        Parameters
        ----------
        rate : array_like
            Non-negative.

        Returns
        -------
        float64 or ndarray
            Nats, d/2 (x - ln(1 + x)) with x = 2 c rate.
        """
        x = 2 * self.loss_variance * nonnegative("rate", rate)
        return self.dimension / 2 * (x - np.log1p(x))

    @property
    def individual_cgf_bound(self) -> float:
        """Bound on the gap by I(W;Z_i) with the exact cumulants instead of sigma.

        The mean over i of min over rates t of (I_i + loss_cgf(t)) / t. Legendre's transform of `loss_cgf` at c d y is
        d/2 (-y - ln(1 - y)), so that this is c d y_i with -y_i - ln(1 - y_i) = 2 I_i / d, a Lambert function.
        """
        y = 1 + lambertw(-np.exp(-1 - 2 * self.individual_information / self.dimension)).real
        return float(self.risk * y.mean())

    @property
    def mutual_information(self) -> float:
        """I(S;W), nats."""
        return self.dimension / 2 * math.log1p(self.signal_to_noise)

    @property
    def lautum(self) -> float:
        """Lautum information KL(P_S P_W || P_SW), nats."""
        ratio = self.signal_to_noise
        return self.dimension / 2 * (2 * ratio - math.log1p(ratio)) if ratio < math.inf else math.inf

    @property
    def symmetrised_information(self) -> float:
        """Mutual plus lautum information, nats: d r."""
        return self.dimension * self.signal_to_noise

    @property
    def individual_information(self) -> NDArray[np.float64]:
        """I(W;Z_i) for each example, nats, shape (n,)."""
        share = np.square(self.weights * self.scale) / (self.signal_variance + self.noise_variance)
        with np.errstate(divide="ignore"):
            return -self.dimension / 2 * np.log1p(-np.minimum(share, 1.0))

    @property
    def conditional_information(self) -> NDArray[np.float64]:
        """I(W;Z_i | the other examples) for each example, nats, shape (n,)."""
        with np.errstate(divide="ignore"):
            return self.dimension / 2 * np.log1p(np.square(self.weights * self.scale) / np.float64(self.noise_variance))

    def _in_one_dimension(self) -> None:
        if self.dimension != 1:
            raise ValueError(f"dimension must be 1 for the absolute loss, got {self.dimension}. Make the world anew.")

    @property
    def absolute_gap(self) -> float:
        """E[L_mu(W) - L_S(W)] of the absolute loss, which is 1-Lipschitz; in one dimension."""
        self._in_one_dimension()
        difference = 2 * self.scale**2 * self.weights
        fresh, seen = math.sqrt(self.loss_variance), np.sqrt(np.maximum(self.loss_variance - difference, 0.0))
        return float(math.sqrt(2 / math.pi) * (difference / (fresh + seen)).mean())

    @property
    def absolute_sigma(self) -> float:
        """Sub-Gaussian parameter of the absolute loss of (W', Z') below its mean: its standard deviation.

        With h the hazard rate of the standard normal law, the second derivative of ln E exp(-t abs(N)) is
        1 - h(t) (h(t) - t) = 1 - h'(t); as h is convex, it falls from its value at t = 0, the variance 1 - 2/pi.
        """
        self._in_one_dimension()
        return math.sqrt((1 - 2 / math.pi) * self.loss_variance)

    @property
    def wasserstein_distances(self) -> NDArray[np.float64]:
        """E W1(P_{W|Z_i}, P_W) for each example, shape (n,); in one dimension."""
        self._in_one_dimension()
        variance = self.signal_variance + self.noise_variance
        known = np.square(self.weights * self.scale)
        difference = known / (math.sqrt(variance) + np.sqrt(np.maximum(variance - known, 0.0)))
        return np.asarray(math.sqrt(2 / math.pi) * np.sqrt(known + np.square(difference)))
