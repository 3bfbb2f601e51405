"""``genbounds inductive-bias``, on blobs in the plane and on a few digits."""

import inspect
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.cli.app import OK, USAGE_ERROR
from genbounds.cli.inductive_bias import inductive_bias
from genbounds.inductive_bias import Comparison, RandomComparison, ntk_hypotheses
from genbounds.models import save_state
from genbounds.rare_events import TailCurve
from genbounds.sweeps import run as sweeps_run
from genbounds.workflow.inductive_bias import PARTS, CheckpointBias

NETWORKS = """
from torch import nn
def small():
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3))
def linear():
    return nn.Linear(2, 3)
def kernel(inputs):
    return inputs @ inputs.T + 0.1 * (inputs**2) @ (inputs**2).T + 1e-3 * __import__("numpy").eye(len(inputs))
"""
SIZES = {"--train": 12, "--test": 15}


@pytest.fixture
def folder(tmp_path):
    """Three blobs as .npz, a second sample of them, networks, and a checkpoint trained a little."""
    source = np.random.default_rng(0)
    for name, number in (("data", 60), ("other", 30)):
        targets = source.integers(3, size=number)
        centres = np.array([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]])[targets]
        np.savez(
            tmp_path / f"{name}.npz",
            x=(centres + 0.5 * source.standard_normal((number, 2))).astype(np.float32),
            y=targets,
        )
    (tmp_path / "nets.py").write_text(NETWORKS, encoding="utf-8")
    archive = np.load(tmp_path / "data.npz")
    x, y = torch.from_numpy(archive["x"]), torch.from_numpy(archive["y"])
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    save_state(model.state_dict(), tmp_path / "net.safetensors")
    return tmp_path


def compared(folder, *options):
    sizes = [part for pair in SIZES.items() if pair[0] not in options for part in pair]
    return ["inductive-bias", "--data", folder / "data.npz", *sizes, "--out", folder / "out", *options]


def at_checkpoint(folder, *options):
    chosen = () if "--parts" in options else ("--parts", "tangent", "head", "evidence")
    return compared(
        *(folder, "--model", f"{folder / 'nets.py'}:small", "--checkpoint", folder / "net.safetensors"),
        *(*(("--noise", "0.1") if "--noise" not in options else ()), *chosen, *options),
    )


def content_of(folder):
    return json.loads((folder / "out" / "inductive_bias.json").read_text(encoding="utf-8"))


def refuse_to_compute(monkeypatch):
    def call(task):
        raise AssertionError(f"{task} was computed again")

    monkeypatch.setattr(sys.modules[sweeps_run.__module__], "_call", call)


def test_kernels_side_by_side(run, folder):
    code, out, err = run(*compared(folder, "--draws", "3"))
    assert (code, err) == (OK, "")
    assert "ntk - mlp" in out
    assert "Nothing here is a bound on an error." in out
    assert {path.name for path in (folder / "out").iterdir()} == {
        *("inductive_bias.json", "inductive_bias.png", "inductive_bias.svg", "store")
    }
    told = content_of(folder)
    assert set(told) == {*("format", "genbounds", "seed", "kind", "space", "comparison", "averages", "differences")}
    assert (told["format"], told["kind"], told["space"]) == ("genbounds inductive bias 1", "comparison", "kernels")
    comparison = Comparison.from_json(told["comparison"])
    assert list(comparison.curves) == ["mlp", "ntk"]  # no images, so no cnn
    assert comparison.draws == 3
    np.testing.assert_allclose(comparison.levels, np.array([0.05, 0.1, 0.2, 0.3, 0.5]) * 2 / 9)
    assert all(curve.kind == "exact" for curves in comparison.curves.values() for curve in curves)
    by_hand = comparison.difference("ntk", "mlp")
    assert told["differences"][0]["nats"] == by_hand.nats.tolist()
    assert TailCurve.from_json(told["averages"]["mlp"]).low.tolist() == comparison.averages["mlp"].low.tolist()


