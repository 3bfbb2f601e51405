"""Kendall's rank correlation in the form in which the study of measures defines it."""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.measures.predictiveness.runs import paired_ranks

__all__ = ["tau_a"]

#: Rows of the matrix of pairs at a time.
_ROWS = 512


def tau_a(measure: ArrayLike, gap: ArrayLike) -> float:
    """Return Kendall's tau-a: mean over ordered pairs of runs of sgn(difference in measure) sgn(difference in gap).

    Parameters
    ----------
    measure, gap : array_like, shape (n,)
        One finite number for each of n >= 2 runs.

    Returns
    -------
    float
        In [-1, 1]. Tied pairs count as 0 and stay in the denominator n (n - 1), as in [Jiang2020]_; the tau-b
        of most libraries takes them out, and is not a number for a measure that does not vary.

    Raises
    ------
    ValueError
        If the columns do not fit, or hold a number that is not finite.

    Examples
    --------
    >>> tau_a([1, 2, 3], [0.1, 0.3, 0.2])
    0.3333333333333333
    >>> tau_a([1, 1, 1], [0.1, 0.3, 0.2])
    0.0
    """
    x, y = paired_ranks(measure, gap)
    runs = len(x)
    total = 0
    for start in range(0, runs, _ROWS):
        rows = slice(start, start + _ROWS)
        total += int((np.sign(x[rows, None] - x) * np.sign(y[rows, None] - y)).sum())
    return total / (runs * (runs - 1))
