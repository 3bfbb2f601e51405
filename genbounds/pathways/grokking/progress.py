"""Restricted and excluded loss of a + b mod p: how well the logits do with, and without, a few waves in a + b.

After Nanda et al. (2023). A network that adds by rotations has logits ``sum_k alpha_k cos(w_k (a + b - c))`` over few
frequencies, ``w_k = 2 pi k / p``; for each answer c they lie in the span of ``cos(w_k (a + b))`` and
``sin(w_k (a + b))``. With five frequencies these are ten directions. The paper speaks of "the 20 terms" instead (for
each frequency the four products of sines and cosines of a and b); its published notebook projects on the ten, and so
does this module.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from genbounds.numerics.checks import finite
from genbounds.pathways.grokking.fourier import fourier_basis

__all__ = ["SplitLoss", "addition_loss", "excluded_losses", "excluded_part", "restricted_part"]


@dataclass(frozen=True)
class SplitLoss:
    """Mean cross-entropy, in nats.

    Attributes
    ----------
    all, train, test : float
        Over all pairs, those trained on, and the others.
    """

    all: float
    train: float
    test: float


def _table(logits: ArrayLike) -> NDArray[np.float64]:
    """Return logits as a cube over a, b and c, of odd size."""
    table = finite("logits", logits)
    p = len(table) if table.ndim == 3 else 0
    if table.shape != (p, p, p) or p < 3 or p % 2 == 0:
        raise ValueError(
            f"logits must have shape (p, p, p) for an odd p of at least 3, got {table.shape}. Reshape those of the "
            "pairs (a, b), b fastest."
        )
    return table


def _waves(table: NDArray[np.float64], frequencies: Sequence[int]) -> NDArray[np.float64]:
    """Project logits, as functions of (a, b), on sines and cosines of w_k (a + b)."""
    p = len(table)
    wrong = [k for k in frequencies if not 1 <= k <= p // 2 or k != int(k)]
    if wrong or len(set(frequencies)) < len(frequencies):
        raise ValueError(
            f"frequencies must be distinct and in [1, {p // 2}], got {tuple(frequencies)}. Frequency p - k is k."
        )
    remainders = np.arange(p)
    # What is constant along a + b = s is the mean along it; the rest has no part in any of these waves.
    by_sum = table[remainders, (remainders[:, None] - remainders) % p].mean(axis=1)
    basis = fourier_basis(p)[[row for k in frequencies for row in (2 * int(k) - 1, 2 * int(k))]]
    projected: NDArray[np.float64] = (basis.T @ (basis @ by_sum))[(remainders[:, None] + remainders) % p]
    return projected


def restricted_part(logits: ArrayLike, frequencies: Sequence[int]) -> NDArray[np.float64]:
    """Return logits of which only the means and the waves in a + b of some frequencies are left.

    Parameters
    ----------
    logits : array_like, shape (p, p, p)
        Over a, b and the answer c; p odd.
    frequencies : sequence of int
        Key frequencies, distinct, in [1, (p - 1) / 2]; maybe none.

    Returns
    -------
    ndarray, shape (p, p, p)
        For each c the mean over (a, b), and the projection on ``cos(w_k (a + b))`` and ``sin(w_k (a + b))``.

    Raises
    ------
    ValueError
        If the shape is another, or a frequency is out of range or repeated.
    """
    table = _table(logits)
    return table.mean(axis=(0, 1)) + _waves(table, frequencies)


def excluded_part(logits: ArrayLike, frequencies: Sequence[int]) -> NDArray[np.float64]:
    """Return logits without the waves in a + b of some frequencies; the means stay.

    Parameters
    ----------
    logits : array_like, shape (p, p, p)
        Over a, b and the answer c; p odd.
    frequencies : sequence of int
        Key frequencies, distinct, in [1, (p - 1) / 2]; maybe none.

    Returns
    -------
    ndarray, shape (p, p, p)
        Logits less the projection; orthogonal to it.

    Raises
    ------
    ValueError
        If the shape is another, or a frequency is out of range or repeated.
    """
    table = _table(logits)
    return table - _waves(table, frequencies)


def addition_loss(logits: ArrayLike, trained: ArrayLike) -> SplitLoss:
    """Return the cross-entropy of the answer (a + b) mod p.

    Parameters
    ----------
    logits : array_like, shape (p, p, p)
        Over a, b and the answer c; p odd.
    trained : array_like of bool, shape (p, p) or (p^2,)
        Which pairs were trained on; some, not all.

    Returns
    -------
    SplitLoss
        Means over all pairs, over those and over the others.

    Raises
    ------
    ValueError
        If a shape is another, or a side of the split is empty.

    Examples
    --------
    >>> trained = np.eye(5, dtype=bool)
    >>> bool(np.isclose(addition_loss(np.zeros((5, 5, 5)), trained).test, np.log(5)))
    True
    """
    table = _table(logits)
    side, losses = _side(trained, len(table)), _losses(table)
    return SplitLoss(float(losses.mean()), float(losses[side].mean()), float(losses[~side].mean()))


def excluded_losses(logits: ArrayLike, trained: ArrayLike) -> NDArray[np.float64]:
    """Return the training loss without each single frequency: excluded losses that need no key frequencies.

    Parameters
    ----------
    logits : array_like, shape (p, p, p)
        Over a, b and the answer c; p odd.
    trained : array_like of bool, shape (p, p) or (p^2,)
        Which pairs were trained on; some, not all.

    Returns
    -------
    ndarray, shape ((p - 1) / 2,)
        Cross-entropy over the training pairs without frequency 1, 2, ..., in nats. A maximum far above the training
        loss says that some frequency is in use.
    """
    table = _table(logits)
    p, side = len(table), _side(trained, len(table))
    return np.array([_losses(table - _waves(table, (k,)))[side].mean() for k in range(1, p // 2 + 1)])


def _side(trained: ArrayLike, p: int) -> NDArray[np.bool_]:
    """Return which pairs were trained on as a table."""
    mask: NDArray[Any] = np.asarray(trained)
    if mask.dtype != np.bool_ or mask.size != p * p or mask.all() or not mask.any():
        raise ValueError(
            f"trained must be booleans for the {p * p} pairs with both values, got {mask.dtype} of shape {mask.shape} "
            f"with {np.count_nonzero(mask)} set. Pass the split of the task."
        )
    return mask.reshape(p, p)


def _losses(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cross-entropy of each pair's sum."""
    remainders = np.arange(len(table))
    right = table[remainders[:, None], remainders, (remainders[:, None] + remainders) % len(table)]
    losses: NDArray[np.float64] = logsumexp(table, axis=2) - right
    return losses
