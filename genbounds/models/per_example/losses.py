"""Losses of the single examples of a batch, from its outputs."""

from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_flatten, tree_unflatten

from genbounds.models.guards import ModelError
from genbounds.models.per_example.evaluation import Inputs, Loss, joined, number_of, tensors_of

__all__ = ["SingleLosses", "batch_loss"]


def batch_loss(loss: Loss, outputs: Any, targets: Inputs) -> Tensor:
    """Evaluate the loss of a batch.

    Parameters
    ----------
    loss : callable
        As users pass it.
    outputs : object
        What the model returned.
    targets : Tensor or mapping of str to Tensor
        Of the same examples.

    Returns
    -------
    Tensor, scalar or of shape (B,)
        The average, or one value per example.

    Raises
    ------
    ModelError
        If it is neither, or not finite.
    """
    value, number = loss(outputs, targets), number_of(targets)
    if not isinstance(value, Tensor) or value.shape not in {(), (number,)} or not value.is_floating_point():
        shown = f"shape {tuple(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else repr(value)
        raise ModelError(
            f"loss must be a number, the average over the batch, or one value per example, ({number},), got {shown}. "
            "Average over the positions of each example, as in loss.mean(dim=1)."
        )
    if not value.isfinite().all():
        raise ModelError("loss must be finite, got NaN or infinity. Check the inputs and the scale of the weights.")
    return value


class SingleLosses:
    """Evaluates the loss of each example of a batch by itself, on its part of the outputs.

    Parameters
    ----------
    loss : callable
        Average over the examples, or one value per example.
    outputs, single : object
        What the model returns for a batch, and for one example: where the sizes differ are the examples.
    averages : bool
        Whether the loss averages.
    """

    def __init__(self, loss: Loss, outputs: Any, single: Any, averages: bool) -> None:
        self.loss, self.averages = loss, averages
        pairs = zip(tree_flatten(outputs)[0], tree_flatten(single)[0], strict=True)
        self._axes = [_differing_axis(one, other) for one, other in pairs]
        self._loop = False

    def __call__(self, outputs: Any, targets: Inputs) -> Tensor:
        """Evaluate them.

        Parameters
        ----------
        outputs : object
            Of the model.
        targets : Tensor or mapping of str to Tensor
            Of the same examples.

        Returns
        -------
        Tensor, shape (B,)
            In the graph of the outputs.
        """
        if not self.averages or number_of(targets) == 1:
            return batch_loss(self.loss, outputs, targets).reshape(-1)
        leaves, form = tree_flatten(outputs)
        y = tensors_of(targets)
        held = [(number, axis) for number, axis in enumerate(self._axes) if axis is not None]

        def of_one(parts: list[Tensor], y: dict[str, Tensor]) -> Tensor:
            filled = list(leaves)
            for part, (number, axis) in zip(parts, held, strict=True):
                filled[number] = part.unsqueeze(axis)
            target = joined(targets, {name: part.unsqueeze(0) for name, part in y.items()})
            return self.loss(tree_unflatten(filled, form), target).reshape(())

        parts = [leaves[number] for number, _ in held]
        if not self._loop:
            try:
                return vmap(of_one, in_dims=([axis for _, axis in held], 0))(parts, y)
            except (RuntimeError, ValueError, TypeError):
                self._loop = True
        rows = range(number_of(targets))
        return torch.stack([
            of_one(
                [part.select(axis, row) for part, (_, axis) in zip(parts, held, strict=True)],
                {name: part[row] for name, part in y.items()},
            )
            for row in rows
        ])


def _differing_axis(batch: object, single: object) -> int | None:
    """Return the axis of the examples in an output; None if it has none."""
    if not isinstance(batch, Tensor) or not isinstance(single, Tensor) or batch.ndim != single.ndim:
        return None
    axes = [axis for axis, (one, other) in enumerate(zip(batch.shape, single.shape, strict=True)) if one != other]
    return axes[0] if len(axes) == 1 and single.shape[axes[0]] == 1 else None
