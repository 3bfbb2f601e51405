"""The page of this room: its code runs, and what it names exists."""

import re
from pathlib import Path

import pytest

import genbounds.measures

PAGE = (Path(__file__).parents[2] / "docs" / "measures.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    pytest.importorskip("pandas", reason="the page makes a table")
    names = {}
    for block in blocks:
        exec(compile(block, "docs/measures.md", "exec"), names)
    assert "hyper-parameters, cross-validated" in capsys.readouterr().out


def test_names_on_the_page_exist():
    named = set(re.findall(r"`(\w+)`", PAGE)) - {"without", "estimability_floor"}
    assert named
    assert named <= set(dir(genbounds.measures))
