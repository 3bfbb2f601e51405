r"""Shares, entropies and informations of tokens that come in samples: values, and errors over whole samples.

Everything here is a function of totals over samples, so that leaving out one sample at a time is exact and cheap. The
standard error is the jackknife's [EfronStein1981], ``sqrt((n - 1)/n sum_i (theta_(-i) - average)^2)``: for samples of
equal length a share's is the usual one of a mean. It is NaN where one sample is all there is.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, xlogy

from genbounds.numerics.checks import confidence

__all__ = ["entropy", "jackknife_error", "normal_ends", "ratio", "without_bias"]

Floats = NDArray[np.float64]

#: What a level is, for messages.
LEVEL = "It is the nominal confidence of intervals, such as 0.95."


def jackknife_error(left_out: ArrayLike) -> Floats:
    """Return the jackknife's standard error.

    Parameters
    ----------
    left_out : array_like, shape (n, ...)
        The estimate without each of n samples.

    Returns
    -------
    ndarray, shape (...)
        Standard errors; NaN for one sample, and where an estimate without one is not defined.
    """
    without = np.asarray(left_out, dtype=np.float64)
    if len(without) < 2:
        return np.full(without.shape[1:], math.nan)
    return np.sqrt((len(without) - 1) * without.var(axis=0))


def ratio(numerators: ArrayLike, denominators: ArrayLike) -> tuple[Floats, Floats]:
    """Return a ratio of totals over samples, with its standard error.

    Parameters
    ----------
    numerators, denominators : array_like, shape (n, ...)
        What each sample adds; they broadcast.

    Returns
    -------
    value, standard_error : ndarray, shape (...)
        NaN where the denominator is 0; the error also where it is without one sample.

    Examples
    --------
    >>> value, error = ratio([1.0, 2.0, 6.0], [1.0, 1.0, 1.0])
    >>> float(value), round(float(error), 12) == round(float(np.std([1, 2, 6], ddof=1)) / math.sqrt(3), 12)
    (3.0, True)
    """
    above, below = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    top, bottom = above.sum(axis=0), below.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = (top - above) / (bottom - below)
        # Nothing over nothing is not defined, and neither is what rounding leaves over nothing.
        left_out = np.where(bottom - below > 0, left_out, math.nan)
        return top / np.where(bottom > 0, bottom, math.nan), jackknife_error(left_out)


def entropy(
    samples: NDArray[np.intp], symbols: NDArray[np.integer], counts: NDArray[np.integer], n: int
) -> tuple[float, Floats]:
    """Return the entropy of the empirical law of symbols, and those without each sample.

    Parameters
    ----------
    samples : ndarray of int, shape (cells,)
        Which of the n samples.
    symbols : ndarray of int64, shape (cells,)
        Symbols seen in it, at least 0; a symbol may stand several times.
    counts : ndarray of int, shape (cells,)
        How often.
    n : int
        Number of samples.

    Returns
    -------
    value : float
        Plug-in entropy in nats: too small on average, for independent symbols by about (symbols - 1)/(2 counts).
    left_out : ndarray, shape (n,)
        The same without each sample; NaN where nothing is left.

    Examples
    --------
    >>> value, left_out = entropy(np.array([0, 0, 1]), np.array([3, 7, 7]), np.array([1, 1, 2]), 2)
    >>> round(value, 6), left_out.round(6).tolist()  # of (1, 3)/4; of (7, 7); of (3, 7)
    (0.562335, [0.0, 0.693147])
    """
    _, symbols = np.unique(symbols, return_inverse=True)
    totals = np.bincount(symbols, counts)
    cells, place = np.unique(samples * len(totals) + symbols, return_inverse=True)
    inside, (owner, symbol) = np.bincount(place, counts), np.divmod(cells, len(totals))
    whole = xlogy(totals, totals)
    rest = totals[symbol] - inside
    terms = whole.sum() - np.bincount(owner, whole[symbol] - xlogy(rest, rest), n)
    left = totals.sum() - np.bincount(owner, inside, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = np.log(left) - terms / left
    shares = totals / totals.sum()
    return float(-xlogy(shares, shares).sum()) + 0.0, left_out  # no negative zero


def without_bias(value: float, left_out: Floats) -> float:
    """Return the jackknife's estimate, ``n theta - (n - 1) average``: what is of order 1/n in the bias is taken off.

    Parameters
    ----------
    value : float
        Plug-in estimate.
    left_out : ndarray, shape (n,)
        The same without each sample.

    Returns
    -------
    float
        An estimate that may fall outside the range of what is estimated; NaN for one sample.
    """
    n = len(left_out)
    return float(n * value - (n - 1) * left_out.mean()) if n > 1 else math.nan


def normal_ends(value: float, standard_error: float, level: float) -> tuple[float, float]:
    """Return the ends of the normal interval of an estimate.

    Parameters
    ----------
    value, standard_error : float
        The estimate and its standard error.
    level : float
        Nominal confidence, in (0, 1).

    Returns
    -------
    tuple of float
        Not cut off at the range of what is estimated; NaN where there is no standard error.
    """
    reach = float(ndtri((1 + confidence("level", level, LEVEL)) / 2)) * standard_error
    return value - reach, value + reach
