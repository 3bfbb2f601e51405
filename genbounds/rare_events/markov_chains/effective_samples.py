r"""What correlated draws are worth: effective sample size, whether chains agree, and the tail of a loss from them.

Draws of a Markov chain are no independent draws, so the limits of counting do not hold. Here is an estimate.

* `effective_samples`: with rho_t the autocorrelation at lag t, S draws tell the mean of a quantity as precisely as
  ``S / (1 + 2 sum_t rho_t)`` independent ones. rho_t is taken over all chains, so that chains that disagree count as
  correlated, and summed as long as sums of neighbouring pairs are positive, made non-increasing [Geyer1992], as in
  [Vehtari2021]. For a first-order autoregression with coefficient a it is ``S (1 - a) / (1 + a)``.
* `split_r_hat`: the root of the variance of all draws over that within half chains, of ranks, for location and for
  spread [Vehtari2021]. Near 1 where chains agree with each other and each first half with its second.

Neither can see a region that no chain has found.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtri

from genbounds.numerics import checks
from genbounds.rare_events.counting import unseen_warning
from genbounds.rare_events.curves import TailCurve

__all__ = ["chain_tail", "effective_samples", "split_r_hat"]

#: Above this, chains disagree; below that many effective draws, neither number is trusted [Vehtari2021].
_R_HAT, _EFFECTIVE = 1.01, 400.0
#: Fewest draws of a chain: halves of four have autocorrelations.
_FEWEST = 8


class _Spread(NamedTuple):
    """Variance within half chains, shape (2 chains,), that of all draws together, and the half chains, centred."""

    within: NDArray[np.float64]
    together: float
    centred: NDArray[np.float64]


def effective_samples(draws: ArrayLike) -> float:
    """Estimate how many independent draws a correlated sample is worth, for the mean of a quantity.

    Parameters
    ----------
    draws : array_like, shape (chains, n)
        A number for each draw, in the order of the chain; n >= 8.

    Returns
    -------
    float
        At most the number of draws: none is granted for draws that avoid each other. NaN if all are equal.

    Raises
    ------
    ValueError
        If a draw is not finite or chains are too short.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(4, 5000))
    >>> for t in range(1, 5000):
    ...     noise[:, t] += 0.5 * noise[:, t - 1]
    >>> round(effective_samples(noise) / 20000, 1)  # (1 - 0.5) / (1 + 0.5)
    0.3
    """
    spread = _spread(_chains(draws))
    if spread.together == 0:
        return np.nan
    n = spread.centred.shape[1]
    size = 1 << (2 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(spread.centred, size)) ** 2
    covariance = np.fft.irfft(power, size)[:, :n].mean(axis=0) / n
    correlation = 1.0 - (spread.within.mean() - covariance) / spread.together
    correlation[0] = 1.0
    pairs = correlation[: n - n % 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    kept = np.minimum.accumulate(pairs[: ends[0] if len(ends) else None])
    return float(spread.centred.size / max(1.0, 2.0 * kept.sum() - 1.0))


def split_r_hat(draws: ArrayLike) -> float:
    """Return how far chains are from having the same law: 1 if they cannot be told apart.

    Parameters
    ----------
    draws : array_like, shape (chains, n)
        A number for each draw, in the order of the chain; n >= 8.

    Returns
    -------
    float
        The larger of the values for location and for spread; infinite if each half chain stands still at a place of its
        own, NaN if all draws are equal.

    Raises
    ------
    ValueError
        If a draw is not finite or chains are too short.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(4, 1000))
    >>> round(split_r_hat(noise), 2), round(split_r_hat(noise + [[0], [0], [0], [3]]), 1)
    (1.0, 1.5)
    """
    values = _chains(draws)
    location, spread = _ratio(_scores(values)), _ratio(_scores(np.abs(values - np.median(values))))
    return float(np.fmax(location, spread))  # two chains that stand still are equally far from their median


def chain_tail(losses: ArrayLike, levels: ArrayLike, *, method: str, confidence: float = 0.95) -> TailCurve:
    """Estimate -ln P(loss <= level) from correlated draws.

    A share of k out of S draws that are worth n independent ones counts as k n / S of n. The interval is that of
    Clopper and Pearson for these numbers, through the beta distribution, which takes any [KornGraubard1998]. As n is
    estimated, so is the interval. For n stands the smaller effective size of loss and indicator.

    Parameters
    ----------
    losses : array_like, shape (chains, n)
        Loss of each draw, in the order of the chain; finite, n >= 8.
    levels : array_like, shape (k,)
        Thresholds, strictly increasing.
    method : str
        What made the draws.
    confidence : float
        Nominal, of the interval at each level by itself, in (0, 1).

    Returns
    -------
    TailCurve
        NaN without an upper end where the share is below 1 / n.

    Raises
    ------
    ValueError
        If a loss is not finite, chains are too short or an argument is outside its range.
    """
    values = _chains(losses)
    thresholds = checks.finite("levels", np.atleast_1d(levels))
    if not thresholds.size:
        raise ValueError("levels must hold at least one number, got none. Name a loss that is small.")
    half = (1.0 - float(checks.confidence("confidence", confidence, "It is that of the intervals, such as 0.95."))) / 2
    whole, agreement = effective_samples(_scores(values)), split_r_hat(values)
    # Chains that stand still tell as much as one draw.
    whole = 1.0 if np.isnan(whole) else whole
    below = values[..., None] <= thresholds
    share = below.mean(axis=(0, 1))
    worth = np.fmin([effective_samples(below[..., place]) for place in range(len(thresholds))], whole)
    seen = share * worth
    unseen = seen < 1.0 - 1e-9
    inside = share < 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = np.where(inside, betaincinv(seen + 1.0, worth - seen, 1.0 - half), 1.0)
        lower = np.where(unseen, 0.0, betaincinv(seen, worth - seen + 1.0, half))
        nats = np.where(unseen, np.nan, np.abs(np.log(share)))
        error = np.where(unseen | ~inside, np.nan, np.sqrt((1.0 - share) / seen))
        low, high = -np.log(upper), -np.log(lower)
    warnings = []
    if agreement > _R_HAT:
        warnings.append(
            f"Chains disagree: split R-hat of the loss is {agreement:.3f}, above {_R_HAT}. No interval covers what "
            "they have not found: run longer chains, and distrust the values."
        )
    if worth.min() < _EFFECTIVE:
        warnings.append(
            f"The draws are worth {worth.min():.0f} independent ones, fewer than {_EFFECTIVE:.0f}: intervals are rough."
            " Run longer or more chains."
        )
    if unseen.any():
        warnings.append(
            unseen_warning(f"Less than one of {worth[unseen].min():.0f} effective draws", thresholds[unseen].max())
        )
    return TailCurve(
        levels=thresholds,
        nats=nats,
        standard_error=error,
        low=np.abs(low),
        high=np.abs(high),
        confidence=float(confidence),
        kind="estimate",
        method=f"{method}; share of correlated draws, intervals by their effective sample size",
        samples=values.size,
        warnings=tuple(warnings),
    )


def _chains(draws: ArrayLike) -> NDArray[np.float64]:
    array = checks.finite("draws", np.asarray(draws), "A chain that left for infinity has no law: take smaller steps.")
    if array.ndim != 2 or not array.shape[0] or array.shape[1] < _FEWEST:
        raise ValueError(
            f"draws must be (chains, n) with at least {_FEWEST} draws of each chain, got shape {array.shape}. Run "
            "longer chains."
        )
    return array


def _spread(values: NDArray[np.float64]) -> _Spread:
    n = values.shape[1] // 2
    halves = np.concatenate([values[:, :n], values[:, -n:]])
    means = halves.mean(axis=1)
    centred = halves - means[:, None]
    # A constant half is constant whatever the rounding of its mean.
    within = np.where(np.ptp(halves, axis=1) > 0, (centred**2).sum(axis=1) / (n - 1), 0.0)
    between = means.var(ddof=1) if np.ptp(means) > 0 else 0.0
    return _Spread(within, float((n - 1) / n * within.mean() + between), centred)


def _ratio(values: NDArray[np.float64]) -> float:
    spread = _spread(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.sqrt(spread.together / spread.within.mean()))


def _scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return normal scores of the ranks; equal values share theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2.0
    return ndtri((ranks - 0.375) / (values.size + 0.25))[inverse].reshape(values.shape)
