"""The README keeps its word: its Python runs, its links lead somewhere, its commands and exit codes exist."""

import doctest
import re
from pathlib import Path

import pytest

from genbounds.cli.app import EXIT_CODES, app, main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_numbers_in_the_readme():
    sessions = [block for block in BLOCKS if block.startswith(">>>")]
    assert sessions
    for session in sessions:
        test = doctest.DocTestParser().get_doctest(session, {}, "README.md", "README.md", 0)
        result = doctest.DocTestRunner(verbose=False).run(test)
        assert result.attempted > 0
        assert result.failed == 0


def test_programs_in_the_readme(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn", reason="the README certifies scikit-learn's digits")
    programs = [block for block in BLOCKS if not block.startswith(">>>")]
    assert programs
    monkeypatch.chdir(tmp_path)
    for program in programs:
        exec(compile(program, "README.md", "exec"), {"__name__": "readme"})
    assert "With probability at least 0.965" in capsys.readouterr().out
    assert (tmp_path / "certificate" / "posterior.safetensors").exists()


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert len(links) >= 5
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_commands_are_the_commands():
    named = set(re.findall(r"^\| `genbounds ([\w-]+)", README, re.MULTILINE))
    assert named == {name for name in app if not name.startswith("-")}


def test_the_exit_codes_are_the_exit_codes():
    table = dict(re.findall(r"^\| (\d+) \| (.+) \|$", README, re.MULTILINE))
    assert table == dict(re.findall(r"^- (\d+): (.+)$", EXIT_CODES, re.MULTILINE))


def test_the_make_targets_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake (\w+)", README)) <= targets


def test_the_options_exist(capsys):
    known = set()
    for command in app:
        if not command.startswith("-"):
            main([command, "--help"])
            known |= set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", README)) <= known
