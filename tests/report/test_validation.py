"""The table that a theorist reads: every theorem has its line, and a refuted one is named."""

import io
import json
from dataclasses import replace

from rich.console import Console

from genbounds.report.validation import validation_data, validation_text
from genbounds.theorems import get
from genbounds.worlds.failures import Attack
from genbounds.worlds.validation import Finding, validate


def printed(renderable):
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(renderable)
    return " ".join(console.file.getvalue().split())


def average(ratio, failure=0.0):
    theorem = replace(get("maurer"), name="x.average", kind="expectation", averages_over="samples")
    return Finding(theorem, (Attack("bits", 0.0, failure, 0.25, ratio),))


def test_every_theorem_has_a_line():
    findings = [validate(get(name)) for name in ("maurer", "thiemann", "test_set_kl", "first_order")]
    text = printed(validation_text(findings, 0.05))
    for finding in findings:
        assert finding.theorem.name.partition(".")[2] in text
    assert "4 theorems" in text
    assert "none is refuted" in text
    assert "attained" in text
    data = validation_data(findings, 0.05)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert [entry["refuted_in"] for entry in data["theorems"]] == [[]] * 4
    assert data["theorems"][0]["place"]["among"] == 2


def test_a_bound_on_average_shows_its_margin():
    text = printed(validation_text([average(1.0312)], 0.05))
    assert "on average" in text
    assert "× 1.0312" in text
    assert "truth 0" in printed(validation_text([average(float("inf"))], 0.05))
    assert validation_data([average(float("inf"))], 0.05)["theorems"][0]["ratio"] is None


def test_a_refuted_theorem_is_named_with_its_world():
    text = printed(validation_text([average(0.5, failure=1.0)], 0.05))
    assert "none is refuted" not in text
    assert "x.average is refuted in 'bits': it fails with probability 1" in text
    assert validation_data([average(0.5, failure=1.0)], 0.05)["theorems"][0]["refuted_in"] == ["bits"]
