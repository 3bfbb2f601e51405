"""The ends of the spectrum of a large symmetric matrix that is known by its products with vectors alone."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import brentq
from scipy.special import betaincinv

from genbounds.numerics.checks import confidence, count, positive

__all__ = ["ExtremeEigenvalues", "LanczosState", "extreme_eigenvalues", "lanczos_steps"]

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class ExtremeEigenvalues:
    """Smallest and largest eigenvalue of a symmetric matrix A, as far as Lanczos iterations found them.

    Attributes
    ----------
    smallest, largest : float
        Rayleigh quotients theta of unit vectors y: the extreme eigenvalues lie at or beyond them.
    residuals : tuple of float
        |A y - theta y| of both, measured: some eigenvalue lies within that distance of theta. That it is the extreme
        one no residual can say, which is what the limits are for.
    limits : tuple of float
        The smallest eigenvalue is at or above the first, the largest at or below the second, with probability at least
        1 - delta over the start vector; infinite after too few steps. They hold in exact arithmetic, and in float64
        up to rounding.
    delta : float
        Probability with which a limit may fail.
    steps : int
        Products with A in the iteration.
    converged : bool
        Whether the residual at the end of larger modulus met the tolerance, and the limits the accuracy.
    """

    smallest: float
    largest: float
    residuals: tuple[float, float]
    limits: tuple[float, float]
    delta: float
    steps: int
    converged: bool

    @property
    def norm(self) -> float:
        """Largest modulus of the two: a lower limit of the spectral norm, whatever converged.

        Returns
        -------
        float
            At most the spectral norm of A.
        """
        return max(abs(self.smallest), abs(self.largest))

    @property
    def norm_limit(self) -> float:
        """Upper limit of the spectral norm, with probability at least 1 - delta.

        Returns
        -------
        float
            At least `norm`; may be infinite.
        """
        return max(abs(self.smallest), abs(self.largest), -self.limits[0], self.limits[1])


@dataclass(frozen=True)
class LanczosState:
    """Where an iteration stands after some products.

    Attributes
    ----------
    basis : ndarray, shape (steps, dimension)
        Orthonormal rows V.
    diagonal, off : list of float
        The tridiagonal matrix V A V^T: steps and steps - 1 numbers.
    rest : float
        Norm of what A times the last row has outside of the basis.
    """

    basis: Vector
    diagonal: list[float]
    off: list[float]
    rest: float


def lanczos_steps(product: Callable[[Vector], Vector], start: Vector, most: int) -> Iterator[LanczosState]:
    """Run Lanczos iterations with full re-orthogonalisation.

    Parameters
    ----------
    product : callable
        ``product(v)`` returns A v, both float64 of shape (dimension,).
    start : ndarray, shape (dimension,)
        Where to begin; any length.
    most : int
        Products after which to stop, at most the dimension.

    Yields
    ------
    LanczosState
        After each product. Going on where `rest` is 0 to rounding makes no sense.

    Raises
    ------
    ValueError
        If a product is not finite.
    """
    size = len(start)
    basis = np.empty((most, size))
    basis[0] = start / np.linalg.norm(start)
    diagonal: list[float] = []
    off: list[float] = []
    for steps in range(1, most + 1):
        rows = basis[:steps]
        image = _checked(product(rows[-1]), size)
        diagonal.append(float(rows[-1] @ image))
        for _ in range(2):  # once more removes what rounding left of the first time
            image = image - rows.T @ (rows @ image)
        rest = float(np.linalg.norm(image))
        yield LanczosState(rows, list(diagonal), list(off), rest)
        if steps < most:
            off.append(rest)
            basis[steps] = image / rest


def extreme_eigenvalues(
    product: Callable[[Vector], Vector],
    dimension: int,
    generator: np.random.Generator,
    *,
    tolerance: float = 1e-6,
    accuracy: float = 0.01,
    max_steps: int = 300,
    delta: float = 1e-6,
) -> ExtremeEigenvalues:
    r"""Find the ends of the spectrum of a symmetric matrix by Lanczos iterations with full re-orthogonalisation.

    Parameters
    ----------
    product : callable
        ``product(v)`` returns A v, both float64 of shape (dimension,).
    dimension : int
        Rows of A.
    generator : numpy.random.Generator
        Source of the start, a normal vector. Basis vectors take steps * dimension float64 numbers.
    tolerance : float
        Residual at which to stop, relative to the largest modulus found.
    accuracy : float
        Share of the spectrum's width that the limits may leave open beyond either end when it stops. The default takes
        about a hundred steps; what is left open falls with the square of their number.
    max_steps : int
        Products after which to stop in any case.
    delta : float
        Probability with which the limits may fail.

    Returns
    -------
    ExtremeEigenvalues
        Rayleigh quotients, residuals and limits.

    Raises
    ------
    ValueError
        If an argument is out of range, or a product is not finite.

    Notes
    -----
    Limits, in the way of [KuczynskiWozniakowski1992]_ and [VanDorsselaer2000]_ but derived here: shift and scale A so
    that its extreme eigenvalues are 0 and 1, and let b be the unit start and b_1 its component along the top
    eigenvector. After k steps theta is the largest Rayleigh quotient of q(A) b over polynomials q of degree k - 1. Take
    the Chebyshev polynomial q(x) = T(2 x / (1 - e) - 1), which is at most 1 in modulus on [0, 1 - e]. If 1 - theta > e,
    then sum_i (1 - e - lambda_i) q(lambda_i)^2 b_i^2 > 0; eigenvalues above 1 - e add nothing positive, the top one
    adds -e q(1)^2 b_1^2, and the others add at most (1 - e)(1 - b_1^2). Hence

        b_1^2 / (1 - b_1^2) < (1 - e) / (e T((1 + e) / (1 - e))^2).

    b_1^2 follows the Beta(1/2, (dimension - 1)/2) law. Outside of an event of probability delta / 2 it is at least the
    law's delta / 2 quantile, for all k at once, so that it does not matter when the iteration stops. Solving for e
    gives lambda_max - theta <= e (lambda_max - lambda_min), and the same at the other end.

    Where the iteration runs out of new directions another limit is tighter, in the same event. With the basis V, the
    tridiagonal matrix T = V^T A V and the norm beta of what is left over, A V = V T + beta v e_k^T. Multiplied by the
    top eigenvector u from the left, |(lambda_max - T) V^T u| <= beta; the first entry of V^T u is b_1, so that
    lambda_max - theta <= beta / |b_1|.

    Examples
    --------
    >>> values = np.linspace(-1, 3, 1000)
    >>> found = extreme_eigenvalues(lambda v: values * v, 1000, np.random.default_rng(0))
    >>> round(found.largest, 6), found.converged, found.norm <= 3 <= found.norm_limit < 3.1
    (3.0, True, True)
    """
    size, most = int(count("dimension", dimension)), int(count("max_steps", max_steps))
    goal, risk = float(positive("tolerance", tolerance)), float(confidence("delta", delta))
    open_share = float(confidence("accuracy", accuracy, "It is a share of the spectrum's width, such as 0.01."))
    least = float(betaincinv(0.5, (size - 1) / 2, risk / 2)) if size > 1 else 1.0
    for state in lanczos_steps(product, generator.standard_normal(size), min(most, size)):
        steps, beta = len(state.diagonal), state.rest
        values, vectors = eigh_tridiagonal(state.diagonal, state.off)
        scale = float(np.abs(values).max())
        width = float(values[-1] - values[0])
        slack = 0.0 if steps == size else min(_slack(_share_missed(least, steps), width), beta / math.sqrt(least))
        tight = slack <= open_share * width or beta <= size * 2.0**-52 * scale
        dominant = 0 if abs(values[0]) > abs(values[-1]) else -1
        near = beta * abs(vectors[-1, dominant]) <= goal * scale
        if tight and near:
            break
    ends = [_ritz(product, state.basis.T @ vectors[:, end]) for end in (0, -1)]
    (smallest, below), (largest, above) = ends
    residual = (below, above)[dominant]
    # A residual above the slack is rounding: no eigenvalue is known to be nearer than that.
    limits = (smallest - max(slack, below), largest + max(slack, above))
    # Twice the goal, as the residual in the iteration was a prediction and this one is measured.
    converged = tight and residual <= max(2 * goal, size * 2.0**-50) * scale
    return ExtremeEigenvalues(smallest, largest, (below, above), limits, risk, steps, converged)


def _checked(image: Vector, size: int) -> Vector:
    if image.shape != (size,) or not np.isfinite(image).all():
        raise ValueError(
            f"product must give {size} finite numbers, got shape {image.shape} or NaN or infinity. Look upstream."
        )
    return image


def _ritz(product: Callable[[Vector], Vector], vector: Vector) -> tuple[float, float]:
    """Return the Rayleigh quotient of a vector and its residual."""
    unit = vector / np.linalg.norm(vector)
    image = product(unit)
    quotient = float(unit @ image)
    return quotient, float(np.linalg.norm(image - quotient * unit))


def _slack(share: float, width: float) -> float:
    """Return what may be missing at an end, given its share of the whole width and the width found."""
    return share * width / (1 - 2 * share) if share < 0.5 else math.inf


def _share_missed(least: float, steps: int) -> float:
    """Return e: the share of the spectrum's width that may be missing at an end, where b_1^2 is at least `least`."""
    odds = math.log(least) - math.log1p(-least)

    def excess(e: float) -> float:
        angle = 2 * (steps - 1) * math.atanh(math.sqrt(e))
        log_chebyshev = angle + math.log1p(math.exp(-2 * angle)) - math.log(2)
        return math.log1p(-e) - math.log(e) - 2 * log_chebyshev - odds

    low, high = 2.0**-100, 1 - 2.0**-50
    if excess(high) > 0:
        return 1.0
    return low if excess(low) < 0 else float(brentq(excess, low, high, xtol=1e-18, rtol=1e-12))
