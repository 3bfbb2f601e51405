"""Columns that no measure is needed for: what a ranking of measures must be read against."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.measures.predictiveness.runs import setting_codes
from genbounds.numerics.checks import count, finite, nonnegative

__all__ = ["additive_prediction", "noisy_oracle", "random_measure"]

Float64 = NDArray[np.float64]


def additive_prediction(
    gap: ArrayLike,
    settings: Mapping[str, Sequence[Any] | NDArray[Any]],
    generator: np.random.Generator,
    *,
    folds: int = 10,
) -> Float64:
    """Predict every gap from the hyper-parameters alone, by an additive model fitted to the other folds.

    A measure is worth its cost where it ranks better than this. It sees gaps of other runs, as no measure does: that is
    its point, since who has trained the grid knows them.

    Parameters
    ----------
    gap : array_like, shape (n,)
        Finite numbers.
    settings : mapping of str to sequence, length n
        Hyper-parameters; each value of each has its own term.
    generator : numpy.random.Generator
        Source of the folds.
    folds : int
        Parts of the runs, from 2 to n.

    Returns
    -------
    ndarray, shape (n,)
        Predictions, each from runs of other folds; least squares of least norm, so that a value that was not seen adds
        nothing.

    Raises
    ------
    ValueError
        If the columns do not fit, or there are more folds than runs.
    """
    wanted = finite("gap", gap)
    runs, parts = len(wanted), int(count("folds", folds, minimum=2))
    if parts > runs:
        raise ValueError(f"folds must be at most the number of runs, got {parts} for {runs}. Take fewer.")
    codes = setting_codes(settings, runs)
    design = np.hstack([np.ones((runs, 1)), *(np.eye(code.max() + 1)[code] for code in codes.values())])
    fold = generator.permutation(runs) % parts
    predicted = np.empty(runs)
    for part in range(parts):
        seen = fold != part
        # Centred, so that the least norm does not shrink the mean.
        mean = wanted[seen].mean()
        terms = np.linalg.lstsq(design[seen], wanted[seen] - mean, rcond=None)[0]
        predicted[~seen] = design[~seen] @ terms + mean
    return predicted


def noisy_oracle(gap: ArrayLike, noise: float, generator: np.random.Generator) -> Float64:
    """Return the gap itself with Gaussian noise: how a nearly perfect measure would score.

    Parameters
    ----------
    gap : array_like, shape (n,)
        Finite numbers.
    noise : float
        Standard deviation of the noise, not its variance; >= 0.
    generator : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    ndarray, shape (n,)
        Gap plus noise.
    """
    wanted = finite("gap", gap)
    return wanted + float(nonnegative("noise", noise)) * generator.standard_normal(wanted.shape)


def random_measure(runs: int, generator: np.random.Generator) -> Float64:
    """Return a measure that knows nothing.

    Parameters
    ----------
    runs : int
        Number of runs n.
    generator : numpy.random.Generator
        Source of the numbers.

    Returns
    -------
    ndarray, shape (n,)
        Independent normal numbers.
    """
    return generator.standard_normal(int(count("runs", runs)))
