r"""Standard Gaussian mass along rays: the integral over the radius that turns directions into volumes.

With ``dx = r^(D-1) dr do`` in polar coordinates around a point a, the mass of N(0, I_D) within a set that is
star-shaped around a, with radius R(e) in direction e, is the integral over the unit sphere of

    ``int_0^R(e) r^(D-1) N(a + r e; 0, I) dr``
    ``= (2 pi)^(-D/2) exp(-(|a|^2 - (a.e)^2) / 2) int_0^R(e) r^(D-1) exp(-(r + a.e)^2 / 2) dr``.

The logarithm of the integrand is concave in r, with its peak at ``(sqrt(b^2 + 4 (D-1)) - b) / 2``, b = a.e. What lies
where it is more than `DEPTH` below its largest value adds less than 1e-15 of the whole, in any dimension; between those
two radii the integrand is smooth, and 100 Gauss-Legendre nodes give it to rounding.

A density f that is log-concave, with its largest value 1 / L at r_0, is at most ``min(1, exp(1 - |r - r_0| / L)) / L``
[Devroye1984]_: radii are drawn from it by rejection, exactly, four trials each.
"""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import roots_legendre, xlogy

from genbounds.numerics.checks import Float64, count, finite, nonnegative

__all__ = ["draw_radii", "log_radial_mass", "reach"]

#: Nats below its largest value at which the integrand is cut off.
DEPTH = 42.0
#: Halvings that find the radii of the cut: they need not be sharp.
_HALVINGS = 60
_NODES = 100


def log_radial_mass(dimension: int, squared_norm: ArrayLike, projection: ArrayLike, radius: ArrayLike) -> Float64:
    """Return ``ln int_0^radius r^(D-1) N(a + r e; 0, I_D) dr`` for unit vectors e.

    For a = 0 and an infinite radius it is minus the logarithm of the surface of the unit sphere.

    Parameters
    ----------
    dimension : int
        D >= 1.
    squared_norm : array_like
        ``|a|^2``.
    projection : array_like
        ``a . e``, at most ``|a|`` in modulus.
    radius : array_like
        Upper end of the integral, >= 0; may be infinite.

    Returns
    -------
    float or ndarray
        In nats, of the shape that the arguments broadcast to; -infinity for radius 0.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> float(log_radial_mass(3, 0.0, 0.0, np.inf) + np.log(4 * np.pi))  # surface of the sphere in three dimensions
    0.0
    """
    size = float(count("dimension", dimension))
    square = nonnegative("squared_norm", squared_norm)
    b, outer = np.broadcast_arrays(finite("projection", projection), nonnegative("radius", radius))
    if (np.square(b) > square * (1 + 1e-9)).any():
        raise ValueError(
            f"projection must be at most the root of squared_norm, got {np.abs(b).max()}, {square}. Take unit vectors."
        )
    top, length = _peak_and_length(size, b, outer)
    with np.errstate(divide="ignore"):
        log_integral = np.log(length) + xlogy(size - 1, top)
    return log_integral - (square + top * (2 * b + top)) / 2 - size / 2 * math.log(2 * math.pi)


def draw_radii(
    dimension: int, projection: ArrayLike, radius: ArrayLike, generator: torch.Generator
) -> NDArray[np.float64]:
    """Draw a radius on each of several rays, of density proportional to ``r^(D-1) N(a + r e; 0, I_D)`` up to an end.

    Parameters
    ----------
    dimension : int
        D >= 1.
    projection : array_like
        ``a . e`` of each ray.
    radius : array_like
        Its end, >= 0; may be infinite.
    generator : torch.Generator
        Source of randomness, on the CPU.

    Returns
    -------
    ndarray
        Independent radii, of the shape that the arguments broadcast to; 0 for radius 0.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    size = float(count("dimension", dimension))
    b, outer = np.broadcast_arrays(finite("projection", projection), nonnegative("radius", radius))
    top, length = _peak_and_length(size, b, outer)
    drawn = np.zeros(b.shape)
    waiting = np.nonzero(np.atleast_1d(outer > 0))
    flat, b, outer, top, length = (np.atleast_1d(array) for array in (drawn, b, outer, top, length))
    while len(waiting[0]):
        trial = torch.rand(4, len(waiting[0]), generator=generator, dtype=torch.float64).numpy()
        # In units of L around the peak: even within 1, exponential beyond.
        away = np.where(trial[0] < 0.5, trial[1], 1 - np.log1p(-trial[1])) * np.where(trial[2] < 0.5, -1, 1)
        r = top[waiting] + length[waiting] * away
        under = np.log1p(-trial[3]) + np.minimum(0.0, 1 - np.abs(away))
        taken = (r > 0) & (r <= outer[waiting]) & (under <= _below(size, b[waiting], np.maximum(r, 0.0), top[waiting]))
        flat[tuple(index[taken] for index in waiting)] = r[taken]
        waiting = tuple(index[~taken] for index in waiting)
    return drawn


def reach(dimension: int, projection: ArrayLike) -> Float64:
    """Return the radius beyond which a ray carries less than 1e-15 of its standard Gaussian mass.

    Parameters
    ----------
    dimension : int
        D >= 1.
    projection : array_like
        ``a . e`` of the ray ``a + r e``.

    Returns
    -------
    float or ndarray
        Radii.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> bool(reach(1, 0.0) > 8)
    True
    """
    b = finite("projection", projection)
    return _support(float(count("dimension", dimension)), b, np.full_like(b, np.inf))[2] + 0.0


def _support(
    size: float, b: NDArray[np.float64], outer: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the peak of the whole integrand and the ends of where its part up to the outer radius matters."""
    root = np.sqrt(np.square(b) + 4 * (size - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        peak = np.where(b > 0, 2 * (size - 1) / (b + root), (root - b) / 2)
    top = np.minimum(peak, outer)
    # Beyond the peak the logarithm falls at least as fast as -(r - peak)^2 / 2.
    ends = []
    for inside, outside in ((top, np.zeros_like(top)), (top, np.minimum(outer, peak + math.sqrt(2 * DEPTH)))):
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            deep = _below(size, b, middle, top) < -DEPTH
            outside, inside = np.where(deep, middle, outside), np.where(deep, inside, middle)
        ends.append(outside)
    return peak, ends[0], ends[1]


def _peak_and_length(
    size: float, b: NDArray[np.float64], outer: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the integrand is largest up to the outer radius, and its integral over its value there."""
    peak, low, high = _support(size, b, outer)
    top = np.minimum(peak, outer)
    nodes, weights = roots_legendre(_NODES)
    width = (high - low) / 2
    points = np.expand_dims(low, -1) + np.expand_dims(width, -1) * (1 + nodes)
    return top, width * (np.exp(_below(size, b[..., None], points, top[..., None])) @ weights)


def _below(
    size: float, b: NDArray[np.float64], r: NDArray[np.float64], top: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the logarithm of the integrand at r minus that at `top`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.where(top > 0, (size - 1) * np.log1p((r - top) / np.where(top > 0, top, 1.0)), 0.0)
    return (power if size > 1 else 0.0) - (r - top) * ((r + top) / 2 + b)
