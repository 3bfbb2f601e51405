r"""Hamiltonian Monte Carlo in whitened space: transitions that leave N(0, I) exp(-sum_j beta_j U_j) invariant, exactly.

The quadratic part of the potential |z|^2 / 2 + sum_j beta_j U_j(z) is integrated without error: its flow is a rotation
of position and momentum. A step of angle h is half a kick by the energies, a rotation by h, and half a kick
[Neal2011]_; it keeps volume and is undone by turning the momentum round, so that accepting with the Metropolis
probability leaves the law invariant for any h. Without energies nothing is ever refused, and L steps with L h = pi / 2
give an independent draw in any dimension.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Energy", "Points", "evaluate", "transition"]

#: An energy: takes (chains, d), returns (chains,), differentiable.
Energy = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Points:
    """Where chains are, with energies and their gradients there.

    Parameters
    ----------
    z : Tensor, shape (B, d)
        Positions.
    energies : Tensor, shape (m, B)
        Values in float64.
    slopes : Tensor, shape (m, B, d)
        Gradients, of the dtype of z.
    """

    z: Tensor
    energies: Tensor
    slopes: Tensor

    def where(self, chosen: Tensor, other: "Points") -> "Points":
        """Take some chains from here and the others from elsewhere.

        Parameters
        ----------
        chosen : Tensor of bool, shape (B,)
            Which to take from here.
        other : Points
            For the others.

        Returns
        -------
        Points
            The mixture.
        """
        return Points(
            torch.where(chosen[:, None], self.z, other.z),
            torch.where(chosen, self.energies, other.energies),
            torch.where(chosen[:, None], self.slopes, other.slopes),
        )

    def take(self, index: Tensor) -> "Points":
        """Take chains by number.

        Parameters
        ----------
        index : Tensor of int, shape (C,)
            Which, in order, repeated or not.

        Returns
        -------
        Points
            Those chains.
        """
        return Points(self.z[index], self.energies[:, index], self.slopes[:, index])


def evaluate(energies: Sequence[Energy], z: Tensor) -> Points:
    """Evaluate energies and their gradients.

    Parameters
    ----------
    energies : sequence of callable
        Functions of (B, d) to (B,), whose value for a chain depends on that chain alone.
    z : Tensor, shape (B, d)
        Positions.

    Returns
    -------
    Points
        The positions with values and gradients.

    Raises
    ------
    ValueError
        If an energy is not of shape (B,), or has no gradient.
    """
    values, slopes = [], []
    for energy in energies:
        leaf = z.detach().requires_grad_()
        with torch.enable_grad():
            value = energy(leaf)
            if value.shape != z.shape[:1] or not value.requires_grad:
                raise ValueError(
                    f"energy must be differentiable and of shape ({len(z)},), one value for each chain, got shape "
                    f"{tuple(value.shape)}{'' if value.requires_grad else ' without a gradient'}. For a count of "
                    "errors pass a smooth energy, such as the cross-entropy."
                )
            (slope,) = torch.autograd.grad(value.sum(), leaf)
        values.append(value.detach().double())
        slopes.append(slope)
    return Points(z.detach(), torch.stack(values), torch.stack(slopes))


def transition(
    points: Points,
    energies: Sequence[Energy],
    inverse_temperatures: Tensor,
    step: float,
    leapfrog: int,
    generator: torch.Generator,
) -> tuple[Points, Tensor]:
    """Move every chain once.

    Parameters
    ----------
    points : Points
        Where the chains are, by `evaluate` of the same energies.
    energies : sequence of callable, length m
        U_1, ..., U_m.
    inverse_temperatures : Tensor, shape (m,)
        beta_1, ..., beta_m, float64.
    step : float
        Angle h of a step, in radians. Each chain takes h times a factor that is uniform in [0.8, 1.2].
    leapfrog : int
        Most steps. Their number, the same for all chains, is uniform from 1 to it: with a fixed number there are
        directions that come round to where they began, and hardly move.
    generator : torch.Generator
        Source of randomness, on the device of the chains.

    Returns
    -------
    points : Points
        Where the chains are then; a chain whose move is refused stays.
    acceptance : Tensor, shape (B,)
        Probabilities with which moves were accepted, float64. A move to where an energy is not a number is refused.
    """
    z = points.z
    momentum = torch.randn(z.shape, generator=generator, device=z.device, dtype=z.dtype)
    angle = step * (0.8 + 0.4 * torch.rand(len(z), 1, generator=generator, device=z.device, dtype=z.dtype))
    cosine, sine = angle.cos(), angle.sin()
    coldness = inverse_temperatures.to(z)
    before = _hamiltonian(points, momentum, inverse_temperatures)
    new = points
    for _ in range(int(torch.randint(1, leapfrog + 1, (), generator=generator, device=z.device))):
        momentum = momentum - angle / 2 * torch.tensordot(coldness, new.slopes, 1)
        position = cosine * new.z + sine * momentum
        momentum = cosine * momentum - sine * new.z
        new = evaluate(energies, position)
        momentum = momentum - angle / 2 * torch.tensordot(coldness, new.slopes, 1)
    change = before - _hamiltonian(new, momentum, inverse_temperatures)
    # Starting where the density is zero, at an infinite energy, any move to where it is not counts as accepted.
    acceptance = torch.where(change.isnan(), 0.0, change.clamp(max=0).exp())
    accepted = torch.rand(len(z), generator=generator, device=z.device, dtype=torch.float64) < acceptance
    return new.where(accepted, points), acceptance


def _hamiltonian(points: Points, momentum: Tensor, inverse_temperatures: Tensor) -> Tensor:
    quadratic = (points.z.double() ** 2).sum(1) + (momentum.double() ** 2).sum(1)
    return quadratic / 2 + inverse_temperatures @ points.energies
