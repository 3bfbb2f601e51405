"""How many networks it takes to tell a measure from none."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from genbounds.measures.predictiveness.intervals import tau_interval
from genbounds.measures.predictiveness.runs import dense_ranks, setting_codes
from genbounds.numerics.checks import confidence, count, finite

__all__ = ["PowerRow", "detection_power"]

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class PowerRow:
    """What becomes of a measure of known strength in a table of so many runs.

    Attributes
    ----------
    runs : int
        Runs in each simulated table.
    strength : float
        Correlation of the measure with the normal scores of the gap.
    value : float
        Mean of the statistic over the trials.
    null_quantile : float
        1 - `level` quantile of the modulus of the statistic for a measure that knows nothing, averaged over the trials.
    detected : float
        Share of trials in which shuffling the measure gives p <= `level`.
    outside : float
        Share of trials in which the bootstrap interval of tau does not hold 0.
    detected_error, outside_error : float
        Binomial standard errors of both, of (k + 1) / (trials + 2) rather than k / trials: positive at 0 and 1 too.
    """

    runs: int
    strength: float
    value: float
    null_quantile: float
    detected: float
    detected_error: float
    outside: float
    outside_error: float


def detection_power(
    statistic: Callable[[Float64, Float64, dict[str, list[Any]]], float],
    gap: ArrayLike,
    settings: Mapping[str, Sequence[Any] | NDArray[Any]],
    generator: np.random.Generator,
    *,
    runs: Sequence[int] = (24, 48, 96, 200),
    strengths: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.5),
    trials: int = 200,
    permutations: int = 99,
    draws: int = 199,
    level: float = 0.05,
) -> tuple[PowerRow, ...]:
    """Simulate measures of known strength on parts of a table of runs, and count how often they are told from nothing.

    Parameters
    ----------
    statistic : callable
        ``statistic(measure, gap, settings)`` returns a finite number that depends on the order of the measure alone,
        such as ``lambda x, y, grid: conditional_information(x, y, grid).value``. Of Psi only whole grids keep lines.
    gap : array_like, shape (n,)
        One finite number for each run, repetitions averaged. For a table that is still to be trained, pass gaps in the
        order that is expected.
    settings : mapping of str to sequence, length n
        Hyper-parameters, passed on to the statistic.
    generator : numpy.random.Generator
        Source of everything drawn.
    runs : sequence of int
        Numbers of runs, from 3 to n: each trial draws so many, without replacement.
    strengths : sequence of float
        Correlations in [-1, 1]: a measure is strength times the normal score of the gap's rank, plus normal noise that
        makes its variance 1. tau is then near 2/pi asin(strength).
    trials : int
        Simulated tables for each number of runs. All strengths share them, with their noise and null.
    permutations : int
        Measures without knowledge behind each test; at least 1/level - 1, or nothing can be detected.
    draws : int
        Bootstrap samples for each interval of tau.
    level : float
        Level of the test, and 1 minus the confidence of the interval.

    Returns
    -------
    tuple of PowerRow
        One for each number of runs and strength. Strength 0 shows the level: the test keeps it, the interval nearly.

    Raises
    ------
    ValueError
        If the columns do not fit, all gaps are equal, or a number is outside its range.

    Notes
    -----
    A measure without ties that knows nothing has the same law of order as a shuffled one: one null serves all
    strengths of a trial. Of measures with a fixed correlation to the *hyper-parameters* nothing is said: they follow
    the gap too, and only `additive_prediction` unmasks them.

    Examples
    --------
    >>> from genbounds.measures import tau_a
    >>> grid = {"width": [1, 2, 3, 4] * 5}
    >>> rng = np.random.default_rng(0)
    >>> row, = detection_power(
    ...     lambda x, y, grid: tau_a(x, y), range(20), grid, rng, runs=[10], strengths=[1], trials=5
    ... )
    >>> row.value, row.detected
    (1.0, 1.0)
    """
    rank = dense_ranks("gap", gap)
    wanted, most = finite("gap", gap), int(rank.max()) + 1
    setting_codes(settings, len(rank))
    columns = {name: list(column) for name, column in settings.items()}
    sizes = [int(count("runs", size, minimum=3)) for size in runs]
    strong = finite("strengths", strengths)
    tests, shuffles = int(count("trials", trials)), int(count("permutations", permutations))
    alpha = float(confidence("level", level))
    if max(sizes) > len(rank):
        raise ValueError(f"runs must be at most the {len(rank)} of the table, got {max(sizes)}. Pass a larger design.")
    if most < 2 or np.abs(strong).max() > 1:
        raise ValueError(f"gap must vary and strengths lie in [-1, 1], got {most} gaps and {list(strengths)}.")
    if (1 + shuffles) * alpha < 1:
        raise ValueError(f"permutations must be at least 1/level - 1, got {shuffles} for {alpha}. Take more.")
    score = ndtri((rank + 0.5) / most)
    score = (score - score.mean()) / score.std()
    rows = []
    for size in sizes:
        values, outside = np.empty((2, tests, len(strong)))
        null = np.empty((tests, shuffles))
        for trial in range(tests):
            part = generator.choice(len(rank), size, replace=False)
            here, grid = wanted[part], {name: [column[run] for run in part] for name, column in columns.items()}
            null[trial] = [abs(statistic(generator.standard_normal(size), here, grid)) for _ in range(shuffles)]
            noise = generator.standard_normal(size)
            for place, strength in enumerate(strong):
                measure = strength * score[part] + math.sqrt(1 - strength**2) * noise
                values[trial, place] = statistic(measure, here, grid)
                low, high = tau_interval(measure, here, generator, draws=draws, level=1 - alpha)
                outside[trial, place] = low > 0 or high < 0
        finite("statistic", values), finite("statistic", null)
        beyond = (null[:, :, None] >= np.abs(values)[:, None] * (1 - 1e-12)).sum(1)
        detected = ((1 + beyond) / (1 + shuffles) <= alpha).mean(0)
        threshold = float(np.quantile(null, 1 - alpha, axis=1, method="higher").mean())
        for place, strength in enumerate(strong):
            found, left = float(detected[place]), float(outside[:, place].mean())
            rows.append(
                PowerRow(
                    size, float(strength), float(values[:, place].mean()), threshold,
                    found, _binomial_error(found, tests), left, _binomial_error(left, tests),
                )
            )  # fmt: skip
    return tuple(rows)


def _binomial_error(share: float, trials: int) -> float:
    """Return the standard error of a share, with one success and one failure added."""
    near = (share * trials + 1) / (trials + 2)
    return math.sqrt(near * (1 - near) / trials)
