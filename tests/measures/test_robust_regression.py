"""The fit to the worst environment against its dual, a grid, a general solver, least squares and closed forms."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from genbounds.measures import robust_regression

GRID = np.array(list(product(range(3), range(2), range(4), range(2))))
AXES = {f"axis {k}": GRID[:, k] for k in range(3)}  # the fourth column numbers repeats


def environments(fixed):
    found = []
    for axes in combinations(range(3), fixed):
        points = {tuple(run[list(axes)]) for run in GRID}
        found += [np.flatnonzero((GRID[:, list(axes)] == point).all(1)) for point in points]
    return found


def worst(x, y, parts, a, b):
    return max(np.mean((a * x[part] + b - y[part]) ** 2) for part in parts)


def data(seed):
    """Gaps that may follow the measure or not, per environment, in any units."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(48)
    y = rng.uniform(-1, 2) * z + rng.standard_normal(48) + GRID @ rng.standard_normal(4)
    return 10.0 ** rng.integers(-6, 6) * (z + 3 * rng.standard_normal()), y


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_the_optimum_has_a_proof(seed, fixed):
    """Weak duality: nothing is below `at_least`; the fit attains it."""
    x, y = data(seed)
    found, parts = robust_regression(x, y, AXES, fixed=fixed), environments(fixed)
    assert found.environments == len(parts)
    assert found.slope >= 0
    assert found.error**2 == pytest.approx(worst(x, y, parts, found.slope, found.intercept), rel=1e-9)
    assert found.at_least == pytest.approx(found.error, rel=1e-9)
    assert found.error <= found.baseline * (1 + 1e-12)
    for a, b in product(found.slope * np.array([0, 0.5, 0.9, 1, 1.1, 2]), (-1, -0.1, 0, 0.1, 1)):
        centre = np.mean(y - a * x)
        assert worst(x, y, parts, a, centre + b) >= found.at_least**2 * (1 - 1e-9)


@pytest.mark.parametrize("fixed", [1, 2, 3])
def test_a_general_solver_finds_nothing_better(fixed):
    x, y = data(fixed)
    x = x / np.abs(x).max()
    found, parts = robust_regression(x, y, AXES, fixed=fixed), environments(fixed)

    def margins(point):
        return [point[2] - np.mean((point[0] * x[part] + point[1] - y[part]) ** 2) for part in parts]

    start = [0.0, y.mean(), worst(x, y, parts, 0, y.mean())]
    other = minimize(
        lambda point: point[2], start, method="SLSQP", bounds=[(0, None), (None, None), (0, None)],
        constraints={"type": "ineq", "fun": margins}, options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    assert found.error**2 == pytest.approx(worst(x, y, parts, other.x[0], other.x[1]), rel=1e-6)


def test_one_environment_is_least_squares():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(48)
    y = 0.7 * x + rng.standard_normal(48) + 5
    found = robust_regression(x, y, AXES, fixed=0)
    assert [found.slope, found.intercept] == pytest.approx(np.polyfit(x, y, 1), rel=1e-7)
    assert found.baseline == pytest.approx(y.std(), rel=1e-12)
    falling = robust_regression(-x, y, AXES, fixed=0)
    assert falling.slope == 0
    assert falling.error == pytest.approx(falling.baseline, rel=1e-12)
    assert falling.at_least == pytest.approx(falling.error, rel=1e-12)


def test_the_baseline_of_two_environments_in_closed_form():
    """(b - 0)^2 + 1 = (b - 3)^2 + 4 at b = 2, of value 5."""
    gap = [-1, 1, 1, 5]
    found = robust_regression([1, 1, 1, 1], gap, {"a": [0, 0, 1, 1]}, fixed=1)
    assert found.baseline == pytest.approx(5**0.5, rel=1e-12)
    assert found.error == pytest.approx(5**0.5, rel=1e-12)
    assert (found.slope, found.intercept) == (0, pytest.approx(2))


def test_a_perfect_measure_has_no_error_in_any_units():
    gap = GRID @ [0.1, 0.02, 0.003, 0.0004]
    for scale, shift in [(1, 0), (1e250, 1e250), (1e-200, 0), (3, 1e4)]:
        found = robust_regression(scale * gap + shift, gap, AXES, fixed=2)
        assert found.error < 1e-9
        assert found.baseline > 0.05


def test_units_do_not_matter():
    x, y = data(11)
    one, two = (robust_regression(column, y, AXES, fixed=2) for column in (x, 7 * x - 3))
    assert two.error == pytest.approx(one.error, rel=1e-9)
    assert two.slope == pytest.approx(one.slope / 7, rel=1e-6)
    assert robust_regression(x, 100 * y + 1, AXES, fixed=2).error == pytest.approx(100 * one.error, rel=1e-9)


def test_the_worst_environment_decides():
    """A measure that predicts all of a table but one value of one axis is no better there than a constant."""
    rng = np.random.default_rng(3)
    gap = rng.standard_normal(48)
    gap -= np.where(GRID[:, 0] == 2, gap[GRID[:, 0] == 2].mean(), 0)
    measure = np.where(GRID[:, 0] == 2, -gap, gap)
    everywhere, somewhere = (robust_regression(measure, gap, AXES, fixed=fixed) for fixed in (0, 1))
    assert everywhere.error < 0.97 * everywhere.baseline
    assert somewhere.error > 0.98 * gap[GRID[:, 0] == 2].std()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="at most 1"):
        robust_regression([1, 2], [1, 2], {"a": [1, 2]}, fixed=2)
    with pytest.raises(ValueError, match="two runs in an environment"):
        robust_regression([1, 2], [1, 2], {"a": [1, 2]}, fixed=1)
    with pytest.raises(ValueError, match="same runs"):
        robust_regression([1, 2, 3], [1, 2], {"a": [1, 2]}, fixed=0)


