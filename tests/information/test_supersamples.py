"""The experiment: what it draws, the same bytes on any executor and after being killed, what it refuses."""

import importlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch

from genbounds.information.supersamples.experiment import draw_supersamples, supersample_experiment
from genbounds.information.supersamples.masks import draw_masks
from genbounds.information.supersamples.records import Supersamples
from genbounds.models.data import load_data
from genbounds.models.ensembles import EnsembleTraining, train_ensemble
from genbounds.models.networks import mlp
from genbounds.models.randomness import stream
from genbounds.sweeps import Store, TaskError, open_executor

ROOT = Path(__file__).parents[2]
QUICK = EnsembleTraining(epochs=8, batch_size=6, learning_rate=0.02)

FUNCTIONS = '''
import torch
from torch import nn


def nearest(inputs, targets, seed, device, dtype, power=2):
    """Nearest neighbour: no randomness, class indices as an array."""
    def predict(examples):
        distances = (examples.flatten(1)[:, None] - inputs.flatten(1)[None]).abs().pow(power).sum(2)
        return targets[distances.argmin(1)].numpy()
    return predict


def dropped(inputs, targets, seed, device, dtype):
    """A module with dropout, trained with torch's global generator; scores."""
    model = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 3)).to(dtype)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(30):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimiser.step()
    return model


def nothing(inputs, targets, seed, device, dtype):
    return 3


def halves(inputs, targets, seed, device, dtype):
    return lambda examples: torch.full((len(examples),), 0.5)


def beyond(inputs, targets, seed, device, dtype):
    return lambda examples: torch.full((len(examples),), 3)


def diverged(inputs, targets, seed, device, dtype):
    return lambda examples: torch.full((len(examples), 3), torch.nan)


def drawn(inputs, targets, seed, device, dtype):
    return lambda examples: torch.rand(len(examples), 3)


def batch_norm():
    return nn.Sequential(nn.Flatten(), nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
'''


@pytest.fixture(scope="module")
def data():
    """Three overlapping blobs in the plane."""
    source = np.random.default_rng(0)
    targets = source.integers(3, size=90)
    inputs = source.standard_normal((90, 2)) + 2.0 * np.array([[0, 0], [1, 0], [0, 1]])[targets]
    return load_data((inputs.astype(np.float32), targets))


@pytest.fixture
def functions(tmp_path):
    path = tmp_path / "functions.py"
    path.write_text(FUNCTIONS, encoding="utf-8")
    return str(path)


def experiment(data, **changes):
    settings = {"n": 12, "supersamples": 2, "masks": 6, "together": 4, "training": QUICK, "seed": 3}
    return supersample_experiment(data, **settings | changes)


def saved(record, path):
    record.save(path)
    return path.read_bytes()


def test_what_is_recorded(data):
    record = experiment(data)
    assert record.masks.shape == (2, 6, 12)
    for number in range(2):
        np.testing.assert_array_equal(record.masks[number], draw_masks(6, 12, seed=3, supersample=number))
    _, targets = draw_supersamples(data, 12, count=2, seed=3)
    np.testing.assert_array_equal(record.losses, record.predictions != targets[:, None])
    trained = np.take_along_axis(record.losses, record.masks[..., None], -1)
    ghosts = np.take_along_axis(record.losses, 1 - record.masks[..., None], -1)
    assert trained.mean() < ghosts.mean()
    assert len(record.provenance["tasks"]) == 4
    assert record.provenance["torch"] == [torch.__version__]
    assert record.provenance["arguments"] == {"inputs": 2, "classes": 3}
    assert (record.provenance["labels"], record.provenance["classes"]) == ([0, 1, 2], 3)


def test_each_network_is_the_one_trained_alone_on_what_its_mask_names(data):
    """In float64, so that rounding decides no prediction; examples are picked here one by one."""
    record = experiment(data, dtype="float64")
    inputs, targets = draw_supersamples(data, 12, count=2, seed=3)
    for task in record.provenance["tasks"]:
        number, first = task["supersample"], task["first mask"]
        for row, mask in enumerate(record.masks[number, first : first + 4]):
            picked = torch.tensor(np.stack([inputs[number, i, u] for i, u in enumerate(mask)]), dtype=torch.float64)
            labels = torch.tensor([int(targets[number, i, u]) for i, u in enumerate(mask)])
            seed = stream(3, f"training {number}", first + row).initial_seed()
            predict = train_ensemble(lambda: mlp(2, 3), picked, labels, torch.arange(12)[None], [seed], QUICK, 3)
            pool = torch.tensor(inputs[number], dtype=torch.float64).flatten(0, 1)
            wanted = predict(pool)[0].argmax(1).reshape(12, 2)
            np.testing.assert_array_equal(record.predictions[number, first + row], wanted)


