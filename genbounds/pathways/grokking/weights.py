"""Size and rank of weights: what falls while a network cleans up what it memorised."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import finite

__all__ = ["effective_rank", "stable_rank", "weight_norm"]


def weight_norm(weights: Mapping[str, ArrayLike]) -> float:
    """Return the Euclidean norm of all weights together.

    Parameters
    ----------
    weights : mapping of str to array_like
        Such as a state dict as arrays.

    Returns
    -------
    float
        Its square is the sum of squared weights of Nanda et al. (2023).

    Examples
    --------
    >>> weight_norm({"one": [[3.0]], "two": [4.0]})
    5.0
    """
    return math.hypot(*(float(np.linalg.norm(finite(name, value).ravel())) for name, value in weights.items()))


def effective_rank(matrix: ArrayLike) -> float:
    """Return exp of the entropy of the singular values over their sum (Roy and Vetterli 2007).

    Parameters
    ----------
    matrix : array_like, shape (m, d)
        Not 0.

    Returns
    -------
    float
        In [1, rank]; the rank where the singular values that are not 0 are equal.

    Examples
    --------
    >>> round(effective_rank(np.eye(4)), 12), round(effective_rank(np.ones((3, 5))), 12)
    (4.0, 1.0)
    """
    sizes = _singular_values(matrix)
    shares = sizes[sizes > 0] / sizes.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def stable_rank(matrix: ArrayLike) -> float:
    """Return the squared Frobenius norm over the squared spectral norm.

    Parameters
    ----------
    matrix : array_like, shape (m, d)
        Not 0.

    Returns
    -------
    float
        In [1, rank].

    Examples
    --------
    >>> round(stable_rank(np.diag([2.0, 1.0, 1.0])), 12)
    1.5
    """
    return float(np.square(_singular_values(matrix)).sum())


def _singular_values(matrix: ArrayLike) -> NDArray[np.float64]:
    """Return singular values over the largest, which leaves both ranks as they are and cannot overflow."""
    values = finite("matrix", matrix)
    sizes = np.linalg.svd(values, compute_uv=False) if values.ndim == 2 and values.size else np.zeros(1)
    if not sizes.any():
        raise ValueError(f"matrix must be a matrix other than 0, got shape {values.shape}. Pass a layer's weights.")
    ratios: NDArray[np.float64] = sizes / sizes.max()
    return ratios
