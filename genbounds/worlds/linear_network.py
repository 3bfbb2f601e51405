"""A linear network that classifies two Gaussian clouds: what each layer tells about the sample, in closed form."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, gammaln, hyp1f1, ndtr, xlogy

from genbounds.numerics.checks import count, nonnegative, positive
from genbounds.numerics.transport import wasserstein1_normal

__all__ = ["BinaryGaussianLinearNetwork"]

#: Nodes of the quadrature on an interval, and how many standard deviations it reaches.
_NODES, _REACH = 200, 10.0


def _poisson(rate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the whole numbers that a Poisson variable takes, but for a probability of 1e-18, and their law."""
    width = 9 * math.sqrt(rate) + 40
    values = np.arange(max(0.0, math.floor(rate - width)), rate + width)
    logs = xlogy(values, rate) - gammaln(values + 1)
    weights = np.exp(logs - logs.max())
    return values, weights / weights.sum()


def _gauss(low: float, high: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights of Gauss and Legendre's quadrature on an interval."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return low + (high - low) * (nodes + 1) / 2, weights * (high - low) / 2


@dataclass(frozen=True)
class BinaryGaussianLinearNetwork:
    r"""Y = -1 or 1 is a fair label, X given Y is N(Y mu, s^2 I), and the network's weights are made of mean(Y_i X_i).

    Let V = mean(Y_i X_i). The first layer multiplies each of the d coordinates of the input by that of V, later hidden
    layers keep the first r_1 >= r_2 >= ... of them, the output is their sum: <V, x> over the r coordinates of the last
    hidden layer, in which mu lies. It is classified by its sign.

    V is N(mu, s^2/n I), and given V, Y_i X_i is N(V, s^2 (1 - 1/n) I), where that of a new example is N(mu, s^2 I). Y_i
    is independent of (Y_i X_i, V): the label by itself tells nothing.

    * Relative entropy does not change when coordinates are multiplied. At a layer of r coordinates it is
      r/2 (-1/n - ln(1 - 1/n)) + abs(V - mu)^2 / (2 s^2) over these coordinates, on average r/2 ln(n / (n - 1)): depth
      by itself changes nothing, fewer coordinates do.
    * At the output it is 1/2 (-1/n - ln(1 - 1/n) + q / s^2) with q = <V, V - mu>^2 / abs(V)^2 over the last r
      coordinates. With t^2 = s^2/n, E q = r t^2 - abs(mu)^2 + abs(mu)^2 E cos^2 for the angle of V and mu; abs(V)^2
      mixes chi-squared laws by K ~ Poisson(k), k = abs(mu)^2 / (2 t^2), so that E cos^2 = E (1 + 2 K) / (r + 2 K) and
      E q / t^2 = r - 2 k (r - 1) E 1 / (r + 2 K) = r - 2 k (r - 1) / r 1F1(1; r/2 + 1; -k).
    * Risks. A training example errs if N(0, 1) > abs(V) / (s sqrt(1 - 1/n)): half the probability that abs(V)^2 / t^2,
      chi-squared with r + 2 K degrees of freedom, is below (n - 1) N^2, a Beta tail given K. A new one errs if
      <V, X> < 0, that is, if X/s + V/t is shorter than X/s - V/t; these are independent, and their squared lengths are
      chi-squared with r + 2 J and r + 2 J' degrees for Poisson J and J'. Two series of positive terms.

    Expectations of other functions of V are integrals over its part along mu and the length of its part across.

    Parameters
    ----------
    dimension : int
        d, at least 1.
    n : int
        Examples, at least 2.
    scale : float
        Standard deviation s of a coordinate of X given Y.
    signal : float
        abs(mu), non-negative.
    widths : tuple of int, optional
        Coordinates that the hidden layers keep, none above the one before; one layer with all of them by default.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    Relative entropies at the input, two hidden layers and the output:

    >>> network = BinaryGaussianLinearNetwork(6, 10, 1.0, signal=1.0, widths=(6, 2))
    >>> network.layer_divergences[:, 0].round(4).tolist()
    [0.3161, 0.3161, 0.1054, 0.053]
    """

    dimension: int
    n: int
    scale: float
    signal: float
    widths: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        count("dimension", self.dimension)
        count("n", self.n, minimum=2, remedy="One example is remembered whole.")
        positive("scale", self.scale)
        if np.isinf(nonnegative("signal", self.signal)):
            raise ValueError("signal must be finite, got inf. Take a large value.")
        if not self.ranks[1:] or np.any(np.diff(count("widths", self.ranks)) > 0):
            raise ValueError(
                f"widths must not grow from the dimension {self.dimension} on, got {self.widths}. "
                "A layer keeps some of the coordinates of the one before."
            )

    @property
    def ranks(self) -> tuple[int, ...]:
        """Coordinates of the input and of each hidden layer."""
        return (self.dimension, *((self.dimension,) if self.widths is None else self.widths))

    @property
    def _spread(self) -> float:
        """Standard deviation t of a coordinate of V."""
        return self.scale / math.sqrt(self.n)

    @property
    def _noncentrality(self) -> float:
        """Poisson rate k of the mixture."""
        return (self.signal / self._spread) ** 2 / 2

    @property
    def _excess(self) -> float:
        """-1/n - ln(1 - 1/n), what a smaller variance adds to twice the relative entropy of a coordinate."""
        return -1 / self.n - math.log1p(-1 / self.n)

    # Relative entropies.

    @property
    def output_divergence(self) -> float:
        """Relative entropy at the output, averaged over the weights, nats."""
        r, k = self.ranks[-1], self._noncentrality
        q = r - 2 * k * (r - 1) / r * hyp1f1(1, r / 2 + 1, -k)
        return float(self._excess + q / self.n) / 2

    @property
    def layer_divergences(self) -> NDArray[np.float64]:
        """Relative entropy of a training to a test representation with its label, given the weights, nats.

        Rows are the input, the hidden layers and the output, columns the n examples.
        """
        hidden = [-r / 2 * math.log1p(-1 / self.n) for r in self.ranks]
        return np.repeat(np.array([*hidden, self.output_divergence])[:, None], self.n, axis=1)

    @property
    def individual_information(self) -> NDArray[np.float64]:
        """I(X_i, Y_i; W) of each example with all weights, nats, shape (n,): the relative entropy at the input."""
        return self.layer_divergences[0]

    @property
    def label_information(self) -> NDArray[np.float64]:
        """I(Y_i; W) of each example, shape (n,): 0."""
        return np.zeros(self.n)

    # The 0-1 loss.

    @property
    def train_risk(self) -> float:
        """Expected 0-1 risk on the sample."""
        values, weights = _poisson(self._noncentrality)
        return float(weights @ betainc(self.ranks[-1] / 2 + values, 0.5, 1 - 1 / self.n)) / 2

    @property
    def risk(self) -> float:
        """Expected 0-1 risk on new data."""
        inverses = 1 / self.scale, 1 / self._spread
        rates = [self.signal**2 * (inverses[0] + sign * inverses[1]) ** 2 / 4 for sign in (1, -1)]
        (longer, first), (shorter, second) = map(_poisson, rates)
        half = self.ranks[-1] / 2
        return float(first @ betainc(half + longer[:, None], half + shorter, 0.5) @ second)

    @property
    def gap(self) -> float:
        """E[L_mu(W) - L_S(W)] of the 0-1 loss."""
        return self.risk - self.train_risk

    # Integrals over V.

    @cached_property
    def _grid(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Nodes for V's part along mu, for the length of its part across, and their weights."""
        mean = self.signal / self._spread
        # Functions of abs(V) have a kink where V = 0: a panel ends there.
        panels = [mean - _REACH, *([0.0] if mean < _REACH else []), mean + _REACH]
        along, weights = map(np.concatenate, zip(*map(_gauss, panels, panels[1:]), strict=True))
        law = weights[:, None] * np.exp(-np.square(along[:, None] - mean) / 2) / math.sqrt(2 * math.pi)
        freedom = self.ranks[-1] - 1
        if freedom == 0:
            return self._spread * along[:, None], np.zeros((1, 1)), law
        lengths, weights = _gauss(max(0.0, math.sqrt(freedom) - _REACH), math.sqrt(freedom) + _REACH)
        logs = xlogy(freedom - 1, lengths) - np.square(lengths) / 2  # the chi law, up to its constant
        density = np.exp(logs - gammaln(freedom / 2) - (freedom / 2 - 1) * math.log(2))
        return self._spread * along[:, None], self._spread * lengths, law * weights * density

    def _expect(self, function: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]) -> float:
        """Return E function(abs(V), <V, mu>) over the coordinates of the last hidden layer."""
        along, across, weights = self._grid
        return float((weights * function(np.hypot(along, across), along * self.signal + 0 * across)).sum())

    @property
    def output_root_divergence(self) -> float:
        """Root of the relative entropy at the output, averaged over the weights: at most the root of the average."""
        return self._expect(
            lambda length, inner: np.sqrt((self._excess + np.square((length - inner / length) / self.scale)) / 2)
        )

    @property
    def hinge_gap(self) -> float:
        """E[L_mu(W) - L_S(W)] of the hinge loss max(0, 1 - output * label), which is 1-Lipschitz in the output."""

        def hinge(margin: NDArray[np.float64], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
            z = (1 - margin) / deviation
            return deviation * (z * ndtr(z) + np.exp(-z * z / 2) / math.sqrt(2 * math.pi))

        shrunk = math.sqrt(1 - 1 / self.n)
        return self._expect(
            lambda length, inner: (
                hinge(inner, self.scale * length) - hinge(np.square(length), shrunk * self.scale * length)
            )
        )

    @property
    def output_distance(self) -> float:
        """E W1 between training and test output, given weights and label."""
        shrunk = math.sqrt(1 - 1 / self.n)
        return self._expect(
            lambda length, inner: np.asarray(
                wasserstein1_normal(np.square(length), shrunk * self.scale * length, inner, self.scale * length)
            )
        )

    @property
    def input_distance(self) -> float:
        """E[max(1, abs(V)) W2] between training and test input over the coordinates that reach the output.

        The weights are V, the Lipschitz constant of what follows is abs(V); W2 given weights and label is at least W1.
        """
        stretch = self.scale**2 * self.ranks[-1] * (1 - math.sqrt(1 - 1 / self.n)) ** 2

        def distance(length: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.float64]:
            shift = np.square(length) - 2 * inner + self.signal**2
            return np.maximum(1.0, length) * np.sqrt(np.maximum(shift, 0.0) + stretch)

        return self._expect(distance)

    # Monte Carlo.

    def sample(self, generator: np.random.Generator, runs: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Draw samples; mu is along the first coordinate.

        Parameters
        ----------
        generator : numpy.random.Generator
            Source of randomness.
        runs : int
            Number of samples.

        Returns
        -------
        inputs : ndarray, shape (runs, n, d)
            X_i.
        labels : ndarray, shape (runs, n)
            Y_i, -1 or 1.
        """
        labels = generator.choice([-1.0, 1.0], size=(runs, self.n))
        inputs = self.scale * generator.standard_normal((runs, self.n, self.dimension))
        inputs[..., 0] += self.signal * labels
        return inputs, labels

    def simulate(self, generator: np.random.Generator, runs: int) -> NDArray[np.float64]:
        """Train on fresh samples and return L_mu(W) - L_S(W) of the 0-1 loss for each: their mean estimates `gap`.

        Parameters
        ----------
        generator : numpy.random.Generator
            Source of randomness.
        runs : int
            Number of trainings.

        Returns
        -------
        ndarray, shape (runs,)
            Gaps; L_mu(W) is exact given the weights.
        """
        inputs, labels = self.sample(generator, runs)
        kept = inputs[..., : self.ranks[-1]]
        weights = (labels[..., None] * kept).mean(axis=1)
        errors = (np.einsum("rnd,rd->rn", kept, weights) * labels < 0).mean(axis=1)
        risks = ndtr(-self.signal * weights[:, 0] / (self.scale * np.linalg.norm(weights, axis=1)))
        return np.asarray(risks - errors)
