"""A learner in a finite world, with every supersample and every mask listed: the conditional quantities, exactly.

A supersample is n pairs of examples. A mask U, uniform on {0,1}^n, says which of each pair is trained on; the other is
its ghost. Everything here is for one given supersample at a time, averaged over masks and the learner's randomness.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.checks import Float64
from genbounds.numerics.discrete_information import mutual_information
from genbounds.worlds.learners import sample_numbers
from genbounds.worlds.pairs import first_losses, loss_differences, loss_pairs, prediction_pairs
from genbounds.worlds.samples import Learning, every_sample

__all__ = ["SupersampleLearning"]


class SupersampleLearning:
    """A learner at work on half of each of n pairs, for all k^(2n) supersamples and all 2^n masks.

    What a theorem takes as an argument is a property under the argument's name, with one entry, or one row of n
    entries, for each supersample. Information is in nats.

    Parameters
    ----------
    learning : Learning
        The learner on all samples of n examples.

    Raises
    ------
    ValueError
        If the supersamples are too many to list.

    Examples
    --------
    Given both faces of a coin, the output tells which of them was seen; given one face twice, there is nothing to tell:

    >>> from genbounds.worlds import classification, erm
    >>> coin = classification([0.5, 0.5], inputs=[0, 0], labels=[0, 1])
    >>> supersamples = SupersampleLearning(Learning(coin, erm, n=1))
    >>> supersamples.points[:, 0].tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> supersamples.cmi.round(12).tolist(), supersamples.gaps.tolist()
    ([0.0, 0.69314718056, 0.69314718056, 0.0], [0.0, 1.0, 1.0, 0.0])
    """

    def __init__(self, learning: Learning) -> None:
        self.learning, self.world, self.n = learning, learning.world, learning.n
        listed, self.weights = every_sample(self.world, 2 * self.n, 2**self.n * len(self.world.prior))
        self.points = listed.reshape(-1, self.n, 2)
        self.masks = np.indices((2,) * self.n).reshape(self.n, -1).T
        trained_on = self.points[:, np.arange(self.n), self.masks]
        #: Law of the output for each supersample and mask, shape (k^(2n), 2^n, h).
        self.kernel = learning.kernel[sample_numbers(self.world, trained_on)]

    @cached_property
    def individual_kernels(self) -> NDArray[np.float64]:
        """Law of the output given U_i alone, for each supersample, shape (k^(2n), n, 2, h)."""
        cells = self.kernel.reshape((-1, *(2,) * self.n, self.kernel.shape[-1]))
        others = [tuple(axis for axis in range(1, self.n + 1) if axis != i + 1) for i in range(self.n)]
        return np.stack([cells.mean(axis=axes) for axes in others], axis=1)

    # The truth.

    @cached_property
    def _pair_losses(self) -> NDArray[np.float64]:
        """Losses of the hypotheses on both points of each pair, shape (k^(2n), n, 2, h)."""
        return self.world.losses.T[self.points]

    @property
    def train_risk(self) -> NDArray[np.float64]:
        """Expected average loss on the points trained on, shape (k^(2n),)."""
        return (self.individual_kernels * self._pair_losses).sum(axis=(1, 2, 3)) / (2 * self.n)

    @property
    def risk(self) -> NDArray[np.float64]:
        """Expected average loss on the ghosts, shape (k^(2n),)."""
        return (self.individual_kernels * self._pair_losses[:, :, ::-1]).sum(axis=(1, 2, 3)) / (2 * self.n)

    @property
    def gaps(self) -> NDArray[np.float64]:
        """Expected average loss on the ghosts minus that on the points trained on, with its sign, shape (k^(2n),)."""
        steps = np.diff(self._pair_losses, axis=2)[:, :, 0]
        kernels = self.individual_kernels
        return ((kernels[:, :, 0] - kernels[:, :, 1]) * steps).sum(axis=(1, 2)) / (2 * self.n)

    @property
    def squared_gaps(self) -> NDArray[np.float64]:
        """Expected square of average loss on the ghosts minus that on the points trained on, shape (k^(2n),)."""
        steps = np.diff(self._pair_losses, axis=2)[:, :, 0]
        gaps = np.einsum("ui,mih->muh", 1 - 2 * self.masks, steps) / self.n
        return (self.kernel * gaps**2).sum(axis=(1, 2)) / len(self.masks)

    @property
    def squared_differences(self) -> NDArray[np.float64]:
        """Expected squared difference of the losses on each pair, shape (k^(2n), n)."""
        steps = np.diff(self._pair_losses, axis=2)[:, :, 0]
        return (self.individual_kernels.mean(axis=2) * steps**2).sum(axis=2)

    # Information about the mask.

    def _laws(self, seen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the law of U_i and of what is seen of pair i, shape (k^(2n), n, 2, values numbered for each pair)."""
        points, hypotheses = len(self.world.probabilities), len(self.world.prior)
        rows = [np.unique(row, return_inverse=True)[1] for row in seen.reshape(points**2, hypotheses)]
        numbered = np.reshape(rows, (points**2, hypotheses))
        shown = np.eye(int(numbered.max()) + 1)[numbered]
        laws = []
        for i in range(self.n):  # the points of pair i are digits 2i and 2i + 1 of a supersample's number
            kernels = self.individual_kernels[:, i].reshape(points ** (2 * i), points**2, -1, hypotheses)
            laws.append((kernels @ shown).reshape(len(self.points), 2, -1))
        return np.stack(laws, axis=1) / 2

    @cached_property
    def prediction_pair_laws(self) -> NDArray[np.float64]:
        """Joint law of U_i and the two predictions on pair i, shape (k^(2n), n, 2, values numbered for each pair)."""
        return self._laws(prediction_pairs(self.world))

    @cached_property
    def loss_pair_laws(self) -> NDArray[np.float64]:
        """Joint law of U_i and the two losses on pair i, shape (k^(2n), n, 2, values numbered for each pair)."""
        return self._laws(loss_pairs(self.world))

    @cached_property
    def loss_difference_laws(self) -> NDArray[np.float64]:
        """Joint law of U_i and the difference of the losses on pair i, shape as `loss_pair_laws`."""
        return self._laws(loss_differences(self.world))

    @cached_property
    def first_loss_laws(self) -> NDArray[np.float64]:
        """Joint law of U_i and the loss on the first point of pair i, shape as `loss_pair_laws`."""
        return self._laws(first_losses(self.world))

    @property
    def cmi(self) -> Float64:
        """Information of the output about the mask, shape (k^(2n),)."""
        return mutual_information(self.kernel / len(self.masks))

    @property
    def individual_cmi(self) -> Float64:
        """Information of the output about each U_i, shape (k^(2n), n)."""
        return mutual_information(self.individual_kernels / 2)

    @property
    def f_cmi(self) -> Float64:
        """Information of both predictions on each pair about which point was trained on, shape (k^(2n), n)."""
        return mutual_information(self.prediction_pair_laws)

    @property
    def e_cmi(self) -> Float64:
        """Information of both losses on each pair about which point was trained on, shape (k^(2n), n)."""
        return mutual_information(self.loss_pair_laws)

    @property
    def ld_cmi(self) -> Float64:
        """Information of the difference of the losses on each pair about which point was trained on, same shape."""
        return mutual_information(self.loss_difference_laws)
