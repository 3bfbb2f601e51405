"""Relative entropy of a Gaussian whose covariance is diagonal plus low rank, rounded up with a proof.

The only hard part is a lower bound on ln det(I + W^T W). Nothing is assumed of the Cholesky factor that LAPACK returns:
what is certified is how far its square is from the matrix.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg.lapack import dpstrf

from genbounds.numerics.double_double import two_sum
from genbounds.numerics.gaussians import kl_diagonal
from genbounds.numerics.rounding import round_up

__all__ = ["kl_low_rank"]

#: Rows of the factor that are multiplied at once: the error of an inner product grows with its length.
_ROWS = 1024
_UNIT = 2.0**-53
#: A column whose part that is orthogonal to others is smaller than the root of this is left out, where one must be.
_PARALLEL = 1e-7
#: What underflow takes from a square, and from a product of two entries whose squares are finite.
_LOST_SQUARE, _LOST_PRODUCT = 2.0**-1070, 2.0**-500


def kl_low_rank(
    mean_q: ArrayLike, scale_q: ArrayLike, factor_q: ArrayLike, mean_p: ArrayLike, scale_p: ArrayLike
) -> np.float64:
    """Return KL(Q || P) for Q = N(mean_q, diag(scale_q^2) + factor_q factor_q^T) and a diagonal P, rounded up.

    Parameters
    ----------
    mean_q, mean_p : array_like, shape (d,)
        Means; one of them may be a scalar that stands for every coordinate.
    scale_q, scale_p : array_like, shape (d,) or ()
        Standard deviations of Q's diagonal part and of P, positive.
    factor_q : array_like, shape (d, r)
        Low-rank factor of Q's covariance.

    Returns
    -------
    float64
        Nats, at or above the real number; in O(d r^2) operations.

    Raises
    ------
    ValueError
        If shapes do not fit, a mean or the factor is not finite, or a scale is not in [1e-150, 1e150].

    Notes
    -----
    With V = factor_q / scale_p and W = factor_q / scale_q row by row, the matrix determinant lemma gives

        KL(Q || P) = KL(N(mean_q, diag(scale_q^2)) || P) + (|V|_F^2 - ln det(I + W^T W)) / 2.

    The first summand and |V|_F^2 are sums of non-negative numbers, rounded up. A = I + W^T W is scaled by powers of two
    to C = S^-1 A S^-1 with a diagonal in [1/4, 1). Let R be any lower triangular matrix with positive diagonal,
    F = C - R R^T, and theta at least |R^-1|_F^2 |F|_F. If theta < 1, the eigenvalues f of R^-1 F R^-T satisfy
    ln(1 + f) >= -abs(f) / (1 - theta), so that

        ln det A >= 2 ln det S + 2 sum ln R_jj - sqrt(r) theta / (1 - theta).

    F is bounded by what is computed for it and the error of inner products (n terms, in any order: relative n u /
    (1 - n u) of the sum of absolute values); |R^-1|_F by |X|_F / (1 - |I - R X|_F) for the computed inverse X. With
    the Cholesky factor in place of R this loses about 1e-13 r^2.5 cond(C) nats. Where it fails (theta >= 1/2), as
    columns are next to parallel, the determinant is bounded without some of them; where W^T W overflows, by 1.

    Examples
    --------
    >>> u = np.array([[1.0], [0.0]])  # covariance diag(2, 1)
    >>> round(float(kl_low_rank([0.0, 0.0], [1.0, 1.0], u, 0.0, 1.0)), 11) == round((1 - math.log(2)) / 2, 11)
    True
    """
    factor = np.asarray(factor_q)
    shapes = {np.shape(value) for value in (mean_q, scale_q, mean_p, scale_p)} - {()}
    if factor.ndim != 2 or shapes - {factor.shape[:1]}:
        raise ValueError(
            f"factor_q must be of shape (d, r) beside means and scales of shape (d,), got {factor.shape} and "
            f"{sorted(shapes)}. One row of the factor belongs to one coordinate."
        )
    if not np.isfinite(factor).all():
        raise ValueError("factor_q must be finite, got NaN or infinity. Look upstream for the overflow or NaN.")
    dimension = len(factor)
    scales = [np.broadcast_to(np.asarray(value), dimension) for value in (scale_q, scale_p)]
    diagonal = kl_diagonal(np.broadcast_to(np.asarray(mean_q), dimension), scale_q, mean_p, scale_p)
    if not factor.any():
        return diagonal
    rank = factor.shape[1]
    spread: list[float] = []
    gram: NDArray[np.float64] = np.zeros((rank, rank))
    rest = gram
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, dimension, _ROWS):
            rows = factor[start : start + _ROWS].astype(np.float64)
            q, p = (scale[start : start + _ROWS].astype(np.float64)[:, None] for scale in scales)
            spread += np.square(rows / p).sum(axis=0).tolist()
            whitened = rows / q
            gram, error = map(np.asarray, two_sum(gram, whitened.T @ whitened))
            rest = rest + error
        gram = gram + rest
    if not math.isfinite(sum(spread)):
        return np.float64(math.inf)
    # Each column of a block: a division, a square, at most _ROWS additions; then an exact sum.
    total = float(round_up(math.fsum(spread) + factor.size * _LOST_SQUARE, _ROWS // 2 + 2))
    determinant = _log_det_lower(gram, dimension) if np.isfinite(gram).all() else 0.0
    return np.float64(math.nextafter(math.fsum([float(diagonal), total / 2, -determinant / 2]), math.inf))


def _log_det_lower(gram: NDArray[np.float64], dimension: int) -> float:
    """Bound ln det(I + G) from below, where `gram` is within the error of `kl_low_rank`'s blocks of G = W^T W."""
    a = gram + np.eye(len(gram))
    exponents = np.ceil(np.frexp(np.diag(a))[1] / 2).astype(np.int32)
    scaled = np.ldexp(a, -(exponents[:, None] + exponents))
    certified = _certified(scaled, exponents, dimension)
    if certified is None:
        # Columns next to parallel. Without some of them the determinant is smaller, as Schur complements of A >= I are
        # at least I: keep those that a Cholesky factorisation with pivots takes first.
        _, pivots, rank, _ = dpstrf(scaled, tol=_PARALLEL, lower=1)
        kept = pivots[:rank] - 1
        certified = _certified(scaled[np.ix_(kept, kept)], exponents[kept], dimension)
    return max(0.0, certified or 0.0)


