"""Gradients of linear regression: coherence and signal-to-noise ratio exact, at any weights."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.checks import nonnegative
from genbounds.worlds.gradient_worlds import GradientWorld, vectors

__all__ = ["GaussianRegression"]


@dataclass(frozen=True)
class GaussianRegression(GradientWorld):
    r"""Linear regression at weights w: x ~ N(0, C), y = truth . x + e, loss (w . x - y)^2 / 2.

    The label noise e is independent of x, of mean 0 and variance s^2. With u = w - truth the gradient of an example is
    g = (u . x - e) x. Its moments follow from E x_i x_j x_k x_l = C_ij C_kl + C_ik C_jl + C_il C_jk:

    * G = E (u . x) x = C u;
    * E (u . x)^2 x_j^2 = (u'Cu) C_jj + 2 (Cu)_j^2 and E e^2 x_j^2 = s^2 C_jj, hence
      Var g_j = (u'Cu + s^2) C_jj + (Cu)_j^2, and the signal-to-noise ratio of coordinate j is
      (Cu)_j^2 / ((u'Cu + s^2) C_jj + (Cu)_j^2);
    * alpha = u'C^2u / (tr C (u'Cu + s^2) + 2 u'C^2u).

    For C = I: alpha = abs(u)^2 / ((d + 2) abs(u)^2 + d s^2). Without noise it is 1 / (d + 2) at all weights but the
    true ones. Random labels are independent of x: truth 0. At weights 0 their coherence is 0, that of real labels
    1 / (d + 2 + d s^2 / abs(truth)^2).

    Parameters
    ----------
    weights : array_like, shape (d,)
        w.
    truth : array_like, shape (d,)
        Weights that made the labels; all 0 for random labels.
    label_noise : float
        Standard deviation s of the label noise, which `examples` draws as Gaussian.
    covariance : array_like, shape (d, d), optional
        C, symmetric and positive definite; the identity if left out.

    Raises
    ------
    ValueError
        If the shapes do not fit, the covariance is not positive definite, or all gradients are 0.

    Examples
    --------
    >>> GaussianRegression([0.0, 0.0, 0.0], [1.0, 2.0, 2.0], label_noise=0.0).coherence
    0.2
    >>> GaussianRegression([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], label_noise=3.0).coherence
    0.0
    """

    weights: NDArray[np.float64]
    truth: NDArray[np.float64]
    label_noise: float
    covariance: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        weights, truth = vectors("weights", self.weights, dimensions=1), vectors("truth", self.truth, dimensions=1)
        d = len(weights)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "truth", truth)
        covariance = self._covariance
        if truth.shape != (d,) or covariance.shape != (d, d):
            raise ValueError(
                f"truth and covariance must fit the {d} weights, got shapes {truth.shape} and {covariance.shape}. "
                f"Give {d} numbers and a square matrix."
            )
        if not np.array_equal(covariance, covariance.T) or np.linalg.eigvalsh(covariance)[0] <= 0:
            raise ValueError(
                "covariance must be symmetric and positive definite, got another matrix. Average it with its "
                "transpose, and leave out coordinates that depend on others."
            )
        if nonnegative("label_noise", self.label_noise) == 0 and np.array_equal(weights, truth):
            raise ValueError("label_noise must be positive at the true weights, got 0: every gradient is 0 there.")

    @property
    def _covariance(self) -> NDArray[np.float64]:
        given = self.covariance
        return np.eye(len(self.weights)) if given is None else vectors("covariance", given, dimensions=2)

    @property
    def mean_gradient(self) -> NDArray[np.float64]:
        """G = C u, shape (d,)."""
        return self._covariance @ (self.weights - self.truth)

    @property
    def variances(self) -> NDArray[np.float64]:
        """Variance of each coordinate of g, shape (d,)."""
        residual = (self.weights - self.truth) @ self.mean_gradient + self.label_noise**2
        return residual * np.diag(self._covariance) + np.square(self.mean_gradient)

    def examples(self, generator: np.random.Generator, m: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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
            Inputs, shape (m, d), and labels, shape (m,).
        """
        root = np.linalg.cholesky(self._covariance)
        inputs = generator.standard_normal((m, len(self.weights))) @ root.T
        return inputs, inputs @ self.truth + self.label_noise * generator.standard_normal(m)

    def gradients(self, inputs: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gradient of each example.

        Parameters
        ----------
        inputs : ndarray, shape (m, d)
            Inputs.
        labels : ndarray, shape (m,)
            Labels.

        Returns
        -------
        ndarray, shape (m, d)
            The gradients.
        """
        return (inputs @ self.weights - labels)[:, None] * inputs

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
        ndarray, shape (m, d)
            Independent gradients.
        """
        return self.gradients(*self.examples(generator, m))
