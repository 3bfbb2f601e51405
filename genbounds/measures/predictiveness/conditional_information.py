"""What the order of two runs in a measure tells of their order in the gap, given their hyper-parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.measures.predictiveness.runs import joint_codes, paired_ranks, setting_codes
from genbounds.numerics.checks import count

__all__ = ["ConditionalInformation", "conditional_information"]

#: Pairs of runs at a time.
_PAIRS = 2**20


@dataclass(frozen=True)
class ConditionalInformation:
    """Normalised conditional mutual information for every small set of hyper-parameters, and its least value.

    Attributes
    ----------
    value : float
        K, the least over the sets; in [0, 1] up to rounding. Biased up for few runs: a random measure has K > 0, so
        read it beside its permutation null.
    at : tuple of str
        The set that gives it.
    given : dict of tuple of str to float
        I(V; G | U) / H(G | U) for each set.
    settled : tuple of tuple of str
        Sets given which the order of the gaps is certain, so that nothing is left to tell: they are left out.
    """

    value: float
    at: tuple[str, ...]
    given: dict[tuple[str, ...], float]
    settled: tuple[tuple[str, ...], ...]


def conditional_information(
    measure: ArrayLike,
    gap: ArrayLike,
    settings: Mapping[str, Sequence[Any] | NDArray[Any]],
    *,
    most: int = 2,
) -> ConditionalInformation:
    """Compute K, the least normalised mutual information given up to two hyper-parameters [Jiang2020]_.

    Over ordered pairs of different runs, V and G are the signs of the differences in measure and gap, and U the values
    of the hyper-parameters of a set S for both runs. Every pair weighs the same, and so strata weigh by their pairs.

    Parameters
    ----------
    measure, gap : array_like, shape (n,)
        One finite number for each run.
    settings : mapping of str to sequence, length n
        Hyper-parameters.
    most : int
        Largest size of a set S; at least 0.

    Returns
    -------
    ConditionalInformation
        K, where it is attained, and the ratio for every set. Information is in nats before the division.

    Raises
    ------
    ValueError
        If the columns do not fit, or the order of the gaps is certain given every set.

    Examples
    --------
    >>> conditional_information([1, 2, 4, 3], [0.1, 0.2, 0.4, 0.3], {"lr": [1, 2, 1, 2]}).value
    1.0
    """
    x, y = paired_ranks(measure, gap)
    codes = setting_codes(settings, len(x))
    largest = min(int(count("most", most, minimum=0)), len(codes))
    given: dict[tuple[str, ...], float] = {}
    settled = []
    for axes in (axes for size in range(largest + 1) for axes in combinations(codes, size)):
        share = _share(_pair_counts(x, y, joint_codes(codes, axes)))
        if share is None:
            settled.append(axes)
        else:
            given[axes] = share
    if not given:
        raise ValueError("gap must differ between runs of equal settings or of none, got an order that is certain.")
    at = min(given, key=lambda axes: given[axes])
    return ConditionalInformation(given[at], at, given, tuple(settled))


def _pair_counts(x: NDArray[np.int64], y: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count ordered pairs of different runs by stratum (pair of groups) and the two signs: shape (strata, 3, 3)."""
    runs, groups = len(x), int(group.max()) + 1
    counts = np.zeros(groups * groups * 9, dtype=np.int64)
    step = max(1, _PAIRS // runs)
    for start in range(0, runs, step):
        rows = slice(start, start + step)
        signs = 3 * np.sign(x[rows, None] - x) + np.sign(y[rows, None] - y) + 4
        counts += np.bincount(((group[rows, None] * groups + group) * 9 + signs).ravel(), minlength=len(counts))
    np.subtract.at(counts, (group * groups + group) * 9 + 4, 1)  # a run with itself is no pair
    return counts.reshape(-1, 3, 3)


def _share(counts: NDArray[np.int64]) -> float | None:
    """Return I(V; G | U) / H(G | U) of a table of (U, V, G); None where H is 0."""
    strata = counts[counts.sum((1, 2)) > 0]
    left = _conditional_entropy(strata.sum(1))
    if left == 0:
        return None
    return (left - _conditional_entropy(strata.reshape(-1, 3))) / left


def _conditional_entropy(counts: NDArray[np.int64]) -> float:
    """Return H(last axis | first axis) of a table of counts, times the number of pairs."""
    rows = np.broadcast_to(counts.sum(1, keepdims=True), counts.shape)
    seen = (counts > 0) & (counts < rows)  # a certain outcome adds exactly nothing
    return float((counts[seen] * np.log(rows[seen] / counts[seen])).sum())
