"""Levenshtein's distance, by rapidfuzz: the least number of insertions, deletions and substitutions of one symbol."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EditDistances"]


class EditDistances:
    """Edit distances between the spellings of two sets of samples, summed over the parts of a spelling.

    Strings that several samples share are compared once for each block, so that short lists cost little.

    Parameters
    ----------
    one, two : sequence of sequence of str
        For each part (a layer, or the whole path) a string for each of n and of m samples.
    workers : int
        Threads of rapidfuzz; -1 for one on each core. The result does not depend on it.

    Raises
    ------
    ImportError
        Without the extra ``pathways``.
    """

    def __init__(self, one: Sequence[Sequence[str]], two: Sequence[Sequence[str]], workers: int = 1) -> None:
        try:
            from rapidfuzz import process
            from rapidfuzz.distance import Levenshtein
        except ImportError as error:
            raise ImportError("edit distances need rapidfuzz: pip install 'genbounds[pathways]'.") from error
        longest = max(len(string) for part in (*one, *two) for string in part)
        # rapidfuzz casts to the dtype without asking whether the distance fits.
        self._options: dict[str, Any] = {
            "scorer": Levenshtein.distance,
            "dtype": np.min_scalar_type(longest).type,
            "workers": workers,
        }
        self._process = process
        self._parts = [(_vocabulary(a), _vocabulary(b)) for a, b in zip(one, two, strict=True)]

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
        total = np.zeros((len(rows), len(columns)), np.int64)
        for (words, word_of), (others, other_of) in self._parts:
            left, row = np.unique(word_of[rows], return_inverse=True)
            right, column = np.unique(other_of[columns], return_inverse=True)
            distances = self._process.cdist([words[k] for k in left], [others[k] for k in right], **self._options)
            total += distances[row[:, None], column]
        return total

    def pairs(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the distances of given pairs.

        Parameters
        ----------
        i, j : ndarray of int, shape (p,)
            Sample of the first and of the second set of each pair.

        Returns
        -------
        ndarray of int64, shape (p,)
            Distances.
        """
        total = np.zeros(len(i), np.int64)
        for (words, word_of), (others, other_of) in self._parts:
            left, right = [words[k] for k in word_of[i]], [others[k] for k in other_of[j]]
            total += self._process.cpdist(left, right, **self._options)
        return total


def _vocabulary(strings: Sequence[str]) -> tuple[list[str], NDArray[np.intp]]:
    """Return the different strings in the order they first occur, and which of them each sample has."""
    number = {word: k for k, word in enumerate(dict.fromkeys(strings))}
    return list(number), np.array([number[string] for string in strings], np.intp)