def test_the_figure_is_a_picture(run, folder):
    from matplotlib.image import imread

    run(*compared(folder, "--draws", "2"))
    picture = imread(folder / "out" / "inductive_bias.png")[..., :3]
    assert min(picture.shape[:2]) > 400
    coloured = np.ptp(picture, axis=2) > 0.3
    assert coloured.sum() > 500, "curves in colour"
    assert "information in nats" in (folder / "out" / "inductive_bias.svg").read_text(encoding="utf-8")


def test_run_again_it_computes_nothing_again(run, folder, monkeypatch):
    code, first, _ = run(*compared(folder, "--draws", "2", "--json"))
    assert code == OK
    entries = {path: path.stat().st_mtime_ns for path in (folder / "out" / "store").rglob("*.npz")}
    assert len(entries) == 4  # two kernels, two draws
    with monkeypatch.context() as patch:
        refuse_to_compute(patch)
        code, again, _ = run(*compared(folder, "--draws", "2", "--json"))
        assert (code, again) == (OK, first)
        code, _, err = run(*compared(folder, "--draws", "2", "--seed", "1"))
        assert (code, "was computed again" in err) == (1, True)  # other draws are other tasks
    code, _, _ = run(*compared(folder, "--draws", "3"))
    assert code == OK
    now = {path: path.stat().st_mtime_ns for path in (folder / "out" / "store").rglob("*.npz")}
    assert len(now) == 6
    assert entries.items() <= now.items()


def test_a_kernel_of_your_own_is_compared_with_the_first(run, folder):
    own = f"{folder / 'nets.py'}:kernel"
    code, out, _ = run(*compared(folder, "--draws", "2", "--architectures", "mlp", own, "--levels", "0.5", "0.2"))
    assert code == OK
    assert "kernel - mlp" in out
    told = content_of(folder)
    assert list(told["comparison"]["curves"]) == ["mlp", "kernel"]
    np.testing.assert_allclose(told["differences"][0]["levels"], [0.2 * 2 / 9, 0.5 * 2 / 9])


def test_trained_networks_are_counted(run, folder):
    options = ("--space", "trained", "--networks", "6", "--architectures", f"{folder / 'nets.py'}:small")
    code, out, err = run(*compared(folder, *options, "--levels", "0.001", "0.4"))
    assert (code, err) == (OK, "")
    (curve,) = Comparison.from_json(content_of(folder)["comparison"]).curves["small"]
    assert curve.samples <= 6
    assert curve.counts is not None
    assert curve.kind == "estimate"
    assert "share of test errors" in out
    assert "--levels are shares" not in out


def test_random_weights_by_two_samplers(run, folder, monkeypatch):
    from genbounds.inductive_bias.architectures import random_weights
    from genbounds.rare_events import sampled_tail

    def quick(*args, **options):
        return sampled_tail(*args, **options | {"annealing": {"chains": 8, "runs": 4}, "subset": {"runs": 4}})

    monkeypatch.setattr(random_weights, "sampled_tail", quick)
    monkeypatch.chdir(folder)  # the name of the network seeds the samplers, and is the same wherever the folder lies
    chosen = ("--architectures", "nets.py:linear", "--levels", "0.9", "--fit", "0.9")
    code, out, err = run(*compared(folder, "--space", "random", *chosen))
    assert (code, err) == (OK, "")
    for title in ("fitting the training examples takes", "generalising takes beyond it", "both take"):
        assert title in out
    told = content_of(folder)
    assert told["flag"] is False
    comparison = RandomComparison.from_json(told["samplers"])
    np.testing.assert_allclose(comparison.train.levels, [0.9 * 2 / 9])
    averages = (comparison.train.averages, comparison.generalisation.averages, comparison.total.averages)
    fitting, beyond, both = (each["linear"].nats[0] for each in averages)
    assert fitting + beyond == pytest.approx(both, abs=0.3)
    assert told["averages"]["linear"]["nats"][0] == beyond


