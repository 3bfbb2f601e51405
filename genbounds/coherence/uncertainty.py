r"""Standard error and interval of an estimated coherence, from two numbers per example.

The estimate is ``alpha_U = S_U / D_m``, a U-statistic of order two over an average. With

* ``q_i = ||g_i||^2`` and ``p_i = g_i . gbar_{-i} = (m g_i . gbar - q_i) / (m - 1)``, the inner product with the average
  of the other examples' gradients, so that ``S_U = mean p_i`` exactly,

the projection of the U-statistic and the delta method give example i the influence

    ``psi_i = [2 (p_i - S) - alpha (q_i - D)] / D``,        ``Var alpha_U = Var psi / m + O(1 / m^2)``.

**Near alpha = 0 the standard error is too large, by up to sqrt 2.** With C = Cov(g),
``zeta_1 = Var E[g.g' | g] = G'CG`` and ``zeta_2 = Var g.g' = tr C^2 + 2 G'CG`` for independent g, g',

    ``Var S_U = [4 (m - 2) zeta_1 + 2 zeta_2] / (m (m - 1))``  exactly:  ``2 tr C^2 / (m (m - 1))`` at G = 0,

where the first-order term vanishes (the U-statistic is degenerate). But ``p_i`` carries the noise of the average it is
multiplied with, and ``4 Var p / m`` comes to ``4 tr C^2 / m^2`` there: twice as much. The delete-one jackknife, whose
pseudo-values are linear in ``p_i``, errs in the same direction and by as much (Efron and Stein's inequality). What is
missing is ``E (g . g')^2``; with an estimate of it (`pair_square`, a by-product of sign flips) the excess is taken off.
Without it intervals near 0 cover too often: 98 to 99 % at a nominal 95 %.

The interval is the estimate plus and minus normal quantiles of standard errors: its level is nominal, for many
examples, no guarantee for any number of them. At alpha = 0 the law is that of a weighted sum of chi-squared variables,
near normal only if the covariance has ten directions or more of like size: with two, a nominal 95 % covers 90 %,
and 83 % once the excess is taken off. There a null test is the better question.

**Where few examples carry most of the squared norm it is too short**, with or without that correction, whatever their
number: the delta method counts on a variance of ``||g||^2``. In 20 dimensions at coherences of 0.3 to 0.6 and 100
examples a nominal 95 % covers 95 % for normal noise, 80 % for that of Student's t with three degrees of freedom (fourth
moments infinite) and 51 % for normal gradients with lengths of a Pareto tail of index 2.5; for 1,000 examples 80 % and
56 %. Where nine of ten gradients are zero, 20 examples cover 45 to 77 %, as two with a gradient would; a hundred,
86 % and more without the correction. Look at the quantiles of the norms before reading an interval.

**What is estimated.** The examples count as independent draws at weights that do not depend on them. On data that the
network was trained on they are not: training pulls their average gradient, not the population's, to zero. There the
plug-in coherence is exact for the examples themselves, and the interval says what resampling such examples would show.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from genbounds.numerics.checks import Float64, confidence, finite, nonnegative

__all__ = ["influence", "interval", "standard_error"]

#: Fewest examples for which the corrected variance is defined.
FEWEST = 5


def influence(dots: ArrayLike, squared_norms: ArrayLike) -> NDArray[np.float64]:
    """Return by how much each example moves the estimated coherence, times the number of examples.

    Parameters
    ----------
    dots : array_like, shape (m, ...)
        ``g_i . gbar``, the inner product of each gradient with the average over all m; trailing axes are layers, say.
    squared_norms : array_like, shape (m, ...)
        ``||g_i||^2``.

    Returns
    -------
    ndarray, shape (m, ...)
        ``psi_i``, of average 0 over the examples; NaN where all gradients are 0.

    Raises
    ------
    ValueError
        If shapes differ, a squared norm is negative or there are fewer than five examples.
    """
    _, _, psi = _projections(dots, squared_norms)
    return psi


def standard_error(
    dots: ArrayLike, squared_norms: ArrayLike, pair_square: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Estimate the standard error of the unbiased form of a coherence.

    Parameters
    ----------
    dots : array_like, shape (m, ...)
        ``g_i . gbar``, the inner product of each gradient with the average over all m; trailing axes are layers, say.
    squared_norms : array_like, shape (m, ...)
        ``||g_i||^2``.
    pair_square : array_like, shape (...), optional
        Estimate of ``E (g . g')^2``, the average over pairs of different examples (`pair_square` of
        `genbounds.coherence.null`). With it the excess near alpha = 0 is taken off, which is at most half of the
        variance. An estimate above that counts as half, one below 0 as nothing.

    Returns
    -------
    ndarray, shape (...)
        Standard errors; NaN where all gradients are 0.

    Raises
    ------
    ValueError
        If shapes differ, a square is negative or there are fewer than five examples.

    Examples
    --------
    >>> gradients = np.random.default_rng(0).normal(0.5, 1.0, (1000, 3))
    >>> dots, norms = gradients @ gradients.mean(0), (gradients**2).sum(1)
    >>> float(standard_error(dots, norms).round(3))  # the coherence is 0.2
    0.012
    """
    p, moment, psi = _projections(dots, squared_norms)
    m = len(p)
    variance = psi.var(axis=0, ddof=1) / m
    if pair_square is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            square = nonnegative("pair_square", pair_square) / moment / moment
        signal, spread = p.mean(axis=0), p.var(axis=0, ddof=1)
        # Var p = (m-2) [zeta_2 + (m-4) zeta_1] / (m-1)^2 on average, where zeta_1 = Var E[g.g' | g], zeta_2 = Var g.g'.
        zeta_2 = square - signal**2
        zeta_1 = (spread * (m - 1) ** 2 / (m - 2) - zeta_2) / (m - 4)
        excess = 4 * spread / m - (4 * (m - 2) * zeta_1 + 2 * zeta_2) / (m * (m - 1))
        variance = variance - np.clip(excess, 0.0, variance / 2)
    return np.sqrt(variance)


