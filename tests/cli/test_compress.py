"""``genbounds compress``, on a problem of a second; and measuring its certificate again."""

import inspect
import json

import numpy as np
import pytest

from genbounds.cli.app import OK, REFUSED, USAGE_ERROR
from genbounds.cli.compress import compress

QUICK = ("--epochs", "2", "--quantised-epochs", "4", "--batch-size", "32")


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


def test_it_writes_a_certificate_that_is_measured_again(run, problem, tmp_path):
    code, out, _ = run("compress", *problem, "--out", tmp_path, *QUICK, "--levels", "5", "--variant", "2")
    assert code == OK
    assert "deterministic" in out
    assert "bits went" in out
    assert {path.name for path in tmp_path.iterdir()} >= {"certificate.json", "message.bin", "report.html", "curve.svg"}
    content = json.loads((tmp_path / "certificate.json").read_text(encoding="utf-8"))
    assert content["code"]["training"]["levels"] == 5
    assert content["code"]["variant"] == 2
    code, out, _ = run("verify", tmp_path / "certificate.json", "--model", problem[0], "--data", problem[1])
    assert code == OK
    assert "error count" in out
    (tmp_path / "message.bin").write_bytes(b"\x00")
    code, out, _ = run("verify", tmp_path / "certificate.json", "--model", problem[0], "--data", problem[1])
    assert code == REFUSED


def test_a_subspace_for_machines(run, problem, tmp_path):
    chosen = ("--kind", "random subspace", "--dimension", "9", "--no-holdout", "--json")
    code, out, err = run("compress", *problem, "--out", tmp_path, *QUICK, *chosen)
    assert (code, err) == (OK, "")
    content = json.loads(out)
    assert content["code"]["parametrisation"] == {"kind": "random subspace", "dimension": 9, "seed": 0}
    assert content["comparisons"] == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--kind", "random subspace"), "takes --dimension, got none of them"),
        (("--kind", "lora", "--dimension", "3"), "takes --rank, got dimension"),
        (("--rank", "3"), "takes neither --rank nor --dimension, got rank"),
        (("--levels", "4"), "levels must be odd"),
        (("--kept", "0"), "share must be in (0, 1]"),
        (("--adapt", "head.*"), "adapt must name parameters of the model"),
        (("--delta", "2"), "delta must be"),
    ],
)
def test_one_sentence_for_what_cannot_be(run, problem, tmp_path, options, complaint):
    code, _, err = run("compress", *problem, "--out", tmp_path, *QUICK, *options)
    assert code == USAGE_ERROR
    assert complaint in " ".join(err.split())


def test_every_option_is_explained():
    documented = inspect.getdoc(compress)
    for name in inspect.signature(compress).parameters:
        assert f"\n{name} : " in documented, name
