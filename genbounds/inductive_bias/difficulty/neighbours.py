"""Exact nearest neighbours, streamed: few coordinates by a tree, many by products of blocks that differences check."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from genbounds.numerics import count

__all__ = ["Neighbours", "nearest", "nearest_neighbours", "table"]

#: Up to here a tree of the coordinates is faster than all distances.
_TREE_COORDINATES = 12
#: Numbers and distances whose squares are safe.
_LARGEST, _SMALLEST = 1e145, 1e-145
#: Distances in a block, and numbers in a block of differences.
_QUERIES, _POINTS, _NUMBERS = 1024, 8192, 2**22


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Some points of a set, and the nearest of the others.

    Parameters
    ----------
    queries : ndarray of int64, shape (q,)
        Which points.
    indices : ndarray of int64, shape (q, k)
        Their k nearest neighbours, nearest first.
    distances : ndarray, shape (q, k)
        Euclidean distances of these.
    points : int
        Points in the set.
    """

    queries: NDArray[np.int64]
    indices: NDArray[np.int64]
    distances: NDArray[np.float64]
    points: int


def nearest_neighbours(
    points: ArrayLike, neighbours: int = 5, *, queries: int | None = None, seed: int = 0
) -> Neighbours:
    """Find the nearest other points of each point, or of a random sample of the points.

    Parameters
    ----------
    points : array_like, shape (n, ...)
        One point a row; further axes are flattened. Blocks of it are turned into float64, never the whole.
    neighbours : int
        How many, at least 1 and below n.
    queries : int, optional
        For how many points, drawn without replacement; all by default. Their neighbours are sought among all.
    seed : int
        Of that draw.

    Returns
    -------
    Neighbours
        Exact but for the rounding of one sum of squares; which of two at the same distance comes first is arbitrary.

    Raises
    ------
    ValueError
        If there are too few points, or one is not finite.

    Examples
    --------
    >>> found = nearest_neighbours([[0.0], [1.0], [3.0]], 2)
    >>> found.distances.tolist()
    [[1.0, 3.0], [1.0, 2.0], [2.0, 3.0]]
    """
    array = table("points", points)
    n, k = len(array), int(count("neighbours", neighbours))
    if k >= n:
        raise ValueError(f"neighbours must be below the number of points, got {k} of {n}. Ask for fewer.")
    asked = np.arange(n)
    if queries is not None and (drawn := int(count("queries", queries))) < n:
        asked = np.sort(np.random.default_rng(seed).choice(n, drawn, replace=False))
    distances, indices = nearest(array[asked], array, k, own=asked)
    return Neighbours(asked, indices, distances, n)


