"""Covariance matrices of Gaussian processes, from the inputs of all examples at once."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist, squareform

from genbounds.numerics.checks import count, finite, nonnegative, positive

__all__ = ["linear_kernel", "polynomial_kernel", "rbf_kernel"]


def rbf_kernel(inputs: ArrayLike, *, length_scale: float, variance: float = 1.0) -> NDArray[np.float64]:
    """Return variance exp(-|x - x'|^2 / (2 length_scale^2)) for all pairs of inputs.

    Parameters
    ----------
    inputs : array_like, shape (n, ...)
        Inputs, flattened to vectors.
    length_scale : float
        In the units of the inputs, positive.
    variance : float
        Prior variance of the function at a point, positive.

    Returns
    -------
    ndarray, shape (n, n)
        Covariances, with `variance` on the diagonal.

    Raises
    ------
    ValueError
        If an input is not finite, or a setting not positive.

    Examples
    --------
    >>> rbf_kernel([[0.0], [1.0]], length_scale=1.0).round(3).tolist()
    [[1.0, 0.607], [0.607, 1.0]]
    """
    x = _rows(inputs)
    width = float(positive("length_scale", length_scale))
    # Differences first: |x|^2 + |x'|^2 - 2 x . x' loses as many digits as inputs are far from 0 in length scales.
    return float(positive("variance", variance)) * np.exp(-squareform(pdist(x / width, "sqeuclidean")) / 2)


def linear_kernel(
    inputs: ArrayLike, *, weight_variance: float = 1.0, bias_variance: float = 0.0
) -> NDArray[np.float64]:
    """Return bias_variance + weight_variance x . x' for all pairs of inputs: the law of w . x + b.

    Parameters
    ----------
    inputs : array_like, shape (n, ...)
        Inputs, flattened to vectors.
    weight_variance, bias_variance : float
        Prior variances of each weight and of the bias.

    Returns
    -------
    ndarray, shape (n, n)
        Covariances.

    Raises
    ------
    ValueError
        If an input is not finite, or a variance negative.

    Examples
    --------
    >>> linear_kernel([[1.0, 2.0], [0.0, 1.0]]).tolist()
    [[5.0, 2.0], [2.0, 1.0]]
    """
    x = _rows(inputs)
    bias, weight = (
        float(nonnegative(name, value))
        for name, value in (("bias_variance", bias_variance), ("weight_variance", weight_variance))
    )
    return bias + weight * (x @ x.T)


def polynomial_kernel(
    inputs: ArrayLike, *, degree: int, weight_variance: float = 1.0, bias_variance: float = 1.0
) -> NDArray[np.float64]:
    """Return (bias_variance + weight_variance x . x')^degree for all pairs of inputs.

    Parameters
    ----------
    inputs : array_like, shape (n, ...)
        Inputs, flattened to vectors.
    degree : int
        Degree of the polynomials, at least 1.
    weight_variance, bias_variance : float
        Weight of the products of inputs, and of the constant, in each factor.

    Returns
    -------
    ndarray, shape (n, n)
        Covariances of a Gaussian law over polynomials of at most that degree.

    Raises
    ------
    ValueError
        If an input is not finite, a variance negative, or the degree not a whole number of at least 1.

    Examples
    --------
    >>> polynomial_kernel([[1.0], [2.0]], degree=2).tolist()
    [[4.0, 9.0], [9.0, 25.0]]
    """
    base = linear_kernel(inputs, weight_variance=weight_variance, bias_variance=bias_variance)
    return base ** int(count("degree", degree))


def _rows(inputs: ArrayLike) -> NDArray[np.float64]:
    x = finite("inputs", inputs, "Leave out inputs that are not numbers.")
    if x.ndim < 2 or not x.size:
        raise ValueError(f"inputs must be of shape (n, ...), got {x.shape}. Give each example a row: x[:, None].")
    return x.reshape(len(x), -1)
