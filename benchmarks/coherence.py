"""Gradient coherence on MNIST: the whole set in one call, labels real and random, and descent along strong directions.

    python benchmarks/coherence.py DATA [FOLDER] [--experiments whole labels descent] [--seeds 10] [--workers 1]

DATA is the folder of MNIST's IDX files. FOLDER receives the store of all trainings, so that an interrupted run goes on
where it stopped, and two figures: ``coherence.png`` and ``robust_descent.png``.

whole    Coherence of a fully connected network (784-300-100-10) over all 60,000 training images in one call, with its
         interval, and the time of the call over that of one plain epoch of backward passes in the same batches.
labels   2,000 images, means over 2 x 2 pixels, 196-128-10, plain SGD (rate 0.1, batches of 50) with labels as they
         are, half of them drawn again at random, all of them: coherence over the 2,000 examples along training.
descent  The same network and images with half of the labels drawn again: SGD, SGD at a quarter of the rate, RM3, M3 and
         winsorised SGD from the same initial weights, with the same order of batches in each pair.
"""

import argparse
import itertools
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student
from torch import Tensor, nn
from torch.nn import functional as F

from genbounds.coherence import (
    Coherence,
    LayerCoherence,
    RollingMedian,
    measure,
    median_gradients,
    winsorised_gradients,
)
from genbounds.models.idx import read_part
from genbounds.models.per_example.engine import PerExampleGradients
from genbounds.models.progress import track
from genbounds.models.randomness import stream
from genbounds.sweeps import Store, Task, open_executor, run

