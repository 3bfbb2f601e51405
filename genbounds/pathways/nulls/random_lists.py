r"""Lists of experts drawn at random, of the same lengths and from experts as popular as those of the layer.

The level of an edit distance is mostly the length of the lists. What it would be for routes without structure is a
question for a model of such routes: every list is drawn by itself, expert after expert without replacement, with
probabilities proportional to weights of the layer (the law of Plackett and Luce, [Plackett1975]_), and keeps its
length. The weights are those of maximum likelihood for the lists at hand, by the iteration of [Hunter2004]_,

    ``w_k <- #{lists with k} / sum_{draws at which k was still there} 1 / (sum of the weights still there)``.

For lists of one expert they are the loads. An expert that no list holds has weight 0.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from genbounds.pathways.paths import Paths

__all__ = ["list_weights", "random_lists"]

#: Steps of the iteration; the likelihood rises in each, and has a maximum only if no experts always come first.
_STEPS = 30


def list_weights(lists: NDArray[np.int16], experts: int) -> NDArray[np.float64]:
    """Fit the weights with which experts of a layer are drawn.

    Parameters
    ----------
    lists : ndarray of int, shape (n, M)
        Ordered lists of different experts, padded by -1.
    experts : int
        Number of experts, K.

    Returns
    -------
    ndarray of float64, shape (K,)
        Summing to 1; uniform if all lists are empty.

    Examples
    --------
    >>> list_weights(np.array([[0], [0], [0], [2]]), 3).tolist()
    [0.75, 0.0, 0.25]
    """
    held = lists >= 0
    chosen = np.where(held, lists, 0)
    counts = np.bincount(lists[held], minlength=experts).astype(np.float64)
    if not counts.any():
        return np.full(experts, 1 / experts)
    weights = counts / counts.sum()
    absent = np.ones((len(lists), experts), dtype=bool)
    absent[np.nonzero(held)[0], lists[held]] = False
    for _ in range(_STEPS):
        own = weights[chosen] * held
        # What is still there at a draw: the experts not in the list, and the list from that place on.
        there = (absent @ weights)[:, None] + np.cumsum(own[:, ::-1], axis=1)[:, ::-1]
        waited = np.cumsum(np.divide(1.0, there, out=np.zeros_like(there), where=held), axis=1)
        total = np.bincount(lists[held], waited[held], minlength=experts) + waited[:, -1] @ absent
        weights = np.divide(counts, total, out=np.zeros(experts), where=counts > 0)
        weights /= weights.sum()
    return weights


def random_lists(paths: Paths, weights: list[NDArray[np.float64]], generator: np.random.Generator) -> Paths:
    """Draw paths of the same lengths at random.

    Parameters
    ----------
    paths : Paths
        Whose lengths are kept.
    weights : list of ndarray of float64, shape (K,)
        Of each layer, at least as many above 0 as its longest list.
    generator : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    Paths
        Independent of one another and across layers.
    """
    symbols = np.full_like(paths.symbols, -1)
    for layer, weight in enumerate(weights):
        # Exponential clocks of rates w ring in the order of such draws.
        with np.errstate(divide="ignore"):
            rings = generator.exponential(size=(len(paths), len(weight))) / weight
        order = np.argsort(rings, axis=1)[:, : symbols.shape[2]]
        kept = np.arange(order.shape[1]) < paths.lengths[:, layer, None]
        symbols[:, layer, : order.shape[1]] = np.where(kept, order, -1)
    return replace(paths, symbols=symbols, rule=f"random lists for {paths.rule}")
