"""Sees the calls of a forward pass, and remembers what bears on how far its gradients can be trusted."""

from collections.abc import Callable, Hashable
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from genbounds.models.per_example.calls import changes_in_place, name_of

__all__ = ["Witness"]

#: Functions that return as many rows as there are values of some kind, whoever's they are.
_PICKING = {"nonzero", "argwhere", "masked_select", "unique", "unique_consecutive", "masked_scatter"}

#: Functions that put what lies along an axis in another order; along the first, that may be the examples.
_ORDERING = {"sort": -1, "argsort": -1, "topk": -1, "msort": 0}

#: Functions by which Python code learns of values.
_READING = {
    *("item", "tolist", "numpy", "__array__", "__bool__", "__int__", "__float__", "__index__", "__complex__"),
    *("__contains__", "equal", "allclose", "is_nonzero"),
}


class Witness(TorchFunctionMode):
    """Notes the dtypes of a pass, and what may arrange the examples of another batch otherwise.

    Attributes
    ----------
    precision : float
        Machine epsilon of the narrowest floating dtype that a call returned; 0 if there was none.
    picks_rows : bool
        Whether a mask or the like picked entries, as a mixture of experts that are called with their tokens does.
    orders_rows : bool
        Whether something was put in order along its first axis, as sequences are by their lengths.
    decisions : list
        What Python code read of values, and whole numbers that were made of others and met floating ones, as an order
        of examples does: where these are other ones, a batch may go another way. Each can be hashed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.precision, self.picks_rows, self.orders_rows = 0.0, False, False
        self.decisions: list[Hashable] = []
        self._made: dict[int, Tensor] = {}

    def __torch_function__(
        self, func: Callable[..., Any], _: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a call and look at what it returns."""
        kwargs = kwargs or {}
        result, name = func(*args, **kwargs), name_of(func)
        for value in tree_leaves(result) if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor) and value.is_floating_point():
                self.precision = max(self.precision, torch.finfo(value.dtype).eps)
        masked = name == "__getitem__" and any(
            isinstance(value, Tensor) and value.dtype == torch.bool for value in tree_leaves(args[1:])
        )
        picks = masked or name in _PICKING or (name == "where" and len(args) + len(kwargs) == 1)
        orders = name == "_pack_padded_sequence" or (name in _ORDERING and _first_axis(name, args, kwargs))
        self.picks_rows |= picks
        self.orders_rows |= orders
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        if name in _READING:
            self.decisions.append(_print_of(result))
        elif picks or orders:
            self.decisions += [_print_of(value) for value in given if not value.is_floating_point()]
        self._follow(given, [*tree_leaves(result), *given[: changes_in_place(func)]])
        return result

    def _follow(self, given: list[Tensor], results: list[Any]) -> None:
        """Follow whole numbers made of other values, up to where they meet floating ones: as indices, say."""
        made = [value for value in given if id(value) in self._made]
        if made and any(isinstance(value, Tensor) and value.is_floating_point() for value in (*given, *results)):
            self.decisions += map(_print_of, made)
        if made or not all(map(_is_whole, given)):
            self._made |= {id(value): value for value in results if _is_whole(value)}


#: Numbers what cannot be looked into, as inside vmap: it is never the same again.
_UNKNOWN = count()


def _print_of(value: Any) -> Hashable:
    """Return something that is the same for equal values, and otherwise hardly ever."""
    if not isinstance(value, Tensor):
        return value.tobytes() if hasattr(value, "tobytes") else repr(value)
    try:
        return tuple(value.shape), hash(value.numpy(force=True).tobytes())
    except RuntimeError:
        return next(_UNKNOWN)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype in (torch.int64, torch.int32)


def _first_axis(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Say whether a function goes along the first axis of its first argument."""
    given = [value for value in args[1 + (name == "topk") :] if not isinstance(value, bool)]
    axis = kwargs.get("dim", given[0] if given else _ORDERING[name])
    return bool(args[0].ndim) and axis % args[0].ndim == 0
