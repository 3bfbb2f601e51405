"""The experiment behind a ranking: small networks over a grid of hyper-parameters, trained and measured as tasks."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from genbounds.measures.measurement import measure_network
from genbounds.models.data import load_data
from genbounds.models.ensembles import Ensemble, initial_network, one_thread
from genbounds.models.networks import mlp
from genbounds.models.randomness import stream
from genbounds.sweeps import Store, Task, run

__all__ = ["average_repetitions", "grid_tasks", "run_grid", "train_and_measure"]

#: Mean cross-entropy at which a training stops: networks are compared at the same training loss.
_GOAL = 0.05
#: Axes whose networks are trained at once: their architecture, batches and number of examples are the same.
_TOGETHER = ("rate", "repetition")


def train_and_measure(
    *,
    width: int,
    depth: int,
    batch_size: int,
    examples: int,
    label_noise: float,
    rates: Sequence[float],
    repetitions: Sequence[int],
    epochs: int,
    sharpness: bool,
    inputs: NDArray[np.float32],
    targets: NDArray[np.int64],
    test_inputs: NDArray[np.float32],
    test_targets: NDArray[np.int64],
    seed: int,
) -> dict[str, Any]:
    """Train ReLU networks by SGD with momentum 0.9 until their training loss is small, and measure them: a task.

    All combinations of rates and repetitions are trained at once, with stacked weights; up to rounding as if each were
    alone.

    Parameters
    ----------
    width, depth : int
        Units of each hidden layer, and hidden layers.
    batch_size : int
        Examples in a batch.
    examples : int
        Training examples, taken from the pool in an order that depends on the repetition alone.
    label_noise : float
        Share of the training examples, rounded to a whole number of them, that get another class than their own; in
        [0, 1]. Test examples keep theirs.
    rates : sequence of float
        Learning rates.
    repetitions : sequence of int
        Numbers of the repetitions.
    epochs : int
        Most passes.
    sharpness : bool
        Measure sharpness too.
    inputs, test_inputs : ndarray, shape (m, p)
        Pool of training examples, and test examples.
    targets, test_targets : ndarray of int64, shape (m,)
        Their classes.
    seed : int
        Seed of weights and batches: the task's own.

    Returns
    -------
    dict
        ``runs``: for each network ``rate``, ``repetition``, ``fitted`` (whether the loss fell to 0.05) and ``epochs``;
        if it is still finite also ``gap`` (test error minus training error), both errors, ``training_loss``, and what
        `measure_network` measures by name; what was refused is missing.

    Raises
    ------
    ValueError
        If the pool is too small, or a share is outside [0, 1].
    """
    if not 2 <= examples <= len(inputs):
        raise ValueError(f"examples must be from 2 to the {len(inputs)} of the pool, got {examples}. Take fewer.")
    for name, value in (
        ("epochs", epochs),
        ("batch_size", batch_size),
        ("rates", len(rates)),
        ("repetitions", len(repetitions)),
    ):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}. Train something.")
    if len(np.unique(targets)) < 2:
        raise ValueError(f"targets must hold at least two classes, got {np.unique(targets)}. Check the data.")
    if not 0 <= label_noise <= 1:
        raise ValueError(f"label_noise must be in [0, 1], got {label_noise}. It is a share of the training examples.")
    classes = int(targets.max()) + 1
    settings = list(product(rates, repetitions))
    samples = [_sample(inputs, targets, repetition, examples, label_noise, classes) for _, repetition in settings]
    x, y = (torch.stack(parts) for parts in zip(*samples, strict=True))
    seeds = [stream(seed, "network", number).initial_seed() for number in range(len(settings))]

    def build() -> nn.Module:
        return mlp(inputs.shape[1], classes, width, depth)

    with one_thread():
        finished = _train(build, seeds, x, y, torch.tensor([rate for rate, _ in settings]), batch_size, epochs)
        return {
            "runs": [
                {"rate": rate, "repetition": repetition}
                | _measured(build, weights, seeds[number], x[number], y[number], test_inputs, test_targets, sharpness)
                | {"epochs": epoch, "fitted": loss <= _GOAL, "training_loss": loss if np.isfinite(loss) else None}
                for number, ((rate, repetition), (weights, epoch, loss)) in enumerate(
                    zip(settings, finished, strict=True)
                )
            ]
        }


def _sample(
    inputs: NDArray[np.float32], targets: NDArray[np.int64], repetition: int, examples: int, noise: float, classes: int
) -> tuple[Tensor, Tensor]:
    """Choose the training examples of a repetition: the first ones of the same order, whatever their number."""
    chosen = np.random.default_rng(repetition).permutation(len(inputs))[:examples]
    labels = targets[chosen].copy()
    generator = np.random.default_rng((repetition, 1))
    wrong = generator.permutation(examples)[: round(noise * examples)]
    labels[wrong] = (labels[wrong] + generator.integers(1, classes, len(wrong))) % classes
    return torch.from_numpy(inputs[chosen]), torch.from_numpy(labels)


def _train(
    build: Any, seeds: Sequence[int], x: Tensor, y: Tensor, rates: Tensor, batch_size: int, epochs: int
) -> list[tuple[list[Tensor], int, float]]:
    """Return weights, epochs and the last training loss of each network."""
    ensemble = Ensemble(build, seeds, x[0])
    # SGD with rate 1 on gradients times the rate of each network is SGD with that rate, momentum included.
    optimiser = torch.optim.SGD(ensemble.trained, lr=1.0, momentum=0.9)
    orders = [stream(seed, "order") for seed in seeds]
    found: list[tuple[list[Tensor], int, float]] = [([], 0, float("nan"))] * len(seeds)
    running = torch.arange(len(seeds))
    for epoch in range(1, epochs + 1):
        order = torch.stack([torch.randperm(x.shape[1], generator=orders[k]) for k in running.tolist()])
        for batch in order.split(batch_size, dim=1):
            rows = running[:, None]
            optimiser.zero_grad()
            losses = _losses(ensemble(x[rows, batch]), y[rows, batch])
            (losses * rates[running]).sum().backward()
            optimiser.step()
        with torch.no_grad():
            losses = _losses(ensemble(x[running]).double(), y[running])
        done = (losses <= _GOAL) | ~losses.isfinite() | torch.tensor(epoch == epochs)
        for place in done.nonzero().flatten().tolist():
            weights = [weight.detach()[place].clone() for weight in ensemble.trained]
            found[int(running[place])] = (weights, epoch, float(losses[place]))
        if bool(done.all()):
            break
        ensemble.keep(~done, optimiser)
        running = running[~done]
    return found


def _losses(scores: Tensor, targets: Tensor) -> Tensor:
    each = F.cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="none")
    return each.unflatten(0, targets.shape).mean(1)


def _measured(
    build: Any,
    weights: Sequence[Tensor],
    seed: int,
    x: Tensor,
    y: Tensor,
    test_inputs: NDArray[np.float32],
    test_targets: NDArray[np.int64],
    sharpness: bool,
) -> dict[str, float]:
    """Return errors and measures of one network; nothing of one whose weights are not finite."""
    if not all(bool(weight.isfinite().all()) for weight in weights):
        return {}
    before = initial_network(build, seed)
    model = initial_network(build, seed).eval()
    with torch.no_grad():
        for value, weight in zip(model.parameters(), weights, strict=True):
            value.copy_(weight)
        wrong = model(torch.from_numpy(test_inputs)).argmax(1) != torch.from_numpy(test_targets)
    found = measure_network(model, initial=before, data=load_data((x, y)), sharpness=sharpness, seed=seed)
    values = {each.name: each.value for each in found}
    test_error = float(wrong.double().mean())
    return values | {"test_error": test_error, "gap": test_error - values["training_error"]}


def grid_tasks(
    axes: Mapping[str, Sequence[Any]], arrays: Mapping[str, NDArray[Any]], *, epochs: int = 60, sharpness: bool = False
) -> Iterator[Task]:
    """Yield a task for every combination of hyper-parameters but rates and repetitions, which are trained at once.

    Parameters
    ----------
    axes : mapping of str to sequence
        Values of width, depth, rate, batch_size, examples, label_noise and repetition.
    arrays : mapping of str to ndarray
        inputs, targets, test_inputs and test_targets of `train_and_measure`.
    epochs : int
        Most passes of each training.
    sharpness : bool
        Measure sharpness too.

    Yields
    ------
    Task
        Whose identity is all that its result depends on.
    """
    together = {f"{name}s": list(axes[name]) for name in _TOGETHER}
    alone = {name: values for name, values in axes.items() if name not in _TOGETHER}
    for values in product(*alone.values()):
        settings = dict(zip(alone, values, strict=True)) | together | {"epochs": epochs, "sharpness": sharpness}
        yield Task("genbounds.measures.experiments:train_and_measure", settings, arrays)


def run_grid(
    axes: Mapping[str, Sequence[Any]],
    arrays: Mapping[str, NDArray[Any]],
    *,
    epochs: int = 60,
    sharpness: bool = False,
    store: Store | None = None,
    executor: Executor | None = None,
) -> tuple[dict[str, list[Any]], int]:
    """Train and measure every network of a grid; a killed run, started again with its store, computes what is missing.

    Parameters
    ----------
    axes, arrays, epochs, sharpness : mapping, mapping, int, bool
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
    tasks = list(grid_tasks(axes, arrays, epochs=epochs, sharpness=sharpness))
    results = {outcome.task.id: outcome.result for outcome in run(tasks, store=store, executor=executor)}
    alone = [name for name in axes if name not in _TOGETHER]
    rows = [{name: task.arguments[name] for name in alone} | row for task in tasks for row in results[task.id]["runs"]]
    fitted = [row for row in rows if row["fitted"]]
    names = [*axes, *sorted({name for row in fitted for name in row} - set(axes))]
    return {name: [row.get(name) for row in fitted] for name in names}, len(rows) - len(fitted)


