"""Upper limits for what counts tell about a fair coin: the worst laws that Clopper-Pearson limits allow."""

from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.information.estimation.coin_divergences import COIN_DIVERGENCES, CoinDivergence
from genbounds.numerics.binomial import binomial_lower, binomial_upper
from genbounds.numerics.checks import confidence, count
from genbounds.numerics.estimates import UpperLimit
from genbounds.numerics.rounding import round_up

__all__ = ["box_limits", "corners", "log_level"]

#: How far outside the limits a vertex may lie: rounding must not lose one.
_TOLERANCE = 1e-12

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


def corners(low: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the vertices of {p : low <= p, sum p = 1}.

    Parameters
    ----------
    low : ndarray, shape (K,)
        Lower limits of probabilities.

    Returns
    -------
    ndarray, shape (K, K)
        One law a row: all that the limits leave goes to one symbol.
    """
    return low + max(1.0 - low.sum(), 0.0) * np.eye(len(low))


def _worst(divergence: CoinDivergence, low: NDArray[np.float64], high: NDArray[np.float64]) -> float:
    """Return the largest divergence of two laws between limits, shape (2, symbols); the last symbol is two in truth."""
    cut = low.shape[-1] <= _MOST_CUT + 1
    first, second = (_vertices(*ends) if cut else corners(ends[0]) for ends in zip(low, high, strict=True))
    shared = divergence.between(first[:, None, :-1], second[None, :, :-1])
    unseen = (first[:, None, -1] + second[None, :, -1]) * (divergence.largest / 2)
    return min(float((shared + unseen).max()) + divergence.margin, divergence.largest)


def box_limits(counts: ArrayLike, delta: float, divergence: str = "mutual") -> UpperLimit:
    """Limit the information that a symbol has about a fair coin, from counts given each face of the coin.

    Parameters
    ----------
    counts : array_like of int, shape (..., 2, symbols)
        How often each symbol was seen for face 0 and for face 1. For each face the draws are independent and of one
        law, and their number does not depend on what they show; the draws for one face may depend on those for the
        other in any way, and so may the tables of a batch. The symbols are all that can occur, fixed before looking.
    delta : float
        Probability with which any of the limits may fail, in (0, 1).
    divergence : str
        Sense of information: a key of `COIN_DIVERGENCES`. The limits of all senses hold at once.

    Returns
    -------
    UpperLimit
        Shape (...), each above its own truth, all at once; mutual information in nats, at most ln 2.

    Raises
    ------
    ValueError
        If a count is no whole number or the shape is another.

    Notes
    -----
    Each probability that the laws p_0 and p_1 of the symbol V given the coin give lies
    between its two Clopper-Pearson limits but with probability delta / (2 * symbols * tables), for both sides together;
    all 2 * symbols * tables of them do with probability at least 1 - delta. What is left for each law is a polytope.
    Information is jointly convex in them, so over the product of both polytopes it is largest at a pair of vertices.

    Symbols that were not seen, if they are several, are taken together as one for each law, of its own: a pair of laws
    (p_0, p_1) comes about from that coarser pair by drawing one of these symbols afterwards, which gives no information
    away. With more than six symbols seen only the lower limits are used, which allows more laws.

    Examples
    --------
    >>> float(box_limits([[50, 0], [0, 50]], 0.05))  # ln 2
    0.693147180559945...
    >>> f"{float(box_limits([[500, 0], [500, 0]], 0.05)):.4f}"  # the truth may be 0
    '0.0035'
    """
    tables = count("counts", counts, minimum=0, remedy="Count how often each symbol was seen.")
    if tables.ndim < 2 or tables.shape[-2] != 2 or not tables.size:
        raise ValueError(f"counts must have shape (..., 2, symbols), got {tables.shape}. Give one row a face.")
    symbols, told = tables.shape[-1], COIN_DIVERGENCES[divergence]
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
        unseen = symbols - shown.sum()
        if unseen == 1:  # it is the same for both laws
            shown[:], unseen = True, 0
        above[:, -1] = np.minimum(above[:, -1] * unseen, 1.0)
        shown[-1] = True
        worst.append(_worst(told, below[:, shown], above[:, shown]))
    limits = np.array(worst)[place].reshape(tables.shape[:-2])
    return UpperLimit(limits[()], delta, "Clopper-Pearson limits for every symbol, the worst laws that they allow")
