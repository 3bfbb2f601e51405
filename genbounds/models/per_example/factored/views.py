"""Gradients of a tensor of which only views were used, or something else that was made of it without the examples."""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from genbounds.models.per_example.calls import Call, Pull, name_of
from genbounds.models.per_example.factored.gradients import ExampleGradients
from genbounds.models.per_example.factored.outer_products import OuterGradients

__all__ = ["MadeGradients", "ViewGradients", "view_pull"]

#: Takes the view of any tensor of one shape.
View: TypeAlias = Callable[[Tensor], Tensor]


class ViewGradients(ExampleGradients):
    """Gradients that are those of a view, put in their places, and 0 elsewhere.

    Parameters
    ----------
    part : ExampleGradients
        Gradients of the view.
    view : callable
        Takes the view of any tensor of the whole shape: each entry at most once.
    shape : torch.Size
        Shape of the whole.
    """

    def __init__(self, part: ExampleGradients, view: View, shape: torch.Size) -> None:
        super().__init__(len(part), shape, torch.empty(0, dtype=part.dtype, device=part.device), part.route)
        self.part, self.view, self.sparse = part, view, part.sparse
        self._places = _Places(view, self.shape)

    def dense(self, rows: slice) -> Tensor:
        """Write out the part, and put it in its place."""
        return self._placed(self.part.dense(rows))

    def squared_norms(self) -> Tensor:
        """Return those of the part."""
        return self.part.squared_norms()

    def norms_and_total(self) -> tuple[Tensor, Tensor]:
        """Return the norms of the part; put the sum in its place."""
        squared, total = self.part.norms_and_total()
        return squared, self._placed(total[None])[0]

    def dots(self, vector: Tensor) -> Tensor:
        """Return those of the part with the same view of the vector."""
        return self.part.dots(self.view(vector))

    def inner(self, other: ExampleGradients) -> Tensor:
        """Return those of the parts, if the views are the same."""
        if isinstance(other, ViewGradients) and self._places == other._places:
            return self.part.inner(other.part)
        return super().inner(other)

    def cross(self, other: ExampleGradients) -> Tensor:
        """Return those of the parts, if the views are the same."""
        if isinstance(other, ViewGradients) and self._places == other._places:
            return self.part.cross(other.part)
        return super().cross(other)

    def weighted_total(self, weights: Tensor) -> Tensor:
        """Put that of the part in its place."""
        total = self.part.weighted_total(weights)
        return self._placed(total) if weights.ndim > 1 else self._placed(total[None])[0]

    def squares_total(self) -> Tensor:
        """Put that of the part in its place."""
        return self._placed(self.part.squares_total()[None])[0]

    def is_disjoint_from(self, other: ExampleGradients) -> bool:
        """Say whether the two views have no entry in common."""
        return isinstance(other, ViewGradients) and self._places.are_apart_from(other._places)

    def _placed(self, values: Tensor) -> Tensor:
        """Return tensors of the whole shape, one a row, from those of the view."""
        whole = values.new_zeros(len(values), self.shape.numel())
        places = self._places.numbers.to(whole.device)
        whole.index_copy_(1, places, values.reshape(len(values), len(places)))
        return whole.reshape(-1, *self.shape)


class _Places:
    """Which entries of the flattened whole a view shows, and in which order."""

    def __init__(self, view: View, shape: torch.Size) -> None:
        self._view, self._shape = view, shape
        whole = torch.empty(shape, device="meta")
        part = view(whole)
        in_place = part is whole or part._base is whole  # no copy on the way
        self._strided = (part.storage_offset(), tuple(part.shape), part.stride()) if in_place else None

    @cached_property
    def numbers(self) -> Tensor:
        """Places of the entries, int64."""
        return self._view(torch.arange(self._shape.numel()).reshape(self._shape)).flatten()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Places):
            return NotImplemented
        if self._strided is not None and other._strided is not None:
            return self._strided == other._strided
        return torch.equal(self.numbers, other.numbers)

    __hash__ = None  # type: ignore[assignment]

    def are_apart_from(self, other: "_Places") -> bool:
        """Say whether two views have no entry in common."""
        (one, end), (another, other_end) = self._span(), other._span()
        if end < another or other_end < one:
            return True
        taken = torch.zeros(self._shape.numel(), dtype=torch.bool)
        taken[self.numbers] = True
        return not bool(taken[other.numbers].any())

    def _span(self) -> tuple[int, int]:
        """Return two places between which all entries are."""
        if self._strided is None:
            return 0, self._shape.numel()
        offset, sizes, strides = self._strided
        return int(offset), int(offset + sum((size - 1) * step for size, step in zip(sizes, strides, strict=True)))


