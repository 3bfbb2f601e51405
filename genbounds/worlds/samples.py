"""A learner in a finite world, with every sample listed: its gap and what its output tells of the sample, exactly."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.checks import Float64, count
from genbounds.numerics.discrete_information import (
    lautum_information,
    maximal_leakage,
    mutual_information,
    sibson_information,
    total_variation_from_product,
)
from genbounds.worlds.failures import MARGIN
from genbounds.worlds.finite import FiniteWorld
from genbounds.worlds.learners import Learner, output_laws, sample_risks
from genbounds.worlds.pairs import first_losses, loss_differences, loss_pairs

__all__ = ["Learning", "every_sample"]

#: Numbers in the largest table of an enumeration: 128 MiB of them.
_LARGEST_TABLE = 2**24


def every_sample(world: FiniteWorld, n: int, numbers: int = 1) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return every ordered sample of n examples with its probability.

    Parameters
    ----------
    world : FiniteWorld
        A world of k points.
    n : int
        Examples in a sample, at least 1.
    numbers : int
        How many numbers the caller will keep for each sample.

    Returns
    -------
    samples : ndarray of int64, shape (k^n, n)
        Numbers of points, in lexicographic order.
    weights : ndarray, shape (k^n,)
        Their probabilities.

    Raises
    ------
    ValueError
        If n is no positive whole number, or the caller's table would not fit the memory of a small machine.
    """
    n, points = int(count("n", n)), len(world.probabilities)
    if points**n * max(n, numbers) > _LARGEST_TABLE:
        raise ValueError(
            f"n must be small enough for a table of {_LARGEST_TABLE} numbers, got {n} draws of {points} points with "
            f"{numbers} numbers each. Take fewer points, fewer hypotheses or a smaller sample."
        )
    samples = np.indices((points,) * n).reshape(n, -1).T
    return samples, world.probabilities[samples].prod(axis=1)


