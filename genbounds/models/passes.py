"""Passes over data: counts of errors of a deterministic network and of a randomised one.

Counts are whole numbers, so they do not depend on the order or the size of the batches. A pass with fresh draws is cut
into blocks of fixed size with a random stream each, so it does not depend on who evaluates which block either.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from genbounds.models.examples import Data
from genbounds.models.guards import check_finite_outputs
from genbounds.models.progress import track
from genbounds.models.randomness import PerExampleForward, draw_weights, normal_noise, stream

__all__ = ["block_size", "count_errors", "count_errors_fresh_draws", "count_errors_shared_draw", "predict"]

#: Most examples in a block, and most numbers in their inputs: large images come in small blocks.
_EXAMPLES, _NUMBERS = 1000, 2**22


def block_size(data: Data, indices: NDArray[np.int64]) -> int:
    """Return how many examples are evaluated at a time and share a random stream (each has its own draw).

    Parameters
    ----------
    data : Data
        Where the examples are.
    indices : ndarray of int64
        Which examples; the first one's shape counts, and nothing else.

    Returns
    -------
    int
        At least 1.
    """
    _, inputs, _ = next(data.batches(indices[:1], 1))
    return max(1, min(_EXAMPLES, _NUMBERS // max(1, inputs.numel())))


def predict(logits: Tensor, index: Tensor | None = None) -> Tensor:
    """Return the predicted classes; the first of the largest scores wins.

    Parameters
    ----------
    logits : Tensor, shape (batch, classes)
        Scores.
    index : Tensor of int64, optional
        Which examples they are, for the error; by default rows are counted.

    Returns
    -------
    Tensor of int64, shape (batch,)
        Classes.

    Raises
    ------
    ValueError
        If the scores are not a finite matrix.
    """
    if logits.ndim != 2:
        raise ValueError(f"the model must return one row of scores per example, got shape {tuple(logits.shape)}.")
    check_finite_outputs(logits, index)
    return logits.argmax(1)


@torch.no_grad()
def count_errors(
    model: nn.Module,
    data: Data,
    indices: NDArray[np.int64],
    *,
    weights: Mapping[str, Tensor] | None = None,
    batch_size: int | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> int:
    """Count the errors of a deterministic network on the examples `indices`.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode.
    data : Data
        Where the examples are.
    indices : ndarray of int64
        Which examples.
    weights : mapping of str to Tensor, optional
        Parameters to evaluate with instead of the model's own.
    batch_size : int, optional
        Examples at a time, by default those of a block; the count does not depend on it.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    int
        Number of examples whose predicted class is wrong.
    """
    forward = model if weights is None else lambda inputs: functional_call(model, dict(weights), (inputs,))
    size = block_size(data, indices) if batch_size is None else batch_size
    batches = data.batches(indices, size, device=device, dtype=dtype)
    total = -(-len(indices) // size)
    return sum(
        int((predict(forward(inputs), index) != targets).sum())
        for index, inputs, targets in track(batches, "evaluating", total=total, progress=progress)
    )


def count_errors_shared_draw(
    model: nn.Module,
    mean: Mapping[str, Tensor],
    scale: Mapping[str, Tensor],
    data: Data,
    indices: NDArray[np.int64],
    *,
    number: int,
    seed: int,
    stage: str = "",
    factor: Mapping[str, Tensor] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> int:
    """Count the errors of one network drawn from N(mean, diag(scale^2)) on the examples `indices`.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode.
    mean, scale : mapping of str to Tensor
        The Gaussian, on `device` and in `dtype`.
    data : Data
        Where the examples are.
    indices : ndarray of int64
        Which examples.
    number : int
        Number of the pass: passes 0, 1, 2, ... of one seed and stage are independent.
    seed : int
        Seed of all draws.
    stage : str
        What the draws are for: other stages have other streams.
    factor : mapping of str to Tensor, optional
        U, if the covariance is diag(scale^2) + U U^T; the columns along a first axis.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    int
        Number of errors of that network.
    """
    noise = normal_noise(stream(seed, f"{stage}, shared draws", number, device=device), dtype)
    drawn = draw_weights(mean, scale, noise, factor)
    return count_errors(model, data, indices, weights=drawn, device=device, dtype=dtype, progress=progress)


@torch.no_grad()
def count_errors_fresh_draws(
    model: nn.Module,
    mean: Mapping[str, Tensor],
    scale: Mapping[str, Tensor],
    data: Data,
    indices: NDArray[np.int64],
    *,
    number: int,
    seed: int,
    stage: str = "",
    factor: Mapping[str, Tensor] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> int:
    """Count errors on the examples `indices` when each example meets its own fresh draw of N(mean, diag(scale^2)).

    The errors of one epoch are independent Bernoulli variables, one per example, whose probabilities average to the
    Gibbs risk on these examples: the number of draws is the number of examples.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode.
    mean, scale : mapping of str to Tensor
        The Gaussian, on `device` and in `dtype`.
    data : Data
        Where the examples are.
    indices : ndarray of int64
        Which examples.
    number : int
        Number of the pass: passes 0, 1, 2, ... of one seed and stage are independent.
    seed : int
        Seed of all passes.
    stage : str
        What the passes are for: other stages have other streams.
    factor : mapping of str to Tensor, optional
        U, if the covariance is diag(scale^2) + U U^T; the columns along a first axis.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    int
        Number of errors.
    """
    forward = PerExampleForward(model, next(data.batches(indices[:5], 5, device=device, dtype=dtype))[1])
    size = block_size(data, indices)
    batches = enumerate(data.batches(indices, size, device=device, dtype=dtype))
    total, errors = -(-len(indices) // size), 0
    for place, (index, inputs, targets) in track(batches, "drawing weights", total=total, progress=progress):
        noise = normal_noise(stream(seed, f"{stage}, fresh draws", number * total + place, device=device), dtype)
        errors += int((predict(forward(mean, scale, inputs, noise, factor), index) != targets).sum())
    return errors
