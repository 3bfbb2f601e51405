"""Exact laws of small random experiments: every outcome once, with its probability."""

from itertools import chain, combinations
from math import comb, exp, factorial, log, pi, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import count, unit_interval
from genbounds.numerics.deviance import deviance

__all__ = ["count_vectors", "multinomial_law", "poisson_binomial_law"]

#: An enumeration larger than this does not fit the memory of a small machine.
_MOST_OUTCOMES = 2_000_000
#: ln(c! e^c / (c^c sqrt(2 pi c))) for c = 1, ..., 15; nothing at 0.
_STIRLING = np.array([0.0] + [log(factorial(c) / c**c * exp(c) / sqrt(2 * pi * c)) for c in range(1, 16)])


def count_vectors(total: int, categories: int) -> NDArray[np.int64]:
    """Return all ways to share `total` indistinguishable items among `categories`.

    A sample of n examples from k points matters to a symmetric learner only through how often each point occurs:
    there are C(n + k - 1, k - 1) such samples instead of k^n.

    Parameters
    ----------
    total : int
        Number of items, at least 0.
    categories : int
        Number of categories, at least 1.

    Returns
    -------
    ndarray of int64, shape (outcomes, categories)
        One outcome a row, in lexicographic order.

    Raises
    ------
    ValueError
        If there are more than two million outcomes.

    Examples
    --------
    >>> count_vectors(2, 2).tolist()
    [[0, 2], [1, 1], [2, 0]]
    """
    total, categories = int(count("total", total, minimum=0)), int(count("categories", categories))
    outcomes = comb(total + categories - 1, categories - 1)
    if outcomes > _MOST_OUTCOMES:
        raise ValueError(
            f"total must be small enough for {_MOST_OUTCOMES} outcomes, got {total} items in {categories} categories "
            f"({outcomes} outcomes). Take fewer points or a smaller sample."
        )
    # Stars and bars: the gaps between k - 1 bars placed among total + k - 1 places.
    places = combinations(range(total + categories - 1), categories - 1)
    bars = np.fromiter(chain.from_iterable(places), np.int64, outcomes * (categories - 1)).reshape(outcomes, -1)
    walls = np.full((outcomes, 1), total + categories - 1)
    return np.diff(np.hstack([np.full((outcomes, 1), -1), bars, walls]), axis=1) - 1


def _stirling(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what Stirling's formula leaves out of ln c!, and 0 for c = 0."""
    c = np.maximum(counts, 16.0)
    s = 1 / (c * c)
    series = (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s / 1188)))) / c
    return np.where(counts < 16, _STIRLING[np.minimum(counts, 15).astype(int)], series)


def multinomial_law(counts: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return the probability of each count vector when its items are drawn independently.

    Parameters
    ----------
    counts : array_like of int, shape (outcomes, k)
        How often each category occurs; every row with the same sum.
    probabilities : array_like, shape (..., k)
        Probability of each category.

    Returns
    -------
    ndarray, shape (..., outcomes)
        Probabilities; those above 1e-100 have a relative error below 1e-11 for up to a million items.

    Notes
    -----
    Loader's form: with D(a, b) = a ln(a/b) + b - a, the logarithm of the probability of counts c is minus the sum of
    D(c_i, n p_i), plus that of Stirling's factors. Differences of ln Gamma would lose five digits at n = 10^5.

    Examples
    --------
    >>> multinomial_law(count_vectors(2, 2), [0.5, 0.5]).round(12).tolist()
    [0.25, 0.5, 0.25]
    """
    counts = count("counts", counts, minimum=0)
    probabilities = unit_interval("probabilities", probabilities)[..., None, :]
    n = counts.sum(axis=-1, keepdims=True)
    counts, expected = np.broadcast_arrays(counts, n * probabilities)
    spread = np.log(np.maximum(2 * pi * counts, 1.0)).sum(axis=-1) - np.log(np.maximum(2 * pi * n, 1.0))[..., 0]
    factorials = _stirling(n)[..., 0] - _stirling(counts).sum(axis=-1) - spread / 2
    return np.exp(factorials - deviance(counts, expected, expected - counts).sum(axis=-1))


def poisson_binomial_law(means: ArrayLike) -> NDArray[np.float64]:
    """Return the law of a sum of independent Bernoulli variables with the given means.

    Parameters
    ----------
    means : array_like, shape (..., m)
        Success probabilities.

    Returns
    -------
    ndarray, shape (..., m + 1)
        Probability of 0, ..., m successes; sums of products of positive numbers, so that each is relatively
        accurate to about 3 m units in the last place.

    Examples
    --------
    >>> poisson_binomial_law([1.0, 0.5]).tolist()
    [0.0, 0.5, 0.5]
    """
    means = unit_interval("means", means)
    law = np.zeros((*means.shape[:-1], means.shape[-1] + 1))
    law[..., 0] = 1.0
    for trial in range(means.shape[-1]):
        p = means[..., trial, None]
        law[..., 1:] = law[..., 1:] * (1 - p) + law[..., :-1] * p
        law[..., :1] *= 1 - p
    return law