def test_classes_are_chosen(run, folder):
    code, out, err = run(*compared(folder, "--classes", "2", "0", "--draws", "2", "--train", "8", "--test", "8"))
    assert err == ""
    assert code == OK
    assert "data, classes 2 and 0, 8 training and 8 test examples, drawn 2 times" in " ".join(out.split())
    np.testing.assert_allclose(content_of(folder)["averages"]["mlp"]["levels"][-1], 0.5 / 4)


def test_a_checkpoint(run, folder):
    code, out, err = run(*at_checkpoint(folder, "--dtype", "float64", "--parts", *PARTS))
    assert (code, err) == (OK, "")
    shown = " ".join(out.split())
    for sentence in (
        "the rest of it: fresh only if the network was not trained on them",
        "12 examples are fit with noise of standard deviation 0.1",
        "exact, inversion",
        "Local learning coefficient, an estimate at this number of examples and no information",
        "by Laplace's approximation, without a known error",
        "standard deviation 0.707 (0.weight, 0.bias), 0.577 (2.weight, 2.bias)",
    ):
        assert sentence in shown, sentence
    assert shown.count("is a bound") == 1
    told = content_of(folder)
    assert set(told) == {"format", "genbounds", "seed", "kind", "split", "measured"}
    bias = CheckpointBias.from_json(told["measured"])
    assert bias.to_json() == told["measured"]
    assert bias.skipped == {}
    assert (bias.weights, bias.outputs, bias.train, bias.test) == (21, 3, 12, 15)
    assert bias.tangent.kind == bias.head.kind == "exact"
    assert bias.volume.curve.kind == "estimate"
    assert bias.coefficient.confidence == 0.95


def test_the_linearised_network_is_what_the_library_gives(run, folder):
    own, other = folder / "data.npz", folder / "other.npz"
    sizes = ("--train", "60", "--test", "30")  # all of both, so that the draw is an order only
    options = ("--parts", "tangent", "--test-data", other, "--levels", "0.3", "--scale", "0.8")
    code, _, _ = run(*at_checkpoint(folder, *options, *sizes))
    assert code == OK
    told = content_of(folder)
    assert told["split"] == "60 training examples, drawn from data; 30 test examples, drawn from other"
    from genbounds.models import apply_state, load_checkpoint, load_factory

    model = load_factory(f"{folder / 'nets.py'}:small")()
    apply_state(model, load_checkpoint(folder / "net.safetensors").state)
    sets = []
    for path in (own, other):
        archive = np.load(path)
        sets.append((torch.from_numpy(archive["x"]), torch.from_numpy(archive["y"])))
    space = ntk_hypotheses(model.eval(), sets[1], train=sets[0], scale=0.8, noise=0.1)
    nats = told["measured"]["tangent"]["nats"]
    np.testing.assert_allclose(nats, space.information([0.3 * 2 / 9]).nats, rtol=1e-8)
    with torch.no_grad():
        logits = [model(x) for x, _ in sets]
    assert told["measured"]["train_loss"] == pytest.approx(float(nn.functional.cross_entropy(logits[0], sets[0][1])))
    wrong = (logits[1].argmax(1) != sets[1][1]).double().mean()
    assert told["measured"]["test_error"] == pytest.approx(float(wrong))


def test_a_checkpoint_measured_again_takes_what_there_is(run, folder, monkeypatch):
    code, first, _ = run(*at_checkpoint(folder, "--json"))
    assert code == OK
    assert len(list((folder / "out" / "store").rglob("*.npz"))) == 3
    refuse_to_compute(monkeypatch)
    code, again, _ = run(*at_checkpoint(folder, "--json"))
    assert (code, again) == (OK, first)


