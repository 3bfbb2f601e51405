"""What a task of a supersample experiment does: a training for each mask, all at once or one after the other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genbounds.models.ensembles import DTYPES, EnsembleTraining, one_thread, seeded, train_ensemble
from genbounds.models.factory import build_model, call_factory, load_factory
from genbounds.models.randomness import stream

__all__ = ["train_by_function", "train_together"]


def train_together(
    *,
    inputs: NDArray[Any],
    targets: NDArray[np.int64],
    masks: NDArray[np.int8],
    first: Sequence[int],
    network: str,
    arguments: Mapping[str, Any],
    classes: int,
    training: Mapping[str, Any],
    device: str,
    dtype: str,
    **_: Any,
) -> dict[str, Any]:
    """Train a network for each mask, all at once; the function of a task.

    Parameters
    ----------
    inputs : ndarray, shape (n, 2, ...)
        Supersample.
    targets : ndarray of int64, shape (n, 2)
        Its classes.
    masks : ndarray of int8, shape (K, n)
        Which example of each pair each network is trained on.
    first : sequence of int
        Seed of the experiment, number of the supersample and of the first mask: what the seeds of trainings are made
        of, so that a training does not depend on which others are in its task.
    network : str
        What builds the network.
    arguments : mapping
        Its keyword arguments.
    classes : int
        Number of classes.
    training : mapping
        Fields of `EnsembleTraining`.
    device, dtype : str
        Where, and in which type.
    **_ : object
        The task's own seed, which is not used.

    Returns
    -------
    dict
        ``predictions``, ndarray of int32 of shape (K, n, 2), and torch's version.
    """
    factory = load_factory(network)
    pool, labels = _pool(inputs, targets, device, dtype)
    seeds = _seeds(first, len(masks))
    members = _members(masks).to(device)
    with one_thread():
        predict = train_ensemble(
            lambda: build_model(factory, arguments),
            pool,
            labels,
            members,
            seeds,
            EnsembleTraining(**training),
            classes,
        )
        return _result(_largest(predict(pool)), masks)


def train_by_function(
    *,
    inputs: NDArray[Any],
    targets: NDArray[np.int64],
    masks: NDArray[np.int8],
    first: Sequence[int],
    function: str,
    arguments: Mapping[str, Any],
    classes: int,
    device: str,
    dtype: str,
    **_: Any,
) -> dict[str, Any]:
    """Train a model for each mask by the user's function, one after the other; the function of a task.

    Parameters
    ----------
    inputs : ndarray, shape (n, 2, ...)
        Supersample.
    targets : ndarray of int64, shape (n, 2)
        Its classes.
    masks : ndarray of int8, shape (K, n)
        Which example of each pair each model is trained on.
    first : sequence of int
        Seed of the experiment, number of the supersample and of the first mask: what the seeds of trainings are made
        of, so that a training does not depend on which others are in its task.
    function : str
        What trains a model.
    arguments : mapping
        Its further keyword arguments.
    classes : int
        Number of classes.
    device, dtype : str
        Where, and in which type.
    **_ : object
        The task's own seed, which is not used.

    Returns
    -------
    dict
        ``predictions``, ndarray of int32 of shape (K, n, 2), and torch's version.
    """
    train = load_factory(function)
    pool, labels = _pool(inputs, targets, device, dtype)
    found = []
    with one_thread():
        for own, members in zip(_seeds(first, len(masks)), _members(masks).to(device), strict=True):
            given = {"inputs": pool[members], "targets": labels[members], "seed": own, **arguments}
            with seeded(own):
                model = call_factory(train, {**given, "device": device, "dtype": DTYPES[dtype]}, function)
                found.append(_predicted(model, pool, classes, function))
    return _result(torch.stack(found), masks)


def _predicted(model: Any, pool: Tensor, classes: int, function: str) -> Tensor:
    if not callable(model):
        raise ValueError(
            f"function must return a callable from inputs to classes or scores, got a {type(model).__name__} from "
            f"{function}. Return the model, or its method that predicts."
        )
    if isinstance(model, nn.Module):
        model.eval()
    with torch.no_grad():
        output = torch.as_tensor(model(pool)).cpu()
    if output.is_floating_point() and output.shape == (len(pool), classes):
        return _largest(output)
    whole = not (output.is_floating_point() or output.is_complex() or output.dtype == torch.bool)
    if not whole or output.shape != (len(pool),) or bool(((output < 0) | (output >= classes)).any()):
        raise ValueError(
            f"function must return a callable to class indices (m,) below {classes} or scores (m, {classes}), got "
            f"{output.dtype} of shape {tuple(output.shape)} for {len(pool)} inputs from {function}. Return either."
        )
    return output.to(torch.int64)


def _seeds(first: Sequence[int], trainings: int) -> list[int]:
    seed, supersample, start = first
    return [stream(seed, f"training {supersample}", start + row).initial_seed() for row in range(trainings)]


def _largest(scores: Tensor) -> Tensor:
    """Return the classes of the largest scores; argmax would take NaN for the largest."""
    if scores.isnan().any():
        raise ValueError(
            "training must end in scores that are numbers, got NaN. It diverged: take a smaller learning rate."
        )
    return scores.argmax(-1)


def _pool(inputs: NDArray[Any], targets: NDArray[np.int64], device: str, dtype: str) -> tuple[Tensor, Tensor]:
    """Return all examples of a supersample in a row: example (i, column) has the index 2 i + column."""
    pool = torch.from_numpy(inputs.copy()).flatten(0, 1)
    pool = pool.to(device, DTYPES[dtype]) if pool.is_floating_point() else pool.to(device)
    return pool, torch.from_numpy(targets.copy()).flatten().to(device)


def _members(masks: NDArray[np.int8]) -> Tensor:
    return torch.from_numpy(2 * np.arange(masks.shape[1]) + masks.astype(np.int64))


def _result(predictions: Tensor, masks: NDArray[np.int8]) -> dict[str, Any]:
    return {
        "predictions": predictions.cpu().numpy().astype(np.int32).reshape(*masks.shape, 2),
        "torch": torch.__version__,
    }
