"""What the layers of a network make of examples: its modules in a row, checked by hooks, and their outputs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genbounds.models.examples import Data
from genbounds.models.guards import ModelError
from genbounds.models.passes import block_size

__all__ = ["layer_chain", "representations"]


def _named(model: nn.Module, names: Sequence[str] | None) -> dict[str, nn.Module]:
    if names is None:
        return dict(model.named_children()) or {"": model}
    modules = dict(model.named_modules())
    missing = [name for name in names if name not in modules]
    if missing or not names:
        raise ModelError(f"layers must be names of modules, got {missing or list(names)}. Take {list(modules)[1:9]}.")
    return {name: modules[name] for name in names}


def _same(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors hold the same numbers example by example, in the same order; flattening changes nothing."""
    return first.numel() == second.numel() and torch.equal(first.flatten(1), second.flatten(1))


@torch.no_grad()
def layer_chain(
    model: nn.Module, inputs: Tensor, names: Sequence[str] | None = None
) -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Return the layers of a network in the order in which they act, if they act in a row and there is nothing else.

    Parameters
    ----------
    model : nn.Module
        Network in evaluation mode.
    inputs : Tensor, shape (batch, ...)
        A few examples.
    names : sequence of str, optional
        Modules that follow one another from the input to the output; by default the model's children, or the model
        itself if it has none.

    Returns
    -------
    dict of str to tuple
        From each layer's name to the module and the shape of one of its inputs. Children that are not called are left
        out.

    Raises
    ------
    ModelError
        If there is no such module, a layer is called twice, or something happens between two layers, before the first
        or after the last, other than a change of shape: the network is not the composition of these layers.

    Examples
    --------
    >>> chain = layer_chain(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), torch.zeros(1, 3))
    >>> [(name, type(layer).__name__, shape) for name, (layer, shape) in chain.items()]
    [('0', 'Linear', (3,)), ('1', 'ReLU', (2,))]
    """
    calls: list[tuple[str, Any, Any]] = []
    layers = _named(model, names)
    handles = [
        layer.register_forward_hook(lambda _, args, output, name=name: calls.append((name, args, output)))
        for name, layer in layers.items()
    ]
    try:
        outputs = model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    called = [name for name, _, _ in calls]
    before, last = inputs, "the model's input"
    for name, args, output in calls:
        plain = len(args) == 1 and isinstance(args[0], Tensor) and isinstance(output, Tensor)
        if not plain or called.count(name) > 1 or not _same(before, args[0]):
            raise ModelError(
                f"layers must follow one another, each called once on what the one before it gives, got something else "
                f"than {last} in {name or 'the model'}. Make what happens in between (an activation called as a "
                "function, a residual sum) a module among the layers, or name larger layers around it."
            )
        before, last = output, name
    if not calls or not isinstance(outputs, Tensor) or not _same(before, outputs):
        raise ModelError(f"layers must end in the model's output, got another tensor after {last}. Name what follows.")
    return {name: (layers[name], tuple(args[0].shape[1:])) for name, args, _ in calls}


@torch.no_grad()
def representations(
    model: nn.Module,
    layer: nn.Module | None,
    data: Data,
    indices: NDArray[np.int64],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return what a layer makes of the examples `indices`.

    Parameters
    ----------
    model : nn.Module
        Network in evaluation mode.
    layer : nn.Module or None
        One of its modules, whose output is wanted; None for the model's input.
    data : Data
        Where the examples are.
    indices : ndarray of int64
        Which examples; keep them few, all of their representations are held at once.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.

    Returns
    -------
    Tensor of float64, shape (examples, numbers)
        Flattened representations, on `device`.
    """
    held: list[Tensor] = []

    def keep(value: Tensor) -> None:
        held.append(value.flatten(1).to(torch.float64, copy=True))  # a later layer may work in place

    handle = None if layer is None else layer.register_forward_hook(lambda _, __, output: keep(output))
    try:
        for _, inputs, _ in data.batches(indices, block_size(data, indices), device=device, dtype=dtype):
            if handle is None:
                keep(inputs)
            else:
                model(inputs)
    finally:
        if handle is not None:
            handle.remove()
    return torch.cat(held)
