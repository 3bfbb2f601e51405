r"""Gradients of one parameter at each of several examples, held as what they are made of.

A layer's gradient at one example is seldom needed written out: its norm, its inner products and the sum over examples
follow from the layer's inputs and from the gradient at its outputs. Each class here holds these factors for one kind of
layer, and answers the same questions. What leaves as a norm or an inner product is float64; sums of products over
positions and features run in the dtype of the factors, or in float32 if that is narrower.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["DenseGradients", "ExampleGradients"]

#: Entries written out at once: on a CPU what its caches hold, elsewhere what keeps the device busy.
_ENTRIES = {"cpu": 2**17}
_ENTRIES_ELSEWHERE = 2**24


class ExampleGradients(ABC):
    """Gradients g_1, ..., g_B of one parameter of shape S at B examples.

    Attributes
    ----------
    shape : torch.Size
        S, the parameter's shape.
    route : str
        How :meth:`norms_and_total` comes by the norms, in a word.
    device : torch.device
        Where they are.
    """

    shape: torch.Size
    device: torch.device
    route: str

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of examples, B.

        Returns
        -------
        int
            B.
        """

    @abstractmethod
    def dense(self, rows: slice) -> Tensor:
        """Write out the gradients of some examples.

        Parameters
        ----------
        rows : slice
            Which examples.

        Returns
        -------
        Tensor, shape (b, *S)
            One gradient a row.
        """

    def chunks(self) -> Iterator[slice]:
        """Cut the examples into runs whose gradients may be written out at once.

        Yields
        ------
        slice
            Successive examples, at least one.
        """
        yield from runs(len(self), entries_at_once(self.device) // max(1, self.shape.numel()))

    def squared_norms(self) -> Tensor:
        """Return the squared Euclidean norms.

        Returns
        -------
        Tensor, shape (B,)
            ||g_i||^2, float64.
        """
        return torch.cat([squared_norms(self.dense(rows).flatten(1)) for rows in self.chunks()])

    def norms_and_total(self) -> tuple[Tensor, Tensor]:
        """Return the squared norms and the sum of the gradients, in one pass where that is cheaper.

        Returns
        -------
        tuple of Tensor
            ||g_i||^2 of shape (B,), float64, and sum_i g_i of shape S.
        """
        squared = self.squared_norms()
        return squared, self.weighted_total(torch.ones_like(squared))

    def dots(self, vector: Tensor) -> Tensor:
        """Return the inner products with one vector.

        Parameters
        ----------
        vector : Tensor, shape S
            Such as the average gradient.

        Returns
        -------
        Tensor, shape (B,)
            <g_i, vector>, float64.
        """
        wide = vector.double().flatten()
        return torch.cat([self.dense(rows).flatten(1).double() @ wide for rows in self.chunks()])

    def inner(self, other: "ExampleGradients") -> Tensor:
        """Return the inner products of all pairs of two sets of examples.

        Parameters
        ----------
        other : ExampleGradients
            Gradients of the same parameter at B' examples.

        Returns
        -------
        Tensor, shape (B, B')
            <g_i, g'_j>, float64.
        """
        columns = [self.dots(other.dense(slice(row, row + 1))[0]) for row in range(len(other))]
        return torch.stack(columns, dim=1)

    def cross(self, other: "ExampleGradients") -> Tensor:
        """Return the inner products of two uses' gradients at the same examples.

        Parameters
        ----------
        other : ExampleGradients
            Gradients of the same parameter, from another use of it, at the same examples.

        Returns
        -------
        Tensor, shape (B,)
            <g_i, g'_i>, float64.
        """
        products = (self.dense(rows).flatten(1).double() * other.dense(rows).flatten(1) for rows in self.chunks())
        return torch.cat([product.sum(dim=1) for product in products])

    def weighted_total(self, weights: Tensor) -> Tensor:
        """Return weighted sums of the gradients.

        Parameters
        ----------
        weights : Tensor, shape (B,) or (K, B)
            One weight an example, or K of them.

        Returns
        -------
        Tensor, shape S or (K, *S)
            sum_i w_i g_i, or one such sum a row.
        """
        parts = (self.dense(rows).flatten(1) for rows in self.chunks())
        totals = [weights[..., rows].to(part) @ part for rows, part in zip(self.chunks(), parts, strict=True)]
        return sum(totals[1:], totals[0]).reshape(*weights.shape[:-1], *self.shape)

    def squares_total(self) -> Tensor:
        """Return the sum of the squared gradients, coordinate by coordinate.

        Returns
        -------
        Tensor, shape S
            sum_i g_i^2, float64.
        """
        total = torch.zeros(self.shape, dtype=torch.float64, device=self.device)
        for rows in self.chunks():
            total += self.dense(rows).double().square().sum(dim=0)
        return total


class DenseGradients(ExampleGradients):
    """Gradients written out: of biases, of the scale and shift of normalisation, of parameters added by broadcasting.

    Parameters
    ----------
    values : Tensor, shape (B, *S)
        One gradient a row.
    """

    def __init__(self, values: Tensor) -> None:
        self.route = "dense"
        self.values = at_least_float32(values)
        self.shape, self.device = values.shape[1:], values.device

    def __len__(self) -> int:
        return len(self.values)

    def dense(self, rows: slice) -> Tensor:
        """Return some of the rows."""
        return self.values[rows]

    def inner(self, other: ExampleGradients) -> Tensor:
        """Multiply the rows with the other's, written out a few at a time."""
        wide = self.values.flatten(1).double()
        return torch.cat([wide @ other.dense(rows).flatten(1).double().T for rows in other.chunks()], dim=1)


def entries_at_once(device: torch.device) -> int:
    """Return how many entries may be written out at once.

    Parameters
    ----------
    device : torch.device
        Where.

    Returns
    -------
    int
        A fixed number for each kind of device.
    """
    return _ENTRIES.get(device.type, _ENTRIES_ELSEWHERE)


def runs(number: int, length: int) -> Iterator[slice]:
    """Cut 0, ..., number - 1 into runs.

    Parameters
    ----------
    number : int
        How many there are.
    length : int
        Length of a run; at least one is taken.

    Yields
    ------
    slice
        Successive runs, the last one possibly shorter; one empty run of none.
    """
    for start in range(0, max(number, 1), max(length, 1)):
        yield slice(start, min(start + max(length, 1), number))


def at_least_float32(values: Tensor) -> Tensor:
    """Return half precision as float32, and the rest as it is.

    Parameters
    ----------
    values : Tensor
        Factors of gradients.

    Returns
    -------
    Tensor
        The same tensor unless it is narrower than float32.
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))


def squared_norms(values: Tensor) -> Tensor:
    """Return squared norms over all axes but the first.

    Parameters
    ----------
    values : Tensor, shape (B, ...)
        Vectors.

    Returns
    -------
    Tensor, shape (B,)
        float64, whatever the dtype; neither too small nor too large for it if the values are float32.
    """
    return torch.linalg.vector_norm(values.flatten(1), dim=1, dtype=torch.float64).square()
