"""Solutions of (G + damping) x = b with the Gauss-Newton matrix G, by conjugate gradients."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genbounds.models.guards import ModelError

__all__ = ["DampedSolution", "conjugate_gradients", "relative_residuals"]


@dataclass(frozen=True)
class DampedSolution:
    """Solutions of a damped system for several right-hand sides.

    Attributes
    ----------
    vectors : Tensor of float64, shape (K, P)
        One row for each right-hand side.
    residuals : tuple of float
        |b - (G + damping) x| / |b| of each, measured by a product with the exact G at the end. As G is positive
        semi-definite, x is off by at most |b| / damping times that.
    steps : int
        Products with G in the iteration.
    """

    vectors: Tensor
    residuals: tuple[float, ...]
    steps: int


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], sides: Tensor, *, damping: float, tolerance: float, max_steps: int
) -> DampedSolution:
    """Solve (G + damping) x = b by conjugate gradients, for several b in step.

    Parameters
    ----------
    product : callable
        ``product(V)`` of shape (K, P) returns V G, with G symmetric and positive semi-definite.
    sides : Tensor of float64, shape (K, P)
        The right-hand sides.
    damping : float
        Positive.
    tolerance : float
        Relative residual at which a right-hand side is done.
    max_steps : int
        Products after which to stop in any case.

    Returns
    -------
    DampedSolution
        Solutions with their residuals, which may be above the tolerance: the caller decides.

    Raises
    ------
    ModelError
        If a direction of negative curvature shows that G + damping is not positive definite, or numbers overflow.
    """
    x, residual = torch.zeros_like(sides), sides.clone()
    direction, size = residual.clone(), residual.square().sum(1)
    goal = tolerance**2 * size
    steps = 0
    while steps < max_steps and bool((active := size > goal).any()):
        steps += 1
        rows = active.nonzero().squeeze(1)
        p = direction[rows]
        image = product(p) + damping * p
        curvature = (p * image).sum(1)
        if not bool((curvature > 0).all()):
            raise ModelError(
                f"loss must be convex in the outputs of the model, got curvature {float(curvature.min()):.3g} along a "
                "direction of the damped Gauss-Newton matrix. Take such a loss; or, if damping is so small that it "
                "drowns in rounding, a larger one."
            )
        length = size[rows] / curvature
        x[rows] += length[:, None] * p
        residual[rows] -= length[:, None] * image
        fresh = residual[rows].square().sum(1)
        direction[rows] = residual[rows] + (fresh / size[rows])[:, None] * p
        size[rows] = fresh
    return DampedSolution(x, relative_residuals(product, sides, x, damping), steps)


def relative_residuals(
    product: Callable[[Tensor], Tensor], sides: Tensor, vectors: Tensor, damping: float
) -> tuple[float, ...]:
    """Measure how well vectors solve a damped system.

    Parameters
    ----------
    product : callable
        ``product(V)`` of shape (K, P) returns V G.
    sides, vectors : Tensor of float64, shape (K, P)
        Right-hand sides b and solutions x.
    damping : float
        What is added to the diagonal of G.

    Returns
    -------
    tuple of float
        |b - (G + damping) x| / |b| of each row; |(G + damping) x| where b is zero.
    """
    left = (sides - product(vectors) - damping * vectors).norm(dim=1)
    sizes = sides.norm(dim=1)
    return tuple((left / torch.where(sizes > 0, sizes, 1.0)).tolist())
