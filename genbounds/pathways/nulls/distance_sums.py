"""Distances of pairs turned into sums, with labels as they are and permuted: by blocks, for given pairs, by counting.

Three ways to the same numbers, none of which holds the matrix of distances: memory is linear in the samples. By blocks,
each row of distances is summed over the members of each group, for all permutations at once, as a product with a sparse
matrix of ones. Top-1 paths are counted instead, in O(n L) for a permutation and O(n L^2) in all.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from genbounds.pathways.distances.matrix import distance_blocks, distances_of_pairs
from genbounds.pathways.distances.measures import Metric
from genbounds.pathways.distances.normalisation import Normalisation
from genbounds.pathways.nulls.load_balance import agreeing_pairs, first_experts
from genbounds.pathways.nulls.pair_sums import PairSums
from genbounds.pathways.paths import Paths

__all__ = ["SummedDistances", "countable", "sum_within", "summed_blocks", "summed_counts", "summed_pairs"]

Integers = NDArray[np.int64]
#: Largest number of sums (groups of permutations times rows) held at once.
_SUMS = 2**22


@dataclass(frozen=True, eq=False)
class SummedDistances:
    """Sums of distances, and what they become with other labels.

    Attributes
    ----------
    sums : PairSums
        With the labels as they are.
    permuted_within : ndarray of float64, shape (permutations,)
        Mean distance within groups for each permutation of the labels; NaN where no pair is within a group.
    by_layer : tuple of float or None
        Mean distance in each layer, where the distance is their sum.
    """

    sums: PairSums
    permuted_within: NDArray[np.float64]
    by_layer: tuple[float, ...] | None


def countable(paths: Paths, metric: Metric, normalise: Normalisation | None) -> bool:
    """Say whether the distance is the number of layers in which single experts differ.

    Parameters
    ----------
    paths : Paths
        Of n samples.
    metric : str
        Name of the distance.
    normalise : str or None
        Its normalisation.

    Returns
    -------
    bool
        True for paths of one expert in each layer under the layer sum, Hamming's distance or the edit distance of
        concatenated lists, as they are.
    """
    return normalise is None and metric in ("layers", "hamming", "concatenated") and bool((paths.lengths == 1).all())


def summed_blocks(
    paths: Paths, codes: Integers, permuted: Integers, *, metric: Metric, normalise: Normalisation | None
) -> SummedDistances:
    """Sum the distances of all pairs, a block of rows of their matrix at a time.

    Parameters
    ----------
    paths : Paths
        Of n samples.
    codes : ndarray of int, shape (n,)
        Group of each sample, from 0.
    permuted : ndarray of int, shape (permutations, n)
        The same labels in other orders.
    metric, normalise : str, str or None
        The distance.

    Returns
    -------
    SummedDistances
        Over all pairs.
    """
    n = len(paths)
    rows, same_rows = np.zeros((2, n))
    square = same_square = 0.0
    within, layer_sums = np.zeros(len(permuted)), np.zeros(paths.layers)
    for chosen, block, of_layers in _blocks(paths, metric, normalise):
        rest = slice(chosen.start, n)
        close = np.where(codes[chosen, None] == codes[rest], block, 0.0)
        for sums, part in ((rows, block), (same_rows, close)):
            sums[chosen] += part.sum(axis=1)
            sums[rest] += part.sum(axis=0)
        square, same_square = square + float((block**2).sum()), same_square + float((close**2).sum())
        within += _within(block, permuted, chosen)
        layer_sums += of_layers  # of the whole, where it is no sum of layers
    groups = np.bincount(codes)
    return SummedDistances(
        PairSums(np.full(n, n - 1.0), rows, square, (groups[codes] - 1).astype(np.float64), same_rows, same_square),
        _means(within, np.full(len(within), groups @ (groups - 1) // 2)),
        tuple((layer_sums / (n * (n - 1) // 2)).tolist()) if _adds_up(metric, normalise) else None,
    )


def _adds_up(metric: Metric, normalise: Normalisation | None) -> bool:
    return metric in ("layers", "hamming") and normalise is None


def _blocks(
    paths: Paths, metric: Metric, normalise: Normalisation | None
) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
    """Yield rows of distances to later samples, each pair once and 0 elsewhere, and totals of the layers."""
    parts = _layers(paths) if _adds_up(metric, normalise) else [paths]
    for blocks in zip(*(_upper(part, metric, normalise) for part in parts), strict=True):
        totals = np.array([block.sum() for _, block in blocks])
        yield blocks[0][0], np.sum([block for _, block in blocks], axis=0), totals


def _upper(
    paths: Paths, metric: Metric, normalise: Normalisation | None
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield blocks of rows from the diagonal on, without what is on it or below."""
    for chosen, block in distance_blocks(paths, metric=metric, normalise=normalise, upper=True):
        yield chosen, np.triu(block, 1)


def _layers(paths: Paths) -> list[Paths]:
    """Return the paths of each layer by itself."""
    return [
        replace(paths, symbols=paths.symbols[:, [layer]], lengths=paths.lengths[:, [layer]], experts=(experts,))
        for layer, experts in enumerate(paths.experts)
    ]


