"""Noisy gradient descent on a quadratic loss: the world in which bounds along a trajectory have an exact truth."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.checks import count, positive
from genbounds.worlds.linear_gaussian import LinearGaussian

__all__ = ["LangevinQuadratic"]


@dataclass(frozen=True)
class LangevinQuadratic(LinearGaussian):
    r"""Langevin dynamics W_{t+1} = W_t - 2 eta (W_t - mean of a batch) + sqrt(2 eta / beta) N, from W_0 = 0.

    These are gradient steps of size eta on the squared loss abs(w - z)^2 of Z_i ~ N(0, s^2 I), with the noise of
    inverse temperature beta. Batches are the b first examples, the b next ones and so on, visited in turn. With
    c = 1 - 2 eta, W_T is linear in the examples and the noise: the batch of step t enters with 2 eta c^(T-1-t), the
    noise of all steps has variance v_T = (2 eta / beta) (1 - c^(2T)) / (1 - c^2). On the full batch the weights are
    a_T / n with a_T = 1 - c^T: gap 2 d a_T s^2 / n, I(S;W_T) = d/2 ln(1 + a_T^2 s^2 / (n v_T)), both bounded in T.

    What bounds along the trajectory are made of grows without end:

    * Given W_t, step t shows the batch's mean with noise: 2 eta * mean + sqrt(2 eta / beta) N. A batch that was visited
      T_j times adds d/2 ln(1 + 2 eta beta T_j s^2 / b) to I(S; W_1, ..., W_T).
    * One example J, chosen at random, is replaced by the mean of the others in the drift. That moves it by (2 eta / b)
      (Z_J - mean of the others), of mean square (2 eta / b)^2 d s^2 n / (n - 1), in the steps that use J, each of
      relative entropy abs(move)^2 beta / (4 eta): in all T eta beta d s^2 / (b (n - 1)).

    Parameters
    ----------
    dimension : int
        d, at least 1.
    n : int
        Examples, at least 1.
    scale : float
        Standard deviation s of a coordinate of an example.
    step : float
        Step size eta, in (0, 1): for 1 and more the dynamics diverge.
    inverse_temperature : float
        beta, positive.
    steps : int
        Number T of steps, at least 1.
    batch : int, optional
        Examples b in a batch, a divisor of n; n by default.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    Information in the last output stays, information in the trajectory does not:

    >>> for steps in (20, 1000):
    ...     world = LangevinQuadratic(2, 20, 1.0, step=0.05, inverse_temperature=200.0, steps=steps)
    ...     print(round(world.gap, 5), round(world.mutual_information, 3), round(world.trajectory_information, 3))
    0.17568 2.765 3.045
    0.2 2.996 6.909
    """

    step: float
    inverse_temperature: float
    steps: int
    batch: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.step < 1:
            raise ValueError(f"step must be strictly between 0 and 1, got {self.step!r}. Larger steps diverge.")
        positive("inverse_temperature", self.inverse_temperature)
        count("steps", self.steps)
        if self.batch is not None and self.n % int(count("batch", self.batch)) != 0:
            raise ValueError(f"batch must divide n={self.n}, got {self.batch}. Take a divisor, or None for all.")

    @property
    def _batch(self) -> int:
        return self.n if self.batch is None else self.batch

    @property
    def batch_indices(self) -> NDArray[np.int64]:
        """Batch that each step uses, shape (T,)."""
        return np.arange(self.steps) % (self.n // self._batch)

    @property
    def visits(self) -> NDArray[np.int64]:
        """How many steps use each batch, shape (n / b,)."""
        return np.bincount(self.batch_indices, minlength=self.n // self._batch)

    @property
    def _earlier(self) -> NDArray[np.int64]:
        """How many steps before each one used its batch, shape (T,)."""
        return np.arange(self.steps) // (self.n // self._batch)

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weight of each example in W_T."""
        decay = (1 - 2 * self.step) ** np.arange(self.steps - 1.0, -1.0, -1.0)
        means = 2 * self.step * np.bincount(self.batch_indices, weights=decay, minlength=len(self.visits))
        return np.repeat(means / self._batch, self._batch)

    @property
    def noise_variance(self) -> float:
        """Variance v_T of a coordinate of W_T, given the sample."""
        c = abs(1 - 2 * self.step)
        lost = -math.expm1(2 * self.steps * math.log(c)) if c > 0 else 1.0
        return lost / (2 * self.inverse_temperature * (1 - self.step))

    def learn(self, samples: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
        """Run the dynamics, step by step.

        Parameters
        ----------
        samples : ndarray, shape (runs, n, d)
            Samples.
        generator : numpy.random.Generator
            Source of the noise.

        Returns
        -------
        ndarray, shape (runs, d)
            W_T for each sample.
        """
        means = samples.reshape(len(samples), -1, self._batch, self.dimension).mean(axis=2)
        output = np.zeros((len(samples), self.dimension))
        noise = math.sqrt(2 * self.step / self.inverse_temperature)
        for batch in self.batch_indices:
            output -= 2 * self.step * (output - means[:, batch])
            output += noise * generator.standard_normal(output.shape)
        return output

    @property
    def trajectory_information(self) -> float:
        """I(S; W_1, ..., W_T), nats."""
        ratio = 2 * self.step * self.inverse_temperature * self.visits * self.scale**2 / self._batch
        return float(self.dimension / 2 * np.log1p(ratio).sum())

    @property
    def held_out_divergence(self) -> float:
        """Mean relative entropy to the dynamics that see the mean of the others instead of one random example, nats."""
        rate = self.step * self.inverse_temperature * self.dimension * self.scale**2
        return self.steps * rate / (self._batch * (self.n - 1)) if self.n > 1 else math.inf

    # What bounds along the path take, one number for each step. The gradient of example i is 2 (w - Z_i).

    @property
    def step_sizes(self) -> NDArray[np.float64]:
        """Step size eta of each step, shape (T,)."""
        return np.full(self.steps, self.step)

    @property
    def noise_scales(self) -> NDArray[np.float64]:
        """Standard deviation sqrt(2 eta / beta) of each step's noise, shape (T,)."""
        return np.full(self.steps, math.sqrt(2 * self.step / self.inverse_temperature))

    @property
    def batch_sizes(self) -> NDArray[np.int64]:
        """Examples b in each step's batch, shape (T,)."""
        return np.full(self.steps, self._batch)

    @property
    def gradient_variances(self) -> NDArray[np.float64]:
        """Expected unbiased variance of the gradients within the sample, 4 d s^2 at every step, shape (T,)."""
        return np.full(self.steps, 4 * self.dimension * self.scale**2)

    @property
    def gradient_spreads(self) -> NDArray[np.float64]:
        """E abs(g_t - c_t)^2 with the best centre that knows the path so far, shape (T,).

        k visits have shown the mean of a batch, of variance s^2 / b, with precision 2 eta beta each. The other batches
        tell nothing about it: this is also the spread about the best centre that knows them.
        """
        seen = 2 * self.step * self.inverse_temperature * self._earlier
        return 4 * self.dimension / (self._batch / self.scale**2 + seen)

    @property
    def centred_gradient_norms(self) -> NDArray[np.float64]:
        """E abs(g_{t,i} - c_{t,i})^2 with the best centre that knows the path and the other examples, shape (T,).

        k visits have shown the example, of variance s^2, with precision 2 eta beta / b^2 each.
        """
        seen = 2 * self.step * self.inverse_temperature * self._earlier / self._batch**2
        return 4 * self.dimension / (1 / self.scale**2 + seen)

    @property
    def squared_gradient_norms(self) -> NDArray[np.float64]:
        """E of the average over the batch of abs(g_{t,i})^2 at the weights so far, shape (T,)."""
        before = [replace(self, steps=t) for t in range(1, self.steps)]
        seen = [world.weights[batch * self._batch] for world, batch in zip(before, self.batch_indices[1:], strict=True)]
        spread = [world.loss_variance - 2 * g * self.scale**2 for world, g in zip(before, seen, strict=True)]
        return 4 * self.dimension * np.array([self.scale**2, *spread])
