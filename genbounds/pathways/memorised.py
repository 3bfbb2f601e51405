r"""Which samples a model has memorised, and since which checkpoint.

Of checkpoints 0..T, with losses l_i(t) (mean negative log-likelihood of sample i's tokens, in nats), sample i is
memorised from ``t*_i``, the earliest t such that at t and at every later checkpoint ``l_i <= epsilon`` and
``|l_i - l_i(T)| <= delta`` [LiFanZhou2025]. The paper says "every later"; that t itself is included, without which the
loss at t* could be anything, is our reading. A sample with a small last loss counts at T without any evidence that it
stays there; the share memorised *before* the last checkpoint is what thresholds are tuned by.

The paper takes delta = 0.05, and tunes epsilon for each domain in steps of 0.1 until 20 to 25 % of the samples are
memorised before the last checkpoint. `threshold_for_share` does so; for several domains call it for each, and pass
`memorisation_times` a threshold for each sample. A threshold chosen by the losses makes the share a choice, not a
finding. A low loss of an easy sample is no memorisation either: the name is the paper's.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import finite, nonnegative, positive, unit_interval

__all__ = ["memorisation_times", "memorised_groups", "share_before_last", "threshold_for_share"]

#: The published tolerance about the final loss, in nats.
_DELTA = 0.05


def memorisation_times(losses: ArrayLike, epsilon: ArrayLike, delta: float = _DELTA) -> NDArray[np.int64]:
    """Return the checkpoint from which on each sample is memorised.

    Parameters
    ----------
    losses : array_like, shape (checkpoints, n)
        Loss of each sample at each checkpoint, in their order, in nats.
    epsilon : array_like, shape () or (n,)
        Largest loss of a memorised sample; one for all, or one for each.
    delta : float
        Largest distance from the last loss, at least 0.

    Returns
    -------
    ndarray of int64, shape (n,)
        Index of ``t*``; -1 for samples whose last loss is above epsilon.

    Raises
    ------
    ValueError
        If losses are no table of finite numbers, or a threshold does not fit.

    Examples
    --------
    >>> memorisation_times([[3.0, 3.0, 0.5], [1.02, 0.2, 3.0], [1.0, 1.0, 2.0]], 1.5).tolist()
    [1, 2, -1]
    """
    table = _table(losses)
    limit = finite("epsilon", epsilon)
    if limit.shape not in ((), table.shape[1:]):
        raise ValueError(
            f"epsilon must be one number or one for each of {table.shape[1]} samples, got shape {limit.shape}. Pass "
            "the threshold of each sample's domain."
        )
    stays = (table <= limit) & (np.abs(table - table[-1]) <= nonnegative("delta", delta))
    # Counted from the end: for how many checkpoints without a break.
    unbroken = np.logical_and.accumulate(stays[::-1]).sum(axis=0)
    return np.where(unbroken > 0, len(table) - unbroken, -1)


def share_before_last(times: ArrayLike, checkpoints: int) -> float:
    """Return the share of samples that were memorised before the last checkpoint.

    Parameters
    ----------
    times : array_like of int, shape (n,)
        What `memorisation_times` returned.
    checkpoints : int
        Number of checkpoints.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If there is no sample.
    """
    found = np.asarray(times)
    if not found.size:
        raise ValueError("times must be of at least one sample, got none. A share of nothing is not defined.")
    return float(((found >= 0) & (found < checkpoints - 1)).mean())


def memorised_groups(times: ArrayLike) -> Mapping[int, NDArray[np.intp]]:
    """Return the samples that were memorised from the same checkpoint on.

    Parameters
    ----------
    times : array_like of int, shape (n,)
        What `memorisation_times` returned.

    Returns
    -------
    dict of int to ndarray of int
        Positions of samples by checkpoint, in rising order; those of -1 are in none.

    Examples
    --------
    >>> {time: samples.tolist() for time, samples in memorised_groups([2, -1, 0, 2]).items()}
    {0: [2], 2: [0, 3]}
    """
    found = np.asarray(times)
    return {int(time): np.flatnonzero(found == time) for time in np.unique(found) if time >= 0}


def threshold_for_share(
    losses: ArrayLike, share: tuple[float, float] = (0.2, 0.25), *, delta: float = _DELTA, step: float | None = 0.1
) -> float:
    """Return the smallest threshold with which so many samples are memorised before the last checkpoint.

    Sample i is so exactly if its last two losses are within delta of each other and both at most epsilon: the share is
    a step function of epsilon, which is solved and not searched.

    Parameters
    ----------
    losses : array_like, shape (checkpoints, n)
        Losses of the samples of one domain; two checkpoints or more.
    share : tuple of float
        Smallest and largest share wanted, in [0, 1]; 20 to 25 % as published.
    delta : float
        Largest distance from the last loss, at least 0.
    step : float or None
        Thresholds are multiples of it, 0.1 as published; None for the exact quantile, a loss.

    Returns
    -------
    float
        epsilon.

    Raises
    ------
    ValueError
        If no such threshold gives a share in the range.

    Examples
    --------
    >>> threshold_for_share([[1.01, 2.0, 3.0, 4.0], [1.02, 2.0, 3.0, 5.0]], (0.5, 0.7))
    2.0
    """
    table = _table(losses)
    if len(table) < 2:
        raise ValueError(f"losses must be of two checkpoints or more, got {len(table)}. Measure an earlier one.")
    low, high = unit_interval("share", share, "Pass the smallest and the largest share wanted.")
    settled = np.abs(table[-2] - table[-1]) <= nonnegative("delta", delta)
    needed = np.sort(np.where(settled, table[-2:].max(axis=0), np.inf))
    wanted = max(1, int(np.ceil(low * len(needed) - 1e-9)))
    epsilon = float(needed[wanted - 1])
    remedy = "Pass a wider share, a larger delta, or step=None for a finer threshold."
    if np.isinf(epsilon):
        raise ValueError(f"share must be at most {settled.mean():.4g} with delta {delta}, got {low:.4g}. {remedy}")
    if step is not None:
        width = float(positive("step", step))
        multiple = int(np.floor(epsilon / width)) - 1
        while round(multiple * width, 12) < epsilon:
            multiple += 1
        epsilon = round(multiple * width, 12)
    reached = float((needed <= epsilon).mean())
    if reached > high:
        raise ValueError(
            f"share must be reachable, got {low:.4g} to {high:.4g} where the first threshold that is enough, "
            f"{epsilon:.6g}, gives {reached:.4g}. {remedy}"
        )
    return epsilon


def _table(losses: ArrayLike) -> NDArray[np.float64]:
    """Return losses as a table of finite numbers."""
    table = finite("losses", losses, "Leave out samples or checkpoints whose loss is not known.")
    if table.ndim != 2 or not all(table.shape):
        raise ValueError(
            f"losses must have a row for each checkpoint and a column for each sample, got shape {table.shape}. Stack "
            "the checkpoints' losses."
        )
    return table
