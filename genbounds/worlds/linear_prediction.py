"""Linear prediction from few examples, in closed form: least squares on known features, and Bayes in a context."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import count, finite, positive

__all__ = ["bayes_in_context", "least_squares_excess"]


def least_squares_excess(features: int, examples: int, noise: float) -> float:
    """Return the expected excess error of least squares on normal features, whatever their covariance.

    Parameters
    ----------
    features : int
        p.
    examples : int
        n, at least p + 2.
    noise : float
        Variance of the labels' noise, positive.

    Returns
    -------
    float
        noise * p / (n - p - 1): the mean of an inverse Wishart matrix. With all d inputs as features p = d; with the r
        factors that a perfect pretraining finds p = r.

    Raises
    ------
    ValueError
        If an argument is out of range; with fewer examples the mean is infinite.

    Examples
    --------
    >>> round(least_squares_excess(50, 60, 0.55), 3), round(least_squares_excess(3, 60, 0.55), 4)
    (3.056, 0.0295)
    """
    p, n, variance = int(count("features", features)), int(count("examples", examples)), float(positive("noise", noise))
    if n < p + 2:
        raise ValueError(f"examples must be at least {p + 2} for {p} features, got {n}. Below, the mean is infinite.")
    return variance * p / (n - p - 1)


def bayes_in_context(
    inputs: ArrayLike, labels: ArrayLike, query: ArrayLike, noise: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the law of a label given a context of labelled inputs, for weights drawn from N(0, I).

    Parameters
    ----------
    inputs : array_like, shape (..., n, d)
        Inputs of the contexts.
    labels : array_like, shape (..., n)
        <w, x> plus normal noise.
    query : array_like, shape (..., d)
        The input whose label is asked for.
    noise : float
        Variance of the noise, positive.

    Returns
    -------
    mean, variance : ndarray
        x^T (X^T X + noise I)^-1 X^T y, and noise (1 + x^T (X^T X + noise I)^-1 x): what a network trained on many
        contexts should say.

    Raises
    ------
    ValueError
        If a number is not finite, or the noise not positive.

    Examples
    --------
    >>> mean, variance = bayes_in_context([[1.0, 0.0]], [2.0], [1.0, 0.0], 1.0)
    >>> float(mean), float(variance)
    (1.0, 1.5)
    """
    x, y, at = finite("inputs", inputs), finite("labels", labels), finite("query", query)
    s = float(positive("noise", noise))
    gram = np.swapaxes(x, -1, -2) @ x + s * np.eye(x.shape[-1])
    solved = np.linalg.solve(gram, at[..., None])[..., 0]
    mean = np.einsum("...d,...nd,...n->...", solved, x, y)
    return np.asarray(mean), np.asarray(s * (1 + np.sum(solved * at, axis=-1)))
