"""The probability that all coordinates of a Gaussian vector are positive, by importance sampling with tilting.

With X = C Z, C the lower triangular Cholesky factor of the covariance, scaled to a diagonal of ones, and Z independent,
X > 0 reads Z_i > -sum_{j<i} C_ij Z_j: each coordinate, given those before it, is beyond a threshold t_i. Drawing each
from its Gaussian law beyond the threshold and weighting by the product of the tails is unbiased (the simulator of
Geweke, Hajivassiliou and Keane; separation of variables in Genz, 1992), but in many dimensions few draws carry all
weight.
Botev (2017) shifts the mean of Z_i by mu_i,

    ln weight = sum_i [ ln Q(t_i - mu_i) + mu_i^2 / 2 - mu_i Z_i ],   Q(t) = P(N(0, 1) > t),

at the saddle point that makes the largest weight as small as possible: ln weight is concave in Z, so weights are
bounded. With h = Q' / Q the saddle point has one unknown for each coordinate, s_i = t_i - mu_i: its two conditions
combine to Z = C^T h(s), mu = Z - h(s) and

    s + (C C^T - 1) h(s) = 0,

the stationarity of a strictly convex function of h. Newton's method finds it from anywhere.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import erfcx, log_ndtr, ndtri_exp

from genbounds.numerics.checks import count, finite

__all__ = ["orthant_log_weights"]

#: Draws that are made at a time, and Newton steps at most.
_BLOCK, _STEPS = 1024, 200
_UNIT = 2.0**-52


def orthant_log_weights(covariance: ArrayLike, draws: int, *, seed: int = 0) -> NDArray[np.float64]:
    """Draw independent positive weights whose expectation is P(X > 0) for a centred Gaussian vector X.

    Parameters
    ----------
    covariance : array_like, shape (n, n)
        Covariance of X, positive definite.
    draws : int
        Number of weights, at least 1.
    seed : int
        Seed of the draws.

    Returns
    -------
    ndarray, shape (draws,)
        Logarithms of the weights. The mean of the weights is an unbiased estimate of the probability at any number of
        draws, for any covariance; `genbounds.rare_events.averages.log_means.log_mean` turns it into nats with an error.

    Raises
    ------
    ValueError
        If the covariance is not a symmetric positive definite matrix of finite numbers.

    Notes
    -----
    Coordinates are drawn in the order of Gibson, Glasbey and Elston (1994): next is the one least likely to be positive
    if those before have their expected values. Time grows as n^3 + n^2 draws. Expectation Propagation, in
    common use for the same probability, gives a number without an error.

    Examples
    --------
    P(X > 0) = 1/4 + arcsin(rho) / (2 pi) in two dimensions, here 1/3; in one dimension every weight is exact:

    >>> weights = np.exp(orthant_log_weights([[1.0, 0.5], [0.5, 1.0]], 10_000))
    >>> round(float(weights.mean()), 3), np.exp(orthant_log_weights([[4.0]], 3)).round(12).tolist()
    (0.333, [0.5, 0.5, 0.5])
    """
    number = int(count("draws", draws))
    factor = _ordered_factor(_checked(covariance))
    below = np.tril(factor, -1)
    shifts = below.T @ _inverse_mills(_saddle_point(factor @ factor.T))
    generator = np.random.default_rng(seed)
    blocks = [min(_BLOCK, number - start) for start in range(0, number, _BLOCK)]
    return np.concatenate([_block(below, shifts, size, generator) for size in blocks])


def _checked(covariance: ArrayLike) -> NDArray[np.float64]:
    matrix = finite("covariance", covariance)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ValueError(f"covariance must be a square matrix, got shape {matrix.shape}.")
    scale = float(np.abs(matrix).max())
    if np.abs(matrix - matrix.T).max() > 1e-8 * scale:
        raise ValueError(
            "covariance must be symmetric, got one that is not. Pass (A + A.T) / 2 if rounding is to blame."
        )
    return (matrix + matrix.T) / 2


def _block(
    below: NDArray[np.float64], shifts: NDArray[np.float64], size: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    z, log_weights = np.empty((len(below), size)), np.zeros(size)
    for row, (others, shift) in enumerate(zip(below, shifts, strict=True)):
        log_tail = log_ndtr(others[:row] @ z[:row] + shift)  # Q(t - mu) with t = -others @ z
        # A uniform share of the tail; 1 - random() is never 0.
        z[row] = shift - ndtri_exp(np.log(1 - generator.random(size)) + log_tail)
        log_weights += log_tail + shift * (shift / 2 - z[row])
    return log_weights


def _inverse_mills(s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the density of N(0, 1) over its upper tail Q."""
    return math.sqrt(2 / math.pi) / erfcx(np.maximum(s, -37.0) / math.sqrt(2))  # at -37 it is 1e-298


def _ordered_factor(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Cholesky factor of the covariance in the order of drawing, its rows scaled to a diagonal of ones."""
    matrix, size = matrix.copy(), len(matrix)
    factor, mean, variance = np.zeros_like(matrix), np.zeros(size), np.diag(matrix).copy()
    least = size * _UNIT * variance
    for row in range(size):
        if (variance[row:] <= least[row:]).any():
            raise ValueError(
                "covariance must be positive definite, got one that is singular up to rounding. Leave out coordinates "
                "that others determine, or add a variance of noise to the diagonal."
            )
        first = row + int(np.argmin(mean[row:] / np.sqrt(variance[row:])))
        for array in (matrix, matrix.T, factor, mean, variance, least):
            array[[row, first]] = array[[first, row]]
        root = math.sqrt(variance[row])
        factor[row, row] = root
        later = slice(row + 1, None)
        factor[later, row] = (matrix[later, row] - factor[later, :row] @ factor[row, :row]) / root
        mean[later] += factor[later, row] * _inverse_mills(np.array(-mean[row] / root))
        variance[later] -= factor[later, row] ** 2
    return factor / np.diag(factor)[:, None]


def _saddle_point(scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve s + (M - 1) h(s) = 0, M positive definite: where h (M - 1) h / 2 + sum_i (s_i h_i + ln Q(s_i)) is least."""
    others = scaled - np.eye(len(scaled))

    def potential(s: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        h = _inverse_mills(s)
        return float(h @ others @ h / 2 + s @ h + log_ndtr(-s).sum()), h

    s = np.zeros(len(scaled))
    value, h = potential(s)
    for _ in range(_STEPS):
        residual = s + others @ h
        if np.abs(residual).max() <= 1e-10 * (1 + np.abs(s).max()):
            break
        root = np.sqrt(np.maximum(h * (h - s), 0.0))  # dh / ds = h (h - s), in (0, 1)
        curvature = root[:, None] * others * root + np.eye(len(s))
        try:
            step_h = -root * cho_solve(cho_factor(curvature, lower=True), root * residual)
        except np.linalg.LinAlgError:  # nearly singular; any s is good for an unbiased estimate
            break
        step = -residual - others @ step_h
        length, slope = 1.0, float(residual @ step_h)
        moved, near = potential(s + step)
        while moved > value + 1e-4 * length * slope + 1e-13 * abs(value) and length > 1e-10:
            length /= 2
            moved, near = potential(s + length * step)
        s, value, h = s + length * step, moved, near
    return s
