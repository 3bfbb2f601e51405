"""Sees the calls of a forward pass, and remembers what bears on how far its gradients can be trusted."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from genbounds.models.per_example.calls import name_of

__all__ = ["Witness"]

#: Functions that return as many rows as there are values of some kind, whoever's they are.
_PICKING = {"nonzero", "argwhere", "masked_select", "unique", "unique_consecutive", "masked_scatter"}


class Witness(TorchFunctionMode):
    """Notes the dtypes of a pass, and whether it picks rows by their values.

    Attributes
    ----------
    precision : float
        Machine epsilon of the narrowest floating dtype that a call returned; 0 if there was none.
    picks_rows : bool
        Whether a mask or the like picked entries, as a mixture of experts that are called with their tokens does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.precision, self.picks_rows = 0.0, False

    def __torch_function__(
        self, func: Callable[..., Any], _: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a call and look at what it returns."""
        result, name = func(*args, **(kwargs or {})), name_of(func)
        for value in tree_leaves(result) if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor) and value.is_floating_point():
                self.precision = max(self.precision, torch.finfo(value.dtype).eps)
        masked = name == "__getitem__" and any(
            isinstance(value, Tensor) and value.dtype == torch.bool for value in tree_leaves(args[1:])
        )
        self.picks_rows |= masked or name in _PICKING or (name == "where" and len(args) + len(kwargs or {}) == 1)
        return result
