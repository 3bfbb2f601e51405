"""A learner in a finite world that is given all but one of n + 1 examples: what its output tells about the one left."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.checks import Float64
from genbounds.numerics.discrete_information import mutual_information
from genbounds.worlds.finite import FiniteWorld
from genbounds.worlds.learners import Learner, distinct_output_laws
from genbounds.worlds.samples import every_sample

__all__ = ["LeaveOneOutLearning"]


class LeaveOneOutLearning:
    """A learner at work on all but one of n + 1 examples, in their order, the one left out being uniform.

    What a theorem takes as an argument is a property under the argument's name, with one entry for each of the
    k^(n + 1) supersamples. Information is in nats.

    Parameters
    ----------
    world : FiniteWorld
        A world of k points and h hypotheses.
    learner : callable
        What it does with a sample: see `genbounds.worlds.learners`.
    n : int
        Examples that it is given, at least 1.
    name : str, optional
        For reports; the world's name by default.

    Raises
    ------
    ValueError
        If the supersamples are too many to list, or the learner returns anything but distributions.

    Examples
    --------
    >>> from genbounds.worlds import classification, erm
    >>> coin = classification([0.5, 0.5], inputs=[0, 0], labels=[0, 1])
    >>> learning = LeaveOneOutLearning(coin, erm, n=1)
    >>> learning.loo_cmi.round(12).tolist(), learning.gaps.tolist()
    ([0.0, 0.69314718056, 0.69314718056, 0.0], [0.0, 1.0, 1.0, 0.0])
    """

    def __init__(self, world: FiniteWorld, learner: Learner, n: int, name: str = "") -> None:
        self.world, self.learner, self.n = world, learner, n
        self.name = name or f"{world.name}, n={n}"
        #: The supersamples, shape (k^(n + 1), n + 1), and their probabilities.
        self.points, self.weights = every_sample(world, n + 1, (n + 1) * len(world.prior))
        kept = np.stack([np.delete(np.arange(n + 1), left) for left in range(n + 1)])
        #: Law of the output for each supersample and example left out, shape (k^(n + 1), n + 1, h).
        self.kernel = distinct_output_laws(world, learner, self.points[:, kept])

    @cached_property
    def _losses(self) -> NDArray[np.float64]:
        """Losses of the hypotheses on each example, shape (k^(n + 1), n + 1, h)."""
        return self.world.losses.T[self.points]

    @cached_property
    def _kept_losses(self) -> NDArray[np.float64]:
        """Average losses on all examples but one, shape as `_losses`."""
        return (self._losses.sum(axis=1, keepdims=True) - self._losses) / self.n

    def _mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (self.kernel * values).sum(axis=(1, 2)) / (self.n + 1)

    @cached_property
    def train_risk(self) -> NDArray[np.float64]:
        """Expected average loss on the examples trained on, shape (k^(n + 1),)."""
        return np.minimum(self._mean(self._kept_losses), 1.0)  # not 1 + 2^-52

    @cached_property
    def risk(self) -> NDArray[np.float64]:
        """Expected loss on the example left out, shape (k^(n + 1),)."""
        return np.minimum(self._mean(self._losses), 1.0)

    @cached_property
    def gaps(self) -> NDArray[np.float64]:
        """Expected loss on the example left out minus average loss on the others, with its sign, shape (k^(n + 1),)."""
        return self._mean(self._losses - self._kept_losses)

    @cached_property
    def squared_gaps(self) -> NDArray[np.float64]:
        """Expected square of loss on the example left out minus average loss on the others, shape (k^(n + 1),)."""
        return self._mean((self._losses - self._kept_losses) ** 2)

    @cached_property
    def loo_cmi(self) -> Float64:
        """Information of the output about which example was left out, shape (k^(n + 1),)."""
        return mutual_information(self.kernel / (self.n + 1))
