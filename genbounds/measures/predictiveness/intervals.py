"""How much a rank correlation would move with other runs of the same kind."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.measures.predictiveness.runs import paired_ranks, setting_codes
from genbounds.numerics.checks import confidence, count

__all__ = ["tau_interval"]

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
    number, sure = int(count("draws", draws)), float(confidence("level", level))
    block = setting_codes({"blocks": range(len(x)) if blocks is None else blocks}, len(x))["blocks"]
    size = int(block.max()) + 1
    if size < 3:
        raise ValueError(f"blocks must be at least 3, got {size}. There is nothing to draw from.")
    weights = generator.multinomial(size, np.full(size, 1 / size), number)[:, block].astype(np.float64)
    agreement = np.zeros(number)
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        signs = np.sign(x[rows, None] - x) * np.sign(y[rows, None] - y)
        agreement += ((weights @ signs.T.astype(np.float64)) * weights[:, rows]).sum(1)
    pairs = weights.sum(1) ** 2 - (weights**2).sum(1)
    drawn = agreement[pairs > 0] / pairs[pairs > 0]  # one block of one run, drawn every time, has no pair
    low, high = np.quantile(drawn, [(1 - sure) / 2, (1 + sure) / 2])
    return float(low), float(high)
