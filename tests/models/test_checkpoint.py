"""Checkpoints: what loads, and what is refused without being run."""

import argparse
import hashlib
import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from genbounds.models.checkpoint import Checkpoint, load_checkpoint
from genbounds.models.state import CheckpointError, state_sha256


def net():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


STATE = {name: value.detach() for name, value in net().state_dict().items()}


class Evil:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def refused(path, message, **options):
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path, **options)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def write_shards(folder):
    names = sorted(STATE)
    halves = {"a-1.safetensors": names[:3], "a-2.safetensors": names[3:]}
    for file, members in halves.items():
        save_file({name: STATE[name] for name in members}, folder / file)
    index = {"metadata": {"total_size": 1}, "weight_map": {n: f for f, members in halves.items() for n in members}}
    (folder / "a.safetensors.index.json").write_text(json.dumps(index))
    return folder / "a.safetensors.index.json"


def save_with(name):
    def write(folder):
        torch.save(STATE, folder / name)
        return folder / name

    return write


def save_legacy(folder):
    torch.save(STATE, folder / "old.pth", _use_new_zipfile_serialization=False)
    return folder / "old.pth"


def save_lightning(folder):
    saved = {
        "state_dict": {f"model.{name}": value for name, value in STATE.items()} | {"loss.weight": torch.ones(2)},
        "pytorch-lightning_version": "2.5.0",
        "epoch": 3,
        "optimizer_states": [{"state": {}}],
    }
    torch.save(saved, folder / "last.ckpt")
    return folder / "last.ckpt"


def save_entries(folder):
    torch.save({"net": STATE, "optimizer": {"lr": 0.1}, "epoch": 7}, folder / "run.pt")
    return folder / "run.pt"


def save_tensors(folder):
    save_file(STATE, folder / "one.safetensors", metadata={"author": "me"})
    return folder / "one.safetensors"


FORMS = [
    (save_with("w.pt"), {}, "state dict", {}),
    (save_with("w.bin"), {}, "state dict", {}),
    (save_with("no_suffix"), {}, "state dict", {}),
    (save_legacy, {}, "state dict", {}),
    (save_lightning, {"prefix": "model."}, "lightning", {"epoch": 3, "outside_prefix": ["loss.weight"]}),
    (save_entries, {"entry": "net"}, "state dict", {"epoch": 7}),
    (save_tensors, {}, "safetensors", {"author": "me"}),
    (write_shards, {}, "sharded safetensors", {"total_size": 1}),
    (lambda folder: write_shards(folder).parent, {}, "sharded safetensors", {}),
    (lambda folder: save_tensors(folder).parent, {}, "safetensors", {}),
]


@pytest.mark.parametrize(("write", "options", "form", "notes"), FORMS)
def test_every_form_gives_the_same_state(folder, write, options, form, notes):
    found = load_checkpoint(write(folder), **options)
    assert isinstance(found, Checkpoint)
    assert state_sha256(found.state) == state_sha256(STATE)
    assert found.format == form
    assert found.metadata.items() >= notes.items()
    assert len(found.sha256) == 64


