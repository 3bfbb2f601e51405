"""The betting limit against ball arithmetic, exact coverage in finite worlds, and the other Monte-Carlo limits."""

import itertools
import math

import flint
import numpy as np
import pytest
from flint import arb
from hypothesis import example, given
from hypothesis import strategies as st

from genbounds.numerics import betting_grid, betting_upper, kl_upper

VALUES = st.lists(
    st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 1.0, 0.5]), st.floats(-700.0, 0.0).map(math.exp)),
    min_size=1,
    max_size=30,
)
LEVEL = st.one_of(st.floats(-30.0, -1e-3), st.floats(-20.0, 0.0).map(lambda x: -math.exp(x)))


def wealth(values: list[float], mu: float) -> arb:
    """M(mu), from its definition."""
    flint.ctx.prec = 150
    total = arb(0)
    bets = [2.0**-j for j in range(len(betting_grid(len(values))))]
    for bet in bets:
        product = arb(1)
        for x in values:
            product *= 1 + arb(bet) * (arb(mu) - arb(x)) / (1 - arb(mu))
        total += product
    return total / len(bets)


def check(values: list[float], level: float, limit: float, slack: float = 3e-14) -> None:
    needed = (-arb(level)).exp()
    if limit < 1.0:
        assert wealth(values, limit) >= needed, "below the true limit"
    if limit > slack:
        assert not wealth(values, limit - slack) >= needed, "not tight"


@given(VALUES, LEVEL)
@example([1.0], -3.0)
@example([0.0], -3.0)
@example([1.0, 1.0, 1.0], -3.0)
@example([0.0] * 10, -1e-9)
@example([1.0, 0.0, 0.0, 0.0, 0.0, 1.0], -3.0)
def test_limit_is_proven_and_tight(values: list[float], level: float) -> None:
    check(values, level, float(betting_upper(values, level)))


def test_many_values() -> None:
    rng = np.random.default_rng(0)
    errors, narrow = (rng.random(1000) < 0.02).astype(float), 0.02 + 1e-3 * rng.random(1000)
    for values in (errors, narrow, rng.random(70_000)):  # the last in two chunks
        check(values.tolist(), math.log(0.01), float(betting_upper(values, math.log(0.01))), slack=1e-12)


def test_closed_forms() -> None:
    assert betting_upper([0.0], math.log(0.05)) == pytest.approx(0.95, rel=1e-14)
    assert betting_upper([1.0, 1.0], -3.0) == betting_upper([1.0], -3.0) == 1.0
    assert betting_upper([0.2, 0.4], -math.inf) == 1.0
    assert 0 < betting_upper(np.zeros(4), 0.0) < 1e-14


def test_grid_reaches_down_to_the_root_of_m() -> None:
    assert betting_grid(1).tolist() == [1.0]
    for m in (2, 5, 16, 1000, 10**6):
        grid = betting_grid(m)
        assert grid[0] == 1.0
        assert (grid[1:] == grid[:-1] / 2).all()
        assert 0.5 / math.sqrt(m) < grid[-1] <= 1 / math.sqrt(m)


def coverage_failure(laws: list[dict[float, float]], limit, delta: float) -> float:
    """Probability, by enumeration, that the limit falls below the average mean of independent variables."""
    mean = sum(sum(x * p for x, p in law.items()) for law in laws) / len(laws)
    outcomes = list(itertools.product(*(law.items() for law in laws)))
    limits = limit(np.array([[x for x, _ in outcome] for outcome in outcomes]), math.log(delta))
    return sum(math.prod(p for _, p in o) for o, u in zip(outcomes, limits, strict=True) if u < mean)


@pytest.mark.parametrize("delta", [0.05, 0.3])
def test_exact_coverage_with_different_means(delta: float) -> None:
    def broken(values, level):  # counts every value twice
        return betting_upper(np.repeat(values, 2, axis=1), level)

    worlds = [
        [{0.0: 1 - p, 1.0: p} for p in (0.1, 0.9, 0.5, 0.3, 0.7, 0.5)],
        [{0.0: 0.5, 0.5: 0.3, 1.0: 0.2}] * 5,
        [{0.0: 0.99, 1.0: 0.01}, {0.4: 0.5, 0.6: 0.5}, {0.0: 0.3, 0.9: 0.7}, {0.0: 0.5, 1.0: 0.5}],
        [{0.0: delta * 0.9, 1.0: 1 - delta * 0.9}],
    ]
    for laws in worlds:
        assert coverage_failure(laws, betting_upper, delta) <= delta
    two_points = [[{0.0: 1 - p, 1.0: p}] * 7 for p in np.linspace(0.05, 0.95, 31)]
    assert max(coverage_failure(laws, betting_upper, delta) for laws in two_points) <= delta
    assert max(coverage_failure(laws, broken, delta) for laws in two_points) > delta


