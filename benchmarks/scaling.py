"""How cost grows: gradient coherence with the examples, by processes of torchrun, and trainings by workers.

    python benchmarks/scaling.py

CPU seconds of all processes, wall seconds and the largest resident memory of one process; every line is measured in a
fresh process, or in as many as it says.
"""

import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import distributed as dist
from torch import nn

from genbounds.coherence import measure
from genbounds.measures import run_grid

EXAMPLES = (8_000, 32_000, 128_000)
GRID = {"width": [32], "depth": [1, 2, 3], "rate": [0.02, 0.1], "batch_size": [64], "examples": [500]}


def coherence(examples: int) -> None:
    """Measure coherence of random examples, on as many processes as torchrun started, and print what it took."""
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo", timeout=timedelta(minutes=5))
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(examples, 784, generator=generator)
    targets = torch.randint(10, (examples,), generator=generator)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)).eval()
    measure(model, nn.functional.cross_entropy, (inputs[:512], targets[:512]))
    before, cpu, wall = _memory(), time.process_time(), time.perf_counter()
    found = measure(model, nn.functional.cross_entropy, (inputs, targets))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if dist.is_initialized():
        total = torch.tensor(cpu)
        dist.all_reduce(total)
        cpu = float(total)
    if not dist.is_initialized() or dist.get_rank() == 0:
        print(f"{found.alpha:.3e} {cpu:.2f} {wall:.2f} {_memory() - before:.0f}")
    if dist.is_initialized():
        dist.destroy_process_group()


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def trainings(repetitions: int, workers: int) -> tuple[int, float]:
    """Train a grid on digits and return how many networks in how many seconds of wall time."""
    digits = load_digits()
    inputs, targets = (digits.data / 16).astype(np.float32), digits.target.astype(np.int64)
    names = ("inputs", "targets", "test_inputs", "test_targets")
    arrays = dict(zip(names, (inputs[:1000], targets[:1000], inputs[1000:], targets[1000:]), strict=True))
    axes = GRID | {"label_noise": [0.0], "repetition": list(range(repetitions))}
    start = time.perf_counter()
    with ProcessPoolExecutor(workers) as executor:
        run_grid(axes, arrays, executor=executor)
    return 6 * repetitions, time.perf_counter() - start


def main() -> None:
    """Print the tables."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    print("coherence with intervals, 784-300-100-10, random examples")
    print(f"{'examples':>9} {'processes':>9} {'CPU s':>7} {'wall s':>7} {'us/example':>11} {'MiB more':>9}  alpha")
    for examples, processes in [*((n, 1) for n in EXAMPLES), (EXAMPLES[-1], 2)]:
        launcher = [] if processes == 1 else ["-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
        command = [sys.executable, *launcher, __file__, str(examples)]
        printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        alpha, cpu, wall, memory = printed.split()
        each = 1e6 * float(cpu) / examples
        print(f"{examples:9,} {processes:9} {cpu:>7} {wall:>7} {each:11.1f} {memory:>9}  {alpha}")
    print("\nnetworks on digits, trained many at a time and measured")
    print(f"{'networks':>9} {'workers':>8} {'wall s':>7} {'networks/s':>11}")
    for repetitions, workers in [(6, 1), (24, 1), (24, 2)]:
        networks, wall = trainings(repetitions, workers)
        print(f"{networks:9} {workers:8} {wall:7.1f} {networks / wall:11.1f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        coherence(int(sys.argv[1]))
    else:
        main()