_CASTS = ("to", "type", "type_as", "float", "double", "half", "bfloat16", "contiguous", "clone", "alias")

_VIEWS = (
    *("t", "T", "mT", "transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis", "adjoint"),
    *("view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "ravel", "squeeze", "unsqueeze"),
    *("narrow", "select", "__getitem__", "chunk", "split", "split_with_sizes", "tensor_split", "unbind"),
)


def view_pull(call: Call, place: int | None = None) -> Pull | None:
    """Return the way back from the gradients of a view to those of the tensor.

    Parameters
    ----------
    call : Call
        What made the view, of its first argument.
    place : int, optional
        Which of the tensors it returned, where it returned several.

    Returns
    -------
    callable or None
        From gradients of the view to gradients of the tensor, in the simplest form: the same ones where nothing moves,
        outer products with the roles exchanged where a matrix is transposed. None if the function makes no view.
    """
    name, rest = name_of(call.func), call.args[1:]
    if not call.args or not isinstance(call.args[0], Tensor):
        return None
    shape = call.args[0].shape
    if name in _CASTS and not any(isinstance(value, str | torch.device) for value in (*rest, *call.kwargs.values())):
        return lambda part: part
    if name not in _VIEWS or (name == "__getitem__" and not _is_basic(rest[0])):
        return None

    def view(whole: Tensor) -> Tensor:
        seen = call.func(whole, *rest, **call.kwargs)
        return seen if place is None else seen[place]

    return partial(_through, view=view, shape=shape)


def _is_basic(index: Any) -> bool:
    """Say whether an index shows each entry at most once, as numbers and slices do."""
    indices = index if isinstance(index, tuple) else (index,)
    return all(one is None or one is ... or isinstance(one, int | slice) for one in indices)


def _through(part: ExampleGradients, view: View, shape: torch.Size) -> ExampleGradients:
    places = _Places(view, shape)
    if places == _Places(lambda whole: whole, shape):
        return part
    transposed = len(shape) == 2 and places == _Places(Tensor.t, shape)
    if transposed and isinstance(part, OuterGradients) and part.inputs.shape[1] == 1:
        return OuterGradients(part.outputs, part.inputs, shape)
    return ViewGradients(part, view, shape)


class MadeGradients(ExampleGradients):
    """Gradients of a tensor from those of what was made of it: by autograd, one example after the other.

    Parameters
    ----------
    part : ExampleGradients
        Gradients of `made`.
    made : Tensor
        The result, in the graph of `leaf`.
    leaf : Tensor
        The tensor.
    """

    def __init__(self, part: ExampleGradients, made: Tensor, leaf: Tensor) -> None:
        super().__init__(len(part), leaf.shape, torch.empty(0, dtype=part.dtype, device=part.device), "materialise")
        self.part, self.made, self.leaf = part, made, leaf

    def dense(self, rows: slice) -> Tensor:
        """Write out the gradients of what was made, and pull them back."""
        return self._pulled(self.part.dense(rows))

    def weighted_total(self, weights: Tensor) -> Tensor:
        """Pull back that of what was made."""
        total = self.part.weighted_total(weights)
        return self._pulled(total) if weights.ndim > 1 else self._pulled(total[None])[0]

    def _pulled(self, values: Tensor) -> Tensor:
        pulled = values.new_zeros(len(values), *self.shape)
        for row, value in zip(pulled, values.to(self.made.dtype), strict=True):
            row += torch.autograd.grad(self.made, self.leaf, value, retain_graph=True, materialize_grads=True)[0]
        return pulled
