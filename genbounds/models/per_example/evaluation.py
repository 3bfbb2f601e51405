"""How a batch is run: inputs of either kind, their rows, and which models have gradients of single examples."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from genbounds.models.guards import ModelError

__all__ = [
    "Inputs",
    "Loss",
    "check_fixed_function",
    "chosen_parameters",
    "forward",
    "held_by",
    "joined",
    "number_of",
    "original",
    "rows_of",
    "tensors_of",
]

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
    lengths = {len(part) for part in tensors_of(inputs).values()}
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
    size = rows.stop - rows.start
    return joined(inputs, {name: part.narrow(0, rows.start, size) for name, part in tensors_of(inputs).items()})


def picked(inputs: Inputs, index: Sequence[int]) -> Inputs:
    """Take some examples of a batch by number.

    Parameters
    ----------
    inputs : Tensor or mapping of str to Tensor
        The batch.
    index : sequence of int
        Which, in order.

    Returns
    -------
    Tensor or dict of str to Tensor
        The smaller batch.
    """
    parts = tensors_of(inputs)
    return joined(inputs, {name: part[torch.tensor(index, device=part.device)] for name, part in parts.items()})


def tensors_of(batch: Inputs) -> dict[str, Tensor]:
    """Return the tensors of a batch: vmap takes nothing else.

    Parameters
    ----------
    batch : Tensor or mapping of str to Tensor
        Inputs or targets.

    Returns
    -------
    dict of str to Tensor
        By name; "" for a single tensor.
    """
    if isinstance(batch, Mapping):
        return {name: part for name, part in batch.items() if isinstance(part, Tensor)}
    return {"": batch}


def joined(batch: Inputs, tensors: Mapping[str, Tensor]) -> Inputs:
    """Put other tensors into the place of those of a batch.

    Parameters
    ----------
    batch : Tensor or mapping of str to Tensor
        Inputs or targets.
    tensors : mapping of str to Tensor
        As `tensors_of` returns them.

    Returns
    -------
    Tensor or dict of str to Tensor
        What is no tensor stays.
    """
    return {**batch, **tensors} if isinstance(batch, Mapping) else tensors[""]


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


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Run the model as it is written, with nothing that requires a gradient, and leave no trace.

    Compiled parts run as plain Python and attention by its separate steps; the caller's random state, gradients and
    settings are what they were, whatever happens.

    Parameters
    ----------
    model : torch.nn.Module
        The network.

    Yields
    ------
    None
        Nothing.
    """
    held = held_by(model)
    trained = {id(value): value for value in held if value.requires_grad}
    devices = {value.device for value in held if value.is_cuda}
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices))
        stack.enter_context(torch.enable_grad())
        if any(map(_is_compiled, model.modules())):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.callback(torch.clear_autocast_cache)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast_path)
        for value in trained.values():
            stack.callback(value.requires_grad_, True)
            value.requires_grad_(False)
        torch.backends.mha.set_fastpath_enabled(False)
        torch.clear_autocast_cache()
        yield


def held_by(model: nn.Module) -> list[Tensor]:
    """Return all parameters and buffers of a model.

    Parameters
    ----------
    model : torch.nn.Module
        The network.

    Returns
    -------
    list of Tensor
        Tied ones more than once.
    """
    tables = (table for module in model.modules() for table in (module._parameters, module._buffers))
    return [value for table in tables for value in table.values() if value is not None]


def original(model: nn.Module) -> nn.Module:
    """Take off what `torch.compile` and data-parallel training put around a model.

    Parameters
    ----------
    model : torch.nn.Module
        As it is trained.

    Returns
    -------
    torch.nn.Module
        As it was written. Parts of it may still be compiled.
    """
    wrapped: Any = getattr(model, "_orig_mod", None)
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        wrapped = model.module
    return model if wrapped is None else original(wrapped)


def _is_compiled(module: nn.Module) -> bool:
    return hasattr(module, "_orig_mod") or module._compiled_call_impl is not None
