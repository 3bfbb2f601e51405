"""How unevenly something is shared out."""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics.checks import finite, nonnegative

__all__ = ["gini"]


def gini(values: ArrayLike) -> float:
    """Return the Gini coefficient: half the mean absolute difference of two values over their mean.

    Parameters
    ----------
    values : array_like, shape (n,)
        Non-negative finite numbers, not all 0.

    Returns
    -------
    float
        In [0, 1 - 1/n]: 0 where all are equal, 1 - 1/n where all but one are 0.

    Raises
    ------
    ValueError
        If a value is negative or not finite, or all are 0.

    Examples
    --------
    >>> gini([1, 1, 1, 1]), gini([0, 0, 3, 0])
    (0.0, 0.75)
    """
    ordered = np.sort(finite("values", nonnegative("values", values)).ravel())
    n = len(ordered)
    if not n or ordered[-1] == 0:
        raise ValueError("values must hold a positive number, got none. Nothing has no distribution.")
    # Scaled by the largest, so that sums of huge or tiny values stay inside float64.
    ordered = ordered / ordered[-1]
    ranks = 2 * np.arange(1, n + 1) - n - 1
    return float(ranks @ ordered / (n * ordered.sum()))
