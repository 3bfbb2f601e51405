"""Buffers: the part of a model that training writes and a posterior over weights does not cover."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["same_bits", "stateful_buffers"]


def stateful_buffers(model: nn.Module, fresh: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """List the buffers that may carry what the model saw of its data.

    A posterior covers parameters. A buffer that training wrote (batch normalisation's running statistics, a
    moving average, a memory) is part of the predictor and outside it, so that prior and bound may use it only
    if the bound's examples did not shape it.

    Parameters
    ----------
    model : torch.nn.Module
        Trained model.
    fresh : mapping of str to Tensor, optional
        State of the same architecture before training. A buffer that equals its own there was not written by
        training, and is left out.

    Returns
    -------
    dict of str to Tensor
        Buffers by name, persistent or not. Left out are batch counters of normalisation layers, which evaluation
        does not use, and constants that no data could have made: all zeros, all ones, 0, 1, 2, ... along the last
        axis, and causal masks.
    """
    untouched = fresh or {}
    found = {}
    for name, buffer in model.named_buffers():
        twin = untouched.get(name)
        if twin is not None and twin.shape == buffer.shape and same_bits(buffer.cpu(), twin.to(buffer.dtype).cpu()):
            continue
        if not name.endswith("num_batches_tracked") and not _is_constant(buffer):
            found[name] = buffer.detach()
    return found


def _is_constant(buffer: Tensor) -> bool:
    values = buffer.detach().cpu().double() if not buffer.is_complex() else buffer.detach().cpu()
    if values.numel() == 0 or bool((values == 0).all()) or bool((values == 1).all()):
        return True
    if values.is_complex() or values.ndim == 0:
        return False
    if bool((values == torch.arange(values.shape[-1])).all()):
        return True
    if values.ndim < 2 or values.shape[-1] != values.shape[-2]:
        return False
    below = torch.ones_like(values).tril().bool()
    inside, outside = values[below], values[~below]
    # A mask is one value on and below the diagonal and another above it, from 0, 1 and minus infinity.
    flat = bool((inside == inside[0]).all()) and bool((outside == outside[:1]).all())
    return flat and {float(inside[0]), *outside[:1].tolist()} <= {0.0, 1.0, float("-inf")}


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Compare two tensors bit by bit.

    Parameters
    ----------
    a, b : Tensor
        Dense tensors on one device.

    Returns
    -------
    bool
        Whether shape, dtype and every bit agree; a NaN agrees with itself.
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.equal(*(tensor.detach().contiguous().reshape(-1).view(torch.uint8) for tensor in (a, b)))
