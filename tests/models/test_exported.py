"""Exported programs: run as the module did, refused where they hide something or were traced wrongly."""

import copy
import io
import pickle
import zipfile

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from genbounds.models.exported import load_exported
from genbounds.models.guards import check_deterministic, check_evaluation_mode, check_examples_do_not_mix
from genbounds.models.state import CheckpointError, apply_state, state_sha256

FREE = ({0: torch.export.Dim.DYNAMIC},)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)).eval()


def export(model, path, dynamic=FREE):
    torch.export.save(torch.export.export(model, (torch.randn(4, 3),), dynamic_shapes=dynamic), path)
    return path


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return export(net(), tmp_path_factory.mktemp("program") / "net.pt2")


def rewrite(source, target, change):
    """Copy an archive, passing each record through `change(name, content)`; None drops it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = change(name.partition("/")[2], old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


class Evil:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_runs_as_the_module_did(program):
    module, model, inputs = load_exported(program), net(), torch.randn(7, 3)
    assert torch.equal(module(inputs), model(inputs))
    assert state_sha256(module.state_dict()) == state_sha256(model.state_dict())
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name))
    check_evaluation_mode(module)
    check_deterministic(module, inputs)
    check_examples_do_not_mix(module, inputs)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, while it copies
def test_eval_stays_on_the_copy(program):
    module = load_exported(program)
    twin = copy.deepcopy(module)
    assert module.eval() is module
    assert twin.eval() is twin
    with torch.no_grad():
        next(twin.parameters()).zero_()
    assert not torch.equal(next(twin.parameters()), next(module.parameters()))
    with pytest.raises(NotImplementedError):
        module.train()


def test_weights_can_be_replaced_and_differentiated(program):
    module, inputs = load_exported(program), torch.randn(5, 3)
    weights = {name: parameter.detach() + 0.1 for name, parameter in module.named_parameters()}

    def loss(weights, example):
        return functional_call(module, weights, (example[None],)).sum()

    slopes = vmap(grad(loss), (None, 0))(weights, inputs)
    single = [grad(loss)(weights, example)["0.weight"] for example in inputs]
    torch.testing.assert_close(slopes["0.weight"], torch.stack(single))


def test_another_state_can_be_applied(program):
    module, other = load_exported(program), net()
    nn.init.ones_(other[3].weight)
    apply_state(module, other.state_dict())
    inputs = torch.randn(6, 3)
    assert torch.equal(module(inputs), other(inputs))


def test_training_mode_is_refused(tmp_path):
    path = export(nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).train(), tmp_path / "t.pt2")
    with pytest.raises(CheckpointError, match=r"got aten\.dropout\.default in training mode. Call model\.eval"):
        load_exported(path)


def test_a_fixed_batch_is_refused(tmp_path):
    path = export(nn.Linear(3, 3).eval(), tmp_path / "f.pt2", None)
    with pytest.raises(CheckpointError, match=r"batches of exactly 4. Export with a dynamic batch"):
        load_exported(path)


def test_pickles_inside_are_not_loaded(program, tmp_path):
    trap = tmp_path / "created"
    buffer = io.BytesIO()
    torch.save(Evil(trap), buffer)

    def swap(name, content):
        return buffer.getvalue() if name.startswith("data/sample_inputs/") else content

    with pytest.raises(CheckpointError, match=r"pickled objects or compiled code in the record .*sample_inputs.*\.pt"):
        load_exported(rewrite(program, tmp_path / "e.pt2", swap))
    assert not trap.exists()


def test_a_second_record_of_the_same_name_does_not_hide(program, tmp_path):
    trap = tmp_path / "created"
    buffer = io.BytesIO()
    torch.save(Evil(trap), buffer)
    path = tmp_path / "twice.pt2"
    path.write_bytes(program.read_bytes())
    with zipfile.ZipFile(program) as archive:
        name = next(name for name in archive.namelist() if "sample_inputs" in name)
        honest = archive.read(name)
    for content in (buffer.getvalue(), honest):
        with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, content)
    with pytest.raises(CheckpointError, match="must"):
        load_exported(path)
    assert not trap.exists()


def test_pickled_tensors_and_foreign_records_are_refused(program, tmp_path):
    def pickled(name, content):
        return (
            content.replace(b'"use_pickle": false', b'"use_pickle": true') if name.endswith("config.json") else content
        )

    with pytest.raises(CheckpointError, match=r"weights_config.json"):
        load_exported(rewrite(program, tmp_path / "p.pt2", pickled))
    for record in ("data/constants/opaque_obj_0", "data/aotinductor/model/x.so", "data/weights/model.pt"):
        path = tmp_path / "r.pt2"
        path.write_bytes(program.read_bytes())
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"{program.stem}/{record}", pickle.dumps(Evil(tmp_path / "created")))
        with pytest.raises(CheckpointError, match=record):
            load_exported(path)
    assert not (tmp_path / "created").exists()


def test_damaged_programs(program, tmp_path):
    path = tmp_path / "d.pt2"
    path.write_bytes(program.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match="truncated"):
        load_exported(path)
    with pytest.raises(CheckpointError, match="torch cannot read"):
        load_exported(rewrite(program, path, lambda name, old: b"{}" if name.startswith("models/") else old))


def test_other_files(tmp_path):
    with pytest.raises(CheckpointError, match=r"program must be a file, got '.*none.pt2'"):
        load_exported(tmp_path / "none.pt2")
    torch.save(net().state_dict(), tmp_path / "state.pt2")
    with pytest.raises(CheckpointError, match=r"got a torch file. Load it by load_checkpoint"):
        load_exported(tmp_path / "state.pt2")
