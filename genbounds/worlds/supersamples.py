"""A learner in a finite world, with every supersample and every mask listed: the conditional quantities, exactly.

A supersample is n pairs of examples. A mask U, uniform on {0,1}^n, says which of each pair is trained on; the other is
its ghost. Everything here is for one given supersample at a time, averaged over masks and the learner's randomness.
"""

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import Float64
from genbounds.numerics.discrete_information import mutual_information
from genbounds.worlds.finite import FiniteWorld
from genbounds.worlds.learners import Learner, distinct_output_laws
from genbounds.worlds.pairs import first_losses, loss_differences, loss_pairs, prediction_pairs
from genbounds.worlds.samples import every_sample

__all__ = ["SupersampleLearning"]


class SupersampleLearning:
    """A learner at work on half of each of n pairs, for all m supersamples, or for some, and all 2^n masks.

    What a theorem takes as an argument is a property under the argument's name, with one entry, or one row of n
    entries, for each of the m supersamples. Information is in nats.

    Parameters
    ----------
    world : FiniteWorld
        A world of k points and h hypotheses.
    learner : callable
        What it does with a sample: see `genbounds.worlds.learners`.
    n : int
        Pairs in a supersample, at least 1.
    points : array_like of int, shape (m, n, 2), optional
        The supersamples, as numbers of points; by default all of them.
    name : str, optional
        For reports; the world's name by default.

    Raises
    ------
    ValueError
        If the supersamples are too many to list, `points` does not hold pairs of the world's points, or the learner
        returns anything but distributions.

    Examples
    --------
    Given both faces of a coin, the output tells which of them was seen; given one face twice, there is nothing to tell:

    >>> from genbounds.worlds import classification, erm
    >>> coin = classification([0.5, 0.5], inputs=[0, 0], labels=[0, 1])
    >>> learning = SupersampleLearning(coin, erm, n=1)
    >>> learning.points[:, 0].tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> learning.cmi.round(12).tolist(), learning.gaps.tolist()
    ([0.0, 0.69314718056, 0.69314718056, 0.0], [0.0, 1.0, 1.0, 0.0])
    """

    def __init__(
        self, world: FiniteWorld, learner: Learner, n: int, points: ArrayLike | None = None, name: str = ""
    ) -> None:
        self.world, self.learner, self.n = world, learner, n
        self.name = name or f"{world.name}, n={n}"
        if points is None:
            points = every_sample(world, 2 * n, 2**n * len(world.prior))[0].reshape(-1, n, 2)
        #: The supersamples, shape (m, n, 2), and all masks, shape (2^n, n).
        self.points, self.masks = np.asarray(points), np.indices((2,) * n).reshape(n, -1).T
        if self.points.shape[1:] != (n, 2) or not np.isin(self.points, np.arange(len(world.probabilities))).all():
            raise ValueError(
                f"points must be numbers of points in an array of shape (supersamples, {n}, 2), got an array of shape "
                f"{self.points.shape}. Number the world's points from 0."
            )
        #: Probabilities of the supersamples, shape (m,); they add up to 1 if all are there.
        self.weights = world.probabilities[self.points].prod(axis=(1, 2))
        #: Law of the output for each supersample and mask, shape (m, 2^n, h).
        self.kernel = distinct_output_laws(world, learner, self.points[:, np.arange(n), self.masks])

    @cached_property
    def individual_kernels(self) -> NDArray[np.float64]:
        """Law of the output given U_i alone, for each supersample, shape (m, n, 2, h)."""
        cells = self.kernel.reshape((-1, *(2,) * self.n, self.kernel.shape[-1]))
        others = [tuple(axis for axis in range(1, self.n + 1) if axis != i + 1) for i in range(self.n)]
        return np.stack([cells.mean(axis=axes) for axes in others], axis=1)

    # The truth.

    @cached_property
    def _pair_losses(self) -> NDArray[np.float64]:
        """Losses of the hypotheses on both points of each pair, shape (m, n, 2, h)."""
        return self.world.losses.T[self.points]

    @cached_property
    def _steps(self) -> NDArray[np.float64]:
        """Loss on the second example of a pair minus that on the first, shape (m, n, h)."""
        return np.diff(self._pair_losses, axis=2)[:, :, 0]

    @cached_property
    def train_risk(self) -> NDArray[np.float64]:
        """Expected average loss on the points trained on, shape (m,)."""
        total = (self.individual_kernels * self._pair_losses).sum(axis=(1, 2, 3))
        return np.minimum(total / (2 * self.n), 1.0)  # not 1 + 2^-52

    @cached_property
    def risk(self) -> NDArray[np.float64]:
        """Expected average loss on the ghosts, shape (m,)."""
        total = (self.individual_kernels * self._pair_losses[:, :, ::-1]).sum(axis=(1, 2, 3))
        return np.minimum(total / (2 * self.n), 1.0)

    @cached_property
    def gaps(self) -> NDArray[np.float64]:
        """Expected average loss on the ghosts minus that on the points trained on, with its sign, shape (m,)."""
        kernels = self.individual_kernels
        return ((kernels[:, :, 0] - kernels[:, :, 1]) * self._steps).sum(axis=(1, 2)) / (2 * self.n)

    @cached_property
    def squared_gaps(self) -> NDArray[np.float64]:
        """Expected square of average loss on the ghosts minus that on the points trained on, shape (m,)."""
        gaps = np.einsum("ui,mih->muh", 1 - 2 * self.masks, self._steps) / self.n
        return (self.kernel * gaps**2).sum(axis=(1, 2)) / len(self.masks)

    @cached_property
    def squared_differences(self) -> NDArray[np.float64]:
        """Expected squared difference of the losses on each pair, shape (m, n)."""
        return (self.individual_kernels.mean(axis=2) * self._steps**2).sum(axis=2)

    # Information about the mask.

    def _laws(self, seen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the law of U_i and of what is seen of pair i, shape (m, n, 2, values numbered for each pair)."""
        pairs, which = np.unique(self.points.reshape(-1, 2), axis=0, return_inverse=True)
        numbered = [np.unique(seen[first, second], return_inverse=True)[1] for first, second in pairs]
        shown = np.eye(int(np.max(numbered)) + 1)[np.stack(numbered)]
        kernels = self.individual_kernels.reshape(len(which), 2, -1)
        laws = np.empty((len(which), 2, shown.shape[-1]))
        for pair, table in enumerate(shown):
            laws[which == pair] = kernels[which == pair] @ table
        return laws.reshape(-1, self.n, 2, shown.shape[-1]) / 2

    @cached_property
    def prediction_pair_laws(self) -> NDArray[np.float64]:
        """Joint law of U_i and the two predictions on pair i, shape (m, n, 2, values numbered for each pair)."""
        return self._laws(prediction_pairs(self.world))

    @cached_property
    def loss_pair_laws(self) -> NDArray[np.float64]:
        """Joint law of U_i and the two losses on pair i, shape (m, n, 2, values numbered for each pair)."""
        return self._laws(loss_pairs(self.world))

    @cached_property
    def loss_difference_laws(self) -> NDArray[np.float64]:
        """Joint law of U_i and the difference of the losses on pair i, shape as `loss_pair_laws`."""
        return self._laws(loss_differences(self.world))

    @cached_property
    def first_loss_laws(self) -> NDArray[np.float64]:
        """Joint law of U_i and the loss on the first point of pair i, shape as `loss_pair_laws`."""
        return self._laws(first_losses(self.world))

    @cached_property
    def cmi(self) -> Float64:
        """Information of the output about the mask, shape (m,)."""
        return mutual_information(self.kernel / len(self.masks))

    @cached_property
    def individual_cmi(self) -> Float64:
        """Information of the output about each U_i, shape (m, n)."""
        return mutual_information(self.individual_kernels / 2)

    @cached_property
    def f_cmi(self) -> Float64:
        """Information of both predictions on each pair about which point was trained on, shape (m, n)."""
        return mutual_information(self.prediction_pair_laws)

    @cached_property
    def e_cmi(self) -> Float64:
        """Information of both losses on each pair about which point was trained on, shape (m, n)."""
        return mutual_information(self.loss_pair_laws)

    @cached_property
    def ld_cmi(self) -> Float64:
        """Information of the difference of the losses on each pair about which point was trained on, same shape."""
        return mutual_information(self.loss_difference_laws)
