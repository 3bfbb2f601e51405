"""The experiment behind a ranking: small networks over a grid of hyper-parameters, trained and measured as tasks."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from genbounds.measures.margins import margins_of
from genbounds.measures.norms import norm_measures
from genbounds.measures.weights import weight_layers
from genbounds.models.ensembles import initial_network, one_thread
from genbounds.models.networks import mlp
from genbounds.models.randomness import stream
from genbounds.sweeps import Store, Task, run

__all__ = ["grid_tasks", "run_grid", "train_and_measure"]

#: Mean cross-entropy at which a training stops: networks are compared at the same training loss.
_GOAL = 0.05


def train_and_measure(
    *,
    width: int,
    depth: int,
    rate: float,
    batch_size: int,
    examples: int,
    repetition: int,
    epochs: int,
    inputs: NDArray[np.float32],
    targets: NDArray[np.int64],
    test_inputs: NDArray[np.float32],
    test_targets: NDArray[np.int64],
    seed: int,
) -> dict[str, Any]:
    """Train one ReLU network by SGD with momentum 0.9 until its training loss is small, and measure it: a task.

    Parameters
    ----------
    width, depth : int
        Units of each hidden layer, and hidden layers.
    rate : float
        Learning rate.
    batch_size : int
        Examples in a batch.
    examples : int
        Training examples, taken from the pool in an order that depends on the repetition alone.
    repetition : int
        Number of this repetition.
    epochs : int
        Most passes.
    inputs, test_inputs : ndarray, shape (m, p)
        Pool of training examples, and test examples.
    targets, test_targets : ndarray of int64, shape (m,)
        Their classes.
    seed : int
        Seed of weights and batches: the task's own.

    Returns
    -------
    dict
        ``gap`` (test error minus training error), both errors, ``training_loss``, ``epochs``, ``fitted`` (whether the
        loss fell to 0.05), and the measures of `norm_measures` by name; one that was refused is missing.

    Raises
    ------
    ValueError
        If the pool is too small.
    """
    if not 2 <= examples <= len(inputs):
        raise ValueError(f"examples must be from 2 to the {len(inputs)} of the pool, got {examples}. Take fewer.")
    chosen = np.random.default_rng(repetition).permutation(len(inputs))[:examples]
    x, y = torch.from_numpy(inputs[chosen]), torch.from_numpy(targets[chosen])
    classes = int(targets.max()) + 1
    with one_thread():
        model = initial_network(lambda: mlp(inputs.shape[1], classes, width, depth), seed)
        before = list(weight_layers(model))
        optimiser = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
        order = stream(seed, "order")
        loss, epoch = float("inf"), 0
        while epoch < epochs and loss > _GOAL:
            for batch in torch.randperm(examples, generator=order).split(batch_size):
                optimiser.zero_grad()
                F.cross_entropy(model(x[batch]), y[batch]).backward()
                optimiser.step()
            epoch += 1
            with torch.no_grad():
                loss = float(F.cross_entropy(model(x).double(), y))
        if not np.isfinite(loss):
            return {"fitted": False, "epochs": epoch}
        with torch.no_grad():
            scores = model(x).double()
            margins = margins_of(scores, y)
            training_error = float((scores.argmax(1) != y).double().mean())
            wrong = model(torch.from_numpy(test_inputs)).argmax(1) != torch.from_numpy(test_targets)
            test_error = float(wrong.double().mean())
        found = norm_measures(weight_layers(model), before, margin=float(np.quantile(margins.numpy(), 0.1)))
    return {
        "gap": test_error - training_error,
        "training_error": training_error,
        "test_error": test_error,
        "training_loss": loss,
        "epochs": epoch,
        "fitted": loss <= _GOAL,
        **{each.name: each.value for each in found},
    }


def grid_tasks(
    axes: Mapping[str, Sequence[Any]], arrays: Mapping[str, NDArray[Any]], *, epochs: int = 60
) -> Iterator[Task]:
    """Yield a task for every combination of hyper-parameters.

    Parameters
    ----------
    axes : mapping of str to sequence
        Values of width, depth, rate, batch_size, examples and repetition.
    arrays : mapping of str to ndarray
        inputs, targets, test_inputs and test_targets of `train_and_measure`.
    epochs : int
        Most passes of each training.

    Yields
    ------
    Task
        Whose identity is all that its result depends on.
    """
    for values in product(*axes.values()):
        settings = dict(zip(axes, values, strict=True))
        yield Task("genbounds.measures.experiments:train_and_measure", settings | {"epochs": epochs}, arrays)


def run_grid(
    axes: Mapping[str, Sequence[Any]],
    arrays: Mapping[str, NDArray[Any]],
    *,
    epochs: int = 60,
    store: Store | None = None,
    executor: Executor | None = None,
) -> tuple[dict[str, list[Any]], int]:
    """Train and measure every network of a grid; a killed run, started again with its store, computes what is missing.

    Parameters
    ----------
    axes, arrays, epochs : mapping, mapping, int
        As `grid_tasks` takes them.
    store : Store, optional
        Where results are kept.
    executor : concurrent.futures.Executor, optional
        Where trainings run; results do not depend on it.

    Returns
    -------
    table : dict of str to list
        A row for each network that fitted its training data, in the order of the grid: hyper-parameters and results.
        Measures that were refused for some network are None there.
    missed : int
        Networks that did not fit and are no row: a ranking speaks of the others only.
    """
    tasks = list(grid_tasks(axes, arrays, epochs=epochs))
    results = {outcome.task.id: outcome.result for outcome in run(tasks, store=store, executor=executor)}
    rows = [{name: task.arguments[name] for name in axes} | results[task.id] for task in tasks]
    fitted = [row for row in rows if row["fitted"]]
    names = dict.fromkeys(name for row in fitted for name in row)
    return {name: [row.get(name) for row in fitted] for name in names}, len(rows) - len(fitted)