def test_supersamples_hold_distinct_examples(data):
    inputs, targets = draw_supersamples(data, 45, count=3, seed=1)
    assert inputs.shape == (3, 45, 2, 2)
    everything = np.sort(data.inputs.numpy().view("f4,f4").ravel())
    for number in range(3):
        rows = np.ascontiguousarray(inputs[number].reshape(-1, 2)).view("f4,f4").ravel()
        np.testing.assert_array_equal(np.sort(rows), everything)
    few, _ = draw_supersamples(data, 45, count=2, seed=1)
    np.testing.assert_array_equal(few, inputs[:2])
    lookup = {row.tobytes(): int(target) for row, target in zip(data.inputs.numpy(), data.targets, strict=True)}
    assert all(lookup[x.tobytes()] == y for x, y in zip(inputs.reshape(-1, 2), targets.ravel(), strict=True))


def test_classes_are_kept_and_numbered_in_their_order(data):
    inputs, targets = draw_supersamples(data, 10, count=2, classes=[2, 0], seed=1)
    lookup = {row.tobytes(): int(target) for row, target in zip(data.inputs.numpy(), data.targets, strict=True)}
    for x, y in zip(inputs.reshape(-1, 2), targets.ravel(), strict=True):
        assert lookup[x.tobytes()] == [2, 0][y]


def test_label_noise_changes_labels_to_others_at_its_rate(data):
    clean_inputs, clean = draw_supersamples(data, 40, count=25, seed=1)
    inputs, noisy = draw_supersamples(data, 40, count=25, seed=1, label_noise=0.3)
    np.testing.assert_array_equal(inputs, clean_inputs)
    flipped = noisy != clean
    assert abs(flipped.mean() - 0.3) < 5 * (0.3 * 0.7 / flipped.size) ** 0.5
    moved = np.bincount((noisy - clean)[flipped] % 3, minlength=3)
    assert moved[0] == 0
    assert abs(moved[1] / flipped.sum() - 0.5) < 5 * (0.25 / flipped.sum()) ** 0.5


def test_examples_computed_one_by_one_are_the_same(data):
    class Computed:
        def __len__(self):
            return len(data)

        def __getitem__(self, index):
            return data.inputs[index], int(data.targets[index])

    for ours, theirs in zip(draw_supersamples(data, 9), draw_supersamples(load_data(Computed()), 9), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed", "ignore::ResourceWarning")
def test_every_executor_gives_the_same_bytes(data, tmp_path):
    wanted = saved(experiment(data), tmp_path / "a.npz")
    with ThreadPoolExecutor(3) as executor:
        assert saved(experiment(data, executor=executor), tmp_path / "b.npz") == wanted
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        assert saved(experiment(data, executor=executor), tmp_path / "c.npz") == wanted
    distributed = pytest.importorskip("distributed", reason="the cluster needs dask.distributed")
    with (
        distributed.LocalCluster(1, processes=False, threads_per_worker=2, dashboard_address=None) as cluster,
        open_executor(cluster=cluster.scheduler_address) as executor,
    ):
        assert saved(experiment(data, executor=executor), tmp_path / "d.npz") == wanted


def test_the_number_of_threads_does_not_matter(data, tmp_path):
    threads = torch.get_num_threads()
    found = []
    for count in (1, 2):
        torch.set_num_threads(count)
        found.append(saved(experiment(data), tmp_path / "a.npz"))
    torch.set_num_threads(threads)
    assert found[0] == found[1]


def test_more_masks_and_supersamples_compute_only_what_is_new(data, tmp_path):
    store = Store(tmp_path / "store")
    few = experiment(data, masks=4, store=store)
    before = {path: path.stat().st_mtime_ns for path in store.folder.rglob("*.npz")}
    many = experiment(data, masks=8, supersamples=3, store=store)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(store.folder.rglob("*.npz"))) == 6
    np.testing.assert_array_equal(many.predictions[:2, :4], few.predictions)
    np.testing.assert_array_equal(many.masks[:2, :4], few.masks)


def test_equal_masks_are_trained_anew(data):
    """With one pair there are two masks only; repetitions must not share their randomness."""
    record = experiment(data, n=1, masks=40, together=2, training=EnsembleTraining(epochs=1, learning_rate=1e-4))
    assert len(np.unique(record.predictions[0, ::2], axis=0)) > 2


@pytest.mark.parametrize("together", [1, 3, 8])
def test_how_many_are_trained_together_changes_nothing(data, functions, together):
    """Neither cutting the work in another way nor asking for more masks gives any training another seed."""
    settings = {"masks": 8, "dtype": "float64"}
    drawn = {"training": None, "function": f"{functions}:drawn", "masks": 8}
    for own in (settings, drawn):
        wanted = experiment(data, together=5, **own).predictions
        np.testing.assert_array_equal(experiment(data, together=together, **own).predictions, wanted)
        fewer = experiment(data, together=together, **own | {"masks": 4}).predictions
        np.testing.assert_array_equal(fewer, wanted[:, :4])


def test_a_training_that_diverged_is_no_prediction(data, functions):
    with pytest.raises(ValueError, match=r"must end in scores that are numbers, got NaN.*smaller learning rate"):
        experiment(data, training=EnsembleTraining(20, 4, "sgd", learning_rate=1e9))
    with pytest.raises(ValueError, match="must end in scores that are numbers, got NaN"):
        experiment(data, training=None, function=f"{functions}:diverged")


