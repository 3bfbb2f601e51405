"""``genbounds rank``: what it prints and writes, and what it refuses."""

import csv
import json
from itertools import product

import numpy as np
import pytest

from genbounds.cli.app import main


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    with (tmp_path / "runs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["size", "rate", "gap", "norm"])
        for size, rate in product([100, 200, 400, 800], [0.01, 0.1, 1]):
            writer.writerow([size, rate, 20 / size + 0.01 * rng.standard_normal(), rng.standard_normal()])
    return tmp_path / "runs.csv"


def arguments(table, *more):
    out = str(table.parent / "out")
    return ["rank", str(table), "--measures", "norm", "--axes", "size", "rate", "--size", "size", "--out", out, *more]


def test_it_prints_a_table_with_controls_and_writes_a_figure(table, capsys):
    assert main(arguments(table)) == 0
    printed = capsys.readouterr().out
    for name in (
        "norm",
        "1/n",
        "random",
        "hyper-parameters, cross-validated",
        "gap with noise",
        "No measure is ahead",
    ):
        assert name in printed
    written = {path.name for path in (table.parent / "out").iterdir()}
    assert written == {"ranking.json", "ranking.png", "ranking.svg", "report.html"}
    page = (table.parent / "out" / "report.html").read_text(encoding="utf-8")
    for name in ("norm", "1/n", "hyper-parameters, cross-validated", "prove nothing", "<svg", "No measure is ahead"):
        assert name in page.replace("<wbr>", "")


def test_json_alone(table, capsys):
    assert main(arguments(table, "--json")) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["runs"] == 12
    assert content == json.loads((table.parent / "out" / "ranking.json").read_text(encoding="utf-8"))


def test_a_missing_column_is_named(table, capsys):
    assert main([*arguments(table)[:3], "margin", *arguments(table)[4:]]) != 0
    assert "margin" in capsys.readouterr().err


def test_repeats_give_sign_errors_and_their_lack_a_reason(table, capsys):
    assert main(arguments(table)) == 0
    assert "No sign errors: no two configurations" in capsys.readouterr().out
    lines = table.read_text(encoding="utf-8").splitlines()
    again = [f"{lines[0]},seed", *(f"{line}{seed},{seed}" for line in lines[1:] for seed in range(4))]
    table.write_text("\n".join(again), encoding="utf-8")
    more = [*arguments(table), "--axes", "seed", "--repeats", "seed", "--test-examples", "5000"]
    assert main(more) == 0
    printed = capsys.readouterr().out
    assert "over 48 runs, averaged in 12 configurations" in printed
    assert "worst sign error" in printed
    content = json.loads((table.parent / "out" / "ranking.json").read_text(encoding="utf-8"))
    assert content["environments"] > 0
    assert all(0 <= row["sign_error_mean"] <= row["sign_error_worst"] <= 1 for row in content["rows"])
