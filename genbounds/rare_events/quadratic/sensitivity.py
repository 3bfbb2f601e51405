r"""How far rounding of a covariance moves the information of its quadratic form.

``ln P(X <= x)`` changes with the covariance S of the vector r as ``ln L(t)`` does at the saddle t, to leading order.
With B = (I + 2 t S)^-1 and u = B m for the mean m of r,

    ``d ln L = tr(G dS)``,   ``G = -t B + 2 t^2 u u^T``.

An error of S of norm delta makes this at most ``delta (t tr B + 2 t^2 ||u||^2)``. An error of norm eps of a factor A
is ``dS = A dA^T + dA A^T`` and makes it at most ``2 eps (t sum b_i s_i + 2 t^2 ||u|| ||A^T u||)``, with the singular
values s_i of A. Directions that were counted as constant are in the trace and in u. An error dx of
the level, such as one of the mean makes, counts ``1.25 t dx``: the derivative of ln P is at most 2.1 t, for one
direction at its mean. Twice the sum is returned: in lower tails the leading order was never exceeded, in upper tails
near the mean by a factor of up to 1.97.

At levels below the floor the same directions bound from below what "infinite" may hide. Under any law within the
rounding they are a Gaussian vector whose variances are at most 4 (delta + eps^2), which has to bridge the gap between
the roots of floor and level; and a chi-squared variable with h degrees of freedom has
``-ln P(chi2 >= y) >= (y - h - h ln(y / h)) / 2`` for y >= h. Where a form has no weight, so that nothing seems to vary,
a vector of these variances that does not bridge the gap leaves the loss below a level above the floor.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from genbounds.rare_events.quadratic.forms import QuadraticForm, Rounding
from genbounds.rare_events.quadratic.saddles import saddle

__all__ = ["least_below_floor", "level_errors", "most_above_constant", "rounding_nats"]

_UNIT = 2.0**-52


def rounding_nats(form: QuadraticForm, x: NDArray[np.float64], *, upper: bool) -> NDArray[np.float64]:
    """Return by how much rounding of the form may change ln P(X <= x), or ln P(X > x), to first order.

    Parameters
    ----------
    form : QuadraticForm
        The law of Q, with at least one weight.
    x : ndarray, shape (k,)
        Levels above the offset, positive.
    upper : bool
        Which of the two.

    Returns
    -------
    ndarray, shape (k,)
        Nats, >= 0.
    """
    if form.rounding == Rounding():
        return np.zeros(len(x))
    scale = form.weights.max()
    form = form.scaled(1 / scale)
    w, d2, open_ = form.weights, form.shifts**2, form.rounding
    point = saddle(w, d2, x / scale, upper=upper, pole=1)
    t, p = np.abs(point.tx / (x / scale)), np.abs(point.p)
    along, delta = np.sqrt(p**2 @ d2), open_.covariance + open_.factor**2  # 2 t ||A^T u||
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.hypot(np.sqrt(p**2 @ (d2 / w)), 2 * t * math.sqrt(open_.square))  # 2 t ||u||
        leading = (
            delta * (p @ (0.5 / w) + t * open_.directions + length**2 / 2)
            + open_.factor * (p @ (1 / np.sqrt(w)) + length * along)
            + 1.25 * t * level_errors(form, x / scale)
        )
    return np.where(np.isnan(leading), np.inf, 2 * leading)


def least_below_floor(form: QuadraticForm, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a lower bound on the information at levels below the floor, for every law within the rounding.

    Parameters
    ----------
    form : QuadraticForm
        The law of Q.
    x : ndarray, shape (k,)
        Levels above the offset, not positive.

    Returns
    -------
    ndarray, shape (k,)
        Nats: infinite if the form is exact, 0 where the level is too near to the floor to tell.
    """
    ratio = np.maximum(_bridged(form, x) / max(form.rounding.directions, 1), 1.0)
    with np.errstate(invalid="ignore"):
        return np.where(ratio < np.inf, form.rounding.directions * (ratio - 1 - np.log(ratio)) / 2, np.inf)


def most_above_constant(form: QuadraticForm, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an upper bound on the information above a form without weights, for every law within the rounding.

    Parameters
    ----------
    form : QuadraticForm
        The law of Q, a constant up to rounding.
    x : ndarray, shape (k,)
        Levels above the offset, not negative.

    Returns
    -------
    ndarray, shape (k,)
        Nats: 0 if the form is exact, infinite at the offset if it is not.
    """
    ratio = _bridged(form, x)
    with np.errstate(divide="ignore"):
        nats = -np.log1p(-chi2.sf(ratio, max(form.rounding.directions, 1)))
    return np.where(ratio < np.inf, np.nextafter(nats, np.inf), 0.0)


def level_errors(form: QuadraticForm, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much an error of the mean may move levels.

    Parameters
    ----------
    form : QuadraticForm
        The law of Q.
    x : ndarray, shape (k,)
        Levels above the offset.

    Returns
    -------
    ndarray, shape (k,)
        In the units of Q, >= 0. A mean that is off by e moves the length of the vector by no more, and its square by
        2 e times the length and e^2; rounding of the offset is added.
    """
    shift = form.rounding.mean
    if not shift:
        return np.zeros(len(x))
    return 2 * shift * np.sqrt(np.maximum(x + form.rounding.square, 0.0)) + shift**2 + _UNIT * abs(form.offset)


def _bridged(form: QuadraticForm, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared gap between the roots of floor and level, in units of the largest variance that may hide."""
    open_ = form.rounding
    variance = 4 * (open_.covariance + open_.factor**2)
    if not variance or not open_.directions:
        return np.full(len(x), np.inf)
    roots = np.sqrt(open_.square) + np.sqrt(np.maximum(open_.square + x, 0.0))  # sqrt(F + x) - sqrt(F) = x / roots
    return np.square(np.divide(x, roots, where=x != 0, out=np.zeros(len(x)))) / variance