def _certified(scaled: NDArray[np.float64], exponents: NDArray[np.int32], dimension: int) -> float | None:
    """Bound the logarithm of det(S C S) from below by the notes of `kl_low_rank`; None where theta is too large."""
    rank = len(scaled)
    try:
        root = np.linalg.cholesky(scaled)
        inverse = np.linalg.inv(root)
    except np.linalg.LinAlgError:
        return None
    # By Cauchy and Schwarz the absolute products behind an entry sum to at most the root of the diagonal's product, so
    # that an elementwise error times it has a Frobenius norm of that error times the trace. A block's inner product has
    # _ROWS terms with quotients for factors; the compensated sum over blocks adds one unit (below 2^26 blocks), the
    # unit matrix another; R R^T has inner products of at most `rank` terms.
    product = root @ root.T
    slack = 1.0 + 8.0 * rank * rank * _UNIT
    terms = (_ROWS + 8) * _UNIT * np.trace(scaled) + (rank + 8) * _UNIT * np.trace(product)
    distance = (np.linalg.norm(scaled - product) + 1.01 * terms + rank * dimension * _LOST_PRODUCT) * slack
    size = np.linalg.norm(inverse) * slack
    residual = np.linalg.norm(root @ inverse - np.eye(rank)) + 1.01 * (rank + 3) * _UNIT * np.linalg.norm(root) * size
    if not residual * slack < 0.5:
        return None
    theta = np.square(size / (1.0 - residual * slack)) * distance * slack
    if not theta < 0.5:
        return None
    parts = [*(2.0 * math.log(2.0) * exponents), *(2.0 * np.log(np.diag(root)))]
    error = 5.0 * 2.0**-52 * math.fsum(map(abs, parts)) + 1.001 * math.sqrt(rank) * theta / (1.0 - theta)
    return math.nextafter(math.fsum(parts) - error, -math.inf)