def nearest(
    queries: NDArray[np.generic], points: NDArray[np.generic], k: int, own: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find the k points that are nearest to each query.

    Parameters
    ----------
    queries, points : ndarray, shape (q, d) and (p, d)
        Real numbers of any dtype.
    k : int
        How many, at most p; below p if `own` is given.
    own : ndarray of int64, shape (q,), optional
        For each query a point that does not count, such as itself.

    Returns
    -------
    distances : ndarray, shape (q, k)
        In ascending order.
    indices : ndarray of int64, shape (q, k)
        Of the points.

    Raises
    ------
    ValueError
        If a number is not finite, or its square is no float64.
    """
    search = _by_tree if points.shape[1] <= _TREE_COORDINATES else _by_blocks
    distances, indices = search(queries, points, k, np.full(len(queries), -1) if own is None else own)
    row, place = np.nonzero(distances < _SMALLEST)
    if (queries[row] != points[indices[row, place]]).any():
        raise ValueError(
            f"points must be farther apart than {_SMALLEST:g}, or equal, got {distances[row, place].max():g}: squares "
            "of such distances are no float64. Multiply all points by a number."
        )
    return distances, indices


def table(name: str, points: ArrayLike) -> NDArray[np.generic]:
    """Return points as a table of real numbers with one row each, in the dtype that they have.

    Parameters
    ----------
    name : str
        Argument's name, for the error.
    points : array_like, shape (n, ...)
        At least one.

    Returns
    -------
    ndarray, shape (n, d)
        A view where that is possible.

    Raises
    ------
    ValueError
        If there are none, or they are not real numbers.
    """
    array = np.asarray(points)
    if array.ndim < 2 or not array.size or array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be real numbers of shape (n, ...), got shape {array.shape} of {array.dtype}. Put one point "
            "in a row."
        )
    return array.reshape(len(array), -1)


def _finite(block: NDArray[np.generic]) -> NDArray[np.float64]:
    wide = block.astype(np.float64)
    if not np.isfinite(wide).all():
        raise ValueError("points must be finite, got NaN or infinity. Look for it upstream.")
    if np.abs(wide).max() > _LARGEST:
        raise ValueError(f"points must be at most {_LARGEST:g}, got {np.abs(wide).max():g}. Divide all by a number.")
    return wide


def _by_tree(
    queries: NDArray[np.generic], points: NDArray[np.generic], k: int, own: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    wanted = min(k + 1, len(points))
    distances, indices = KDTree(_finite(points)).query(_finite(queries), np.arange(1, wanted + 1))
    # One too many: the query itself, or, among more than k copies of it and without it, the last.
    keep = indices != own[:, None]
    keep[keep.sum(axis=1) > k, -1] = False
    return distances[keep].reshape(-1, k), indices[keep].reshape(-1, k)


def _by_blocks(
    queries: NDArray[np.generic], points: NDArray[np.generic], k: int, own: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Screen by products, which lose digits to cancellation, and decide by differences."""
    squares, nearby = np.full((len(queries), k), np.inf), np.full((len(queries), k), -1)
    centre = np.mean([_finite(block).mean(axis=0) for _, block in _blocks(points, _POINTS)], axis=0)
    for first, rows in _blocks(queries, _QUERIES):
        x = _finite(rows) - centre
        x_squares = np.einsum("ij,ij->i", x, x)
        best, where = squares[first : first + len(x)], nearby[first : first + len(x)]
        for start, columns in _blocks(points, _POINTS):
            y = _finite(columns) - centre
            y_squares = np.einsum("ij,ij->i", y, y)
            screen = x @ y.T
            screen *= -2
            screen += x_squares[:, None]
            screen += y_squares
            # ||x||^2 + ||y||^2 - 2 x.y is off by at most 2 (d + 3) u (||x||^2 + ||y||^2), u = 2^-53, and centring adds
            # less than 4 u of it. Whatever may be among the k nearest within twice that is kept.
            margin = (x.shape[1] + 8) * 2.0**-52 * 2 * (x_squares + y_squares.max())
            held = own[first : first + len(x)] - start
            inside = np.flatnonzero((held >= 0) & (held < len(y)))
            screen[inside, held[inside]] = np.inf
            limit = best[:, -1]
            if len(y) >= k and np.isinf(limit).any():
                limit = np.minimum(limit, np.partition(screen, k - 1, axis=1)[:, k - 1] + margin)
            near = screen <= (limit + margin)[:, None]
            near[inside, held[inside]] = False
            row, column = np.nonzero(near)
            exact = _squared_differences(rows, columns, row, column)
            # Candidates beside what was best so far, sorted by row and then by distance.
            row = np.concatenate([np.repeat(np.arange(len(x)), k), row])
            exact = np.concatenate([best.ravel(), exact])
            index = np.concatenate([where.ravel(), column + start])
            order = np.lexsort((exact, row))
            starts = np.searchsorted(row[order], np.arange(len(x)))
            chosen = order[starts[:, None] + np.arange(k)]
            best[:], where[:] = exact[chosen], index[chosen]
    return np.sqrt(squares), nearby


def _blocks(array: NDArray[np.generic], size: int) -> Iterator[tuple[int, NDArray[np.generic]]]:
    for start in range(0, len(array), size):
        yield start, array[start : start + size]


def _squared_differences(
    x: NDArray[np.generic], y: NDArray[np.generic], row: NDArray[np.intp], column: NDArray[np.intp]
) -> NDArray[np.float64]:
    found = np.empty(len(row))
    size = max(1, _NUMBERS // x.shape[1])
    for start in range(0, len(row), size):
        part = slice(start, start + size)
        gap = x[row[part]].astype(np.float64) - y[column[part]].astype(np.float64)
        found[part] = np.einsum("ij,ij->i", gap, gap)
    return found
