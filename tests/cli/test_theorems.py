"""``genbounds theorems``: all of them, one of them, for people and machines."""

import json

import pytest

from genbounds.cli.app import OK
from genbounds.theorems import Assumption, catalogue


def test_the_table_names_every_theorem(run):
    code, out, err = run("theorems")
    assert (code, err) == (OK, "")
    for name, theorem in catalogue().items():
        assert f" {name} " in out
        assert theorem.reference in out
    assert f"{len(catalogue())} theorems." in out


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_a_page_states_everything(run, name):
    code, out, err = run("theorems", name)
    assert (code, err) == (OK, "")
    text = " ".join(out.split())
    theorem = catalogue()[name]
    wanted = [theorem.name, theorem.summary, theorem.formula, theorem.reference, theorem.locator, theorem.uniform_over]
    wanted += [assumption.value for assumption in theorem.assumes]
    wanted += [parameter.meaning for parameter in theorem.parameters]
    wanted += [f"genbounds.{name}({', '.join(theorem.arguments)})"]
    for sentence in wanted:
        assert " ".join(sentence.split()) in text


def test_a_short_name_will_do(run):
    assert run("theorems", "maurer") == run("theorems", "pac_bayes.maurer")


def test_for_machines(run):
    code, out, err = run("theorems", "--json")
    everything = json.loads(out)
    assert (code, err) == (OK, "")
    assert [theorem["name"] for theorem in everything] == list(catalogue())
    code, out, _ = run("theorems", "catoni", "--json")
    one = json.loads(out)
    assert one == next(theorem for theorem in everything if theorem["name"] == "pac_bayes.catoni")
    assert one["assumes"]["IID"] == Assumption.IID.value
    assert one["parameters"] == [{"name": "C", "chosen": "fixed", "low": 0.0, "high": None}]
    assert one["arguments"] == ["risk", "kl", "n", "delta", "C"]
