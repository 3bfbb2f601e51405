"""The experiment behind a ranking: reproducible, resumable, the same on any executor, and rankable."""

from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from genbounds.measures import rank_measures
from genbounds.measures.experiments import grid_tasks, run_grid, train_and_measure
from genbounds.sweeps import Store, run

AXES = {
    "width": [8, 32],
    "depth": [1],
    "rate": [0.05, 0.2],
    "batch_size": [10],
    "examples": [30, 60],
    "repetition": [0],
}


def arrays(seed=0):
    """Two noisy clusters for each of three classes."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.standard_normal((6, 5))
    kind = rng.integers(0, 6, 300)
    inputs = (centres[kind] + 0.7 * rng.standard_normal((300, 5))).astype(np.float32)
    targets = (kind % 3).astype(np.int64)
    return {
        "inputs": inputs[:100], "targets": targets[:100], "test_inputs": inputs[100:], "test_targets": targets[100:],
    }  # fmt: skip


def one(**changes):
    settings = dict(width=8, depth=2, rate=0.1, batch_size=10, examples=40, repetition=0, epochs=200, seed=1)
    return train_and_measure(**settings | changes, **arrays())


def test_a_training_depends_on_its_arguments_alone():
    assert one() == one()
    assert one() != one(seed=2)
    assert one() != one(repetition=1)


def test_what_is_returned_fits_together():
    found = one()
    assert found["fitted"]
    assert found["training_loss"] <= 0.05
    assert found["gap"] == found["test_error"] - found["training_error"]
    assert found["log_prod_of_spec"] < found["log_prod_of_fro"]
    assert found["parameters"] == 8 * 6 + 8 * 9 + 3 * 9


def test_a_training_that_does_not_fit_says_so_and_one_that_diverges_too():
    assert not one(epochs=1, rate=1e-4)["fitted"]
    assert not one(rate=1e30, epochs=3)["fitted"]
    with pytest.raises(ValueError, match="examples must be"):
        one(examples=101)


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path):
    tasks = list(grid_tasks(AXES, arrays()))
    store = Store(tmp_path)
    outcomes = run(tasks, store=store)
    for _ in range(3):
        next(outcomes)
    outcomes.close()  # as if it had been killed here
    again = list(run(tasks, store=store))
    assert sum(not outcome.computed for outcome in again) == 3
    assert len(again) == len(tasks) == 8
    assert run_grid(AXES, arrays(), store=store) == run_grid(AXES, arrays())


def test_other_processes_give_the_same_table():
    with ProcessPoolExecutor(2) as executor:
        assert run_grid(AXES, arrays(), executor=executor) == run_grid(AXES, arrays())


def test_networks_that_did_not_fit_are_counted_and_the_others_ranked():
    table, missed = run_grid(AXES | {"rate": [1e-6, 0.05, 0.2]}, arrays(), epochs=100)
    assert missed >= 4
    assert set(table["rate"]) == {0.05, 0.2}
    varied = [axis for axis in ("width", "rate", "examples") if len(set(table[axis])) > 1]
    ranking = rank_measures(table, "gap", ["fro_dist"], varied, size="examples", permutations=5, draws=9)
    assert ranking.runs == len(table["gap"])
