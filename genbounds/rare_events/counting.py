"""How often a loss is small, by counting independent draws: exact limits where something was seen, and no value beyond.

The number K of S independent draws with loss <= level is binomial, whatever the law of the loss. Clopper and Pearson's
limits [ClopperPearson1934] on its probability p turn into an interval for -ln p that covers at least as often as it
says, at any S. Of the probability 1 - confidence with which it may miss, each end may take one half.

Where nothing was seen p is below about 3.7 / S at 95 %, and nothing else is known: from there on any value comes from
an assumption about the tail. Levels have to be fixed before looking at the losses.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics import binomial_lower, binomial_upper, checks, round_down, round_up
from genbounds.rare_events.curves import ConditionalTail, TailCurve

__all__ = ["counted_conditional_tail", "counted_tail", "losses_of_draws", "unseen_warning"]


def counted_tail(losses: ArrayLike, levels: ArrayLike, *, confidence: float = 0.95) -> TailCurve:
    """Return -ln P(loss <= level) by counting.

    Parameters
    ----------
    losses : array_like, shape (S,)
        Losses of independent draws from one law; infinite ones are allowed.
    levels : array_like, shape (k,)
        Thresholds, strictly increasing, chosen without looking at the losses.
    confidence : float
        Of the interval at each level by itself, in (0, 1).

    Returns
    -------
    TailCurve
        With the counts. Where no draw was seen the value is NaN and the interval has no upper end.

    Raises
    ------
    ValueError
        If a loss is NaN, there are none, or an argument is outside its range.

    Examples
    --------
    >>> curve = counted_tail(np.linspace(0.1, 1.0, 10), [0.05, 0.25, 1.0])
    >>> curve.counts.tolist(), curve.nats.round(3).tolist()
    ([0, 2, 10], [nan, 1.609, 0.0])
    >>> curve.low.round(3).tolist(), curve.high.round(3).tolist()
    ([1.176, 0.587, 0.0], [inf, 3.68, 0.369])
    """
    values = np.sort(losses_of_draws("losses", losses))
    if not len(values):
        raise ValueError("losses must hold at least one number, got none. Draw some hypotheses.")
    thresholds = checks.finite("levels", np.atleast_1d(levels))
    return _curve(np.searchsorted(values, thresholds, side="right"), len(values), thresholds, confidence)


def counted_conditional_tail(
    condition: ArrayLike,
    losses: ArrayLike,
    condition_level: float,
    levels: ArrayLike,
    *,
    confidence: float = 0.95,
) -> ConditionalTail:
    """Count draws that meet a condition, those among them with a small loss, and both at once.

    Parameters
    ----------
    condition : array_like, shape (S,)
        The loss that the condition is about, of independent draws from one law.
    losses : array_like, shape (S,)
        The other loss of the same draws.
    condition_level : float
        The condition is met where the first loss is at most this.
    levels : array_like, shape (k,)
        Thresholds of the second loss, strictly increasing, chosen without looking at the losses.
    confidence : float
        Of the interval at each level of each curve by itself, in (0, 1).

    Returns
    -------
    ConditionalTail
        -ln P(condition), -ln P(loss <= level | condition) and -ln P(both). The first two add up to the third.

    Raises
    ------
    ValueError
        If a loss is NaN, there are none, the two lists differ in length, or an argument is outside its range.
    """
    first, second = losses_of_draws("condition", condition), losses_of_draws("losses", losses)
    if first.shape != second.shape or not len(first):
        raise ValueError(
            f"condition and losses must belong to the same draws, got {len(first)} and {len(second)}. Pass both losses "
            "of each."
        )
    at = checks.finite("condition_level", np.atleast_1d(condition_level))
    thresholds = checks.finite("levels", np.atleast_1d(levels))
    met = np.sort(second[first <= at])
    counts = np.searchsorted(met, thresholds, side="right")
    return ConditionalTail(
        condition=_curve(np.array([len(met)]), len(first), at, confidence),
        tail=_curve(counts, len(met), thresholds, confidence),
        joint=_curve(counts, len(first), thresholds, confidence),
    )


def losses_of_draws(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return losses as a list of float64.

    Parameters
    ----------
    name : str
        Argument's name, for the error.
    values : array_like
        Losses.

    Returns
    -------
    ndarray, shape (S,)
        The losses.

    Raises
    ------
    ValueError
        If one is NaN or they are no list.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or np.isnan(array).any():
        got = f"shape {array.shape}" if array.ndim != 1 else f"NaN at draw {np.flatnonzero(np.isnan(array))[0]}"
        raise ValueError(
            f"{name} must be one number for each draw, got {got}. Count a draw that broke as infinite loss, or leave "
            "it out and say so."
        )
    return array


def _curve(counts: NDArray[np.intp], draws: int, levels: NDArray[np.float64], confidence: float) -> TailCurve:
    unseen = counts == 0
    inside = float(checks.confidence("confidence", confidence, "It is that of the intervals, such as 0.95."))
    half = math.nextafter(math.log((1.0 - inside) / 2.0), -math.inf)
    # Where nothing met the condition, nothing is known.
    low, high, share = np.zeros(len(levels)), np.full(len(levels), np.inf), np.zeros(len(levels))
    if draws:
        share = counts / draws
        with np.errstate(divide="ignore"):
            low = np.asarray(round_down(-np.log(binomial_upper(counts, draws, half)), 4))
            high = np.asarray(round_up(-np.log(binomial_lower(counts, draws, half)), 4))
    with np.errstate(divide="ignore", invalid="ignore"):
        nats = np.where(unseen, np.nan, np.abs(np.log(share)))
        # All or nothing seen says nothing about the spread.
        error = np.where(unseen | (counts == draws), np.nan, np.sqrt((1.0 - share) / counts))
    return TailCurve(
        levels=levels,
        nats=nats,
        standard_error=error,
        low=low,
        high=high,
        confidence=float(confidence),
        kind="estimate",
        method="counting independent draws, limits by Clopper and Pearson with half of the error at each end",
        samples=draws,
        counts=counts if draws else None,
        unbiased=draws > 0,
        warnings=(unseen_warning(f"None of {draws} draws", levels[unseen].max()),) if unseen.any() else (),
    )


def unseen_warning(share: str, level: float) -> str:
    """Say why there is no value at and below a level.

    Parameters
    ----------
    share : str
        How many draws, of how many, had a loss so small.
    level : float
        The largest level of which this is true.

    Returns
    -------
    str
        What is not known, and what to do about it.
    """
    return (
        f"{share} had a loss of {level:.4g} or less: there only a lower limit is known, not extrapolated. Sample it "
        "(subset_simulation, annealed_importance); published_chi_squared_fit would guess it."
    )
