"""Gradients of single examples with respect to one parameter, kept in whatever form is cheapest."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

__all__ = ["DenseGradients", "ExampleGradients"]


class ExampleGradients(ABC):
    """Gradients of one parameter at each of B examples.

    Attributes
    ----------
    shape : torch.Size
        Shape of the parameter.
    route : str
        How `squared_norms` computes.
    """

    shape: torch.Size
    route: str

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of examples."""

    @abstractmethod
    def squared_norms(self) -> Tensor:
        """Return the squared norm of each gradient, shape (B,), in float64."""

    @abstractmethod
    def dots(self, vector: Tensor) -> Tensor:
        """Return the inner products with a vector of the parameter's shape, shape (B,), in float64."""

    @abstractmethod
    def inner(self, other: "ExampleGradients") -> Tensor:
        """Return all inner products with the gradients of another block, shape (B, B'), in float64."""

    @abstractmethod
    def cross(self, other: "ExampleGradients") -> Tensor:
        """Return the inner products with another use's gradients at the same examples, shape (B,), in float64."""

    @abstractmethod
    def weighted_total(self, weights: Tensor) -> Tensor:
        """Return the weighted sum for weights (B,), or one for each row of weights (K, B)."""

    @abstractmethod
    def squares_total(self) -> Tensor:
        """Return the sum of the coordinatewise squares, in float64."""

    @abstractmethod
    def dense(self, rows: slice) -> Tensor:
        """Return the gradients of some examples in full, shape (b, *shape)."""


class DenseGradients(ExampleGradients):
    """Gradients in full.

    Parameters
    ----------
    values : Tensor, shape (B, *shape)
        One gradient a row.
    """

    route = "dense"

    def __init__(self, values: Tensor) -> None:
        self.values, self.shape = values, values.shape[1:]

    def __len__(self) -> int:
        return len(self.values)

    def squared_norms(self) -> Tensor:
        return self.values.flatten(1).double().square().sum(dim=1)

    def dots(self, vector: Tensor) -> Tensor:
        return self.values.flatten(1).double() @ vector.flatten().double()

    def inner(self, other: ExampleGradients) -> Tensor:
        return self.values.flatten(1).double() @ other.dense(slice(None)).flatten(1).double().T

    def cross(self, other: ExampleGradients) -> Tensor:
        return (self.values.flatten(1).double() * other.dense(slice(None)).flatten(1).double()).sum(dim=1)

    def weighted_total(self, weights: Tensor) -> Tensor:
        return torch.tensordot(weights.to(self.values.dtype), self.values, 1)

    def squares_total(self) -> Tensor:
        return self.values.double().square().sum(dim=0)

    def dense(self, rows: slice) -> Tensor:
        return self.values[rows]
