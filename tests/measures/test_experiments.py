"""The experiment behind a ranking: reproducible, resumable, the same on any executor, and rankable."""

import json
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch

from genbounds.cli.app import main
from genbounds.measures import rank_measures
from genbounds.measures.experiments import _sample, average_repetitions, grid_tasks, run_grid, train_and_measure
from genbounds.models.ensembles import initial_network
from genbounds.models.networks import mlp
from genbounds.models.randomness import stream
from genbounds.sweeps import Store, run

AXES = {
    "width": [8, 32],
    "depth": [1],
    "rate": [0.05, 0.2],
    "batch_size": [10],
    "examples": [30, 60],
    "label_noise": [0.0],
    "repetition": [0, 1],
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


def group(**changes):
    settings = dict(
        width=8, depth=2, batch_size=10, examples=40, label_noise=0.0, rates=[0.1, 0.2], repetitions=[0, 1], epochs=200
    )
    settings |= {"sharpness": False, "seed": 1}
    return train_and_measure(**settings | changes, **arrays())["runs"]


def test_a_training_depends_on_its_arguments_alone():
    assert group() == group()
    assert group() != group(seed=2)
    assert group(repetitions=[1]) != group(repetitions=[0])


def test_networks_trained_at_once_are_those_trained_alone():
    # The first network of a group has the same streams as one that is alone.
    many, (alone,) = group(), group(rates=[0.1], repetitions=[0])
    assert len(many) == 4
    assert [(run["rate"], run["repetition"]) for run in many] == [(0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)]
    for name, value in alone.items():
        assert many[0][name] == pytest.approx(value, rel=1e-3, abs=1e-9), name


def test_a_plain_loop_gives_the_same_network():
    (found,) = group(rates=[0.1], repetitions=[3])
    chosen = np.random.default_rng(3).permutation(100)[:40]
    data = arrays()
    x, y = torch.from_numpy(data["inputs"][chosen]), torch.from_numpy(data["targets"][chosen])
    seed = stream(1, "network", 0).initial_seed()
    model = initial_network(lambda: mlp(5, 3, 8, 2), seed)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    order = stream(seed, "order")
    for _ in range(found["epochs"]):
        for batch in torch.randperm(40, generator=order).split(10):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimiser.step()
    loss = float(torch.nn.functional.cross_entropy(model(x).double(), y).detach())
    assert found["training_loss"] == pytest.approx(loss, rel=1e-3)
    wrong = model(torch.from_numpy(data["test_inputs"])).argmax(1).numpy() != data["test_targets"]
    assert found["test_error"] == pytest.approx(wrong.mean(), abs=0.006)


def test_what_is_returned_fits_together():
    for found in group(sharpness=True):
        assert found["fitted"]
        assert found["training_loss"] <= 0.05
        assert found["cross_entropy"] == pytest.approx(found["training_loss"], rel=1e-4)
        assert found["gap"] == pytest.approx(found["test_error"] - found["training_error"])
        assert found["log_prod_of_spec"] < found["log_prod_of_fro"]
        assert found["parameters"] == 8 * 6 + 8 * 9 + 3 * 9
        assert found["pac_bayes_flatness"] == pytest.approx(found["noise_radius"] ** -2)


def test_noise_changes_that_share_of_labels_and_training_on_them_costs_error():
    clean, noisy = (
        group(label_noise=noise, width=64, rates=[0.02], repetitions=range(4), epochs=2000) for noise in (0, 0.3)
    )
    assert all(run["fitted"] for run in noisy)
    assert np.mean([run["test_error"] for run in noisy]) > np.mean([run["test_error"] for run in clean]) + 0.1
    data = arrays()
    for share in (0.0, 0.3, 1.0):
        x, y = _sample(data["inputs"], data["targets"], 2, 50, share, 3)
        clean_x, clean_y = _sample(data["inputs"], data["targets"], 2, 50, 0.0, 3)
        assert torch.equal(x, clean_x)
        assert int((y != clean_y).sum()) == round(share * 50)


def test_a_training_that_does_not_fit_says_so_and_one_that_diverges_harms_no_other():
    assert not any(run["fitted"] for run in group(epochs=1, rates=[1e-4]))
    slow, wild = group(rates=[0.1, 1e30], repetitions=[0])
    assert slow["fitted"]
    assert not wild["fitted"]
    assert wild["training_loss"] is None or wild["training_loss"] > 0.05
    with pytest.raises(ValueError, match="examples must be"):
        group(examples=101)
    with pytest.raises(ValueError, match="label_noise"):
        group(label_noise=1.5)


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path):
    tasks = list(grid_tasks(AXES, arrays()))
    store = Store(tmp_path)
    outcomes = run(tasks, store=store)
    for _ in range(3):
        next(outcomes)
    outcomes.close()  # as if it had been killed here
    again = list(run(tasks, store=store))
    assert sum(not outcome.computed for outcome in again) == 3
    assert len(again) == len(tasks) == 4
    assert run_grid(AXES, arrays(), store=store) == run_grid(AXES, arrays())


def test_other_processes_give_the_same_table():
    with ProcessPoolExecutor(2) as executor:
        assert run_grid(AXES, arrays(), executor=executor) == run_grid(AXES, arrays())


def test_networks_that_did_not_fit_are_counted_and_the_others_ranked():
    table, missed = run_grid(AXES | {"rate": [1e-6, 0.05, 0.2]}, arrays(), epochs=100)
    assert missed >= 4
    assert set(table["rate"]) == {0.05, 0.2}
    varied = [axis for axis in ("width", "rate", "examples", "repetition") if len(set(table[axis])) > 1]
    ranking = rank_measures(table, "gap", ["fro_dist"], varied, size="examples", permutations=5, draws=9)
    assert ranking.runs == len(table["gap"])


def test_means_are_over_whole_configurations_alone():
    table = {"width": [1, 1, 2, 3, 3], "gap": [1.0, 3.0, 9.0, 2.0, 2.0], "radius": [1.0, None, 1.0, 1.0, 1.0]}
    assert average_repetitions(table, ["width"], 2) == {"width": [1, 3], "gap": [2.0, 2.0]}


def test_the_command_writes_tables_that_can_be_ranked_and_goes_on_where_it_was(tmp_path, capsys):
    common = ["sweep", "--width", "16", "--depth", "1", "--rate", "0.05", "0.2", "--batch-size", "32", "--examples"]
    common += ["100", "200", "--repetitions", "2", "--epochs", "100", "--out", str(tmp_path)]
    assert main(common) == 0
    assert "genbounds rank" in capsys.readouterr().out
    first = (tmp_path / "runs.csv").read_bytes()
    assert main([*common, "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert counts["networks"] == 8
    assert counts["axes"] == ["rate", "examples"]
    assert (tmp_path / "runs.csv").read_bytes() == first
    ranked = ["rank", str(tmp_path / "configurations.csv"), "--axes", "rate", "examples", "--size", "examples"]
    ranked += ["--measures", "path_norm", "--out", str(tmp_path / "rank"), "--permutations", "9", "--draws", "9"]
    assert main(ranked) == 0
    assert main([*common, "--test", "1796"]) != 0
    assert main([*common, "--epochs", "1", "--rate", "0.00001"]) != 0
