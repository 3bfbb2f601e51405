"""Inner products of the gradients of a subsample: what statements about pairs of examples start from."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.checks import finite

__all__ = ["Gram"]


@dataclass(frozen=True)
class Gram:
    """Inner products of the gradients of examples drawn from a data set.

    Parameters
    ----------
    products : ndarray, shape (k, k)
        ``g_i . g_j``, symmetric, in float64.
    labels : ndarray of int64, shape (k,), or None
        Classes of the examples, where targets are classes.
    index : ndarray of int64, shape (k,)
        Their positions in the data.
    number : int
        Examples in the data they were drawn from, without repetition.
    rounding : float
        Machine epsilon of the gradients.

    Raises
    ------
    ValueError
        If the matrix is not square, symmetric and finite, or has fewer than two rows.
    """

    products: NDArray[np.float64] = field(repr=False)
    labels: NDArray[np.int64] | None = field(repr=False)
    index: NDArray[np.int64] = field(repr=False)
    number: int
    rounding: float = float(np.finfo(np.float64).eps)

    def __post_init__(self) -> None:
        matrix = finite("products", self.products)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
            raise ValueError(f"products must be a square matrix of two rows or more, got shape {matrix.shape}.")
        if not np.array_equal(matrix, matrix.T):
            raise ValueError("products must be symmetric, got a matrix that is not. Average it with its transpose.")
        if (np.diagonal(matrix) < 0).any():
            raise ValueError(f"products must have squared norms on the diagonal, got {np.diagonal(matrix).min()}.")

    def __len__(self) -> int:
        return len(self.products)

    def directions(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the cosines among the gradients that are not zero.

        Returns
        -------
        cosines : ndarray, shape (j, j)
            Not cut off at 1: rounding shows.
        kept : ndarray of bool, shape (k,)
            Whose gradient is not zero.

        Raises
        ------
        ValueError
            If fewer than two examples have a gradient.
        """
        squared = np.diagonal(self.products)
        kept = squared > 0
        if kept.sum() < 2:
            raise ValueError(
                f"gram must hold two examples with a gradient or more, got {kept.sum()} of {len(kept)}. Measure before "
                "every example is fitted, or draw more."
            )
        lengths = np.sqrt(squared[kept])
        return self.products[np.ix_(kept, kept)] / lengths[:, None] / lengths[None, :], kept
