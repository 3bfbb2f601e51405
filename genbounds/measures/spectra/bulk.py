"""The part of a spectrum that looks like noise, with its variance fitted to that part alone, and what exceeds it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.measures.spectra.marchenko_pastur import marchenko_pastur_edges
from genbounds.numerics.checks import count, finite

__all__ = ["NoiseBulk", "fit_bulk"]

#: Quantile .99 of the law of Tracy and Widom for real matrices: a noise matrix exceeds the threshold this rarely.
_TRACY_WIDOM = 2.0234
#: Points at which the law's distribution function is tabulated, and fewest eigenvalues that are fitted.
_POINTS, _LEAST = 4001, 20


@dataclass(frozen=True)
class NoiseBulk:
    """A Marchenko-Pastur law fitted to the eigenvalues of W^T W that are not spikes.

    Attributes
    ----------
    variance : float
        Of the entries of the noise: spikes have no part in it.
    lower, upper : float
        Edges of the law, on the scale of the eigenvalues.
    threshold : float
        Beyond it the largest eigenvalue of such noise lies with probability 0.01, nearly, were the variance known
        (Tracy and Widom's law in the centring and scale of [Johnstone2001]_). With the variance fitted 0.012 of noise
        matrices of 400 x 30 had a spike, 0.022 of 100 x 30, 0.035 of 100 x 100 and 0.052 of 30 x 30.
    spikes : int
        Eigenvalues beyond the threshold.
    soft_rank : float
        `upper` over the largest eigenvalue: 1 or so for noise, small where something stands out.
    distance : float
        Kolmogorov distance of the eigenvalues below the threshold to the law. Eigenvalues of noise are far more regular
        than independent numbers: 2.5 / M or so is ordinary, M their number, and 0.1 is a bulk of another form.
    """

    variance: float
    lower: float
    upper: float
    threshold: float
    spikes: int
    soft_rank: float
    distance: float


def fit_bulk(eigenvalues: ArrayLike, rows: int, columns: int) -> NoiseBulk:
    """Fit the variance of noise to the bulk of a spectrum, by its median [GavishDonoho2014]_, spikes left out.

    Parameters
    ----------
    eigenvalues : array_like, shape (M,)
        All M eigenvalues of W^T W, M the shorter side of W; >= 0.
    rows, columns : int
        Shape of W, in either order.

    Returns
    -------
    NoiseBulk
        The fit. Median and spikes are determined in turn until nothing changes; a spike removes one from either side of
        the matrix.

    Raises
    ------
    ValueError
        If there are fewer than 20 eigenvalues, or not as many as the shorter side; if half of them are nothing beside
        the largest, or fewer than 10 are left that are no spikes.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((300, 100))
    >>> noise[:, 0] += 3
    >>> found = fit_bulk(np.linalg.svd(noise, compute_uv=False) ** 2, 300, 100)
    >>> found.spikes, abs(found.variance - 1) < 0.05
    (1, True)
    """
    sides = int(count("rows", rows)), int(count("columns", columns))
    short, long = min(sides), max(sides)
    values = np.sort(finite("eigenvalues", eigenvalues, "Look at the weights."))
    if values.shape != (short,) or values[0] < 0:
        raise ValueError(f"eigenvalues must be {short} numbers >= 0, got shape {values.shape}. Square singular values.")
    if short < _LEAST:
        raise ValueError(f"eigenvalues must be at least {_LEAST}, got {short}. The matrix is too small to have a bulk.")
    if np.median(values) <= values[-1] * 2.0**-40:
        raise ValueError(
            "eigenvalues must be positive in their larger half, got a median that is none beside the largest. The "
            "rank is too low, or one number dwarfs the rest."
        )
    spikes = 0
    for _ in range(short):
        m, n = short - spikes, long - spikes
        if m < _LEAST // 2:
            raise ValueError("eigenvalues must mostly be no spikes, got more than half. Nothing here looks like noise.")
        at, cumulated = _distribution(m, n)
        variance = float(np.median(values[:m])) / (n * float(np.interp(0.5, cumulated, at)))
        threshold = variance * _largest(m, n)
        found = int((values > threshold).sum())
        if found <= spikes:  # the fit without these leaves no more: done, and no cycle is possible
            break
        spikes = found
    lower, upper = (edge * n for edge in marchenko_pastur_edges(variance, m, n))
    law = np.interp(values[:m] / (variance * n), at, cumulated)
    distance = float(max((np.arange(1, m + 1) / m - law).max(), (law - np.arange(m) / m).max()))
    return NoiseBulk(variance, lower, upper, threshold, found, upper / float(values[-1]), distance)


def _distribution(m: int, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points and the law's distribution function there, for unit variance: m <= n sides."""
    low, high = marchenko_pastur_edges(1.0, m, n)
    # x = middle - half cos t makes the density times dx smooth: half^2 sin^2 t / (2 pi x m / n) dt.
    t = np.linspace(0, math.pi, _POINTS)
    middle, half = (low + high) / 2, (high - low) / 2
    x = middle - half * np.cos(t)
    slope = half**2 * np.sin(t) ** 2 / (2 * math.pi * np.maximum(x, 1e-300) * (m / n))
    if m == n:
        slope[0] = 4 / (2 * math.pi)  # half^2 sin^2 t / x -> 4 at t = 0 where the lower edge is 0
    cumulated = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) / 2 * np.diff(t))])
    return x, cumulated / cumulated[-1]


def _largest(m: int, n: int) -> float:
    """Return the threshold for the largest eigenvalue of unit noise."""
    centre = (math.sqrt(n - 1) + math.sqrt(m)) ** 2
    scale = math.sqrt(centre) * (1 / math.sqrt(n - 1) + 1 / math.sqrt(m)) ** (1 / 3)
    return centre + _TRACY_WIDOM * scale
