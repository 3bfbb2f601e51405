"""Distances between paths: all pairs in blocks, the whole matrix, or given pairs."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.pathways.distances.measures import Measure, Metric
from genbounds.pathways.distances.normalisation import Normalisation
from genbounds.pathways.paths import Paths

__all__ = ["distance_blocks", "distance_matrix", "distances_of_pairs"]

#: Rows of a block of all pairs: enough for rapidfuzz to compare several at once, few enough to waste little at the
#: diagonal.
_ROWS = 64
#: Pairs that are compared together.
_PAIRS = 2**16


def distance_blocks(
    one: Paths,
    two: Paths | None = None,
    *,
    metric: Metric = "layers",
    normalise: Normalisation | None = None,
    upper: bool = False,
    workers: int = 1,
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Return the distances of all pairs of paths, a few rows of the matrix at a time: memory is linear in samples.

    =================  =================================================================================================
    ``layers``         Sum over layers of Levenshtein's distance between the lists of experts.
    ``concatenated``   Levenshtein's distance between all lists one after the other, where experts of different layers
                       are different symbols. At most the sum over layers, and many times as expensive.
    ``literal``        Levenshtein's distance between the characters of `literal_strings`: one reading of
                       [LiFanZhou2025]_, who do not say whether a symbol is a character or an expert.
    ``hamming``        Places with different experts, of paths of equal lengths. For paths of one expert in each layer
                       the first two are the same number, and are counted in this cheap way.
    ``jaccard``        One minus the share of common elements in the union of the sets of (layer, expert); orders do not
                       count.
    =================  =================================================================================================

    All are metrics, and all but ``literal`` stay the same if the experts of a layer are renumbered (away from ties).

    Parameters
    ----------
    one : Paths
        Of n samples.
    two : Paths, optional
        Of m samples, of the same model; by default `one` again.
    metric : {"layers", "concatenated", "literal", "hamming", "jaccard"}
        Which distance.
    normalise : {"yujian_bo", "max"}, optional
        Division by length. "yujian_bo" leaves a metric, "max" need not: see
        `genbounds.pathways.distances.normalisation`. Jaccard's distance is what "yujian_bo" makes of sets already.
    upper : bool
        Leave out the columns before a block's first row, for one set of paths with itself: each pair of different
        samples is then in the matrix once, but for pairs within a block.
    workers : int
        Threads for edit distances; -1 for one on each core. Distances do not depend on it.

    Returns
    -------
    iterator of (slice, ndarray of float64, shape (b, m))
        Rows, and their distances to all m paths (with `upper`, to those from ``rows.start`` on).

    Raises
    ------
    ValueError
        If the paths are of different layers, the metric is unknown or does not fit them.
    ImportError
        If the metric needs rapidfuzz: the extra ``pathways``.

    Examples
    --------
    >>> symbols = np.array([[[0, 1]], [[1, 0]], [[0, 2]]], np.int16)
    >>> paths = Paths(symbols, np.full((3, 1), 2), (3,), "by hand", np.zeros(3, int))
    >>> for rows, block in distance_blocks(paths):
    ...     print(rows.start, rows.stop, block.tolist())
    0 3 [[0.0, 2.0, 1.0], [2.0, 0.0, 2.0], [1.0, 2.0, 0.0]]
    """
    other = one if two is None else two
    if upper and other is not one:
        raise ValueError("upper must be False for two sets of paths, got True. Leave out two, or upper.")
    measure = Measure(one, other, metric, normalise, workers)
    starts = range(0, len(one), _ROWS)
    slices = (slice(start, min(start + _ROWS, len(one))) for start in starts)
    return ((rows, measure.block(rows, slice(rows.start if upper else 0, len(other)))) for rows in slices)


def distance_matrix(
    one: Paths,
    two: Paths | None = None,
    *,
    metric: Metric = "layers",
    normalise: Normalisation | None = None,
    workers: int = 1,
) -> NDArray[np.float64]:
    """Return the whole matrix of distances between paths; see `distance_blocks`, which holds a few rows only.

    Parameters
    ----------
    one : Paths
        Of n samples.
    two : Paths, optional
        Of m samples; by default `one` again, and each pair is compared once.
    metric : {"layers", "concatenated", "literal", "hamming", "jaccard"}
        Which distance.
    normalise : {"yujian_bo", "max"}, optional
        Division by length.
    workers : int
        Threads for edit distances; -1 for one on each core.

    Returns
    -------
    ndarray of float64, shape (n, m)
        Distances; symmetric with zeros on the diagonal for one set of paths.

    Raises
    ------
    ValueError
        If the paths are of different layers, the metric is unknown or does not fit them.
    ImportError
        If the metric needs rapidfuzz: the extra ``pathways``.
    """
    whole = np.empty((len(one), len(one if two is None else two)))
    upper = two is None
    for rows, block in distance_blocks(one, two, metric=metric, normalise=normalise, upper=upper, workers=workers):
        if upper:
            whole[rows, rows.start :] = block
            whole[rows.stop :, rows] = block[:, rows.stop - rows.start :].T
        else:
            whole[rows] = block
    return whole


def distances_of_pairs(
    paths: Paths,
    i: ArrayLike,
    j: ArrayLike,
    *,
    metric: Metric = "layers",
    normalise: Normalisation | None = None,
    workers: int = 1,
) -> NDArray[np.float64]:
    """Return the distances of given pairs of paths, where all pairs are too many.

    Parameters
    ----------
    paths : Paths
        Of n samples.
    i, j : array_like of int, shape (p,)
        Positions of both samples of each pair, in [0, n).
    metric : {"layers", "concatenated", "literal", "hamming", "jaccard"}
        Which distance; see `distance_blocks`.
    normalise : {"yujian_bo", "max"}, optional
        Division by length.
    workers : int
        Threads for edit distances; -1 for one on each core.

    Returns
    -------
    ndarray of float64, shape (p,)
        Distances.

    Raises
    ------
    ValueError
        If a position is out of range, `i` and `j` differ in shape, or the metric is unknown or does not fit the paths.
    ImportError
        If the metric needs rapidfuzz: the extra ``pathways``.
    """
    left, right = _positions("i", i, len(paths)), _positions("j", j, len(paths))
    if left.shape != right.shape:
        raise ValueError(f"i and j must have the same shape, got {left.shape} and {right.shape}. Pair them up.")
    measure = Measure(paths, paths, metric, normalise, workers)
    whole = np.empty(len(left))
    for start in range(0, len(left), _PAIRS):
        chunk = slice(start, start + _PAIRS)
        whole[chunk] = measure.pairs(left[chunk], right[chunk])
    return whole


def _positions(name: str, values: ArrayLike, n: int) -> NDArray[np.intp]:
    """Return positions of samples as integers, one-dimensional and in range."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} must be a one-dimensional array of integers, got {array.dtype} of shape {array.shape}. Number the "
            "samples from 0."
        )
    outside = (array < 0) | (array >= n)
    if outside.any():
        raise ValueError(f"{name} must be in [0, {n}), got {array[outside][0]}. Number the samples from 0.")
    return array.astype(np.intp)
