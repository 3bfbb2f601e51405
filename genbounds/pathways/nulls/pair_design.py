"""Pairs of different samples, drawn without replacement, from all or from within groups."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_pairs"]

Indices = NDArray[np.intp]


def draw_pairs(
    groups: NDArray[np.integer], number: int | None, generator: np.random.Generator
) -> tuple[Indices, Indices]:
    """Return pairs of different samples of the same group, uniformly without replacement.

    Parameters
    ----------
    groups : ndarray of int, shape (n,)
        Groups as numbers from 0; zeros for pairs of any samples.
    number : int or None
        How many pairs; all there are, in order, if None or more than there are.
    generator : numpy.random.Generator
        Source of the draw.

    Returns
    -------
    i, j : ndarray of int, shape (pairs,)
        Samples of each pair; no pair occurs twice, in either order.

    Examples
    --------
    >>> one, two = draw_pairs(np.array([0, 1, 0, 0]), None, np.random.default_rng(0))
    >>> list(zip(one.tolist(), two.tolist()))
    [(0, 2), (0, 3), (2, 3)]
    """
    members, sizes = np.argsort(groups, kind="stable"), np.bincount(groups)
    last = np.cumsum(sizes * (sizes - 1) // 2)
    total = int(last[-1])
    codes = np.arange(total) if number is None or number >= total else _subset(total, number, generator)
    group = np.searchsorted(last, codes, side="right")
    codes = codes - (last - sizes * (sizes - 1) // 2)[group]
    # Pair number c of a group is (c - j (j - 1) / 2, j): the root is right but for rounding, which the next lines mend.
    two = ((1 + np.sqrt(1 + 8 * codes.astype(np.float64))) / 2).astype(np.int64)
    two -= two * (two - 1) // 2 > codes
    two += two * (two + 1) // 2 <= codes
    start = (np.cumsum(sizes) - sizes)[group]
    return members[start + codes - two * (two - 1) // 2], members[start + two]


def _subset(total: int, number: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return different numbers below `total`, uniformly, in memory of the order of `number`."""
    if 2 * number > total:
        return generator.permutation(total)[:number]
    drawn = np.empty(0, np.int64)
    while len(drawn) < number:  # the first ones that differ, in the order in which they came
        drawn = np.concatenate([drawn, generator.integers(total, size=number)])
        drawn = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
    return drawn[:number]
