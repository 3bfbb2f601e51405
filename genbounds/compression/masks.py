"""Pruning: which coordinates are kept, and the shortest code for a set of places of known size."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.compression.codes import BitReader, BitWriter, read_delta, write_delta

__all__ = ["largest", "read_mask", "write_mask"]


def largest(values: ArrayLike, share: float) -> NDArray[np.bool_]:
    """Mark the values that are largest in magnitude; of equal ones, the first.

    Parameters
    ----------
    values : array_like, shape (n,)
        Coordinates.
    share : float
        How many to keep, in (0, 1]: ceil(share * n).

    Returns
    -------
    ndarray of bool, shape (n,)
        True for those that are kept.

    Raises
    ------
    ValueError
        If the share is out of range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], got {share}. It is the part of the coordinates that is kept.")
    magnitudes = np.abs(np.asarray(values, dtype=np.float64))
    kept = np.zeros(magnitudes.size, dtype=bool)
    kept[np.argsort(-magnitudes, kind="stable")[: math.ceil(share * magnitudes.size)]] = True
    return kept


def write_mask(bits: BitWriter, mask: NDArray[np.bool_]) -> None:
    """Append a mask: how many places are marked, and its number among all masks with as many.

    Parameters
    ----------
    bits : BitWriter
        Where to; it grows by delta(k + 1) and ceil(log2 C(n, k)) bits.
    mask : ndarray of bool, shape (n,)
        k of n places marked; the reader must know n.
    """
    size, rank = len(mask), int(mask.sum())
    write_delta(bits, rank + 1)
    # Combinadics: the number of a set is the sum of C(place, rank) over its places, a different one for each set.
    below = math.comb(size, rank)
    width, number = (below - 1).bit_length(), 0
    for place in range(size - 1, -1, -1):
        if rank in (0, place + 1):  # none of the others, or all
            break
        below = below * (place + 1 - rank) // (place + 1)  # C(place + 1, rank) to C(place, rank), without remainder
        if mask[place]:
            number += below
            below, rank = below * rank // (place - rank + 1), rank - 1  # to C(place, rank - 1)
    bits.write(number, width)


def read_mask(bits: BitReader, size: int) -> NDArray[np.bool_]:
    """Read a mask.

    Parameters
    ----------
    bits : BitReader
        Where from.
    size : int
        Places, n.

    Returns
    -------
    ndarray of bool, shape (n,)
        The mask.

    Raises
    ------
    ValueError
        If there is no such mask.
    """
    rank = read_delta(bits) - 1
    if rank > size:
        raise ValueError(f"a mask of {size} places must mark at most as many, got {rank}. It is no message.")
    below = math.comb(size, rank)
    number = bits.read((below - 1).bit_length())
    if number >= below:
        raise ValueError(f"a mask must have a number below {below}, got {number}. It is no message.")
    mask = np.zeros(size, dtype=bool)
    for place in range(size - 1, -1, -1):
        if rank in (0, place + 1):
            mask[: place + 1] = bool(rank)
            break
        below = below * (place + 1 - rank) // (place + 1)
        if number >= below:
            mask[place] = True
            number -= below
            below, rank = below * rank // (place - rank + 1), rank - 1
    return mask
