"""What a fresh weight draw per example costs: passes over MNIST-shaped data, in plain forward passes, in one run.

python benchmarks/monte_carlo.py
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from genbounds.models.examples import TensorData
from genbounds.models.passes import count_errors, count_errors_fresh_draws, count_errors_shared_draw
from genbounds.models.randomness import PerExampleForward

from mnist_certificate import convolutional, fully_connected  # isort: skip

EXAMPLES, REPEATS = 10_000, 5


def seconds(runs: list[Callable[[], object]]) -> list[float]:
    """Time several runs in turn, so that a drift of the machine hits all alike; the median of each."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(REPEATS):
        for place, run in enumerate(runs):
            start = time.perf_counter()
            run()
            times[place].append(time.perf_counter() - start)
    return [float(np.median(one)) for one in times]


def main() -> None:
    """Print the table."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(EXAMPLES, 1, 28, 28, generator=generator)
    data = TensorData(inputs, torch.randint(10, (EXAMPLES,), generator=generator), "random images")
    indices = np.arange(EXAMPLES)
    table = Table(title=f"{EXAMPLES:,} examples, {torch.get_num_threads()} threads: seconds, and ratio to a plain pass")
    for heading in (
        "network",
        "layers",
        "plain pass",
        "fresh draw per example",
        "ratio",
        "aim",
        "shared draw",
        "ratio",
        "aim",
    ):
        table.add_column(heading)
    for name, factory, aim in (("fully connected", fully_connected, 3), ("convolutional", convolutional, 6)):
        model = factory().eval()
        mean = {key: value.detach() for key, value in model.named_parameters()}
        scale = {key: torch.full_like(value, 0.02) for key, value in mean.items()}
        plain, fresh, shared = seconds([
            lambda model=model: count_errors(model, data, indices),
            lambda m=(model, mean, scale): count_errors_fresh_draws(*m, data, indices, number=0, seed=0),
            lambda m=(model, mean, scale): count_errors_shared_draw(*m, data, indices, number=0, seed=0),
        ])
        rules = PerExampleForward(model, inputs[:5]).rules
        drawn = f"{sum(rule == 'real draws' for rule in rules.values())} of {len(rules)} drawn"
        row = (
            f"{plain:.3f}",
            f"{fresh:.3f}",
            f"{fresh / plain:.2f}",
            f"<= {aim}",
            f"{shared:.3f}",
            f"{shared / plain:.2f}",
            "<= 1.5",
        )
        table.add_row(name, drawn, *row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
