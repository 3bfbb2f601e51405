"""``genbounds supersample``, on a problem of a second."""

import inspect
import json

import numpy as np
import pytest

from genbounds.cli.app import OK, USAGE_ERROR
from genbounds.cli.supersample import supersample
from genbounds.information import Supersamples

QUICK = {"--n": "10", "--supersamples": "2", "--masks": "6", "--together": "4", "--epochs": "3"}


def quick(blobs, out, *options):
    """Arguments of a small experiment, the options in place of its own."""
    given = {"--data": blobs, **QUICK, "--out": out}
    return ["supersample", *(part for pair in given.items() if pair[0] not in options for part in pair), *options]


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """Two blobs in the plane as .npz."""
    path = tmp_path_factory.mktemp("problem") / "blobs.npz"
    source = np.random.default_rng(0)
    targets = source.integers(2, size=60)
    np.savez(path, x=(source.standard_normal((60, 2)) + targets[:, None]).astype(np.float32), y=targets)
    return path


def test_it_writes_what_anyone_can_compute_again(run, blobs, tmp_path):
    code, out, err = run(*quick(blobs, tmp_path / "a"))
    assert (code, err) == (OK, "")
    assert "harutyunyan" in out
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        *("family.json", "growth.png", "growth.svg", "store", "supersamples.npz")
    }
    told = json.loads((tmp_path / "a" / "family.json").read_text(encoding="utf-8"))
    assert (told["supersamples"], told["trainings"], told["n"], told["delta"]) == (2, 6, 10, 0.05)
    record = Supersamples.load(tmp_path / "a" / "supersamples.npz")
    assert record.provenance["arguments"] == {"inputs": 2, "classes": 2}
    ghosts = np.take_along_axis(record.losses, 1 - record.masks[..., None], -1)
    assert told["ghost_risk"]["value"] == pytest.approx(ghosts.mean())
    code, out, _ = run(
        "supersample", "--record", tmp_path / "a" / "supersamples.npz", "--out", tmp_path / "b", "--json"
    )
    assert code == OK
    assert json.loads(out) == told
    assert {path.name for path in (tmp_path / "b").iterdir()} == {"family.json", "growth.png", "growth.svg"}


def test_more_masks_go_on_where_it_stopped(run, blobs, tmp_path):
    run(*quick(blobs, tmp_path))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.npz")}
    code, _, _ = run(*quick(blobs, tmp_path, "--masks", "8"))
    assert code == OK
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert Supersamples.load(tmp_path / "supersamples.npz").masks.shape == (2, 8, 10)


def test_a_function_and_noise(run, blobs, tmp_path):
    path = tmp_path / "functions.py"
    path.write_text(
        "def nearest(inputs, targets, seed, device, dtype):\n"
        "    return lambda examples: targets[(examples[:, None] - inputs).pow(2).sum(2).argmin(1)]\n",
        encoding="utf-8",
    )
    chosen = ("--train", f"{path}:nearest", "--label-noise", "0.2", "--n", "8", "--supersamples", "1", "--masks", "4")
    code, out, _ = run("supersample", "--data", blobs, *chosen, "--out", tmp_path / "out", "--json")
    assert code == OK
    told = json.loads(out)
    assert told["provenance"]["function"] == f"{path}:nearest"
    assert told["train_risk"]["value"] == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--n", "31"), "n must be from 1 to 30"),
        (("--masks", "5"), "masks must be even"),
        (("--classes", "0", "7"), "classes must be two or more of [0, 1]"),
        (("--label-noise", "1"), "label_noise must be in [0, 1)"),
        (("--model", "genbounds.models.networks:nothing"), "no 'nothing' there"),
        (("--train", "math:gcd"), "network and training must be left out"),
        (("--epochs", "0"), "epochs must be at least 1"),
        (("--learning-rate", "-1"), "learning_rate must be positive"),
        (("--workers", "0"), "workers must be a whole number"),
        (("--device", "nowhere"), "device must be one that torch can use"),
        (("--delta", "2"), "delta must be"),
        (("--seed", "-1"), "seed must be a whole number of at least 0"),
        (("--record", "none.npz"), "No such file"),
    ],
)
def test_one_sentence_for_what_cannot_be(run, blobs, tmp_path, options, complaint):
    code, _, err = run(*quick(blobs, tmp_path, *options))
    assert code == USAGE_ERROR
    assert complaint in " ".join(err.split())


def test_what_is_wrong_with_delta_is_said_before_anything_is_trained(run, blobs, tmp_path):
    code, _, err = run(*quick(blobs, tmp_path / "out", "--delta", "0"))
    assert (code, "delta must be" in err) == (USAGE_ERROR, True)
    assert not (tmp_path / "out").exists()


def test_every_option_is_explained():
    documented = inspect.getdoc(supersample)
    for name in inspect.signature(supersample).parameters:
        assert f"\n{name} : " in documented, name
