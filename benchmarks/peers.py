"""Other implementations beside ours: ``python benchmarks/peers.py``, a quarter of a minute on one thread.

Two peers invert the binary relative entropy: the bisection that one writes down first, from its description, and
pacbb, a package for PAC-Bayes bounds (``pip install pacbb==0.1.2``; a checkout of its sources on PYTHONPATH has more in
it than the release). What is not there is skipped, with the reason. "Below the truth" is decided by ball arithmetic
(python-flint).
"""

import math
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import numpy as np
from numerics import proven, seconds
from rich.console import Console
from rich.table import Table

from genbounds.numerics import kl_upper
from genbounds.pac_bayes import maurer, mcallester

INPUTS = 5000
#: What pacbb documents; the name of its package is ``core``.
PARTS = ("bound", "distribution", "layer", "loss", "metric", "model", "risk", "split_strategy", "training", "utils")

Inverse = Callable[[float, float], float]


def relative_entropy(q: float, p: float) -> float:
    """Return kl(q, p), as one writes it down; 0 ln 0 = 0."""
    heads = q * math.log(q / p) if q > 0 else 0.0
    tails = (1 - q) * math.log((1 - q) / (1 - p)) if q < 1 else 0.0
    return heads + tails


def bisection(q: float, c: float, tolerance: float) -> float:
    """Invert by bisection and return the last midpoint, as is usual."""
    low, high = q, 1.0
    middle = (low + high) / 2
    while high - low > tolerance:
        middle = (low + high) / 2
        if middle < 1 and relative_entropy(q, middle) <= c:
            low = middle
        else:
            high = middle
    return middle


def imported(name: str) -> ModuleType | str:
    """Return a module, or why there is none."""
    try:
        return import_module(name)
    except ImportError as error:
        return str(error)


def what_runs(console: Console) -> None:
    """Say which parts of pacbb can be imported."""
    try:
        release = version("pacbb")
    except PackageNotFoundError:
        release = "no release"
    found = {name: imported(name) for name in ("core", *(f"core.{part}" for part in PARTS))}
    if isinstance(found["core"], str):
        console.print(f"pacbb: skipped, as it is not installed ({found['core']})\n")
        return
    table = Table(title=f"pacbb ({release} installed): which of its parts can be imported")
    for name in ("part", "result"):
        table.add_column(name)
    for name, part in found.items():
        table.add_row(name, part if isinstance(part, str) else "imported")
    console.print(table)


def inputs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return q and c: as certificates have them, anywhere, and at the ends."""
    rng = np.random.default_rng(0)
    q, c = rng.random(INPUTS), 10.0 ** rng.uniform(-6, 1, INPUTS)
    small = 10.0 ** rng.uniform(-5, -0.5, INPUTS)
    n = 10.0 ** rng.uniform(3, 6, INPUTS)
    ends = np.repeat([0.0, 1.0], 500)
    return {
        f"q uniform, c in [1e-6, 10] ({INPUTS:,})": (q, c),
        f"q in [1e-5, 0.3], c = 50 / n ({INPUTS:,})": (small, 50 / n),
        "q = 0 (500)": (ends[:500], 10.0 ** rng.uniform(-6, 1, 500)),
        "q = 1 (500)": (ends[500:], 10.0 ** rng.uniform(-6, 1, 500)),
    }


def inverses() -> dict[str, Inverse]:
    """Return every peer that is there."""
    found: dict[str, Inverse] = {
        "bisection to 1e-5, midpoint": lambda q, c: bisection(q, c, 1e-5),
        "bisection to 1e-12, midpoint": lambda q, c: bisection(q, c, 1e-12),
    }
    utils = imported("core.utils.kl")
    if not isinstance(utils, str):
        found["pacbb inv_kl"] = utils.inv_kl
    return found


def correctness(console: Console) -> int:
    """Count who is below the truth, how often and by how much; return how often we are."""
    ours_below = 0
    for label, (q, c) in inputs().items():
        ours = np.asarray(kl_upper(q, c))
        together = seconds(lambda q=q, c=c: kl_upper(q, c), 3)
        table = Table(title=label)
        for name in ("inverse", "below the truth", "by at most", "above by at most", "µs per input", "times slower"):
            table.add_column(name, justify="left" if name == "inverse" else "right")
        begin = time.perf_counter()
        singly = np.array([float(kl_upper(*pair)) for pair in zip(q.tolist(), c.tolist(), strict=True)])
        rows = [
            ("genbounds kl_upper", ours, together),
            ("the same, one at a time", singly, time.perf_counter() - begin),
        ]
        for name, inverse in inverses().items():
            begin = time.perf_counter()
            values = np.array([inverse(*pair) for pair in zip(q.tolist(), c.tolist(), strict=True)])
            rows.append((name, values, time.perf_counter() - begin))
        for name, values, spent in rows:
            triples = zip(q.tolist(), c.tolist(), values.tolist(), strict=True)
            below = np.array([not proven(*triple) for triple in triples])
            ours_below += int(below.sum()) if values is ours or values is singly else 0
            short = f"{(ours - values)[below].max():.1e}" if below.any() else "-"
            table.add_row(
                name,
                f"{below.sum():,} ({below.mean():.0%})",
                short,
                f"{max(float((values - ours).max()), 0.0):.1e}",
                f"{spent / q.size * 1e6:.2f}",
                f"{spent / together:.1f}",
            )
        console.print(table)
    return ours_below


def brackets(console: Console) -> None:
    """Compare whole bounds: with the usual slip of a bracket, and pacbb's where they are there."""
    table = Table(title="whole bounds: risk 0.02 from 150,000 draws, KL 1,000 nats, delta 0.025 and 0.01 for the draws")
    for name in ("n", "bound", "nats of the log term", "value", "the theorem's", "wrong by"):
        table.add_column(name, justify="left" if name == "bound" else "right")
    risk, kl, draws, delta, draw_delta = 0.02, 1000.0, 150_000, 0.025, 0.01
    limit = float(kl_upper(risk, math.log(2 / draw_delta) / draws))
    peers = imported("core.bound")
    for n in (15_000, 60_000):
        right, wrong = math.log(2 * math.sqrt(n) / delta), math.log(2 * math.sqrt(n)) / delta
        truth = {"McAllester": float(mcallester(limit, kl, n, delta)), "kl": float(maurer(limit, kl, n, delta))}
        slipped = limit + math.sqrt((kl + wrong) / (2 * n))
        rows = [("McAllester with ln(2 sqrt n) / delta", "McAllester", wrong, slipped)]
        if not isinstance(peers, str):
            for name, kind, nats in (("McAllesterBound", "McAllester", wrong), ("KLBound", "kl", right)):
                value, _ = getattr(peers, name)(delta, draw_delta).calculate(risk, kl, n, draws)
                rows.append((f"pacbb {name}", kind, nats, float(value)))
        for name, kind, nats, value in rows:
            cells = (f"{nats:.1f}", f"{value:.9f}", f"{truth[kind]:.9f}", f"{value - truth[kind]:+.1e}")
            table.add_row(f"{n:,}", name, *cells)
    console.print(table)
    if isinstance(peers, str):
        console.print(f"pacbb's bounds: skipped ({peers})")


def main() -> None:
    """Print every table; fail if one of our results is below the truth."""
    console = Console(width=140)
    what_runs(console)
    below = correctness(console)
    brackets(console)
    console.print(f"\ngenbounds below the truth: {below}")
    if below:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