def test_columns_with_ties_constants_and_decades_have_a_proof_too():
    rng = np.random.default_rng(4)
    for _ in range(200):
        runs = rng.integers(6, 30)
        axes = {"a": rng.integers(0, 4, runs), "b": rng.integers(0, 2, runs)}
        for x in (rng.integers(0, 2, runs), np.exp(3 * rng.standard_normal(runs)), np.full(runs, 0.1), 0.3 * axes["a"]):
            y = rng.integers(0, 3, runs) / 10
            found = robust_regression(x, y, axes, fixed=1)
            assert found.at_least == pytest.approx(found.error, abs=1e-7)


def test_more_decades_than_float64_resolves_show_in_the_lower_limit():
    """Measures over some fifty decades: what is returned may be no optimum, and then does not pass for one."""
    rng, short = np.random.default_rng(5), 0
    for _ in range(400):
        axes = {"a": rng.integers(0, 4, 20), "b": rng.integers(0, 3, 20)}
        found = robust_regression(np.exp(30 * rng.standard_normal(20)), rng.integers(0, 3, 20) / 10, axes, fixed=2)
        assert found.at_least <= found.error * (1 + 1e-9)
        assert found.error <= found.baseline * (1 + 1e-9)
        short += found.at_least < 0.99 * found.error
    assert 0 < short < 40


@pytest.mark.parametrize("noise", [1e-12, 1e-10, 1e-7, 1e-3])
def test_the_lower_limit_holds_near_a_perfect_fit(noise):
    for seed in range(40):
        x = np.random.default_rng(seed).standard_normal(8)
        y = 2 * x + noise * np.random.default_rng(seed + 1000).standard_normal(8)
        found = robust_regression(x, y, {"a": [0] * 4 + [1] * 4}, fixed=1)
        assert found.at_least <= found.error
        assert found.at_least >= found.error * (0.99 if noise >= 1e-7 else 0.5)


def test_numbers_whose_squares_overflow_are_refused():
    with pytest.raises(ValueError, match="float64 holds"):
        robust_regression([1, 2, 3], [1e200, 2e200, 3.5e200], {"a": [0] * 3}, fixed=1)
