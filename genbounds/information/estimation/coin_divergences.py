r"""How much a symbol tells about a fair coin, in several senses, from its two laws given the coin's two faces.

With p and q the laws given 0 and 1, m = (p + q) / 2 and r = (p - q) / (p + q), each is a sum over symbols of m f(r) for
an even, convex f with f(0) = 0. Hence each is jointly convex in (p, q), grows when symbols are split, and is at most
f(1) times the total variation, the sum of m |r|, because f(r) <= |r| f(1).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.deviance import deviance

__all__ = ["COIN_DIVERGENCES", "CoinDivergence"]

_Summands = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class CoinDivergence:
    """One sense of telling.

    Attributes
    ----------
    largest : float
        f(1), rounded up: the value for laws with no symbol in common.
    summands : callable
        m f(r) for each symbol, from arrays p and q of one shape; none is negative.
    margin : float
        More than the sum can change where each entry of p and q errs by 1e-14 and the symbols are fewer than 1000.
    """

    largest: float
    summands: _Summands
    margin: float

    def between(self, p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the divergence of two laws.

        Parameters
        ----------
        p, q : ndarray, shape (..., symbols)
            Laws; they broadcast.

        Returns
        -------
        ndarray, shape (...)
            In [0, largest] but for rounding.
        """
        p, q = np.broadcast_arrays(p, q)
        return self.summands(p, q).sum(axis=-1)


def _mutual(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    m = (p + q) / 2
    return (deviance(p, m, (q - p) / 2) + deviance(q, m, (p - q) / 2)) / 2


def _hellinger(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    root = np.sqrt((p + q) / 2)
    return (np.square(np.sqrt(p) - root) + np.square(np.sqrt(q) - root)) / 2


def _jensen_shannon(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    m = (p + q) / 2
    # For each face, the relative entropies of its law and of m to their average; |p - m| = |q - m|.
    halves = [((law + m) / 2, (m - law) / 2, law) for law in (p, q)]
    return sum(((deviance(law, a, d) + deviance(m, a, -d)) / 4 for a, d, law in halves), np.zeros(m.shape))


def _chi_squared(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    total = p + q
    return np.square(p - q) / (2 * np.where(total > 0, total, 1.0))


#: By name: mutual information in nats, squared Hellinger, Jensen-Shannon (nats) and chi-squared information.
COIN_DIVERGENCES: Mapping[str, CoinDivergence] = MappingProxyType({
    "mutual": CoinDivergence(math.nextafter(math.log(2.0), 1.0), _mutual, 1e-10),
    "hellinger": CoinDivergence(2.0 - math.sqrt(2.0) + 1e-15, _hellinger, 1e-6),
    "jensen_shannon": CoinDivergence(1.5 * math.log(2.0) - 0.75 * math.log(3.0) + 1e-15, _jensen_shannon, 1e-10),
    "chi_squared": CoinDivergence(1.0, _chi_squared, 1e-10),
})
