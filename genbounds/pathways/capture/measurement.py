"""Routing of a whole data set, block by block: numbers of each sample, never all tokens unless they are asked for."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from genbounds.models.blocks import Blocks
from genbounds.models.examples import DataError
from genbounds.models.guards import ModelError, check_evaluation_mode, infer_device_and_dtype
from genbounds.models.progress import track
from genbounds.pathways.capture.forward_inputs import ForwardInputs
from genbounds.pathways.capture.recorder import Keep, record_routing
from genbounds.pathways.capture.routers import Read
from genbounds.pathways.routing import Routing

__all__ = ["Evaluate", "capture_routing", "with_targets"]

#: From outputs, inputs and targets of a block (None where the data hold none), numbers of each sample.
Evaluate = Callable[[Any, Any, Tensor | None], Mapping[str, Tensor]]


def capture_routing(
    model: nn.Module,
    data: Any,
    *,
    routers: str | Sequence[str] | None = None,
    top_k: int | None = None,
    read: Read | None = None,
    positions: str | ArrayLike = "all",
    keep: Keep = "samples",
    evaluate: Evaluate | Literal["next_token"] | None = None,
    batch_size: int = 32,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = False,
    name: str = "",
    epoch: int | None = None,
    step: int | None = None,
) -> Routing:
    """Capture how the samples of a data set are routed, as it is executed.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode: routers with noise are random in training. It is left as it was found.
    data : object
        What `genbounds.models.blocks.Blocks` takes; or inputs without targets: a tensor or an array of token ids or of
        anything else, or a mapping of tensors, which become keyword arguments (``labels`` would be the targets). Give
        ``attention_mask`` where there is padding, on whichever side: only with it padding does not count.
    routers : str or sequence of str, optional
        Names of router modules, or patterns such as ``"blocks.*.gate"``; by default they are found
        (`genbounds.pathways.capture.routers`).
    top_k : int, optional
        Executed experts of a token, for routers that return logits alone.
    read : callable, optional
        ``read(module, inputs, output)``, which returns a `RouterCall`: for routers that return something else.
    positions : {"all", "last"} or array_like of int
        Which tokens of a sample count, by their place among those that are no padding; negative from the end.
    keep : {"samples", "routes", "gates"}
        Numbers of each sample alone; also executed experts and weights of each token; also all gates of each token,
        which takes 4 K bytes for a token and layer.
    evaluate : callable or "next_token", optional
        What else to measure in the same pass: ``evaluate(outputs, inputs, targets)`` returns numbers of each sample by
        name, of shape (b,). ``"next_token"`` measures a causal language model: ``loss``, the mean over the tokens of a
        sample of the negative log-probability of the next one, in nats, and ``correct``, the share of tokens at which
        the next one is the likeliest. Both the token and the next must be no padding.
    batch_size : int
        Samples in a block. But for rounding, and for routers with a capacity, nothing depends on it.
    device : torch.device or str, optional
        Where to measure; by default where the model is. Elsewhere a copy of the model is measured.
    dtype : torch.dtype, optional
        Floating dtype to measure in; by default the model's. In another one a copy of the model is measured.
    progress : bool
        Whether to draw a bar on a terminal.
    name : str
        Of the checkpoint or the moment.
    epoch, step : int, optional
        How many had been taken.

    Returns
    -------
    Routing
        The record.

    Raises
    ------
    ModelError
        If the model is in training mode, no router is found or called, its rows cannot be assigned to samples, or its
        logits are not finite.
    DataError
        If there are no samples, or they hold NaN or infinite numbers.
    ValueError
        If a setting is out of range, or a sample has no token that counts.

    Examples
    --------
    >>> from transformers import OlmoeConfig, OlmoeForCausalLM
    >>> config = OlmoeConfig(
    ...     vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2,
    ...     num_key_value_heads=2, num_experts=4, num_experts_per_tok=2, pad_token_id=0, eos_token_id=1,
    ... )
    >>> routing = capture_routing(OlmoeForCausalLM(config).eval(), torch.arange(2, 14).reshape(3, 4))
    >>> [(layer.name, layer.counts.sum(axis=1).tolist()) for layer in routing.layers]
    [('model.layers.0.mlp.gate', [8, 8, 8]), ('model.layers.1.mlp.gate', [8, 8, 8])]
    """
    if isinstance(evaluate, str) and evaluate != "next_token":
        raise ValueError(f"evaluate must be 'next_token' or a function, got {evaluate!r}. Take 'next_token'.")
    check_evaluation_mode(model)
    place, kind = infer_device_and_dtype(model)
    model = getattr(model, "_orig_mod", model)  # hooks do not run in a compiled graph
    wanted = torch.device(device) if device is not None else place
    if wanted.type != place.type or (wanted.index is not None and wanted != place) or (dtype or kind) != kind:
        model = deepcopy(model).to(device=wanted, dtype=dtype)
        place, kind = infer_device_and_dtype(model)
    pair, labelled = with_targets(data)
    blocks = Blocks(pair, batch_size, device=place, dtype=kind)
    values: dict[str, list[NDArray[np.float64]]] = {}
    with (
        record_routing(model, routers=routers, top_k=top_k, read=read, keep=keep, positions=positions) as recorder,
        torch.no_grad(),
    ):
        numbers = range(-(-blocks.number // batch_size))  # all: each process that captures has the whole record
        for block in track(map(blocks.read, numbers), "routing", total=len(numbers), progress=progress):
            before, inputs = recorder.number, block.inputs
            outputs = model(inputs) if isinstance(inputs, Tensor) else model(**inputs)
            if recorder.number - before != len(block.index):
                raise ModelError(
                    f"a forward pass must route each sample once, got {recorder.number - before} rows for "
                    f"{len(block.index)} samples. Give the model one row for each sample, and call it once."
                )
            if evaluate is not None:
                found = (
                    _next_token(outputs, recorder.last_inputs)
                    if isinstance(evaluate, str)
                    else evaluate(outputs, block.inputs, block.targets if labelled else None)
                )
                for key, each in found.items():
                    values.setdefault(key, []).append(_of_samples(key, each, len(block.index)))
    return recorder.routing(
        name=name,
        epoch=epoch,
        step=step,
        values={key: np.concatenate(parts) for key, parts in values.items()},
        provenance={"data": blocks.name, "batch_size": str(int(batch_size))},
    )


def with_targets(data: Any) -> tuple[Any, bool]:
    """Put the numbers of the samples where data have no targets.

    Parameters
    ----------
    data : object
        As for `capture_routing`.

    Returns
    -------
    pair : object
        What `genbounds.models.blocks.Blocks` takes.
    labelled : bool
        Whether the data had targets themselves.

    Raises
    ------
    DataError
        If they are a single number.
    """
    if isinstance(data, Mapping):
        columns = dict(data)
        if "labels" in columns:
            return (columns, columns.pop("labels")), True
        sizes = [len(column) for column in columns.values()]
        return (columns, torch.arange(sizes[0] if sizes else 0)), False
    if isinstance(data, Tensor | np.ndarray):
        if not data.ndim:
            raise DataError("data must have a row for each sample, got a single number. Pass a batch.")
        return (data, torch.arange(len(data))), False
    return data, True


def _of_samples(name: str, numbers: Tensor, rows: int) -> NDArray[np.float64]:
    if not isinstance(numbers, Tensor) or numbers.shape != (rows,):
        got = f"shape {tuple(numbers.shape)}" if isinstance(numbers, Tensor) else f"a {type(numbers).__name__}"
        raise ValueError(
            f"evaluate must return a tensor of shape ({rows},) for {name}, got {got}. Return a number of each sample."
        )
    return numbers.detach().double().cpu().numpy()


def _next_token(outputs: Any, inputs: ForwardInputs) -> dict[str, Tensor]:
    """Return mean negative log-probability and accuracy of the next token, by sample."""
    logits, ids = getattr(outputs, "logits", outputs), inputs.ids
    if ids is None or not isinstance(logits, Tensor) or logits.shape[:-1] != ids.shape:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"next_token needs token ids and logits for each of them, got {got} for "
            f"{'no ids' if ids is None else tuple(ids.shape)}. Pass a function as evaluate."
        )
    following = ids[:, 1:].long()
    counted = torch.ones_like(following, dtype=torch.bool)
    if inputs.kept is not None:
        counted = inputs.kept[:, 1:] & inputs.kept[:, :-1]
    number = counted.sum(dim=1)
    if (number == 0).any():
        raise ValueError("samples must have at least two tokens for next_token, got fewer. Leave them out.")
    said = logits[:, :-1]
    kind = torch.promote_types(said.dtype, torch.float32)
    losses = F.cross_entropy(said.transpose(1, 2).to(kind), following, reduction="none").double()
    right = (said.argmax(dim=2) == following).double()
    return {
        key: each.masked_fill(~counted, 0.0).sum(dim=1) / number for key, each in (("loss", losses), ("correct", right))
    }
