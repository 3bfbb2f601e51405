"""The distances by name: how each is found, which lengths divide it, and what a reader must know of it."""

from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from genbounds.pathways.distances.edits import EditDistances
from genbounds.pathways.distances.normalisation import Normalisation, normalised
from genbounds.pathways.distances.places import PlaceDistances, hamming, symmetric_difference
from genbounds.pathways.distances.spellings import SPELLINGS
from genbounds.pathways.paths import Paths

__all__ = ["Measure", "Metric", "distance_warnings"]

Metric: TypeAlias = Literal["layers", "concatenated", "literal", "hamming", "jaccard"]


class Measure:
    """Two sets of paths, prepared for one distance.

    Parameters
    ----------
    one, two : Paths
        Of n and of m samples, of the same model.
    metric : {"layers", "concatenated", "literal", "hamming", "jaccard"}
        Which distance; see `genbounds.pathways.distance_blocks`.
    normalise : {"yujian_bo", "max"}, optional
        Division by length.
    workers : int
        Threads for edit distances.

    Raises
    ------
    ValueError
        If the paths are of different layers, or the metric or its normalisation is unknown or does not fit them.
    ImportError
        If the metric needs rapidfuzz.
    """

    def __init__(
        self, one: Paths, two: Paths, metric: Metric, normalise: Normalisation | None = None, workers: int = 1
    ) -> None:
        if one.experts != two.experts:
            raise ValueError(
                f"two must have as many experts in each layer as one, {one.experts}, got {two.experts}. Take paths of "
                "one model."
            )
        for name, value, known in (
            ("metric", metric, get_args(Metric)),
            ("normalise", normalise, (None, *get_args(Normalisation))),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {known}, got {value!r}. Take the default.")
        self._normalise = normalise
        self._lengths = [paths.lengths.T for paths in (one, two)]
        self._distances: EditDistances | PlaceDistances
        if metric == "jaccard":
            if normalise == "max":
                raise ValueError("normalise must be None for metric 'jaccard', got 'max'. It is in [0, 1] already.")
            self._distances, self._normalise = symmetric_difference(one, two), "yujian_bo"
        elif metric == "hamming" or (metric != "literal" and (one.lengths == 1).all() and (two.lengths == 1).all()):
            self._distances = hamming(one, two)
        else:
            first, second = SPELLINGS[metric](one), SPELLINGS[metric](two)
            self._lengths = [np.array([list(map(len, part)) for part in parts]) for parts in (first, second)]
            self._distances = EditDistances(first, second, workers)

    def block(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Return the distances of all pairs of some samples of the first set with some of the second.

        Parameters
        ----------
        rows : slice
            b samples of the first set.
        columns : slice
            c samples of the second set.

        Returns
        -------
        ndarray of float64, shape (b, c)
            Distances.
        """
        one, two = self._lengths
        distances = self._distances.block(np.arange(one.shape[1])[rows], np.arange(two.shape[1])[columns])
        return normalised(distances, one[:, rows, None], two[:, None, columns], self._normalise)

    def pairs(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the distances of given pairs.

        Parameters
        ----------
        i, j : ndarray of int, shape (p,)
            Sample of the first and of the second set of each pair.

        Returns
        -------
        ndarray of float64, shape (p,)
            Distances.
        """
        one, two = self._lengths
        return normalised(self._distances.pairs(i, j), one[:, i], two[:, j], self._normalise)


def distance_warnings(
    paths: Paths, *, metric: Metric = "layers", normalise: Normalisation | None = None
) -> tuple[str, ...]:
    """Say what makes distances between these paths worth less than they look.

    Parameters
    ----------
    paths : Paths
        Of n samples.
    metric : {"layers", "concatenated", "literal", "hamming", "jaccard"}
        Which distance.
    normalise : {"yujian_bo", "max"}, optional
        Division by length.

    Returns
    -------
    tuple of str
        Sentences for a record of such distances; empty if there is nothing to say.

    Examples
    --------
    >>> symbols = np.array([[[0, 1]], [[1, -1]]], np.int16)
    >>> paths = Paths(symbols, np.array([[2], [1]]), (3,), "by hand", np.array([0, 1]))
    >>> distance_warnings(paths)
    ('1 of 2 paths have equal gates somewhere, ordered by number: renumbering experts may change distances.',)
    """
    found = []
    if normalise == "max" and (metric == "literal" or (paths.lengths != paths.lengths[0]).any()):
        found.append(
            "Distances divided by the larger length need not be a metric: two paths may be farther apart than their "
            "distances from a third one add up to. Take normalise='yujian_bo'."
        )
    if metric == "literal":
        found.append(
            "Distances of literal strings count digits and separators: they change if experts are renumbered, which "
            "changes nothing in the network."
        )
    tied = int((paths.ties > 0).sum())
    if tied:
        found.append(
            f"{tied} of {len(paths)} paths have equal gates somewhere, ordered by number: renumbering experts may "
            "change distances."
        )
    return tuple(found)
