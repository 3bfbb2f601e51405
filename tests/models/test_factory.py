"""Factories: what is found, and the error for everything that is not."""

from hashlib import sha256
from pathlib import Path

import pytest
import torch
from torch import nn

from genbounds.models.factory import FactoryError, build_model, call_factory, code_sha256, load_factory

SOURCE = """
from dataclasses import dataclass
from torch import nn

@dataclass
class Size:
    width: int = 3

def net(width: int = 3, *, depth: int = 1):
    return nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))

class Zoo:
    @staticmethod
    def small():
        return nn.Linear(2, 2)

def broken():
    raise TypeError("inside")

def weights():
    return {"weight": 0}

constant = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "nets_for_this_test.py").write_text(SOURCE)
    (tmp_path / "needy_for_this_test.py").write_text("import a_package_that_is_missing")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("module", ["nets_for_this_test", "nets_for_this_test.py", "./nets_for_this_test.py"])
def test_builds_from_module_and_file(folder, module):
    model = build_model(f"{module}:net", {"width": 5, "depth": 2})
    assert [layer.in_features for layer in model] == [5, 5]
    assert isinstance(build_model(f"{module}:Zoo.small"), nn.Linear)


def test_file_is_loaded_once(folder):
    first = load_factory("nets_for_this_test.py:Size")
    assert first is load_factory("./nets_for_this_test.py:Size")
    assert first() == first(3)


def test_current_folder_is_not_left_on_the_path(folder):
    import sys

    before = list(sys.path)
    load_factory("nets_for_this_test:net")
    with pytest.raises(FactoryError):
        load_factory("no_such_module_anywhere:net")
    assert sys.path == before


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nets", "must be 'package.module:callable'"),
        ("nets:", "must be 'package.module:callable'"),
        (":net", "must be 'package.module:callable'"),
        (".nets:net", "must be an absolute name"),
        ("no_such_module_anywhere:net", "there is no module 'no_such_module_anywhere'"),
        ("torch.no_such_part:net", "there is no module 'torch.no_such_part'"),
        ("needy_for_this_test:net", "itself needs the missing module 'a_package_that_is_missing'"),
        ("missing.py:net", "file must exist, got 'missing.py'"),
        ("nets_for_this_test:nte", "no 'nte' there. Did you mean net"),
        ("nets_for_this_test:Zoo.large", "no 'large' there"),
        ("nets_for_this_test:constant", "must be callable, got 'nets_for_this_test:constant', a int"),
    ],
)
def test_errors_of_references(folder, reference, message):
    with pytest.raises(FactoryError, match=message):
        load_factory(reference)


def test_a_file_that_fails_is_not_remembered(folder):
    path = folder / "later_for_this_test.py"
    path.write_text("1 / 0")
    with pytest.raises(ZeroDivisionError):
        load_factory("later_for_this_test.py:net")
    path.write_text("def net(): return 7  # repaired")
    assert load_factory("later_for_this_test.py:net")() == 7


def test_wrong_arguments_name_the_signature(folder):
    with pytest.raises(FactoryError, match=r"must fit nets_for_this_test:net\(width: int = 3, \*, depth.*'wdith'"):
        build_model("nets_for_this_test:net", {"wdith": 5})


def test_an_error_inside_the_factory_passes_through(folder):
    with pytest.raises(TypeError, match="inside"):
        build_model("nets_for_this_test:broken")


def test_a_callable_without_signature_is_called():
    assert call_factory(dict, {"a": 1}) == {"a": 1}


def test_modules_and_callables():
    module = nn.Linear(2, 3)
    assert build_model(module) is module
    assert build_model(nn.Linear, {"in_features": 2, "out_features": 3}).out_features == 3
    with pytest.raises(FactoryError, match=r"arguments must be empty.*'bias'"):
        build_model(module, {"bias": False})


def test_refuses_what_is_no_module(folder):
    with pytest.raises(FactoryError, match=r"must return a torch.nn.Module, got a dict"):
        build_model("nets_for_this_test:weights")
    with pytest.raises(FactoryError, match=r"must be a torch.nn.Module, a callable"):
        build_model(3)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_refuses_torchscript():
    with pytest.raises(FactoryError, match=r"TorchScript.*torch\.export"):
        build_model(lambda: torch.jit.script(nn.Linear(2, 2)))


def test_code_is_known_by_the_file_that_defines_it():
    wanted = sha256(Path(__file__).read_bytes()).hexdigest()
    assert code_sha256(test_code_is_known_by_the_file_that_defines_it) == wanted
    assert code_sha256(load_factory) == code_sha256(build_model) != wanted
    assert code_sha256(len) is None
