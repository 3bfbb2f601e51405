"""How much of a relative entropy, or of a total variation, survives a finite channel: strong data processing, exactly.

A channel is a table of P(y|x), one row for each input x. For laws P and Q of the input and PK, QK of the output,

    KL(PK || QK) <= eta_KL KL(P || Q),    TV(PK, QK) <= eta_TV TV(P, Q),    eta_KL <= eta_TV <= 1,

and the smallest eta that do for all P and Q are computed here.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import unit_interval
from genbounds.numerics.rounding import round_up

__all__ = ["channel_contraction", "dobrushin_coefficient"]

#: Numbers in the largest temporary array.
_BLOCK = 2**20
#: Rounding of a quotient of the sums below, pairwise summation of up to 2^30 outputs included.
_ULPS = 32
#: Smallest mixing weight that is looked at, and by how much the place of the maximum is widened on each side.
_SMALLEST, _WIDTH = 2.0**-300, 2.0**-26


def _rows(channel: ArrayLike) -> NDArray[np.float64]:
    table = unit_interval("channel", channel, "Pass probabilities P(output | input).")
    if table.ndim != 2 or 0 in table.shape or np.any(np.abs(table.sum(axis=1) - 1) > 1e-12):
        sums = f" with sums {table.sum(axis=1)[:4].tolist()}" if table.ndim == 2 else ""
        raise ValueError(
            f"channel must be a matrix whose rows add up to 1, got shape {table.shape}{sums}. "
            "Give one row an input, one column an output."
        )
    return table


def _pairs(table: NDArray[np.float64]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return blocks of all pairs of different rows."""
    first, second = np.triu_indices(len(table), 1)
    size = max(1, _BLOCK // table.shape[1])
    blocks = [slice(start, start + size) for start in range(0, len(first), size)]
    return [(table[first[block]], table[second[block]]) for block in blocks]


def _le_cam(
    p: NDArray[np.float64], q: NDArray[np.float64], beta: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return beta (1-beta) sum (p-q)^2 / (beta p + (1-beta) q), its slope in beta, and the slope's rounding error."""
    beta = beta[:, None]
    difference = p - q
    mixture = beta * p + (1 - beta) * q
    ratio = np.divide(difference, mixture, out=np.zeros_like(mixture), where=mixture > 0)
    value = beta[:, 0] * (1 - beta[:, 0]) * (difference * ratio).sum(axis=1)
    rising, falling = (ratio**2 * (1 - beta) ** 2 * q).sum(axis=1), (ratio**2 * beta**2 * p).sum(axis=1)
    return value, rising - falling, _ULPS * 2.0**-52 * (rising + falling)


def _pair_contraction(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return upper bounds of the largest `_le_cam` value over beta, one for each pair of rows."""
    _, slope, _ = _le_cam(p, q, np.full(len(p), 0.5))
    swap = (slope > 0)[:, None]
    p, q = np.where(swap, q, p), np.where(swap, p, q)  # now it is reached at a beta of at most 1/2
    low, high = np.full(len(p), np.log(_SMALLEST)), np.full(len(p), np.log(0.5))
    for _ in range(60):
        middle = (low + high) / 2
        up = _le_cam(p, q, np.exp(middle))[1] > 0
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    left, right = np.exp(low) * (1 - _WIDTH), np.exp(high) * (1 + _WIDTH)
    # The function is concave: it lies below its tangents at the ends of [left, right], wherever its maximum is.
    (value, slope, error), (value_r, slope_r, error_r) = _le_cam(p, q, left), _le_cam(p, q, right)
    inside = np.maximum(slope + error, 0) * (right - left)
    before = np.maximum(error - slope, 0) * left
    after = np.maximum(slope_r + error_r, 0) * (1 - right)
    return np.maximum(value + np.maximum(inside, before), value_r + after)


def channel_contraction(channel: ArrayLike) -> np.float64:
    """Return the KL contraction coefficient of a finite channel, the constant of its strong data processing inequality.

    It is the supremum of KL(PK || QK) / KL(P || Q) over all different laws P, Q of the input, and the smallest eta with
    I(U;Y) <= eta I(U;X) for every U that reaches the output Y through the input X alone.

    Parameters
    ----------
    channel : array_like, shape (inputs, outputs)
        P(output | input): rows that add up to 1.

    Returns
    -------
    float64
        The coefficient, in [0, 1], rounded up.

    Raises
    ------
    ValueError
        If the rows are no probabilities.

    Notes
    -----
    Ordentlich and Polyanskiy (2022): two inputs are enough, so that the coefficient is the largest over pairs of rows
    p, q. For two inputs it is the largest squared maximal correlation, over the weight beta of the first input,

        f(beta) = beta (1-beta) sum_y (p-q)^2 / (beta p + (1-beta) q) = 1 - sum_y p q / (beta p + (1-beta) q).

    The second form shows that f is concave, as 1/x is convex. Hence one maximum, found by bisection of the slope on a
    logarithmic scale; and hence f lies below each of its tangents, two of which around the maximum give an upper bound
    that does not rest on the bisection having found the right place.

    Examples
    --------
    A binary symmetric channel that flips with probability 1/4 keeps (1 - 2/4)^2; one that erases with probability 1/4
    keeps 3/4:

    >>> float(channel_contraction([[0.75, 0.25], [0.25, 0.75]]).round(12))
    0.25
    >>> float(channel_contraction([[0.75, 0.0, 0.25], [0.0, 0.75, 0.25]]).round(12))
    0.75
    """
    best = max((float(_pair_contraction(p, q).max()) for p, q in _pairs(_rows(channel))), default=0.0)
    return np.float64(min(round_up(best, _ULPS), 1.0)) if best > 0 else np.float64(0.0)


def dobrushin_coefficient(channel: ArrayLike) -> np.float64:
    """Return the total-variation contraction coefficient of a finite channel: the largest distance of two of its rows.

    Parameters
    ----------
    channel : array_like, shape (inputs, outputs)
        P(output | input): rows that add up to 1.

    Returns
    -------
    float64
        The coefficient, in [0, 1], rounded up; never below `channel_contraction`, up to rounding.

    Raises
    ------
    ValueError
        If the rows are no probabilities.

    Examples
    --------
    >>> float(dobrushin_coefficient([[0.75, 0.25], [0.25, 0.75]]).round(12))
    0.5
    """
    # The rows add up to 1 up to rounding only: of the excess on either side the larger one is on the safe side.
    excess = (np.maximum(p - q, 0).sum(axis=1) for pair in _pairs(_rows(channel)) for p, q in (pair, pair[::-1]))
    best = max((float(each.max()) for each in excess), default=0.0)
    return np.float64(min(round_up(best, _ULPS), 1.0)) if best > 0 else np.float64(0.0)
