"""Paths through a small mixture of experts that memorises sums mod 59 and later learns to add; and XOR clusters.

    python benchmarks/grokking_pathways.py [FOLDER] [--experiments addition xor] [--seed 1]

addition  A mixture of three blocks of four experts is trained (`genbounds.pathways.grokking`), and looked at every 25
          steps: accuracy, restricted and excluded loss, Gini coefficient, weight norm; and how each unordered pair is
          routed, with distances between paths, their nulls, erraticness and saturation. FOLDER receives
          ``grokking_pathways.png`` and the routing at each moment.
xor       A wide network on four clusters fits noisy labels in one step and generalises later, four seeds; then with
          one thing changed in each of three controls. FOLDER receives ``xor_clusters.png``.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from genbounds.pathways import (
    GrokkingMeasures,
    Mixture,
    Routing,
    capture_routing,
    cumulative_paths,
    erraticness,
    expert_load,
    grokking_measures,
    modular_addition,
    path_concentration,
    pathway_distance,
    saturation,
    top_paths,
    train_mixture,
)
from genbounds.pathways.grokking.fourier import gaussian_gini, key_frequencies
from genbounds.pathways.grokking.training import Moment
from genbounds.worlds.xor_clusters import XorClusters

STEPS, EVERY, GOAL = 1200, 25, 0.95
#: Of unordered pairs trained on. With more of them it groks sooner, and shows less of a plateau.
FRACTION = 0.8
#: The base setting of XOR clusters, in which all that was predicted is seen, and what each control changes.
XOR = {"dimension": 20000, "signal": 20.0, "initial_scale": 1e-8}
CONTROLS = {
    "base setting": {},
    "large initial weights": {"initial_scale": 1e-2},
    "weak signal": {"signal": 8.0},
    "few dimensions": {"dimension": 2000},
}
XOR_STEPS = (0, 1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 45, 70, 100)
# Okabe and Ito's palette.
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#595959"

Arrays = dict[str, NDArray[np.float64]]


class Clock:
    """Processor and wall time of a piece of work, in seconds."""

    def __init__(self) -> None:
        self.start = np.array([time.process_time(), time.perf_counter()])

    def read(self) -> NDArray[np.float64]:
        """Return both times since the start."""
        return np.array([time.process_time(), time.perf_counter()]) - self.start


@dataclass
class Run:
    """A training, what was captured on its way, and what it cost."""

    log: tuple[Moment, ...]
    routings: list[Routing]
    measures: list[GrokkingMeasures]
    answers: NDArray[np.int64]
    goal: NDArray[np.float64]
    training: NDArray[np.float64]
    capture: NDArray[np.float64]


def train(seed: int, folder: Path) -> Run:
    """Train a mixture, and keep its routing, logits and weights at each moment."""
    task, model = modular_addition(fraction=FRACTION, seed=seed), Mixture(seed=seed)
    p, test = task.modulus, ~task.trained
    # Each unordered pair once: its mirror image has the same answer and nearly the same input.
    unordered = task.pairs[:, 0] <= task.pairs[:, 1]
    routings, logits, weights = [], [], []
    capture, goal, whole = np.zeros(2), np.full(2, np.nan), Clock()

    def look(step: int, network: Mixture) -> None:
        nonlocal capture, goal
        table = network(task.pairs).detach()
        if np.isnan(goal[0]) and (table.argmax(1) == task.sums)[test].double().mean() >= GOAL:
            goal = whole.read() - capture
        clock = Clock()
        routing = capture_routing(
            network, task.pairs[unordered], keep="routes", batch_size=2048, name=f"step {step}", step=step
        )
        routing.save(folder / "routing" / f"step{step:05d}.npz")
        routings.append(routing)
        logits.append(table.numpy().reshape(p, p, p))
        weights.append({name: value.detach().numpy().copy() for name, value in network.named_parameters()})
        capture += clock.read()

    log = train_mixture(model, task, steps=STEPS, every=EVERY, callback=look)
    spent = whole.read() - capture
    keys = key_frequencies(weights[-1]["embedding"])
    trained = task.trained.numpy()
    measures = [
        grokking_measures(each, trained, arrays, readout=arrays["unembedding"], frequencies=keys)
        for each, arrays in zip(logits, weights, strict=True)
    ]
    return Run(log, routings, measures, task.sums[unordered].numpy(), goal, spent, capture)


def path_metrics(run: Run) -> Arrays:
    """Return the metrics of paths, one value a moment."""
    rows = []
    for routing in run.routings:
        first, lists = top_paths(routing), cumulative_paths(routing)
        top = pathway_distance(first, run.answers, metric="hamming", shuffles=0, permutations=199)
        raw = pathway_distance(lists, run.answers, shuffles=0, permutations=0)
        published, centred = erraticness(routing), erraticness(routing, centred=True)
        rows.append({
            "same answer": top.groups.within,
            "all pairs": top.load_balance,
            "r squared": top.groups.r_squared,
            "r squared error": top.groups.standard_error,
            "p": top.groups.p_value,
            "raw": raw.mean,
            "raw same answer": raw.groups.within,
            "raw r squared": raw.groups.r_squared,
            "length": raw.mean_length,
            "entropy": expert_load(routing).router_entropy,
            "erraticness": published.median,
            "centred erraticness": centred.median,
            "invalid": published.invalid_share,
            "cosine": published.average_cosine,
            "centred cosine": centred.average_cosine,
            "saturation": saturation(routing, run.routings[-1]).saturation,
            "distinct": float(path_concentration(routing).distinct),
        })
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def first(steps: NDArray[np.int64], reached: NDArray[np.bool_]) -> float:
    """Return the first step at which something holds; NaN if none."""
    return float(steps[reached.argmax()]) if reached.any() else float("nan")


def addition_tables(run: Run, metrics: Arrays) -> list[Table]:
    """Return the course of the training, and how metrics moved along it."""
    course = Table("step", "train", "test", "restricted", "excluded", "Gini", "|w|", title="a + b mod 59")
    for name in ("raw D", "same", "top-1 same", "all", "R^2", "p", "entropy", "distinct", "C", "cosine", "saturation"):
        course.add_column(name)
    columns = ("raw", "raw same answer", "same answer", "all pairs", "r squared", "p", "entropy", "distinct")
    columns += ("erraticness", "centred cosine", "saturation")
    for i, (moment, found) in enumerate(zip(run.log, run.measures, strict=True)):
        if moment.step % 100 == 0:
            values = [moment.train_accuracy, moment.test_accuracy, found.restricted.all, found.excluded.train]
            values += [found.gini, moment.weight_norm, *(metrics[name][i] for name in columns)]
            course.add_row(str(moment.step), *(f"{value:.3g}" for value in values))
    train, test = (np.array([getattr(m, f"{side}_accuracy") for m in run.log]) for side in ("train", "test"))
    start = int((train >= 0.95).argmax())
    moved = Table("metric", "memorised", "end", "r with test accuracy", title=f"{len(test) - start} moments, dependent")
    for name in ("raw", "raw same answer", "same answer", "r squared", "entropy", "erraticness", "saturation"):
        correlation = np.corrcoef(metrics[name][start:], test[start:])[0, 1]
        moved.add_row(name, f"{metrics[name][start]:.3f}", f"{metrics[name][-1]:.3f}", f"{correlation:+.2f}")
    return [course, moved]


def addition_figure(run: Run, metrics: Arrays) -> Figure:
    """Draw the training: what it learns, how it adds, and where pairs are routed."""
    steps = np.array([moment.step for moment in run.log])
    train, test = (np.array([getattr(m, f"{side}_accuracy") for m in run.log]) for side in ("train", "test"))
    marks = [first(steps, train >= 0.95), first(steps, test >= 0.5), first(steps, test >= GOAL)]
    figure = Figure(figsize=(14.5, 6.6), layout="constrained")
    panels: list[Axes] = list(figure.subplots(2, 4, sharex=True).flat)
    for panel in panels:
        panel.axvspan(marks[0], marks[1], color="0.92", lw=0)
        panel.axvspan(marks[1], marks[2], color="#FBE6D5", lw=0)
    one, two, three, four, five, six, seven, eight = panels
    one.set_title("Accuracy")
    one.plot(steps, train, color=GREY, label="training pairs")
    one.plot(steps, test, color=VERMILION, label="test pairs")
    one.text(sum(marks[:2]) / 2, 0.5, "test\nlags", ha="center", va="center", color=GREY)
    two.set_title(f"Loss (nats); waves {', '.join(map(str, run.measures[-1].frequencies))} of the last network")
    for name, side, colour, label in (
        ("loss", "train", GREY, "training"),
        ("loss", "test", VERMILION, "test"),
        ("restricted", "all", BLUE, "only these waves, all pairs"),
        ("excluded", "train", GREEN, "without them, training"),
    ):
        two.semilogy(steps, [getattr(getattr(m, name), side) for m in run.measures], color=colour, label=label)
    null = gaussian_gini(59, 64)
    three.set_title("Gini coefficient of frequencies")
    three.plot(steps, [m.gini for m in run.measures], color=BLUE, label="embedding")
    three.plot(steps, [m.readout_gini for m in run.measures], color=GREEN, label="map to answers")
    three.axhspan(*np.quantile(null, [0.005, 0.995]), color=GREY, alpha=0.4, label="normal noise, 99 %")
    four.set_title("Weights")
    four.plot(steps, [m.weight_norm for m in run.measures], color=BLUE, label="norm of all")
    four.plot(steps, [m.effective_rank for m in run.measures], color=GREEN, label="effective rank of the embedding")
    five.set_title("Distance of first experts")
    five.plot(steps, metrics["all pairs"], color=GREY, label="all pairs = load balance")
    five.plot(steps, metrics["same answer"], color=VERMILION, label="pairs with the same answer")
    six.set_title("$R^2$ of the answer, $\\pm$ 2 standard errors")
    spread = 2 * metrics["r squared error"]
    low, high = metrics["r squared"] - spread, metrics["r squared"] + spread
    six.fill_between(steps, low, high, color=BLUE, alpha=0.25, lw=0)
    six.plot(steps, metrics["r squared"], color=BLUE, label="first experts")
    six.plot(steps, metrics["raw r squared"], color=GREEN, label="lists to 0.7")
    six.axhline(0, color=GREY, lw=0.8)
    seven.set_title("Raw distance of lists to 0.7, and entropy")
    seven.plot(steps, metrics["raw"], color=BLUE, label="raw distance (left)")
    other = seven.twinx()
    other.spines["right"].set_visible(True)
    other.plot(steps, metrics["entropy"], color=VERMILION, ls="--", label="entropy of gates, nats (right)")
    start = metrics["erraticness"][0]
    eight.set_title(f"Erraticness $C$, median (first: {start:.1f}); saturation")
    eight.plot(steps, metrics["erraticness"], color=BLUE, label="$C$ as published")
    eight.plot(steps, metrics["centred erraticness"], color=GREEN, label="$C$, routers centred")
    eight.plot(steps, metrics["saturation"], color=GREY, ls="--", label="saturation")
    # Nearly equal gates make the published score of the first network large: its cosines are small, of either sign.
    eight.set_ylim(0, 1.05)
    for panel in panels:
        lines, names = panel.get_legend_handles_labels()
        if panel is seven:
            more, labels = other.get_legend_handles_labels()
            lines, names = lines + more, names + labels
        panel.legend(lines, names, frameon=False, fontsize=8)
    for panel in panels[4:]:
        panel.set_xlabel("step")
    figure.suptitle(
        "Grey: training pairs known, test accuracy below one half. Orange: from one half to 0.95.", fontsize=10
    )
    return figure


def train_xor(changes: dict[str, float], seed: int) -> Arrays:
    """Train one network on XOR clusters; what was seen after each of `XOR_STEPS`."""
    settings = XOR | changes
    world = XorClusters(int(settings["dimension"]), settings["signal"], 0.05)
    seen = world.train(
        np.random.default_rng(seed),
        400,
        width=300,
        steps=XOR_STEPS,
        step_size=1e-2,
        initial_scale=settings["initial_scale"],
        balanced=True,
    )
    return {
        "training labels, noisy ones included": 1 - seen.train_error,
        "noisy labels fitted": seen.noisy_fitted,
        "clean test labels": 1 - seen.test_error,
        "odd part of the function": seen.odd_share,
    }


def xor_figure(found: dict[str, list[Arrays]]) -> Figure:
    """Draw each setting in a panel, a thin line for each seed."""
    figure = Figure(figsize=(14.5, 3.9), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, len(found), sharey=True))
    for panel, (title, runs) in zip(panels, found.items(), strict=True):
        for name, colour, style in zip(runs[0], (GREY, GREEN, VERMILION, BLUE), ("-", ":", "-", "--"), strict=True):
            values = np.array([run[name] for run in runs])
            panel.plot(XOR_STEPS, values.T, color=colour, ls=style, lw=0.7, alpha=0.6)
            panel.plot(XOR_STEPS, values.mean(axis=0), color=colour, ls=style, lw=2, label=name)
        panel.set_xscale("symlog", linthresh=1)
        panel.set_xticks([0, 1, 3, 10, 30, 100], ["0", "1", "3", "10", "30", "100"])
        panel.set(title=title, xlabel="step", ylim=(-0.03, 1.05))
    panels[0].set_ylabel("share")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def main() -> None:
    """Run the experiments, print their tables and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "output" / "grokking")
    parser.add_argument("--experiments", nargs="+", default=["addition", "xor"])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    console = Console(width=200)
    style = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "axes.titlesize": 10}
    if "addition" in options.experiments:
        run = train(options.seed, options.folder)
        clock = Clock()
        metrics = path_metrics(run)
        for table in addition_tables(run, metrics):
            console.print(table)
        times = {f"test accuracy {GOAL}": run.goal, "training": run.training, "capture": run.capture}
        for name, spent in (times | {"metrics of paths": clock.read()}).items():
            console.print(f"{name}: {spent[0]:.1f} s of processor, {spent[1]:.1f} s of wall")
        with mpl.rc_context(style):
            addition_figure(run, metrics).savefig(options.folder / "grokking_pathways.png", dpi=110)
    if "xor" in options.experiments:
        clock = Clock()
        found = {name: [train_xor(changes, seed) for seed in range(4)] for name, changes in CONTROLS.items()}
        console.print("XOR clusters, 4 x 4 trainings: {:.1f} s of processor, {:.1f} s of wall".format(*clock.read()))
        with mpl.rc_context(style):
            xor_figure(found).savefig(options.folder / "xor_clusters.png", dpi=110)


if __name__ == "__main__":
    main()
