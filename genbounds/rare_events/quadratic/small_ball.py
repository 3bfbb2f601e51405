r"""Information of a quadratic form as the level goes down to the floor: its asymptote, enclosed on both sides.

With X = Q - offset, P(X <= x) is the mass that N(d, I) gives to the ellipsoid ``sum w_i y_i^2 <= x``. Averaging the
density over y and -y, and dividing by its value at zero,

    ``-ln P(X <= x) = A(x) - ln E[cosh(d . y) exp(-||y||^2 / 2)]``  for y uniform in the ellipsoid,

    ``A(x) = -(n/2) ln(x/2) + ln Gamma(n/2 + 1) + (1/2) sum ln w_i + (1/2) sum d_i^2``:

a straight line of slope n / 2 in ln(1 / x). The average is at least ``exp(-E ||y||^2 / 2)``, since cosh >= 1 and by
Jensen, and at most ``E cosh(d . y)``. A coordinate u of the uniform law on the unit ball has variance 1 / (n + 2), and
``E exp(a u) = 0F1(; n/2 + 1; a^2 / 4) <= exp(a^2 / (2n + 4))``. So, at every x,

    ``A(x) - x sum (d^2 / w) / (2n + 4) <= -ln P <= A(x) + x sum (1 / w) / (2n + 4)``.

A chi-squared law fitted to the bulk has the slope df / 2 instead, with df about ``(sum w)^2 / sum w^2``, far below n
for the spectra of kernels: in deep tails such a fit underestimates by a factor.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from genbounds.rare_events.quadratic.forms import QuadraticForm

__all__ = ["small_ball"]


def small_ball(
    form: QuadraticForm, levels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the asymptote of -ln P(Q <= level) as the level goes to the offset, and bounds for every level.

    Parameters
    ----------
    form : QuadraticForm
        The law of Q, with at least one weight.
    levels : array_like, shape (k,)
        Thresholds of Q, in any order.

    Returns
    -------
    asymptote, low, high : ndarray, each of shape (k,)
        Nats, up to rounding; the truth is within low and high, which are close where the ellipsoid is small. Infinity
        at and below the offset.

    Raises
    ------
    ValueError
        If a level is not finite or the form is constant.

    Examples
    --------
    >>> form = QuadraticForm([1.0, 0.5], [0.0, 1.0])
    >>> [float(v[0].round(6)) for v in small_ball(form, [1e-6])]
    [14.662084, 14.662084, 14.662085]
    """
    if not form.weights.size:
        raise ValueError("form must have a weight, got a constant. Its distribution function is a step.")
    w, d2, n = form.weights, form.shifts**2, len(form.weights)
    x = np.maximum(form.above(levels)[1], 0.0)
    with np.errstate(divide="ignore"):
        line = (n * (math.log(2) - np.log(x)) + np.log(w).sum() + d2.sum()) / 2 + gammaln(n / 2 + 1)
    return line, line - x * (d2 / w).sum() / (2 * n + 4), line + x * (1 / w).sum() / (2 * n + 4)
