"""Distances between paths against plain rapidfuzz, and their memory: ``python benchmarks/pathway_distances.py``.

2,000 samples, 16 layers, 35 of 64 experts in random order, one thread, two minutes. Plain is what a user would write:
one ``process.cdist`` for each layer with strings of one character for each expert, or one of the concatenated strings
(of 1,000 samples). Ratios are of one run, each the best of two; distances are compared number by number.
"""

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.table import Table

from genbounds.pathways import Paths, distance_blocks, distance_matrix

SAMPLES, LAYERS, EXPERTS, LISTED, CONCATENATED = 2000, 16, 64, 35, 1000


def random_paths(samples: int) -> Paths:
    """Return paths of random lists."""
    order = np.random.default_rng(0).permuted(np.tile(np.arange(EXPERTS), (samples, LAYERS, 1)), axis=2)
    lengths = np.full((samples, LAYERS), LISTED)
    return Paths(order[..., :LISTED].astype(np.int16), lengths, (EXPERTS,) * LAYERS, "random", np.zeros(samples, int))


def plain(strings: list[list[str]]) -> NDArray[np.int32]:
    """Add what rapidfuzz finds for each part."""
    return sum(process.cdist(part, part, scorer=Levenshtein.distance, dtype=np.int32) for part in strings)


def streamed(paths: Paths, upper: bool) -> float:
    """Add all distances, a block at a time."""
    return sum(float(block.sum()) for _, block in distance_blocks(paths, upper=upper))


def seconds(function: Callable[[], object]) -> tuple[float, object]:
    """Return the better wall-clock time of two runs, and the result."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def peak(samples: int) -> float:
    """Return the largest memory in MB while all pairs are streamed, paths themselves left out."""
    paths = random_paths(samples)
    tracemalloc.start()
    streamed(paths, upper=True)
    largest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return largest / 1e6


def main() -> None:
    """Print both tables."""
    console = Console(width=110)
    paths, few = random_paths(SAMPLES), random_paths(CONCATENATED)
    layers = [["".join(map(chr, row)) for row in paths.symbols[:, layer].tolist()] for layer in range(LAYERS)]
    tagged = (few.symbols + EXPERTS * np.arange(LAYERS)[:, None]).reshape(CONCATENATED, -1)
    concatenated = ["".join(map(chr, row)) for row in tagged.tolist()]

    table = Table(title=f"{LAYERS} layers, {LISTED} of {EXPERTS} experts, one thread")
    for name in ("distance", "samples", "how", "seconds", "µs per pair", "ratio to plain"):
        table.add_column(name, justify="left" if name in {"distance", "how"} else "right")

    def show(distance: str, samples: int, how: str, taken: float, reference: float) -> None:
        each = 2e6 * taken / (samples * (samples - 1))
        table.add_row(distance, f"{samples}", how, f"{taken:.2f}", f"{each:.2f}", f"{taken / reference:.2f}")

    reference, known = seconds(lambda: plain(layers))
    show("layers", SAMPLES, "plain rapidfuzz", reference, reference)
    taken, found = seconds(lambda: distance_matrix(paths))
    show("layers", SAMPLES, "distance_matrix", taken, reference)
    if not np.array_equal(known, found):
        raise SystemExit("layers: other distances than rapidfuzz's")
    taken, total = seconds(lambda: streamed(paths, upper=True))
    show("layers", SAMPLES, "blocks, each pair once", taken, reference)
    taken, total = seconds(lambda: streamed(paths, upper=False))
    show("layers", SAMPLES, "blocks, whole rows", taken, reference)
    if total != known.sum():
        raise SystemExit("blocks: another sum than rapidfuzz's")
    reference, known = seconds(lambda: plain([concatenated]))
    show("concatenated", CONCATENATED, "plain rapidfuzz", reference, reference)
    taken, found = seconds(lambda: distance_matrix(few, metric="concatenated"))
    show("concatenated", CONCATENATED, "distance_matrix", taken, reference)
    if not np.array_equal(known, found):
        raise SystemExit("concatenated: other distances than rapidfuzz's")
    console.print(table)

    memory = Table(title="Largest memory while all pairs by layers are streamed, paths left out")
    for name in ("samples", "MB", "MB for 1,000 samples", "a whole matrix, MB"):
        memory.add_column(name, justify="right")
    for samples in (1000, 2000, 4000):
        used = peak(samples)
        memory.add_row(f"{samples}", f"{used:.1f}", f"{1000 * used / samples:.2f}", f"{8e-6 * samples**2:.0f}")
    console.print(memory)


if __name__ == "__main__":
    main()
