"""Infinitely wide networks side by side: Gaussian processes that meet the training targets, and their exact tails."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.inductive_bias.architectures.comparison import Comparison
from genbounds.inductive_bias.architectures.draws import Draws, increasing
from genbounds.inductive_bias.architectures.named import Architecture
from genbounds.inductive_bias.architectures.tasks import results_of
from genbounds.inductive_bias.gaussian.spaces import kernel_hypotheses
from genbounds.models.data import load_data
from genbounds.models.factory import code_sha256, load_factory
from genbounds.rare_events.curves import TailCurve
from genbounds.sweeps import Store, Task

__all__ = ["compare_kernels", "kernel_information"]


def compare_kernels(
    data: Any,
    kernels: Mapping[str, Architecture],
    *,
    train: int,
    test: int,
    levels: ArrayLike,
    draws: int = 5,
    seed: int = 0,
    level: float = 0.95,
    store: Store | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> Comparison:
    """Compare infinitely wide networks, exactly: -ln P(test loss <= level | all training targets are met).

    Targets are one-hot classes less 1 / k, and the loss is the mean square over examples and outputs, as published
    [Boopathy2024]_. The scale of each process, on which its confidence hangs, is what makes the training targets most
    likely (`kernel_information`), so that architectures are compared by their shape alone.

    Parameters
    ----------
    data : object
        What `genbounds.models.load_data` takes; targets are classes.
    kernels : mapping of str to Architecture
        From inputs to covariances, by name.
    train, test : int
        Examples of each draw.
    levels : array_like, shape (k,)
        Levels of the loss, strictly increasing, as shares of the loss of the constant 1 / k, (1 / k) (1 - 1 / k).
    draws : int
        How often training and test examples are drawn, disjoint within a draw.
    seed : int
        Seed of the draws.
    level : float
        Confidence of intervals over draws, in (0, 1).
    store : Store, optional
        Where results are kept, so that an interrupted comparison goes on.
    executor : concurrent.futures.Executor, optional
        Where tasks run; by default in this process.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    Comparison
        A curve for each kernel and draw.

    Raises
    ------
    ValueError
        If there are too few examples or classes, levels do not increase, or a task fails, such as one with repeated
        training inputs.
    """
    shares, tried = increasing(levels), Draws(load_data(data), train, test, draws, seed)
    classes = tried.classes
    tasks: dict[str, list[Task]] = {name: [] for name in kernels}
    for inputs, targets in tried:
        arrays = {"inputs": inputs.double().numpy(), "targets": np.eye(classes)[targets.numpy()] - 1 / classes}
        for name, kernel in kernels.items():
            settings = {"kernel": kernel.factory, "arguments": dict(kernel.arguments), "train": train}
            settings |= {"levels": (shares * (1 - 1 / classes) / classes).tolist()}
            settings |= {"code": code_sha256(load_factory(kernel.factory))}
            tasks[name].append(
                Task("genbounds.inductive_bias.architectures.kernels:kernel_information", settings, arrays)
            )
    results = results_of(tasks, "Conditioning processes", store=store, executor=executor, progress=progress)
    curves = {name: tuple(TailCurve.from_json(each["curve"]) for each in own) for name, own in results.items()}
    return Comparison(
        task=str(tried),
        loss="mean square error of one-hot targets",
        spaces={
            name: f"Gaussian process of {kernel}, scaled by evidence, given the training targets exactly"
            for name, kernel in kernels.items()
        },
        curves=curves,
        level=level,
    )


def kernel_information(
    kernel: str,
    arguments: Mapping[str, Any],
    inputs: NDArray[np.float64],
    targets: NDArray[np.float64],
    train: int,
    levels: Sequence[float],
    code: str = "",  # noqa: ARG001  part of the task's identity
    seed: int = 0,  # noqa: ARG001  nothing is drawn
) -> dict[str, Any]:
    """Return the exact curve of a Gaussian process that meets the first targets, at its most likely scale.

    The scale s of s^2 K under which the training targets T (n, k) are most likely is s^2 = tr(T' K^-1 T) / (n k); it
    does not move the mean, only how far the process spreads around it.

    Parameters
    ----------
    kernel : str
        ``package.module:callable`` from inputs (n, ...) to covariances (n, n).
    arguments : mapping of str to object
        Its keyword arguments.
    inputs : ndarray, shape (n, ...)
        Inputs, training examples first.
    targets : ndarray, shape (n, k)
        Their targets, less the mean of the process.
    train : int
        Training examples.
    levels : sequence of float
        Levels of the mean square loss on the other examples.
    code : str
        Fingerprint of the kernel's code: part of the task's identity.
    seed : int
        Not used: nothing is drawn.

    Returns
    -------
    dict
        ``curve``: what `TailCurve.to_json` gives; ``scale``: s.

    Raises
    ------
    ValueError
        If the kernel of the training examples is singular.
    """
    covariance = load_factory(kernel)(inputs, **arguments)
    values, vectors = np.linalg.eigh(covariance[:train, :train])
    if values[0] <= train * np.finfo(np.float64).eps * values[-1]:
        raise ValueError(
            f"the kernel of the training examples must be regular, got eigenvalues from {values[0]} to {values[-1]}. "
            "Leave out repeated inputs, or take fewer training examples than the kernel has features."
        )
    square = float(np.mean(np.square(vectors.T @ targets[:train]).mean(axis=1) / values))
    space = kernel_hypotheses(square * covariance, targets, given=np.arange(train))
    return {"curve": space.information(levels).to_json(), "scale": float(np.sqrt(square))}
