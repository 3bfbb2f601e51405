"""The space of networks that training finds: from random weights until they fit, many at a time, on any executor."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genbounds.inductive_bias.samples.trained_records import TrainedNetworks
from genbounds.models.blocks import Blocks
from genbounds.models.ensembles import DTYPES, EnsembleTraining
from genbounds.models.factory import code_sha256, load_factory
from genbounds.models.progress import track
from genbounds.numerics.checks import count, finite
from genbounds.sweeps import Store, Task, run
from genbounds.version import __version__

__all__ = ["trained_networks"]


def trained_networks(
    train: Any,
    test: Any,
    *,
    network: str,
    arguments: Mapping[str, Any] | None = None,
    networks: int = 200,
    condition: Literal["loss", "error"] = "error",
    level: float = 0.0,
    loss: str = "torch.nn.functional:cross_entropy",
    training: EnsembleTraining | None = None,
    together: int = 50,
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
    store: Store | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> TrainedNetworks:
    """Train networks from random weights until they fit, and record their losses on test examples.

    The law: draw initial weights as the factory does, train in random order, and stop at the end of the first epoch
    with train loss (or error) at most `level`; before the first if the initial weights fit. Networks that do not get
    there within the epochs of `training` are no part of the law that `TrainedNetworks.information` is about, and are
    recorded all the same.

    The work is cut into tasks of `together` networks, whose results are kept in the store. Run again, it computes what
    is missing: after an interruption, or for more networks. What comes out depends neither on the executor nor on what
    the store had, nor, but for rounding, on how many are trained together: each network has its own seed.

    Parameters
    ----------
    train, test : object
        What `genbounds.models.blocks.Blocks` takes, with one tensor of inputs: a pair of tensors, a dataset. Targets
        are classes, or values of the shape of the outputs. Both are held in memory.
    network : str
        What builds a network with random weights, as ``package.module:callable``. It treats each example by itself.
    arguments : mapping of str to object, optional
        Its keyword arguments, JSON values.
    networks : int
        How many, >= 1.
    condition : {"error", "loss"}
        What must come down on the training examples.
    level : float
        To this.
    loss : str
        What is minimised and recorded: ``package.module:callable``, called with outputs and targets of a batch, that
        returns the average over its examples, or one value for each.
    training : EnsembleTraining, optional
        Optimiser, batches, and the largest number of epochs.
    together : int
        Networks in a task, trained at once.
    seed : int
        Seed of everything, >= 0.
    device : str
        Where networks are trained, such as ``cpu`` or ``cuda``.
    dtype : {"float32", "float64"}
        Type of their numbers; losses are averaged in float64.
    store : Store, optional
        Where the results of tasks are kept.
    executor : concurrent.futures.Executor, optional
        Where tasks run; by default in this process.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    TrainedNetworks
        Losses, errors, seeds and which networks fit.

    Raises
    ------
    ValueError
        If a number is out of range, network or loss cannot be found, or a task fails.
    """
    number, size = int(count("networks", networks)), int(count("together", together))
    count("seed", seed, minimum=0)
    if condition not in {"loss", "error"}:
        raise ValueError(f"condition must be 'loss' or 'error', got {condition!r}. Name one of them.")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be float32 or float64, got {dtype!r}. Name one of them.")
    how = training or EnsembleTraining()
    (train_inputs, train_targets), (test_inputs, test_targets) = _columns("train", train), _columns("test", test)
    if condition == "error" and train_targets.dtype.kind == "f":
        raise ValueError("condition must be 'loss' where targets are no classes, got 'error'. Pass condition='loss'.")
    settings: dict[str, Any] = {
        "network": network,
        "arguments": dict(arguments or {}),
        "loss": loss,
        "condition": condition,
        "level": float(finite("level", level)),
        "training": asdict(how),
        "device": device,
        "dtype": dtype,
        "code": [code_sha256(load_factory(network)), code_sha256(load_factory(loss))],
    }
    arrays = {
        "train_inputs": train_inputs,
        "train_targets": train_targets,
        "test_inputs": test_inputs,
        "test_targets": test_targets,
    }
    tasks = [
        Task(
            "genbounds.inductive_bias.samples.training:train_until",
            {**settings, "first": [seed, start], "networks": min(size, number - start)},
            arrays,
        )
        for start in range(0, number, size)
    ]
    outcomes = track(
        run(tasks, store=store, executor=executor), "Training networks", total=len(tasks), progress=progress
    )
    results = {outcome.task.id: outcome.result for outcome in outcomes}
    parts = [results[task.id] for task in tasks]
    names = ("train_loss", "train_error", "test_loss", "test_error", "fits", "epochs", "seeds")
    return TrainedNetworks(
        **{name: np.concatenate([part[name] for part in parts]) for name in names},
        condition=condition,
        level=settings["level"],
        law=_law(settings, how),
        provenance={
            "genbounds": __version__,
            "torch": sorted({part["torch"] for part in parts}),
            "train": len(train_inputs),
            "test": len(test_inputs),
            "seed": seed,
            **settings,
            "tasks": [task.id for task in tasks],
        },
    )


def _law(settings: Mapping[str, Any], how: EnsembleTraining) -> str:
    own = ", ".join(f"{name}={value!r}" for name, value in settings["arguments"].items())
    return (
        f"networks {settings['network']}({own}) with random weights, trained by {how.optimiser} on {settings['loss']} "
        f"with learning rate {how.learning_rate:g} and batches of {how.batch_size} until the end of the first epoch "
        f"with train {settings['condition']} at most {settings['level']:g}; those that get there in {how.epochs} epochs"
    )


def _columns(name: str, data: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read a data set as arrays, which a task can carry."""
    block = Blocks(data, 2**40).read(0)
    if not isinstance(block.inputs, Tensor):
        raise ValueError(f"{name} must have one tensor of inputs, got a mapping. Stack its tensors into one.")
    inputs, targets = (part.detach().cpu() for part in (block.inputs, block.targets))
    if inputs.dtype in {torch.bfloat16, torch.float16}:
        inputs = inputs.float()  # NumPy has no bfloat16
    return inputs.numpy(), targets.numpy()
