"""Noisy networks that bounds by layers are attacked with: some nearly tight, some random."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from genbounds.worlds.learners import Gibbs, Learner, blurred, memoriser, tabulated
from genbounds.worlds.noisy_networks import NoisyNetwork, label_memoriser, majority_label
from genbounds.worlds.problems import Problem, problems

__all__ = ["flipped_bit", "random_network"]

#: P(output | bit) for each weight: 1 where the two differ.
_DIFFERS = np.array([np.eye(2), np.eye(2)[::-1]])
#: A layer that puts out the weight.
_PUT_OUT = np.eye(2)[:, None, :]
_RANDOM = 40


def flipped_bit(rate: float, learner: Learner, n: int, name: str) -> NoisyNetwork:
    """Return the network that sees a fair bit through a channel that flips it, and is judged by whether it agrees.

    There is one label, so that the noise hides all that is learnt.

    Parameters
    ----------
    rate : float
        Probability of a flip.
    learner : callable
        What it does with a sample of bits: its two weights are predictions of the bit.
    n : int
        Examples in a sample.
    name : str
        For reports.

    Returns
    -------
    NoisyNetwork
        Two inputs, one label, two values of the weights.
    """
    flip = np.array([[1 - rate, rate], [rate, 1 - rate]])
    return NoisyNetwork([[0.5], [0.5]], [flip[None], _DIFFERS], [[0.0], [1.0]], learner, n, name)


def random_network(seed: int) -> NoisyNetwork:
    """Return a random network of two noisy layers.

    Parameters
    ----------
    seed : int
        A whole number of at least 0; what follows from it does not change.

    Returns
    -------
    NoisyNetwork
        Two or three inputs, one to three labels, some pairs of which may be missing; two to four values of the weights;
        a learner that is random, a Gibbs algorithm or one that hides the sample in its weights.
    """
    draw = np.random.default_rng(seed)
    inputs, labels, hidden, outputs, weights, n = draw.integers([2, 1, 2, 2, 2, 1], [4, 4, 4, 4, 5, 4])
    law = draw.dirichlet(np.ones(inputs * labels)) + 0.02
    law[law < draw.choice([0.0, 0.1])] = 0.0
    spread = draw.choice([0.1, 1.0, 5.0])
    layers = [
        draw.dirichlet(np.full(after, spread), size=(weights, before))
        for before, after in ((inputs, hidden), (hidden, outputs))
    ]
    losses = draw.choice([0.0, 1.0, draw.random()], size=(outputs, labels))
    table = draw.dirichlet(np.full(weights, 0.3), size=int(np.count_nonzero(law)) ** n)
    learner = (tabulated(table), Gibbs(float(draw.choice([0.5, 3.0, 20.0]))), blurred(memoriser, 0.3))[seed % 3]
    law = law.reshape(inputs, labels) / law.sum()
    return NoisyNetwork(law, layers, losses, learner, int(n), f"random noisy network {seed}")


@lru_cache(maxsize=1)
def _entered() -> tuple[Problem, ...]:
    label, bit = np.argwhere(np.ones((1, 2))), np.argwhere(np.ones((2, 1)))
    wrong = 1 - np.eye(2)

    def labels(learner: Learner, n: int, name: str) -> NoisyNetwork:
        """Put out the weight, judge it by a fair label: nothing of what is learnt meets noise."""
        return NoisyNetwork([[0.5, 0.5]], [_PUT_OUT], wrong, learner, n, name)

    seen = majority_label(bit[:, ::-1])  # the bit stands where it reads the label
    networks = [
        flipped_bit(0.0, blurred(seen, 0.95), 1, "bit nearly forgotten"),
        flipped_bit(0.25, blurred(seen, 0.95), 1, "bit nearly forgotten behind noise"),
        flipped_bit(0.25, blurred(seen, 0.5), 3, "majority of 3 bits behind noise"),
        labels(blurred(majority_label(label), 0.95), 1, "label nearly forgotten"),
        labels(blurred(majority_label(label), 0.95), 2, "2 labels nearly forgotten"),
        *(label_memoriser(n) for n in (1, 2, 3)),
        *(flipped_bit(rate, Gibbs(0.1), 1, f"Gibbs on a bit flipped with {rate}") for rate in (0.0, 0.25, 0.4)),
        flipped_bit(0.1, Gibbs(4.0), 3, "Gibbs on 3 bits behind noise"),
        *(labels(Gibbs(gamma), 1, f"Gibbs on a label, gamma={gamma}") for gamma in (0.1, 5.0)),
        *(random_network(seed) for seed in range(_RANDOM)),
    ]
    return tuple(network.problem for network in networks)


@problems
def _noisy_network_problems() -> Iterator[Problem]:
    yield from _entered()
