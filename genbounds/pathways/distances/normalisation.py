r"""Distances divided by how long the paths are: which division leaves a metric, and which does not.

**2 D / (|s| + |t| + D)** is a metric on [0, 1] whenever D is one with ``D(s, empty) = |s|``. [YujianBo2007]_ prove it
for edit distances; it holds for any metric D on a set with a point e. Let s, t, u be at ``a``, ``b``, ``c`` from e, and
``p = D(s, t)``, ``q = D(t, u)``, ``r = D(s, u) <= p + q``. Since ``x / (a + c + x)`` increases in x,

    ``r / (a + c + r) <= p / (a + c + p + q) + q / (a + c + p + q) <= p / (a + b + p) + q / (b + c + q)``,

the last step by ``b <= c + q`` and ``b <= a + p``. So it serves Levenshtein's distance of concatenated symbols and of
literal strings (|s| counts symbols or characters), and the sum over layers (|s| counts the symbols of all layers; the
empty path is empty in every layer). Hamming's distance has it too, with a path of blanks in the place of e. For sets
with the symmetric difference in the place of D it is Jaccard's distance, ``|A ^ B| / |A u B|``, since
``|A| + |B| + |A ^ B| = 2 |A u B|``.

**D / max(|s|, |t|)** is no metric: for ab, bc and abc, 1 > 1/3 + 1/3. It is one where all paths are equally long, as a
multiple of D; literal strings of equally many experts need not be, as numbers have different numbers of digits. For the
sum over layers the maximum is taken in each layer, so that 1 is the largest value: our reading, [LiFanZhou2025]_
normalise in an appendix without saying how.
"""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Normalisation", "normalised"]

Normalisation: TypeAlias = Literal["yujian_bo", "max"]


def normalised(
    distance: NDArray[np.int64],
    one: NDArray[np.int64],
    two: NDArray[np.int64],
    normalise: Normalisation | None,
) -> NDArray[np.float64]:
    """Divide distances by the lengths of paths.

    Parameters
    ----------
    distance : ndarray of int64, shape (...)
        Distances D of pairs.
    one, two : ndarray of int64, shape (parts, ...)
        Lengths of both paths of each pair in each part of their spelling; beyond the first axis they broadcast.
    normalise : {"yujian_bo", "max"}, optional
        ``2 D / (|s| + |t| + D)`` or ``D / sum over parts of max(|s|, |t|)``; by default D itself.

    Returns
    -------
    ndarray of float64, shape (...)
        In [0, 1] where they are normalised; two empty paths are at the distance 0.

    Examples
    --------
    >>> normalised(np.array([2]), np.array([[2]]), np.array([[2]]), "yujian_bo").round(4).tolist()
    [0.6667]
    """
    if normalise is None:
        return distance.astype(np.float64)
    if normalise == "yujian_bo":
        numerator, denominator = 2 * distance, one.sum(axis=0) + two.sum(axis=0) + distance
    else:
        numerator, denominator = distance, sum(np.maximum(a, b) for a, b in zip(one, two, strict=True))
    return np.divide(numerator, denominator, out=np.zeros(distance.shape), where=denominator > 0)
