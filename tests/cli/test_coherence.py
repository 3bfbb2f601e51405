"""``genbounds coherence``, on a network of a second, and on its own digits."""

import inspect
import json

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.cli.app import OK, USAGE_ERROR
from genbounds.cli.coherence import coherence
from genbounds.coherence import CoherenceSeries, measure, read_series
from genbounds.models import save_state
from genbounds.workflow import coherence_demo

FACTORY = "def build():\n    from torch import nn\n    return nn.Linear(2, 3)\n"


@pytest.fixture
def folder(tmp_path):
    """Data as .npz, a factory, and three checkpoints."""
    source = np.random.default_rng(0)
    targets = source.integers(3, size=40)
    np.savez(
        tmp_path / "data.npz", x=(source.standard_normal((40, 2)) + targets[:, None]).astype(np.float32), y=targets
    )
    (tmp_path / "nets.py").write_text(FACTORY, encoding="utf-8")
    torch.manual_seed(0)
    for epoch in (0, 2, 10):
        save_state(nn.Linear(2, 3).state_dict(), tmp_path / "weights" / f"epoch={epoch}-step={4 * epoch}.safetensors")
    return tmp_path


def command(folder, *options, checkpoints="weights"):
    data = () if "--data" in options else ("--data", folder / "data.npz")
    return [
        *("coherence", "--model", f"{folder / 'nets.py'}:build", "--checkpoints", folder / checkpoints),
        *(*data, "--out", folder / "out", *options),
    ]


def test_a_series(run, folder):
    code, out, err = run(
        *command(folder, "--second-data", folder / "data.npz", "--null-draws", "4", "--dtype", "float64")
    )
    assert (code, err) == (OK, "")
    assert "m-coherence" in out
    assert "does not order networks by generalization" in " ".join(out.split())
    assert {path.name for path in (folder / "out").iterdir()} == {
        *("coherence.json", "coherence.jsonl", "coherence.png", "coherence.svg", "report.html")
    }
    series = CoherenceSeries.from_json(json.loads((folder / "out" / "coherence.json").read_text(encoding="utf-8")))
    assert series.axis == ("epoch", (0, 2, 10))
    archive = np.load(folder / "data.npz")
    model = nn.Linear(2, 3).eval()
    from safetensors.torch import load_file

    model.load_state_dict(load_file(folder / "weights" / series.points[1].name))
    data = torch.from_numpy(archive["x"]), torch.from_numpy(archive["y"])
    by_hand = measure(model.double(), nn.functional.cross_entropy, data, second=data, null_draws=4, dtype=torch.float64)
    assert series.points[1].record.alpha == by_hand.alpha
    assert series.points[1].record.second == by_hand.second
    assert read_series(folder / "out" / "coherence.jsonl") == series


def test_run_again_it_measures_nothing_again(run, folder, monkeypatch):
    run(*command(folder))
    before = (folder / "out" / "coherence.jsonl").read_bytes()
    code, _, _ = run(*command(folder))
    assert code == OK
    assert (folder / "out" / "coherence.jsonl").read_bytes() == before
    code, _, _ = run(*command(folder, "--seed", "3"))
    assert len((folder / "out" / "coherence.jsonl").read_bytes().splitlines()) == 6


def test_json_and_a_record_shown_again(run, folder):
    code, out, err = run(*command(folder, "--json"))
    assert (code, err) == (OK, "")
    told = json.loads(out)
    assert told["stability"] == []
    code, again, _ = run(
        "coherence", "--record", folder / "out" / "coherence.jsonl", "--out", folder / "again", "--json"
    )
    assert code == OK
    assert json.loads(again) == told
    again = {path.name for path in (folder / "again").iterdir()}
    assert again == {"coherence.json", "coherence.png", "coherence.svg", "report.html"}


def test_one_checkpoint_is_one_table_and_one_figure(run, folder):
    code, out, _ = run(*command(folder, checkpoints="weights/epoch=2-step=8.safetensors"))
    assert code == OK
    assert "(root)" in out
    assert (folder / "out" / "coherence.png").exists()


def test_checkpoints_without_a_number_go_by_their_names(run, folder):
    weights = folder / "weights"
    (weights / "epoch=2-step=8.safetensors").rename(weights / "before[bold]decay.safetensors")
    code, out, _ = run(*command(folder))
    assert code == OK
    shown = [line.split()[1] for line in out.splitlines() if line.strip()[:3] in {"1  ", "2  ", "3  "}]
    assert shown == ["before[bold]decay.safetensors", "epoch=0-step=0.safetensors", "epoch=10-step=40.safetensors"]