PROGRAM = """
import sys
import numpy as np
from genbounds.models.ensembles import EnsembleTraining
from genbounds.information.supersamples.experiment import supersample_experiment
from genbounds.sweeps import Store

def experiment(folder):
    source = np.random.default_rng(0)
    targets = source.integers(2, size=60)
    inputs = (source.standard_normal((60, 2)) + targets[:, None]).astype(np.float32)
    training = EnsembleTraining(epochs=60, batch_size=5)
    return supersample_experiment(
        (inputs, targets), 20, supersamples=2, masks=16, together=2, training=training, store=Store(folder)
    )

if __name__ == "__main__":
    experiment(sys.argv[1])
"""


def test_killed_and_resumed(tmp_path, monkeypatch):
    """SIGKILL in the middle; resumed, the record is the one of a run that was never interrupted."""
    (tmp_path / "program_to_kill.py").write_text(PROGRAM, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "program_to_kill.py"), str(tmp_path / "store")], env=environment
    )
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "store").rglob("*.npz"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.npz")}
    assert 2 <= len(kept) < 16
    monkeypatch.syspath_prepend(str(tmp_path))
    again = importlib.import_module("program_to_kill").experiment
    resumed = saved(again(tmp_path / "store"), tmp_path / "resumed.npz")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert resumed == saved(again(tmp_path / "fresh"), tmp_path / "fresh.npz")
    assert Supersamples.load(tmp_path / "resumed.npz").masks.shape == (2, 16, 20)


def test_a_function_of_the_users_own(data, functions):
    record = experiment(data, training=None, function=f"{functions}:nearest", arguments={"power": 1})
    trained = np.take_along_axis(record.losses, record.masks[..., None], -1)
    assert trained.max() == 0  # its own nearest neighbour
    assert record.losses.max() == 1
    assert record.provenance["function"] == f"{functions}:nearest"
    assert "network" not in record.provenance


def test_a_function_may_draw_from_the_global_generator(data, functions, tmp_path):
    torch.manual_seed(1)
    wanted = saved(experiment(data, training=None, function=f"{functions}:dropped"), tmp_path / "a.npz")
    torch.manual_seed(2)
    with ThreadPoolExecutor(3) as executor:
        again = experiment(data, training=None, function=f"{functions}:dropped", executor=executor)
    assert saved(again, tmp_path / "b.npz") == wanted


def test_a_function_that_changed_is_run_again(data, functions, tmp_path):
    store = Store(tmp_path / "store")
    settings = {"training": None, "function": f"{functions}:nearest", "supersamples": 1, "store": store}
    first = experiment(data, **settings)
    text = Path(functions).read_text(encoding="utf-8").replace("argmin(1)", "argmax(1)")
    other = tmp_path / "other" / "functions.py"
    other.parent.mkdir()
    other.write_text(text, encoding="utf-8")
    second = experiment(data, **settings | {"function": f"{other}:nearest"})
    assert first.provenance["code"] != second.provenance["code"]
    assert (first.predictions != second.predictions).any()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"n": 46}, "n must be from 1 to 45, as a supersample takes 2n of the 90 examples .* got 46"),
        ({"n": 0}, "n must be from 1 to 45"),
        ({"masks": 7}, "masks must be even"),
        ({"supersamples": 0}, "supersamples must be at least 1"),
        ({"together": 0}, "together must be at least 1"),
        ({"classes": [0, 7]}, r"classes must be two or more of \[0, 1, 2\], each once, got \[0, 7\]"),
        ({"classes": [1, 1]}, "each once"),
        ({"classes": [1]}, "two or more"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"label_noise": 1.0}, r"label_noise must be in \[0, 1\)"),
        ({"dtype": "float16"}, "dtype must be float32 or float64"),
        ({"network": "no_colon"}, "factory must be"),
        ({"network": "genbounds.models.networks:nothing"}, "no 'nothing' there"),
        (
            {"network": "genbounds.models.networks:mlp", "arguments": {"x": {1}}},
            "argument 'arguments' must be a JSON",
        ),
        ({"function": "math:gcd"}, "network and training must be left out with a function"),
    ],
)
def test_refusals(data, changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        experiment(data, **changes)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("nothing", "must return a callable from inputs to classes or scores, got a int"),
        ("halves", r"class indices \(m,\) below 3 or scores \(m, 3\), got torch.float32"),
        ("beyond", "below 3"),
        ("batch_norm", "arguments must fit"),
    ],
)
def test_functions_that_return_no_predictor(data, functions, name, complaint):
    with pytest.raises(TaskError, match=complaint):
        experiment(data, training=None, function=f"{functions}:{name}")


def test_batch_norm_is_refused_with_the_way_out(data, functions):
    with pytest.raises(TaskError, match=r"BatchNorm1d\. Use GroupNorm or LayerNorm"):
        experiment(data, network=f"{functions}:batch_norm")
