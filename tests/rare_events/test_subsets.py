import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import log_ndtr, logsumexp

from genbounds.rare_events import QuadraticForm, quadratic_tail, subset_simulation


def half_space(z):
    return -z[:, 0]


def square(z):
    return z.square().sum(1)


def quadratic(form):
    weights, shifts = torch.tensor(form.weights), torch.tensor(form.shifts)
    return lambda z: form.offset + ((z + shifts).square() * weights).sum(1)


def cap(levels, dimension):
    """-ln P(angle to a teacher <= level * pi), exact at any depth."""
    with mpmath.workdps(40):
        return np.array([
            float(
                -mpmath.log(
                    mpmath.betainc((dimension - 1) / mpmath.mpf(2), 0.5, 0, mpmath.sin(mpmath.pi * e) ** 2, True) / 2
                )
            )
            for e in levels
        ])


def errors_of_a_perceptron(z):
    return torch.arccos((z[:, 0] / z.norm(dim=1)).clamp(-1, 1)) / math.pi


def deviation(curve, exact):
    return np.abs(curve.nats - exact) / curve.standard_error


@pytest.mark.parametrize("unbiased", [True, False])
def test_half_space_down_to_hundreds_of_nats(unbiased):
    levels = np.array([-20.0, -12.0, -6.0, -1.0, 1.0])
    curve = subset_simulation(half_space, 3, levels, unbiased=unbiased, chains=50, runs=6)
    assert (deviation(curve, -log_ndtr(levels)) < 4).all()
    assert (curve.standard_error / np.sqrt(curve.nats) < 0.15).all()
    assert curve.unbiased is unbiased
    assert (curve.kind, curve.confidence) == ("estimate", 0.95)
    assert subset_simulation(half_space, 3, [-5.0], unbiased=unbiased, chains=50, runs=4).warnings == ()


@pytest.mark.slow
def test_quadratic_down_to_a_thousand_nats():
    """A ball in 30 dimensions: the law of chi squared near zero, of which nothing is left but its logarithm."""
    form = QuadraticForm(np.ones(30), np.zeros(30))
    levels = np.array([1e-28, 1e-14, 1e-3, 1.0])
    exact = quadratic_tail(form, levels).nats
    assert exact[0] > 1000
    curve = subset_simulation(quadratic(form), 30, levels, chains=50, moves=30, runs=4, deepest=1100.0)
    assert (deviation(curve, exact) < 4).all()
    assert curve.standard_error[0] < 5


def test_narrow_and_wide_directions_beyond_fifty_nats():
    """Eigenvalues over three decades and a shift: moves of one width freeze there and say so."""
    generator = np.random.default_rng(1)
    form = QuadraticForm(np.geomspace(1, 1e-3, 20), generator.normal(size=20))
    levels = np.array([4e-4, 1e-2, 0.1, 1.0])
    exact = quadratic_tail(form, levels).nats
    assert exact[0] > 60
    curve = subset_simulation(quadratic(form), 20, levels, chains=40, moves=50, runs=6)
    assert (deviation(curve, exact) < 4).all()
    assert curve.standard_error[0] < 1.0
    plain = subset_simulation(quadratic(form), 20, levels, chains=40, moves=20, runs=6, unbiased=False)
    assert plain.standard_error[0] > 5
    assert any("chains remember their ancestors" in said for said in plain.warnings)
    assert any("leans on the best of them" in said for said in plain.warnings)
    assert (plain.low <= exact).all()
    assert (exact <= plain.high).all()


def test_chains_that_hardly_move_say_so():
    plain = subset_simulation(lambda z: (z.square().mean(1) - 1).abs(), 300, [1e-7], chains=20, moves=3, runs=3)
    assert any("chains hardly move" in said for said in plain.warnings)


def test_spherical_caps():
    """A perceptron's error is its angle to the teacher over pi."""
    levels = np.array([0.001, 0.01, 0.1, 0.3])
    curve = subset_simulation(errors_of_a_perceptron, 8, levels, chains=50, runs=6)
    assert (deviation(curve, cap(levels, 8)) < 4).all()
    assert curve.nats[0] > 35


@pytest.mark.slow
@pytest.mark.parametrize("unbiased", [True, False])
def test_intervals_cover(unbiased):
    """Forty repetitions, three losses; at 95 % fewer than 33 of 40 have a chance below 10^-3."""
    cases = [
        (half_space, 2, np.array([-9.0, -4.0]), lambda levels: -log_ndtr(levels)),
        (square, 4, np.array([1e-9, 1e-2]), lambda levels: -stats.chi2(4).logcdf(levels)),
        (errors_of_a_perceptron, 4, np.array([1e-4, 0.05]), lambda levels: cap(levels, 4)),
    ]
    assert stats.binom(40, 0.95).cdf(32) < 1e-3
    for loss, dimension, levels, truth in cases:
        exact = truth(levels)
        inside = np.zeros(2)
        for seed in range(40):
            curve = subset_simulation(
                loss, dimension, levels, chains=20, moves=15, runs=4, unbiased=unbiased, seed=seed
            )
            inside += (curve.low <= exact) & (exact <= curve.high)
        assert inside.min() >= 33


