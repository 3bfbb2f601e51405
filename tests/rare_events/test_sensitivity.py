"""What rounding of a covariance leaves open: first order against perturbed matrices, and bounds below the floor."""

import numpy as np
import pytest
from scipy.stats import chi2

from genbounds.rare_events import QuadraticForm, quadratic_tail
from genbounds.rare_events.quadratic.forms import Rounding
from genbounds.rare_events.quadratic.sensitivity import least_below_floor, most_above_constant, rounding_nats

GENERATOR = np.random.default_rng(0)
MEAN = GENERATOR.normal(size=6)
FACTOR = GENERATOR.normal(size=(6, 4)) * [1.0, 0.5, 0.2, 0.1]


def nats(covariance, level):
    return quadratic_tail(QuadraticForm.from_gaussian(MEAN, covariance, output_weights=1.0), [level]).nats[0]


@pytest.mark.parametrize("ratio", [0.02, 0.3, 1.2])
def test_random_and_worst_perturbations_of_the_covariance(ratio):
    """All stay below the bound, and the worst comes within a factor of four."""
    delta = 1e-6
    covariance = FACTOR @ FACTOR.T + 0.05 * np.eye(6)
    plain = QuadraticForm.from_gaussian(MEAN, covariance, output_weights=1.0)
    form = QuadraticForm(plain.weights, plain.shifts, 0.0, Rounding(covariance=delta))
    level = ratio * form.mean
    upper = bool(level >= form.mean)
    limit = rounding_nats(form, np.array([level]), upper=upper)[0]
    if upper:
        p = np.exp(-nats(covariance, level))
        limit *= (1 - p) / p
    moved = []
    for _ in range(100):
        change = GENERATOR.normal(size=(6, 6))
        change = change + change.T
        moved.append(change * delta / np.abs(np.linalg.eigvalsh(change)).max())
    gradient = np.array([nats(covariance + delta * np.outer(e, e), level) for e in np.eye(6)])
    moved.append(delta * np.diag(np.sign(gradient - nats(covariance, level))))
    moved.append(delta * np.eye(6))
    effects = [abs(nats(covariance + change, level) - nats(covariance, level)) for change in moved]
    assert max(effects) <= limit
    assert max(effects) >= limit / 4


def test_perturbations_of_a_factor():
    form = QuadraticForm.from_factor(MEAN, FACTOR, output_weights=1.0, resolution=1e-7)
    assert form.rounding.factor == 1e-7
    level = form.offset + 0.02 * (form.mean - form.offset)
    limit = rounding_nats(form, np.array([level - form.offset]), upper=False)[0]
    centre = quadratic_tail(form, [level]).nats[0]
    effects = []
    for _ in range(100):
        change = GENERATOR.normal(size=FACTOR.shape)
        change *= 1e-7 / np.linalg.norm(change, 2)
        other = QuadraticForm.from_factor(MEAN, FACTOR + change, output_weights=1.0, resolution=1e-7)
        effects.append(abs(quadratic_tail(other, [level]).nats[0] - centre))
    assert max(effects) <= limit
    assert max(effects) >= limit / 60
    curve = quadratic_tail(form, [level])
    assert curve.low[0] <= centre - max(effects) < centre + max(effects) <= curve.high[0]


def test_below_the_floor_the_bound_is_that_of_a_chi_squared_law():
    """If the constant directions have all the variance that rounding allows, no less than the bound is needed."""
    directions, square, delta = 3, 2.0, 5e-5
    form = QuadraticForm([1.0], [0.0], square, Rounding(delta, 0.0, directions, square))
    level = 0.5
    bound = least_below_floor(form, np.array([level - square]))[0]
    gap = (np.sqrt(square) - np.sqrt(level)) ** 2 / (4 * delta)
    assert 0 < bound <= -chi2.logsf(gap, directions)
    shift = np.sqrt(square / directions / (4 * delta))
    worst = QuadraticForm(np.full(directions, 4 * delta), np.full(directions, shift)) + QuadraticForm([1.0], [0.0])
    assert bound <= quadratic_tail(worst, [level]).nats[0]
    curve = quadratic_tail(form, [level])
    assert np.isinf(curve.nats[0])
    assert curve.low[0] == bound
    assert np.isinf(least_below_floor(QuadraticForm([1.0], [0.0], square), np.array([-1.0]))[0])


def test_levels_within_rounding_are_not_decided():
    form = QuadraticForm([1.0], [0.0], 2.0, Rounding(1e-12, 0.0, 1, 2.0))
    curve = quadratic_tail(form, [2.0 - 1e-9, 2.0, 2.0 + 1e-9, 3.0])
    assert np.isnan(curve.nats[:3]).all()
    assert np.isfinite(curve.nats[3])
    assert "rounding" in curve.warnings[0]
    assert (curve.low[:3].tolist(), curve.high[:3].tolist()) == ([0.0] * 3, [np.inf] * 3)


def test_above_a_constant_rounding_may_hide_a_variance():
    """With all that rounding allows in each direction the information is below the bound, and not by much."""
    directions, square, delta = 2, 1e-10, 1e-12
    form = QuadraticForm([], [], square, Rounding(delta, 0.0, directions, square))
    x = 1e-11 * np.array([1.0, 3.0, 10.0])
    bound = most_above_constant(form, x)
    along = np.sqrt(square / directions / (4 * delta))
    worst = QuadraticForm(np.full(directions, 4 * delta), np.full(directions, along))
    needed = quadratic_tail(worst, square + x).nats
    assert (needed <= bound).all()
    assert (np.diff(bound) < 0).all()
    assert bound[-1] < 0.2
    curve = quadratic_tail(form, square * np.array([1.0, 1.1, 1.5, 4.0]))
    assert np.isnan(curve.nats[:2]).all()
    assert 0 == curve.nats[3] < curve.high[3] < 1e-5
    assert most_above_constant(QuadraticForm([], [], square), x).tolist() == [0.0] * 3


def test_an_error_of_the_covariance_along_a_long_mean():
    """Where the mean is ten deviations long its direction decides: the bound is within a factor of four of that."""
    mean, delta = np.array([6.0, 8.0, 0.0]), 1e-7
    exact = QuadraticForm.from_gaussian(mean, np.eye(3), output_weights=1.0)
    form = QuadraticForm(exact.weights, exact.shifts, 0.0, Rounding(covariance=delta))
    level = 0.1 * form.mean
    along = np.outer(mean, mean) / (mean @ mean)
    moved = QuadraticForm.from_gaussian(mean, np.eye(3) + delta * along, output_weights=1.0)
    effect = abs(quadratic_tail(moved, [level]).nats[0] - quadratic_tail(exact, [level]).nats[0])
    assert effect <= rounding_nats(form, np.array([level]), upper=False)[0] <= 4 * effect


def test_many_constant_directions_that_vary_after_all():
    """Each takes its share of the level: fifty of them, within a factor of five of the bound."""
    directions, delta, level = 50, 1e-9, 0.01
    form = QuadraticForm([1.0, 0.5], [0.0, 1.0], 0.0, Rounding(covariance=delta, directions=directions))
    varying = form + QuadraticForm(np.full(directions, delta), np.zeros(directions))
    exact = QuadraticForm([1.0, 0.5], [0.0, 1.0])
    effect = quadratic_tail(varying, [level]).nats[0] - quadratic_tail(exact, [level]).nats[0]
    assert 0 < effect <= rounding_nats(form, np.array([level]), upper=False)[0] <= 5 * effect
