"""The ranking of a table of runs, its interval, and the file it is read from."""

import csv
import math
from itertools import product

import numpy as np
import pytest

from genbounds.measures import granulated_kendall, rank_measures, read_runs, tau_a, tau_interval


def runs(seed=0, noise=0.02):
    """A grid on which the gap follows size, rate and something else, which one measure knows."""
    rng = np.random.default_rng(seed)
    points = np.array(list(product([500, 1000, 2000], [0.01, 0.1], [16, 32, 64, 128])))
    table = {name: points[:, place].tolist() for place, name in enumerate(("size", "rate", "width"))}
    size, rate = np.array(table["size"], float), np.array(table["rate"])
    hidden = rng.standard_normal(24)
    table["gap"] = list(40 / size + rate + 0.2 * hidden + noise * rng.standard_normal(24))
    table["informed"] = list(hidden)
    table["adjusted"] = list(rng.standard_normal(24) / size**2)
    table["loss"] = list(rng.random(24))
    return table


def test_a_measure_that_knows_more_beats_the_hyper_parameters_and_noise_does_not():
    table = runs()
    found = rank_measures(
        table, "gap", ["informed", "adjusted"], ["size", "rate", "width"], size="size", training_loss="loss"
    )
    rows = {row.name: row for row in found.rows}
    assert {name for name, row in rows.items() if row.control} == {
        "1/n", "training loss", "random", "hyper-parameters, cross-validated", "gap with noise",
    }  # fmt: skip
    assert found.beating() == ("informed",)
    assert rows["informed"].psi_p == 0.01
    assert rows["informed"].information > rows["informed"].information_null
    assert rows["1/n"].psi_without_size == 0
    assert rows["1/n"].psi["size"] == granulated_kendall(1 / np.array(table["size"]), table["gap"], {
        name: table[name] for name in ("size", "rate", "width")
    }).psi["size"]  # fmt: skip
    assert rows["informed"].tau == tau_a(table["informed"], table["gap"])
    assert [abs(row.psi_without_size) for row in found.rows] == sorted(
        (abs(row.psi_without_size) for row in found.rows), reverse=True
    )
    with pytest.raises(ValueError, match="control must be"):
        found.beating("nothing")


def test_a_frame_and_a_file_give_the_same_ranking(tmp_path):
    pandas = pytest.importorskip("pandas", reason="needs the extra frame")
    table = runs()
    with (tmp_path / "runs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    arguments = "gap", ["informed"], ["size", "rate", "width"]
    expected = rank_measures(table, *arguments, permutations=5, draws=9)
    assert rank_measures(pandas.DataFrame(table), *arguments, permutations=5, draws=9) == expected
    assert rank_measures(read_runs(tmp_path / "runs.csv"), *arguments, permutations=5, draws=9) == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"informed": [None] * 24}, "informed"),
        ({"informed": ["text"] * 24}, "must hold numbers"),
        ({"width": [1] * 24}, "tell the runs apart"),
        ({"gap": [0.1] * 23}, "same|fit|values"),
    ],
)
def test_what_does_not_fit_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        rank_measures(runs() | change, "gap", ["informed"], ["size", "rate", "width"])


def test_unknown_columns_are_refused():
    with pytest.raises(ValueError, match="column 'nothing'"):
        rank_measures(runs(), "gap", ["nothing"], ["size", "rate", "width"])
    with pytest.raises(ValueError, match="size must be one of"):
        rank_measures(runs(), "gap", ["informed"], ["rate", "width", "size"], size="depth")
    with pytest.raises(ValueError, match="other than the gap"):
        rank_measures(runs(), "gap", ["gap"], ["size", "rate", "width"])


@pytest.mark.parametrize("text", ["", "a,b\n", "a,a\n1,2\n", "a,b\n1\n"])
def test_what_is_no_table_is_refused(tmp_path, text):
    (tmp_path / "runs.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="must"):
        read_runs(tmp_path / "runs.csv")


def test_columns_of_a_file(tmp_path):
    (tmp_path / "runs.csv").write_text("a,b,c\n1,x,\n2.5,y,3\n", encoding="utf-8")
    assert read_runs(tmp_path / "runs.csv") == {"a": [1.0, 2.5], "b": ["x", "y"], "c": [None, 3.0]}


def test_the_interval_covers_the_truth():
    """tau of a normal pair is 2/pi asin(rho). 200 tries of 60 runs: 4 standard errors at .95 are .06."""
    rng = np.random.default_rng(1)
    truth = 2 / math.pi * math.asin(0.5)
    covered = 0
    for _ in range(200):
        x, z = rng.standard_normal((2, 60))
        low, high = tau_interval(x, 0.5 * x + math.sqrt(0.75) * z, rng, draws=299)
        covered += low <= truth <= high
    assert covered / 200 > 0.95 - 0.06


def test_blocks_widen_the_interval_where_runs_repeat_each_other():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2, 20)).repeat(6, axis=1)
    x, y = x + 1e-6 * rng.standard_normal(120), y + 1e-6 * rng.standard_normal(120)
    alone = tau_interval(x, y, np.random.default_rng(0))
    together = tau_interval(x, y, np.random.default_rng(0), blocks=np.repeat(range(20), 6))
    assert together[1] - together[0] > 1.7 * (alone[1] - alone[0])


def test_copies_are_no_ties():
    """Order without exception keeps tau at 1 in every draw; counting copies as ties would give less."""
    assert tau_interval(range(9), range(9), np.random.default_rng(0)) == (1.0, 1.0)
    with pytest.raises(ValueError, match="at least 3"):
        tau_interval([1, 2], [1, 2], np.random.default_rng(0))
