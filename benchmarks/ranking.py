"""Which norms follow the gap of 216 small networks on digits? Killed and started again, it goes on where it was.

    python benchmarks/ranking.py FOLDER

Three repetitions of 72 configurations are averaged; configurations of which one repetition did not fit are left out and
counted. Results are kept in FOLDER/store, the table in FOLDER/runs.csv, for `genbounds rank`.
"""

import csv
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console
from sklearn.datasets import load_digits

from genbounds.measures import rank_measures
from genbounds.measures.experiments import average_repetitions, run_grid
from genbounds.report.ranking import draw_ranking, ranking_text
from genbounds.sweeps import Store

AXES = {
    "width": [32, 128],
    "depth": [1, 2, 3],
    "rate": [0.02, 0.1],
    "batch_size": [16, 64],
    "examples": [250, 500, 1000],
    "label_noise": [0.0],
    "repetition": [0, 1, 2],
}
GRID = [axis for axis in AXES if axis not in {"repetition", "label_noise"}]


def main(folder: Path) -> None:
    """Run the grid, average repetitions, rank, and write table and figure."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.data))
    inputs, targets = (digits.data[order] / 16).astype(np.float32), digits.target[order].astype(np.int64)
    arrays = {
        "inputs": inputs[:1000],
        "targets": targets[:1000],
        "test_inputs": inputs[1000:],
        "test_targets": targets[1000:],
    }
    with ProcessPoolExecutor(2) as executor:
        table, missed = run_grid(AXES, arrays, sharpness=True, store=Store(folder / "store"), executor=executor)
    columns = average_repetitions(table, GRID, len(AXES["repetition"]))
    with (folder / "runs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    known = {*AXES, "fitted", "gap", "training_error", "test_error", "training_loss", "epochs"}
    measures = [name for name in columns if name not in known]
    ranking = rank_measures(columns, "gap", measures, GRID, size="examples", training_loss="training_loss")
    console = Console(width=120)
    console.print(ranking_text(ranking))
    total = int(np.prod([len(values) for values in AXES.values()]))
    console.print(
        f"{total} networks, {missed} did not fit; {len(columns['width'])} of {total // 3} configurations ranked."
    )
    draw_ranking(ranking).savefig(folder / "ranking.png", dpi=160)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    main(target)
