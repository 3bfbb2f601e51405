r"""How many directions of a kernel a ridge leaves free: Tr H (H + lambda I)^-1 = sum s_i / (s_i + lambda).

It decreases in lambda and is convex in it, lies below the rank, and for a given trace is largest for equal eigenvalues:
x / (x + lambda) is concave. So is its sum over eigenvalues a Schur-concave function of them, and that settles how it
moves with the routing: if the parts of one hard routing are divided further by another, the finer kernel is the coarser
one with entries set to 0 outside of blocks (a pinching), whose eigenvalues are majorised by those of the coarser: **a
finer partition never has the smaller effective dimension.** That is a theorem about partitions of the inputs, and none
about distances of paths.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import Float64, finite, positive

__all__ = ["effective_dimension", "semidefinite"]

#: Asymmetry, and eigenvalues below 0, up to this part of the largest eigenvalue are rounding.
_ROUNDING = 1e-10


def effective_dimension(kernel: ArrayLike, ridge: ArrayLike) -> Float64:
    """Return the trace of H (H + ridge I)^-1.

    Parameters
    ----------
    kernel : array_like, shape (n, n)
        H, symmetric and positive semidefinite. Eigenvalues below 0 by at most 1e-10 of the largest count as 0, and so
        do those above it up to n times the rounding of float64 of the largest: they are that of zeros.
    ridge : array_like
        Positive; one number or several.

    Returns
    -------
    float64 or ndarray
        One for each ridge, in [0, rank].

    Raises
    ------
    ValueError
        If the kernel is not symmetric and positive semidefinite, or a ridge not positive.

    Examples
    --------
    >>> effective_dimension(np.diag([1.0, 3.0]), [1.0, 3.0]).tolist()
    [1.25, 0.75]
    """
    penalty = positive("ridge", ridge)[..., None]
    values, _ = semidefinite(kernel)
    return (values / (values + penalty)).sum(axis=-1)[()]


def semidefinite(kernel: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return eigenvalues and eigenvectors of a symmetric, positive semidefinite matrix.

    Parameters
    ----------
    kernel : array_like, shape (n, n)
        The matrix.

    Returns
    -------
    values : ndarray, shape (n,)
        Eigenvalues, in increasing order; those that differ from 0 by rounding are 0.
    vectors : ndarray, shape (n, n)
        Eigenvectors, as columns.

    Raises
    ------
    ValueError
        If it is no such matrix, beyond rounding.
    """
    matrix = finite("kernel", kernel)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"kernel must be a square matrix, got shape {matrix.shape}. Give one row for each input.")
    asymmetry = float(np.abs(matrix - matrix.T).max())
    if asymmetry > _ROUNDING * float(np.abs(matrix).max()):
        raise ValueError(
            f"kernel must be symmetric, got entries that differ by {asymmetry:.3g} from their mirror images. Average "
            "it with its transpose."
        )
    values, vectors = np.linalg.eigh(matrix)
    if values[0] < -_ROUNDING * np.abs(values).max():
        raise ValueError(
            f"kernel must be positive semidefinite, got the eigenvalue {values[0]:.3g} beside {values[-1]:.3g}. "
            "Compute it in float64."
        )
    known = len(values) * np.finfo(np.float64).eps * values[-1]
    return np.where(values > known, values, 0.0), vectors
