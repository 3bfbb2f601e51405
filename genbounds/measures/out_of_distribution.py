"""What accuracies inside and outside of the training distribution say, level of complexity by level."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import Float64, count, unit_interval

__all__ = ["CriticalComplexity", "critical_complexity", "scylla_score"]


def scylla_score(inside: ArrayLike, outside: ArrayLike) -> Float64:
    """Return the accuracy outside of the training distribution, less its lag behind the one inside [Qi2025]_.

    Parameters
    ----------
    inside, outside : array_like
        Accuracies in and out of distribution, in [0, 1].

    Returns
    -------
    float64 or ndarray
        outside - max(0, inside - outside), in [-1, 1].

    Raises
    ------
    ValueError
        If an accuracy is NaN or outside its range.

    Examples
    --------
    >>> float(scylla_score(0.75, 0.5))
    0.25
    """
    within, without = unit_interval("inside", inside), unit_interval("outside", outside)
    return without - np.maximum(0.0, within - without)


@dataclass(frozen=True)
class CriticalComplexity:
    """The level of complexity at which a model leans most on memory.

    Attributes
    ----------
    gaps : ndarray, shape (levels,)
        max(0, accuracy inside - accuracy outside) at each level.
    level : int
        Where it is largest, from 0; the first such. Where no level has a gap it says nothing.
    probabilities : ndarray, shape (levels,)
        Share of bootstrap samples in which it is largest there, ties shared: how far the answer hangs on the items.
    """

    gaps: NDArray[np.float64]
    level: int
    probabilities: NDArray[np.float64]


def critical_complexity(
    inside: ArrayLike, outside: ArrayLike, items: int, generator: np.random.Generator, *, draws: int = 999
) -> CriticalComplexity:
    """Find the level at which the gap between accuracies is largest [Qi2025]_, with a bootstrap over the items.

    Parameters
    ----------
    inside, outside : array_like of int, shape (levels,)
        Correct answers in and out of distribution at each level, by rising complexity.
    items : int
        Items of each kind at each level.
    generator : numpy.random.Generator
        Source of the bootstrap.
    draws : int
        Bootstrap samples.

    Returns
    -------
    CriticalComplexity
        Gaps, their argmax, and how often it is found when the items are drawn again.

    Raises
    ------
    ValueError
        If counts are not whole numbers from 0 to `items`, or there are fewer than two levels.

    Examples
    --------
    >>> found = critical_complexity([250, 240, 120], [248, 150, 90], 256, np.random.default_rng(0))
    >>> found.level, bool(found.probabilities[1] > 0.99)
    (1, True)
    """
    total, number = int(count("items", items)), int(count("draws", draws))
    parts = [count(name, each, 0) for name, each in (("inside", inside), ("outside", outside))]
    if parts[0].shape != parts[1].shape:
        raise ValueError(f"inside and outside must have one length, got {parts[0].shape} and {parts[1].shape}.")
    right = np.stack(parts)
    if right.ndim != 2 or right.shape[1] < 2 or right.max() > total:
        raise ValueError(
            f"inside and outside must hold counts up to {total} for at least 2 levels, got {right.tolist()}. Pass the "
            "correct answers at each level."
        )
    gaps = _gaps(right / total)
    again = _gaps(generator.binomial(total, right / total, (number, *right.shape)) / total)
    largest = again == again.max(-1, keepdims=True)  # ties share
    return CriticalComplexity(gaps, int(gaps.argmax()), (largest / largest.sum(-1, keepdims=True)).mean(0))


def _gaps(accuracies: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum(0.0, accuracies[..., 0, :] - accuracies[..., 1, :]))
