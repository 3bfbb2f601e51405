"""Noisy gradient descent on fair bits: a world where the bounds along a path of training are nearly tight."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from genbounds.theorems.quantities import GAP, SUPERSAMPLE_GAP
from genbounds.worlds.problems import Problem

__all__ = ["NoisyBits", "bit_recovery_error"]

#: Nodes for integrals over a standard normal variable. The trapezoidal rule is exact to rounding for what is smooth.
_NODES = np.linspace(-12.0, 12.0, 1537)
_DENSITY = np.exp(-np.square(_NODES) / 2) / np.sqrt(2 * np.pi) * (_NODES[1] - _NODES[0])


def bit_recovery_error(signal_to_noise: ArrayLike) -> NDArray[np.float64]:
    """Return the smallest mean squared error for a fair sign Z that was seen as sqrt(r) Z + N(0, 1).

    Parameters
    ----------
    signal_to_noise : array_like
        Ratio r, non-negative.

    Returns
    -------
    ndarray
        1 - E tanh(r + sqrt(r) N), in [0, 1]: 1 at r = 0, where nothing was seen. A quarter of it is the mean of
        p (1 - p) with p the posterior probability of Z = 1.

    Examples
    --------
    >>> bit_recovery_error([0.0, 1.0, 25.0]).round(6).tolist()
    [1.0, 0.4496, 1e-06]
    """
    r = np.asarray(signal_to_noise, dtype=np.float64)[..., None]
    # E tanh = E tanh^2, and 1 - tanh^2 = 1 / cosh^2 has no cancellation.
    return (_DENSITY / np.square(np.cosh(np.minimum(np.abs(r + np.sqrt(r) * _NODES), 350.0)))).sum(axis=-1)


def _unexplained(forms: NDArray[np.float64], path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean squared distance of each linear form from the best linear function of the path before it."""
    known, distances = np.zeros((0, forms.shape[1])), []

    def rest(form: NDArray[np.float64]) -> NDArray[np.float64]:
        for _ in range(2):  # the second time takes away what rounding left
            form = form - (known @ form) @ known
        return form

    for form, seen in zip(forms, path, strict=True):
        distances.append(float(np.square(rest(form)).sum()))
        new = rest(seen)
        size = np.sqrt(np.square(new).sum())
        if size > 1e-12 * np.sqrt(np.square(seen).sum()):
            known = np.vstack([known, new / size])
    return np.array(distances)


