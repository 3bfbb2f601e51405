r"""The information -ln P(Q <= level) of a quadratic form as a curve: at any depth, and infinite below the floor."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import finite
from genbounds.rare_events.curves import TailCurve
from genbounds.rare_events.quadratic.forms import QuadraticForm
from genbounds.rare_events.quadratic.inversion import log_tail
from genbounds.rare_events.quadratic.saddlepoint import saddlepoint_nats

__all__ = ["quadratic_tail"]

#: Largest distance of the saddlepoint approximation from the truth, in nats; 0.15 is the largest seen.
_FAR = 0.3
#: Largest relative error of the nats that passes without a warning.
_ROUGH = 1e-8
#: Levels nearer to the offset than this fraction of the largest weight leave the range of float64.
_TINY = 1e-290


def quadratic_tail(form: QuadraticForm, levels: ArrayLike) -> TailCurve:
    """Return -ln P(Q <= level) for each level, by inverting the Laplace transform of Q.

    Parameters
    ----------
    form : QuadraticForm
        The law of Q.
    levels : array_like, shape (k,)
        Thresholds of Q, strictly increasing.

    Returns
    -------
    TailCurve
        Of kind "exact", accurate to about twelve digits from nats near zero to millions of them. Infinite at and below
        the offset. Low and high are what the last halving of the step of integration changed, a bound on rounding, and
        what `form.offset_error` leaves open; levels nearer to the offset than that are NaN. The saddlepoint
        approximation is computed beside it, and a distance of more than 0.3 nats becomes a warning.

    Raises
    ------
    ValueError
        If the levels do not increase, or one is above the offset by less than 1e-290 times the largest weight.

    Examples
    --------
    Two equal weights give an exponential law above the offset, -ln(1 - exp(-x / 2)) nats:

    >>> form = QuadraticForm([1.0, 1.0], [0.0, 0.0], offset=1.0)
    >>> quadratic_tail(form, [0.5, 1.0, 3.0]).nats.round(12).tolist(), round(-float(np.log(-np.expm1(-1))), 12)
    ([inf, inf, 0.458675145387], 0.458675145387)
    """
    points = np.atleast_1d(finite("levels", levels))
    x, open_ = points - form.offset, form.offset_error
    nats, error = _nats(form, x)
    low, high = nats - error, nats + error
    warnings = []
    if form.weights.size:
        with np.errstate(invalid="ignore"):
            apart = np.abs(saddlepoint_nats(form, points) - nats)
        if (apart > _FAR).any():
            warnings.append(f"the saddlepoint approximation differs by up to {np.nanmax(apart):.3g} nats")
    if (error > _ROUGH * nats).any():
        warnings.append(f"the inversion did not settle: nats are off by up to {error.max():.3g}")
    if open_:
        low, _ = _nats(form, x + open_)
        high, _ = _nats(form, x - open_)
        low, high = np.minimum(low, nats) - error, np.maximum(high, nats) + error
        undecided = np.abs(x) <= open_
        if undecided.any():
            nats = np.where(undecided, np.nan, nats)
            error = np.where(undecided, np.nan, error)
            warnings.append(f"{undecided.sum()} levels are nearer to the floor than its rounding, {open_:.3g}")
    return TailCurve(
        levels=points,
        nats=nats,
        standard_error=np.where(np.isnan(nats), np.nan, 0.0),
        low=np.maximum(low, 0.0),
        high=high,
        confidence=1.0,
        kind="exact",
        method="inversion of the Laplace transform; the interval is an a-posteriori error and rounding",
        warnings=tuple(warnings),
    )


def _nats(form: QuadraticForm, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the nats at levels x above the offset, and their absolute errors."""
    if not form.weights.size:
        return np.where(x < 0, np.inf, 0.0), np.zeros(len(x))
    scale, d2 = form.weights.max(), form.shifts**2
    w, x = form.weights / scale, x / scale
    below = (x > 0) & (x < (w * (1 + d2)).sum())
    above = (x > 0) & ~below
    if (x[below] < _TINY).any():
        raise ValueError(
            f"levels must be above the offset by {_TINY * scale:.3g} or not at all, got {x[below].min() * scale:.3g}. "
            "Take small_ball there."
        )
    nats, error = np.full(len(x), np.inf), np.zeros(len(x))
    if below.any():
        value, error[below] = log_tail(w, d2, x[below], upper=False)
        nats[below] = -value
    if above.any():
        value, change = log_tail(w, d2, x[above], upper=True)
        upper = np.exp(value)
        nats[above] = -np.log1p(-upper)
        error[above] = upper / (1 - upper) * change
    return nats, error