def average_repetitions(
    table: Mapping[str, Sequence[Any]], axes: Sequence[str], repetitions: int
) -> dict[str, list[Any]]:
    """Average the runs of each configuration; one of which a repetition is missing is left out.

    Parameters
    ----------
    table : mapping of str to sequence
        Columns, such as `run_grid` returns.
    axes : sequence of str
        Columns that make a configuration.
    repetitions : int
        Runs of a whole configuration.

    Returns
    -------
    dict of str to list
        A row for each whole configuration: its axes, and means of the columns of numbers that miss none. Averages over
        the repetitions that happened to fit would be another population.

    Examples
    --------
    >>> table = {"width": [1, 1, 2], "repetition": [0, 1, 0], "gap": [0.1, 0.3, 0.5]}
    >>> average_repetitions(table, ["width"], 2)
    {'width': [1], 'repetition': [0.5], 'gap': [0.2]}
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    for row, key in enumerate(zip(*(table[axis] for axis in axes), strict=True)):
        groups.setdefault(key, []).append(row)
    whole = {key: rows for key, rows in groups.items() if len(rows) == repetitions}
    numbers = [name for name, values in table.items() if name not in axes and None not in values]
    columns: dict[str, list[Any]] = {axis: [key[place] for key in whole] for place, axis in enumerate(axes)}
    return columns | {
        name: [float(np.mean([table[name][row] for row in rows])) for rows in whole.values()] for name in numbers
    }
