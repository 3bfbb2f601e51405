"""How much a rank correlation would move with other runs of the same kind."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.measures.predictiveness.granulated import granulated_kendall
from genbounds.measures.predictiveness.runs import joint_codes, members, paired_ranks, setting_codes
from genbounds.numerics.checks import confidence, count

__all__ = ["psi_interval", "tau_interval"]

Float64 = NDArray[np.float64]

#: Rows of the matrix of pairs at a time.
_ROWS = 512


def tau_interval(
    measure: ArrayLike,
    gap: ArrayLike,
    generator: np.random.Generator,
    *,
    blocks: Sequence[Any] | NDArray[Any] | None = None,
    draws: int = 999,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return a bootstrap interval for tau-a, drawing whole blocks of runs.

    Parameters
    ----------
    measure, gap : array_like, shape (n,)
        One finite number for each run.
    generator : numpy.random.Generator
        Source of the draws.
    blocks : sequence, length n, optional
        Runs that are no independent evidence, such as the seeds of one configuration; each run by itself if left out.
    draws : int
        Bootstrap samples.
    level : float
        Nominal confidence, in (0, 1).

    Returns
    -------
    tuple of float
        Percentile interval: an estimate of spread over runs like these, whose coverage is nearly nominal for tens of
        blocks and less for few. Of runs on a grid, drawn by design and not at random, it says how much single
        configurations matter.

    Raises
    ------
    ValueError
        If the columns do not fit, or there are fewer than three blocks.

    Notes
    -----
    A block drawn w times gives its runs weight w: tau* is the weighted mean over pairs of *different* runs, since a run
    and its own copy are no pair. Counting copies as ties would draw tau towards 0.

    Examples
    --------
    >>> tau_interval([1, 2, 3, 4], [5, 6, 7, 8], np.random.default_rng(0))
    (1.0, 1.0)
    """
    x, y = paired_ranks(measure, gap)
    return _percentiles(_drawn_tau(x, y, _drawn_weights(blocks, len(x), draws, generator)), level)


def psi_interval(
    measure: ArrayLike,
    gap: ArrayLike,
    settings: Mapping[str, Sequence[Any] | NDArray[Any]],
    generator: np.random.Generator,
    *,
    without: Collection[str] = (),
    blocks: Sequence[Any] | NDArray[Any] | None = None,
    draws: int = 999,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return a bootstrap interval for Psi, drawing whole blocks of runs from their places on the grid.

    Parameters
    ----------
    measure, gap : array_like, shape (n,)
        One finite number for each run.
    settings : mapping of str to sequence, length n
        All that was varied, as for `granulated_kendall`.
    generator : numpy.random.Generator
        Source of the draws.
    without : collection of str
        Axes that do not count in Psi, such as the number of examples or the seed.
    blocks : sequence, length n, optional
        Runs that are no independent evidence; each run by itself if left out.
    draws : int
        Bootstrap samples.
    level : float
        Nominal confidence, in (0, 1).

    Returns
    -------
    tuple of float
        Percentile interval: an estimate. It covers the mean of Psi over new trainings of the same grid at least about
        as often as its level says, not over other grids or other values of the hyper-parameters.

    Raises
    ------
    ValueError
        If the columns do not fit, there are fewer than three blocks, or an axis was in no draw.

    Notes
    -----
    Lines weigh the same, and within a line pairs weigh as in `tau_interval`. Of a line of two runs only 40 % of the
    draws see both, so that psi of an axis of two values varies over draws as the mean of 0.4 L of L lines without
    replacement does, with 1.5 times the variance of all: short axes make the interval wide, not narrow. Draws that
    lose all lines of an axis are left out.

    Examples
    --------
    >>> grid = {"width": [1, 1, 1, 2, 2, 2], "rate": [1, 2, 3] * 2}
    >>> psi_interval([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6], grid, np.random.default_rng(0))
    (1.0, 1.0)
    """
    granulated_kendall(measure, gap, settings).without(*without)  # refuses what has no Psi
    x, y = paired_ranks(measure, gap)
    codes = setting_codes(settings, len(x))
    weights = _drawn_weights(blocks, len(x), draws, generator)
    psi = []
    for axis in [axis for axis in codes if axis not in without]:
        others = [other for other in codes if other != axis]
        lines = [line for line in members(joint_codes(codes, others)) if len(line) > 1]
        found = np.stack([_drawn_tau(x[line], y[line], weights[:, line]) for line in lines])
        seen = np.isfinite(found)
        psi.append(
            np.divide(found.sum(0, where=seen), seen.sum(0), where=seen.any(0), out=np.full(len(weights), np.nan))
        )
    drawn = np.mean(psi, axis=0)
    if not np.isfinite(drawn).any():
        raise ValueError("settings must have more lines on every axis, got one that no draw kept. Add runs.")
    return _percentiles(drawn, level)


def _drawn_weights(
    blocks: Sequence[Any] | NDArray[Any] | None, runs: int, draws: int, generator: np.random.Generator
) -> Float64:
    """Return how often each run is in each bootstrap sample of blocks: shape (draws, runs)."""
    number = int(count("draws", draws))
    block = setting_codes({"blocks": range(runs) if blocks is None else blocks}, runs)["blocks"]
    size = int(block.max()) + 1
    if size < 3:
        raise ValueError(f"blocks must be at least 3, got {size}. There is nothing to draw from.")
    return generator.multinomial(size, np.full(size, 1 / size), number)[:, block].astype(np.float64)


def _drawn_tau(x: NDArray[np.int64], y: NDArray[np.int64], weights: Float64) -> Float64:
    """Return tau-a of each weighting of the runs; NaN where one run, drawn every time, has no pair."""
    agreement = np.zeros(len(weights))
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        signs = np.sign(x[rows, None] - x) * np.sign(y[rows, None] - y)
        agreement += ((weights @ signs.T.astype(np.float64)) * weights[:, rows]).sum(1)
    pairs = weights.sum(1) ** 2 - (weights**2).sum(1)
    return np.divide(agreement, pairs, where=pairs > 0, out=np.full(len(weights), np.nan))


def _percentiles(drawn: Float64, level: float) -> tuple[float, float]:
    """Return the quantiles of the draws that are numbers."""
    sure = float(confidence("level", level))
    low, high = np.quantile(drawn[np.isfinite(drawn)], [(1 - sure) / 2, (1 + sure) / 2])
    return float(low), float(high)