def test_other_weights_are_measured_anew(run, folder):
    run(*at_checkpoint(folder, "--parts", "head"))
    before = content_of(folder)["measured"]
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3))
    save_state(model.state_dict(), folder / "net.safetensors")
    run(*at_checkpoint(folder, "--parts", "head"))
    after = content_of(folder)["measured"]
    assert after["sha256"] != before["sha256"]
    assert after["head"]["nats"] != before["head"]["nats"]


def test_a_part_that_does_not_apply_says_why(run, folder):
    """Four features cannot meet twelve targets, and no level is below the checkpoint's own loss."""
    options = ("--noise", "0", "--parts", "head", "evidence", "volume", "--levels", "1e-6")
    code, out, _ = run(*at_checkpoint(folder, *options))
    assert code == OK
    shown = " ".join(out.split())
    assert "head: not measured. Targets of the given examples must be reached by some function" in shown
    assert "Give noise > 0" in shown
    assert "volume: not measured. Levels must be above the checkpoint's own cross-entropy" in shown
    told = content_of(folder)["measured"]
    assert (told["head"], told["volume"]) == (None, None)
    assert set(told["skipped"]) == {"head", "volume"}
    assert not (folder / "out" / "inductive_bias.png").exists()  # there is no curve
    code, _, err = run(*at_checkpoint(folder, "--noise", "0", "--parts", "head"))
    assert (code, "parts must apply to this checkpoint, got none that does" in " ".join(err.split())) == (
        USAGE_ERROR,
        True,
    )


def test_large_parts_wait_until_they_are_asked_for(run, folder, monkeypatch):
    monkeypatch.setattr("genbounds.workflow.inductive_bias._WEIGHTS", 20)
    monkeypatch.setattr("genbounds.workflow.inductive_bias._ROWS", 80)
    options = compared(
        folder, "--model", f"{folder / 'nets.py'}:small", "--checkpoint", folder / "net.safetensors", "--noise", "0.1"
    )
    code, out, _ = run(*options)
    assert code == OK
    shown = " ".join(out.split())
    assert (
        "tangent: not measured. Its covariance has 81 rows, one for each output of each example, more than 80" in shown
    )
    assert shown.count("The network has 21 weights, more than 20. Ask for this part if you can wait.") == 2
    code, _, _ = run(*at_checkpoint(folder, "--parts", "tangent"))
    assert code == OK
    assert content_of(folder)["measured"]["tangent"] is not None


def test_the_test_part_of_a_folder_is_what_is_tested_on(run, folder):
    digits = np.random.default_rng(0)
    for name, number in (("train", 40), ("t10k", 25)):
        labels = digits.integers(3, size=number)
        images = (20 * labels[:, None, None] + digits.integers(0, 40, (number, 2, 1))).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels.astype(np.uint8))):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            path = folder / "idx" / f"{name}-{kind}-ubyte"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(head + array.tobytes())
    (folder / "flat.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(2, 3))\n", encoding="utf-8"
    )
    torch.manual_seed(0)
    save_state(nn.Sequential(nn.Flatten(), nn.Linear(2, 3)).state_dict(), folder / "flat.safetensors")
    tokens = (
        "--model",
        f"{folder / 'flat.py'}:net",
        "--checkpoint",
        folder / "flat.safetensors",
        "--parts",
        "evidence",
    )
    run(*(
        "inductive-bias",
        "--data",
        folder / "idx",
        "--train",
        "40",
        "--test",
        "25",
        *tokens,
        "--out",
        folder / "out",
    ))
    assert content_of(folder)["split"] == "40 training examples, drawn from idx; 25 test examples, drawn from idx"


def test_the_published_difficulty(run, folder):
    code, out, _ = run(*compared(folder, "--difficulty", "--eps", "0.05"))
    assert code == OK
    assert "AN UPPER BOUND OF AN UPPER BOUND" in out
    assert "nats = " in out
    assert "bits" in out
    told = content_of(folder)
    assert (told["kind"], told["data"], told["difficulty"]["eps"]) == ("difficulty", "data", 0.05)
    assert math.isfinite(told["difficulty"]["ln_nats"])
    assert {path.name for path in (folder / "out").iterdir()} == {"inductive_bias.json"}