def interval(alpha: ArrayLike, error: ArrayLike, level: float = 0.95) -> tuple[Float64, Float64]:
    """Return the interval ``alpha -+ z error`` of nominal confidence `level`: an estimate's, not a certificate's.

    Parameters
    ----------
    alpha : array_like
        Estimated coherence.
    error : array_like
        Its standard error, >= 0 or NaN.
    level : float
        Nominal confidence, in (0, 1).

    Returns
    -------
    low, high : float or ndarray
        Ends; not cut off at 0 or 1.

    Raises
    ------
    ValueError
        If the level is not inside (0, 1).
    """
    chance = confidence("level", level, "It is the nominal confidence of the interval, such as 0.95.")
    reach = ndtri((1 + chance) / 2) * np.asarray(error, dtype=np.float64)
    middle = np.asarray(alpha, dtype=np.float64)
    return middle - reach, middle + reach


def _projections(
    dots: ArrayLike, squared_norms: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return p_i / D, D and the influences."""
    along, norms = finite("dots", dots), nonnegative("squared_norms", finite("squared_norms", squared_norms))
    if along.shape != norms.shape or along.ndim == 0:
        raise ValueError(
            f"dots and squared_norms must have the same shape, got {along.shape} and {norms.shape}. Put examples first."
        )
    m = len(norms)
    if m < FEWEST:
        raise ValueError(f"dots must hold at least {FEWEST} examples, got {m}. Measure more examples.")
    moment = norms.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        q = norms / moment
        p = (m * along / moment - q) / (m - 1)
    signal = p.mean(axis=0)  # alpha, for D = 1
    return p, moment, 2 * (p - signal) - signal * (q - 1)
