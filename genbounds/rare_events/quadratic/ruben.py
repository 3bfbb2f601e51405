r"""The distribution function of a quadratic form as a mixture of central chi-squared laws, enclosed [Ruben1962].

With ``beta = min w``, ``y = 1 / (1 + 2 beta t)`` and ``g_i = 1 - beta / w_i`` in [0, 1), the factors of the Laplace
transform are ``1 + 2 w_i t = (w_i / (beta y)) (1 - g_i y)``, and

    ``L(t) = y^(n/2) C(y)``,   ``ln C(y) = ln c_0 + sum_{k>=1} e_k y^k / k``,

    ``ln c_0 = (1/2) sum [ln(beta / w_i) - d_i^2]``,  ``e_k = (1/2) sum [g_i^k + k d_i^2 (1 - g_i) g_i^(k-1)]``.

Since ``y^(n/2 + k)`` is the transform of beta times a chi-squared variable with n + 2k degrees of freedom,

    ``P(X <= x) = sum_k c_k F_{n+2k}(x / beta)``,   ``k c_k = sum_{j=1}^k e_j c_{k-j}``:

all c_k are positive and add up to C(1) = 1. What K terms leave out lies between zero and
``(1 - sum_{k<K} c_k) F_{n+2K}(x / beta)``, so truncation is enclosed; the arithmetic adds and multiplies positive
numbers only, and a bound on its rounding is added. For equal weights the c_k are Poisson probabilities and this is the
noncentral chi-squared law itself, at depths where scipy's is minus infinity.

It takes about ``min(x / beta, 30 max w / min w)`` terms: for condition numbers up to some hundreds, or levels far down.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, logsumexp

from genbounds.numerics.checks import count
from genbounds.rare_events.curves import TailCurve
from genbounds.rare_events.quadratic.forms import QuadraticForm

__all__ = ["ruben_tail"]

#: Width of an enclosure, in nats, at which no more terms are taken, and beyond which the nats are NaN.
_TIGHT, _WIDE = 1e-12, 1e-6
_UNIT = 2.0**-52
#: Coefficients are scaled down by this power of two when they exceed it.
_SCALE = 500


def ruben_tail(form: QuadraticForm, levels: ArrayLike, *, terms: int = 4096) -> TailCurve:
    """Enclose -ln P(Q <= level) by Ruben's mixture.

    Parameters
    ----------
    form : QuadraticForm
        The law of Q, with at least one weight.
    levels : array_like, shape (k,)
        Thresholds of Q, strictly increasing.
    terms : int
        Most terms of the mixture; the work grows with their square.

    Returns
    -------
    TailCurve
        Of kind "exact". Low and high enclose the truth, truncation and rounding included. Where they are more than
        1e-6 nats apart the mixture has not converged, and the nats are NaN beside the interval, which still holds.

    Raises
    ------
    ValueError
        If the form is constant, or the levels do not increase.

    Examples
    --------
    >>> curve = ruben_tail(QuadraticForm([1.0, 1.0], [0.0, 0.0]), [2.0])
    >>> float(curve.nats[0].round(12)), round(-math.log(-math.expm1(-1)), 12)
    (0.458675145387, 0.458675145387)
    """
    if not form.weights.size:
        raise ValueError("form must have a weight, got a constant. Its distribution function is a step.")
    most = int(count("terms", terms))
    points, x = form.above(levels)
    low, high = np.full(len(x), np.inf), np.full(len(x), np.inf)
    open_, size = x > 0, min(64, most)
    while open_.any():
        coefficients = _coefficients(form, size)
        for i in np.flatnonzero(open_):
            low[i], high[i] = _enclosure(form, coefficients, x[i])
        open_ &= high - low > _TIGHT * np.maximum(1.0, low)
        if size == most:
            break
        size = min(2 * size, most)
    resolved = np.subtract(high, low, where=x > 0, out=np.zeros(len(x))) <= _WIDE
    nats = np.where(resolved, (low + high) / 2, np.nan)
    warnings = []
    if not resolved.all():
        condition = form.weights.max() / form.weights.min()
        warnings.append(
            f"{(~resolved).sum()} levels need over {most} terms: weights within a factor of {condition:.3g}"
        )
    return TailCurve(
        levels=points,
        nats=nats,
        standard_error=np.where(resolved, 0.0, np.nan),
        low=low,
        high=high,
        confidence=1.0,
        kind="exact",
        method="Ruben's mixture of chi-squared laws, truncation and rounding enclosed",
        warnings=tuple(warnings),
    )


def _coefficients(form: QuadraticForm, size: int) -> NDArray[np.float64]:
    """Return ln c_k for k < size."""
    w, d2 = form.weights, form.shifts**2
    beta = w.min()
    ratio = (w - beta) / w
    power, slope = np.ones(len(w)), d2 * beta / w
    rising = np.zeros(size)  # rising[-k] = e_k, so that a coefficient is one inner product of neighbours in memory
    for k in range(1, size):
        rising[-k] = k * (slope @ power)
        power *= ratio
        rising[-k] = (rising[-k] + power.sum()) / 2
    scaled, logs, shift = np.zeros(size), np.zeros(size), 0
    scaled[0] = 1.0
    for k in range(1, size):
        scaled[k] = scaled[:k] @ rising[size - k :] / k
        if scaled[k] > 2.0**_SCALE:
            scaled[: k + 1] *= 2.0**-_SCALE  # exact; what it takes to zero is beyond the last digit of all to come
            shift += _SCALE
        with np.errstate(divide="ignore"):
            logs[k] = np.log(scaled[k]) + shift * math.log(2)
    return logs + (np.log(beta / w).sum() - d2.sum()) / 2


def _enclosure(form: QuadraticForm, logs: NDArray[np.float64], x: float) -> tuple[float, float]:
    """Return bounds on -ln P(X <= x) from the coefficients' logarithms."""
    z, n, size = x / (2 * form.weights.min()), len(form.weights), len(logs)
    # ln F_{n+2k} from the top down: F_a(z) = sum_{j>=0} z^(a+j) e^-z / Gamma(a+j+1), a sum of positive terms.
    if z > 1e6:
        return 0.0, np.inf
    a = n / 2 + np.arange(max(size, int(z)) + 64 + int(8 * math.sqrt(z)))
    pieces = a * math.log(z) - z - gammaln(a + 1)
    rest = pieces[-1] - math.log1p(-z / (a[-1] + 1))  # more than all that is left, the last piece included
    cumulative = np.logaddexp.accumulate(np.append(pieces[:-1], rest)[::-1])[::-1][: size + 1]
    inside = float(logsumexp(logs + cumulative[:size]))
    magnitude = np.abs(logs[np.isfinite(logs)]).max() + np.abs(pieces[: size + 1]).max() + abs(n * math.log(z)) + len(a)
    rounding = 16 * _UNIT * magnitude
    missing = min(1.0, max(0.0, -math.expm1(float(logsumexp(logs)))) + rounding)
    outside = float(np.logaddexp(inside, math.log(missing) + cumulative[-1]))
    return max(0.0, -outside - rounding), max(0.0, -inside + rounding)
