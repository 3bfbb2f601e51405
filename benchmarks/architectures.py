"""How many nats of bias tasks ask for and architectures bring, on measured hypothesis spaces.

    python benchmarks/architectures.py DATA [FOLDER] [--experiments kernels trained random] [--workers 2]

DATA holds the folders ``mnist`` and ``fashion-mnist`` of IDX files. FOLDER receives the store of all results, so that
an interrupted run goes on where it stopped, the comparisons as JSON and two figures, ``inductive_bias_tasks.png`` and
``inductive_bias_architectures.png``. Tables are printed as Markdown.

Four tasks of ten classes: MNIST, Fashion-MNIST, MNIST with labels drawn at random, and MNIST with the pixels of all
images in one other order.

kernels  Infinitely wide networks given 300 examples, exactly: -ln P(test mean square <= level) on 200 others. Means
         over 2 x 2 pixels, eight draws.
trained  Networks trained from random weights until they fit 100 examples: -ln P(test error <= level) on 1,000 others,
         counted. Five draws; 200 networks each, 50 transformers. A fully connected network with independent initial
         weights has the same law in any order of pixels, and is trained in one.
random   Random weights of a small network on means over 4 x 4 pixels, given a mean square of half the constant's on 20
         examples; 50 others. Two samplers. Two classes: each draw puts five of the ten, chosen at random, into one,
         as fixed ones may be hard on MNIST and easy on Fashion-MNIST (odd against even is).
"""

import argparse
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, NullLocator, ScalarFormatter
from numpy.typing import NDArray
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student
from torch import Tensor
from torch.nn import functional as F

from genbounds.inductive_bias import (
    Comparison,
    RandomComparison,
    compare_kernels,
    compare_random,
    compare_trained,
    known_kernels,
    known_networks,
)
from genbounds.models.ensembles import EnsembleTraining
from genbounds.models.examples import TensorData
from genbounds.models.idx import read_part
from genbounds.models.randomness import stream
from genbounds.report.inductive_bias import draw_curves
from genbounds.sweeps import Store, open_executor

#: Images that draws are taken from.
IMAGES = 10_000
MNIST, FASHION, RANDOM, SHUFFLED = "MNIST", "Fashion-MNIST", "random labels", "MNIST, shuffled"
SHARES = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
ERRORS = np.arange(12, 97, 2) / 100
RATES = {"mlp": 3e-3, "cnn": 1e-2, "transformer": 3e-3}
NUMBER = {"mlp": 200, "cnn": 200, "transformer": 50}
TITLES = {
    "kernels": "Infinitely wide, given 300 examples exactly",
    "trained": "Trained until they fit 100 examples, counted",
}
#: Of random weights.
DRAWS = 6
FIT, BEYOND = 0.5, (0.7, 0.8, 0.9)


def images(folder: Path, name: str, block: int) -> tuple[Tensor, Tensor]:
    """Return the first images of a data set, averaged over blocks of pixels, and their classes."""
    pixels, labels = read_part(folder / name, "train")
    x = torch.from_numpy(pixels[:IMAGES, None]).float() / 255
    return F.avg_pool2d(x, block), torch.from_numpy(labels[:IMAGES]).long()


def tasks(folder: Path, block: int) -> dict[str, TensorData]:
    """Return the four tasks of ten classes."""
    (x, y), fashion = images(folder, "mnist", block), images(folder, "fashion-mnist", block)
    noise = torch.randint(0, 10, (len(x),), generator=stream(0, "labels"))
    order = torch.randperm(x[0].numel(), generator=stream(0, "pixels"))
    return {
        MNIST: TensorData(x, y, MNIST),
        FASHION: TensorData(*fashion, FASHION),
        RANDOM: TensorData(x, noise, RANDOM),
        SHUFFLED: TensorData(x.flatten(1)[:, order].reshape(x.shape), y, SHUFFLED),
    }


def kernels(folder: Path, shared: Mapping[str, Any]) -> dict[str, Comparison]:
    """Compare infinitely wide networks on all tasks."""
    tried = {name: known_kernels()[name] for name in ("mlp", "cnn")}
    return {
        name: compare_kernels(task, tried, train=300, test=200, levels=SHARES, draws=8, **shared)
        for name, task in tasks(folder, 2).items()
    }


def trained(folder: Path, shared: Mapping[str, Any]) -> dict[str, Comparison]:
    """Compare trained networks: all on MNIST and with its pixels shuffled, a fully connected one on the other tasks."""
    found = {}
    for name, task in tasks(folder, 1).items():
        parts = [
            compare_trained(
                task,
                {network: architecture},
                train=100,
                test=1000,
                levels=ERRORS,
                draws=5,
                number=NUMBER[network],
                trainings={network: EnsembleTraining(epochs=500, batch_size=20, learning_rate=RATES[network])},
                **shared,
            )
            for network, architecture in known_networks((1, 28, 28), 10).items()
            if name == MNIST or (network == "mlp") != (name == SHUFFLED)
        ]
        if name == SHUFFLED:
            parts.insert(0, found[MNIST])  # the others' curves replace these
        spaces = {network: space for part in parts for network, space in part.spaces.items()}
        curves = {network: own for part in parts for network, own in part.curves.items()}
        found[name] = Comparison(parts[-1].task, parts[-1].loss, spaces, curves)
    return found


