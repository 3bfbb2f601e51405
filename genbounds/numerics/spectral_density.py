"""The spectrum of a large symmetric matrix as a measure, by stochastic Lanczos quadrature."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh_tridiagonal

from genbounds.numerics.checks import count, finite, positive
from genbounds.numerics.lanczos import lanczos_steps

__all__ = ["SpectralDensity", "spectral_density"]


@dataclass(frozen=True)
class SpectralDensity:
    """Quadratures of the spectrum, one for each random start, each of total weight 1.

    Attributes
    ----------
    nodes, weights : tuple of tuple of float
        For each start its Ritz values and their weights. Polynomials of a degree below twice the number of steps are
        integrated as v^T p(A) v exactly, which is tr p(A) / P on average over the starts.
    dimension : int
        P, rows of the matrix.
    """

    nodes: tuple[tuple[float, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    dimension: int

    def mean(self, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> tuple[float, float]:
        """Estimate the mean of a function over the eigenvalues.

        Parameters
        ----------
        function : callable
            Of an array of eigenvalues.

        Returns
        -------
        value, standard_error : float
            Over the starts.
        """
        each = [float(np.asarray(w) @ function(np.asarray(x))) for x, w in zip(self.nodes, self.weights, strict=True)]
        return float(np.mean(each)), float(np.std(each, ddof=1)) / len(each) ** 0.5

    def density(self, grid: ArrayLike, width: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the density of the eigenvalues, smoothed by a normal law.

        Parameters
        ----------
        grid : array_like, shape (G,)
            Where.
        width : float
            Standard deviation of the smoothing, positive: finer structure than that is not shown, and none finer than
            the distance of Ritz values is known.

        Returns
        -------
        values, standard_errors : ndarray, shape (G,)
            Over the starts.
        """
        at, sigma = finite("grid", grid), float(positive("width", width))
        rows = []
        for x, w in zip(self.nodes, self.weights, strict=True):
            kernel = np.exp(-(((at[:, None] - np.asarray(x)) / sigma) ** 2) / 2) / (sigma * np.sqrt(2 * np.pi))
            rows.append(kernel @ np.asarray(w))
        return np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1) / len(rows) ** 0.5


def spectral_density(
    product: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    dimension: int,
    generator: np.random.Generator,
    *,
    steps: int = 40,
    starts: int = 5,
) -> SpectralDensity:
    """Run Lanczos iterations with full re-orthogonalisation from random starts [GolubMeurant2010]_.

    Parameters
    ----------
    product : callable
        ``product(v)`` returns A v, both float64 of shape (dimension,).
    dimension : int
        Rows of A.
    generator : numpy.random.Generator
        Source of the starts, normal vectors.
    steps : int
        Products for each start; fewer where the iteration ends before.
    starts : int
        At least 2. Basis vectors take steps * dimension float64 numbers, for one start at a time.

    Returns
    -------
    SpectralDensity
        Nodes and weights.

    Raises
    ------
    ValueError
        If a count is out of range, or a product is not finite.

    Examples
    --------
    >>> values = np.arange(100.0)
    >>> found = spectral_density(lambda v: values * v, 100, np.random.default_rng(0), starts=20)
    >>> mean, error = found.mean(lambda x: x)
    >>> abs(mean - 49.5) < 4 * error
    True
    """
    size, most = int(count("dimension", dimension)), int(count("steps", steps))
    nodes, weights = [], []
    for _ in range(int(count("starts", starts, minimum=2))):
        scale = 0.0
        for state in lanczos_steps(product, generator.standard_normal(size), min(most, size)):
            scale = max(scale, abs(state.diagonal[-1]) + state.rest)
            if state.rest <= size * 2.0**-52 * scale:  # no direction is left
                break
        values, vectors = eigh_tridiagonal(state.diagonal, state.off)
        nodes.append(tuple(values.tolist()))
        weights.append(tuple(np.square(vectors[0]).tolist()))
    return SpectralDensity(tuple(nodes), tuple(weights), size)
