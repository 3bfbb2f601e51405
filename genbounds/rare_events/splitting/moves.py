"""Moves that leave the standard Gaussian as it is, shaped after states that have been seen elsewhere."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Shape"]

#: Up to this dimension all directions are told apart, given twenty states for each; otherwise coordinates are: with
#: fewer states the narrowest directions of the cloud are those of its noise.
_WIDEST, _ENOUGH = 512, 20


@dataclass(frozen=True)
class Shape:
    """How far a move reaches in each direction.

    Along direction i the move is ``x_i' = sqrt(1 - b_i^2) x_i + b_i xi_i`` with ``b_i = min(1, step * scale_i)``, which
    is reversible for the Gaussian whatever the directions and scales are, as long as they do not depend on x: a shape
    taken from the very states that are moved narrows them further and further, and their share is too large then.

    Parameters
    ----------
    scales : Tensor, shape (d,)
        Reach by direction, positive.
    basis : Tensor, shape (d, d), optional
        Directions as orthonormal columns; by default the coordinates.
    """

    scales: Tensor
    basis: Tensor | None = None

    @classmethod
    def of_states(cls, states: Tensor) -> "Shape":
        """Return the shape of a cloud of states: standard deviations along its axes, or along the coordinates.

        Each variance is averaged with one more, the mean of all, so that no direction is closed.

        Parameters
        ----------
        states : Tensor, shape (n, d)
            The cloud.

        Returns
        -------
        Shape
            Along the axes if there are at least 20 d states and d is at most 512; all scales 1 if there is no spread.
        """
        number, dimension = states.shape
        basis = None
        if _ENOUGH * dimension <= number and 1 < dimension <= _WIDEST:
            variances, basis = torch.linalg.eigh(torch.cov(states.T))
        else:
            variances = states.var(dim=0, correction=min(1, number - 1))
        mean = variances.mean()
        if not mean > 0:
            return cls(torch.ones_like(states[0]))
        return cls(((number * variances.clamp(min=0) + mean) / (number + 1)).sqrt(), basis)

    @property
    def longest(self) -> float:
        """The smallest step at which a move is a fresh draw.

        Returns
        -------
        float
            One over the smallest scale.
        """
        return 1 / float(self.scales.min())

    def move(self, x: Tensor, noise: Tensor, step: float) -> Tensor:
        """Propose a state for each state.

        Parameters
        ----------
        x : Tensor, shape (chains, d)
            States.
        noise : Tensor, shape (chains, d)
            Standard normal variates.
        step : float
            Factor of all scales, positive.

        Returns
        -------
        Tensor, shape (chains, d)
            The proposals.
        """
        reach = (step * self.scales).clamp(max=1.0)
        kept = (1 - reach.square()).sqrt()
        if self.basis is None:
            return kept * x + reach * noise
        return (kept * (x @ self.basis) + reach * noise) @ self.basis.T
