"""Pages for users of a room: what they name exists, their code runs, and bounds by information are named completely."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from genbounds.cli.app import app
from genbounds.theorems import catalogue
from genbounds.theorems.theorem import REGISTERED

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {
    name: (DOCS / f"{name}.md").read_text(encoding="utf-8")
    for name in ("adding", "coherence", "inductive_bias", "information", "pathways")
}
NAMES = [
    (page, name) for page, text in PAGES.items() for name in sorted(set(re.findall(r"`(genbounds\.[\w.]+)", text)))
]


def test_every_theorem_of_the_room_is_named_and_no_other():
    named = set(re.findall(r"`(information\.\w+)", PAGES["information"]))
    assert named == {name for name in catalogue() if name.startswith("information.")}


@pytest.mark.parametrize(("page", "name"), NAMES)
def test_every_name_exists(page, name):
    room, _, last = name.rpartition(".")
    try:
        assert getattr(importlib.import_module(room), last) is not None
    except AttributeError:
        importlib.import_module(name)


@pytest.mark.parametrize(
    ("page", "rooms"),
    [("coherence", ["coherence"]), ("inductive_bias", ["inductive_bias", "rare_events"]), ("pathways", ["pathways"])],
)
def test_calls_of_the_rooms_exist(page, rooms):
    for room in (importlib.import_module(f"genbounds.{name}") for name in rooms):
        calls = set(re.findall(r"`(\w+)(?:\(|`)", PAGES[page])) & {*dir(room)}
        assert len(calls) >= 5
        assert all(callable(getattr(room, name)) for name in calls)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_named_exists(page):
    commands = set(re.findall(r"^genbounds ([\w-]+)|`genbounds ([\w-]+)", PAGES[page], re.MULTILINE))
    assert commands
    assert {command or quoted for command, quoted in commands} <= set(app)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", PAGES[page])
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []


@pytest.fixture
def registry():
    before = dict(REGISTERED)
    yield
    REGISTERED.clear()
    REGISTERED.update(before)


def run(code, names):
    exec(compile(code, "page", "exec"), names)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("page", PAGES)
def test_its_code_runs(page, capsys):
    names = {"__name__": "page"}
    blocks = re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL)
    assert blocks
    for block in blocks:
        if "analyse_layers" in block:
            pytest.importorskip("ot")
        if "pathway_distance" in block:
            pytest.importorskip("rapidfuzz")
        if "analyse_layers" in block or '"digits"' in block:
            pytest.importorskip("sklearn")
        run(block, names)
        assert capsys.readouterr().out.strip() not in {"", "[]"}


def test_the_runs_of_the_page_on_many_runs(tmp_path):
    pages = (DOCS / "distributed.md").read_text(encoding="utf-8")
    for name, code in re.findall(r":caption: (\w+\.py)\n\n(.*?)```", pages, re.DOTALL):
        (tmp_path / name).write_text(code, encoding="utf-8")
    path = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(DOCS.parent)])}
    command = [sys.executable, "sweep.py"]
    first, again = (
        subprocess.run(
            command, cwd=tmp_path, env=os.environ | path, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for _ in range(2)
    )
    assert sorted(line.rsplit(" ", 1)[0] for line in first) == sorted(line.rsplit(" ", 1)[0] for line in again)
    assert {line.rsplit(" ", 1)[1] for line in first} == {"new"}
    assert {line.rsplit(" ", 1)[1] for line in again} == {"kept"}
