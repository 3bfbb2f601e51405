"""Curvature of a cost at a point, from differences of its gradient: many probes are evaluated at once."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from genbounds.inductive_bias.volume.directions import Curvature, Spectral
from genbounds.models.randomness import stream
from genbounds.numerics.checks import count, positive

__all__ = ["cost_curvature"]

#: Numbers in the points that are evaluated together.
NUMBERS = 2**24
#: Dimensions up to which all second derivatives are taken by default.
_FULL = 2000
#: Products with the matrix in a subspace iteration, the last of which gives the eigenvalues.
_PRODUCTS = 4


def cost_curvature(
    cost: Callable[[Tensor], Tensor],
    anchor: Tensor,
    structure: Literal["full", "low rank", "diagonal"] | None = None,
    *,
    rank: int = 50,
    probes: int = 20,
    step: float = 1e-2,
    seed: int = 0,
) -> Curvature:
    r"""Return gradient and curvature of a cost at a point.

    Products with the Hessian are central differences of gradients,
    ``H v ~ (grad(a + h v) - grad(a - h v)) / (2 h)`` for unit v: they need no second derivatives of the cost, and show
    the curvature on the scale h, where that of a network of ReLUs jumps.

    Parameters
    ----------
    cost : callable
        Maps (n, D) to (n,), each row by itself; differentiable.
    anchor : Tensor, shape (D,)
        The point; costs are evaluated on its device and in its dtype.
    structure : {"full", "low rank", "diagonal"}, optional
        All of H, in 2 D gradients; the `rank` largest eigenvalues by subspace iteration
        [HalkoMartinssonTropp2011]_ and the mean of the others; or its diagonal by random signs [Bekas2007]_. By default
        full up to 2000 dimensions, low rank beyond.
    rank : int
        Eigenvalues of "low rank".
    probes : int
        Random vectors behind a diagonal, or the mean of the other eigenvalues.
    step : float
        h.
    seed : int
        Of the random vectors.

    Returns
    -------
    Curvature
        In float64, on the device of the anchor.

    Raises
    ------
    ValueError
        If the anchor is no vector, the cost has no gradient, or one is not finite.
    """
    size = anchor.numel()
    if anchor.ndim != 1 or not size:
        raise ValueError(f"anchor must be a vector, got shape {tuple(anchor.shape)}. Flatten it.")
    length, number = float(positive("step", step)), int(count("probes", probes))
    structure = structure or ("full" if size <= _FULL else "low rank")
    generator = stream(seed, "curvature", device=anchor.device)

    def gradients(points: Tensor) -> Tensor:
        rows = []
        for part in points.split(max(1, NUMBERS // size)):
            leaf = part.to(anchor.dtype).requires_grad_()
            with torch.enable_grad():
                total = cost(leaf).sum()
                if not total.requires_grad:
                    raise ValueError("cost must be differentiable, got one without a gradient. Take a surrogate.")
                (slope,) = torch.autograd.grad(total, leaf)
            rows.append(slope.double())
        found = torch.cat(rows)
        if not found.isfinite().all():
            raise ValueError("gradients of the cost must be finite, got NaN or infinity. Look at it near the anchor.")
        return found

    centre = anchor.detach().double()

    def product(rows: Tensor) -> Tensor:
        unit = rows / rows.norm(dim=1, keepdim=True)
        up, down = gradients(torch.cat([centre + length * unit, centre - length * unit])).chunk(2)
        return (up - down) / (2 * length) * rows.norm(dim=1, keepdim=True)

    def signs(rows: int) -> Tensor:
        draws = torch.randint(0, 2, (rows, size), generator=generator, device=anchor.device)
        return 2.0 * draws.double() - 1

    if structure == "diagonal":
        vectors = signs(number)
        hessian = Spectral((vectors * product(vectors)).mean(0))
    elif structure == "full":
        matrix = product(torch.eye(size, dtype=torch.float64, device=anchor.device))
        hessian = Spectral(*torch.linalg.eigh((matrix + matrix.T) / 2))
    elif structure == "low rank":
        kept = min(int(count("rank", rank)), size)
        block = signs(min(kept + kept // 4 + 5, size))
        for _ in range(_PRODUCTS - 1):
            block = torch.linalg.qr(product(block).T)[0].T
        small = block @ product(block).T
        values, turn = torch.linalg.eigh((small + small.T) / 2)
        values, vectors = values[-kept:], block.T @ turn[:, -kept:]
        others = signs(number)
        others = others - others @ vectors @ vectors.T
        rest = float((others * product(others)).sum() / others.square().sum()) if kept < size else 0.0
        hessian = Spectral(values, vectors, max(rest, 0.0))
    else:
        raise ValueError(f"structure must be 'full', 'low rank' or 'diagonal', got {structure!r}. Choose one of them.")
    return Curvature(hessian, gradients(centre[None])[0])
