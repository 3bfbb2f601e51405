r"""The information -ln P(Q <= level) of a quadratic form as a curve: at any depth, and infinite below the floor."""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.rare_events.curves import TailCurve
from genbounds.rare_events.quadratic.forms import QuadraticForm
from genbounds.rare_events.quadratic.inversion import log_tail
from genbounds.rare_events.quadratic.saddlepoint import saddlepoint_nats
from genbounds.rare_events.quadratic.sensitivity import (
    least_below_floor,
    level_errors,
    most_above_constant,
    rounding_nats,
)

__all__ = ["quadratic_tail"]

#: Largest distance of the saddlepoint approximation from the truth, in nats; 0.15 is the largest seen.
_FAR = 0.3
#: Largest relative error of the nats that passes without a warning.
_ROUGH = 1e-8
#: Nats are NaN where rounding of the form may move them by more than this fraction of one and themselves.
_OPEN = 0.1
#: Infinite nats are NaN where some law within rounding of the form needs fewer than these.
_FOR_EVER = 1e3
#: Levels nearer to the offset than this fraction of the largest weight, and of that times the noncentrality, leave the
#: range of float64; so does P(X > x) from this multiple of the mean on, as ln P(X > x) <= -(x - 2 mean) / (4 max w).
_TINY, _SURE = 1e-290, 1e4
#: An error of a level is small up to this fraction of it.
_NEAR = 0.01


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
        level that is below the floor by more than rounding, low is the least that any law within it can have, and if
        nothing varies high is the most. The saddlepoint approximation is computed beside it, and a distance of more
        than 0.3 nats becomes a warning.

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
    points, x = form.above(levels)
    tiny = _TINY * form.weights.max(initial=0.0) * (1 + (form.shifts**2).sum())
    near = x[(x > 0) & (x < tiny)]
    if near.size:
        raise ValueError(
            f"levels must be at the offset, below, or above by {tiny:.3g}, got {near[0]:.3g} above. Take small_ball "
            "there."
        )
    nats, low, high, error = _nats(form, x)
    far = level_errors(form, x) > _NEAR * x
    if far.any():
        nats[far], low[far], high[far], error[far] = _moved(form, x[far], tiny)
    warnings = []
    undecided = high > nats + _OPEN * (1 + nats)
    undecided |= (nats == np.inf) & (low < _FOR_EVER)
    if undecided.any():
        nats[undecided], low[undecided], high[undecided], error[undecided] = np.nan, 0.0, np.inf, 0.0
        warnings.append(f"rounding leaves {undecided.sum()} levels open: of the covariance or its factor, or of levels")
    known = (nats > 0) & (nats < np.inf)
    if known.any():
        apart = np.abs(saddlepoint_nats(form, points[known]) - nats[known])
        if (apart > _FAR + error[known]).any():
            warnings.append(f"the saddlepoint approximation differs by up to {apart.max():.3g} nats")
    rough = error > _ROUGH * nats
    if rough.any():
        warnings.append(f"the inversion did not settle: nats are off by up to {error[rough].max():.3g}")
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


def _moved(form: QuadraticForm, x: NDArray[np.float64], tiny: float) -> tuple[NDArray[np.float64], ...]:
    """Return what `_nats` does, with ends at levels as far away as an error of the mean may move them."""
    square, moved = form.rounding.square, level_errors(form, x)
    bare = replace(form, rounding=replace(form.rounding, mean=0.0))
    nats, low, high, error = _nats(bare, x)
    farther = np.where((x + moved > 0) & (x + moved < tiny), tiny, x + moved)
    nearer = np.where(x - moved < tiny, tiny, x - moved)
    low = np.where(x + square >= -moved, np.minimum(low, _nats(bare, farther)[1]), low)
    high = np.where(x - moved < tiny, np.inf, np.maximum(high, _nats(bare, nearer)[2]))
    return nats, low, high, error


def _nats(form: QuadraticForm, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return nats at levels x above the offset, both ends of their intervals, and the error of the inversion."""
    above = x >= 0 if not form.weights.size else x > 0
    nats, error = np.where(above, 0.0, np.inf), np.zeros(len(x))
    low, high = nats.copy(), nats.copy()
    low[~above] = least_below_floor(form, x[~above])
    if not form.weights.size:
        high[above] = most_above_constant(form, np.maximum(x - level_errors(form, x), 0.0)[above])
        return nats, low, high, error
    scale, d2 = form.weights.max(), form.shifts**2
    w = form.weights / scale
    mean = scale * (w * (1 + d2)).sum()
    sure = x > _SURE * mean
    high[sure] = np.nextafter(0, 1)
    for side, upper in ((above & (x < mean), False), ((x >= mean) & ~sure, True)):
        if side.any():
            value, change = log_tail(w, d2, x[side] / scale, upper=upper)
            slack = change + rounding_nats(form, x[side], upper=upper)
            logs = np.minimum([value + slack, value, value - slack], 0.0)
            with np.errstate(divide="ignore"):
                ends = -np.log1p(-np.exp(logs[::-1])) if upper else -logs
            low[side], nats[side], high[side] = np.nextafter(ends[0], 0), ends[1], np.nextafter(ends[2], np.inf)
            # d ln(1 - U) / d ln U = U / (1 - U) for the upper tail U
            error[side] = change * np.exp(value + ends[1]) if upper else change
    return nats, low, high, error