def test_weights_beside_others_are_found_by_their_entry(run, folder):
    (folder / "saved").mkdir()
    for number in (0, 1):
        content = {"model": nn.Linear(2, 3).state_dict(), "epoch": number, "step": 7 * number}
        torch.save(content, folder / "saved" / f"checkpoint_{number}.pt")
    code, _, err = run(*command(folder, checkpoints="saved"))
    assert (code, "Say which: entry='model'" in " ".join(err.split())) == (USAGE_ERROR, True)
    code, out, _ = run(*command(folder, "--entry", "model", "--json", checkpoints="saved"))
    assert code == OK
    assert [(point["epoch"], point["step"]) for point in json.loads(out)["points"]] == [(0, 0), (1, 7)]


def test_a_checkpoint_that_cannot_be_measured_is_named(run, folder):
    state = nn.Linear(2, 3).state_dict()
    state["bias"][1] = float("nan")
    torch.save(state, folder / "weights" / "epoch=12.pt")
    code, _, err = run(*command(folder))
    assert (code, "checkpoint epoch=12.pt: tensor 'bias' must be finite" in " ".join(err.split())) == (
        USAGE_ERROR,
        True,
    )
    assert len((folder / "out" / "coherence.jsonl").read_bytes().splitlines()) == 3  # those before it are kept
    torch.save(nn.Linear(5, 3).state_dict(), folder / "weights" / "epoch=12.pt")
    code, _, err = run(*command(folder))
    assert (code, "checkpoint epoch=12.pt: state must fit" in " ".join(err.split())) == (USAGE_ERROR, True)


@pytest.mark.parametrize("option", ["--data", "--second-data"])
def test_data_of_another_model_are_told_in_a_sentence(run, folder, option):
    np.savez(folder / "wide.npz", x=np.ones((6, 5), dtype=np.float32), y=np.arange(6) % 3)
    code, _, err = run(*command(folder, option, folder / "wide.npz"))
    assert code == USAGE_ERROR
    name = "data" if option == "--data" else "second"
    assert f"model and loss must run on the examples of {name}, got RuntimeError" in " ".join(err.split())
    assert "unexpected" not in err


