r"""Gradients of one parameter at each of several examples, held as what they are made of.

A layer's gradient at one example is seldom needed written out: its norm, its inner products and the sum over examples
follow from the layer's inputs and from the gradient at its outputs. Each kind of gradients here holds such factors and
answers the same questions; what it must write out, it writes out a few examples at a time and forgets.

Norms and inner products leave as float64. Products over positions and features run in the dtype of the factors (in
float32 if they are narrower): their squares are summed in float64, so that gradients down to 1e-40 keep their norms.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["DenseGradients", "ExampleGradients"]

#: Entries of gradients written out at once: on a CPU what its caches hold, elsewhere what keeps the device busy.
_ENTRIES = {"cpu": 5 * 2**16}
_ENTRIES_ELSEWHERE = 2**24
#: Entries kept while all pairs with another block are formed.
_ENTRIES_OF_BLOCK = 2**24


class ExampleGradients(ABC):
    """Gradients g_1, ..., g_B of one parameter of shape S at B examples.

    Parameters
    ----------
    number : int
        Examples, B.
    shape : torch.Size
        S.
    factor : Tensor
        One of the tensors that they are made of, for its dtype and device.
    route : str
        How :meth:`norms_and_total` comes by the norms, in a word.
    """

    #: Whether one gradient must not be written out: it is far larger than what it is made of.
    sparse = False

    def __init__(self, number: int, shape: torch.Size, factor: Tensor, route: str) -> None:
        self.number, self.shape, self.route = number, torch.Size(shape), route
        self.dtype, self.device = factor.dtype, factor.device

    def __len__(self) -> int:
        return self.number

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

    def pieces(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Write out everything, piece by piece, each of a fixed size or one example's.

        Yields
        ------
        tuple of slice, slice and Tensor
            Which examples, which coordinates of the flattened parameter, and these entries, of shape (b, c).
        """
        for rows in runs(len(self), entries_at_once(self.device) // max(1, self.shape.numel())):
            yield rows, slice(0, self.shape.numel()), self._flat(rows)

    def squared_norms(self) -> Tensor:
        """Return the squared Euclidean norms.

        Returns
        -------
        Tensor, shape (B,)
            ||g_i||^2, float64.
        """
        squared = self._zeros(len(self))
        for rows, _, values in self.pieces():
            squared[rows] += squared_norms(values)
        return squared

    def norms_and_total(self) -> tuple[Tensor, Tensor]:
        """Return the squared norms and the sum of the gradients: in one pass, if both need them written out.

        Returns
        -------
        tuple of Tensor
            ||g_i||^2 of shape (B,), float64, and sum_i g_i of shape S.
        """
        squared = self._zeros(len(self))
        total = torch.zeros(self.shape.numel(), dtype=self.dtype, device=self.device)
        for rows, coordinates, values in self.pieces():
            squared[rows] += squared_norms(values)
            total[coordinates].addmv_(values.T, values.new_ones(len(values)))
        return squared, total.reshape(self.shape)

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
        wide, dots = vector.double().flatten(), self._zeros(len(self))
        for rows, coordinates, values in self.pieces():
            dots[rows] += values.double() @ wide[coordinates]
        return dots

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
        if other.sparse:
            return other.inner(self).T
        products = self._zeros(len(self), len(other))
        for columns in runs(len(other), _ENTRIES_OF_BLOCK // max(1, self.shape.numel())):
            block, block_scale = scaled(other._flat(columns))
            for rows, coordinates, values in self.pieces():
                part, scale = scaled(values)
                products[rows, columns] += (part @ block[:, coordinates].T).double() * scale[:, None] * block_scale
        return products

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
        if other.sparse:
            return other.cross(self)
        dots = self._zeros(len(self))
        for rows in runs(len(self), entries_at_once(self.device) // max(1, self.shape.numel())):
            dots[rows] = (self._flat(rows).double() * other._flat(rows)).sum(dim=1)
        return dots

    def is_disjoint_from(self, other: "ExampleGradients") -> bool:  # noqa: ARG002
        """Say whether no entry of the parameter has a gradient both here and there.

        Parameters
        ----------
        other : ExampleGradients
            Gradients of the same parameter, from another use of it.

        Returns
        -------
        bool
            False where that is not known.
        """
        return False

    def weighted_total(self, weights: Tensor) -> Tensor:
        """Return weighted sums of the gradients.

        Parameters
        ----------
        weights : Tensor, shape (B,) or (K, B)
            One weight an example, or K of them.

        Returns
        -------
        Tensor, shape S or (K, *S)
            sum_i w_i g_i, or one such sum a row; float64 if the weights are, else in the gradients' dtype.
        """
        dtype = torch.promote_types(weights.dtype, self.dtype)
        total = torch.zeros(*weights.shape[:-1], self.shape.numel(), dtype=dtype, device=self.device)
        for rows, coordinates, values in self.pieces():
            total[..., coordinates] += weights[..., rows].to(dtype) @ values.to(dtype)
        return total.reshape(weights.shape[:-1] + self.shape)

    def squares_total(self) -> Tensor:
        """Return the sum of the squared gradients, coordinate by coordinate.

        Returns
        -------
        Tensor, shape S
            sum_i g_i^2, float64.
        """
        total = self._zeros(self.shape.numel())
        for _, coordinates, values in self.pieces():
            total[coordinates] += values.double().square().sum(dim=0)
        return total.reshape(self.shape)

    def _flat(self, rows: slice) -> Tensor:
        return self.dense(rows).reshape(rows.stop - rows.start, self.shape.numel())

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=self.device)


class DenseGradients(ExampleGradients):
    """Gradients written out: of biases, of the scale and shift of normalisation, of parameters added by broadcasting.

    Parameters
    ----------
    values : Tensor, shape (B, *S)
        One gradient a row.
    """

    def __init__(self, values: Tensor) -> None:
        self.values = at_least_float32(values.detach())
        super().__init__(len(values), values.shape[1:], self.values, "dense")

    def dense(self, rows: slice) -> Tensor:
        """Return some of the rows."""
        return self.values[rows]

    def norms_and_total(self) -> tuple[Tensor, Tensor]:
        """Look at all rows at once: they are in memory anyway."""
        return squared_norms(self.values), self.values.sum(dim=0)


def entries_at_once(device: torch.device) -> int:
    """Return how many entries of gradients are written out at once.

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
        Successive runs, the last one possibly shorter.
    """
    length = max(length, 1)
    for start in range(0, number, length):
        yield slice(start, min(start + length, number))


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


#: Squared norms in float32 are trusted from here up to the inverse: beyond, squares of entries may leave its range.
_SAFE = 1e-24


def squared_norms(values: Tensor) -> Tensor:
    """Return squared norms over all axes but the first.

    Parameters
    ----------
    values : Tensor, shape (B, ...)
        Vectors.

    Returns
    -------
    Tensor, shape (B,)
        float64, to a few units in the last place of the values' dtype, however long, small or large they are.
    """
    flat = values.reshape(len(values), -1)
    squared = flat.square().sum(dim=1)  # in pairs, where a norm's sum would lose digits over long vectors
    if squared.dtype == torch.float32 and len(squared):
        least, most = torch.stack(torch.aminmax(squared)).tolist()
        if not (least > _SAFE and most < 1 / _SAFE):
            return torch.linalg.vector_norm(flat, dim=1, dtype=torch.float64).square()
    return squared.double()


def scaled(values: Tensor) -> tuple[Tensor, Tensor]:
    """Divide each example by a power of two near its largest entry, so that products of entries do not underflow.

    Parameters
    ----------
    values : Tensor, shape (B, ...)
        One example a row.

    Returns
    -------
    tuple of Tensor
        The scaled values, exactly, and the divisors of shape (B,), float64.
    """
    if not values.numel():
        return values, torch.ones(len(values), dtype=torch.float64, device=values.device)
    largest = values.flatten(1).abs().amax(dim=1)
    exponent = torch.frexp(largest).exponent.clamp(min=-125, max=126)
    scale = torch.ldexp(torch.ones_like(largest), exponent)
    return values / scale.reshape(-1, *[1] * (values.dim() - 1)), scale.double()
