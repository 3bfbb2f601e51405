r"""How far rounding of a covariance moves the information of its quadratic form.

``ln P(X <= x)`` changes with the covariance S of the vector r as ``ln L(t)`` does at the saddle t, to leading order.
With B = (I + 2 t S)^-1 and u = B m for the mean m of r,

    ``d ln L = tr(G dS)``,   ``G = -t B + 2 t^2 u u^T``.

An error of S of norm delta makes this at most ``delta (t tr B + 2 t^2 ||u||^2)``. An error of norm eps of a factor A
is ``dS = A dA^T + dA A^T`` and makes it at most ``2 eps (t sum b_i s_i + 2 t^2 ||u|| ||A^T u||)``, with the singular
values s_i of A. Directions that were counted as constant are in the trace and in u. Twice that is returned: in lower
tails the leading order was never exceeded, in upper tails near the mean by a factor of up to 1.97.

At levels below the floor the same directions bound from below what "infinite" may hide. Under any law within the
rounding they are a Gaussian vector whose variances are at most 4 (delta + eps^2), which has to bridge the gap between
the roots of floor and level; and a chi-squared variable with h degrees of freedom has
``-ln P(chi2 >= y) >= (y - h - h ln(y / h)) / 2`` for y >= h.
"""

import numpy as np
from numpy.typing import NDArray

from genbounds.rare_events.quadratic.forms import QuadraticForm, Rounding
from genbounds.rare_events.quadratic.saddles import saddle

__all__ = ["least_below_floor", "rounding_nats"]


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
    w, d2, open_ = form.weights, form.shifts**2, form.rounding
    if open_ == Rounding():
        return np.zeros(len(x))
    point = saddle(w / w.max(), d2, x / w.max(), upper=upper, pole=1)
    t, p = np.abs(point.tx / x), np.abs(point.p)
    root, along = p**2 @ (d2 / w) + 4 * t**2 * open_.square, p**2 @ d2  # (2 t ||u||)^2 and (2 t ||A' u||)^2
    delta = open_.covariance + open_.factor**2
    leading = delta * (p @ (0.5 / w) + t * open_.directions + root / 2) + open_.factor * (
        p @ (1 / np.sqrt(w)) + np.sqrt(root * along)
    )
    return 2 * leading


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
    open_ = form.rounding
    variance = 4 * (open_.covariance + open_.factor**2)
    if not variance or not open_.directions:
        return np.full(len(x), np.inf)
    gap = np.sqrt(open_.square) - np.sqrt(np.maximum(open_.square + x, 0.0))
    ratio = np.maximum(gap**2 / variance / open_.directions, 1.0)
    return open_.directions * (ratio - 1 - np.log(ratio)) / 2
