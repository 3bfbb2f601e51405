r"""The information -ln P(Q <= level) of a quadratic form as a curve: at any depth, and infinite below the floor."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import finite
from genbounds.rare_events.curves import TailCurve
from genbounds.rare_events.quadratic.forms import QuadraticForm
from genbounds.rare_events.quadratic.inversion import log_tail
from genbounds.rare_events.quadratic.saddlepoint import saddlepoint_nats
from genbounds.rare_events.quadratic.sensitivity import least_below_floor, rounding_nats

__all__ = ["quadratic_tail"]

#: Largest distance of the saddlepoint approximation from the truth, in nats; 0.15 is the largest seen.
_FAR = 0.3
#: Largest relative error of the nats that passes without a warning.
_ROUGH = 1e-8
#: Nats are NaN where rounding of the form may move them by more than this fraction of one and themselves.
_OPEN = 0.1
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
        the offset. Low and high hold what the last halving of the step of integration changed, rounding, and to first
        order what `form.rounding` leaves open. Where that is more than a tenth of one and the nats, they are NaN; at a
        level that is below the floor by more than rounding, low is the least that any law within it can have. The
        saddlepoint approximation is computed beside it, and a distance of more than 0.3 nats becomes a warning.

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
    x = points - form.offset
    nats, error, open_ = _nats(form, x)
    reached = nats < np.inf
    low, high = np.maximum(nats - error - open_, 0.0), nats + error + open_
    low[~reached] = least_below_floor(form, x[~reached])
    warnings = []
    if form.weights.size:
        with np.errstate(invalid="ignore"):
            apart = np.abs(saddlepoint_nats(form, points) - nats)
        if (apart > _FAR).any():
            warnings.append(f"the saddlepoint approximation differs by up to {np.nanmax(apart):.3g} nats")
    if (error > _ROUGH * nats).any():
        warnings.append(f"the inversion did not settle: nats are off by up to {error.max():.3g}")
    undecided = (open_ > _OPEN * (1 + nats)) | (low <= 0) & ~reached
    if undecided.any():
        nats[undecided], low[undecided], high[undecided] = np.nan, 0.0, np.inf
        warnings.append(
            f"{undecided.sum()} levels lie within what rounding of the covariance, or of its factor, leaves open"
        )
    return TailCurve(
        levels=points,
        nats=nats,
        standard_error=np.where(np.isnan(nats), np.nan, 0.0),
        low=low,
        high=high,
        confidence=1.0,
        kind="exact",
        method="inversion of the Laplace transform; the interval is an a-posteriori error and rounding",
        warnings=tuple(warnings),
    )


def _nats(
    form: QuadraticForm, x: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the nats at levels x above the offset, their errors, and what rounding of the form leaves open."""
    if not form.weights.size:
        return np.where(x < 0, np.inf, 0.0), np.zeros(len(x)), np.zeros(len(x))
    scale, d2 = form.weights.max(), form.shifts**2
    w = form.weights / scale
    nats, error, open_ = np.full(len(x), np.inf), np.zeros(len(x)), np.zeros(len(x))
    reached, mean = x > 0, scale * (w * (1 + d2)).sum()
    if (x[reached] < _TINY * scale).any():
        raise ValueError(
            f"levels must be at the offset, below, or above by {_TINY * scale:.3g}, got {x[reached].min():.3g} above. "
            "Take small_ball there."
        )
    for side, upper in ((reached & (x < mean), False), (reached & (x >= mean), True)):
        if side.any():
            value, change = log_tail(w, d2, x[side] / scale, upper=upper)
            moved = rounding_nats(form, x[side], upper=upper)
            odds = np.exp(value) / -np.expm1(value) if upper else 1.0  # d ln(1 - U) / d ln U
            nats[side] = -np.log1p(-np.exp(value)) if upper else -value
            error[side], open_[side] = odds * change, odds * moved
    return nats, error, open_
