"""Networks of which only the last linear layer is random: fixed features, Gaussian scores, and an exact Gibbs risk.

Given the features of an example the scores of a Gaussian head are jointly Gaussian, so that the probability of an error
is a number that can be computed: no weights are drawn, and no Monte Carlo step is paid.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genbounds.models.examples import Data, TensorData
from genbounds.models.guards import ModelError
from genbounds.models.passes import block_size
from genbounds.models.progress import track
from genbounds.numerics import argmax_error, pairwise_error

__all__ = ["exact_gibbs_risk", "extract_features", "find_head"]

_UNIT = 2.0**-53
#: Float64 numbers in the largest array of a block.
_NUMBERS = 2**22


@torch.no_grad()
def find_head(model: nn.Module, example: Tensor) -> str:
    """Return the name of the linear layer that computes the model's output.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode.
    example : Tensor, shape (batch, ...)
        A few examples.

    Returns
    -------
    str
        Name of the layer; "" if the model is that layer.

    Raises
    ------
    ModelError
        If no ``nn.Linear`` on one vector per example gives the output, or its weights are used elsewhere too.
    """
    calls: list[tuple[str, Tensor]] = []
    linear = {name: layer for name, layer in model.named_modules() if type(layer) is nn.Linear}
    handles = [
        layer.register_forward_hook(lambda _module, _inputs, output, name=name: calls.append((name, output)))
        for name, layer in linear.items()
    ]
    try:
        outputs = model(example)
    finally:
        for handle in handles:
            handle.remove()
    last = [name for name, output in calls if output is outputs and output.ndim == 2]
    if not last or [name for name, _ in calls].count(last[-1]) > 1:
        raise ModelError(
            "the model must end in one nn.Linear that is applied once to one vector per example, and return what it "
            "gives. Move what comes after it (a softmax, a reshape) out of the model."
        )
    own = {id(value) for value in linear[last[-1]].parameters()}
    names = [name for name, value in model.named_parameters(remove_duplicate=False) if id(value) in own]
    if len(names) > len(own):
        raise ModelError(f"the last layer's weights must be its own, got them as {', '.join(names)}. Untie them.")
    return last[-1]


@torch.no_grad()
def extract_features(
    model: nn.Module,
    head: str,
    data: Data,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> TensorData:
    """Return what the head is given, for every example of the data.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode.
    head : str
        Name of its last linear layer (`find_head`).
    data : Data
        The examples.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    TensorData
        Features, on the CPU and in `dtype`, with the targets, parts and notes of the data, in its order.
    """
    found: list[Tensor] = []
    targets: list[Tensor] = []
    handle = model.get_submodule(head).register_forward_pre_hook(
        lambda _, args, named: found.append((*args, *named.values())[0].cpu()), with_kwargs=True
    )
    indices = np.arange(len(data))
    size = block_size(data, indices)
    batches = data.batches(indices, size, device=device, dtype=dtype)
    try:
        for _, inputs, target in track(batches, "computing features", total=-(-len(data) // size), progress=progress):
            model(inputs)
            targets.append(target.cpu())
    finally:
        handle.remove()
    return TensorData(torch.cat(found), torch.cat(targets), f"features of {data.name}", data.parts, data.notes)


def exact_gibbs_risk(law: Mapping[str, Mapping[str, Tensor]], features: Data, indices: NDArray[np.int64]) -> float:
    """Return the Gibbs risk of a Gaussian linear head on a sample, rounded up: no Monte Carlo.

    The risk is that of a head whose scores are computed without rounding, from the features as they are.

    Parameters
    ----------
    law : mapping
        ``mean``, ``scale`` and, if the covariance has one, ``factor`` of ``weight`` and ``bias`` (if there is
        one), as `genbounds.pac_bayes.posteriors.DiagonalGaussian.law` gives them.
    features : Data
        Vectors and classes.
    indices : ndarray of int64
        Which examples.

    Returns
    -------
    float
        At or above the mean over the examples of the probability that the head errs, in [0, 1]. Exact but for
        about 1e-10 for two classes, and for any number if the entries of the head are independent; with a factor and
        more than two classes the union bound over the wrong ones.

    Raises
    ------
    ValueError
        If a target is no class of the head.

    Notes
    -----
    Inner products of p + 1 terms are off by (p + 1) u / (1 - (p + 1) u) of the sum of absolute products, u = 2^-53: the
    right score's mean is lowered by that, and by the largest of the others. A standard deviation that is off by a
    relative rho moves the law of a score by at most rho in total variation; the root of a sum of squares moves by at
    most the norm of the errors in what is squared.
    """
    mean, scale = _matrix(law["mean"]), np.square(_matrix(law["scale"]))
    factor = _matrix(law["factor"]) if "factor" in law else None
    classes, inputs = mean.shape
    relative = 1.01 * (inputs + 4) * _UNIT
    columns = 1 if factor is None else len(factor)
    total: list[float] = []
    for _, batch, target in features.batches(indices, max(1, _NUMBERS // (columns * classes + inputs))):
        x = np.concatenate([batch.double().cpu().numpy(), np.ones((len(batch), 1))], axis=1)[:, :inputs]
        y = target.cpu().numpy()
        rows = np.arange(len(y))
        if y.max() >= classes:
            raise ValueError(f"targets must be classes of the head, below {classes}, got {y.max()}. Check its outputs.")
        centre, variance = x @ mean.T, np.square(x) @ scale.T
        error = relative * (np.abs(x) @ np.abs(mean).T) * (1 + 1e-9)
        centre[rows, y] = np.nextafter(centre[rows, y] - (error[rows, y] + error.max(axis=1)), -np.inf)
        if factor is None:
            risk = argmax_error(centre, np.sqrt(variance), y)
        else:
            others = np.arange(classes)[None, :] != y[:, None]
            shape = (len(y), classes - 1)
            moves = np.einsum("np,rkp->nrk", x, factor, optimize=True)
            off = relative * np.einsum("np,rkp->nrk", np.abs(x), np.abs(factor), optimize=True)
            square = np.square(moves - moves[rows, :, y][:, :, None]).sum(axis=1)
            bound = np.sqrt(np.square(off + off[rows, :, y][:, :, None]).sum(axis=1)) * (1 + 1e-9)
            deviation = np.sqrt(variance + variance[rows, y][:, None] + square)[others].reshape(shape)
            margin = (centre[rows, y][:, None] - centre)[others].reshape(shape)
            slack = bound[others].reshape(shape) + (relative + columns * _UNIT) * deviation
            margin = np.nextafter(margin, -np.inf)
            risk = pairwise_error(margin, np.maximum(np.where(margin > 0, deviation + slack, deviation - slack), 0.0))
        total += np.minimum(1.0, risk + classes * relative).tolist()
    return min(1.0, math.nextafter(math.fsum(total) / len(total), math.inf))


def _matrix(weights: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return weight and bias side by side in float64: the bias is the weight of an input that is 1."""
    weight = weights["weight"].double().cpu()
    parts = [weight, weights["bias"].double().cpu().unsqueeze(-1)] if "bias" in weights else [weight]
    return np.asarray(torch.cat(parts, dim=-1).numpy())
