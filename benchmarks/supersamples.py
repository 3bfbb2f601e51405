"""Bounds by conditional mutual information on digits and MNIST, 4 against 9, and what training together saves.

    python benchmarks/supersamples.py [FOLDER] [--root DATA] [--masks 30] [--workers 2] [--experiments ...] [--seed 0]

DATA holds a folder ``mnist`` with MNIST's IDX files; where there is none, only scikit-learn's digits are run. FOLDER
receives the record of each experiment (``genbounds supersample --record FILE`` computes its bounds again, without any
model), the family of bounds as JSON, and the store, so that an interrupted run goes on where it stopped.

Five supersamples, 30 trainings on each, in pairs of masks. Digits: 64-64-2, fully connected. MNIST: the published
network has four convolutions; here means over 2 x 2 pixels, two convolutions of 8 and 16 channels and one linear layer
(1,762 weights), which two cores train in minutes. Adam at 1e-3 and batches of 128 as published, with enough epochs for
a training error of about 0. Published (Harutyunyan et al. 2021): f-CMI bound / gap from 2.7 to 3.3, n from 75 to 4,000.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from genbounds.information.estimation.family import family
from genbounds.information.supersamples.experiment import draw_supersamples, supersample_experiment
from genbounds.information.supersamples.masks import draw_masks
from genbounds.models.data import load_data
from genbounds.models.ensembles import EnsembleTraining, epoch_orders, initial_network, train_ensemble
from genbounds.models.examples import Data
from genbounds.models.networks import convolutional, mlp
from genbounds.models.randomness import stream
from genbounds.numerics.estimates import UpperLimit
from genbounds.sweeps import Store, open_executor

#: By name: data, n, label noise, network, training.
EXPERIMENTS = {
    "digits-75": ("digits", 75, 0.0, None, EnsembleTraining()),
    "digits-150": ("digits", 150, 0.0, None, EnsembleTraining()),
    "digits-75-noise": ("digits", 75, 0.1, None, EnsembleTraining()),
    "mnist-75": ("mnist", 75, 0.0, "convolutional", EnsembleTraining(200, 128, learning_rate=1e-3)),
    "mnist-250": ("mnist", 250, 0.0, "convolutional", EnsembleTraining(400, 128, learning_rate=1e-3)),
    "mnist-1000": ("mnist", 1000, 0.0, "convolutional", EnsembleTraining(300, 128, learning_rate=1e-3)),
}
DELTA = 0.05


def plain(
    build: Any, inputs: Any, targets: Any, members: Any, seed: int, training: EnsembleTraining
) -> torch.nn.Module:
    """Train one network in plain PyTorch, as anybody would write it."""
    network = initial_network(build, seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=training.learning_rate)
    for order in epoch_orders(seed, len(members), training):
        for batch in members[order].split(training.batch_size):
            optimiser.zero_grad()
            F.cross_entropy(network(inputs[batch]), targets[batch]).backward()
            optimiser.step()
    return network.eval()


def timing(data: Data, n: int, build: Any, training: EnsembleTraining, networks: int) -> tuple[float, float, float]:
    """Train the same networks one after the other, then together; return both times, and how far they agree."""
    inputs, targets = draw_supersamples(data, n, count=1, classes=[4, 9])
    pool, labels = torch.from_numpy(inputs[0]).flatten(0, 1), torch.from_numpy(targets[0]).flatten()
    members = torch.from_numpy(2 * np.arange(n) + draw_masks(networks, n, seed=0))
    seeds = [stream(0, "timing", row).initial_seed() for row in range(networks)]
    plain(build, pool, labels, members[0], 0, EnsembleTraining(1))  # what the first step imports is not timed
    begun = time.perf_counter()
    alone = [plain(build, pool, labels, own, seed, training)(pool) for own, seed in zip(members, seeds, strict=True)]
    middle = time.perf_counter()
    together = [
        train_ensemble(build, pool, labels, members[block], seeds[block], training, 2)(pool)
        for block in (slice(start, start + 30) for start in range(0, networks, 30))
    ]
    end = time.perf_counter()
    agree = (torch.cat(together).argmax(2) == torch.stack(alone).argmax(2)).double().mean()
    return middle - begun, end - middle, float(agree)


def time_both(root: Path) -> Table:
    """Time both ways of training the same networks, on one thread, in this run."""
    table = Table(title="The same networks one after another in plain PyTorch, and together; one thread, one run")
    for heading in ("network", "data", "networks", "one after another, s", "together, s", "ratio", "same predictions"):
        table.add_column(heading)
    torch.set_num_threads(1)
    cases = [("fully connected, 64-64-2", "digits", mlp, EnsembleTraining(), 150)]
    if (root / "mnist").is_dir():
        few = EnsembleTraining(40, 128, learning_rate=1e-3)
        cases.append(("convolutional, 1,762 weights", "mnist", convolutional, few, 30))
    for name, data, build, training, networks in cases:
        alone, together, agree = timing(load(data, root), 75, build, training, networks)
        row = (f"{networks}", f"{alone:.2f}", f"{together:.2f}", f"{alone / together:.1f}", f"{agree:.4f}")
        table.add_row(name, f"{data}, n = 75", *row)
    return table


def load(name: str, root: Path) -> Data:
    """Read a data set."""
    return load_data("digits") if name == "digits" else load_data(root / name, part="train")


def main() -> None:
    """Run every experiment and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "output" / "supersamples")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--experiments", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--supersamples", type=int, default=5)
    parser.add_argument("--masks", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    console = Console(width=180)
    console.print(time_both(arguments.root))
    arguments.folder.mkdir(parents=True, exist_ok=True)
    table = Table(
        title=f"4 against 9; {arguments.supersamples} supersamples x {arguments.masks} masks; delta = {DELTA} each"
    )
    for heading in (
        *("data", "n", "label noise", "train error", "ghost error", "gap", "f-CMI plug-in", "/ gap", "floor"),
        *(
            "f-CMI certified",
            "binary-KL plug-in",
            "binary-KL certified",
            "best certified on the gap",
            "by ghost losses alone",
            "seconds",
        ),
    ):
        table.add_column(heading)
    for name in arguments.experiments:
        data, n, noise, network, training = EXPERIMENTS[name]
        if data != "digits" and not (arguments.root / data).is_dir():
            console.print(f"{name} needs {data}'s IDX files: give their parent folder by --root.")
            continue
        begun = time.perf_counter()
        with open_executor(arguments.workers) as executor:
            record = supersample_experiment(
                load(data, arguments.root),
                n,
                supersamples=arguments.supersamples,
                masks=arguments.masks,
                classes=[4, 9],
                label_noise=noise,
                network=None if network is None else f"genbounds.models.networks:{network}",
                training=training,
                seed=arguments.seed,
                store=Store(arguments.folder / "store"),
                executor=executor,
                progress=True,
            )
        seconds = time.perf_counter() - begun
        record.save(arguments.folder / f"{name}.npz")
        told = family(record.masks, record.predictions, record.losses, DELTA, classes=2)
        (arguments.folder / f"{name}.json").write_text(json.dumps(told.to_json(), indent=1), encoding="utf-8")
        functional, divergence = told["harutyunyan"], told["hellstrom_durisi_kl"]
        errors = (f"{each.value:.4f}" for each in (told.train_risk, told.ghost_risk, told.gap))
        table.add_row(
            *(data, f"{n}", f"{noise:g}", *errors, f"{functional.estimate.value:.4f}"),
            *(f"{functional.estimate.value / told.gap.value:.2f}", f"{functional.floor.value:.4f}"),
            *(printed(functional.limit), f"{divergence.estimate.value:.4f}", printed(divergence.limit)),
            *(printed(told.tightest("gap").limit), printed(told.gap_limit), f"{seconds:.1f}"),
        )
    console.print(table)
    console.print(
        "gap and bounds on it: ghost error - train error, averaged over these supersamples; binary-KL: a bound on the "
        "ghost error. Plug-in values are estimates; those certified hold, all of an experiment at once, with "
        "probability 1 - delta over masks and trainings. Seconds: those of this run; what the store had costs nothing."
    )


def printed(limit: UpperLimit) -> str:
    """Return a certified limit, rounded up."""
    return f"{math.ceil(float(limit) * 1e4) / 1e4:.4f}"


if __name__ == "__main__":
    main()
