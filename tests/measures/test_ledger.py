"""A synthetic ledger of networks with repeats, scored here and by the published scorer; and a published table."""

from itertools import product

import numpy as np
import pytest

from genbounds.measures import Granulated, conditional_information, granulated_kendall, sign_errors, tau_a

scorer = pytest.importorskip("mbe_eval", reason="needs the extra test")
pandas = pytest.importorskip("pandas", reason="needs the extra frame")

AXES = ["depth", "width", "rate", "size"]


@pytest.fixture(scope="module")
def ledger():
    """Five trainings of each of 54 configurations; one measure follows the gap, one nothing."""
    rng = np.random.default_rng(0)
    points = np.array([point for point in product(range(3), range(3), range(2), range(3)) for _ in range(5)])
    table = pandas.DataFrame(points, columns=AXES)
    table["config_id"] = [str(tuple(point)) for point in points]
    noise = rng.standard_normal((3, len(table)))
    table["gap"] = 0.3 / (1 + table["size"]) + 0.02 * table["rate"] + 0.01 * table["depth"] + 0.02 * noise[0]
    table["follows"] = table["gap"] + 0.05 * noise[1]
    table["nothing"] = noise[2]
    return table


@pytest.mark.parametrize("measure", ["follows", "nothing"])
def test_tau_psi_and_information_agree_to_four_decimals(ledger, measure):
    """Of averages over repeats, which have no ties: then its tau-b is our tau-a."""
    grid = ledger.groupby("config_id", sort=True).mean(numeric_only=True)
    settings = {axis: grid[axis].tolist() for axis in AXES}
    x, y = grid[measure].to_numpy(), grid["gap"].to_numpy()
    from mbe_eval.comparators import kendall_rank_correlation

    assert round(tau_a(x, y), 4) == pytest.approx(round(kendall_rank_correlation(x, y), 4), abs=1e-9)
    psi, detail = scorer.granulated_kendall(ledger, measure, "gap", AXES, group_col="config_id")
    ours = granulated_kendall(x, y, settings)
    assert round(ours.value, 4) == pytest.approx(round(psi, 4), abs=1e-9)
    np.testing.assert_allclose(list(ours.psi.values()), detail["granulated_kendall"], atol=1e-9)
    information, _ = scorer.jiang_normalized_cmi(ledger, measure, "gap", AXES, group_col="config_id")
    found = conditional_information(x, y, settings).value
    assert round(found, 4) == pytest.approx(round(information, 4), abs=1e-9)


def test_with_ties_their_tau_is_ours_over_the_pairs_that_are_not_tied(ledger):
    """tau-b = tau-a / sqrt((1 - t_x) (1 - t_y)), t the shares of tied pairs: larger, and not of the definition."""
    from mbe_eval.comparators import kendall_rank_correlation

    x, y = ledger["size"].to_numpy(), ledger["gap"].to_numpy()
    pairs = len(x) * (len(x) - 1)
    tied = [(np.equal.outer(column, column).sum() - len(x)) / pairs for column in (x, y)]
    theirs = kendall_rank_correlation(x, y)
    assert theirs == pytest.approx(tau_a(x, y) / np.sqrt((1 - tied[0]) * (1 - tied[1])), abs=1e-9)
    assert abs(theirs) > 1.2 * abs(tau_a(x, y))


@pytest.mark.parametrize("n", [1000, 10_000])
def test_sign_errors_agree_to_four_decimals(ledger, n):
    """It counts each pair of configurations in both directions, and we once; worst and mean are the same."""
    measures = ["follows", "nothing"]
    theirs = scorer.robust_sign_error_environments(ledger, measures, AXES, target="gap", test_size=n)
    summary = scorer.robust_sign_error_summary(theirs, measures).query("hyperparameter == 'all'").set_index("metric")
    for measure in measures:
        ours = sign_errors(ledger[measure], ledger["gap"], {axis: ledger[axis] for axis in AXES}, test_examples=n)
        assert 2 * ours.kept == len(theirs)
        assert ours.left_out > 0
        assert round(ours.worst, 4) == pytest.approx(round(summary.loc[measure, "max_sign_error"], 4), abs=1e-9)
        assert round(ours.mean, 4) == pytest.approx(round(summary.loc[measure, "mean_sign_error"], 4), abs=1e-9)
        for axis, errors in ours.by_axis.items():
            one_way = theirs[theirs["hyperparameter"] == axis][measure].to_numpy()[::2]
            np.testing.assert_allclose(sorted(errors), sorted(one_way), atol=1e-9)


#: psi along batch size, dropout, rate, depth, optimiser, weight decay, width, and Psi, as published [Jiang2020].
PUBLISHED = {
    "VC dimension": ([0, 0, 0, -0.909, 0, 0, -0.171], -0.154),
    "path norm": ([0.252, 0.270, 0.049, 0.934, 0.153, 0.338, 0.178], 0.311),
    "Fisher-Rao": ([0.396, 0.147, 0.240, -0.553, 0.120, 0.551, 0.177], 0.154),
    "Frobenius distance": ([-0.317, -0.833, -0.718, 0.526, -0.214, -0.669, -0.166], -0.341),
    "spectral": ([-0.262, -0.762, -0.665, -0.908, -0.131, -0.073, -0.240], -0.434),
    "parameter norm": ([0.236, -0.516, 0.174, 0.330, 0.187, 0.124, -0.170], 0.052),
    "oracle, noise .02": ([0.380, 0.657, 0.536, 0.717, 0.374, 0.388, 0.360], 0.487),
    "oracle, noise .05": ([0.172, 0.375, 0.305, 0.384, 0.165, 0.184, 0.204], 0.256),
    "sharpness": ([0.537, -0.523, 0.449, 0.826, 0.221, 0.233, -0.004], 0.248),
    "PAC-Bayes": ([0.372, -0.457, 0.042, 0.644, 0.179, -0.179, -0.142], 0.066),
}


@pytest.mark.parametrize("measure", PUBLISHED)
def test_psi_of_a_published_table_is_the_mean_of_its_row(measure):
    """Rounded to three decimals twice: within .001."""
    row, psi = PUBLISHED[measure]
    axes = [f"axis {k}" for k in range(7)]
    found = Granulated(dict(zip(axes, row, strict=True)), dict.fromkeys(axes, 1))
    assert found.value == pytest.approx(psi, abs=1.01e-3)
