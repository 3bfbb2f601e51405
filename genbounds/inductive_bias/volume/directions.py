r"""Laws of random directions from an anchor: those of Gaussian vectors, with their exact densities on the sphere.

For x ~ N(mu, A A') with symmetric positive A, m = A^-1 mu, the direction e = x / |x| has the density on the unit sphere

    ``q(e) = int_0^inf r^(D-1) N(r e; mu, A A') dr = |A^-1 e|^-D / det A * int_0^inf t^(D-1) N(t y - m; 0, I) dt``

with ``y = A^-1 e / |A^-1 e|``. For m = 0 the integral is one over the surface of the sphere, and the factor
``|A^-1 e|^-D / det A`` is the usual weight of a linear preconditioner.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from torch import Tensor

from genbounds.inductive_bias.volume.radial import log_radial_mass

__all__ = ["Curvature", "DirectionLaw", "Spectral", "posterior_directions"]


@dataclass(frozen=True, eq=False)
class Spectral:
    """A symmetric matrix by its eigenvalues: what a function of it does to a vector costs two thin products.

    Parameters
    ----------
    values : Tensor, shape (k,)
        Eigenvalues, float64.
    vectors : Tensor, shape (D, k), optional
        Orthonormal eigenvectors; the matrix is diagonal without.
    rest : float
        Eigenvalue of all directions orthogonal to those.
    """

    values: Tensor
    vectors: Tensor | None = None
    rest: float = 0.0

    @property
    def size(self) -> int:
        """Number of rows D.

        Returns
        -------
        int
            D.
        """
        return len(self.values if self.vectors is None else self.vectors)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Spectral":
        """Return a function of the matrix.

        Parameters
        ----------
        function : callable
            What to do to eigenvalues, elementwise.

        Returns
        -------
        Spectral
            The matrix with the same eigenvectors.
        """
        rest = float(function(torch.tensor(self.rest, dtype=torch.float64)))
        return Spectral(function(self.values), self.vectors, rest)

    def apply(self, rows: Tensor) -> Tensor:
        """Multiply the matrix with vectors.

        Parameters
        ----------
        rows : Tensor, shape (..., D)
            The vectors.

        Returns
        -------
        Tensor, shape (..., D)
            The products.
        """
        if self.vectors is None:
            return rows * self.values
        if self.vectors.shape[1] == self.size:  # there is no rest, whatever a function made of it
            return ((rows @ self.vectors) * self.values) @ self.vectors.mT
        return ((rows @ self.vectors) * (self.values - self.rest)) @ self.vectors.mT + self.rest * rows

    def multiplicities(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the different eigenvalues and how often each counts.

        Returns
        -------
        values, times : ndarray
            `rest` comes last, where there is one.
        """
        values, times = self.values.cpu().numpy(), np.ones(len(self.values))
        left = self.size - len(values)
        return (np.append(values, self.rest), np.append(times, left)) if left else (values, times)

    def split(self, one: Tensor, other: Tensor) -> NDArray[np.float64]:
        """Return the parts of an inner product that belong to the eigenvalues of `multiplicities`.

        Parameters
        ----------
        one, other : Tensor, shape (D,)
            Two vectors.

        Returns
        -------
        ndarray
            They add up to ``one . other``.
        """
        if self.vectors is None:
            return (one * other).cpu().numpy()
        left, right = one @ self.vectors, other @ self.vectors
        parts = (left * right).cpu().numpy()
        if self.vectors.shape[1] == self.size:
            return parts
        return np.append(parts, float((one - self.vectors @ left) @ (other - self.vectors @ right)))


@dataclass(frozen=True, eq=False)
class Curvature:
    """Second-order model of a cost around the anchor: ``cost(anchor + x) ~ cost(anchor) + g.x + x'Hx / 2``.

    It only shapes the directions: whatever it is, the estimated volume is right on average.

    Parameters
    ----------
    hessian : Spectral
        H, in the whitened space. Negative eigenvalues count as 0.
    gradient : Tensor, shape (D,)
        g, float64.
    """

    hessian: Spectral
    gradient: Tensor

    def rise(self, directions: Tensor, height: float) -> Tensor:
        """Return the radii at which the model has risen by `height` above the anchor.

        Parameters
        ----------
        directions : Tensor, shape (n, D)
            Unit vectors.
        height : float
            Above 0.

        Returns
        -------
        Tensor, shape (n,)
            Radii; infinite where it never rises so far.
        """
        slope = directions @ self.gradient
        bend = (directions * self.hessian.apply(directions)).sum(1).clamp(min=0)
        root = (slope.square() + 2 * height * bend).sqrt()
        return 2 * height / (root + slope).clamp(min=0)  # infinite for a flat or falling ray


