"""Codebooks: the few values that coordinates may take, each of which a message can carry exactly."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics import count

__all__ = ["Codebook", "k_means", "uniform"]

#: Rounds of Lloyd's algorithm after which it is stopped, converged or not.
_ROUNDS = 200


@dataclass(frozen=True)
class Codebook:
    """Values that coordinates may take, ascending, each a float16.

    Parameters
    ----------
    levels : ndarray of float64, shape (K,)
        Finite values that float16 represents exactly, strictly ascending; at least one.

    Raises
    ------
    ValueError
        If a level is no float16, or they do not ascend.
    """

    levels: NDArray[np.float64]

    def __post_init__(self) -> None:
        levels = np.asarray(self.levels, dtype=np.float64)
        with np.errstate(over="ignore"):
            stored = levels.astype(np.float16).astype(np.float64)
        if levels.ndim != 1 or not levels.size or not np.array_equal(stored, levels) or not np.isfinite(levels).all():
            raise ValueError(f"levels must be finite float16 values, got {self.levels!r}. Use Codebook.rounded.")
        if (np.diff(levels) <= 0).any():
            raise ValueError(f"levels must ascend, got {levels.tolist()}. Use Codebook.rounded.")
        object.__setattr__(self, "levels", levels)

    @classmethod
    def rounded(cls, values: ArrayLike) -> "Codebook":
        """Return the codebook of the float16 values nearest to some values; equal ones become one level.

        Parameters
        ----------
        values : array_like
            Levels in any order, of magnitude below 65,504.

        Returns
        -------
        Codebook
            At most as many levels.
        """
        with np.errstate(over="ignore"):  # infinity is refused on construction
            return cls(np.unique(np.asarray(values, dtype=np.float64).astype(np.float16)).astype(np.float64))

    def nearest(self, values: ArrayLike) -> NDArray[np.int64]:
        """Return the nearest level of each value; half-way the upper one.

        Parameters
        ----------
        values : array_like, shape (n,)
            Coordinates.

        Returns
        -------
        ndarray of int64, shape (n,)
            Places in `levels`.
        """
        middles = (self.levels[1:] + self.levels[:-1]) / 2
        return np.searchsorted(middles, np.asarray(values, dtype=np.float64), side="right").astype(np.int64)

    @property
    def multiples(self) -> tuple[int, int, int] | None:
        """(first, last, exponent) if the levels are all of first, ..., last <= 2^10 times 2^exponent, 0 among them."""
        if self.levels.size < 2 or 0 not in self.levels:
            return None
        mantissa, exponent = math.frexp(float(self.levels[1] - self.levels[0]))
        whole = self.levels / math.ldexp(1, exponent - 1)
        first, last = int(whole[0]), int(whole[-1])
        if mantissa != 0.5 or not np.array_equal(whole, np.arange(first, last + 1)) or len(whole) != last - first + 1:
            return None
        return first, last, exponent - 1


def uniform(values: ArrayLike, levels: int) -> Codebook:
    """Return equally spaced levels around zero that fit some values: a power of two times -m, ..., 0, ..., m.

    A power of two costs next to nothing in a message, and most networks adapt to the spacing while they are trained
    with it.

    Parameters
    ----------
    values : array_like, shape (n,)
        Coordinates.
    levels : int
        An odd number of levels, at least 3.

    Returns
    -------
    Codebook
        Of the spacings 2^e, that of least squared error.

    Raises
    ------
    ValueError
        If the number is even or less than 3.
    """
    if int(count("levels", levels)) % 2 == 0 or levels < 3:
        raise ValueError(f"levels must be odd and at least 3 for equal steps, got {levels}. Take 3, 5 or 7.")
    half = levels // 2
    array = np.asarray(values, dtype=np.float64)
    # Steps wider than the widest value serve nothing, and float16 ends at 2^-14 and 2^16.
    widest = min(math.frexp(float(np.abs(array).max(initial=0)))[1], 15 - half.bit_length())
    exponents = range(max(-14, widest - 12), max(-14, widest) + 1)
    books = [Codebook(np.ldexp(np.arange(-half, half + 1, dtype=np.float64), exponent)) for exponent in exponents]
    return min(books, key=lambda book: float(np.square(array - book.levels[book.nearest(array)]).sum()))


def k_means(values: ArrayLike, levels: int) -> Codebook:
    """Return the levels that Lloyd's algorithm finds from a start at equally spaced quantiles.

    Parameters
    ----------
    values : array_like, shape (n,)
        Coordinates, at least one.
    levels : int
        Most levels, at least 1; fewer if the values are fewer.

    Returns
    -------
    Codebook
        Rounded to float16. A function of the values alone: nothing is drawn.

    Raises
    ------
    ValueError
        If there are no values.
    """
    array = np.sort(np.asarray(values, dtype=np.float64))
    if not array.size:
        raise ValueError("values must have at least one coordinate, got none.")
    centres = np.unique(np.quantile(array, (np.arange(int(count("levels", levels))) + 0.5) / levels))
    sums = np.concatenate([[0.0], np.cumsum(array)])
    for _ in range(_ROUNDS):
        # In order of size every cell is a stretch of values, and its mean a difference of two partial sums.
        ends = np.searchsorted(array, np.concatenate([[-np.inf], (centres[1:] + centres[:-1]) / 2, [np.inf]]))
        sizes = np.diff(ends)
        moved = np.where(sizes > 0, np.diff(sums[ends]) / np.maximum(sizes, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return Codebook.rounded(centres)
