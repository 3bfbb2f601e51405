"""Traces of large symmetric matrices that are known by their products with vectors alone: three estimators."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular
from scipy.stats import t as student_t

from genbounds.numerics.checks import count
from genbounds.numerics.estimates import Estimate

__all__ = ["Products", "hutch_plus_plus", "hutchinson", "xtrace"]

#: ``products(vectors)`` returns A v for each row v, float64 of shape (K, P) both.
Products: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def hutchinson(products: Products, dimension: int, generator: np.random.Generator, *, probes: int = 30) -> Estimate:
    """Estimate the trace of A by the mean of v^T A v over vectors of random signs [Hutchinson1990]_.

    Parameters
    ----------
    products : callable
        Products with A.
    dimension : int
        Rows of A.
    generator : numpy.random.Generator
        Source of the signs.
    probes : int
        Vectors, and products, at least 2.

    Returns
    -------
    Estimate
        Unbiased; each term has variance 2 (|A|_F^2 - sum A_ii^2). The interval is Student's.

    Raises
    ------
    ValueError
        If a count is out of range, or a product is not finite.

    Examples
    --------
    >>> values = np.arange(5.0)
    >>> found = hutchinson(lambda v: v * values, 5, np.random.default_rng(0), probes=3)
    >>> float(found.value), float(found.standard_error)  # exact for diagonal matrices
    (10.0, 0.0)
    """
    number = int(count("probes", probes, minimum=2))
    vectors = _signs(generator, number, dimension)
    terms = (vectors * _checked(products(vectors), vectors)).sum(axis=1)
    return _estimate(terms, f"Hutchinson's estimator, {number} products")


def hutch_plus_plus(
    products: Products, dimension: int, generator: np.random.Generator, *, probes: int = 30
) -> Estimate:
    """Estimate the trace of A by a third of the products for its range and Hutchinson's estimator outside of it.

    Parameters
    ----------
    products : callable
        Products with A.
    dimension : int
        Rows of A.
    generator : numpy.random.Generator
        Source of the vectors: normal ones for the range, signs for the rest.
    probes : int
        Products in all, at least 6.

    Returns
    -------
    Estimate
        tr(Q^T A Q) plus the mean of g^T (I - Q Q^T) A (I - Q Q^T) g, Q a basis of A times random vectors
        [MeyerEtAl2021]_: exact for ranks up to a third of the products, and for positive semi-definite A of a relative
        error that falls with their number, not with its root. The standard error is that of the mean, given Q.

    Raises
    ------
    ValueError
        If a count is out of range, or a product is not finite.

    Examples
    --------
    >>> values = np.r_[5.0, 3.0, np.zeros(98)]
    >>> found = hutch_plus_plus(lambda v: v * values, 100, np.random.default_rng(0), probes=9)
    >>> float(found.value.__round__(9))
    8.0
    """
    number = int(count("probes", probes, minimum=6)) // 3
    sketch = generator.standard_normal((number, int(count("dimension", dimension))))
    basis = np.linalg.qr(_checked(products(sketch), sketch).T)[0].T  # rows
    inside = float((basis * _checked(products(basis), basis)).sum())
    vectors = _signs(generator, max(2, int(probes) - 2 * number), dimension)
    outside = vectors - (vectors @ basis.T) @ basis
    terms = (outside * _checked(products(outside), outside)).sum(axis=1)
    return _estimate(inside + terms, f"Hutch++, {2 * number + len(terms)} products")


def xtrace(products: Products, dimension: int, generator: np.random.Generator, *, probes: int = 30) -> Estimate:
    r"""Estimate the trace of A with every random vector used for the range and, left out of it, for the rest.

    Parameters
    ----------
    products : callable
        Products with A.
    dimension : int
        Rows of A.
    generator : numpy.random.Generator
        Source of the vectors, uniform on the sphere of radius sqrt(P).
    probes : int
        Products in all, at least 4 and an even number; half of them at most as many as A has rows.

    Returns
    -------
    Estimate
        The mean over i of the estimate that vector i gives with the basis Q_i of A times all others [EpperlyEtAl2024]_;
        unbiased, and exact for ranks below half of the products. The standard error is that of the terms as if they
        were independent, which they are not: for 30 products it was 1.0 of the true one for 600 rows, 0.6 for 40 rows
        of a flat spectrum and 0.4 where the rank is near half of the products; intervals of a nominal 0.95 covered
        0.95, 0.76 and 0.5. `hutch_plus_plus` has honest ones.

    Raises
    ------
    ValueError
        If a count is out of range, or a product is not finite.

    Notes
    -----
    With A W = Q R, the column i of R^-T, of norm 1, is s_i: orthogonal to all columns of R but the i-th, so that
    Q_i Q_i^T = Q (I - s_i s_i^T) Q^T, and nothing is factorised anew. With Z = A Q and H = Q^T Z the term is
    tr H - s_i^T H s_i + v_i^T A v_i, where v_i = w_i - Q (I - s_i s_i^T) Q^T w_i and A v_i is the same combination of
    A w_i and Z.

    Examples
    --------
    >>> values = np.r_[5.0, 3.0, np.zeros(98)]
    >>> found = xtrace(lambda v: v * values, 100, np.random.default_rng(0), probes=8)
    >>> float(found.value.__round__(9))
    8.0
    """
    size, half = int(count("dimension", dimension)), int(count("probes", probes, minimum=4)) // 2
    if int(probes) % 2:
        raise ValueError(f"probes must be even, got {probes}: half of them for the range. Take one more.")
    if half > size:
        raise ValueError(f"probes must be at most twice the {size} rows of A, got {probes}. Write A out instead.")
    vectors = generator.standard_normal((half, size))
    vectors *= size**0.5 / np.linalg.norm(vectors, axis=1, keepdims=True)
    images = _checked(products(vectors), vectors)
    basis, upper = qr(images.T, mode="economic")
    # A matrix of lower rank leaves zeros on the diagonal; any direction serves there.
    diagonal = np.abs(np.diag(upper))
    floor = (float(diagonal.max()) or 1.0) * 2.0**-52
    upper[np.diag_indices(half)] = np.where(diagonal < floor, floor, np.diag(upper))
    left = solve_triangular(upper.T, np.eye(half), lower=True)
    left /= np.linalg.norm(left, axis=0)  # columns s_i
    moved = _checked(products(np.ascontiguousarray(basis.T)), basis.T).T
    inner, coordinates = basis.T @ moved, basis.T @ vectors.T
    weights = coordinates - left * (left * coordinates).sum(axis=0)
    outside, image = vectors.T - basis @ weights, images.T - moved @ weights
    terms = np.trace(inner) - (left * (inner @ left)).sum(axis=0) + (outside * image).sum(axis=0)
    return _estimate(terms, f"XTrace, {2 * half} products")


def _signs(generator: np.random.Generator, number: int, dimension: int) -> NDArray[np.float64]:
    return np.asarray(generator.integers(0, 2, (number, int(count("dimension", dimension)))) * 2.0 - 1.0)


def _checked(images: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    if images.shape != vectors.shape or not np.isfinite(images).all():
        raise ValueError(
            f"products must give finite numbers of shape {vectors.shape}, got shape {images.shape} or NaN or infinity. "
            "Look upstream."
        )
    return images


def _estimate(terms: NDArray[np.float64], method: str) -> Estimate:
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        value, error = float(terms.mean()), float(terms.std(ddof=1)) / len(terms) ** 0.5
    reach = float(student_t.ppf(0.975, len(terms) - 1)) * error
    if not np.isfinite([value, error]).all():
        raise ValueError("products must have squares that float64 holds, got larger ones. Scale the matrix.")
    return Estimate(value, error, (value - reach, value + reach), 0.95, len(terms), method)
