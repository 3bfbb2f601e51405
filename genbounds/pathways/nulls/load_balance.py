r"""Paths of one expert in each layer: their mean distance says how evenly experts are used, and nothing else.

Two such paths are at the distance ``D(i, j) = sum_l 1[x_l(i) != x_l(j)]``, where ``x_l(i)`` is the expert of sample i
in layer l. (Symbols of different layers differ, so Levenshtein's distance is Hamming's: a symbol can only be matched at
its own place.) With ``n_lk`` samples at expert k of layer l, counting the pairs that agree gives

    ``mean_{i < j} D(i, j) = sum_l [1 - sum_k n_lk (n_lk - 1) / (n (n - 1))]``            (the load-balance identity).

Only the numbers ``n_lk`` stand on the right. So the mean over all pairs is the same for every way of matching the
samples of one layer with those of the next: which samples share a route is not in it. What does depend on it is the
**variance over pairs**. With ``p_l`` the share of pairs that differ in layer l and ``p_lm`` of those that differ in
both,

    ``Var D = sum_l p_l (1 - p_l) + 2 sum_{l < m} (p_lm - p_l p_m)``,

and if the samples of each layer are shuffled independently, the second sum is 0 on average over the n! shuffles of each
layer, exactly: a pair of places in one layer then meets every pair of places in the other equally often. A variance
above the first sum says that pairs that share an expert in one layer tend to share those of others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import unit_interval
from genbounds.pathways.paths import Paths

__all__ = ["IndependentRouting", "LoadBalance", "independent_routing", "load_balance"]

#: How far loads of a layer may be from summing to 1.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class LoadBalance:
    """Distance of top-1 paths over all pairs of different samples, from counts.

    Attributes
    ----------
    by_layer : tuple of float
        Share of pairs that differ in each layer, ``1 - sum_k n_k (n_k - 1) / (n (n - 1))``.
    mean : float
        Their sum: the mean distance.
    variance : float
        Of the distance, over pairs.
    shuffled_variance : float
        What the variance is on average if each layer's samples are shuffled independently,
        ``sum_l by_layer_l (1 - by_layer_l)``.
    """

    by_layer: tuple[float, ...]
    mean: float
    variance: float
    shuffled_variance: float


def load_balance(paths: Paths) -> LoadBalance:
    """Count the mean and the variance of the distance between the first experts of all pairs of samples.

    Parameters
    ----------
    paths : Paths
        Of at least two samples. Only the first expert of each layer is looked at.

    Returns
    -------
    LoadBalance
        Exact but for the rounding of the last division: counts are integers. In O(n L^2).

    Raises
    ------
    ValueError
        If there is one sample only, or a path without an expert in some layer.

    Examples
    --------
    >>> symbols = np.array([[[0], [0]], [[0], [0]], [[1], [1]], [[1], [1]]], np.int16)
    >>> found = load_balance(Paths(symbols, np.ones((4, 2), np.int64), (2, 2), "top 1", np.zeros(4, np.int64)))
    >>> round(found.mean, 4), round(found.variance, 4), round(found.shuffled_variance, 4)
    (1.3333, 0.8889, 0.4444)
    """
    first = first_experts(paths)
    pairs = len(first) * (len(first) - 1) // 2
    agreeing = agreeing_pairs(first, paths.experts)
    alike, total = np.diag(agreeing), int(np.trace(agreeing))
    by_layer = tuple(float((pairs - int(same)) / pairs) for same in alike)
    return LoadBalance(
        by_layer,
        (pairs * len(alike) - total) / pairs,
        (pairs * int(agreeing.sum()) - total**2) / pairs**2,
        math.fsum(share * (1 - share) for share in by_layer),
    )


def first_experts(paths: Paths) -> NDArray[np.int64]:
    """Return the first expert of each sample in each layer, shape (n, L), checked."""
    if len(paths) < 2:
        raise ValueError(f"paths must be of at least two samples, got {len(paths)}. A distance needs a pair.")
    if not paths.lengths.all():
        raise ValueError(
            "paths must have an expert in every layer, got an empty list. Leave out tokens that capacity left out."
        )
    return paths.symbols[:, :, 0].astype(np.int64)


def agreeing_pairs(first: NDArray[np.int64], experts: Sequence[int]) -> NDArray[np.int64]:
    """Count the pairs of samples with the same expert in two layers, shape (L, L); one layer on the diagonal."""
    layers = first.shape[1]
    agreeing = np.zeros((layers, layers), np.int64)
    for one in range(layers):
        agreeing[one, one] = _pairs_alike(first[:, one])
    for one, two in combinations(range(layers), 2):
        agreeing[one, two] = agreeing[two, one] = _pairs_alike(first[:, one] * experts[two] + first[:, two])
    return agreeing


def _pairs_alike(codes: NDArray[np.int64]) -> int:
    # Codes of two layers go up to K^2: counting them all at once must not cost more than sorting the samples.
    few = codes.max() < 64 * len(codes)
    counts = np.bincount(codes) if few else np.unique(codes, return_counts=True)[1]
    return int((counts * (counts - 1)).sum()) // 2


@dataclass(frozen=True)
class IndependentRouting:
    """Law of the distance of two top-1 paths whose experts are drawn independently in each layer.

    Attributes
    ----------
    probabilities : tuple of float
        Of the distances 0, 1, ..., L.
    mean : float
        ``sum_l p_l`` with ``p_l = 1 - sum_k q_lk^2``.
    variance : float
        ``sum_l p_l (1 - p_l)``.
    """

    probabilities: tuple[float, ...]
    mean: float
    variance: float

    def at_most(self, distance: float) -> float:
        """Return the probability of at most a distance.

        Parameters
        ----------
        distance : float
            Any number.

        Returns
        -------
        float
            Lower tail.
        """
        return math.fsum(chance for value, chance in enumerate(self.probabilities) if value <= distance)


def independent_routing(loads: Sequence[ArrayLike]) -> IndependentRouting:
    """Return the exact law of the distance of two paths that are routed independently in each layer.

    The number of layers in which two paths differ is a sum of independent indicators with probabilities
    ``p_l = 1 - sum_k q_lk^2``: a Poisson-binomial law. For uniform loads on K experts, ``L (1 - 1/K)`` on average.

    Parameters
    ----------
    loads : sequence of array_like
        For each layer the probabilities ``q_lk`` of its experts, summing to 1.

    Returns
    -------
    IndependentRouting
        Its probabilities by convolution.

    Raises
    ------
    ValueError
        If there is no layer, or loads are no probabilities.

    Examples
    --------
    >>> independent_routing([[0.5, 0.5], [0.25] * 4]).probabilities
    (0.125, 0.5, 0.375)
    """
    if not len(loads):
        raise ValueError("loads must be of at least one layer, got none. Pass the shares of its experts.")
    law, differ = np.ones(1), []
    for load in loads:
        shares = unit_interval("loads", load, "They are shares of the samples.")
        if shares.ndim != 1 or abs(shares.sum() - 1) > _ROUNDING:
            raise ValueError(f"loads must sum to 1 in each layer, got {shares.sum()}. Divide by their total.")
        differ.append(float(1 - (shares**2).sum()))
        law = np.convolve(law, [1 - differ[-1], differ[-1]])
    return IndependentRouting(
        tuple(law.tolist()), math.fsum(differ), math.fsum(chance * (1 - chance) for chance in differ)
    )
