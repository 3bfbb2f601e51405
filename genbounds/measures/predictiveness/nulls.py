"""How a statistic of a measure is distributed when the measure is shuffled among the runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.measures.predictiveness.runs import setting_codes
from genbounds.numerics.checks import count, finite

__all__ = ["Null", "permutation_null"]


@dataclass(frozen=True)
class Null:
    """A statistic beside its permutation distribution.

    Attributes
    ----------
    value : float
        The statistic of the measure as it is.
    mean, standard_deviation : float
        Over shuffled measures.
    high : float
        95 % quantile of the modulus over shuffled measures: above some real measures where runs are few.
    p_value : float
        (1 + number of shuffled measures at least as far from 0) / (1 + permutations): valid, not approximate, if
        under the hypothesis the measure is exchangeable among the runs, or within the blocks.
    permutations : int
        Shuffled measures.
    """

    value: float
    mean: float
    standard_deviation: float
    high: float
    p_value: float
    permutations: int


def permutation_null(
    statistic: Callable[[NDArray[np.float64]], float],
    measure: ArrayLike,
    generator: np.random.Generator,
    *,
    permutations: int = 999,
    within: Sequence[Any] | NDArray[Any] | None = None,
) -> Null:
    """Shuffle a measure among the runs and compute the statistic again.

    Parameters
    ----------
    statistic : callable
        ``statistic(measure)`` returns a finite number, such as ``lambda x: tau_a(x, gap)``.
    measure : array_like, shape (n,)
        One finite number for each run.
    generator : numpy.random.Generator
        Source of the permutations.
    permutations : int
        How many.
    within : sequence, length n, optional
        Blocks that values stay in, such as the number of training examples: then the null keeps what the block alone
        tells, and the p-value asks whether the measure adds to it.

    Returns
    -------
    Null
        The statistic with its null.

    Raises
    ------
    ValueError
        If the columns do not fit, every block has one run, or the statistic is not finite.

    Examples
    --------
    >>> from genbounds.measures import tau_a
    >>> gap = np.arange(8.0)
    >>> permutation_null(lambda x: tau_a(x, gap), gap, np.random.default_rng(0), permutations=99).p_value
    0.01
    """
    values = finite("measure", measure)
    number = int(count("permutations", permutations))
    inside = np.zeros(len(values)) if within is None else within
    block = setting_codes({"within": inside}, len(values))["within"]
    if len(np.unique(block)) == len(values):
        raise ValueError("within must leave at least two runs in a block, got one in each. Take larger blocks.")
    places = np.argsort(block, kind="stable")
    own = float(finite("statistic", statistic(values)))
    drawn = np.empty(number)
    for turn in range(number):
        shuffled = np.empty_like(values)
        # Sorted by block first and by random keys second: a uniform permutation within each block.
        shuffled[places] = values[np.lexsort((generator.random(len(values)), block))]
        drawn[turn] = float(finite("statistic", statistic(shuffled)))
    far = np.abs(drawn)
    # Ties up to rounding count against the measure.
    beyond = int((far >= abs(own) * (1 - 1e-12)).sum())
    return Null(
        own,
        float(drawn.mean()),
        float(drawn.std(ddof=1)) if number > 1 else float("nan"),
        float(np.quantile(far, 0.95, method="higher")),
        (1 + beyond) / (1 + number),
        number,
    )