@dataclass(frozen=True)
class NoisyBits:
    """W_t = W_{t-1} - eta_t g_t + s_t N_t in one dimension, on n fair bits Z_i = -1 or 1, judged by the sign of W_T.

    The training loss is k w^2 / 2 - w z, with gradient k w - z: linear for curvature k = 0, and for k = 1 the squared
    loss (w - z)^2 / 2 up to a constant. Its gradient moves the weights along the average of k W_{t-1} - Z_i over the
    batch, from W_0 = 0. The evaluation loss is another one: 1 if W and z have different signs.

    W_t and g_t are linear forms in the bits and the noise, which all have mean 0 and variance 1 and are uncorrelated.
    So every second moment is a sum of squares of coefficients, and the best linear centre is a projection: not always
    the best centre, but a centre. Given the bits W_T is Gaussian, and the gap is a sum over the 2^n samples. A fresh
    bit is guessed wrongly half of the time, so the gap is 1/2 - E L_S.

    Parameters
    ----------
    n : int
        Bits, from 1 to 12.
    batches : tuple of tuple of int
        Examples in the batch of each step, from 0 to n - 1.
    step_sizes, noise_scales : tuple of float
        eta_t and s_t, one a step.
    curvature : float
        k, non-negative.

    Raises
    ------
    ValueError
        If n is not from 1 to 12, or batches, step sizes and noise scales are not one a step.

    Examples
    --------
    One bit, one small step: the gap is about sqrt(1 / (2 pi)) eta / s, the bounds give about eta / (2 s).

    >>> world = NoisyBits(1, ((0,),), (0.01,), (1.0,))
    >>> f"{world.gap:.8f} {np.sqrt(world.mutual_information / 2):.8f}"
    '0.00398936 0.00499988'
    """

    n: int
    batches: tuple[tuple[int, ...], ...]
    step_sizes: tuple[float, ...]
    noise_scales: tuple[float, ...]
    curvature: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.n <= 12:
            raise ValueError(f"n must be from 1 to 12, got {self.n}. All 2^n samples are listed.")
        if not len(self.batches) == len(self.step_sizes) == len(self.noise_scales) >= 1:
            raise ValueError(
                f"batches, step_sizes and noise_scales must have one entry a step, got {len(self.batches)}, "
                f"{len(self.step_sizes)} and {len(self.noise_scales)}. Repeat them."
            )

    @classmethod
    def full_batch(
        cls, n: int, step_sizes: tuple[float, ...], noise_scales: tuple[float, ...], curvature: float = 0.0
    ) -> "NoisyBits":
        """Return the world in which every step uses all bits.

        Parameters
        ----------
        n : int
            Bits.
        step_sizes, noise_scales : tuple of float
            eta_t and s_t, one a step.
        curvature : float
            k, non-negative.

        Returns
        -------
        NoisyBits
            The world.
        """
        return cls(n, (tuple(range(n)),) * len(step_sizes), step_sizes, noise_scales, curvature)

    @property
    def steps(self) -> int:
        """Number of steps T."""
        return len(self.step_sizes)

    @cached_property
    def _forms(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coefficients of W_0, ..., W_T and of g_1, ..., g_T on the n bits and the T noises."""
        weights, gradients = (
            np.zeros((self.steps + 1, self.n + self.steps)),
            np.zeros((self.steps, self.n + self.steps)),
        )
        for t, batch in enumerate(self.batches):
            gradients[t] = self.curvature * weights[t]
            gradients[t, list(batch)] -= 1 / len(batch)
            weights[t + 1] = weights[t] - self.step_sizes[t] * gradients[t]
            weights[t + 1, self.n + t] += self.noise_scales[t]
        return weights, gradients

    @cached_property
    def _samples(self) -> NDArray[np.float64]:
        return np.array(list(product((-1.0, 1.0), repeat=self.n)))

    def _output(self, extra_variance: float = 0.0) -> tuple[NDArray[np.float64], float]:
        """Return the mean of W_T given each sample and its standard deviation, with more noise if asked."""
        last = self._forms[0][-1]
        return self._samples @ last[: self.n], float(np.sqrt(np.square(last[self.n :]).sum() + extra_variance))

    def _wrong(self, extra_variance: float = 0.0) -> NDArray[np.float64]:
        """Return the probability of a wrong sign for each sample and each of its bits; a tie counts for a half."""
        means, deviation = self._output(extra_variance)
        signed = self._samples * means[:, None]
        if deviation == 0:
            return (1 - np.sign(signed)) / 2
        return ndtr(-signed / deviation)

    @cached_property
    def gap(self) -> float:
        """E[L_mu(W_T) - L_S(W_T)], at least 0."""
        return float(0.5 - self._wrong().mean())

    @property
    def linear_gap(self) -> float:
        """E[L_mu(W_T) - L_S(W_T)] for the evaluation loss -w z: the mean of E W_T Z_i over the bits."""
        return float(self._forms[0][-1, : self.n].mean())

    @property
    def output_variance(self) -> float:
        """Variance of W_T, also the squared sub-Gaussian parameter of -W' z' for an independent bit.

        By symmetry E exp(t W' z') = E exp(t W'); W' is a sum of independent multiples of bits and of normal variables,
        and cosh(a) <= exp(a^2 / 2).
        """
        return float(np.square(self._forms[0][-1]).sum())

    def _entropy(self, rows: NDArray[np.bool_]) -> float:
        """Differential entropy of W_T over some of the samples, by quadrature."""
        means, deviation = self._output()
        reach = np.abs(means).max() + 10 * deviation
        grid = np.linspace(-reach, reach, 1 + 2 * int(np.ceil(8 * reach / deviation)))
        distances = (grid[:, None] - means[rows]) / deviation
        density = np.exp(-np.square(distances) / 2).mean(axis=1) / (np.sqrt(2 * np.pi) * deviation)
        positive = density[density > 0]
        return float(-(positive * np.log(positive)).sum() * (grid[1] - grid[0]))

    @cached_property
    def mutual_information(self) -> float:
        """I(S; W_T) in nats; the noise must not be 0."""
        noise = 0.5 * (1 + np.log(2 * np.pi)) + np.log(self._output()[1])
        return float(self._entropy(np.ones(len(self._samples), dtype=bool)) - noise)

    @cached_property
    def individual_information(self) -> NDArray[np.float64]:
        """I(W_T; Z_i) in nats for each bit; the noise must not be 0."""
        whole = self._entropy(np.ones(len(self._samples), dtype=bool))
        # The law of W_T given Z_i = -1 mirrors that given Z_i = 1, so their entropies are equal.
        return np.array([whole - self._entropy(self._samples[:, i] > 0) for i in range(self.n)])

    @property
    def batch_sizes(self) -> NDArray[np.int64]:
        """b_t, shape (T,)."""
        return np.array([len(batch) for batch in self.batches])

    @property
    def gradient_spreads(self) -> NDArray[np.float64]:
        """E |g_t - c_t|^2 with the best linear function of W_1, ..., W_{t-1} as the centre, shape (T,)."""
        weights, gradients = self._forms
        return _unexplained(gradients, weights[1:])

    @property
    def batch_spreads(self) -> NDArray[np.float64]:
        """E |g_t - c_t|^2 with the best linear function of the path and of all bits outside the batch, shape (T,)."""
        weights, gradients = self._forms
        spreads = np.zeros(self.steps)
        for batch in set(self.batches):
            others = np.setdiff1d(np.arange(self.n), batch)
            known = [
                np.where(np.isin(np.arange(self.n + self.steps), others), 0.0, form) for form in (gradients, weights)
            ]
            uses = np.array([used == batch for used in self.batches])
            spreads[uses] = _unexplained(known[0], known[1][1:])[uses]
        return spreads

    @property
    def squared_gradient_norms(self) -> NDArray[np.float64]:
        """E of the average over the batch of (k W_{t-1} - Z_i)^2, shape (T,)."""
        bits = np.eye(self.n, self.n + self.steps)
        return np.array([
            np.mean([np.square(self.curvature * weights - bits[i]).sum() for i in batch])
            for weights, batch in zip(self._forms[0][:-1], self.batches, strict=True)
        ])

    @property
    def gradient_variances(self) -> NDArray[np.float64]:
        """E of the unbiased sample variance of the gradients k W - Z_i: that of a bit, 1, at every step."""
        return np.ones(self.steps)

    @cached_property
    def supersamples(self) -> NDArray[np.float64]:
        """All pairs of bits, shape (4^n, n, 2)."""
        return np.array(list(product((-1.0, 1.0), repeat=2 * self.n))).reshape(-1, self.n, 2)

    @property
    def supersample_gaps(self) -> NDArray[np.float64]:
        """E[L_ghost - L_train] for each supersample, over masks and noise, shape (4^n,)."""
        masks = np.array(list(product((0, 1), repeat=self.n)))
        last = self._forms[0][-1]
        trained = np.take_along_axis(self.supersamples[:, None], masks[None, :, :, None], axis=3)[..., 0]
        ghosts = np.take_along_axis(self.supersamples[:, None], 1 - masks[None, :, :, None], axis=3)[..., 0]
        means = (trained @ last[: self.n])[..., None] / self._output()[1]
        return (ndtr(-ghosts * means) - ndtr(-trained * means)).mean(axis=(1, 2))

    @property
    def weighted_differences(self) -> NDArray[np.float64]:
        """E of the average over the batch of |zeta|^2 theta^2 for each supersample, shape (4^n, T).

        theta is 1 less the posterior probability of the truth, given the path and the other masks. The path has shown
        bit i with signal-to-noise ratio r_i = sum of (eta_t / (b_t s_t))^2 over the earlier steps that used it.
        """
        differ = self.supersamples[..., 0] != self.supersamples[..., 1]
        seen, weighted = np.zeros(self.n), []
        for batch, eta, s in zip(self.batches, self.step_sizes, self.noise_scales, strict=True):
            members = list(batch)
            weighted.append((differ * bit_recovery_error(seen))[:, members].mean(axis=1))
            seen[members] += (eta / (len(batch) * s)) ** 2
        return np.stack(weighted, axis=-1)

    def problem(self, name: str, *, batch_indices: tuple[int, ...] = ()) -> Problem:
        """Return what bounds for training with noise take, and the gap.

        Parameters
        ----------
        name : str
            For reports.
        batch_indices : tuple of int
            Number of the batch of each step, where batches are disjoint.

        Returns
        -------
        Problem
            With the information in W_T as well; supersamples for n up to 3, and the variance within the sample, which
            needs batches drawn anew, for full batches.
        """
        quantities: dict[str, Any] = {
            "n": self.n,
            "sigma": 0.5,
            "dimension": 1,
            "step_sizes": np.array(self.step_sizes),
            "noise_scales": np.array(self.noise_scales),
            "batch_sizes": self.batch_sizes,
            "gradient_spreads": self.gradient_spreads,
            "squared_gradient_norms": self.squared_gradient_norms,
            "mutual_information": self.mutual_information,
            "individual_information": self.individual_information,
        }
        truths: dict[str, Any] = {GAP: self.gap}
        if batch_indices:
            quantities |= {"batch_spreads": self.batch_spreads, "batch_indices": batch_indices}
        if self.n > 1 and np.all(self.batch_sizes == self.n):
            quantities["gradient_variances"] = self.gradient_variances
        if self.n <= 3:
            quantities["weighted_differences"] = self.weighted_differences
            truths[SUPERSAMPLE_GAP] = np.abs(self.supersample_gaps)
        return Problem(name, quantities, truths)

    def virtual_problem(self, name: str, virtual_scales: tuple[float, ...]) -> Problem:
        """Return what bounds for training without noise take, and the gap.

        Parameters
        ----------
        name : str
            For reports.
        virtual_scales : tuple of float
            Standard deviations of the virtual noise, one a step.

        Returns
        -------
        Problem
            The field that does not depend on the sample is the expected gradient k w.

        Raises
        ------
        ValueError
            If the steps have noise of their own.
        """
        if any(self.noise_scales):
            raise ValueError(f"noise_scales must be 0 for virtual noise, got {self.noise_scales}. Use `problem`.")
        weights, gradients = self._forms
        xi = np.zeros_like(weights)
        xi[1:, self.n :] = np.tril(np.ones((self.steps, self.steps))) * np.array(virtual_scales)
        perturbed = weights + xi
        variances = np.square(xi).sum(axis=1)
        quantities = {
            "n": self.n,
            "sigma": 0.5,
            "dimension": 1,
            "step_sizes": np.array(self.step_sizes),
            "virtual_scales": np.array(virtual_scales),
            "virtual_spreads": _unexplained(gradients, perturbed[1:]),
            "gradient_deviations": 1 / self.batch_sizes,
            "gradient_sensitivities": self.curvature**2 * variances[:-1],
            "sharpness_gap": abs(float(self._wrong(variances[-1]).mean() - self._wrong().mean())),
        }
        return Problem(name, quantities, {GAP: self.gap})