@pytest.mark.parametrize("edit", ["'loss'", "record"])
def test_an_edited_record_is_told_in_a_sentence(run, folder, edit):
    run(*command(folder))
    path = folder / "out" / "coherence.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if edit == "record":
        lines[1]["record"] = None
    else:
        del lines[1]["record"]["loss"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    for tokens in (command(folder), ["coherence", "--record", path, "--out", folder / "again"]):
        code, _, err = run(*tokens)
        assert code == USAGE_ERROR
        assert "in that of 'epoch=2-step=8.safetensors'. Was it edited?" in " ".join(err.split())
    path.write_text('{"weights": "0a", "settings": "1b"}\n', encoding="utf-8")
    code, _, err = run("coherence", "--record", path, "--out", folder / "again")
    assert (code, "must be a measurement that to_json wrote" in " ".join(err.split())) == (USAGE_ERROR, True)


def test_a_record_of_several_settings_shows_the_last(run, folder):
    """Two data sets never share a table."""
    run(*command(folder))
    archive = np.load(folder / "data.npz")
    np.savez(folder / "half.npz", x=archive["x"][:20], y=archive["y"][:20])
    tokens = command(folder, "--data", folder / "half.npz", checkpoints="weights/epoch=0-step=0.safetensors")
    run(*tokens)
    code, out, _ = run("coherence", "--record", folder / "out" / "coherence.jsonl", "--out", folder / "a", "--json")
    assert code == OK
    assert [point["record"]["m"] for point in json.loads(out)["points"]] == [20]


def test_files_are_taken_in_the_order_given(run, folder):
    files = [folder / "weights" / f"epoch={epoch}-step={4 * epoch}.safetensors" for epoch in (10, 0)]
    model, data = f"{folder / 'nets.py'}:build", folder / "data.npz"
    code, out, _ = run(*(
        "coherence",
        "--model",
        model,
        "--checkpoints",
        *files,
        "--data",
        data,
        "--out",
        folder / "out",
        "--json",
    ))
    assert code == OK
    assert [point["epoch"] for point in json.loads(out)["points"]] == [10, 0]


def test_the_stability_diagnostic(run, folder):
    claims = ("--step-size", "0.1", "--smoothness", "3", "--lipschitz", "50")
    code, out, _ = run(*command(folder, *claims))
    assert code == OK
    assert out.count("diagnostic, no bound") == 2
    told = json.loads((folder / "out" / "coherence.json").read_text(encoding="utf-8"))["stability"]
    assert [each["form"] for each in told] == ["coherence", "noise"]
    assert {each["label"] for each in told} == {"diagnostic, no bound"}
    assert told[1]["value"] < told[0]["value"]


def test_a_loss_of_your_own(run, folder):
    (folder / "losses.py").write_text(
        "from torch.nn import functional as F\n"
        "def smooth(outputs, targets):\n    return F.cross_entropy(outputs, targets, label_smoothing=0.5)\n",
        encoding="utf-8",
    )
    _, plain, _ = run(*command(folder, "--json"))
    code, other, _ = run(*command(folder, "--json", "--loss", f"{folder / 'losses.py'}:smooth"))
    assert code == OK
    alphas = [[point["record"]["derived"]["alpha"] for point in json.loads(text)["points"]] for text in (plain, other)]
    assert alphas[0] != alphas[1]


def test_without_arguments_it_trains_on_digits(run, tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="the digits are scikit-learn's")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(coherence_demo.train_digits, "__kwdefaults__", {"seed": 0, "epochs": (0, 1, 3)})
    code, out, err = run("coherence")
    assert (code, err) == (OK, "")
    assert "cosine with second set" in out
    series = read_series(tmp_path / "coherence" / "coherence.jsonl")
    assert series.axis == ("epoch", (0, 1, 3))
    first = series.points[0].record
    assert first.m_coherence > 5  # real labels: a step on one image helps many
    assert first.null_draws == 19
    assert first.second.total.plug_in.value > 0.5
    assert series.points[0].record.loss > series.points[2].record.loss
    code, _, _ = run("coherence")
    assert code == OK
    assert read_series(tmp_path / "coherence" / "coherence.jsonl") == series


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--loss", "crossentropy"), "loss must be a loss of torch.nn.functional"),
        (("--loss", "relu"), "loss must be a loss of torch.nn.functional"),
        (("--loss", "Tensor"), "loss must be a loss of torch.nn.functional"),
        (("--convex",), "convex must come with step_size, smoothness and lipschitz"),
        (("--loss", "math:nothing"), "no 'nothing' there"),
        (("--level", "1"), "level must be"),
        (("--level", "nan"), "level must be"),
        (("--null-draws", "-1"), "null_draws must be"),
        (("--batch-size", "0"), "size must be"),
        (("--device", "nowhere"), "device must be one that torch can use"),
        (("--step-size", "0.1"), "step_size, smoothness, lipschitz must come together, got step_size alone"),
        (("--step-size", "0.1", "--smoothness", "1", "--lipschitz", "1e-9"), "The claim is refuted"),
        (("--prefix", "model."), "no name that begins with 'model.'"),
        (("--second-data", "none.npz"), "which does not exist"),
        (("--record", "none.jsonl"), "No such file"),
    ],
)
def test_one_sentence_for_what_cannot_be(run, folder, options, complaint):
    code, _, err = run(*command(folder, *options))
    assert code == USAGE_ERROR
    assert complaint in " ".join(err.split())


def test_checkpoints_that_are_not_there(run, folder):
    code, _, err = run(*command(folder, checkpoints="none"))
    assert (code, "none: No such file or folder" in err) == (USAGE_ERROR, True)


def test_a_model_alone_is_not_enough(run, folder):
    code, _, err = run("coherence", "--model", f"{folder / 'nets.py'}:build", "--out", folder / "out")
    assert code == USAGE_ERROR
    assert "model, checkpoints must come together, got model alone" in " ".join(err.split())
    assert not (folder / "out").exists()


@pytest.mark.parametrize("option", ["--data", "--second-data"])
def test_data_of_your_own_needs_a_model(run, folder, option):
    code, _, err = run("coherence", option, folder / "data.npz", "--out", folder / "out")
    assert code == USAGE_ERROR
    name = option[2:].replace("-", "_")
    assert f"model, checkpoints, {name} must come together, got {name} alone" in " ".join(err.split())
    assert not (folder / "out").exists()


def test_every_option_is_explained():
    documented = inspect.getdoc(coherence)
    for name in inspect.signature(coherence).parameters:
        assert f"\n{name} : " in documented, name
