"""A network's outputs and targets in float64, as rows whose mean square difference is the loss."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from genbounds.models.blocks import Block
from genbounds.models.guards import ModelError, check_evaluation_mode, check_finite_outputs, infer_device_and_dtype
from genbounds.models.per_example.evaluation import forward, original

__all__ = ["evaluated", "in_float64", "target_rows"]


def in_float64(model: nn.Module, device: torch.device | str | None) -> tuple[nn.Module, torch.device]:
    """Return a copy of a model in float64, and where it is.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode; it is left alone.
    device : torch.device or str or None
        Where the copy goes; by default where the model is.

    Returns
    -------
    Module
        The copy.
    torch.device
        Its device.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode, or on several devices.
    """
    check_evaluation_mode(model)
    place = infer_device_and_dtype(model)[0] if device is None else torch.device(device)
    return deepcopy(original(model)).to(device=place, dtype=torch.float64), place


@torch.no_grad()
def evaluated(model: nn.Module, block: Block) -> tuple[Tensor, Tensor]:
    """Return outputs and targets of a block.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    block : Block
        The examples.

    Returns
    -------
    outputs : Tensor, shape (b, k)
        A row for each example, on the CPU.
    targets : Tensor, shape (b, ...)
        As the data holds them, on the CPU.

    Raises
    ------
    ModelError
        If outputs are no row of numbers for each example, or not finite.
    """
    outputs = forward(model, block.inputs)
    if not isinstance(outputs, Tensor) or outputs.ndim not in {1, 2} or len(outputs) != len(block.index):
        got = f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        raise ModelError(
            f"model must return one row of outputs per example, got {got} for {len(block.index)} examples. Wrap it to "
            "flatten them."
        )
    check_finite_outputs(outputs, block.index)
    return outputs.reshape(len(outputs), -1).cpu(), block.targets.cpu()


def target_rows(targets: Tensor, outputs: int) -> Tensor:
    """Return targets for a mean square: class indices as one-hot vectors.

    Parameters
    ----------
    targets : Tensor, shape (n, ...)
        Class indices, or numbers of the shape of the outputs.
    outputs : int
        Numbers in a row of outputs, k.

    Returns
    -------
    Tensor of float64, shape (n, k)
        The targets.

    Raises
    ------
    ValueError
        If a class is none of the outputs, or the shape is not theirs.
    """
    if targets.ndim == 1 and not targets.is_floating_point() and outputs > 1:
        largest, smallest = int(targets.max()), int(targets.min())
        if smallest < 0 or largest >= outputs:
            raise ValueError(
                f"targets must be classes from 0 to {outputs - 1}, got {smallest} to {largest}. Check that model and "
                "data belong together."
            )
        return nn.functional.one_hot(targets.long(), outputs).double()
    rows = targets.double().reshape(len(targets), -1)
    if rows.shape[1] != outputs:
        raise ValueError(
            f"targets must have a number for each of the {outputs} outputs, got shape {tuple(targets.shape)}. Pass "
            "class indices, or targets of the outputs' shape."
        )
    return rows