def test_sha256_is_of_the_file(folder):
    path = save_tensors(folder)
    assert load_checkpoint(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_sha256_of_shards_covers_each(folder):
    path = write_shards(folder)
    first = load_checkpoint(path).sha256
    second = folder / "a-2.safetensors"
    tensors = {name: STATE[name] + 1 for name in sorted(STATE)[3:]}
    save_file(tensors, second)
    assert load_checkpoint(path).sha256 != first
    assert load_checkpoint(path).sha256 == load_checkpoint(folder).sha256


@pytest.mark.parametrize("legacy", [False, True])
def test_malicious_pickles_run_nothing(folder, legacy):
    trap = folder / "created"
    torch.save({**STATE, "evil": Evil(trap)}, folder / "evil.pt", _use_new_zipfile_serialization=not legacy)
    message = refused(folder / "evil.pt", "must hold weights only")
    assert "io.open" in message
    assert "trust_pickle=True" in message
    assert not trap.exists()


def test_a_bare_malicious_pickle_runs_nothing(folder):
    trap = folder / "created"
    (folder / "evil.pkl").write_bytes(pickle.dumps(Evil(trap)))
    refused(folder / "evil.pkl", "trust_pickle=True|damaged")
    assert not trap.exists()


def test_malicious_pickle_under_a_safetensors_name(folder):
    trap = folder / "created"
    torch.save(Evil(trap), folder / "evil.safetensors")
    refused(folder / "evil.safetensors", "under a name that promises safetensors", trust_pickle=True)
    assert not trap.exists()


def test_trust_is_a_named_act(folder):
    torch.save({"state_dict": STATE, "hyper": argparse.Namespace(width=3)}, folder / "run.ckpt")
    message = refused(folder / "run.ckpt", "must hold weights only")
    assert "argparse.Namespace" in message
    assert state_sha256(load_checkpoint(folder / "run.ckpt", trust_pickle=True).state) == state_sha256(STATE)
    with torch.serialization.safe_globals([argparse.Namespace]):
        assert state_sha256(load_checkpoint(folder / "run.ckpt").state) == state_sha256(STATE)


def test_a_trusted_pickle_that_fails(folder):
    class Gone:
        pass

    Gone.__qualname__ = Gone.__name__ = "Gone"
    globals()["Gone"] = Gone
    torch.save({"a": Gone()}, folder / "gone.pt")
    del globals()["Gone"]
    refused(folder / "gone.pt", "a pickle that cannot be loaded.*Gone", trust_pickle=True)


def test_a_model_object(folder):
    torch.save(net(), folder / "model.pt")
    assert "torch.nn.modules.container.Sequential" in refused(folder / "model.pt", "weights only")
    refused(folder / "model.pt", r"got a whole Sequential object.*state_dict\(\)", trust_pickle=True)


@pytest.mark.parametrize(
    ("saved", "options", "message"),
    [
        ([torch.ones(2)], {}, "got a list"),
        (torch.ones(2), {}, "got a Tensor"),
        (None, {}, "got a NoneType"),
        ({}, {}, "an empty dictionary"),
        ({"a": torch.ones(2), "epoch": 3}, {}, "a int under 'epoch', where a tensor belongs"),
        ({1: torch.ones(2)}, {}, "a Tensor under 1"),
        ({"net": STATE, "ema": STATE}, {}, r"entries net, ema hold tensors\. Say which: entry='net'"),
        ({"net": STATE}, {"entry": "model"}, "no dictionary under the entry 'model'. Name one of its entries: net"),
        ({"a.b": torch.ones(2)}, {"prefix": "model."}, r"no name that begins with 'model\.'. Names begin with a\."),
        ({"a": torch.tensor([1.0, float("nan")])}, {}, "tensor 'a' must be finite"),
        ({"a": torch.eye(2).to_sparse()}, {}, "'a' quantised or sparse"),
        ({"a": torch.ones(2, device="meta")}, {}, r"'a' without data \(meta\)"),
    ],
)
def test_wrong_content(folder, saved, options, message):
    torch.save(saved, folder / "w.pt")
    refused(folder / "w.pt", message, **options)


def test_nan_in_safetensors(folder):
    save_file({"a": torch.tensor([1.0, float("inf")])}, folder / "w.safetensors")
    refused(folder / "w.safetensors", "tensor 'a' must be finite")


def archive(names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"an empty file \(0 bytes\)"),
        (b"<!DOCTYPE html><html>not found</html>", "a web page"),
        (b"\n <html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer.*git lfs pull"),
        (b"GGUF\x03\x00\x00\x00", "GGUF"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"hello, weights", "unknown kind"),
        (b"{not json", "damaged JSON"),
        (b'{"a": 1}', "JSON without a weight_map"),
        (b'{"weight_map": {}}', "JSON without a weight_map"),
        (b'{"weight_map": {"a": "../../secret.safetensors"}}', "names a file outside its folder"),
        (b'{"weight_map": {"a": "/secret.safetensors"}}', "names a file outside its folder"),
        (b'{"weight_map": {"a": "missing.safetensors"}}', "shard must exist, got missing.safetensors"),
        (archive(["m/code/x.py", "m/constants.pkl", "m/data.pkl"]), r"TorchScript.*torch\.export"),
        (archive(["x.npy", "y.npy"]), "a NumPy array|a NumPy archive"),
        (archive(["readme.txt"]), "a zip archive without weights"),
        (archive(["m/archive_format", "m/models/model.json"]), "torch.export program.*load_exported"),
        (archive(["m/data.pkl"]), "damaged|must hold"),
        ((10**6).to_bytes(8, "little") + b"{}", "a damaged safetensors file"),
    ],
)
def test_files_that_are_no_checkpoint(folder, content, message):
    path = folder / "w.pt"
    path.write_bytes(content)
    refused(path, message)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_real_torchscript(folder):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), folder / "w.pt")
    refused(folder / "w.pt", r"TorchScript archive.*export the Python module by torch\.export")


def test_a_numpy_file(folder):
    np.save(folder / "w.npy", np.ones(3))
    refused(folder / "w.npy", "a NumPy array")


def test_paths(folder):
    refused(folder / "nothing.pt", "checkpoint must exist, got '.*nothing.pt'")
    refused(folder, "must hold one .safetensors file or one index of shards, got none")
    save_file(STATE, folder / "a.safetensors")
    save_file(STATE, folder / "b.safetensors")
    refused(folder, "got a.safetensors, b.safetensors. Name the file itself")


def test_shards_must_be_what_the_index_says(folder):
    path = write_shards(folder)
    save_file({**{name: STATE[name] for name in sorted(STATE)[3:]}, "extra": torch.ones(1)}, folder / "a-2.safetensors")
    refused(path, "a-2.safetensors must hold what a.safetensors.index.json says, got 1 names.*'extra'")
    torch.save(STATE, folder / "a-2.safetensors")
    refused(path, "under a name that promises safetensors")


WRITERS = [save_with("w.pt"), save_legacy, save_tensors]


@pytest.mark.parametrize("write", WRITERS)
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated_files_raise(tmp_path_factory, write, share):
    path = write(tmp_path_factory.mktemp("cut"))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "must")


@pytest.mark.parametrize("write", WRITERS)
@given(data=st.data())
def test_damaged_bytes_never_raise_anything_else(tmp_path_factory, write, data):
    path = write(tmp_path_factory.mktemp("flip"))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        found = load_checkpoint(path)
    except CheckpointError:
        return
    assert all(isinstance(value, torch.Tensor) for value in found.state.values())


def test_a_flipped_weight_fails_the_archives_checksum(folder):
    path = save_with("w.pt")(folder)
    content = bytearray(path.read_bytes())
    place = content.find(STATE["0.weight"].numpy().tobytes())
    assert place > 0
    content[place] ^= 1
    path.write_bytes(content)
    refused(path, "fails its checksum")
