"""From what passes over the examples found to the numbers of a record, for each layer and for all together."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.coherence.alpha import layer_fractions
from genbounds.coherence.layer_records import LayerCoherence
from genbounds.coherence.null import pair_square, sign_flip_p_value
from genbounds.coherence.uncertainty import FEWEST, standard_error

__all__ = ["layer_numbers"]


def layer_numbers(
    layers: Mapping[str, int],
    squared: NDArray[np.float64],
    squared_mean: NDArray[np.float64],
    dots: NDArray[np.float64] | None,
    flipped: NDArray[np.float64] | None,
    level: float,
) -> tuple[dict[str, Any], tuple[LayerCoherence, ...]]:
    """Turn what passes over the examples found into the numbers of a record.

    Parameters
    ----------
    layers : mapping of str to int
        Number of parameters of each of the L layers.
    squared : ndarray, shape (m, L)
        Squared gradient norm of each example by layer.
    squared_mean : ndarray, shape (L,)
        Squared norm of the average gradient by layer.
    dots : ndarray, shape (m, L), or None
        Inner product of each example's gradient with the average; without it there is no standard error.
    flipped : ndarray, shape (K, L), or None
        Squared norms of sums with random signs; without them there is no p-value.
    level : float
        Nominal confidence of the intervals.

    Returns
    -------
    whole : dict
        Fields that describe all layers together.
    layers : tuple of LayerCoherence
        Each layer.
    """
    m = len(squared)
    numbers = _numbers(squared, squared_mean, dots, flipped)
    sizes = [*layers.values(), sum(layers.values())]
    columns: list[dict[str, Any]] = [
        {name: None if math.isnan(value[column]) else float(value[column]) for name, value in numbers.items()}
        | {"m": m, "parameters": size, "level": float(level)}
        for column, size in enumerate(sizes)
    ]
    fractions = layer_fractions(numbers["second_moment"][:-1])
    return columns[-1], tuple(
        LayerCoherence(**column, name=name, fraction=None if math.isnan(fraction) else float(fraction))
        for column, name, fraction in zip(columns[:-1], layers, fractions, strict=True)
    )


def _numbers(
    squared: NDArray[np.float64],
    squared_mean: NDArray[np.float64],
    dots: NDArray[np.float64] | None,
    flipped: NDArray[np.float64] | None,
) -> dict[str, NDArray[np.float64]]:
    """Return the numbers of a record by name, each with a column for every layer and a last one for all."""
    m = len(squared)
    squared, squared_mean = _with_all(squared), _with_all(squared_mean)
    found = {"squared_mean": squared_mean, "second_moment": squared.mean(axis=0)}
    found |= dict.fromkeys(("standard_error", "p_value", "pair_square"), np.full(squared_mean.shape, np.nan))
    if flipped is not None:
        flipped = _with_all(flipped)
        found["pair_square"] = np.asarray(pair_square(flipped, squared.sum(axis=0), m))
        found["p_value"] = np.asarray(sign_flip_p_value(m**2 * squared_mean, flipped))
    if dots is not None and m >= FEWEST:
        found["standard_error"] = standard_error(
            _with_all(dots), squared, None if flipped is None else found["pair_square"]
        )
    return found


def _with_all(layers: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([layers, layers.sum(axis=-1, keepdims=True)], axis=-1)
