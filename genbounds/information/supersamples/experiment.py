"""The experiment behind bounds by conditional mutual information: supersamples, masks, and a training for each mask."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genbounds.information.estimation.limits import Design
from genbounds.information.supersamples.masks import draw_masks, generator
from genbounds.information.supersamples.records import Supersamples
from genbounds.models.data import load_data
from genbounds.models.ensembles import DTYPES, EnsembleTraining
from genbounds.models.examples import Data
from genbounds.models.factory import code_sha256, load_factory
from genbounds.models.progress import track
from genbounds.sweeps import Store, Task, run
from genbounds.version import __version__

__all__ = ["MLP", "draw_supersamples", "supersample_experiment"]

#: The network that is trained if none is named; it fits inputs of any shape.
MLP = "genbounds.models.networks:mlp"


def draw_supersamples(
    data: Data,
    n: int,
    *,
    count: int = 5,
    classes: Sequence[int] | None = None,
    label_noise: float = 0.0,
    seed: int = 0,
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Draw supersamples: for each 2n distinct examples at random, in n pairs.

    Parameters
    ----------
    data : Data
        Where from.
    n : int
        Pairs, >= 1.
    count : int
        How many supersamples, >= 1; the first of a larger count are those of a smaller one.
    classes : sequence of int, optional
        Classes to keep; they become 0, 1, ... in this order. By default all.
    label_noise : float
        Probability, in [0, 1), with which a label is replaced by another class: a property of the data.
    seed : int
        Seed of the experiment.

    Returns
    -------
    inputs : ndarray, shape (count, n, 2, ...)
        Inputs as the model takes them.
    targets : ndarray of int64, shape (count, n, 2)
        Their classes, from 0.

    Raises
    ------
    ValueError
        If there are too few examples, a class is missing or named twice, or a number is out of range.
    """
    labels = _labels(data)
    present = np.unique(labels).tolist()
    kept = present if classes is None else list(classes)
    if not set(kept) <= set(present) or len(set(kept)) < max(2, len(kept)):
        raise ValueError(f"classes must be two or more of {present}, each once, got {kept}. Name those of {data.name}.")
    if not 0 <= label_noise < 1:
        raise ValueError(f"label_noise must be in [0, 1), got {label_noise}. It is a probability, such as 0.1.")
    eligible = np.flatnonzero(np.isin(labels, kept))
    if n < 1 or 2 * n > len(eligible):
        raise ValueError(
            f"n must be from 1 to {len(eligible) // 2}, as a supersample takes 2n of the {len(eligible):,} examples of "
            f"these classes in {data.name}, got {n}. Take a smaller n or more data."
        )
    if count < 1:
        raise ValueError(f"supersamples must be at least 1, got {count}. Take 5.")
    inputs, targets = [], []
    for number in range(count):
        chosen = generator(seed, "supersample", number).permutation(eligible)[: 2 * n]
        clean = np.array([kept.index(label) for label in labels[chosen]])
        noise = generator(seed, "label noise", number)
        others = (clean + noise.integers(1, len(kept), 2 * n)) % len(kept)
        targets.append(np.where(noise.random(2 * n) < label_noise, others, clean).reshape(n, 2))
        images = next(iter(data.batches(chosen, 2 * n)))[1].cpu().numpy()
        inputs.append(images.reshape(n, 2, *images.shape[1:]))
    return np.stack(inputs), np.stack(targets)


