"""``genbounds certify``, on a problem of a second; and measuring its certificate again."""

import inspect
import json

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.cli.app import OK, REFUSED, USAGE_ERROR
from genbounds.cli.certify import certify
from genbounds.cli.files import read_roles

QUICK = ("--prior-epochs", "3", "--posterior-epochs", "2", "--passes", "2", "--batch-size", "32")


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    """Two blobs in the plane as .npz, and a file that builds a small network."""
    folder = tmp_path_factory.mktemp("problem")
    generator = np.random.default_rng(0)
    targets = generator.integers(2, size=400)
    inputs = generator.standard_normal((400, 2)) + 5.0 * np.eye(2)[targets]
    np.savez(folder / "blobs.npz", x=inputs.astype(np.float32), y=targets)
    (folder / "net.py").write_text(
        "from torch import nn\n\ndef make():\n    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))\n",
        encoding="utf-8",
    )
    return f"{folder / 'net.py'}:make", folder / "blobs.npz"


@pytest.fixture(scope="module")
def certified(problem, tmp_path_factory):
    """The output folder of one certification."""
    from genbounds.cli import main

    out = tmp_path_factory.mktemp("certified") / "out"
    assert main(["certify", problem[0], str(problem[1]), "--out", str(out), "--delta", "0.035", *QUICK]) == OK
    return out


def test_what_is_left_in_the_folder(certified):
    names = {path.name for path in certified.iterdir() if path.is_file()}
    assert names >= {"certificate.json", "posterior.safetensors", "prior.safetensors", "report.html", "curve.svg"}
    content = json.loads((certified / "certificate.json").read_text(encoding="utf-8"))
    assert content["ledger"]["delta"] == 0.035
    assert content["prior"]["training"]["epochs"] == 3
    assert content["posterior"]["training"]["epochs"] == 2
    assert content["posterior"]["training"]["batch_size"] == 32
    assert "Verified:" in (certified / "report.html").read_text(encoding="utf-8")


def test_the_same_command_again_gives_the_same_certificate_for_machines(run, problem, certified):
    before = (certified / "certificate.json").read_bytes()
    code, out, err = run("certify", *problem, "--out", certified, "--delta", "0.035", *QUICK, "--json")
    assert (code, err) == (OK, "")
    assert json.loads(out) == json.loads(before)
    assert (certified / "certificate.json").read_bytes() == before


def test_prior_scales_by_layer(run, problem, tmp_path):
    weights = tmp_path / "weights.pt"
    torch.save(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)).state_dict(), weights)
    options = ["--checkpoint", weights, "--prior", "zero", "--prior-scale", "per layer", *QUICK]
    code, out, _ = run("certify", *problem, "--out", tmp_path / "out", *options, "--json")
    assert code == OK
    assert set(json.loads(out)["prior"]["scale"]["candidates"]) == {"0", "2"}


def test_parts_of_the_data_make_a_curve(run, problem, tmp_path):
    code, out, err = run("certify", *problem, "--out", tmp_path, "--curve", "0.2", "0.5", *QUICK)
    assert (code, err) == (OK, "")
    for name, count in (("part-0.2", 40), ("part-0.5", 100), (".", 200)):
        content = json.loads((tmp_path / name / "certificate.json").read_text(encoding="utf-8"))
        assert content["sample"]["roles"]["bound"]["count"] == count
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "each with prob. ≥ 0.95" in page
    assert "curve.png, curve.svg, report.html" in " ".join(out.split())


def test_measuring_again(run, problem, certified):
    code, out, _ = run("verify", certified / "certificate.json", "--model", problem[0], "--data", problem[1])
    assert code == OK
    assert "KL divergence" in out
    assert "error count" in out


def test_other_data_is_refused(run, problem, certified, tmp_path):
    arrays = dict(np.load(problem[1]))
    arrays["y"][:200] = 1 - arrays["y"][:200]
    np.savez(tmp_path / "other.npz", **arrays)
    other = tmp_path / "other.npz"
    code, out, _ = run("verify", certified / "certificate.json", "--model", problem[0], "--data", other)
    assert code == REFUSED
    assert "other examples" in out


def test_roles_may_be_given(run, problem, tmp_path):
    roles = {"prior": list(range(100)), "bound": list(range(100, 300)), "test": list(range(300, 400))}
    (tmp_path / "roles.json").write_text(json.dumps(roles), encoding="utf-8")
    out = tmp_path / "out"
    code, text, _ = run("certify", *problem, "--roles", tmp_path / "roles.json", "--out", out, *QUICK)
    assert code == OK
    assert "test error" in text
    content = json.loads((out / "certificate.json").read_text(encoding="utf-8"))
    assert {name: role["count"] for name, role in content["sample"]["roles"].items()} == {
        "prior": 100,
        "bound": 200,
        "test": 100,
    }


@pytest.mark.parametrize("content", ["[1, 2]", '{"prior": 3}', '{"prior": [1.5]}', '{"prior": [true]}'])
def test_roles_that_are_none(tmp_path, content):
    path = tmp_path / "roles.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="roles must be a table of lists of indices"):
        read_roles(path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--delta", "2"), "delta must be strictly between 0 and 1"),
        (("--checkpoint", "missing.pt"), "missing.pt"),
        (("--device", "cudda"), "device must be one that torch can use here"),
        (("--prior", "zero"), "checkpoint must be given"),
        (("--theorem", "clopper_pearson"), "theorem must take risk, kl, n and delta"),
    ],
)
def test_bad_input_is_one_sentence(run, problem, tmp_path, arguments, sentence):
    code, out, err = run("certify", *problem, "--out", tmp_path / "out", *QUICK, *arguments)
    assert (code, out) == (USAGE_ERROR, "")
    assert err.startswith("genbounds: ")
    assert sentence in err
    assert "Traceback" not in err


def test_defaults_are_those_of_the_function():
    from genbounds.workflow import certify as workflow

    ours, theirs = inspect.signature(certify).parameters, inspect.signature(workflow).parameters
    for name in set(ours) & set(theirs) - {"out", "dtype"}:
        assert ours[name].default == theirs[name].default or ours[name].default is inspect.Parameter.empty
    assert str(theirs["dtype"].default) == f"torch.{ours['dtype'].default}"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--predictor", "single draw"), "Predictor covered, single draw:"),
        (("--predictor", "majority vote", "--theorem", "both"), "Predictor covered, majority vote:"),
    ],
)
def test_other_predictors(run, problem, tmp_path, options, words):
    code, out, err = run("certify", *problem, "--out", tmp_path, *QUICK, *options)
    assert (code, err) == (OK, "")
    assert words in " ".join(out.split())
    assert (tmp_path / "drawn.safetensors").exists() == ("drawn.safetensors" in out) == ("single draw" in options)
    assert run("verify", tmp_path / "certificate.json", "--model", problem[0], "--data", problem[1])[0] == OK
