"""What one forward pass of a model was given: how many samples, which tokens, and which of them are padding."""

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from genbounds.models.guards import ModelError

__all__ = ["ForwardInputs", "read_inputs", "scope_of"]

_SEQUENCE = {"input_ids", "attention_mask"}


@dataclass(frozen=True, eq=False)
class ForwardInputs:
    """Samples and positions of one forward pass.

    Attributes
    ----------
    rows : int
        Samples, B.
    columns : int or None
        Positions of each, T, where inputs are sequences of tokens; None where only the routers know (images).
    ids : Tensor of integers, shape (B, T), or None
        Tokens, where they are the inputs.
    kept : Tensor of bool, shape (B, T), or None
        Which tokens are no padding; None for all.
    cache : object or None
        Keys and values of earlier positions, from calls before.
    past : int
        Of how many earlier positions.
    """

    rows: int
    columns: int | None
    ids: Tensor | None
    kept: Tensor | None
    cache: Any
    past: int


def read_inputs(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ForwardInputs:
    """Read what a module is called with.

    Parameters
    ----------
    module : torch.nn.Module
        Whose forward pass begins.
    args, kwargs : tuple, mapping
        Its arguments.

    Returns
    -------
    ForwardInputs
        From ``input_ids`` or ``inputs_embeds``, or else the first tensor; ``attention_mask``, whose last columns belong
        to the inputs if keys of earlier positions are cached; ``past_key_values``.

    Raises
    ------
    ModelError
        If there is no tensor, or the mask does not say for each token whether it is padding.
    """
    signature = inspect.signature(module.forward)
    named: dict[str, Any] = {}
    for name, value in signature.bind_partial(*args, **kwargs).arguments.items():
        match signature.parameters[name].kind:
            case inspect.Parameter.VAR_KEYWORD:
                named |= value
            case inspect.Parameter.VAR_POSITIONAL:
                named |= {f"{name} {place}": each for place, each in enumerate(value)}
            case _:
                named[name] = value
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor) and value.ndim}
    known = [name for name in tensors if name in ("input_ids", "inputs_embeds")]
    first = next(iter(known or [name for name in tensors if not name.endswith("mask")]), None)
    if first is None:
        raise ModelError(
            f"a forward pass must be given a tensor with a row for each sample, got {sorted(named) or 'nothing'} in "
            f"{type(module).__name__}. Record the module that is called with tensors."
        )
    inputs, mask = tensors[first], named.get("attention_mask")
    integers = inputs.ndim == 2 and not (inputs.is_floating_point() or inputs.is_complex())
    columns = inputs.shape[1] if inputs.ndim > 1 and (integers or known or mask is not None) else None
    if mask is not None and (
        not isinstance(mask, Tensor)
        or mask.ndim != 2
        or mask.is_floating_point()
        or len(mask) != len(inputs)
        or mask.shape[1] < (columns or 0)
    ):
        got = f"shape {tuple(mask.shape)} of {mask.dtype}" if isinstance(mask, Tensor) else f"a {type(mask).__name__}"
        raise ModelError(
            f"attention_mask must be integers or booleans of shape ({len(inputs)}, {columns} or more), got {got}. Pass "
            "1 for each token and 0 for padding."
        )
    cache = named.get("past_key_values")
    return ForwardInputs(
        rows=len(inputs),
        columns=columns,
        ids=inputs if integers else None,
        kept=None if mask is None or columns is None else mask.narrow(1, mask.shape[1] - columns, columns) != 0,
        cache=cache,
        past=_length(cache),
    )


def _length(cache: Any) -> int:
    """Return of how many positions keys are cached."""
    if cache is None:
        return 0
    if hasattr(cache, "get_seq_length"):
        return int(cache.get_seq_length())
    if isinstance(cache, tuple | list) and not cache:
        return 0
    raise ModelError(
        f"past_key_values must be a cache that knows its length, got a {type(cache).__name__}. Update transformers, or "
        "pass use_cache=False."
    )


def scope_of(model: nn.Module, routers: Collection[str]) -> nn.Module:
    """Find the module whose forward pass tells which tokens the routers see.

    Parameters
    ----------
    model : torch.nn.Module
        The whole model.
    routers : collection of str
        Names of its routers.

    Returns
    -------
    torch.nn.Module
        The outermost module around all routers that is called with ``input_ids`` and ``attention_mask``: inside of
        wrappers that make the mask themselves, and the encoder or the decoder where a model has both. The model itself
        if there is none.

    Raises
    ------
    ModelError
        If routers are in the encoder and in the decoder, which see different tokens.
    """
    module, path, both = model, "", False
    while True:
        parameters = inspect.signature(module.forward).parameters
        both |= "decoder_input_ids" in parameters
        if parameters.keys() >= _SEQUENCE and "decoder_input_ids" not in parameters:
            return module
        inside = [
            (f"{path}{name}.", child)
            for name, child in module.named_children()
            if all(router.startswith(f"{path}{name}.") for router in routers)
        ]
        if not inside:
            break
        ((path, module),) = inside
    if both:
        raise ModelError(
            f"routers must see the same tokens, got those of an encoder and a decoder in {type(model).__name__}. "
            'Capture one after the other: routers="*encoder.*.router", then routers="*decoder.*.router".'
        )
    return model
