"""One process and two agree bit for bit in all that the room measures; over gloo, started once for all checks."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed as dist
from torch import nn

from genbounds.coherence import (
    coordinate_moments,
    fit_preconditioner,
    gram_matrix,
    hessian_alignment,
    influence,
    measure,
    preconditioned_coherence,
)
from genbounds.models.blocks import Blocks
from genbounds.models.per_example.engine import PerExampleGradients


def results(number):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).eval()
    x = torch.randn(number, 6, generator=torch.Generator().manual_seed(1))
    examples, loss = (x, torch.arange(number) % 3), nn.functional.cross_entropy
    gram = gram_matrix(model, loss, examples, examples=30, batch_size=8)
    moments = coordinate_moments(model, loss, examples, batch_size=16)
    p = fit_preconditioner(model, loss, examples, batch_size=16)
    found = preconditioned_coherence(model, loss, examples, p, batch_size=16)
    moved = influence(model, loss, examples, (x[:7].flip(1), examples[1][:7]), groups=2, batch_size=16)
    heads = hessian_alignment(model, examples, (x.flip(1), examples[1]), batch_size=16)
    blocks, engine = Blocks(examples, 16), PerExampleGradients(model, loss)
    rows = {
        index: row
        for block in blocks
        for index, row in zip(block.index, engine.squared_norms(block.inputs, block.targets).squared, strict=True)
    }
    record = measure(model, loss, examples, second=(x[:7].flip(1), examples[1][:7]), null_draws=5, batch_size=16)
    return {
        "norms": blocks.gather(
            list(rows), torch.stack([*rows.values()]) if rows else torch.zeros(0, 4).double()
        ).numpy(),
        "record": np.array(json.dumps(record.to_json())),
        "products": gram.products,
        "labels": gram.labels,
        "squares": moments.squares["0.weight"].numpy(),
        "totals": moments.totals["0.weight"].numpy(),
        "influences": moved.by_group,
        "damping": np.array([moved.damping, *moved.residuals]),
        "heads": np.array([heads.spectral_norm, heads.frobenius_distance, heads.gradient_distance]),
        "preconditioned": np.array([[part.squared_mean, part.second_moment] for part in (found.total, *found.layers)]),
    }


NUMBERS = (45, 7)  # three blocks, or four of pairs; one block, so that the second process has none


def process(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    for number in NUMBERS:
        np.savez(folder / f"{number}-{rank}.npz", **results(number))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("processes")
    running = [subprocess.Popen([sys.executable, __file__, str(rank), str(path)]) for rank in range(2)]
    assert [one.wait(timeout=300) for one in running] == [0, 0]
    return path


@pytest.mark.parametrize("number", NUMBERS)
def test_two_processes_give_the_same_bits(folder, number):
    alone = results(number)
    for rank in range(2):
        with np.load(folder / f"{number}-{rank}.npz") as found:
            for name, value in alone.items():
                np.testing.assert_array_equal(found[name], value, err_msg=name)


if __name__ == "__main__":
    process(int(sys.argv[1]), Path(sys.argv[2]))