def supersample_experiment(
    data: Any,
    n: int,
    *,
    supersamples: int = 5,
    masks: int = 30,
    design: Design = "pairs",
    classes: Sequence[int] | None = None,
    label_noise: float = 0.0,
    network: str | None = None,
    function: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    training: EnsembleTraining | None = None,
    together: int = 30,
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
    store: Store | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> Supersamples:
    """Train on one half of each of several supersamples, once for each of many masks, and record all predictions.

    The work is cut into tasks of `together` trainings, whose results are kept in the store. Run again, it computes what
    is missing: after an interruption, or for more masks or supersamples. What comes out depends neither on the
    executor nor on what the store had, nor, but for rounding, on how many networks are trained together. Each training
    has its own seed, so that its initial weights and the order of its examples belong to the algorithm's randomness.

    Masks and trainings are independent from supersample to supersample. So are the supersamples, as draws from the
    data: what is said of their distribution is said of splitting this data set, not of where it came from.

    Parameters
    ----------
    data : object
        What `genbounds.models.load_data` takes.
    n : int
        Examples that each training sees; a supersample holds 2n.
    supersamples, masks : int
        How many; `masks` is the number of trainings on each supersample.
    design : {"pairs", "independent"}
        How masks are drawn: in pairs U and 1 - U, or each by itself.
    classes : sequence of int, optional
        Classes to keep.
    label_noise : float
        Probability with which a label is replaced by another.
    network : str, optional
        What builds the network, as ``package.module:callable``; the networks of a task are trained at once. By default
        a fully connected one, `genbounds.models.networks.mlp`, that fits the data.
    function : str, optional
        Instead of a network: a function, named in the same way, that trains one model. It is called with inputs
        (n, ...), targets (n,), ``seed`` (below 2^32), ``device``, ``dtype`` and the arguments, and returns a
        callable from inputs (m, ...) to class indices (m,) or to scores (m, classes). torch's global generators are
        seeded for it.
    arguments : mapping, optional
        Keyword arguments, JSON values, of the network's factory or of the function.
    training : EnsembleTraining, optional
        How networks are trained.
    together : int
        Trainings in a task.
    seed : int
        Seed of everything.
    device : str
        Where networks are trained, such as ``cpu`` or ``cuda``.
    dtype : {"float32", "float64"}
        Type of their numbers.
    store : Store, optional
        Where the results of tasks are kept.
    executor : concurrent.futures.Executor, optional
        Where tasks run; by default in this process.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    Supersamples
        Masks, predictions, 0-1 losses, and where they come from.

    Raises
    ------
    ValueError
        If a number is out of range, the data is too small, the network or the function cannot be found, or a task
        fails.
    """
    if together < 1:
        raise ValueError(f"together must be at least 1, got {together}. It is the number of trainings in a task.")
    if seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, got {seed}. Take 0.")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be float32 or float64, got {dtype!r}. Name one of them.")
    if function is not None and (network is not None or training is not None):
        raise ValueError("network and training must be left out with a function, which has its own. Drop them.")
    source = load_data(data)
    kept = np.unique(_labels(source)).tolist() if classes is None else list(classes)
    inputs, targets = draw_supersamples(source, n, count=supersamples, classes=kept, label_noise=label_noise, seed=seed)
    numbers = range(supersamples)
    bits = np.stack([draw_masks(masks, n, seed=seed, supersample=number, design=design) for number in numbers])
    how: dict[str, Any] = {"classes": len(kept), "device": device, "dtype": dtype}
    if function is not None:
        kind, how["function"] = "train_by_function", function
    else:
        kind, how["network"] = "train_together", network or MLP
        how["training"] = asdict(training or EnsembleTraining())
        if network is None and arguments is None:
            arguments = {"inputs": math.prod(inputs.shape[3:]), "classes": len(kept)}
    how["arguments"] = dict(arguments or {})
    how["code"] = code_sha256(load_factory(function or how["network"]))
    tasks = {
        (number, start): Task(
            f"genbounds.information.supersamples.trainings:{kind}",
            {**how, "first": [seed, number, start]},
            {"inputs": inputs[number], "targets": targets[number], "masks": bits[number, start : start + together]},
        )
        for number in numbers
        for start in range(0, masks, together)
    }
    outcomes = run(tasks.values(), store=store, executor=executor)
    shown = track(outcomes, "Training", total=len(tasks), progress=progress)
    results = {outcome.task.id: outcome.result for outcome in shown}
    predictions = np.empty((*bits.shape, 2), np.int32)
    for (number, start), task in tasks.items():
        predictions[number, start : start + together] = results[task.id]["predictions"]
    provenance = {
        "genbounds": __version__,
        "torch": sorted({result["torch"] for result in results.values()}),
        "data": source.name,
        "n": n,
        "supersamples": supersamples,
        "masks": masks,
        "design": design,
        "labels": kept,
        "label noise": label_noise,
        "seed": seed,
        **how,
        "tasks": [
            {"supersample": number, "first mask": start, "id": task.id} for (number, start), task in tasks.items()
        ],
    }
    losses = (predictions != targets[:, None]).astype(np.float64)
    return Supersamples(bits, predictions, losses, provenance)


def _labels(data: Data) -> NDArray[np.int64]:
    if data.targets is not None:
        return data.targets.cpu().numpy()
    return torch.cat([targets for _, _, targets in data.batches(np.arange(len(data)), 512)]).numpy()
