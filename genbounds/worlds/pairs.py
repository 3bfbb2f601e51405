"""What can be seen of a hypothesis at a pair of points, in whole numbers: two predictions, two losses, or less.

Each table has an entry for every first point, second point and hypothesis; equal entries at one pair look the same.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.worlds.finite import FiniteWorld

__all__ = ["first_losses", "loss_differences", "loss_pairs", "prediction_pairs"]

#: Differences of losses that agree to so many digits are taken for equal: 0.3 - 0.2 and 0.2 - 0.1 are not, as floats.
_DIGITS = 12


def _pairs(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a number for each pair of entries in one row of a table of shape (h, k)."""
    return table.T[:, None, :] * (table.max() + 1) + table.T[None, :, :]


def _numbered(values: NDArray[Any]) -> NDArray[np.int64]:
    return np.unique(values, return_inverse=True)[1].reshape(values.shape)


def prediction_pairs(world: FiniteWorld) -> NDArray[np.int64]:
    """Return the predictions on both points of a pair.

    Parameters
    ----------
    world : FiniteWorld
        A world of k points and h hypotheses.

    Returns
    -------
    ndarray of int64, shape (k, k, h)
        A number for each pair of predictions.
    """
    return _pairs(_numbered(world.predictions))


def loss_pairs(world: FiniteWorld) -> NDArray[np.int64]:
    """Return the losses on both points of a pair.

    Parameters
    ----------
    world : FiniteWorld
        A world of k points and h hypotheses.

    Returns
    -------
    ndarray of int64, shape (k, k, h)
        A number for each pair of losses.
    """
    return _pairs(_numbered(world.losses))


def loss_differences(world: FiniteWorld) -> NDArray[np.int64]:
    """Return the loss on the second point of a pair minus that on the first.

    Parameters
    ----------
    world : FiniteWorld
        A world of k points and h hypotheses.

    Returns
    -------
    ndarray of int64, shape (k, k, h)
        A number for each difference, in ascending order; differences that agree to 12 digits are one.
    """
    losses = world.losses.T
    return _numbered(np.round(losses[None, :, :] - losses[:, None, :], _DIGITS))


def first_losses(world: FiniteWorld) -> NDArray[np.int64]:
    """Return the loss on the first point of a pair.

    Parameters
    ----------
    world : FiniteWorld
        A world of k points and h hypotheses.

    Returns
    -------
    ndarray of int64, shape (k, k, h)
        A number for each loss.
    """
    numbers = _numbered(world.losses).T[:, None, :]
    return np.tile(numbers, (1, len(world.probabilities), 1))
