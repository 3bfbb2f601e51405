r"""Divergences and distances between Gaussians, in closed form and without cancellation.

A scale is a standard deviation; everything is in nats. With t = (scale_q - scale_p) / scale_p and
z = (mean_q - mean_p) / scale_p a coordinate adds t - ln(1 + t) + t^2/2 + z^2/2 to the relative entropy: three
non-negative summands, where the textbook's ln and squares cancel.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.deviance import deviance
from genbounds.numerics.rounding import round_up

__all__ = [
    "kl_diagonal",
    "kl_full",
    "kl_isotropic",
    "renyi_diagonal",
    "renyi_full",
    "wasserstein2_diagonal",
    "wasserstein2_full",
]

_BLOCK = 2**15
#: Half units: 90 for a summand, fewer than 27 for the pairwise sum of a block, one for the exact sum of the blocks.
_SUM_ULPS = 60
_UNDERFLOW = 2.0**-1070
_SMALLEST, _LARGEST = 1e-150, 1e150


def kl_diagonal(mean_q: ArrayLike, scale_q: ArrayLike, mean_p: ArrayLike, scale_p: ArrayLike) -> np.float64:
    """Return KL(Q || P) between Gaussians with independent coordinates, rounded up.

    Parameters
    ----------
    mean_q, mean_p : array_like
        Means, any real numbers. All four arguments have one shape, or are scalars that stand for every coordinate.
    scale_q, scale_p : array_like
        Standard deviations, positive.

    Returns
    -------
    float64
        Nats, at or above the real number, by a relative 2e-14 at most. Float32 arguments count as the float64s they
        equal; memory stays at a few blocks beside the arguments.

    Raises
    ------
    ValueError
        If shapes differ, a mean is not finite, or a scale is not in [1e-150, 1e150].

    Examples
    --------
    >>> round(float(kl_diagonal([1.0, 0.0], [1.0, 1.0], 0.0, 1.0)), 12)
    0.5
    >>> float(kl_diagonal(np.zeros(1000), 1.0 + 1e-9, 0.0, 1.0))  # 1000 * 1e-18
    1.00000016...e-15
    """
    parts, dimension, equal = [], 0, True
    for mq, sq, mp, sp in _coordinates(mean_q, scale_q, mean_p, scale_p):
        t = (sq - sp) / sp
        with np.errstate(over="ignore"):
            z = (mq - mp) / sp
            parts += [(deviance(sp, sq, sq - sp) / sp).sum(), 0.5 * np.square(t).sum(), 0.5 * np.square(z).sum()]
        dimension += z.size
        equal = equal and bool((sq == sp).all() and (mq == mp).all())  # t and z may underflow
    if equal:
        return np.float64(0.0)
    total = (
        math.fsum(parts) if math.isfinite(sum(map(float, parts))) else math.inf
    )  # fsum raises where the sum overflows
    return np.float64(round_up(total + dimension * _UNDERFLOW, _SUM_ULPS))


def kl_isotropic(mean_q: ArrayLike, scale_q: float, mean_p: ArrayLike, scale_p: float) -> np.float64:
    """Return KL(Q || P) between Gaussians with one scale each, N(mean, scale^2 I), rounded up.

    Parameters
    ----------
    mean_q, mean_p : array_like
        Means, of one shape; one of them may be a scalar that stands for every coordinate.
    scale_q, scale_p : float
        Standard deviations, positive.

    Returns
    -------
    float64
        Nats, at or above the real number, by a relative 2e-14 at most.

    Raises
    ------
    ValueError
        If a scale is an array, shapes differ, a mean is not finite, or a scale is not in [1e-150, 1e150].

    Examples
    --------
    >>> round(float(kl_isotropic([3.0, 4.0], 1.0, 0.0, 1.0)), 12)  # 25 / 2
    12.5
    """
    for name, scale in (("scale_q", scale_q), ("scale_p", scale_p)):
        if np.ndim(scale) != 0:
            raise ValueError(f"{name} must be one number, got shape {np.shape(scale)}. Use kl_diagonal for many.")
    return kl_diagonal(mean_q, scale_q, mean_p, scale_p)


def kl_full(mean_q: ArrayLike, cov_q: ArrayLike, mean_p: ArrayLike, cov_p: ArrayLike) -> np.float64:
    """Return KL(Q || P) between Gaussians with full covariances.

    Parameters
    ----------
    mean_q, mean_p : array_like, shape (d,)
        Means.
    cov_q, cov_p : array_like, shape (d, d)
        Covariances, symmetric positive definite.

    Returns
    -------
    float64
        Nats. Not rounded outward: the relative error is about 1e-16 times the condition number of `cov_p`.

    Raises
    ------
    ValueError
        If shapes do not fit or a covariance is not symmetric positive definite; the message names it.

    Examples
    --------
    >>> round(float(kl_full([1.0, 0.0], np.eye(2), [0.0, 0.0], np.eye(2))), 12)
    0.5
    """
    return np.float64(_kl(*_whitened(mean_q, cov_q, mean_p, cov_p)))


def renyi_diagonal(
    mean_q: ArrayLike, scale_q: ArrayLike, mean_p: ArrayLike, scale_p: ArrayLike, alpha: float
) -> np.float64:
    """Return the Rényi divergence D_alpha(Q || P) between Gaussians with independent coordinates.

    Parameters
    ----------
    mean_q, mean_p : array_like
        Means. The first four arguments have one shape, or are scalars that stand for every coordinate.
    scale_q, scale_p : array_like
        Standard deviations, positive.
    alpha : float
        Order, positive; 1 gives KL(Q || P).

    Returns
    -------
    float64
        Nats; infinity where alpha > 1 and alpha scale_p^2 + (1 - alpha) scale_q^2 is not positive in some coordinate.
        Not rounded outward.

    Raises
    ------
    ValueError
        If shapes differ, a number is not finite, or a scale or `alpha` is not positive.

    Examples
    --------
    >>> round(float(renyi_diagonal([1.0], [2.0], [0.0], [2.0], 3.0)), 12)  # alpha z^2 / 2
    0.375
    """
    alpha = _order(alpha)
    parts = []
    for mq, sq, mp, sp in _coordinates(mean_q, scale_q, mean_p, scale_p):
        t = (sq - sp) / sp
        parts.append(_renyi(t * (2.0 + t), np.square(sq / sp), (mq - mp) / sp, alpha))
    return np.float64(math.fsum(parts))


def renyi_full(mean_q: ArrayLike, cov_q: ArrayLike, mean_p: ArrayLike, cov_p: ArrayLike, alpha: float) -> np.float64:
    """Return the Rényi divergence D_alpha(Q || P) between Gaussians with full covariances.

    Parameters
    ----------
    mean_q, mean_p : array_like, shape (d,)
        Means.
    cov_q, cov_p : array_like, shape (d, d)
        Covariances, symmetric positive definite.
    alpha : float
        Order, positive; 1 gives KL(Q || P).

    Returns
    -------
    float64
        Nats; infinity where alpha > 1 and alpha cov_p + (1 - alpha) cov_q is not positive definite. Not rounded
        outward.

    Raises
    ------
    ValueError
        If shapes do not fit, a covariance is not symmetric positive definite, or `alpha` is not positive.

    Examples
    --------
    >>> round(float(renyi_full([2.0], [[4.0]], [0.0], [[4.0]], 3.0)), 12)
    1.5
    """
    return np.float64(_renyi(*_whitened(mean_q, cov_q, mean_p, cov_p), _order(alpha)))


def wasserstein2_diagonal(mean_q: ArrayLike, scale_q: ArrayLike, mean_p: ArrayLike, scale_p: ArrayLike) -> np.float64:
    """Return the 2-Wasserstein distance between Gaussians with independent coordinates.

    Parameters
    ----------
    mean_q, mean_p : array_like
        Means. All four arguments have one shape, or are scalars that stand for every coordinate.
    scale_q, scale_p : array_like
        Standard deviations, positive.

    Returns
    -------
    float64
        The distance (not its square), in the units of the coordinates.

    Raises
    ------
    ValueError
        If shapes differ, a mean is not finite, or a scale is not in [1e-150, 1e150].

    Examples
    --------
    >>> float(wasserstein2_diagonal([3.0], [1.0], [0.0], [5.0]))
    5.0
    """
    parts = []
    for mq, sq, mp, sp in _coordinates(mean_q, scale_q, mean_p, scale_p):
        parts.append(float(np.square(mq - mp).sum()))
        parts.append(float(np.square(sq - sp).sum()))
    return np.float64(math.sqrt(math.fsum(parts)))


def wasserstein2_full(mean_q: ArrayLike, cov_q: ArrayLike, mean_p: ArrayLike, cov_p: ArrayLike) -> np.float64:
    """Return the 2-Wasserstein (Bures) distance between Gaussians with full covariances.

    Parameters
    ----------
    mean_q, mean_p : array_like, shape (d,)
        Means.
    cov_q, cov_p : array_like, shape (d, d)
        Covariances, symmetric positive definite.

    Returns
    -------
    float64
        The distance (not its square), in the units of the coordinates.

    Raises
    ------
    ValueError
        If shapes do not fit or a covariance is not symmetric positive definite.

    Notes
    -----
    The Bures part is min over orthogonal O of the Frobenius norm of L_Q - L_P O, L L^T being the covariances; taking
    that norm at the best O (Procrustes) loses no digits where the covariances are next to each other, as the
    difference of traces does.

    Examples
    --------
    >>> round(float(wasserstein2_full([0.0, 0.0], np.eye(2), [0.0, 0.0], 4.0 * np.eye(2))), 12) == round(2**0.5, 12)
    True
    """
    difference, root_q, root_p, _ = _factored(mean_q, cov_q, mean_p, cov_p)
    left, _, right = np.linalg.svd(root_p.T @ root_q)
    return np.float64(np.hypot(np.linalg.norm(difference), np.linalg.norm(root_q - root_p @ (left @ right))))


def _kl(x: NDArray[np.float64], ratio: NDArray[np.float64], z: NDArray[np.float64]) -> float:
    """Return the relative entropy for variance ratios 1 + x and standardised mean differences z."""
    return 0.5 * float((deviance(np.ones_like(x), ratio, x) + np.square(z)).sum())


def _renyi(x: NDArray[np.float64], ratio: NDArray[np.float64], z: NDArray[np.float64], alpha: float) -> float:
    """Return D_alpha for variance ratios 1 + x and standardised mean differences z."""
    if alpha == 1.0:
        return _kl(x, ratio, z)
    if alpha < 0.5:  # skew symmetry: the difference below keeps its digits for the larger of alpha and 1 - alpha
        return alpha / (1.0 - alpha) * _renyi(-x / ratio, 1.0 / ratio, z / np.sqrt(ratio), 1.0 - alpha)
    beta = 1.0 - alpha
    mixed = alpha + beta * ratio
    if (mixed <= 0.0).any():
        return math.inf
    one = np.ones_like(x)
    near = deviance(one, ratio, x) - deviance(one, mixed, beta * x) / beta
    with np.errstate(divide="ignore"):  # mixed next to 0
        far = np.log1p(beta * x) / beta - np.log(ratio)
    spread = np.where(np.abs(x) < 0.5, near, far)  # equal in exact arithmetic
    return 0.5 * float((spread + alpha * np.square(z) / mixed).sum())


def _order(alpha: float) -> float:
    if not 0.0 < alpha < math.inf:
        raise ValueError(f"alpha must be positive and finite, got {alpha}. Order 1 is the relative entropy.")
    return float(alpha)


def _real(name: str, value: ArrayLike, positive: bool = False) -> NDArray[np.float64]:
    array = np.asarray(value, dtype=np.float64)
    if positive:
        bad = ~((array >= _SMALLEST) & (array <= _LARGEST))
        wanted, remedy = "positive, from 1e-150 to 1e150", "Without spread there is no density."
    else:
        bad = ~np.isfinite(array)
        wanted, remedy = "finite", "Look upstream for the overflow or NaN."
    if bad.any():
        raise ValueError(f"{name} must be {wanted}, got {array[bad].flat[0]}. {remedy}")
    return array


def _coordinates(
    mean_q: ArrayLike, scale_q: ArrayLike, mean_p: ArrayLike, scale_p: ArrayLike
) -> Iterator[tuple[NDArray[np.float64], ...]]:
    """Yield the four arguments in float64, block by block, after checking them."""
    names = ("mean_q", "scale_q", "mean_p", "scale_p")
    arrays = [np.asarray(value) for value in (mean_q, scale_q, mean_p, scale_p)]
    shapes = {array.shape for array in arrays if array.ndim}
    if len(shapes) > 1:
        got = ", ".join(f"{name} {array.shape}" for name, array in zip(names, arrays, strict=True))
        raise ValueError(f"means and scales must be of one shape, or scalars, got {got}. Ravel them alike.")
    shape = shapes.pop() if shapes else ()
    flat = [np.broadcast_to(array, shape).reshape(-1) if array.ndim else array for array in arrays]
    for start in range(0, math.prod(shape), _BLOCK):
        size = min(_BLOCK, math.prod(shape) - start)
        yield tuple(
            np.broadcast_to(_real(name, array[start : start + size] if array.ndim else array, "scale" in name), size)
            for name, array in zip(names, flat, strict=True)
        )


def _factored(
    mean_q: ArrayLike, cov_q: ArrayLike, mean_p: ArrayLike, cov_p: ArrayLike
) -> tuple[NDArray[np.float64], ...]:
    """Return mean_q - mean_p, the Cholesky factors of both covariances and cov_q - cov_p, after checking them."""
    mq, mp = _real("mean_q", mean_q), _real("mean_p", mean_p)
    if mq.ndim != 1 or mq.shape != mp.shape:
        raise ValueError(f"mean_q and mean_p must be of one shape (d,), got {mq.shape} and {mp.shape}.")
    covariances: list[NDArray[np.float64]] = []
    roots: list[NDArray[np.float64]] = []
    for name, value in (("cov_q", cov_q), ("cov_p", cov_p)):
        covariance = _real(name, value)
        if covariance.shape != (mq.size, mq.size):
            raise ValueError(
                f"{name} must be of shape {(mq.size, mq.size)} beside means of shape {mq.shape}, "
                f"got {covariance.shape}. Pass the whole covariance matrix."
            )
        asymmetry = np.abs(covariance - covariance.T).max()
        if asymmetry > 1e-12 * np.abs(covariance).max():
            raise ValueError(
                f"{name} must be symmetric, got entries that differ by {asymmetry}. Average it with its T."
            )
        try:
            roots.append(np.linalg.cholesky(covariance).astype(np.float64, copy=False))
        except np.linalg.LinAlgError:
            lowest = np.linalg.eigvalsh(covariance)[0]
            raise ValueError(
                f"{name} must be positive definite, got lowest eigenvalue {lowest}. Drop directions without variance."
            ) from None
        covariances.append(covariance)
    return mq - mp, *roots, covariances[0] - covariances[1]


def _whitened(
    mean_q: ArrayLike, cov_q: ArrayLike, mean_p: ArrayLike, cov_p: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return x, 1 + x and z: where P is N(0, I), Q has independent entries with variances 1 + x and means z."""
    difference, root_q, root_p, change = _factored(mean_q, cov_q, mean_p, cov_p)
    x, axes = np.linalg.eigh(np.linalg.solve(root_p, np.linalg.solve(root_p, change).T))
    ratio = 1.0 + x
    if np.abs(x).max() > 0.5:  # far from each other: singular values keep the small variances
        axes, singular, _ = np.linalg.svd(np.linalg.solve(root_p, root_q))
        x, ratio = (singular - 1.0) * (singular + 1.0), np.square(singular)
    return x, ratio, axes.T @ np.linalg.solve(root_p, difference)
