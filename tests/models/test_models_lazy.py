"""The room's door: nothing heavy is imported until a name is used."""

import subprocess
import sys

import pytest

import genbounds.models


def test_import_loads_no_torch():
    code = "import sys, genbounds.models; assert 'torch' not in sys.modules; print(len(dir(genbounds.models)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_splits_load_no_torch():
    code = "import sys; from genbounds.models import Roles; assert 'torch' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", genbounds.models.__all__)
def test_every_name_is_there(name):
    assert getattr(genbounds.models, name).__module__.startswith("genbounds.models.")


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = genbounds.models.nothing
