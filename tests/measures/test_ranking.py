"""The ranking of a table of runs, its interval, and the file it is read from."""

import csv
import math
from itertools import product

import numpy as np
import pytest

from genbounds.measures import (
    granulated_kendall,
    psi_interval,
    rank_measures,
    read_runs,
    robust_regression,
    sign_errors,
    tau_a,
    tau_interval,
)


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


@pytest.mark.parametrize("sizes", [(4, 3, 4), (2, 2, 2, 2, 2)])
def test_the_interval_of_psi_covers_its_mean_over_new_trainings(sizes):
    """150 tries: 4 standard errors at .95 are .071. Not by being wide alone: below 1.6 of what would be needed."""
    rng = np.random.default_rng(3)
    points = np.array(list(product(*map(range, sizes))))
    grid = {f"axis {k}": points[:, k] for k in range(len(sizes))}

    def train():
        one, other = rng.standard_normal((2, len(points)))
        return 0.5 * points[:, 0] + one, 0.4 * points[:, 1] + 0.3 * points[:, 0] + 0.6 * one + other

    truth = np.array([granulated_kendall(*train(), grid).value for _ in range(600)])
    found = np.array([psi_interval(*train(), grid, rng, draws=199) for _ in range(150)])
    covered = (found[:, 0] <= truth.mean()) & (truth.mean() <= found[:, 1])
    assert covered.mean() > 0.95 - 0.071
    assert np.diff(found).mean() < 1.6 * 2 * 1.96 * truth.std()


def test_the_interval_of_psi_leaves_axes_out_and_knows_blocks():
    rng = np.random.default_rng(4)
    points = np.array(list(product(range(4), range(4), range(3))))
    size, rate, seed = points.T
    grid = {"size": size, "rate": rate, "seed": seed}
    config = rng.standard_normal((2, 16))
    measure, gap = config[0, 4 * size + rate] - size, config[1, 4 * size + rate] - size
    measure, gap = measure + 1e-6 * rng.standard_normal(48), gap + 1e-6 * rng.standard_normal(48)
    found = granulated_kendall(measure, gap, grid)
    draw = np.random.default_rng
    low, high = psi_interval(measure, gap, grid, draw(0), without=["size", "seed"])
    assert low <= found.psi["rate"] <= high
    alone, together = (
        psi_interval(measure, gap, grid, draw(0), without=["seed"], blocks=blocks) for blocks in (None, 4 * size + rate)
    )
    assert together[1] - together[0] > 1.3 * (alone[1] - alone[0])
    with pytest.raises(ValueError, match="some, not all"):
        psi_interval(measure, gap, grid, draw(0), without=["size", "seed", "rate"])
    with pytest.raises(ValueError, match="at least 3"):
        psi_interval([1, 2], [1, 2], {"a": [1, 2]}, draw(0))


def repeated():
    """Up to five trainings of each configuration of a grid, in mixed order; three of them are missing."""
    rng = np.random.default_rng(5)
    points = np.array(list(product([500, 1000, 2000], [0.01, 0.1], [16, 32], range(5))))[rng.permutation(60)[:57]]
    table = {name: points[:, place].tolist() for place, name in enumerate(("size", "rate", "width", "seed"))}
    gap = 40 / points[:, 0] + points[:, 1] + 0.02 * rng.standard_normal(57)
    return table | {"gap": gap.tolist(), "norm": (gap + 0.05 * rng.standard_normal(57)).tolist()}


def test_repeats_are_averaged_for_ranks_and_compared_for_signs():
    table = repeated()
    found = rank_measures(
        table, "gap", ["norm"], ["size", "rate", "width", "seed"], size="size", repeats="seed", test_examples=2000
    )
    (row,) = (row for row in found.rows if row.name == "norm")
    groups = {}
    for run, point in enumerate(zip(table["size"], table["rate"], table["width"], strict=True)):
        groups.setdefault(point, []).append(run)
    grid = dict(zip(("size", "rate", "width"), zip(*groups, strict=True), strict=True))
    norm, gap = ([np.mean([table[name][run] for run in runs]) for runs in groups.values()] for name in ("norm", "gap"))
    varied = {name: table[name] for name in grid}
    assert (found.runs, found.configurations) == (57, 12)
    assert row.tau == pytest.approx(tau_a(norm, gap))
    assert row.psi == pytest.approx(granulated_kendall(norm, gap, grid).psi)
    signs = sign_errors(table["norm"], table["gap"], varied, test_examples=2000)
    assert (row.sign_error_worst, row.sign_error_mean) == (signs.worst, signs.mean)
    assert (found.environments, found.environments_left_out) == (signs.kept, signs.left_out)
    fit = robust_regression(table["norm"], table["gap"], varied, fixed=1)
    assert (row.robust_error, found.robust_baseline) == (fit.error, fit.baseline)
    assert row.psi_interval == psi_interval(norm, gap, grid, np.random.default_rng(0), without=["size"])
    assert found.to_json()["rows"][0]["psi_interval"] == list(found.rows[0].psi_interval)


def test_without_repeats_there_are_no_sign_errors_and_a_reason():
    found = rank_measures(runs(), "gap", ["informed"], ["size", "rate", "width"], permutations=5, draws=9)
    assert found.environments == 0
    assert found.environments_left_out > 0
    assert {row.sign_error_worst for row in found.rows} == {None}
    assert found.to_json()["rows"][0]["sign_error_mean"] is None
    alone = rank_measures({"gap": [1, 2, 3], "m": [1, 3, 2], "a": [1, 2, 3]}, "gap", ["m"], ["a"], permutations=5)
    assert alone.robust_baseline == pytest.approx((2 / 3) ** 0.5)


def test_repeats_must_be_an_axis_beside_others():
    with pytest.raises(ValueError, match="repeats must be one of"):
        rank_measures(repeated(), "gap", ["norm"], ["size", "rate", "width", "seed"], repeats="epoch")
    with pytest.raises(ValueError, match="other axes"):
        rank_measures(repeated(), "gap", ["norm"], ["size", "rate", "width", "seed"], size="size", repeats="size")
    with pytest.raises(ValueError, match="tell the runs apart"):
        rank_measures(repeated(), "gap", ["norm"], ["size", "rate", "seed"], repeats="seed")