def test_the_table_of_the_reference_is_reproduced():
    """A Gaussian process' posterior, five inputs: rank 50, 80 nats at a hundredth of the mean loss."""
    generator = np.random.default_rng(0)
    train, test = generator.uniform(-1, 1, (100, 5)), generator.uniform(-1, 1, (50, 5))

    def kernel(a, b):
        return np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / 2)

    seen = kernel(train, train) + 1e-6 * np.eye(100)
    across = kernel(train, test)
    mean = across.T @ np.linalg.solve(seen, np.sin(3 * train).sum(1)) - np.sin(3 * test).sum(1)
    form = QuadraticForm.from_gaussian(
        mean * 0, kernel(test, test) - across.T @ np.linalg.solve(seen, across), tolerance=1e-9
    )
    levels = form.mean * np.array([0.01, 0.1, 0.5])
    exact = quadratic_tail(form, levels).nats
    assert exact[0] > 60
    curve = subset_simulation(quadratic(form), len(form.weights), levels, chains=50, moves=30, runs=6)
    assert (deviation(curve, exact) < 4).all()
    assert curve.standard_error[0] < 0.5


def test_ties_and_what_cannot_be_attained():
    """Losses that count: levels are read off attained values, and below the least one nothing is resolved."""
    levels = np.array([-0.5, 0.0, 0.25, 0.3, 0.9, 1.0])
    chance = stats.binom(4, stats.norm.sf(-1.2))  # each of four "errors" is z > -1.2
    exact = -chance.logcdf(np.floor(levels * 4))
    for unbiased in (True, False):
        curve = subset_simulation(
            lambda z: (z > -1.2).double().mean(1), 4, levels, chains=50, runs=6, unbiased=unbiased
        )
        assert (deviation(curve, exact)[1:5] < 4).all()
        assert curve.nats[2] == curve.nats[3]
        assert curve.nats[5] == 0
        assert curve.high[5] < 2e-3
        assert math.isnan(curve.nats[0])
        assert curve.low[0] == curve.low[1] > 5
        assert curve.high[0] == math.inf
        assert any("at 1 of 6 levels some run saw no loss that small" in said for said in curve.warnings)
    assert subset_simulation(half_space, 1, [0.0], seed=1).upper_limit(0.05).value < 4


def test_a_constant_loss():
    for unbiased in (True, False):
        curve = subset_simulation(lambda z: torch.ones(len(z)), 2, [0.5, 1.0], chains=5, runs=2, unbiased=unbiased)
        assert math.isnan(curve.nats[0])
        assert curve.nats[1] == 0.0
        assert (curve.low[0], curve.high[0]) == (0.0, math.inf)


def test_a_floor_bounds_the_work():
    """P(1 + z^2 <= 0) = 0: thresholds would approach 1 for ever."""
    curve = subset_simulation(lambda z: 1 + square(z), 6, [0.0, 1.01], chains=10, runs=2, deepest=30.0)
    assert math.isnan(curve.nats[0])
    assert 15 < curve.nats[1] < 30
    assert curve.samples < 3 * 200 * 20


def test_infinite_losses_count_as_large():
    curve = subset_simulation(lambda z: torch.where(z[:, 0] > 0, z[:, 1], math.inf), 2, [-3.0, 0.0], chains=50, runs=6)
    assert (deviation(curve, math.log(2) - log_ndtr([-3.0, 0.0])) < 4).all()
    given = subset_simulation(
        lambda z: torch.where(z[:, 0] > 0, z[:, 1], math.inf),
        2,
        [-3.0, 0.0],
        condition=(lambda z: z[:, 1], 0.5),
        chains=50,
        runs=6,
    )
    assert (deviation(given.joint, math.log(2) - log_ndtr([-3.0, 0.0])) < 4).all()


@pytest.mark.parametrize("unbiased", [True, False])
def test_condition_and_tail_of_correlated_losses(unbiased):
    """P(x <= -3) and P(y <= e | x <= -3) at correlation 0.8, by numerical integration."""
    rho, first = 0.8, -3.0
    levels = np.array([-8.0, -5.0, -2.0])

    def joint(e):
        with mpmath.workdps(30):
            given = mpmath.quad(
                lambda x: mpmath.npdf(x) * mpmath.ncdf((e - rho * x) / mpmath.sqrt(1 - rho**2)),
                [-14, -9, -7, -5, -4, first],
            )
            return float(-mpmath.log(given))

    exact = np.array([joint(e) for e in levels])
    found = subset_simulation(
        lambda z: rho * z[:, 0] + math.sqrt(1 - rho**2) * z[:, 1],
        2,
        levels,
        condition=(lambda z: z[:, 0], first),
        chains=50,
        runs=8,
        unbiased=unbiased,
    )
    assert deviation(found.condition, -log_ndtr([first])) < 4
    assert (deviation(found.joint, exact) < 4).all()
    assert (deviation(found.tail, exact + log_ndtr(first)) < 4).all()
    assert found.condition.nats + found.tail.nats == pytest.approx(found.joint.nats)
    assert (found.condition.unbiased, found.joint.unbiased, found.tail.unbiased) == (unbiased, unbiased, False)
    assert (found.tail.standard_error <= found.joint.standard_error * 1.5).all()


