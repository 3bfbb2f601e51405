"""Distances that compare place by place: Hamming's, and the symmetric difference of sets. NumPy alone."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from genbounds.pathways.paths import Paths

__all__ = ["PlaceDistances", "hamming", "symmetric_difference"]


class PlaceDistances:
    """Sums over places of how much two samples differ there.

    Parameters
    ----------
    one, two : ndarray, shapes (places, n) and (places, m)
        What the samples of both sets have at each place.
    difference : callable
        Takes two broadcasting arrays of what is at a place and returns how much they differ, whole numbers.
    """

    def __init__(
        self, one: NDArray[np.integer], two: NDArray[np.integer], difference: Callable[[NDArray, NDArray], NDArray]
    ) -> None:
        self._one, self._two, self._difference = one, two, difference

    def block(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the distances of all pairs of some samples of the first set with some of the second.

        Parameters
        ----------
        rows : ndarray of int, shape (b,)
            Samples of the first set.
        columns : ndarray of int, shape (c,)
            Samples of the second set.

        Returns
        -------
        ndarray of int64, shape (b, c)
            Distances.
        """
        return self.pairs(rows[:, None], columns)

    def pairs(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the distances of given pairs.

        Parameters
        ----------
        i, j : ndarray of int
            Sample of the first and of the second set of each pair; they broadcast.

        Returns
        -------
        ndarray of int64
            Distances.
        """
        total = np.zeros(np.broadcast_shapes(i.shape, j.shape), np.int64)
        for one, two in zip(self._one, self._two, strict=True):
            total += self._difference(one[i], two[j])
        return total


def hamming(one: Paths, two: Paths) -> PlaceDistances:
    """Compare paths of equal lengths by the number of places with different experts.

    Parameters
    ----------
    one, two : Paths
        Of the same model.

    Returns
    -------
    PlaceDistances
        Between them.

    Raises
    ------
    ValueError
        If the lists of a layer have different lengths.
    """
    lengths = np.concatenate([one.lengths, two.lengths])
    if (lengths != lengths[0]).any():
        raise ValueError(
            f"metric 'hamming' must have paths of equal lengths, got lists of {lengths.min()} to {lengths.max()} "
            "experts. Take metric='layers', or paths of the top k."
        )
    places = int(lengths.max())
    first, second = (
        np.ascontiguousarray(paths.symbols[..., :places].reshape(len(paths), -1).T) for paths in (one, two)
    )
    return PlaceDistances(first, second, np.not_equal)


def symmetric_difference(one: Paths, two: Paths) -> PlaceDistances:
    """Compare the sets of (layer, expert) of paths by the number of elements that one has and the other has not.

    Parameters
    ----------
    one, two : Paths
        Of the same model.

    Returns
    -------
    PlaceDistances
        Between them.
    """
    return PlaceDistances(_bits(one), _bits(two), lambda a, b: np.bitwise_count(a ^ b))


def _bits(paths: Paths) -> NDArray[np.uint64]:
    """Return which experts of all layers a path meets, as bits of words, shape (words, n)."""
    layers = []
    for layer, experts in enumerate(paths.experts):
        # -1 falls into a last column, which is cut off.
        met = np.zeros((len(paths), experts + 1), np.bool_)
        np.put_along_axis(met, paths.symbols[:, layer].astype(np.intp), True, axis=1)
        words = np.zeros((len(paths), -(-experts // 64) * 8), np.uint8)
        words[:, : -(-experts // 8)] = np.packbits(met[:, :-1], axis=1)
        layers.append(words.view(np.uint64))
    return np.ascontiguousarray(np.concatenate(layers, axis=1).T)
