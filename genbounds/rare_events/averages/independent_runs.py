r"""A curve of information from independent runs of a sampler, each of which estimates the same probabilities.

The value is -ln of the average of the runs' estimates X_r of a probability: an average of unbiased estimates is one.
Its standard error comes from how far the runs lie apart, which sees all that a single run forgets, such as chains that
remember their ancestors through many stages. Estimates that are products of many factors are near log-normal; with s
the standard deviation of ln X_r over R runs, ln E X has the standard error

    sqrt(s^2 / R + s^4 / (2 (R - 1)))

(Cox's; the second term is that of s^2 / 2, by which the mean of ln X_r falls short of ln E X). It goes on growing
where the runs have nothing in common, which the spread of the X_r themselves hides: one of them is the average then.
The interval takes quantiles of Student's t with R - 1 degrees of freedom around mean ln X_r + s^2 / 2, and reaches to
the value where that lies outside of it. For log-normal runs a nominal 95 % covers 94 % at s = 1/2, 93 % at s = 1, 91 %
at s = 2 and 88 % at s = 5 and 10 (8 runs). A run's own theory of its variance enters only where all runs say the same,
as they do where all that they saw lay below a level.

What no run has seen no spread can show: a sampler that misses the same region in each of its runs is certain and wrong.
"""

import math
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import logsumexp

from genbounds.rare_events.curves import ConditionalTail, TailCurve

__all__ = ["Account", "conditional_from_runs", "curve_from_runs"]


@dataclass(frozen=True)
class Account:
    """What is said of a sampler's curves, the same for each of them.

    Parameters
    ----------
    confidence : float
        Of the intervals, in (0, 1).
    method : str
        How the estimates came about.
    samples : int
        Evaluations of the loss behind them all.
    unbiased : bool
        Whether each run's estimate of a probability is unbiased.
    warnings : tuple of str
        What a reader has to know.
    """

    confidence: float
    method: str
    samples: int
    unbiased: bool = False
    warnings: tuple[str, ...] = ()


def curve_from_runs(
    levels: NDArray[np.float64],
    logs: NDArray[np.float64],
    variances: NDArray[np.float64],
    account: Account,
) -> TailCurve:
    """Return the curve that independent runs draw together.

    Parameters
    ----------
    levels : ndarray, shape (k,)
        Levels, increasing.
    logs : ndarray, shape (R, k)
        ln of each run's estimates; -inf where it is zero. R >= 2.
    variances : ndarray, shape (R, k)
        Variances of the logarithms by each run's own theory, which count where the runs show no spread.
    account : Account
        What is said of the curve.

    Returns
    -------
    TailCurve
        Levels that no run reached are not resolved, and their information is at least the low end of the last level
        that is.
    """
    nats = _minus_log_mean(logs)
    error, low, high = _spread(nats, logs, variances, np.full(len(logs), 1 / len(logs)), account.confidence)
    if account.unbiased:  # Markov's inequality holds even where one run carries all
        high = np.fmin(high, nats - math.log((1 - account.confidence) / 2))
    return TailCurve(levels, nats, error, low, high, kind="estimate", **asdict(account))


def conditional_from_runs(
    level: float,
    levels: NDArray[np.float64],
    conditions: tuple[NDArray[np.float64], NDArray[np.float64]],
    tails: tuple[NDArray[np.float64], NDArray[np.float64]],
    account: Account,
) -> ConditionalTail:
    """Return the curves of a condition, of a loss given it, and of both, from runs that estimate them together.

    Condition and joint are averages over the runs, and the tail is their ratio, so that the chain rule holds exactly:
    each run's conditional estimate counts in proportion to its estimate of the condition. Its error is that of as many
    runs as these weights amount to (Kish's number). A ratio is not unbiased, whatever its parts are.

    Parameters
    ----------
    level : float
        Of the condition's loss.
    levels : ndarray, shape (k,)
        Of the other loss, increasing.
    conditions : pair of ndarray, shape (R, 1)
        ln of each run's estimate of the condition's probability, and its variance by theory.
    tails : pair of ndarray, shape (R, k)
        The same given the condition; -inf where the run did not reach the condition.
    account : Account
        What is said of the curves.

    Returns
    -------
    ConditionalTail
        The three curves.
    """
    (logs, variances), (tail_logs, tail_variances) = conditions, tails
    condition = curve_from_runs(np.array([level]), logs, variances, account)
    joint = curve_from_runs(levels, logs + tail_logs, variances + tail_variances, account)
    nats, reached = np.maximum(joint.nats - condition.nats, 0.0), np.isfinite(logs[:, 0])
    weights = np.exp(logs[reached, 0] + condition.nats) / len(logs)
    error, low, high = _spread(nats, tail_logs[reached], tail_variances[reached], weights, account.confidence)
    tail = TailCurve(levels, nats, error, low, high, kind="estimate", **asdict(replace(account, unbiased=False)))
    return ConditionalTail(condition, tail, joint)


def _minus_log_mean(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return -ln of the mean of the runs' estimates, and NaN where all are zero."""
    with np.errstate(divide="ignore"):
        nats = math.log(len(logs)) - logsumexp(logs, axis=0)
    return np.where(np.isinf(nats), math.nan, np.maximum(nats, 0.0))


def _spread(
    nats: NDArray[np.float64],
    logs: NDArray[np.float64],
    variances: NDArray[np.float64],
    weights: NDArray[np.float64],
    confidence: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the standard error, NaN where a run's estimate is zero, and the ends of the interval."""
    runs, known = len(logs), np.isfinite(logs).all(axis=0) & np.isfinite(nats)
    error, low, high = np.full(len(nats), math.nan), np.zeros(len(nats)), np.full(len(nats), math.inf)
    if runs > 1:
        spread = logs[:, known].var(axis=0, ddof=1)
        spread = np.where(spread > 0, spread, variances[:, known].mean(axis=0))
        error[known] = np.sqrt(spread * (weights**2).sum() + spread**2 / (2 * (runs - 1)))
        centre = -(weights @ logs[:, known] + spread / 2)
        reach = stats.t.ppf((1 + confidence) / 2, runs - 1) * error[known]
        low[known], high[known] = np.maximum(centre - reach, 0.0), np.maximum(centre + reach, nats[known])
    # Information grows towards lower levels, so that a low end holds below its level too.
    return error, np.fmin(np.maximum.accumulate(low[::-1])[::-1], nats), high