def _within(block: NDArray[np.float64], permuted: Integers, chosen: slice) -> NDArray[np.float64]:
    """Sum rows of distances over the members of the row's own group, for each permutation of the labels."""
    if not len(permuted):
        return np.zeros(0)
    groups, n = int(permuted.max()) + 1, block.shape[1]
    columns = np.ascontiguousarray(block.T)
    step = max(1, _SUMS // (groups * len(block)))
    found = []
    for start in range(0, len(permuted), step):
        labels = permuted[start : start + step, chosen.start :]
        place = np.arange(len(labels))[:, None]
        ones = csr_array(
            (np.ones(labels.size), ((place * groups + labels).ravel(), np.tile(np.arange(n), len(labels)))),
            shape=(len(labels) * groups, n),
        )
        by_group = (ones @ columns).reshape(len(labels), groups, len(block))
        found.append(by_group[place, labels[:, : len(block)], np.arange(len(block))].sum(axis=1))
    return np.concatenate(found)


def summed_pairs(
    paths: Paths,
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
    codes: Integers,
    permuted: Integers,
    *,
    metric: Metric,
    normalise: Normalisation | None,
) -> SummedDistances:
    """Sum the distances of some pairs of different samples.

    Parameters
    ----------
    paths : Paths
        Of n samples.
    pairs : tuple of two ndarrays of int, shape (pairs,)
        The samples of each pair.
    codes, permuted, metric, normalise
        As for `summed_blocks`.

    Returns
    -------
    SummedDistances
        Over these pairs.
    """
    (one, two), n = pairs, len(paths)
    if _adds_up(metric, normalise):
        parts = [distances_of_pairs(layer, one, two, metric=metric) for layer in _layers(paths)]
        distances, by_layer = np.sum(parts, axis=0), tuple(float(part.mean()) for part in parts)
    else:
        distances, by_layer = distances_of_pairs(paths, one, two, metric=metric, normalise=normalise), None

    def at_samples(weights: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(one, weights, n) + np.bincount(two, weights, n), dtype=np.float64)

    same = codes[one] == codes[two]
    sums = PairSums(
        at_samples(np.ones(len(one))),
        at_samples(distances),
        float((distances**2).sum()),
        at_samples(same),
        at_samples(distances * same),
        float((distances[same] ** 2).sum()),
    )
    found = np.zeros((2, len(permuted)))
    for number, labels in enumerate(permuted):
        alike = labels[one] == labels[two]
        found[:, number] = distances[alike].sum(), alike.sum()
    return SummedDistances(sums, _means(*found), by_layer)


def summed_counts(paths: Paths, codes: Integers, permuted: Integers) -> SummedDistances:
    """Sum the distances of all pairs of top-1 paths by counting the pairs that agree.

    Parameters
    ----------
    paths : Paths
        Of n samples, one expert in each layer.
    codes, permuted
        As for `summed_blocks`.

    Returns
    -------
    SummedDistances
        Over all pairs; exact integers.
    """
    first, n = first_experts(paths), len(paths)
    groups = np.bincount(codes)
    same_pairs = int(groups @ (groups - 1)) // 2
    agreeing = agreeing_pairs(first, paths.experts)
    pairs, layers = n * (n - 1) // 2, paths.layers
    rows, same_rows = np.zeros((2, n))
    for experts in first.T:
        rows += n - np.bincount(experts)[experts]
        both = codes * (experts.max() + 1) + experts
        same_rows += groups[codes] - np.bincount(both)[both]
    # Squares of L minus the number of agreements.
    square = layers**2 * pairs - 2 * layers * np.trace(agreeing) + agreeing.sum()
    inside = np.zeros_like(agreeing)
    for group in np.flatnonzero(groups > 1):
        inside += agreeing_pairs(first[codes == group], paths.experts)
    same_square = layers**2 * same_pairs - 2 * layers * np.trace(inside) + inside.sum()
    within = [sum_within(first, labels, paths.experts) for labels in permuted]
    return SummedDistances(
        PairSums(
            np.full(n, n - 1.0),
            rows,
            float(square),
            (groups[codes] - 1).astype(np.float64),
            same_rows,
            float(same_square),
        ),
        _means(np.array(within, dtype=np.float64), np.full(len(permuted), same_pairs)),
        tuple(((pairs - np.diag(agreeing)) / pairs).tolist()),
    )


def sum_within(first: Integers, labels: Integers, experts: tuple[int, ...]) -> int:
    """Sum the distances of top-1 paths within groups, each pair once.

    Parameters
    ----------
    first : ndarray of int, shape (n, L)
        The expert of each sample in each layer.
    labels : ndarray of int, shape (n,)
        Group of each sample, from 0.
    experts : tuple of int
        Number of experts of each layer.

    Returns
    -------
    int
        Exact, in O(n L).
    """
    sizes = np.bincount(labels)
    found = first.shape[1] * int((sizes * (sizes - 1)).sum())
    for column, number in zip(first.T, experts, strict=True):
        counts = np.bincount(labels * number + column)
        found -= int((counts * (counts - 1)).sum())
    return found // 2


def _means(sums: NDArray[np.float64], pairs: NDArray[Any]) -> NDArray[np.float64]:
    """Divide, with NaN over 0."""
    return np.divide(sums, pairs, out=np.full(len(sums), np.nan), where=pairs > 0)
