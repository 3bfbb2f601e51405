"""Fourier components of what a network holds about remainders mod p, and how few frequencies carry them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainccinv

from genbounds.numerics.checks import confidence, count, finite, nonnegative
from genbounds.numerics.unevenness import gini

__all__ = ["fourier_basis", "frequency_norms", "gaussian_gini", "key_frequencies", "top_share"]


def _odd(modulus: int) -> int:
    """Return an odd modulus of at least 3, for which sines and cosines pair up."""
    p = int(count("modulus", modulus, minimum=3))
    if p % 2 == 0:
        raise ValueError(f"modulus must be odd, got {p}. Take a prime such as 59.")
    return p


def fourier_basis(modulus: int) -> NDArray[np.float64]:
    r"""Return the real orthonormal Fourier basis of functions on the remainders mod p.

    Parameters
    ----------
    modulus : int
        p, odd and at least 3.

    Returns
    -------
    ndarray, shape (p, p)
        Rows: the constant ``1 / sqrt(p)``, then for k = 1, ..., (p - 1) / 2 the functions ``sqrt(2 / p) cos(w_k x)`` in
        row 2 k - 1 and ``sqrt(2 / p) sin(w_k x)`` in row 2 k, where ``w_k = 2 pi k / p``.

    Examples
    --------
    >>> basis = fourier_basis(5)
    >>> bool(np.allclose(basis @ basis.T, np.eye(5)))
    True
    """
    p = _odd(modulus)
    # Remainders of k x keep the arguments small, so that rounding does not grow with k x.
    angles = 2 * np.pi / p * (np.outer(np.arange(1, p // 2 + 1), np.arange(p)) % p)
    waves = np.stack([np.cos(angles), np.sin(angles)], axis=1).reshape(p - 1, p)
    return np.vstack([np.full((1, p), p**-0.5), np.sqrt(2 / p) * waves])


def frequency_norms(matrix: ArrayLike) -> NDArray[np.float64]:
    """Return how much of a matrix with a row for each remainder there is at each frequency.

    Sine and cosine of a frequency count together: then renaming the remainders x to x + s changes nothing. (Nanda et
    al. 2023 show them one by one.)

    Parameters
    ----------
    matrix : array_like, shape (p, d)
        Such as an embedding, or a map from neurons to logits with the answers along the first axis.

    Returns
    -------
    ndarray, shape ((p - 1) / 2,)
        Norms ``sqrt(|cos_k W|^2 + |sin_k W|^2)`` for k = 1, ...; their squares and that of the constant component sum
        to the squared Frobenius norm. What is below p times the rounding of float64 of that norm is 0.

    Raises
    ------
    ValueError
        If there are not two dimensions, p is even, or a number is not finite.
    """
    rows = finite("matrix", matrix)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"matrix must have a row for each remainder, got shape {rows.shape}. Pass an embedding.")
    parts = fourier_basis(len(rows))[1:] @ rows
    norms: NDArray[np.float64] = np.sqrt(np.square(parts).reshape(len(rows) // 2, -1).sum(axis=1))
    rounding = len(rows) * np.finfo(np.float64).eps * np.linalg.norm(rows)
    return np.where(norms > rounding, norms, 0.0)


def gaussian_gini(modulus: int, width: int, draws: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """Draw the Gini coefficient of `frequency_norms` of a matrix of independent normal entries: the null.

    The basis is orthonormal, so that squared norms are independent chi-squares of 2 d degrees of freedom.

    Parameters
    ----------
    modulus, width : int
        p and d of the matrix.
    draws : int
        How many.
    seed : int
        Of the draws.

    Returns
    -------
    ndarray, shape (draws,)
        One coefficient a draw.
    """
    frequencies = _odd(modulus) // 2
    degrees = 2 * int(count("width", width))
    squares = np.random.default_rng(seed).chisquare(degrees, (int(count("draws", draws)), frequencies))
    return np.array([gini(row) for row in np.sqrt(squares)])


def key_frequencies(matrix: ArrayLike, level: float = 0.05) -> tuple[int, ...]:
    """Return the frequencies with more of a matrix's power than normal noise would give any of them.

    The rule is ours; Nanda et al. (2023) chose by eye. For independent normal entries of one variance the share of a
    frequency in the power of all (the constant left out) follows a beta law with parameters d and d (m - 1), where
    m = (p - 1) / 2. A frequency is a key frequency if its share is above the quantile at 1 - level / m: by the union
    bound noise has one with probability at most `level`.

    Parameters
    ----------
    matrix : array_like, shape (p, d)
        An embedding; p at least 5.
    level : float
        Probability that noise has any, in (0, 1).

    Returns
    -------
    tuple of int
        Frequencies in [1, (p - 1) / 2], increasing; maybe none.

    Raises
    ------
    ValueError
        If the matrix is constant over the remainders, or p is below 5: one frequency has all the power.
    """
    power = np.square(frequency_norms(matrix))
    if len(power) < 2 or not power.any():
        raise ValueError(
            f"matrix must have power to share among at least 2 frequencies, got {len(power)} with a total of "
            f"{power.sum()}. Pass an embedding of at least 5 remainders."
        )
    width, frequencies = np.shape(matrix)[1], len(power)
    risk = float(confidence("level", level)) / frequencies
    share = betainccinv(width, width * (frequencies - 1), risk)
    return tuple(int(k) + 1 for k in np.flatnonzero(power / power.sum() > share))


def top_share(norms: ArrayLike, top: int = 5) -> float:
    """Return the share of the power that the largest frequencies hold.

    Parameters
    ----------
    norms : array_like, shape (m,)
        As `frequency_norms` returns them; not all 0.
    top : int
        How many of the largest.

    Returns
    -------
    float
        In (0, 1]; min(top, m) / m where all are equal.

    Raises
    ------
    ValueError
        If a norm is negative, or all are 0.

    Examples
    --------
    >>> top_share([1, 1, 1, 3], 1)
    0.75
    """
    power = np.sort(np.square(finite("norms", nonnegative("norms", norms))))[::-1]
    if not power.any():
        raise ValueError("norms must hold a positive number, got none. An empty spectrum has no shape.")
    return float(power[: int(count("top", top))].sum() / power.sum())