def random(folder: Path, workers: int, shared: Mapping[str, Any]) -> dict[str, RandomComparison]:
    """Compare tasks of two classes by random weights; each draw has classes of its own."""
    network = {"mlp": known_networks((1, 7, 7), 2, small=True)["mlp"]}
    samplers = {"annealing": {"runs": 8}, "subset": {"chains": 50, "moves": 50}}

    def one(name: str, draw: int) -> RandomComparison:
        x, y = images(folder, "fashion-mnist" if name == FASHION else "mnist", 4)
        if name == RANDOM:
            labels = torch.randint(0, 2, (len(x),), generator=stream(0, "two labels", draw))
        else:
            labels = torch.isin(y, torch.randperm(10, generator=stream(0, "halves", draw))[:5]).long()
        data = TensorData(x, labels, name)
        return compare_random(data, network, train=20, test=50, fit=FIT, levels=BEYOND, seed=draw, **samplers, **shared)

    found = {}
    with ThreadPoolExecutor(workers) as threads:
        for name in (MNIST, FASHION, RANDOM):
            parts = list(threads.map(one, [name] * DRAWS, range(DRAWS)))
            task = f"{name}, 20 training and 50 test examples, {DRAWS} draws of examples and classes"
            own = {"mlp": tuple(part.agreements["mlp"][0] for part in parts)}
            found[name] = RandomComparison(task, parts[0].loss, parts[0].spaces, own)
    return found


def across(
    results: Mapping[str, Comparison], network: str, names: tuple[str, ...] = (MNIST, FASHION, RANDOM)
) -> Comparison:
    """Put tasks side by side, for one architecture."""
    first = results[MNIST]
    spaces = dict.fromkeys(names, first.spaces[network])
    return Comparison("several", first.loss, spaces, {name: results[name].curves[network] for name in names})


def curves_table(comparison: Comparison, title: str, unit: float = 1.0) -> Table:
    """Return the curves of a comparison with their intervals, at levels where one is resolved and above 0."""
    table = Table("level", *comparison.averages, title=title, box=MARKDOWN)
    curves = comparison.averages.values()
    told = np.array([np.isfinite(curve.nats) & (curve.high > 0.01) for curve in curves]).any(axis=0)
    for place in np.flatnonzero(told):
        cells = []
        for name, curve in comparison.averages.items():
            value, low, high = curve.nats[place], curve.low[place], curve.high[place]
            least = np.mean([each.low[place] for each in comparison.curves[name]])
            cells.append(f"{value:.2f} [{low:.2f}, {high:.2f}]" if np.isfinite(value) else f"> {least:.2f}")
        table.add_row(f"{comparison.levels[place] / unit:.3g}", *cells)
    return table


def differences_table(pairs: Mapping[str, tuple[Comparison, str, str]], title: str, unit: float = 1.0) -> Table:
    """Return differences in nats with their intervals at levels where one is resolved and not 0."""
    table = Table("level", *pairs, title=title, box=MARKDOWN)
    found = [comparison.difference(one, other) for comparison, one, other in pairs.values()]
    for place, level in enumerate(found[0].levels / unit):
        known = [(each.nats[place], each.low[place], each.high[place]) for each in found]
        cells = [f"{value:+.2f} [{low:+.2f}, {high:+.2f}]" if np.isfinite(value) else "" for value, low, high in known]
        if any(np.isfinite(value) and high - low > 0.01 for value, low, high in known):
            table.add_row(f"{level:.3g}", *cells)
    return table


def medians_table(results: Mapping[str, Comparison]) -> Table:
    """Return the test error that half of the trained networks stay below, to the next level, and paired differences."""
    table = Table("", "error of half", "minus mlp", title="Test error that half of the networks reach", box=MARKDOWN)
    for name, comparison in results.items():
        half = {
            network: np.array([each.levels[np.argmax(each.nats <= np.log(2))] for each in own])
            for network, own in comparison.curves.items()
        }
        for network, errors in half.items():
            apart = errors - half["mlp"]
            table.add_row(f"{name}, {network}", spread(errors), "" if network == "mlp" else spread(apart))
    return table


def spread(values: NDArray[np.float64]) -> str:
    """Return an average over draws with half of its 95 % interval by Student's t."""
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.3f} ± {half:.3f}"


