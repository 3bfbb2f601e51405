"""The page on bounds by information: it names every theorem, what it names exists, and its code runs."""

import importlib
import re
from pathlib import Path

import pytest

from genbounds.cli.app import app
from genbounds.theorems import catalogue
from genbounds.theorems.theorem import REGISTERED

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "information.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_every_theorem_of_the_room_is_named_and_no_other():
    named = set(re.findall(r"`(information\.\w+)", PAGE))
    assert named == {name for name in catalogue() if name.startswith("information.")}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(genbounds\.[\w.]+)", PAGE))))
def test_every_name_exists(name):
    room, _, last = name.rpartition(".")
    try:
        assert getattr(importlib.import_module(room), last) is not None
    except AttributeError:
        importlib.import_module(name)


def test_every_command_named_exists():
    commands = set(re.findall(r"^genbounds (\w+)|`genbounds (\w+)", PAGE, re.MULTILINE))
    assert len(commands) > 2
    assert {command or quoted for command, quoted in commands} <= set(app)


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", PAGE)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


@pytest.fixture
def registry():
    before = dict(REGISTERED)
    yield
    REGISTERED.clear()
    REGISTERED.update(before)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("place", range(len(BLOCKS)))
def test_its_code_runs(place, capsys):
    if "analyse_layers" in BLOCKS[place]:
        pytest.importorskip("ot")
        pytest.importorskip("sklearn")
    exec(compile(BLOCKS[place], f"block {place}", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out.strip() not in {"", "[]"}