def test_without_arguments_it_compares_kernels_on_digits(run, tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="the digits are scikit-learn's")
    monkeypatch.chdir(tmp_path)
    code, out, err = run("inductive-bias", "--train", "30", "--test", "30", "--draws", "2")
    assert (code, err) == (OK, "")
    told = json.loads((tmp_path / "inductive_bias" / "inductive_bias.json").read_text(encoding="utf-8"))
    assert list(told["averages"]) == ["mlp", "cnn", "ntk"]
    assert all(np.diff(curve["nats"]).max() <= 0 for curve in told["averages"].values())
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--level", "1"), "level must be"),
        (("--levels", "nan"), "levels must be"),
        (("--train", "60"), "train and test must be at most 60 together"),
        (("--train", "0"), "train must be"),
        (("--classes", "0", "7"), "classes must be two or more of [0, 1, 2]"),
        (("--architectures", "cnn"), "architectures must be mlp, ntk for these inputs, or package.module:callable"),
        (("--architectures", "math:nothing"), "no 'nothing' there"),
        (("--architectures", "genbounds.inductive_bias:mlp", "mlp"), "must have names of their own"),
        (("--networks", "5"), "networks must be left out for space kernels"),
        (("--space", "trained", "--fit", "0.5"), "fit must be left out for space trained"),
        (("--noise", "0.1"), "noise must be left out for a comparison of architectures"),
        (("--model", "nets.py:small"), "model and checkpoint must come together"),
        (("--difficulty", "--draws", "3"), "draws must be left out for difficulty"),
        (("--difficulty", "--eps", "0"), "eps must be"),
        (("--workers", "0"), "workers must be"),
        (("--device", "nowhere"), "device must be one that torch can use"),
    ],
)
def test_one_sentence_for_what_cannot_be(run, folder, options, complaint):
    tokens = compared(folder, *options)
    code, _, err = run(*tokens)
    assert code == USAGE_ERROR
    assert complaint in " ".join(err.split())
    assert "unexpected" not in err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--classes", "0", "1"), "classes must be left out for a checkpoint"),
        (("--space", "kernels"), "space must be left out for a checkpoint"),
        (("--prefix", "model."), "no name that begins with 'model.'"),
        (("--scale", "0"), "scale"),
        (("--test-data", "none.npz"), "which does not exist"),
        (("--test", "49"), "train and test must be at most what there is, 60 and 60 together, got 12 and 49"),
    ],
)
def test_what_cannot_be_at_a_checkpoint(run, folder, options, complaint):
    code, _, err = run(*at_checkpoint(folder, *options))
    assert code == USAGE_ERROR
    assert complaint in " ".join(err.split())


def test_weights_of_another_network_are_refused(run, folder):
    save_state(nn.Linear(5, 3).state_dict(), folder / "net.safetensors")
    code, _, err = run(*at_checkpoint(folder))
    assert (code, "state must fit" in " ".join(err.split())) == (USAGE_ERROR, True)


def test_help_reads_well_and_loads_nothing_heavy(run):
    code, out, _ = run("inductive-bias", "--help")
    assert code == OK
    for group in ("Data", "Hypothesis spaces, side by side", "One checkpoint instead", "The published difficulty"):
        assert group in out
    report = "import sys; print('LOADED', *sorted(set(sys.modules)))"
    program = f"from genbounds.cli import main; main(['inductive-bias', '--help']); {report}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "matplotlib", "scipy.stats"} & set(done.stdout.rpartition("LOADED")[2].split())


def test_every_option_is_explained():
    documented = inspect.getdoc(inductive_bias)
    for name in inspect.signature(inductive_bias).parameters:
        assert f"\n{name} : " in documented, name
