"""What families of bounds share: conditions, the risk that a Gibbs bound rests on, complexity terms."""

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, confidence, count, log_xi, nonnegative, round_up
from genbounds.theorems import Assumption, Grid, Limit

__all__ = ["EMPIRICAL_GIBBS_RISK", "GIBBS", "RISK", "code_cost", "complexity", "log_xi_times", "on_grid"]

#: What a Monte Carlo step limits.
EMPIRICAL_GIBBS_RISK = "empirical Gibbs risk on the bound sample"

#: Conditions of a bound for all posteriors at once, for losses in [0, 1].
GIBBS = (
    Assumption.IID,
    Assumption.LOSS_IN_UNIT_INTERVAL,
    Assumption.PRIOR_INDEPENDENT_OF_SAMPLE,
    Assumption.STATE_INDEPENDENT_OF_SAMPLE,
)

#: The argument `risk` may be the value of a claim that limits the empirical Gibbs risk.
RISK = MappingProxyType({"risk": Limit(EMPIRICAL_GIBBS_RISK, "gibbs")})


@np.errstate(over="ignore")  # a KL near the largest float overflows to infinity, which is an upper bound
def complexity(kl: ArrayLike, n: ArrayLike, delta: ArrayLike, log_moment: Callable[..., Float64]) -> Float64:
    """Return (KL + log_moment(n) + ln(1 / delta)) / n, rounded up.

    Parameters
    ----------
    kl : array_like
        KL(Q || P) in nats, at least 0.
    n : array_like of int
        Examples, at least 1.
    delta : array_like
        In (0, 1).
    log_moment : callable
        From n to the logarithm of the moment that the bound rests on, such as `log_xi`; rounded up.

    Returns
    -------
    float64 or ndarray
        Nats an example.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.
    """
    kl = nonnegative("kl", kl, "A KL divergence below zero is round-off or a bug: compute it in float64.")
    n = count("n", n)
    # log is relatively exact next to delta = 1 too; two sums and one division follow it.
    return round_up((kl + log_moment(n) - np.log(confidence("delta", delta))) / n, 7)


def log_xi_times(events: int, n: ArrayLike) -> Float64:
    """Return ln(events * xi(n)), rounded up: the moment of a union over so many events.

    Parameters
    ----------
    events : int
        How many events share delta equally, at least 1.
    n : array_like of int
        Examples, at least 1.

    Returns
    -------
    float64 or ndarray
        Nats.
    """
    return round_up(log_xi(n) + np.log(events), 5)


@np.errstate(over="ignore")  # a code length near the largest float overflows to infinity, which is an upper bound
def code_cost(code_length: ArrayLike, delta: ArrayLike) -> Float64:
    """Return code_length + ln(1 / delta), rounded up: what choosing one predictor by its code costs.

    Parameters
    ----------
    code_length : array_like
        ln(1 / P(h)) in nats, at least 0.
    delta : array_like
        In (0, 1).

    Returns
    -------
    float64 or ndarray
        Nats.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.
    """
    code_length = nonnegative("code_length", code_length, "It is ln(1 / P(h)) in nats, and P(h) is at most 1.")
    return round_up(code_length - np.log(confidence("delta", delta)), 5)


@np.errstate(over="ignore")  # a KL near the largest float overflows to infinity, which is an upper bound
def on_grid(bound: Callable[[Float64, float], Float64], kl: ArrayLike, grid: Grid) -> Float64:
    """Return the smallest of a bound's values on a grid, each candidate paying for its share of delta.

    Parameters
    ----------
    bound : callable
        From KL(Q || P) and a candidate to a bound that increases in KL + ln(1 / delta) alone.
    kl : array_like
        KL(Q || P) in nats, at least 0.
    grid : Grid
        The candidates.

    Returns
    -------
    float64 or ndarray
        A bound at the delta of all candidates together.

    Raises
    ------
    ValueError
        If `kl` is NaN or negative.
    """
    kl = nonnegative("kl", kl)
    paid = zip(grid.costs, grid.values, strict=True)
    return np.minimum.reduce([bound(round_up(kl + cost, 1), value) for cost, value in paid])
