"""Optimal transport between Gaussians on the line."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf

from genbounds.numerics.checks import Float64, nonnegative
from genbounds.numerics.rounding import round_up

__all__ = ["wasserstein1_normal"]


def wasserstein1_normal(mean_q: ArrayLike, scale_q: ArrayLike, mean_p: ArrayLike, scale_p: ArrayLike) -> Float64:
    r"""Return the 1-Wasserstein distance between N(mean_q, scale_q^2) and N(mean_p, scale_p^2), rounded up.

    On the line the best coupling pairs quantiles: the distance is E abs(delta + eta N) with delta the difference of the
    means and eta that of the scales, the mean of a folded normal variable. Both summands of
    eta sqrt(2/pi) exp(-delta^2 / (2 eta^2)) + delta erf(delta / (eta sqrt(2))) are non-negative: nothing cancels, also
    where the scales are next to equal and the distance is next to delta.

    Parameters
    ----------
    mean_q, mean_p : array_like
        Means, finite; all four arguments broadcast.
    scale_q, scale_p : array_like
        Standard deviations, non-negative and finite; 0 is a point.

    Returns
    -------
    float64 or ndarray
        Distances, at or above the real number, by a relative 1e-14 at most.

    Raises
    ------
    ValueError
        If a mean is not finite, or a scale is negative or not finite.

    Examples
    --------
    >>> round(float(wasserstein1_normal(0.0, 1.0, 3.0, 1.0)), 12)  # a shift
    3.0
    >>> round(float(wasserstein1_normal(0.0, 2.0, 0.0, 1.0)), 12) == round(math.sqrt(2 / math.pi), 12)  # a stretch
    True
    """
    means = [np.asarray(mean) for mean in (mean_q, mean_p)]
    scales = [nonnegative(name, value) for name, value in (("scale_q", scale_q), ("scale_p", scale_p))]
    for name, value in zip(("mean_q", "mean_p", "scale_q", "scale_p"), means + scales, strict=True):
        if value.dtype.kind not in "biuf" or not np.isfinite(value).all():
            raise ValueError(
                f"{name} must be finite, got NaN, infinity or what is no real number. Look upstream for it."
            )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        delta, eta = np.broadcast_arrays(np.abs(means[0].astype(float) - means[1]), np.abs(scales[0] - scales[1]))
        ratio = np.where(eta > 0, delta / eta, math.inf)
        spread = eta * math.sqrt(2 / math.pi) * np.exp(-ratio * ratio / 2)
        value = np.where(delta > 0, spread + delta * erf(ratio / math.sqrt(2)), spread)
    # E abs(delta + eta N) grows with delta / eta at most in proportion, the error of each summand is a few units.
    return np.where((delta > 0) | (eta > 0), round_up(value, 16), 0.0)[()]