def samplers_table(results: Mapping[str, RandomComparison]) -> Table:
    """Return what each sampler says in each draw, and whether they agree."""
    table = Table("", "part", "annealing", "subset", "verdict", title="Each draw, at the lowest level", box=MARKDOWN)
    for name, comparison in results.items():
        for draw, found in enumerate(comparison.agreements["mlp"]):
            for part in ("condition", "joint"):
                own = getattr(found, part)
                cells = [f"{each.nats[0]:.1f} ± {each.standard_error[0]:.1f}" for each in (own.first, own.second)]
                table.add_row(f"{name}, {draw}", part, *cells, own.verdicts[0])
    return table


def finish(axes: Axes, kind: str) -> None:
    """Write the title, and levels on a linear axis."""
    axes.set(xscale="linear", title=TITLES[kind])
    axes.xaxis.set_major_locator(AutoLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())


def tasks_figure(found: Mapping[str, Any]) -> Figure:
    """Return information over levels for MNIST, Fashion-MNIST and random labels."""
    kinds = [kind for kind in found if kind != "random"]
    figure = Figure(figsize=(5.2 * len(kinds), 4.4), layout="constrained")
    for axes, kind in zip(np.ravel(figure.subplots(1, len(kinds))), kinds, strict=True):
        finish(draw_curves(across(found[kind], "mlp").averages, axes, loss=found[kind][MNIST].loss), kind)
    return figure


def architectures_figure(found: Mapping[str, Any]) -> Figure:
    """Return information over levels for architectures on MNIST, and with its pixels shuffled."""
    kinds = [kind for kind in found if kind != "random"]
    figure = Figure(figsize=(5.2 * len(kinds), 4.4), layout="constrained")
    for axes, kind in zip(np.ravel(figure.subplots(1, len(kinds))), kinds, strict=True):
        # Pixels in another order are the same to a fully connected network.
        curves = {
            "mlp, either" if network == "mlp" else f"{network}, {name}": curve
            for name in (SHUFFLED, MNIST)
            for network, curve in found[kind][name].averages.items()
        }
        finish(draw_curves(curves, axes, loss=found[kind][MNIST].loss), kind)
    return figure


def main() -> None:
    """Run the experiments, print their tables and save results and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "output" / "architectures")
    parser.add_argument("--experiments", nargs="+", default=["kernels", "trained", "random"])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    console, found = Console(width=220), {}
    with open_executor(options.workers) as executor:
        shared = {"store": Store(options.folder / "store"), "executor": executor, "progress": True}
        if "kernels" in options.experiments:
            results = found["kernels"] = kernels(options.data, shared)
            title, constant = "Kernels, fully connected; levels as shares of the constant's loss", 0.09
            console.print(curves_table(across(results, "mlp"), title, constant))
            for name, own in results.items():
                console.print(curves_table(own, f"Kernels on {name}", constant))
            pairs = {f"cnn minus mlp, {name}": (own, "cnn", "mlp") for name, own in results.items()}
            console.print(differences_table(pairs, "Kernels, difference in nats", constant))
        if "trained" in options.experiments:
            results = found["trained"] = trained(options.data, shared)
            console.print(curves_table(across(results, "mlp"), "Trained, fully connected; levels are test errors"))
            for name in (MNIST, SHUFFLED):
                console.print(curves_table(results[name], f"Trained on {name}"))
            pairs = {
                f"{network} minus mlp, {name}": (results[name], network, "mlp")
                for name in (MNIST, SHUFFLED)
                for network in ("cnn", "transformer")
            }
            console.print(differences_table(pairs, "Trained, difference in nats"))
            console.print(medians_table(results))
        if "random" in options.experiments:
            both = found["random"] = random(options.data, options.workers, shared | {"progress": False})
            console.print(samplers_table(both))
            for part in ("train", "generalisation", "total"):
                title = f"Random weights: {part}; levels as shares of the constant's loss"
                side_by_side = across({name: getattr(own, part) for name, own in both.items()}, "mlp")
                console.print(curves_table(side_by_side, title, 0.25))
            pairs = {f"{name} minus MNIST": (side_by_side, name, MNIST) for name in (FASHION, RANDOM)}
            console.print(differences_table(pairs, "Random weights: total, difference in nats", 0.25))
    content = {kind: {name: own.to_json() for name, own in results.items()} for kind, results in found.items()}
    (options.folder / "architectures.json").write_text(json.dumps(content), encoding="utf-8")
    with mpl.rc_context({"font.size": 9, "axes.titlesize": 10}):
        if {*found} - {"random"}:
            tasks_figure(found).savefig(options.folder / "inductive_bias_tasks.png", dpi=110)
            architectures_figure(found).savefig(options.folder / "inductive_bias_architectures.png", dpi=110)


if __name__ == "__main__":
    main()
