r"""The saddlepoint approximation of a quadratic form's distribution function, in log space at any depth.

With s the point where K'(s) = level, ``r = sign(s) sqrt(2 (s K'(s) - K(s)))`` and ``u = s sqrt(K''(s))``,

    ``P(Q <= level) ~ Phi(r + ln(u / r) / r)``

(Barndorff-Nielsen's r*, equal to Lugannani and Rice's formula to its order [LugannaniRice1980]). At the mean both r and
u vanish, and near it their quotient is lost to rounding as it stands. Here it is not: with p and b of
`genbounds.rare_events.quadratic.saddles`,

    ``r^2 = sum [-ln(1 - p) - p] + sum d^2 p^2``,
    ``u^2 - r^2 = -sum [-ln(1 - p) - p - p^2 / 2] - sum d^2 p^3``,

and within each sum all terms have the same sign, since all p have. So ``ln(u / r)`` is a log1p of a small number known
to full accuracy, and at the mean itself the correction takes its limit ``K''' / (6 K''^(3/2))``. Where u is well
below r, as deep below a large noncentrality, ``u^2 = sum p^2 (1/2 + d^2 b)`` is taken as it stands.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr

from genbounds.rare_events.quadratic.forms import QuadraticForm
from genbounds.rare_events.quadratic.saddles import Saddle, saddle

__all__ = ["saddlepoint_nats"]

#: Below this size of p its power series is taken, to as many terms as make the last one vanish.
_SMALL, _TERMS = 0.1, 18


def saddlepoint_nats(form: QuadraticForm, levels: ArrayLike) -> NDArray[np.float64]:
    """Approximate -ln P(Q <= level) by the saddlepoint method: no bound, with an error that is not estimated.

    Parameters
    ----------
    form : QuadraticForm
        The law of Q, with at least one weight.
    levels : array_like, shape (k,)
        Thresholds of Q, in any order.

    Returns
    -------
    ndarray, shape (k,)
        Nats; infinite at and below the offset.

    Raises
    ------
    ValueError
        If a level is not finite or the form is constant.

    Examples
    --------
    Two equal weights give an exponential law, -ln(1 - exp(-x / 2)) nats:

    >>> form = QuadraticForm([1.0, 1.0], [0.0, 0.0])
    >>> float(saddlepoint_nats(form, [0.01])[0].round(2)), float(-np.log(-np.expm1(-0.005)).round(2))
    (5.27, 5.3)
    """
    if not form.weights.size:
        raise ValueError("form must have a weight, got a constant. Its distribution function is a step.")
    scale, (_, above) = form.weights.max(), form.above(levels)
    w, d2 = form.weights / scale, form.shifts**2
    x, mean = above / scale, (w * (1 + d2)).sum()
    lower, upper_side = (x > 0) & (x < mean), x > mean
    # At the mean r and u vanish, and r* takes its limit K''' / (6 K''^(3/2)).
    limit = (8 * w**3 * (1 + 3 * d2)).sum() / (6 * (2 * w**2 * (1 + 2 * d2)).sum() ** 1.5)
    star = np.where(x > 0, limit, -np.inf)
    for side, upper in ((lower, False), (upper_side, True)):
        if side.any():
            point = saddle(w, d2, x[side], upper=upper, pole=0)
            p, third = point.p, _remainder(point)
            square = (third + p**2 / 2 + d2 * p**2).sum(-1)
            r = np.sqrt(square) if upper else -np.sqrt(square)
            quotient = (p**2 * (0.5 + d2 * point.b)).sum(-1) / square  # u^2 / r^2
            close = np.maximum(-(third + d2 * p**3).sum(-1) / square, -0.5)  # the same less 1
            star[side] = r + np.where(quotient > 0.5, np.log1p(close), np.log(quotient)) / (2 * r)
    return -log_ndtr(star)


def _remainder(point: Saddle) -> NDArray[np.float64]:
    """Return ``-ln(1 - p) - p - p^2 / 2 = p^3 / 3 + p^4 / 4 + ...`` to full relative accuracy."""
    p = point.p
    series = np.polynomial.polynomial.polyval(np.clip(p, -_SMALL, _SMALL), 1 / np.arange(3, 3 + _TERMS)) * p**3
    return np.where(np.abs(p) < _SMALL, series, -np.log(point.b) - p - p**2 / 2)