@pytest.mark.slow
def test_intervals_of_conditional_curves_cover():
    """Independent coordinates: the condition tells nothing."""
    inside, exact = np.zeros(3), -log_ndtr([-4.0, -5.0])
    for seed in range(40):
        found = subset_simulation(
            lambda z: z[:, 1], 2, [-5.0], condition=(lambda z: z[:, 0], -4.0), chains=20, moves=15, runs=4, seed=seed
        )
        truths = (found.condition, exact[0]), (found.tail, exact[1]), (found.joint, exact.sum())
        inside += [bool(curve.low[0] <= truth <= curve.high[0]) for curve, truth in truths]
    assert inside.min() >= 33


def test_the_loss_is_evaluated_within_the_condition_only():
    seen = []

    def loss(z):
        seen.append(bool((z[:, 0] <= -2).all()))
        return z[:, 1]

    subset_simulation(loss, 2, [-2.0], condition=(lambda z: z[:, 0], -2.0), chains=10, runs=2)
    assert len(seen) > 10
    assert all(seen)


def test_a_condition_that_is_not_met():
    found = subset_simulation(half_space, 2, [-1.0], condition=(square, -1.0), chains=10, runs=2, deepest=20.0)
    for curve in (found.condition, found.tail, found.joint):
        assert math.isnan(curve.nats[0])
        assert curve.high[0] == math.inf
    assert found.condition.low[0] == 0.0


def test_limits_of_tiny_unbiased_runs_fail_rarely():
    """Two chains of two moves: estimates are wild, and the limit fails less often than delta all the same."""
    limits = np.array([
        subset_simulation(half_space, 1, [-2.5], chains=4, moves=3, runs=2, seed=seed).upper_limit(0.2).value[0]
        for seed in range(300)
    ])
    assert stats.binom(300, 0.2).sf((limits < -log_ndtr(-2.5)).sum() - 1) > 0.01
    assert np.isfinite(limits).any()


def test_few_chains_miss_a_part_and_do_not_know():
    """Two parts: what the broad one has at high levels hides that the small one has most at low levels."""

    def two_parts(z):
        near = ((z[:, 0] - 5).square() + z[:, 1].square()) / 2
        return torch.minimum(z.square().mean(1), near)

    broad, narrow = stats.chi2(20).logcdf(0.2), stats.ncx2(2, 25).logcdf(0.02)
    exact = -float(logsumexp([broad, narrow]))
    assert exact < 18
    few = subset_simulation(two_parts, 20, [0.01], chains=20, runs=4)
    assert few.low[0] > exact + 10  # wrong, with a short interval and no warning that it is
    assert few.nats[0] == pytest.approx(-broad, abs=3)
    many = subset_simulation(two_parts, 20, [0.01], chains=3000, moves=10, runs=4)
    assert many.low[0] <= exact <= many.high[0]


def test_the_same_seed_gives_the_same_curve_and_nothing_global_moves():
    before = torch.get_rng_state()
    given = {"chains": 10, "runs": 3, "levels": [-4.0, -1.0]}
    first, again = (subset_simulation(half_space, 2, seed=7, **given) for _ in range(2))
    assert first.to_json() == again.to_json()
    assert first.nats[0] != subset_simulation(half_space, 2, seed=8, **given).nats[0]
    assert torch.equal(before, torch.get_rng_state())
    assert torch.is_grad_enabled()


def test_single_precision_and_the_count_of_evaluations():
    rows = []

    def loss(z):
        assert z.dtype == torch.float32
        assert not torch.is_grad_enabled()
        rows.append(len(z))
        return -z[:, 0]

    curve = subset_simulation(loss, 2, [-6.0], chains=50, runs=6, dtype=torch.float32)
    assert set(rows) == {50}
    assert curve.samples == sum(rows)
    assert deviation(curve, -log_ndtr([-6.0])) < 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"levels": []}, "levels must be a list that increases"),
        ({"levels": [1.0, 0.0]}, "levels must be a list that increases"),
        ({"levels": [math.inf]}, "levels must be finite"),
        ({"dimension": 0}, "dimension must be a whole number"),
        ({"chains": 1}, "chains must be a whole number of at least 2"),
        ({"moves": 0}, "moves must be a whole number"),
        ({"runs": 1}, "runs must be a whole number of at least 2"),
        ({"share": 0.6}, r"share must be in \(0, 1/2\]"),
        ({"share": 0.0001}, "share must be .* leave one of the 2000 states"),
        ({"share": math.nan}, "share must be"),
        ({"deepest": math.inf}, "deepest must be positive and finite"),
        ({"confidence": 1.0}, "confidence must be strictly between 0 and 1"),
        ({"condition": (half_space, math.nan)}, "condition must be a number"),
    ],
)
def test_what_cannot_be_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        subset_simulation(**{"loss": half_space, "dimension": 2, "levels": [0.0]} | given)
