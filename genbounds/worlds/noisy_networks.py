"""Noisy networks on finite alphabets, with every sample listed: what each layer tells of the sample, exactly.

Input, label, weights and representations take finitely many values; a layer is a table of probabilities for each value
of the weights. The noise is on whenever a loss is measured: the loss of the weights on an example is its average over
the noise, so that a learner at work is a `genbounds.worlds.Learning` in a finite world.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.channels import channel_contraction
from genbounds.numerics.checks import unit_interval
from genbounds.numerics.deviance import deviance
from genbounds.numerics.discrete_information import mutual_information
from genbounds.theorems.quantities import GAP
from genbounds.worlds.finite import FiniteWorld
from genbounds.worlds.finite_problems import sample_problem
from genbounds.worlds.learners import Learner
from genbounds.worlds.problems import Problem
from genbounds.worlds.samples import Learning

__all__ = ["NoisyNetwork", "label_memoriser", "majority_label"]


class NoisyNetwork:
    """A learner of the weights of a network with noisy layers, on n examples (x, y).

    What a theorem takes as an argument is a property under the argument's name. Information is in nats, averaged over
    the weights; axes are layers, with the input as layer 0, and examples. Two values of a representation or a label are
    1 apart (the discrete metric), in which a Wasserstein distance is a total variation.

    Parameters
    ----------
    probabilities : array_like, shape (inputs, labels)
        Joint law of input and label; what has probability 0 does not occur.
    layers : sequence of array_like, shape (weights, values, values)
        P(T_l | T_{l-1}) for each value of the weights, from the input onwards; a first axis of length 1 serves all.
    losses : array_like, shape (outputs, labels)
        Loss of an output on a label, in [0, 1].
    learner : callable
        What is done with a sample: see `genbounds.worlds.learners`. Its hypotheses are the weights, and its points the
        pairs (x, y) of positive probability in lexicographic order, listed in `points`.
    n : int
        Examples in a sample, at least 1.
    name : str
        For reports.

    Raises
    ------
    ValueError
        If tables do not fit together or are no probabilities, or the samples are too many to list.

    Examples
    --------
    A fair bit x behind a channel that flips with probability 1/4, predicted by the bit that was seen:

    >>> bit, flip = np.eye(2), np.array([[0.75, 0.25], [0.25, 0.75]])
    >>> wrong = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])  # 1 if the input is not the weight
    >>> seen = lambda world, samples: bit[samples[:, 0]]
    >>> network = NoisyNetwork([[0.5], [0.5]], [[flip], wrong], [[0.0], [1.0]], seen, n=1)
    >>> float(network.learning.gap), float(network.contraction.round(12))
    (0.25, 0.25)
    """

    def __init__(
        self,
        probabilities: ArrayLike,
        layers: Sequence[ArrayLike],
        losses: ArrayLike,
        learner: Learner,
        n: int,
        name: str = "noisy network",
    ) -> None:
        law = unit_interval("probabilities", probabilities, "Pass probabilities.")
        self.losses = unit_interval("losses", losses)
        tables = [unit_interval("layers", table, "Pass probabilities.") for table in layers]
        sizes = [*(table.shape[1] for table in tables if table.ndim == 3), len(self.losses)]
        fits = [table.shape[1:] == (a, b) for table, a, b in zip(tables, sizes, sizes[1:], strict=False)]
        if len(fits) != len(tables) or not all(fits) or law.shape != (sizes[0], self.losses.shape[-1]):
            raise ValueError(
                f"layers must lead from {len(law)} inputs to {len(self.losses)} outputs, got shapes "
                f"{[table.shape for table in tables]}. Give tables of weights by values by values."
            )
        self.points = np.argwhere(law > 0)
        weights = max(len(table) for table in tables)
        rows = [np.broadcast_to(table, (weights, *table.shape[1:])) for table in tables]
        #: P(T_l | T_{l-1}) for l = 1, ..., L, each of shape (weights, values, values).
        self.layers = rows
        seen = self._channels[-1][:, self.points[:, 0]]
        expected = np.minimum((seen * self.losses.T[self.points[:, 1]]).sum(axis=-1), 1.0)
        world = FiniteWorld(law[law > 0], expected, name=name)
        self.learning = Learning(world, learner, n)

    @cached_property
    def _channels(self) -> list[NDArray[np.float64]]:
        """P(T_l | X) for l = 0, ..., L, each of shape (weights, inputs, values)."""
        weights, inputs, _ = self.layers[0].shape
        channels = [np.broadcast_to(np.eye(inputs), (weights, inputs, inputs))]
        for layer in self.layers:
            channels.append(channels[-1] @ layer)
        return channels

    def _laws(self, channel: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the laws of weights, representation and label of each training example and of a test example."""
        joints = self.learning.individual_joints
        fresh = joints[0].sum(axis=0) * self.learning.world.probabilities[:, None]
        return self._pushed(joints, channel), self._pushed(fresh, channel)

    def _pushed(self, joint: NDArray[np.float64], channel: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the law of (weights, representation, label) for one of (point, weights), which it may stack."""
        inputs, labels = self.points.T
        pushed = np.zeros((*joint.shape[:-2], self.losses.shape[1], joint.shape[-1], channel.shape[-1]))
        for point, (x, y) in enumerate(zip(inputs, labels, strict=True)):
            pushed[..., y, :, :] += joint[..., point, :, None] * channel[:, x]
        return pushed

    @cached_property
    def layer_divergences(self) -> NDArray[np.float64]:
        """KL(P_{T_li,Y_i|W} || P_{T_l,Y|W} | P_W), shape (layers + 1, n)."""
        pairs = [self._laws(channel) for channel in self._channels]
        return np.array([deviance(a, np.broadcast_to(b, a.shape), b - a).sum(axis=(1, 2, 3)) for a, b in pairs])

    @cached_property
    def layer_distances(self) -> NDArray[np.float64]:
        """Total variation of the laws of (T_li, Y_i) and (T_l, Y) given W, averaged over W, shape (layers + 1, n)."""
        pairs = [self._laws(channel) for channel in self._channels]
        return np.array([np.abs(a - b).sum(axis=(1, 2, 3)) / 2 for a, b in pairs])

    @cached_property
    def label_information(self) -> NDArray[np.float64]:
        """I(Y_i;W), shape (n,)."""
        labels = np.eye(self.losses.shape[1])[:, self.points[:, 1]]
        return np.asarray(mutual_information(labels @ self.learning.individual_joints))

    @cached_property
    def feature_information(self) -> NDArray[np.float64]:
        """I(X_i;W|Y_i), shape (n,)."""
        same = self.points[:, None, 1] == self.points[:, 1]
        law, joints = self.learning.world.probabilities, self.learning.individual_joints
        without = law[:, None] * (same @ joints) / (same @ law)[:, None]
        return deviance(joints, without, without - joints).sum(axis=(1, 2))

    @cached_property
    def contraction(self) -> np.float64:
        """KL contraction coefficient from input to output, for the worst weights and the inputs that occur."""
        occurring = np.unique(self.points[:, 0])
        return max(channel_contraction(table[occurring]) for table in self._channels[-1])

    @cached_property
    def example_contraction(self) -> np.float64:
        """KL contraction coefficient from the example to output and label, for the worst weights."""
        inputs, labels = self.points.T
        kept = np.eye(self.losses.shape[1])[labels]
        tables = (table[inputs, :, None] * kept[:, None, :] for table in self._channels[-1])
        return max(channel_contraction(table.reshape(len(table), -1)) for table in tables)

    @property
    def problem(self) -> Problem:
        """The problem, with what the layers know beside what `Learning` knows."""
        names = (
            "layer_divergences",
            "layer_distances",
            "label_information",
            "feature_information",
            "contraction",
            "example_contraction",
        )
        plain = sample_problem(self.learning)
        quantities: dict[str, Any] = {name: getattr(self, name) for name in names}
        quantities |= {"output_lipschitz": np.ptp(self.losses), "remaining_lipschitz": 1.0}
        return Problem(plain.name, {**plain.quantities, **quantities}, {GAP: plain.truths[GAP]})


def majority_label(points: NDArray[np.int64]) -> Learner:
    """Return the learner that puts out the label, 0 or 1, that it saw most often, whatever the inputs.

    Parameters
    ----------
    points : ndarray of int64, shape (points, 2)
        Input and label of each point.

    Returns
    -------
    callable
        A learner with two hypotheses; a tie is broken by a fair coin.
    """

    def learner(_: FiniteWorld, samples: NDArray[np.int64]) -> NDArray[np.float64]:
        ones = 2 * points[samples, 1].sum(axis=1) - samples.shape[1]
        return np.stack([(1 - np.sign(ones)) / 2, (1 + np.sign(ones)) / 2], axis=1)

    return learner


def label_memoriser(n: int) -> NoisyNetwork:
    """Return the network that refutes contraction of the whole information, features and label together.

    Fair labels, inputs that tell nothing of them, a first layer that erases the input, and a second one that puts out
    the weight: the label seen most often. The contraction coefficient is 0, so that its product with I(X_i,Y_i;W) is 0;
    the gap is 1/2 for one example, 1/4 for two and three. Only the label's part of the information, which meets no
    noise, accounts for it.

    Parameters
    ----------
    n : int
        Examples in a sample, at least 1.

    Returns
    -------
    NoisyNetwork
        Two inputs, two labels, two values of the weights.

    Examples
    --------
    >>> network = label_memoriser(1)
    >>> float(network.learning.gap), float(network.contraction)
    (0.5, 0.0)
    >>> float(network.label_information[0].round(12)), float(network.feature_information[0])  # ln 2 and nothing
    (0.69314718056, 0.0)
    """
    erase, put_out = np.ones((1, 2, 1)), np.eye(2)[:, None, :]
    points = np.argwhere(np.ones((2, 2)))
    return NoisyNetwork(
        np.full((2, 2), 0.25),
        [erase, put_out],
        1 - np.eye(2),
        majority_label(points),
        n,
        "label memoriser behind erased features",
    )
