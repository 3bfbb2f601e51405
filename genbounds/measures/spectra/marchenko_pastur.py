"""The law of the eigenvalues of a matrix of independent noise [MarchenkoPastur1967]_."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import count, finite, positive

__all__ = ["marchenko_pastur_density", "marchenko_pastur_edges"]


def marchenko_pastur_edges(variance: float, rows: int, columns: int) -> tuple[float, float]:
    """Return the ends of the bulk of eigenvalues of W^T W / N for noise W, N its longer and M its shorter side.

    Parameters
    ----------
    variance : float
        Variance (not standard deviation) of the independent entries, > 0.
    rows, columns : int
        Shape of W, in either order.

    Returns
    -------
    tuple of float
        variance (1 -+ sqrt(M / N))^2. Exact as both sides grow; of one matrix the largest eigenvalue fluctuates about
        the upper edge by order N^(-2/3), so that an eigenvalue just beyond is no signal.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> marchenko_pastur_edges(1.0, 400, 100)
    (0.25, 2.25)
    """
    spread = float(positive("variance", variance, "Pass the variance of the entries."))
    sides = int(count("rows", rows)), int(count("columns", columns))
    ratio = math.sqrt(min(sides) / max(sides))
    return spread * (1 - ratio) ** 2, spread * (1 + ratio) ** 2


def marchenko_pastur_density(values: ArrayLike, variance: float, rows: int, columns: int) -> NDArray[np.float64]:
    """Return the limiting density of the M eigenvalues of W^T W / N, N the longer and M the shorter side of W.

    Parameters
    ----------
    values : array_like
        Where, finite numbers.
    variance : float
        Variance of the independent entries, > 0.
    rows, columns : int
        Shape of W, in either order.

    Returns
    -------
    ndarray
        sqrt((upper - x)(x - lower)) / (2 pi variance x M / N) inside of the edges, 0 outside; it integrates to 1, since
        the shorter side is that of full rank. Infinite at 0 for square matrices.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    at = finite("values", values)
    low, high = marchenko_pastur_edges(variance, rows, columns)
    ratio = min(rows, columns) / max(rows, columns)
    inside = (at > low) & (at < high)
    x = np.where(inside, at, high)
    density = np.sqrt((high - x) * np.maximum(x - low, 0)) / (2 * math.pi * float(variance) * x * ratio)
    return np.where((at == 0) & (low == 0), np.inf, np.where(inside, density, 0.0))