@dataclass(frozen=True, eq=False)
class DirectionLaw:
    """The directions of ``A (m + y)``, y ~ N(0, I_D).

    Parameters
    ----------
    root : Spectral
        A, positive definite.
    offset : Tensor, shape (D,)
        m.
    """

    root: Spectral
    offset: Tensor

    def draw(self, number: int, generator: torch.Generator) -> Tensor:
        """Draw directions.

        Parameters
        ----------
        number : int
            How many.
        generator : torch.Generator
            On the device of the law.

        Returns
        -------
        Tensor, shape (number, D)
            Unit vectors, float64.
        """
        shape = (number, self.root.size)
        normal = torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float64)
        vectors = self.root.apply(self.offset + normal)
        return vectors / vectors.norm(dim=1, keepdim=True)

    def log_density(self, directions: Tensor) -> NDArray[np.float64]:
        """Return the logarithm of the density on the unit sphere, with respect to its surface.

        Parameters
        ----------
        directions : Tensor, shape (n, D)
            Unit vectors.

        Returns
        -------
        ndarray, shape (n,)
            In nats.
        """
        back = self.root.map(torch.reciprocal).apply(directions)
        length = back.norm(dim=1)
        values, times = self.root.multiplicities()
        log_det = float(times @ np.log(values))
        towards = -(back @ self.offset) / length
        square = float(self.offset.square().sum())
        along = np.clip(towards.cpu().numpy(), -(square**0.5), square**0.5)
        radial = log_radial_mass(self.root.size, square, along, np.inf)
        return np.asarray(radial - log_det - self.root.size * np.log(length.cpu().numpy()))


def posterior_directions(curvature: Curvature, anchor: Tensor, height: float) -> DirectionLaw:
    r"""Return directions shaped like the prior mass of ``cost <= level``, seen from the anchor.

    For a quadratic cost q and z ~ N(0, I) given q(z) <= c the law is near the tilted Gaussian of density proportional
    to ``exp(-theta q(z) - |z|^2 / 2)`` with ``E q = c``: precision ``P = I + theta H`` and mean, seen from the anchor
    a, ``-P^-1 (a + theta g)``. Where theta H is large against 1 in all D directions and the anchor is the minimum,
    ``theta = D / (2 c)``: the covariance ``2 c / (D + 2) H^-1`` of an ellipsoid, but for the prior's precision. With
    flat directions theta is smaller, and their prior pulls the mean towards 0: by as much as the anchor is long.

    Parameters
    ----------
    curvature : Curvature
        Model of the cost.
    anchor : Tensor, shape (D,)
        In the whitened space, float64.
    height : float
        Level minus the cost of the anchor, above 0.

    Returns
    -------
    DirectionLaw
        Its directions are those of draws from the tilted Gaussian.
    """
    hessian = curvature.hessian.map(lambda values: values.clamp(min=0))
    values, times = hessian.multiplicities()
    gradient = curvature.gradient
    gg, ga, aa = (hessian.split(*pair) for pair in ((gradient, gradient), (gradient, anchor), (anchor, anchor)))

    def excess(log_theta: float) -> float:
        theta = np.exp(log_theta)
        precision = 1 + theta * values
        linear = -(ga + theta * gg) / precision
        square = values * (aa + 2 * theta * ga + theta**2 * gg) / precision**2
        return float((linear + (square + times * values / precision) / 2).sum()) - height

    low, high = -60.0, 0.0
    if excess(low) <= 0:  # most of the prior's mass is below the level
        theta = 0.0
    else:
        while excess(high) > 0:
            high += 10.0
        theta = float(np.exp(brentq(excess, low, high)))
    root = hessian.map(lambda values: (1 + theta * values).rsqrt())
    return DirectionLaw(root, -root.apply(anchor + theta * gradient))