N, WIDTH, BATCH = 2000, 128, 50
EPOCH = N // BATCH
#: Steps after which coherence is taken: three near one another at a time, as one checkpoint alone jumps.
GROUPS = (
    (0,),
    *(
        (step - max(1, step // 20), step, step + max(1, step // 20))
        for step in (2, 5, 10, 20, 40, 80, 160, 280, 400, 560, 800, 1120, 1600, 2240, 3200, 4480, 6400, 8960, 12000)
    ),
)
LABELS = {"real labels": 0.0, "half random": 0.5, "random labels": 1.0}
#: Epochs over all images in `whole`.
WHOLE_EPOCHS = 10
#: Epochs of descent, looked at after each.
EPOCHS = 200
TRAIN = "coherence:train"
#: By name: gradient, percent clipped, learning rate.
METHODS = {
    "SGD": ("mean", 0, 0.1),
    "SGD, rate / 4": ("mean", 0, 0.025),
    "RM3": ("rolling median", 0, 0.1),
    "M3": ("median", 0, 0.1),
    "winsorised, 1 of 50": ("winsorised", 2, 0.1),
    "winsorised, 2 of 50": ("winsorised", 4, 0.1),
    "winsorised, 5 of 50": ("winsorised", 10, 0.1),
}
# Okabe and Ito's palette.
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#595959"
COLOURS = (GREY, "black", VERMILION, BLUE, "#56B4E9", "#009E73", "#E69F00")

Arrays = Mapping[str, NDArray[Any]]


def mnist(folder: Path, part: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return images, averaged over 2 x 2 pixels, with mean about 0 and variance about 1, and labels."""
    images, labels = read_part(folder, part)
    small = images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196)
    return ((small / 255 - 0.1307) / 0.2792).astype(np.float32), labels.astype(np.int64)


def sample(folder: Path, fraction: float, seed: int) -> dict[str, NDArray[Any]]:
    """Draw the training set of one repetition, with a fraction of its labels drawn again from all ten classes."""
    images, labels = mnist(folder, "train")
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(labels))[:N]
    again = generator.permutation(N)[: round(fraction * N)]
    given = labels[rows].copy()
    given[again] = generator.integers(10, size=len(again))
    test_images, test_labels = mnist(folder, "test")
    return {
        "images": images[rows],
        "labels": given,
        "true_labels": labels[rows],
        "test_images": test_images,
        "test_labels": test_labels,
    }


def initial(seed: int, *widths: int) -> nn.Sequential:
    """Return a fully connected network with ReLU and torch's initial weights, drawn from a stream of its own."""
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(stream(seed, "initial weights").get_state())
        for inner, outer in itertools.pairwise(widths):
            layers += [nn.Linear(inner, outer), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def stepper(model: nn.Module, gradient: str, c: float, rate: float) -> Callable[[Tensor, Tensor], None]:
    """Return a function that takes one step of a method."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    if gradient == "rolling median":
        RollingMedian(optimizer)
    engine = PerExampleGradients(model, F.cross_entropy, chunk_size=BATCH)

    def step(x: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        if gradient == "median":
            median_gradients(model, F.cross_entropy, x, y)
        elif gradient == "winsorised":
            winsorised_gradients(engine, x, y, c)
        else:
            F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def train(
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    true_labels: NDArray[np.int64],
    test_images: NDArray[np.float32],
    test_labels: NDArray[np.int64],
    *,
    gradient: str,
    c: float,
    rate: float,
    checkpoints: list[int],
    coherent: bool,
    repetition: int,
    seed: int,
) -> dict[str, Any]:
    """Train one network and return what was seen at the checkpoints, one array for each quantity.

    Initial weights and the order of the batches depend on the repetition alone, not on the task's seed: the methods of
    one repetition are compared in pairs.
    """
    del seed
    torch.set_num_threads(1)
    x, y, test_x = (torch.from_numpy(each) for each in (images, labels, test_images))
    changed = labels != true_labels
    model = initial(repetition, 196, WIDTH, 10)
    step = stepper(model, gradient, c, rate)
    rows: dict[str, list[float]] = {}

    def look(taken: int) -> None:
        with torch.no_grad():
            outputs, test = model(x), model(test_x).argmax(dim=1).numpy()
        right = outputs.argmax(dim=1).numpy() == labels
        seen = {
            "epoch": taken / EPOCH,
            "train loss": float(F.cross_entropy(outputs.double(), y)),
            "train": right.mean(),
            "corrupted": right[changed].mean() if changed.any() else np.nan,
            "untouched": right[~changed].mean(),
            "test": (test == test_labels).mean(),
        }
        if coherent:
            measured = measure(model.eval(), F.cross_entropy, (x, y), batch_size=N, interval=False)
            seen["m-coherence"] = measured.m_coherence
        for name, value in seen.items():
            rows.setdefault(name, []).append(float(value))

    look(0)
    taken = 0
    for epoch in range(math.ceil(max(checkpoints) / EPOCH)):
        order = torch.randperm(len(x), generator=stream(repetition, "order of batches", epoch))
        for batch in order.split(BATCH):
            step(x[batch], y[batch])
            taken += 1
            if taken in checkpoints:
                look(taken)
    return {name: np.array(values) for name, values in rows.items()}


def whole(folder: Path) -> tuple[Table, Table]:
    """Measure a network over all training images at some epochs; time the call against an epoch of backward passes."""
    torch.set_num_threads(1)
    images, labels = read_part(folder, "train")
    x = torch.from_numpy(((images.reshape(-1, 784) / 255 - 0.1307) / 0.3081).astype(np.float32))
    y = torch.from_numpy(labels.astype(np.int64))
    model = initial(0, 784, 300, 100, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    values = Table(title=f"Coherence over all {len(x):,} training images, with 95 % intervals")
    for heading in ("epoch", "train loss", "m-coherence", "alpha", *(f"alpha of layer {name}" for name in (1, 2, 3))):
        values.add_column(heading)
    for epoch in range(WHOLE_EPOCHS + 1):
        if epoch in {0, 1, WHOLE_EPOCHS}:
            record = measure(model.eval(), F.cross_entropy, (x, y), progress=True)
            cells = (f"{epoch}", f"{record.loss:.4f}", f"{record.m_coherence:,.1f}")
            layers = (f"{interval_of(each)}, f = {each.fraction:.2f}" for each in record.layers)
            values.add_row(*cells, interval_of(record), *layers)
        order = torch.randperm(len(x), generator=stream(0, "whole", epoch))
        for batch in order.split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()

    def plain() -> None:
        model.zero_grad()
        for inputs, targets in zip(x.split(256), y.split(256), strict=True):
            F.cross_entropy(model(inputs), targets, reduction="sum").backward()

    ways = {
        "one epoch of backward passes": plain,
        "measure, without interval": lambda: measure(model, F.cross_entropy, (x, y), interval=False),
        "measure, with interval": lambda: measure(model, F.cross_entropy, (x, y)),
    }
    # In turn, so that what else runs on the machine meets all of them alike.
    seconds = np.array([[timed(way) for way in ways.values()] for _ in range(5)])
    times = Table(title="CPU seconds on one thread, median of five runs in turn, blocks of 256")
    for heading in ("", "seconds", "ratio to plain passes"):
        times.add_column(heading)
    for name, own in zip(ways, seconds.T, strict=True):
        times.add_row(name, f"{np.median(own):.2f}", f"{np.median(own / seconds[:, 0]):.2f}")
    return values, times


def interval_of(record: Coherence | LayerCoherence) -> str:
    """Return coherence and its interval as text."""
    low, high = record.interval
    return f"{record.alpha:.3g} [{low:.3g}, {high:.3g}]"


def timed(work: Callable[[], object]) -> float:
    """Return the CPU seconds that a call takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def train_all(options: argparse.Namespace, experiment: str) -> dict[str, list[dict[str, NDArray[np.float64]]]]:
    """Train all networks of an experiment, or read them from the store; by name, one table for each repetition."""
    tasks: dict[str, list[Task]] = {}
    for repetition in range(options.seeds):
        if experiment == "labels":
            checkpoints = [step for group in GROUPS for step in group]
            for name, fraction in LABELS.items():
                told = {"gradient": "mean", "c": 0, "rate": 0.1, "checkpoints": checkpoints, "coherent": True}
                arrays = sample(options.data, fraction, repetition)
                tasks.setdefault(name, []).append(Task(TRAIN, {**told, "repetition": repetition}, arrays))
        else:
            arrays = sample(options.data, 0.5, repetition)
            for name, (gradient, c, rate) in METHODS.items():
                told = {
                    "gradient": gradient,
                    "c": c,
                    "rate": rate,
                    "checkpoints": list(range(0, EPOCHS * EPOCH + 1, EPOCH)),
                }
                told |= {"coherent": False, "repetition": repetition}
                tasks.setdefault(name, []).append(Task(TRAIN, told, arrays))
    every = [task for repeated in zip(*tasks.values(), strict=True) for task in repeated]
    results = {}
    with open_executor(options.workers) as executor:
        outcomes = run(every, store=Store(options.folder / "store"), executor=executor)
        for outcome in track(outcomes, experiment, total=len(every), progress=True):
            results[outcome.task.id] = outcome.result
    return {name: [results[task.id] for task in own] for name, own in tasks.items()}


def spread(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the average over repetitions (the first axis), and half the width of its 95 % interval by Student's t."""
    number = len(values)
    return values.mean(axis=0), student.ppf(0.975, number - 1) * values.std(axis=0, ddof=1) / np.sqrt(number)


def shown(values: NDArray[np.float64]) -> str:
    """Return an average over repetitions with its interval; what did not happen in every repetition is left out."""
    if np.isnan(values).any():
        return "-"
    mean, half = spread(values)
    return f"{mean:.3f} ± {half:.3f}"


def column(tables: list[Arrays], name: str) -> NDArray[np.float64]:
    """Return one quantity of all repetitions, shape (repetitions, checkpoints)."""
    return np.stack([each[name] for each in tables])


def grouped(tables: list[Arrays], name: str) -> NDArray[np.float64]:
    """Average a quantity over neighbouring checkpoints: geometrically what is positive and spans decades."""
    values = column(tables, name)
    if name in {"m-coherence", "train loss"}:
        values = np.log(values)
    ends = np.cumsum([len(group) for group in GROUPS])
    return np.stack([part.mean(axis=1) for part in np.split(values, ends[:-1], axis=1)], axis=1)


def labels_table(results: Mapping[str, list[Arrays]]) -> Table:
    """Return coherence and accuracies at some checkpoints."""
    table = Table(title=f"m-coherence over all {N:,} examples, train and test accuracy, averaged over three epochs")
    table.add_column("epoch")
    for name in results:
        for heading in (f"{name}: m-coherence", "train loss", "train", "test"):
            table.add_column(heading)
    for place, group in enumerate(GROUPS):
        row = [f"{group[len(group) // 2] / EPOCH:g}"]
        for tables in results.values():
            mean, half = spread(grouped(tables, "m-coherence")[:, place])
            row.append(f"{np.exp(mean):.2f} [{np.exp(mean - half):.2f}, {np.exp(mean + half):.2f}]")
            row.append(f"{np.exp(grouped(tables, 'train loss')[:, place].mean()):.3g}")
            row += [f"{grouped(tables, name)[:, place].mean():.3f}" for name in ("train", "test")]
        table.add_row(*row)
    return table


def at_losses(tables: list[Arrays], name: str, log_loss: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a quantity where the training loss has fallen to given values, by repetition."""
    rows = []
    for loss, value in zip(grouped(tables, "train loss"), grouped(tables, name), strict=True):
        order = np.argsort(loss)
        rows.append(np.interp(log_loss, loss[order], value[order]))
    return np.stack(rows)


def labels_figure(results: Mapping[str, list[Arrays]]) -> Figure:
    """Return coherence and accuracies by epoch, and the same at equal training loss."""
    figure = Figure(figsize=(10.5, 7.6), layout="constrained")
    (left, right), (below, beside) = figure.subplots(2, 2, height_ratios=(3, 2), sharex="col")
    # The initial network has a place of its own, left of the logarithmic axis.
    epochs = np.array([max(group[len(group) // 2] / EPOCH, 0.02) for group in GROUPS])
    for (name, tables), colour, marker in zip(results.items(), (BLUE, VERMILION, GREY), "os^", strict=True):
        loss = grouped(tables, "train loss")
        grid = np.linspace(loss[:, 0].min(), loss[:, -1].max(), 40)
        band(left, epochs, grouped(tables, "m-coherence"), colour, name, marker=marker, log=True)
        band(right, np.exp(grid), at_losses(tables, "m-coherence", grid), colour, name, log=True)
        for kind, style in (("train", "-"), ("test", "--")):
            band(below, epochs, grouped(tables, kind), colour, None, linestyle=style)
            band(beside, np.exp(grid), at_losses(tables, kind, grid), colour, None, linestyle=style)
    for axes in (left, right):
        axes.axhline(1, color="black", linewidth=0.8, linestyle=":")
        axes.set(yscale="log", ylim=(0.13, 60), yticks=(0.2, 0.5, 1, 2, 5, 10, 20, 50))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    left.text(0.021, 1.04, "1: orthogonal gradients", fontsize=8, va="bottom")
    left.text(0.021, 0.96, "below: they cancel, the loss is near its minimum", fontsize=8, va="top")
    left.set(ylabel="m-coherence (training examples)", title="By epoch: real labels ahead at first, last in the end")
    left.legend(frameon=False, loc="upper right")
    right.set_title("At equal training loss: ahead only while it is high")
    below.set(ylabel="accuracy", xlabel="epoch", xscale="log", xticks=(0.02, 0.1, 1, 10, 100))
    below.set_xticklabels(["0", "0.1", "1", "10", "100"])
    below.xaxis.set_minor_locator(NullLocator())
    beside.set(xlabel="training loss, nats (training runs to the right)", xscale="log", xlim=(2.5, 0.01))
    beside.set(xticks=(2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01))
    beside.xaxis.set_major_formatter("{x:g}")
    beside.xaxis.set_minor_locator(NullLocator())
    for axes in (below, beside):
        axes.set_ylim(0, 1.03)
        axes.plot([], [], color="black", label="train, given labels")
        axes.plot([], [], color="black", linestyle="--", label="test, true labels")
    below.legend(frameon=False, loc="upper left", fontsize=8)
    seeds = len(next(iter(results.values())))
    figure.supxlabel(
        f"{N:,} MNIST images, 196-{WIDTH}-10, SGD. Averages and 95 % intervals over {seeds} samples and initial "
        "weights; each point averages three checkpoints.\nThe network that fits random labels ends with the higher "
        "coherence: that of a final checkpoint says nothing about its test error.",
        fontsize=8.5,
        x=0.01,
        ha="left",
    )
    return figure


def descent_tables(results: Mapping[str, list[Arrays]]) -> tuple[Table, Table]:
    """Return accuracies at the end and along the run, and at equal training accuracy; differences to SGD in pairs."""
    levels = (0.5, 0.6, 0.7, 0.8, 0.9)
    along = Table(title=f"Half of {N:,} labels drawn again; {EPOCHS} epochs; ±: 95 % interval over repetitions")
    for heading in ("", "train", "corrupted", "untouched", "test", "minus SGD", "best test", "minus SGD", "at epoch"):
        along.add_column(heading)
    equal = Table(title="Test accuracy minus SGD's where training accuracy first reaches")
    for heading in ("", *map(str, levels)):
        equal.add_column(heading)
    plain = column(results["SGD"], "test")
    for name, tables in results.items():
        test = column(tables, "test")
        end, best = test[:, -1], test.max(axis=1)
        along.add_row(
            *(name, *(shown(column(tables, kind)[:, -1]) for kind in ("train", "corrupted", "untouched"))),
            *(shown(end), shown(end - plain[:, -1]), shown(best), shown(best - plain.max(axis=1))),
            f"{np.median(column(tables, 'epoch')[0][test.argmax(axis=1)]):g}",
        )
        pairs = ((at_training_accuracy(tables, level), at_training_accuracy(results["SGD"], level)) for level in levels)
        equal.add_row(name, *(shown(own - other) for own, other in pairs))
    return along, equal


def at_training_accuracy(tables: list[Arrays], level: float) -> NDArray[np.float64]:
    """Return test accuracy where training accuracy first reaches a level, by repetition; NaN where it never does."""
    values = []
    for train, test in zip(column(tables, "train"), column(tables, "test"), strict=True):
        there = int(np.argmax(train >= level))
        values.append(test[there - 1 : there + 2].mean() if train[there] >= level else np.nan)
    return np.array(values)


def descent_figure(results: Mapping[str, list[Arrays]]) -> Figure:
    """Return memorisation and test accuracy by epoch, and one against the other."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    memory, test, matched = figure.subplots(1, 3)
    levels = np.arange(0.46, 0.98, 0.02)
    # Averages over three epochs, so that the picture does not show how much a network jumps from one to the next.
    middle = np.unique(np.geomspace(1, EPOCHS - 1, 22).round().astype(int))
    for (name, tables), colour in zip(results.items(), COLOURS, strict=True):
        style = "--" if name == "SGD, rate / 4" else "-"
        for axes, kind in ((memory, "corrupted"), (test, "test")):
            values = column(tables, kind)
            near = np.stack([values[:, max(1, epoch - 1) : epoch + 2].mean(axis=1) for epoch in middle], axis=1)
            band(axes, middle, near, colour, name if axes is memory else None, linestyle=style)
        reached = np.stack([at_training_accuracy(tables, level) for level in levels], axis=1)
        band(matched, levels, reached, colour, None, linestyle=style)
    memory.set(ylabel="part of the corrupted examples fitted", title="Memorisation: slower", ylim=(0, 1.02))
    test.set(ylabel="test accuracy (true labels)", title="Test accuracy: no better at its best", ylim=(0.48, 0.88))
    matched.set(xlabel="training accuracy (given labels)", title="At equal training accuracy: nothing gained")
    matched.set(ylabel="test accuracy (true labels)", ylim=(0.48, 0.88))
    for axes in (memory, test):
        axes.set(xlabel="epoch", xscale="log", xticks=(1, 10, 100))
        axes.xaxis.set_major_formatter("{x:g}")
    for axes in (memory, test, matched):
        axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside lower center", ncols=len(results), frameon=False)
    seeds = len(next(iter(results.values())))
    figure.suptitle(
        f"{N:,} MNIST images with half of the labels drawn again, batches of {BATCH}; averages and 95 % intervals over "
        f"{seeds} repetitions",
        fontsize=9,
    )
    return figure


def band(
    axes: Axes,
    x: NDArray[Any],
    values: NDArray[np.float64],
    colour: str,
    label: str | None,
    *,
    log: bool = False,
    **style: Any,
) -> None:
    """Draw an average over repetitions with its 95 % interval."""
    mean, half = spread(values)
    low, middle, high = (np.exp(each) if log else each for each in (mean - half, mean, mean + half))
    axes.plot(x, middle, color=colour, label=label, linewidth=1.6, markersize=4, **style)
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)


def main() -> None:
    """Run the experiments, print their tables and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "output" / "coherence")
    parser.add_argument("--experiments", nargs="+", default=["whole", "labels", "descent"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    console = Console(width=200)
    style = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "axes.titlesize": 10}
    if "whole" in options.experiments:
        for table in whole(options.data):
            console.print(table)
    if "labels" in options.experiments:
        results = train_all(options, "labels")
        console.print(labels_table(results))
        with mpl.rc_context(style):
            labels_figure(results).savefig(options.folder / "coherence.png", dpi=110)
    if "descent" in options.experiments:
        results = train_all(options, "descent")
        for table in descent_tables(results):
            console.print(table)
        with mpl.rc_context(style):
            descent_figure(results).savefig(options.folder / "robust_descent.png", dpi=110)


if __name__ == "__main__":
    main()
