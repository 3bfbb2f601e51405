"""Information of Gaussian processes: exact, by two samplers, and by the published fit to sampled losses.

    python benchmarks/inductive_bias.py [--seeds 5] [--dimensions 2 5 10] [--figure FILE]

A Gaussian process with a squared-exponential kernel over standard normal inputs in d dimensions is conditioned exactly
on training targets sin(2 sum(x) / sqrt(d)); asked is -ln P(test mean square <= eps) at shares of the mean test loss.
The rows:

exact      The tail of the quadratic form, by inversion of its Laplace transform.
fit        What is published: 10,000 losses drawn from the process, one scaled noncentral chi-squared law fitted to them
           by maximum likelihood, and its distribution function.
subset     Subset simulation on the whitened weights.
annealing  Annealed importance sampling with Hamiltonian moves.

FILE receives the curves of a process in five dimensions. Times are of the curve of four levels, after conditioning,
which all share.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from genbounds.inductive_bias import GaussianHypotheses, kernel_hypotheses, rbf_kernel
from genbounds.rare_events import (
    TailCurve,
    annealed_importance,
    counted_tail,
    published_chi_squared_fit,
    quadratic_tail,
    subset_simulation,
)
from genbounds.report.inductive_bias import draw_curves

#: Training and test examples, and the kernel's length scale, by dimension.
SETTINGS = {2: (20, 50, 1.0), 5: (100, 50, 1.0), 10: (100, 100, 2.0)}
SHARES = np.array([0.001, 0.01, 0.1, 0.5])
DRAWS = 10_000


def conditioned(dimension: int, seed: int) -> GaussianHypotheses:
    """Return the law of the test residuals of a process that met the training targets."""
    train, test, length_scale = SETTINGS[dimension]
    inputs = np.random.default_rng(seed).standard_normal((train + test, dimension))
    targets = np.sin(2 * inputs.sum(axis=1) / np.sqrt(dimension))
    return kernel_hypotheses(rbf_kernel(inputs, length_scale=length_scale), targets, given=np.arange(train))


def sampled_loss(space: GaussianHypotheses) -> tuple[Callable[[Tensor], Tensor], int]:
    """Return the loss as a function of whitened latent variables, and their number."""
    form = space.form
    weights, shifts = (torch.from_numpy(np.array(part)) for part in (form.weights, form.shifts))
    return lambda z: form.offset + (z + shifts).square() @ weights, len(weights)


def timed(measured: Callable[[], TailCurve]) -> tuple[TailCurve, float]:
    """Return a curve and the seconds that it took."""
    start = time.perf_counter()
    return measured(), time.perf_counter() - start


def rows(dimension: int, seed: int) -> dict[str, tuple[TailCurve, float]]:
    """Measure one process in every way."""
    space = conditioned(dimension, seed)
    form, levels = space.form, SHARES * space.mean_loss
    loss, latent = sampled_loss(space)

    def fitted() -> TailCurve:
        return published_chi_squared_fit(form.draw(DRAWS, np.random.default_rng(seed)), levels)

    return {
        "exact": timed(lambda: quadratic_tail(form, levels)),
        "fit": timed(fitted),
        "subset": timed(lambda: subset_simulation(loss, latent, levels, seed=seed)),
        "annealing": timed(lambda: annealed_importance(loss, latent, levels, seed=seed)),
    }


def draw(path: Path) -> None:
    """Draw the curves of one process in five dimensions."""
    space = conditioned(5, 0)
    loss, latent = sampled_loss(space)
    levels = space.mean_loss * np.geomspace(1e-4, 1.0, 25)
    losses = space.form.draw(DRAWS, np.random.default_rng(0))
    curves = {
        "exact": quadratic_tail(space.form, levels),
        "subset simulation": subset_simulation(loss, latent, levels[::3]),
        "annealed importance": annealed_importance(loss, latent, levels[1::3]),
        f"counting {DRAWS:,} draws": counted_tail(losses, levels),
        f"published fit to {DRAWS:,} draws": published_chi_squared_fit(losses, levels),
    }
    axes = draw_curves(curves, loss="mean square loss on 50 test examples")
    axes.figure.savefig(path, dpi=150)


def main() -> None:
    """Measure and print a table for each dimension."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[*SETTINGS], choices=[*SETTINGS])
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    if arguments.figure is not None:
        draw(arguments.figure)
    torch.set_num_threads(1)
    np.set_printoptions(suppress=True)
    console = Console(width=120)
    for dimension in arguments.dimensions:
        measured = [rows(dimension, seed) for seed in range(arguments.seeds)]
        train, test, _ = SETTINGS[dimension]
        table = Table(
            title=f"d = {dimension}: {train} training, {test} test examples; process 0, nats", title_justify="left"
        )
        for name in ("eps / mean loss", *(f"{share:g}" for share in SHARES[::-1]), "seconds", "exact is faster by"):
            table.add_column(name, justify="right")
        fastest = np.median([each["exact"][1] for each in measured])
        for name, (curve, _) in measured[0].items():
            seconds = np.median([each[name][1] for each in measured])
            cells = [
                f"{nats:.2f}" if curve.kind == "exact" or not error > 0 else f"{nats:.2f} ± {error:.2f}"
                for nats, error in zip(curve.nats[::-1], curve.standard_error[::-1], strict=True)
            ]
            table.add_row(name, *cells, f"{seconds:.4f}", "" if name == "exact" else f"{seconds / fastest:,.0f}")
        console.print(table)
        for name in ("fit", "subset", "annealing"):
            error = np.array([each[name][0].nats - each["exact"][0].nats for each in measured])
            deviations = [
                np.abs(each[name][0].nats - each["exact"][0].nats) / each[name][0].standard_error for each in measured
            ]
            console.print(
                f"{name}: mean error over {len(measured)} processes {np.nanmean(error, axis=0)[::-1].round(2)} nats"
                + (
                    ""
                    if name == "fit"
                    else f"; in standard errors at most {np.nanmax(deviations, axis=0)[::-1].round(1)}"
                )
            )


if __name__ == "__main__":
    main()
