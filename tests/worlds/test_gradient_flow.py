"""The world of gradient flow: integrals against closed forms and arbitrary precision, theory against simulation."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.worlds import GradientFlow

ALPHAS = [0.2, 0.5, 1.0, 2.0, 5.0]


@pytest.mark.parametrize("alpha", ALPHAS)
def test_moments_of_the_spectrum(alpha):
    world = GradientFlow(alpha)
    assert world.average(np.ones_like) == pytest.approx(min(1, alpha), rel=1e-9)
    assert world.average(lambda x: x) == pytest.approx(alpha, rel=1e-9)
    assert world.average(lambda x: x**2) == pytest.approx(alpha + alpha**2, rel=1e-9)
    if alpha != 1:
        inverse = 1 / (alpha - 1) if alpha > 1 else alpha / (1 - alpha)
        assert world.average(lambda x: 1 / x) == pytest.approx(inverse, rel=1e-9)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("time", [0.1, 3.0, 40.0])
def test_the_test_error_is_the_integral(alpha, time):
    low, high = (mpmath.sqrt(alpha) - 1) ** 2, (mpmath.sqrt(alpha) + 1) ** 2

    def integrand(x):
        if x == 0:
            return mpmath.mpf(0)
        density = mpmath.sqrt((high - x) * (x - low)) / (2 * mpmath.pi * x)
        return density * (1.3 * mpmath.exp(-2 * x * time) + 0.25 * (1 - mpmath.exp(-x * time)) ** 2 / x)

    inside = mpmath.quad(integrand, mpmath.linspace(low, high, 12))
    truth = float(inside) + 1.3 * max(0.0, 1 - alpha) + 0.25
    found = GradientFlow(alpha, 1.0, 0.25, 0.3).test_error(time).item()
    assert found == pytest.approx(truth, rel=1e-5 if alpha == 1 else 1e-8)


def test_long_training_has_closed_forms():
    assert GradientFlow(2.0, 1.0, 0.25).test_error(1e7) == pytest.approx(0.5)
    assert GradientFlow(0.5, 1.0, 0.25, 0.5).test_error(1e7) == pytest.approx(0.5 * 1.5 + 0.5)
    assert GradientFlow(0.5).train_error(1e7) == pytest.approx(0, abs=1e-12)
    assert GradientFlow(2.0, 1.0, 0.25).train_error(1e7) == pytest.approx(0.125)
    peak = GradientFlow(1.0, 1.0, 1.0)
    early, late = peak.test_error([1e4, 4e4])  # as many examples as weights: it grows with the root of time
    assert (late - early) / 100 == pytest.approx(4 * (1 - 1 / math.sqrt(2)) / math.sqrt(math.pi), rel=1e-3)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_theory_is_the_mean_of_simulations(alpha):
    world, times = GradientFlow(alpha, 1.0, 0.25, 0.2), [0.0, 0.5, 3.0, 30.0]
    rng = np.random.default_rng(int(10 * alpha))
    drawn = [world.draw(150, times, rng) for _ in range(150)]
    for name in ("test", "train"):
        values = np.array([getattr(each, f"{name}_errors") for each in drawn])
        error = values.std(0) / math.sqrt(150)
        theory = getattr(world, f"{name}_error")(times)
        # Besides the spread, N is finite: corrections of order 1 / N.
        assert (np.abs(values.mean(0) - theory) <= 4.5 * error + 2 / 150).all(), name


def test_a_draw_is_what_small_steps_give():
    world, rng = GradientFlow(1.5, 1.0, 0.3, 0.4), np.random.default_rng(0)
    found = world.draw(12, [2.0], np.random.default_rng(3))
    n, examples = 12, 18
    rng = np.random.default_rng(3)
    x = rng.standard_normal((examples, n)) / math.sqrt(n)
    start = rng.normal(0, math.sqrt(0.4), n)
    teacher = rng.normal(0, 1.0, n)
    noise = rng.normal(0, math.sqrt(0.3), examples)
    y, w, step = x @ teacher + noise, start.copy(), 1e-4
    for _ in range(20_000):
        w += step * x.T @ (y - x @ w)
    assert found.train_errors[0] == pytest.approx(np.mean((y - x @ w) ** 2), rel=1e-3)
    assert found.test_errors[0] == pytest.approx(0.3 + np.sum((w - teacher) ** 2) / n, rel=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 5), st.floats(0.1, 3), st.floats(0.01, 2))
def test_the_best_penalty_is_noise_over_teacher_and_beats_stopping(alpha, teacher, noise):
    world = GradientFlow(alpha, teacher, noise)
    around = world.ridge_error(noise / teacher * np.array([0.8, 1.25]))
    assert (world.best_ridge <= around + 1e-12).all()
    time, stopped = world.best_stopping()
    assert world.best_ridge <= stopped + 1e-9
    assert stopped <= world.test_error([time / 2, 2 * time, 0.0, 1e4]).min() + 1e-6


def test_known_values():
    """Stopping against ridge at alpha 1/2, 1, 2 with noise 1/4."""
    found = [(GradientFlow(a).best_stopping()[1], GradientFlow(a).best_ridge) for a in (0.5, 1.0, 2.0)]
    np.testing.assert_allclose(found, [(0.8951, 0.8904), (0.6500, 0.6404), (0.4322, 0.4254)], atol=6e-5)


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"alpha": 1.0, "teacher": 0.0}, {"alpha": 1.0, "noise": -1.0}])
def test_bad_problems_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        GradientFlow(**wrong)
    with pytest.raises(ValueError, match="time"):
        GradientFlow(1.0).test_error(-1.0)
