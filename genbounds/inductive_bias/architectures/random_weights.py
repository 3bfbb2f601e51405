"""Random weights of finite networks side by side, conditioned on a train loss: two samplers, which have to agree."""

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from genbounds.inductive_bias.architectures.draws import Draws, increasing
from genbounds.inductive_bias.architectures.named import Architecture
from genbounds.inductive_bias.architectures.random_comparison import RandomComparison
from genbounds.inductive_bias.architectures.tasks import results_of
from genbounds.inductive_bias.networks import NetworkPrior
from genbounds.models.data import load_data
from genbounds.models.ensembles import DTYPES, initial_network, one_thread
from genbounds.models.factory import build_model, code_sha256, load_factory
from genbounds.numerics.checks import positive
from genbounds.rare_events.agreement import ConditionalAgreement
from genbounds.rare_events.sampling import sampled_tail
from genbounds.sweeps import Store, Task

__all__ = ["compare_random", "random_information"]


def compare_random(
    data: Any,
    networks: Mapping[str, Architecture],
    *,
    train: int,
    test: int,
    fit: float,
    levels: ArrayLike,
    draws: int = 1,
    annealing: Mapping[str, Any] | None = None,
    subset: Mapping[str, Any] | None = None,
    seed: int = 0,
    level: float = 0.95,
    device: str = "cpu",
    dtype: str = "float32",
    store: Store | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> RandomComparison:
    """Compare networks with random weights: what fitting the data takes, what generalising takes beyond, and both.

    Weights have the prior of `NetworkPrior`, of variance 1 / fan-in. Targets are one-hot classes less 1 / k, and the
    loss is the mean square over examples and outputs, as in `compare_kernels`.

    Parameters
    ----------
    data : object
        What `genbounds.models.load_data` takes; targets are classes.
    networks : mapping of str to Architecture
        Networks, by name; one output for each class. Some hundred weights are within reach.
    train, test : int
        Examples of each draw.
    fit : float
        The train loss that counts as fitting, as a share of the loss of the constant 1 / k, (1 / k) (1 - 1 / k).
    levels : array_like, shape (k,)
        Levels of the test loss, strictly increasing, as shares of the same.
    draws : int
        How often training and test examples are drawn, disjoint within a draw.
    annealing, subset : mapping, optional
        Settings of the samplers, as `genbounds.rare_events.sampled_tail` takes them; JSON values.
    seed : int
        Seed of the draws, and by them of the samplers.
    level : float
        Confidence of intervals, in (0, 1).
    device : str
        Where networks are evaluated.
    dtype : {"float32", "float64"}
        Type of their numbers; losses are averaged in float64.
    store : Store, optional
        Where results are kept, so that an interrupted comparison goes on.
    executor : concurrent.futures.Executor, optional
        Where tasks run, one for each network and draw; by default in this process.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    RandomComparison
        Look at its `flag` before quoting a value.

    Raises
    ------
    ValueError
        If there are too few examples or classes, levels do not increase, or a task fails.
    """
    shares, tried = increasing(levels), Draws(load_data(data), train, test, draws, seed)
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be float32 or float64, got {dtype!r}. Name one of them.")
    constant = (1 - 1 / tried.classes) / tried.classes
    shared = {
        "train": train,
        "classes": tried.classes,
        "fit": constant * float(positive("fit", fit)),
        "levels": (constant * shares).tolist(),
        "annealing": dict(annealing or {}),
        "subset": dict(subset or {}),
        "confidence": level,
        "device": device,
        "dtype": dtype,
    }
    tasks: dict[str, list[Task]] = {name: [] for name in networks}
    for inputs, targets in tried:
        arrays = {"inputs": inputs.numpy(), "targets": targets.numpy()}
        for name, network in networks.items():
            settings = {"network": network.factory, "arguments": dict(network.arguments), **shared}
            settings |= {"code": code_sha256(load_factory(network.factory))}
            tasks[name].append(
                Task("genbounds.inductive_bias.architectures.random_weights:random_information", settings, arrays)
            )
    results = results_of(tasks, "Sampling weights", store=store, executor=executor, progress=progress)
    return RandomComparison(
        task=str(tried),
        loss="mean square error of one-hot targets",
        spaces={
            name: f"{network}, random weights of variance 1 / fan-in given a train loss of at most {shared['fit']:.4g}"
            for name, network in networks.items()
        },
        agreements={
            name: tuple(ConditionalAgreement.from_json(each["agreement"]) for each in own)
            for name, own in results.items()
        },
        level=level,
    )


def random_information(
    *,
    network: str,
    arguments: Mapping[str, Any],
    inputs: NDArray[Any],
    targets: NDArray[np.int64],
    train: int,
    classes: int,
    fit: float,
    levels: list[float],
    annealing: Mapping[str, Any],
    subset: Mapping[str, Any],
    confidence: float,
    device: str,
    dtype: str,
    seed: int,
    code: str | None,  # noqa: ARG001  part of the task's identity
) -> dict[str, Any]:
    """Return what two samplers say of a network's random weights; the function of a task.

    Parameters
    ----------
    network : str
        ``package.module:callable`` that builds the network.
    arguments : mapping of str to object
        Its keyword arguments.
    inputs : ndarray, shape (n, ...)
        Inputs, training examples first.
    targets : ndarray of int, shape (n,)
        Their classes.
    train : int
        Training examples.
    classes : int
        Number of classes.
    fit : float
        Level of the mean square loss on them.
    levels : list of float
        Levels of the mean square loss on the other examples.
    annealing, subset : mapping
        Settings of the samplers.
    confidence : float
        Of the intervals, in (0, 1).
    device, dtype : str
        Where networks are evaluated, and in which type.
    seed : int
        Of both samplers.
    code : str or None
        Fingerprint of the network's code: part of the task's identity.

    Returns
    -------
    dict
        ``agreement``: what `ConditionalAgreement.to_json` gives.

    Raises
    ------
    ValueError
        If the network has another number of outputs than there are classes, or a setting is out of range.
    """
    factory = load_factory(network)
    model = initial_network(lambda: build_model(factory, arguments), seed, DTYPES[dtype]).eval()
    prior = NetworkPrior(model, device=device, dtype=DTYPES[dtype])
    examples = torch.from_numpy(inputs), torch.from_numpy(targets)

    def squares(outputs: Tensor, wanted: Tensor) -> Tensor:
        if outputs.shape != (len(wanted), classes):
            raise ValueError(
                f"model must give one output for each of {classes} classes, got shape {tuple(outputs.shape)} for "
                f"{len(wanted)} examples. Change its last layer."
            )
        return (outputs - F.one_hot(wanted, classes) + 1 / classes).square().mean(1)

    with one_thread():
        given, asked = (
            prior.loss(squares, tuple(part[rows] for part in examples))
            for rows in (slice(None, train), slice(train, None))
        )
        both = sampled_tail(
            asked,
            prior.dimension,
            levels,
            condition=(given, fit),
            annealing=annealing,
            subset=subset,
            confidence=confidence,
            seed=seed,
            device=device,
        )
    return {"agreement": both.to_json()}