def empirical_bernstein(values: np.ndarray, delta: float) -> float:
    log = math.log(2 / delta)
    return float(
        values.mean() + math.sqrt(2 * values.var(ddof=1) * log / values.size) + 7 * log / (3 * values.size - 3)
    )


@pytest.mark.parametrize(("m", "of_kl", "of_bernstein"), [(200, 0.76, 0.61), (1000, 0.73, 0.82), (2000, 0.76, 0.89)])
def test_beats_the_kl_form_where_the_variance_is_small(m: int, of_kl: float, of_bernstein: float) -> None:
    values = 0.02 + 1e-3 * np.sin(np.arange(m))
    limit = float(betting_upper(values, math.log(0.01)))
    assert limit < of_kl * float(kl_upper(values.mean(), -math.log(0.01) / m))
    assert limit < of_bernstein * empirical_bernstein(values, 0.01)


def test_costs_little_where_the_variance_is_large() -> None:
    for m, worst in ((200, 1.32), (1000, 1.10), (2000, 1.09)):
        errors = (np.arange(m) < 0.02 * m).astype(float)
        limit = float(betting_upper(errors, math.log(0.01)))
        assert limit < worst * float(kl_upper(0.02, -math.log(0.01) / m))
        assert limit < empirical_bernstein(errors, 0.01)


@given(VALUES, LEVEL, st.randoms(use_true_random=False))
def test_order_does_not_matter(values: list[float], level: float, random) -> None:
    shuffled = random.sample(values, len(values))
    assert betting_upper(shuffled, level) == betting_upper(values, level)


@given(VALUES, LEVEL)
def test_monotone(values: list[float], level: float) -> None:
    limit = float(betting_upper(values, level))
    assert limit >= np.mean(values) * (1 - 1e-14)
    assert betting_upper(values, level - 0.5) >= limit - 3e-14
    assert betting_upper(np.minimum(np.array(values) + 0.01, 1.0), level) >= limit - 3e-14


@given(st.floats(0.0, 0.99), st.integers(1, 6))
def test_more_draws_of_one_value_never_hurt_within_a_grid(value: float, exponent: int) -> None:
    fewest, most = 4 ** (exponent - 1) + 1, 4**exponent
    assert len(betting_grid(fewest)) == len(betting_grid(most))
    few, many = (betting_upper(np.full(m, value), math.log(0.01)) for m in (fewest, most))
    assert many <= few + 1e-12


def test_rows_and_broadcasting() -> None:
    rng = np.random.default_rng(5)
    values = rng.random((3, 4, 50))
    levels = np.log([0.1, 0.01, 0.05, 0.2])
    limits = betting_upper(values, levels)
    assert limits.shape == (3, 4)
    assert limits[2, 1] == betting_upper(values[2, 1], levels[1])
    assert betting_upper(values[0, 0], levels).shape == (4,)
    assert isinstance(betting_upper(values[0, 0], -3.0), np.float64)
    assert betting_upper(np.empty((0, 5)), -3.0).shape == (0,)


@pytest.mark.parametrize(
    ("values", "level", "message"),
    [
        ([], -3.0, r"values must hold at least one value along the last axis, got shape \(0,\). Pass the values"),
        (0.5, -3.0, r"values must hold at least one value along the last axis, got shape \(\)"),
        ([0.5, 1.5], -3.0, r"values must be in \[0, 1\], got 1.5"),
        ([0.5, math.nan], -3.0, "values must be a number, got nan"),
        ([0.5], 0.05, "log_level must be at most 0, got 0.05"),
    ],
)
def test_errors(values, level, message) -> None:
    with pytest.raises(ValueError, match=message):
        betting_upper(values, level)
