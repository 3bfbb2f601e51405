"""How tight each kind of certificate is on the same data, at the same delta, beside the published figures.

    python benchmarks/tightness.py [FOLDER] [--data mnist fashion-mnist] [--method ...] [--seed 0]

FOLDER receives one certificate per data set and method, each checkable by `genbounds verify`; a method whose
certificate is there already is not run again. All methods get the 60,000 training images and delta = 0.025 in all,
Monte Carlo included; the 10,000 test images only give the test error. All but the coded network have the same
architecture, 784-100-100-10. Published figures: Wu, Zhang, Cherief-Abdellatif and Seldin (2024), Table 1, with networks
of their own, for the PAC-Bayes bounds; Lotfi et al. (2022) for the coded network.

The recursive bound holds for all weights gamma of the step before at once and takes the best; the column "gamma = 1/2"
is the published form from the same counts.
"""

import argparse
import dataclasses
import json
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import compression
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from genbounds.certificates import Certificate, verify
from genbounds.models.data import load_data
from genbounds.models.examples import Data
from genbounds.models.splits import Roles
from genbounds.pac_bayes.training import NetworkTraining, PosteriorTraining, train_network
from genbounds.workflow import CompressionTraining, certify, certify_compressed, certify_excess, certify_recursive
from genbounds.workflow.recursion import STEP_TRAINING

DELTA = 0.025

#: Published certificates, by method, for MNIST and Fashion-MNIST.
PUBLISHED = {
    "uninformed": {"mnist": 0.457, "fashion-mnist": 0.464},
    "informed": {"mnist": 0.408, "fashion-mnist": 0.440},
    "informed + excess": {"mnist": 0.192, "fashion-mnist": 0.342},
    "recursive, T = 2": {"mnist": 0.321, "fashion-mnist": 0.404},
    "recursive, T = 4": {"mnist": 0.203, "fashion-mnist": 0.293},
    "recursive, T = 6": {"mnist": 0.166, "fashion-mnist": 0.255},
    "recursive, T = 8": {"mnist": 0.158, "fashion-mnist": 0.242},
    "coded network": {"mnist": 0.116, "fashion-mnist": 0.328},
}


def fully_connected() -> nn.Module:
    """Return 784-100-100-10 with ReLU."""
    return nn.Sequential(*(
        nn.Flatten(),
        nn.Linear(784, 100),
        nn.ReLU(),
        nn.Linear(100, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    ))


class Methods:
    """Each way to a certificate on one data set; nothing but the way differs."""

    def __init__(self, name: str, data: Data, seed: int, device: str) -> None:
        self.name, self.data = name, data
        test = list(data.parts["test"])
        self.every = Roles.from_indices(len(data), {"bound": list(data.parts["train"]), "test": test})
        self.halves = Roles.random(len(data), {"prior": 0.5, "bound": 0.5}, seed, fixed={"test": test})
        self.network = NetworkTraining(epochs=20, batch_size=250)
        self.posterior = PosteriorTraining(epochs=10, batch_size=250)
        self.how = {"delta": DELTA, "seed": seed, "device": device, "progress": True}

    def uninformed(self, out: Path) -> Certificate:
        """Centre the prior at the untrained network; all data are in the bound."""
        torch.manual_seed(self.how["seed"])
        model = fully_connected()
        initial = {name: value.clone() for name, value in model.state_dict().items()}
        train_network(
            *(model, self.data, self.every.indices("bound"), NetworkTraining(epochs=10, batch_size=250)),
            seed=self.how["seed"],
            device=self.how["device"],
        )
        return certify(
            *(fully_connected, self.data),
            checkpoint=model.state_dict(),
            initial=initial,
            prior="initialisation",
            roles=self.every,
            posterior=PosteriorTraining(epochs=40, batch_size=250, objective="quadratic"),
            out=out,
            **self.how,
        )

    def informed(self, out: Path, predictor: str = "gibbs") -> Certificate:
        """Learn the prior on half of the data; the other half is in the bound."""
        return certify(
            *(fully_connected, self.data),
            roles=self.halves,
            network=self.network,
            posterior=self.posterior,
            predictor=predictor,
            out=out,
            **self.how,
        )

    def excess(self, out: Path) -> Certificate:
        """Bound the excess over the network at the centre of the same prior."""
        return certify_excess(
            *(fully_connected, self.data),
            roles=self.halves,
            network=self.network,
            posterior=self.posterior,
            out=out,
            **self.how,
        )

    def recursive(self, out: Path, steps: int) -> Certificate:
        """Learn a chain of posteriors, chunk by chunk."""
        return certify_recursive(
            *(fully_connected, self.data),
            steps=steps,
            roles=self.every,
            posterior=dataclasses.replace(STEP_TRAINING, epochs=15),
            passes=5,
            out=out,
            **self.how,
        )

    def coded(self, out: Path) -> Certificate:
        """Code one deterministic network in few bits."""
        variant, rate = compression.CHOSEN[self.name]
        return certify_compressed(
            *(f"{compression.__file__}:network_{variant}", self.data),
            roles=self.every,
            training=CompressionTraining(epochs=4, quantised_epochs=40, learning_rate=rate, penalty=6e-4),
            variant=variant,
            holdout=False,
            out=out,
            **self.how,
        )

    def all(self) -> dict[str, Callable[[Path], Certificate]]:
        """Return each method by its name in the table."""
        recursive = {f"recursive, T = {steps}": partial(self.recursive, steps=steps) for steps in (2, 4, 6, 8)}
        return {
            "uninformed": self.uninformed,
            "informed": self.informed,
            "informed + excess": self.excess,
            **recursive,
            "one network drawn": partial(self.informed, predictor="single draw"),
            "majority vote": partial(self.informed, predictor="majority vote"),
            "coded network": self.coded,
        }


def main() -> None:
    """Run what is not there yet, and print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "output" / "tightness")
    parser.add_argument("--data", nargs="+", choices=PUBLISHED["uninformed"], default=list(PUBLISHED["uninformed"]))
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--method", nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    for name in arguments.data:
        methods = Methods(name, load_data(arguments.root / name, part="all"), arguments.seed, arguments.device).all()
        table = Table(title=f"{name}, all 60,000 training examples, delta = {DELTA} in all")
        for heading in (
            *("method", "certificate", "published", "gamma = 1/2", "posterior = prior"),
            *("test error", "holdout, same delta", "minutes"),
        ):
            table.add_column(heading)
        for method in arguments.method or methods:
            out = arguments.folder / name / re.sub(r"[^a-z0-9]+", "-", method.lower())
            if not (out / "minutes.json").exists():
                begun = time.perf_counter()
                methods[method](out)
                (out / "minutes.json").write_text(json.dumps((time.perf_counter() - begun) / 60))
            certificate = Certificate.load(out / "certificate.json")
            others = {comparison.id: f"{comparison.value:.4f}" for comparison in certificate.comparisons}
            if not (checked := verify(certificate)).ok:
                raise SystemExit(str(checked))
            table.add_row(
                f"{method} ({certificate.basis[-1].predictor})",
                f"{certificate.value:.4f}",
                f"{PUBLISHED[method][name]:.3f}" if name in PUBLISHED.get(method, {}) else "",
                *(others.get(other, "") for other in ("gamma = 1/2", "posterior = prior")),
                f"{certificate.estimates[0].value:.4f}",
                others.get("holdout", ""),
                f"{json.loads((out / 'minutes.json').read_text()):.1f}",
            )
        Console(width=140).print(table)


if __name__ == "__main__":
    main()
