"""How bounds along the path of noisy training grow with the number of steps, where the truth is known exactly.

    python benchmarks/langevin.py PICTURE [--steps 1000]

Langevin dynamics on the squared loss of Gaussian examples (d = 2, n = 20, s = 1, step size 0.05, inverse temperature
200): the gap, the information in the last weights and the one in the whole path have closed forms. PICTURE receives
the plot, in the format that its ending names. Left: nats. Right: every bound over the gap. Nothing is estimated but the
row "simulated", the gap of 40,000 trainings with its standard error.
"""

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from genbounds.information import bu_zou_veeravalli, li_luo_qiao, negrea, pensia, xu_raginsky
from genbounds.worlds import LangevinQuadratic

RUNS = 40_000
SHOWN = (1, 3, 10, 30, 100, 300, 1000)


def dynamics(steps: int) -> LangevinQuadratic:
    """Return the world after some number of steps."""
    return LangevinQuadratic(2, 20, 1.0, step=0.05, inverse_temperature=200.0, steps=steps)


def along_the_path(theorem: Callable[..., np.float64], moments: str, *middle: str) -> Callable[..., float]:
    """Return a theorem as a function of the world: moments, step sizes and noise, what else, n and sigma."""
    names = (moments, "step_sizes", "noise_scales", *middle, "n", "sigma")
    return lambda world: float(theorem(*(getattr(world, name) for name in names)))


def negrea_information(world: LangevinQuadratic) -> float:
    """Return what `negrea` puts in the place of I(W_T; Z_i): its value solved for the information."""
    return float(BOUNDS["Negrea"](world) / world.sigma) ** 2 / 2


#: Bounds on the gap by name, those that look at the last weights before those that look at the path.
BOUNDS: dict[str, Callable[[LangevinQuadratic], float]] = {
    "I(S; W_T)": lambda world: float(xu_raginsky(world.mutual_information, world.n, world.sigma)),
    "I(W_T; Z_i)": lambda world: float(bu_zou_veeravalli(world.individual_information, world.sigma)),
    "Pensia, best centre": along_the_path(pensia, "gradient_spreads", "dimension"),
    "Negrea": along_the_path(negrea, "gradient_variances", "batch_sizes"),
    "Li, Luo, Qiao": along_the_path(li_luo_qiao, "squared_gradient_norms", "batch_sizes"),
}
INFORMATION: dict[str, Callable[[LangevinQuadratic], float]] = {
    "I(S; W_T)": lambda world: world.mutual_information,
    "I(W_T; Z_i | others)": lambda world: float(world.conditional_information[0]),
    "I(S; W_1 ... W_T)": lambda world: world.trajectory_information,
    "Negrea, KL of paths": negrea_information,
}


#: What looks at the last weights alone.
OF_THE_LAST = {"I(S; W_T)", "I(W_T; Z_i)", "I(W_T; Z_i | others)"}


def table(largest: int) -> Table:
    """Return the figures at some numbers of steps."""
    shown = Table(title="Langevin dynamics on a quadratic loss: d = 2, n = 20, s = 1, eta = 0.05, beta = 200")
    shown.add_column("")
    worlds = [dynamics(steps) for steps in SHOWN if steps <= largest]
    for world in worlds:
        shown.add_column(f"T = {world.steps:,}", justify="right")
    shown.add_row("gap", *(f"{world.gap:.5f}" for world in worlds))
    gaps = [world.simulate(np.random.default_rng(0), RUNS) for world in worlds]
    simulated = [f"{each.mean():.4f} ± {each.std() / math.sqrt(RUNS):.4f}" for each in gaps]
    shown.add_row("simulated", *simulated, end_section=True)
    shown.add_row("[bold]information, nats")
    for name, quantity in INFORMATION.items():
        last = name == list(INFORMATION)[-1]
        shown.add_row(name, *(f"{quantity(world):.3f}" for world in worlds), end_section=last)
    shown.add_row("[bold]bound / gap, by")
    for name, bound in BOUNDS.items():
        shown.add_row(name, *(f"{bound(world) / world.gap:.2f}" for world in worlds))
    return shown


def picture(largest: int) -> Figure:
    """Return the plot over the number of steps."""
    steps = np.unique(np.geomspace(1, largest, 60).round().astype(int))
    worlds = [dynamics(int(each)) for each in steps]
    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}):
        figure = Figure(figsize=(9.5, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, curves, label in (
            (left, INFORMATION, "information, nats"),
            (
                right,
                {name: lambda world, b=bound: b(world) / world.gap for name, bound in BOUNDS.items()},
                "bound / gap",
            ),
        ):
            for place, (name, curve) in enumerate(curves.items()):
                values = [curve(world) for world in worlds]
                axes.plot(steps, values, label=name, color=f"C{place}", linestyle="-" if name in OF_THE_LAST else "--")
            axes.set(xscale="log", yscale="log", xlabel="steps T", ylabel=label)
            axes.grid(visible=True, alpha=0.3)
            axes.legend(frameon=False)
        left.set_title("The last weights forget, the path does not")
        right.set_title("So bounds along the path grow, the gap does not")
    return figure


def main() -> None:
    """Print the table and save the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, metavar="PICTURE")
    parser.add_argument("--steps", type=int, default=1000, help="largest number of steps")
    options = parser.parse_args()
    start = time.perf_counter()
    Console(width=150).print(table(options.steps))
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    picture(options.steps).savefig(options.picture, dpi=110)
    print(f"{options.picture} written; {time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
