"""Where the examples of a batch are among the axes of a tensor inside the network.

A linear layer may see them first (B, T, d), second (T, B, d), or merged with other positions, (B T, d) or (T B, d).
Shapes cannot tell, least of all where T = B. What can is which rows belong to whom: rows that change when one example
is exchanged for another, and rows that receive a gradient from one example's loss. `layout_of` finds the one
arrangement that agrees with both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

__all__ = ["Layout", "layout_of", "touched"]


@dataclass(frozen=True)
class Layout:
    """Place of the examples among the leading axes of a tensor.

    Parameters
    ----------
    axis : int
        Which axis holds them.
    merged : bool
        Whether that axis holds positions too, any number for each example. If not, its size is that of the batch.
    inner : bool
        Where positions are merged: whether the examples run faster, (T B), or slower, (B T).
    """

    axis: int
    merged: bool = False
    inner: bool = False

    def fits(self, leading: Sequence[int], number: int) -> bool:
        """Say whether a batch may be arranged so.

        Parameters
        ----------
        leading : sequence of int
            Sizes of the leading axes.
        number : int
            Examples in the batch.

        Returns
        -------
        bool
            Whether the axis exists and has a size that goes with the number.
        """
        if self.axis >= len(leading):
            return False
        size = leading[self.axis]
        return size % number == 0 if self.merged else size == number

    def split(self, tensor: Tensor, leading: int, number: int) -> Tensor:
        """Bring the examples to the front, and all other positions behind them.

        Parameters
        ----------
        tensor : Tensor, shape (*positions, *own)
            Any tensor arranged in this way.
        leading : int
            How many of its axes are positions.
        number : int
            Examples in the batch.

        Returns
        -------
        Tensor, shape (number, T, *own)
            A view where that is possible. Tensors with the same positions come out in the same order.
        """
        apart = (-1, number) if self.inner else (number, -1)
        moved = tensor.unflatten(self.axis, apart).movedim(self.axis + self.inner, 0)
        return moved.reshape(number, prod(moved.shape[1 : leading + 1]), *moved.shape[leading + 1 :])

    def owners(self, leading: Sequence[int], number: int) -> Tensor:
        """Return to which example each position belongs.

        Parameters
        ----------
        leading : sequence of int
            Sizes of the leading axes, which fit.
        number : int
            Examples in the batch.

        Returns
        -------
        Tensor of int64, shape `leading`
            Numbers of examples.
        """
        place = torch.arange(leading[self.axis])
        owner = place % number if self.inner else place // (leading[self.axis] // number)
        return owner.reshape(-1, *(1,) * (len(leading) - self.axis - 1)).expand(*leading)


def touched(tensor: Tensor, leading: int) -> Tensor:
    """Return at which positions a tensor is not zero.

    Parameters
    ----------
    tensor : Tensor, shape (*positions, *own)
        A gradient, or a difference.
    leading : int
        How many of its axes are positions.

    Returns
    -------
    Tensor of bool, shape `positions`
        On the CPU. NaN is not zero.
    """
    own = tuple(range(leading, tensor.ndim))
    return ((tensor != 0).any(dim=own) if own else tensor != 0).cpu()


def layout_of(supports: Tensor) -> Layout | None:
    """Find the arrangement in which each example touches its own positions alone.

    Parameters
    ----------
    supports : Tensor of bool, shape (number, *positions)
        Which positions each of at least two examples touches.

    Returns
    -------
    Layout or None
        None if no arrangement agrees, or several that differ do.
    """
    number, leading = len(supports), supports.shape[1:]
    if not supports.flatten(1).any(dim=1).all():
        return None
    every = [Layout(axis, merged, inner) for axis in range(len(leading)) for merged, inner in _ARRANGEMENTS]
    numbers = torch.arange(number).reshape(-1, *(1,) * len(leading))
    found = [
        layout
        for layout in every
        if layout.fits(leading, number)
        and (layout.merged is (leading[layout.axis] != number))
        and not (supports & (layout.owners(leading, number) != numbers)).any()
    ]
    return found[0] if len(found) == 1 else None


_ARRANGEMENTS = ((False, False), (True, False), (True, True))
