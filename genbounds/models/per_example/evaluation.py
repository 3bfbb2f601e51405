"""How a batch is run: inputs of either kind, their rows, and which models have gradients of single examples."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from genbounds.models.guards import ModelError

__all__ = ["Inputs", "Loss", "check_fixed_function", "chosen_parameters", "forward", "number_of", "rows_of"]

#: A batch: ``model(inputs)``, or by keyword, ``model(**inputs)``. Tensors have the examples along their first axis;
#: what is no tensor (``use_cache=False``) goes to the model as it is.
Inputs: TypeAlias = Tensor | Mapping[str, Any]

#: ``loss(outputs, targets)`` of a batch: the average over its examples, or one value per example.
Loss: TypeAlias = Callable[[Any, Any], Tensor]


def forward(model: nn.Module, inputs: Inputs, weights: Mapping[str, Tensor] | None = None) -> Any:
    """Run a batch.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    inputs : Tensor or mapping of str to Tensor
        The batch; a mapping is passed by keyword.
    weights : mapping of str to Tensor, optional
        Parameters to run with instead of the model's own.

    Returns
    -------
    object
        What the model returns.
    """
    args, kwargs = ((), dict(inputs)) if isinstance(inputs, Mapping) else ((inputs,), {})
    return model(*args, **kwargs) if weights is None else functional_call(model, dict(weights), args, kwargs)


def number_of(inputs: Inputs) -> int:
    """Count the examples of a batch.

    Parameters
    ----------
    inputs : Tensor or mapping of str to Tensor
        The batch.

    Returns
    -------
    int
        Length of the first axis.

    Raises
    ------
    ValueError
        If the tensors disagree, or there is none.
    """
    parts = inputs.values() if isinstance(inputs, Mapping) else (inputs,)
    lengths = {len(part) for part in parts if isinstance(part, Tensor)}
    if len(lengths) != 1:
        raise ValueError(
            f"inputs must hold the same number of examples in every tensor, got {sorted(lengths)}. Put the examples "
            "along the first axis of each."
        )
    return lengths.pop()


def rows_of(inputs: Inputs, rows: slice) -> Inputs:
    """Take some examples of a batch.

    Parameters
    ----------
    inputs : Tensor or mapping of str to Tensor
        The batch.
    rows : slice
        Which: from `start` to before `stop`.

    Returns
    -------
    Tensor or dict of str to Tensor
        The smaller batch.
    """
    if isinstance(inputs, Mapping):
        return {name: rows_of(part, rows) if isinstance(part, Tensor) else part for name, part in inputs.items()}
    return inputs.narrow(0, rows.start, rows.stop - rows.start)


def check_fixed_function(model: nn.Module) -> None:
    """Refuse modules that make an example's gradient depend on chance or on the rest of the batch.

    Parameters
    ----------
    model : torch.nn.Module
        The network, in the mode in which it is to be measured.

    Raises
    ------
    ModelError
        If batch normalisation uses the statistics of the batch, or dropout acts.
    """
    for name, module in model.named_modules():
        shown = f"{name or 'model'} ({type(module).__name__})"
        if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
            raise ModelError(
                f"model must treat each example by itself, got {shown} with the statistics of the batch. Put it in "
                "evaluation mode, or use normalisation within one example (GroupNorm, LayerNorm)."
            )
        if isinstance(module, _DropoutNd) and module.training and module.p > 0:
            raise ModelError(
                f"model must be a fixed function, got {shown} in training mode: its mask cannot be drawn again to "
                "measure the step that was taken. Train without dropout, or put it in evaluation mode."
            )


def chosen_parameters(model: nn.Module, parameters: Collection[str] | None = None) -> dict[str, nn.Parameter]:
    """Return the parameters to measure.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    parameters : collection of str, optional
        Their names; by default all that require a gradient. Any name of a tied one will do.

    Returns
    -------
    dict of str to Parameter
        In order of definition, a tied one once, under its first name.

    Raises
    ------
    ValueError
        If a name is unknown.
    ModelError
        If nothing is left, or a parameter is not a floating tensor.
    """
    every = dict(model.named_parameters(remove_duplicate=False))
    if parameters is not None:
        unknown = sorted(set(parameters) - set(every))
        if unknown:
            raise ValueError(
                f"parameters must be names of the model's, got {unknown[0]!r}. It has {', '.join(list(every)[:5])}, ..."
            )
    wanted = {id(p) for n, p in every.items() if (p.requires_grad if parameters is None else n in parameters)}
    chosen = {name: value for name, value in model.named_parameters() if id(value) in wanted}
    if not chosen:
        raise ModelError("model must have parameters that require a gradient, got none. Unfreeze what is trained.")
    for name, value in chosen.items():
        if not torch.is_floating_point(value):
            raise ModelError(f"parameters must be real floating tensors, got {name} of {value.dtype}. Leave it out.")
    return chosen