class Learning:
    """A learner at work on samples of n examples, all k^n of them.

    What a theorem takes as an argument is a property under the argument's name. Information is in nats. The names
    that speak of a supersample stand here for their averages over supersamples, which need no more than the law of
    the output given one example.

    Parameters
    ----------
    world : FiniteWorld
        A world of k points and h hypotheses.
    learner : callable
        What it does with a sample: see `genbounds.worlds.learners`.
    n : int
        Examples in a sample, at least 1.
    name : str, optional
        For reports; the world's name by default.

    Raises
    ------
    ValueError
        If the samples are too many to list, or the learner returns anything but distributions.

    Examples
    --------
    A fair coin is seen once, and predicted again. The gap is 1/2, the sample is known in full:

    >>> from genbounds.worlds import classification, erm
    >>> learning = Learning(classification([0.5, 0.5], inputs=[0, 0], labels=[0, 1]), erm, n=1)
    >>> float(learning.gap), float(learning.mutual_information.round(12))
    (0.5, 0.69314718056)
    """

    def __init__(self, world: FiniteWorld, learner: Learner, n: int, name: str = "") -> None:
        self.world, self.learner, self.n = world, learner, n
        self.name = name or f"{world.name}, n={n}"
        self.samples, self.weights = every_sample(world, n, len(world.prior))
        self.kernel = output_laws(world, learner, self.samples)

    @cached_property
    def joint(self) -> NDArray[np.float64]:
        """Joint law of sample and output, shape (k^n, h)."""
        return self.weights[:, None] * self.kernel

    @cached_property
    def individual_joints(self) -> NDArray[np.float64]:
        """Joint law of each example and the output, shape (n, k, h)."""
        points = len(self.world.probabilities)
        cells = self.joint.reshape((points,) * self.n + (-1,))
        return np.stack([cells.sum(axis=tuple(set(range(self.n)) - {i})) for i in range(self.n)])

    # The truth.

    @cached_property
    def output_gaps(self) -> NDArray[np.float64]:
        """Risk minus empirical risk of each hypothesis on each sample, shape (k^n, h)."""
        return self.world.risks - sample_risks(self.world, self.samples)

    @cached_property
    def train_risk(self) -> np.float64:
        """Expected empirical risk of the output."""
        return np.minimum((self.joint * sample_risks(self.world, self.samples)).sum(), 1.0)  # not 1 + 2^-52

    @cached_property
    def risk(self) -> np.float64:
        """Expected risk of the output."""
        return np.minimum(self.joint.sum(axis=0) @ self.world.risks, 1.0)

    @cached_property
    def gap(self) -> np.float64:
        """Expected risk minus empirical risk of the output, with its sign."""
        return (self.joint * self.output_gaps).sum()

    @cached_property
    def squared_gap(self) -> np.float64:
        """Expected square of risk minus empirical risk of the output."""
        return (self.joint * self.output_gaps**2).sum()

    def failure(self, limit: float) -> float:
        """Return the probability that the output's gap is larger than a limit, in either direction.

        Parameters
        ----------
        limit : float
            What |risk - empirical risk| of the output is claimed not to exceed.

        Returns
        -------
        float
            Probability over the sample and the output; a difference of 1e-12 does not count.
        """
        return float(self.joint[np.abs(self.output_gaps) > limit + MARGIN].sum())

    # Information between the sample and the output.

    @cached_property
    def mutual_information(self) -> Float64:
        """I(S;W)."""
        return mutual_information(self.joint)

    @cached_property
    def individual_information(self) -> Float64:
        """I(W;Z_i) of each example, shape (n,)."""
        return mutual_information(self.individual_joints)

    @cached_property
    def total_variations(self) -> Float64:
        """Total variation between the law of (W, Z_i) and the product of its marginals, shape (n,)."""
        return total_variation_from_product(self.individual_joints)

    @cached_property
    def lautum(self) -> Float64:
        """Relative entropy of the product of the laws of S and W to their joint law; may be infinite."""
        return lautum_information(self.joint)

    @cached_property
    def symmetrised_information(self) -> Float64:
        """I(S;W) plus the lautum information; may be infinite."""
        return self.mutual_information + self.lautum

    @cached_property
    def leakage(self) -> Float64:
        """Maximal leakage from S to W."""
        return maximal_leakage(self.kernel)

    def sibson(self, alpha: float) -> Float64:
        """Return Sibson's information of order alpha between S and W.

        Parameters
        ----------
        alpha : float
            Order, above 1.

        Returns
        -------
        float
            Information in nats.
        """
        return sibson_information(self.weights, self.kernel, alpha)

    # Averages over supersamples: the other pairs are independent of this one, so that they drop out.

    @cached_property
    def _pair_laws(self) -> NDArray[np.float64]:
        """Law of pair i's points, of U_i, which of them was trained on, and of W, shape (n, 2, k, k, h)."""
        partner = self.world.probabilities[:, None] / 2
        first = self.individual_joints[:, :, None, :] * partner
        return np.stack([first, first.swapaxes(1, 2)], axis=1)

    def _law(self, seen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the law of U_i and of what is seen of pair i, shape (n, 2, values)."""
        rows = self._pair_laws.reshape(self.n, 2, -1)
        codes, values = np.unique(seen, return_inverse=True)
        counted = [np.bincount(values.ravel(), row, len(codes)) for pair in rows for row in pair]
        return np.reshape(counted, (self.n, 2, -1))

    @cached_property
    def loss_pair_laws(self) -> NDArray[np.float64]:
        """Joint law of U_i and the two losses on pair i, shape (n, 2, values)."""
        return self._law(loss_pairs(self.world))

    @cached_property
    def loss_difference_laws(self) -> NDArray[np.float64]:
        """Joint law of U_i and the difference of the losses on pair i, second minus first, shape (n, 2, values)."""
        return self._law(loss_differences(self.world))

    @cached_property
    def first_loss_laws(self) -> NDArray[np.float64]:
        """Joint law of U_i and the loss on the first point of pair i, shape (n, 2, values)."""
        return self._law(first_losses(self.world))

    @cached_property
    def e_mi(self) -> Float64:
        """Information of both losses on a pair about which of its points was trained on, shape (n,)."""
        return mutual_information(self.loss_pair_laws)

    @cached_property
    def ld_mi(self) -> Float64:
        """Information of the difference of the losses on a pair about which point was trained on, shape (n,)."""
        return mutual_information(self.loss_difference_laws)

    @cached_property
    def single_loss_mi(self) -> Float64:
        """Information of the loss on a pair's first point about whether it was trained on, shape (n,)."""
        return mutual_information(self.first_loss_laws)

    @cached_property
    def squared_differences(self) -> NDArray[np.float64]:
        """Expected squared difference of the losses on each pair, shape (n,)."""
        losses = self.world.losses.T
        squares = (losses[None, :, :] - losses[:, None, :]) ** 2
        return (self._pair_laws * squares).sum(axis=(1, 2, 3, 4))
