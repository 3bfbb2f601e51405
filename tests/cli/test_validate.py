"""``genbounds validate``: which theorems, which exit code."""

import json
from dataclasses import replace

import pytest

from genbounds.cli import main
from genbounds.theorems import get
from genbounds.theorems.theorem import REGISTERED


def test_named_theorems(capsys):
    assert main(["validate", "maurer", "pac_bayes.test_set_kl", "--delta", "0.1"]) == 0
    text = capsys.readouterr().out
    assert "2 theorems" in text
    assert "δ = 0.1: none is refuted" in text


def test_json(capsys):
    assert main(["validate", "maurer", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [entry["theorem"] for entry in content["theorems"]] == ["pac_bayes.maurer"]


def test_a_room_stands_for_its_theorems(capsys, monkeypatch):
    names = [name for name in REGISTERED if not name.startswith("pac_bayes.")]
    for name in [*names, *(name for name in REGISTERED if name.startswith("pac_bayes.") and "kl" not in name)]:
        monkeypatch.delitem(REGISTERED, name)
    assert main(["validate", "pac_bayes", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [entry["theorem"] for entry in content["theorems"]] == sorted(REGISTERED)


def test_a_refuted_theorem_has_its_exit_code(capsys, monkeypatch):
    def hopeful(risk, n, delta):
        return risk

    monkeypatch.setitem(REGISTERED, "pac_bayes.test_set_kl", replace(get("test_set_kl"), function=hopeful))
    assert main(["validate", "test_set_kl"]) == 3
    assert "pac_bayes.test_set_kl is refuted in" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["maurrer"], ["maurer", "--delta", "1"]])
def test_what_is_wrong_is_said(capsys, arguments):
    assert main(["validate", *arguments]) == 2
    assert capsys.readouterr().err.startswith("genbounds: ")
