"""Upper limits for the information about a fair bit from counts: the worst laws that Clopper-Pearson limits allow."""

import math
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.information.estimates import UpperLimit
from genbounds.numerics.binomial import binomial_lower, binomial_upper
from genbounds.numerics.checks import confidence, count
from genbounds.numerics.deviance import deviance
from genbounds.numerics.rounding import round_up

__all__ = ["LOG_2", "box_limits", "log_level"]

#: ln 2 rounded up: no fair bit can be known better.
LOG_2 = math.nextafter(math.log(2.0), 1.0)

#: How far the sum of a vertex may be from 1, and what it can change in a divergence whose slope in a mass above 1e-12
#: is below 20, with room for the rounding of the divergence itself.
_TOLERANCE, _MARGIN = 1e-12, 1e-10

#: Beyond so many symbols seen, upper limits of single symbols are left out: vertices double with each.
_MOST_CUT = 6


def log_level(delta: float) -> float:
    """Return ln(delta), rounded down.

    Parameters
    ----------
    delta : float
        Probability, in (0, 1).

    Returns
    -------
    float
        At most ln(delta).
    """
    return -float(round_up(-np.log(delta), 4))


def _summands(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the summands of the Jensen-Shannon divergence, none of them negative."""
    p, q = np.broadcast_arrays(p, q)
    middle = (p + q) / 2
    return (deviance(p, middle, (q - p) / 2) + deviance(q, middle, (p - q) / 2)) / 2


def _vertices(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the vertices of {p : low <= p <= high, sum p = 1}: all coordinates but one at an end."""
    size = len(low)
    ends = np.array(list(product((False, True), repeat=size - 1))).reshape(-1, size - 1)
    found = []
    for free in range(size):
        points = np.insert(np.where(ends, np.delete(high, free), np.delete(low, free)), free, 0.0, axis=1)
        points[:, free] = 1.0 - points.sum(axis=1)
        inside = (points[:, free] >= low[free] - _TOLERANCE) & (points[:, free] <= high[free] + _TOLERANCE)
        found.append(np.maximum(points[inside], 0.0))
    return np.unique(np.concatenate(found), axis=0)


def _corners(low: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the vertices of {p : low <= p, sum p = 1}."""
    return low + max(1.0 - low.sum(), 0.0) * np.eye(len(low))


def _worst(low: NDArray[np.float64], high: NDArray[np.float64]) -> float:
    """Return the largest divergence of two laws between limits, shape (2, symbols); the last symbol is two in truth."""
    cut = low.shape[-1] <= _MOST_CUT + 1
    first, second = (_vertices(*ends) if cut else _corners(ends[0]) for ends in zip(low, high, strict=True))
    shared = _summands(first[:, None, :-1], second[None, :, :-1]).sum(axis=-1)
    unseen = (first[:, None, -1] + second[None, :, -1]) * (LOG_2 / 2)
    return min(float((shared + unseen).max()) + _MARGIN, LOG_2)


def box_limits(counts: ArrayLike, delta: float) -> UpperLimit:
    """Limit the information that a symbol has about a fair bit, from counts given each value of the bit.

    Parameters
    ----------
    counts : array_like of int, shape (..., 2, symbols)
        How often each symbol was seen for bit 0 and for bit 1. For each bit the draws are independent and of one law,
        and their number does not depend on what they show; the draws for one bit may depend on those for the other in
        any way, and so may the tables of a batch. The symbols are all that can occur, fixed before looking.
    delta : float
        Probability with which any of the limits may fail, in (0, 1).

    Returns
    -------
    UpperLimit
        Nats, shape (...), each above its own truth, all at once; at most ln 2.

    Raises
    ------
    ValueError
        If a count is no whole number or the shape is another.

    Notes
    -----
    I(V;U) for a fair U is the Jensen-Shannon divergence of the laws p_0 and p_1 of V given U. Each probability lies
    between its two Clopper-Pearson limits but with probability delta / (2 * symbols * tables), for both sides together;
    all 2 * symbols * tables of them do with probability at least 1 - delta. What is left for each law is a polytope.
    The divergence is jointly convex, so over the product of both polytopes it is largest at a pair of vertices.

    Symbols that were not seen are taken together as one for each law, of its own: a pair of laws (p_0, p_1) comes about
    from that coarser pair by drawing one of these symbols afterwards, which gives no information away. With more than
    six symbols seen only the lower limits are used, which allows more laws.

    Examples
    --------
    >>> float(box_limits([[50, 0], [0, 50]], 0.05)) == LOG_2
    True
    >>> f"{float(box_limits([[500, 0], [500, 0]], 0.05)):.4f}"  # the truth may be 0
    '0.0070'
    """
    tables = count("counts", counts, minimum=0, remedy="Count how often each symbol was seen.")
    if tables.ndim < 2 or tables.shape[-2] != 2 or not tables.size:
        raise ValueError(f"counts must have shape (..., 2, symbols), got {tables.shape}. Give one row a bit.")
    symbols = tables.shape[-1]
    rows = tables.reshape(-1, 2, symbols)
    level = log_level(float(confidence("delta", delta)) / (4 * symbols * len(rows)))
    # The divergence does not depend on the order of the symbols, so that it is put into one; 0 stands for the unseen.
    rows = np.take_along_axis(rows, np.lexsort((rows[:, 1], rows[:, 0]), axis=-1)[:, None], axis=-1)
    distinct, place = np.unique(rows.reshape(len(rows), -1), axis=0, return_inverse=True)
    seen = np.pad(distinct.reshape(-1, 2, symbols), ((0, 0), (0, 0), (0, 1)))
    draws = np.broadcast_to(np.maximum(seen.sum(axis=-1, keepdims=True), 1.0), seen.shape)
    low, high = (np.asarray(limit(seen, draws, level)) for limit in (binomial_lower, binomial_upper))
    high[np.broadcast_to(~seen.any(axis=-1, keepdims=True), high.shape)] = 1.0
    worst = []
    for table, below, above in zip(seen, low, high, strict=True):
        shown = table.any(axis=0)
        above[:, -1] = np.minimum(above[:, -1] * (symbols - shown.sum()), 1.0)
        shown[-1] = True
        worst.append(_worst(below[:, shown], above[:, shown]))
    limits = np.array(worst)[place].reshape(tables.shape[:-2])
    return UpperLimit(limits[()], delta, "Clopper-Pearson limits for every symbol, the worst laws that they allow")
