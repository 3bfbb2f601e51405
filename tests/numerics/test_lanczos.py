"""Ends of a spectrum by Lanczos iterations: against all eigenvalues, and against the law of the start."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betainc, betaincinv

from genbounds.numerics.lanczos import ExtremeEigenvalues, _share_missed, _slack, extreme_eigenvalues


def share_missed(size, steps, delta):
    return _share_missed(float(betaincinv(0.5, (size - 1) / 2, delta / 2)), steps)


def symmetric(seed, size):
    generator = np.random.default_rng(seed)
    root = generator.standard_normal((size, size)) * generator.exponential(size=size)
    return root + root.T


def rotated(values, seed):
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))
    return (q * values) @ q.T


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_against_all_eigenvalues(seed, size):
    matrix = symmetric(seed, size)
    values = np.linalg.eigvalsh(matrix)
    found = extreme_eigenvalues(matrix.__matmul__, size, np.random.default_rng(seed), tolerance=1e-10)
    scale = np.abs(values).max()
    assert found.converged
    assert found.norm == pytest.approx(scale, rel=1e-9)
    assert found.limits[0] <= values[0] + 1e-9 * scale
    assert found.limits[1] >= values[-1] - 1e-9 * scale
    for theta, residual in zip((found.smallest, found.largest), found.residuals, strict=True):
        assert np.abs(values - theta).min() <= residual + 1e-12 * scale
        assert values[0] - 1e-12 * scale <= theta <= values[-1] + 1e-12 * scale


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8, 12, 20, 40])
def test_whatever_converged_the_norm_is_between_the_two(steps):
    values = np.concatenate([np.linspace(-1, 1, 300), [1.001, 1.3, -1.25]])
    matrix = rotated(values, 3)
    found = extreme_eigenvalues(matrix.__matmul__, 303, np.random.default_rng(1), max_steps=steps)
    assert found.steps <= steps
    assert found.norm <= 1.3 + 1e-12 <= found.norm_limit + 2e-12
    assert not found.converged or steps == 40


def test_an_eigenvalue_that_the_residual_does_not_see():
    """A start without the top eigenvector: the residual is tiny, the answer wrong, and no limit of this start holds."""

    class Blind:
        def standard_normal(self, size):
            start = np.random.default_rng(0).standard_normal(size)
            start[-1] = 0
            return start

    values = np.append(np.linspace(0, 1, 50), 5.0)
    found = extreme_eigenvalues(lambda v: values * v, 51, Blind())
    assert found.residuals[1] < 1e-6
    assert found.largest == pytest.approx(1)


@pytest.mark.parametrize(("size", "steps"), [(3, 2), (10, 3), (50, 4), (400, 9), (400, 25)])
def test_the_share_is_the_quantile_of_the_start(size, steps):
    """Put back into the inequality it came from, the share gives the probability it was asked for."""
    delta = 0.02
    share = share_missed(size, steps, delta)
    chebyshev = math.cosh((steps - 1) * math.acosh((1 + share) / (1 - share)))
    odds = (1 - share) / (share * chebyshev**2)
    assert betainc(0.5, (size - 1) / 2, odds / (1 + odds)) == pytest.approx(delta / 2, rel=1e-6)


@pytest.mark.parametrize("spectrum", ["one above", "edge", "both ends"])
def test_limits_fail_no_more_often_than_stated(spectrum):
    """Hard spectra, few steps, a large delta; a limit at half the share would fail far more often than that."""
    size, steps, delta, starts = 40, 6, 0.2, 600
    values = {
        "one above": np.append(np.cos(np.linspace(0, np.pi, size - 1)), 1.12),
        "edge": np.linspace(-1, 1, size) ** 3,
        "both ends": np.concatenate([[-1.05], np.cos(np.linspace(0, np.pi, size - 2)), [1.05]]),
    }[spectrum]
    failed = 0
    for seed in range(starts):
        found = extreme_eigenvalues(
            lambda v: values * v, size, np.random.default_rng(seed), max_steps=steps, delta=delta
        )
        failed += not (found.limits[0] <= values.min() and values.max() <= found.limits[1])
    assert failed <= delta * starts + 3 * math.sqrt(delta * starts)


def test_the_share_falls_with_steps_and_rises_with_size():
    shares = [share_missed(1000, steps, 1e-6) for steps in range(2, 200)]
    assert all(later < earlier for earlier, later in pairwise(shares))
    assert shares[-1] < 0.003
    assert share_missed(10**6, 100, 1e-6) > share_missed(10**3, 100, 1e-6)
    assert share_missed(1000, 1, 0.1) > 0.99


def test_the_zero_matrix_the_identity_and_a_number():
    for value, size in ((0.0, 7), (2.0, 7), (-3.0, 1)):
        found = extreme_eigenvalues(lambda v, value=value: value * v, size, np.random.default_rng(0))
        assert (found.norm, found.steps, found.converged) == (pytest.approx(abs(value)), 1, True)
        assert abs(value) <= found.norm_limit + 1e-14
        assert found.norm_limit == pytest.approx(abs(value), abs=1e-8)


@pytest.mark.parametrize("size", [1000, 100_000])
@pytest.mark.parametrize("excess", [1e-9, 1e-12])
def test_an_eigenvalue_that_hardly_differs_is_within_the_limits(size, excess):
    """What is left over after a step looks like rounding, and yet there is more of the spectrum."""
    values = np.ones(size)
    values[0] += excess
    for seed in range(5):
        found = extreme_eigenvalues(lambda v: values * v, size, np.random.default_rng(seed))
        assert found.converged
        assert values[0] <= found.limits[1] < 1.01
        assert 0.99 < found.limits[0] <= 1


def test_where_directions_run_out_the_limits_are_tight():
    """Three eigenvalues: after four products nothing is left, and the limits need no hundred steps to close."""
    values = np.repeat([-1.0, 0.5, 2.0], 200)
    found = extreme_eigenvalues(lambda v: values * v, 600, np.random.default_rng(0))
    assert found.steps <= 4
    assert found.converged
    assert -1 - 1e-5 < found.limits[0] <= -1 + 1e-14
    assert 2 - 1e-14 <= found.limits[1] < 2 + 1e-5


def test_scaling_and_shifting():
    matrix = symmetric(5, 80)

    def run(scale, shift):
        return extreme_eigenvalues(
            lambda v: scale * (matrix @ v) + shift * v, 80, np.random.default_rng(2), tolerance=1e-9
        )

    plain, moved = run(1.0, 0.0), run(2.0, 30.0)
    assert moved.largest == pytest.approx(2 * plain.largest + 30, rel=1e-9)
    assert moved.smallest == pytest.approx(2 * plain.smallest + 30, rel=1e-6)


def test_norms_look_at_both_ends():
    found = ExtremeEigenvalues(-3.0, 1.0, (0.0, 0.0), (-3.5, 1.2), 0.1, 4, True)
    assert (found.norm, found.norm_limit) == (3.0, 3.5)


def test_refusals():
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="product must give 3 finite numbers"):
        extreme_eigenvalues(lambda v: v * np.nan, 3, generator)
    with pytest.raises(ValueError, match="product must give 3 finite numbers"):
        extreme_eigenvalues(lambda v: v[:2], 3, generator)
    with pytest.raises(ValueError, match="tolerance must be positive"):
        extreme_eigenvalues(lambda v: v, 3, generator, tolerance=0.0)
    with pytest.raises(ValueError, match="accuracy must be strictly between"):
        extreme_eigenvalues(lambda v: v, 3, generator, accuracy=1.0)


def test_the_slack_is_a_share_of_the_whole_width():
    """Of a width of 4, a fifth is missing at either end: 2.4 was found, and 0.8 may be missing at each."""
    assert _slack(0.2, 4 - 2 * 0.8) == pytest.approx(0.8)
    assert _slack(0.5, 1.0) == math.inf


def test_the_probability_is_used_up_in_two_dimensions():
    """After one step of two, limits fail exactly where the start is nearly an eigenvector: no delta is given away."""
    starts, delta = 3000, 0.3
    values = np.array([0.0, 1.0])
    failed = 0
    for seed in range(starts):
        found = extreme_eigenvalues(lambda v: values * v, 2, np.random.default_rng(seed), max_steps=1, delta=delta)
        failed += not (found.limits[0] <= 0 and found.limits[1] >= 1)
    spread = 4 * math.sqrt(delta * (1 - delta) / starts)
    assert delta - spread <= failed / starts <= delta + spread
