"""How often a measure of known strength is found: the level, an independent simulation, and a closed form."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import kendalltau, norm

from genbounds.measures import conditional_information, detection_power, granulated_kendall, tau_a

SCORES = norm.ppf((np.arange(400) + 0.5) / 400)


def tau(x, y, grid):
    return tau_a(x, y)


def test_nothing_is_found_as_often_as_the_level_says():
    """Gaps with ties; 500 tables, so 4 standard errors are .039. The test keeps its level, the interval nearly."""
    gap = np.random.default_rng(0).integers(0, 12, 100).astype(float)
    (row,) = detection_power(
        tau, gap, {"a": range(100)}, np.random.default_rng(1), runs=[20], strengths=[0], trials=500, permutations=39
    )
    assert abs(row.detected - 0.05) < 0.039
    assert row.outside < 0.05 + 0.06
    assert row.detected_error == pytest.approx((0.05 * 0.95 / 500) ** 0.5, rel=0.35)
    assert abs(row.value) < 4 * 0.16 / 500**0.5


def test_power_agrees_with_another_simulation():
    """Normal pairs of correlation .5 and the p-value of another package; 4 standard errors of the difference."""
    rng = np.random.default_rng(2)
    rows = detection_power(
        tau, SCORES, {"a": range(400)}, rng, runs=[15, 30], strengths=[0.5], trials=250, permutations=199, draws=49
    )
    for row in rows:
        found = []
        for _ in range(600):
            x, z = rng.standard_normal((2, row.runs))
            found.append(kendalltau(x, 0.5 * x + math.sqrt(0.75) * z).pvalue <= 0.05)
        share = np.mean(found)
        assert abs(row.detected - share) < 4 * math.sqrt(share * (1 - share) * (1 / 250 + 1 / 600))
        assert row.value == pytest.approx(2 / math.pi * math.asin(0.5), abs=0.04)
    assert rows[0].detected < rows[1].detected
    assert rows[0].null_quantile > rows[1].null_quantile


def test_the_null_of_tau_has_its_known_spread():
    """Var tau = 2 (2n + 5) / (9 n (n - 1)) without ties, and nearly normal."""
    (row,) = detection_power(
        tau, SCORES, {"a": range(400)}, np.random.default_rng(3), runs=[40], strengths=[1], trials=20,
        permutations=299, draws=19,
    )  # fmt: skip
    assert row.null_quantile == pytest.approx(1.96 * math.sqrt(2 * 85 / (9 * 40 * 39)), rel=0.06)
    assert (row.value, row.detected, row.outside) == (1, 1, 1)
    assert row.detected_error > 0


def test_information_of_nothing_falls_with_the_number_of_runs():
    points = np.array(list(product(range(6), range(4), range(4))))
    grid = {f"axis {k}": points[:, k] for k in range(3)}
    rows = detection_power(
        lambda x, y, part: conditional_information(x, y, part).value, SCORES[np.random.default_rng(4).permutation(96)],
        grid, np.random.default_rng(5), runs=[24, 96], strengths=[0, 0.9], trials=12, permutations=19, draws=9,
    )  # fmt: skip
    few, strong_few, many, strong_many = rows
    assert few.null_quantile > 2 * many.null_quantile
    assert strong_many.value > strong_many.null_quantile > many.value
    assert strong_few.detected <= strong_many.detected


def test_psi_takes_the_whole_grid():
    points = np.array(list(product(range(3), range(4))))
    grid = {"a": points[:, 0], "b": points[:, 1]}
    (row,) = detection_power(
        lambda x, y, part: granulated_kendall(x, y, part).value, np.arange(12.0), grid, np.random.default_rng(6),
        runs=[12], strengths=[1], trials=4, permutations=19, draws=9,
    )  # fmt: skip
    assert (row.value, row.detected) == (1, 1)


def test_the_same_seed_gives_the_same_rows():
    one, two = (
        detection_power(tau, range(9), {"a": range(9)}, np.random.default_rng(7), runs=[6], trials=3, permutations=19)
        for _ in "ab"
    )
    assert one == two


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"runs": [10]}, "at most the 9"),
        ({"runs": [2]}, "runs"),
        ({"strengths": [1.1]}, "strengths"),
        ({"permutations": 18}, "1/level"),
        ({"level": 0}, "level"),
    ],
)
def test_what_does_not_fit_is_refused(change, said):
    arguments = {"runs": [5], "strengths": [0], "trials": 1, "permutations": 19} | change
    with pytest.raises(ValueError, match=said):
        detection_power(tau, range(9), {"a": range(9)}, np.random.default_rng(0), **arguments)
    with pytest.raises(ValueError, match="must vary"):
        detection_power(tau, [1] * 9, {"a": range(9)}, np.random.default_rng(0), runs=[5])
