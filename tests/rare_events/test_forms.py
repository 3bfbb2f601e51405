"""Quadratic forms: eigendecomposition against brute force, cumulants, and which directions count as constant."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, kstest, ncx2, ortho_group

from genbounds.rare_events import QuadraticForm, quadratic_tail
from genbounds.rare_events.quadratic.forms import Rounding


def gaussian(n, rank, seed, mean=1.0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=n) * mean, generator.normal(size=(n, rank)) * np.geomspace(1, 0.1, rank)


def draws(mean, factor, samples, seed, output_weights=None):
    r = mean + np.random.default_rng(seed).standard_normal((samples, factor.shape[1])) @ factor.T
    return (r**2 * (1 / len(mean) if output_weights is None else output_weights)).sum(axis=1)


@pytest.mark.parametrize("output_weights", [None, [0.1, 2.0, 0.0, 0.5, 1.0]])
@pytest.mark.parametrize("rank", [2, 5, 9])
def test_the_law_of_a_mean_square(rank, output_weights):
    """The form's draws, those of the residuals, and the exact curve are one law."""
    mean, factor = gaussian(5, rank, seed=1)
    of_factor = QuadraticForm.from_factor(mean, factor, output_weights=output_weights)
    of_covariance = QuadraticForm.from_gaussian(mean, factor @ factor.T, output_weights=output_weights)
    sample = draws(mean, factor, 20_000, 2, output_weights)
    for form in (of_factor, of_covariance):
        assert ks_2samp(form.draw(20_000, np.random.default_rng(3)), sample).pvalue > 1e-3
        assert kstest(sample[:3000], lambda x, form=form: curve_cdf(form, x)).pvalue > 1e-3
        assert sample.mean() == pytest.approx(form.mean, abs=4 * math.sqrt(form.variance / 20_000))
    np.testing.assert_allclose(np.sort(of_factor.weights), np.sort(of_covariance.weights), rtol=1e-9)
    # A forgotten noncentrality, or weights that are not divided by n, are another law.
    broken = [QuadraticForm(of_factor.weights, 0.0, of_factor.offset), of_factor.scaled(len(mean))]
    assert all(kstest(sample[:3000], lambda x, form=form: curve_cdf(form, x)).pvalue < 1e-6 for form in broken)


def curve_cdf(form, x):
    order = np.unique(x)
    return np.exp(-quadratic_tail(form, order).nats)[np.searchsorted(order, x)]


def test_a_linear_model_on_an_isotropic_design():
    """E_x (x . (w - w*))^2 + noise for w ~ N(0, s^2 I): s^2 times a noncentral chi-squared variable, and the noise."""
    s, noise, teacher = 0.7, 0.3, np.array([1.0, -0.5, 0.2])
    form = QuadraticForm(np.full(3, s**2), teacher / s, noise)
    direct = QuadraticForm.from_gaussian(-teacher, s**2 * np.eye(3), output_weights=1.0)
    np.testing.assert_allclose(np.sort(np.abs(form.shifts)), np.sort(np.abs(direct.shifts)))
    levels = noise + np.array([0.01, 0.1, 1.0, 5.0])
    expected = -ncx2.logcdf((levels - noise) / s**2, 3, teacher @ teacher / s**2)
    np.testing.assert_allclose(quadratic_tail(form, levels).nats, expected, rtol=1e-11)
    # After conditioning on one exact equation x1 . w = x1 . w*: one dimension less, and no shift along it.
    axis = np.array([0.6, 0.8, 0.0])
    project = np.eye(3) - np.outer(axis, axis)
    left = QuadraticForm.from_gaussian(-project @ teacher, s**2 * project, output_weights=1.0)
    assert len(left.weights) == 2
    assert left.offset == pytest.approx(0, abs=1e-30)
    beyond = (project @ teacher) @ (project @ teacher) / s**2
    np.testing.assert_allclose(quadratic_tail(left, levels).nats, -ncx2.logcdf(levels / s**2, 2, beyond), rtol=1e-11)


def test_columns_share_a_covariance():
    mean, factor = gaussian(4, 3, seed=5)
    means = np.stack([mean, -2 * mean[::-1]], axis=1)
    both = QuadraticForm.from_factor(means, factor)
    apart = QuadraticForm.from_factor(means[:, 0], factor) + QuadraticForm.from_factor(means[:, 1], factor)
    levels = both.mean * np.array([0.3, 0.5, 1.0])
    np.testing.assert_allclose(quadratic_tail(both, levels).nats, quadratic_tail(apart.scaled(0.5), levels).nats)
    long = QuadraticForm.from_factor(means.T.ravel(), np.kron(np.eye(2), factor))
    np.testing.assert_allclose(quadratic_tail(both, levels).nats, quadratic_tail(long, levels).nats, rtol=1e-9)


@given(st.integers(0, 1000), st.integers(1, 5))
@settings(deadline=None, max_examples=20)
def test_rotation_and_relabelling_change_nothing(seed, rank):
    mean, factor = gaussian(5, rank, seed)
    turn = ortho_group(5).rvs(random_state=seed)
    order = np.random.default_rng(seed).permutation(5)
    form = QuadraticForm.from_factor(mean, factor)
    levels = form.offset + (form.mean - form.offset) * np.array([0.01, 0.3, 1.2])
    nats = quadratic_tail(form, levels).nats
    for other in (
        QuadraticForm.from_factor(turn @ mean, turn @ factor),
        QuadraticForm.from_factor(mean[order], factor[order]),
    ):
        np.testing.assert_allclose(quadratic_tail(other, levels).nats, nats, rtol=1e-7)


def test_cumulants():
    form = QuadraticForm([1.0, 0.2, 3.0], [0.5, -2.0, 0.0], 0.7).scaled(1.5) + QuadraticForm([0.3], [1.0], -0.2)
    with mpmath.workdps(40):
        w, d2 = [mpmath.mpf(float(v)) for v in form.weights], [mpmath.mpf(float(v)) ** 2 for v in form.shifts]

        def k(s):
            parts = (v * e * s / (1 - 2 * v * s) - mpmath.log(1 - 2 * v * s) / 2 for v, e in zip(w, d2, strict=True))
            return mpmath.mpf(form.offset) * s + sum(parts)

        for order in range(1, 6):
            assert form.cumulant(order) == pytest.approx(float(mpmath.diff(k, 0, order)), rel=1e-12)
        for s in (-5.0, -0.01, 0.1):
            expected = [float(mpmath.diff(k, s, order)) for order in range(3)]
            np.testing.assert_allclose(form.cumulant_generating(s), expected, rtol=1e-12)
    assert (form.mean, form.variance) == (form.cumulant(1), form.cumulant(2))


@pytest.mark.parametrize("n", [3, 40, 300])
@pytest.mark.parametrize("decades", [0, 6])
def test_the_floor_of_a_rank_deficient_covariance(n, decades):
    """Half of the directions are constant: their number and the floor are found, from covariance and factor."""
    generator = np.random.default_rng(n)
    axes = ortho_group(n).rvs(random_state=1)
    rank = n // 2
    scales = 10.0 ** -np.linspace(0, decades / 2, rank)
    mean = generator.normal(size=n)
    truth = ((axes[:, rank:].T @ mean) ** 2).mean() * (n - rank) / n
    factor = axes[:, :rank] * scales
    for form in (QuadraticForm.from_factor(mean, factor), QuadraticForm.from_gaussian(mean, factor @ factor.T)):
        assert len(form.weights) == rank
        assert form.rounding.directions == n - rank
        assert form.offset == pytest.approx(truth, rel=1e-9)
        curve = quadratic_tail(form, truth * np.array([0.1, 0.999, 1.5]))
        assert np.isinf(curve.nats[:2]).all()
        assert np.isfinite(curve.nats[2])
        assert (curve.low[:2] > 1e6).all()  # even if rounding counts as variance


def test_a_direction_of_rounding_size_is_not_a_variance():
    """Taken for positive it would turn infinity into a finite number: what a tolerance of zero does."""
    mean, factor = gaussian(30, 3, seed=7)
    covariance = factor @ factor.T
    right = QuadraticForm.from_gaussian(mean, covariance)
    assert len(right.weights) == 3
    noise = np.linalg.eigvalsh(covariance)
    wrong = QuadraticForm(noise[noise > 0] / 30, np.zeros((noise > 0).sum()))
    assert len(wrong.weights) > 3
    assert np.isfinite(quadratic_tail(wrong, [right.offset / 2]).nats[0])
    assert np.isinf(quadratic_tail(right, [right.offset / 2]).nats[0])


def test_a_small_variance_is_not_a_constant():
    """A direction 1e-10 of the largest deviation is lost in the covariance, and known to the factor."""
    mean, factor = np.array([1.0, 1e-10]), np.diag([1.0, 1e-10])
    of_factor = QuadraticForm.from_factor(mean, factor)
    assert len(of_factor.weights) == 2
    assert of_factor.offset == 0
    turn = ortho_group(2).rvs(random_state=4)
    of_covariance = QuadraticForm.from_gaussian(turn @ mean, turn @ np.diag([1.0, 1e-20]) @ turn.T)
    assert len(of_covariance.weights) == 1
    assert of_covariance.rounding.directions == 1
    assert of_covariance.rounding.covariance > 1e-20
    # Where the lost direction matters the covariance decides nothing, and where it does not both agree.
    deep, plain = quadratic_tail(of_covariance, [1e-20, 0.1]), quadratic_tail(of_factor, [1e-20, 0.1])
    assert np.isnan(deep.nats[0])
    assert deep.low[0] <= plain.nats[0] <= deep.high[0]
    assert deep.nats[1] == pytest.approx(plain.nats[1], rel=1e-8)


def test_conditioning_needs_its_own_tolerance():
    """A posterior covariance carries the rounding of the prior's: said by the caller, the floor is found again."""
    generator = np.random.default_rng(11)
    points = generator.normal(size=(60, 2))
    train, test = points[:30], points[25:]  # five of the test points are training points: known exactly

    def kernel(a, b):
        return np.exp(-3 * ((a[:, None] - b[None]) ** 2).sum(-1))

    k = kernel(train, train) + 1e-12 * np.eye(30)
    gain = np.linalg.solve(k, kernel(train, test)).T
    posterior = kernel(test, test) - gain @ kernel(train, test)
    posterior = (posterior + posterior.T) / 2
    largest = np.linalg.eigvalsh(posterior)[-1]
    form = QuadraticForm.from_gaussian(generator.normal(size=35), posterior, tolerance=1e-9 / largest)
    assert form.rounding.directions == 5
    assert form.offset > 0
    assert np.isinf(quadratic_tail(form, [form.offset / 2]).nats[0])


def test_what_is_left_open_follows_sums_and_scales():
    first = QuadraticForm([1.0], [0.0], 0.5, Rounding(1e-3, 2e-3, 2, 0.5, 3e-3))
    second = QuadraticForm([2.0], [1.0], 1.0, Rounding(2e-3, 1e-3, 1, 0.25, 4e-3))
    assert first.scaled(4.0).rounding == Rounding(4e-3, 4e-3, 2, 2.0, 6e-3)
    assert (first + second).rounding == (second + first).rounding == Rounding(2e-3, 2e-3, 3, 0.75, 5e-3)
    # Scaling is a change of units: the curve, its interval included, is the same.
    levels = np.array([0.6, 1.0])
    plain, scaled = quadratic_tail(first, levels), quadratic_tail(first.scaled(9.0), 9 * levels)
    for name in ("nats", "low", "high"):
        np.testing.assert_allclose(getattr(scaled, name), getattr(plain, name), rtol=1e-9)


def test_the_resolution_is_one_of_the_weighted_outputs():
    """An error of the factor of 1e-3 is one of 1e-1 where the output counts ten thousand times."""
    form = QuadraticForm.from_factor([1.0, 1.0], np.diag([1.0, 5e-4]), output_weights=[1.0, 1e4], resolution=1e-3)
    assert form.rounding.factor == pytest.approx(0.1)
    assert len(form.weights) == 1


def test_degenerate_forms():
    constant = QuadraticForm.from_gaussian([1.0, 2.0], np.zeros((2, 2)))
    assert constant.offset == 2.5
    assert quadratic_tail(constant, [2.4, 2.6]).nats.tolist() == [math.inf, 0.0]
    assert np.isnan(quadratic_tail(constant, [2.5]).nats[0])  # the square of a rounded mean
    assert quadratic_tail(QuadraticForm([], [], 2.5), [2.5]).nats[0] == 0
    assert constant.draw(3, np.random.default_rng(0)).tolist() == [2.5] * 3
    assert QuadraticForm.from_factor([1.0, 2.0], np.zeros((2, 0))).offset == 2.5
    full = QuadraticForm.from_gaussian([1.0, 2.0], np.eye(2))
    assert (full.offset, full.rounding.directions, full.rounding.square) == (0.0, 0, 0.0)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: QuadraticForm([0.0], [1.0]), "weights must be positive"),
        (lambda: QuadraticForm([1.0], [np.nan]), "shifts must be"),
        (lambda: QuadraticForm([1.0, 2.0], [1.0]), "one length"),
        (lambda: QuadraticForm([1.0], [1.0], np.inf), "offset must be"),
        (lambda: QuadraticForm([1.0], [0.0]).scaled(0.0), "scale must be"),
        (lambda: quadratic_tail(QuadraticForm([1.0], [0.0]), [[1.0]]), r"levels must be a list .* got shape \(1, 1\)"),
        (lambda: quadratic_tail(QuadraticForm([1.0], [0.0]), []), "levels must be a list of at least one number"),
        (lambda: QuadraticForm([1.0], [0.0]).cumulant(0), "order must be"),
        (lambda: QuadraticForm([1.0], [0.0]).cumulant_generating(0.5), "s must be below"),
        (lambda: QuadraticForm.from_gaussian([1.0], np.eye(2)), "shape"),
        (lambda: QuadraticForm.from_gaussian([1.0, 1.0], [[1.0, 0.5], [0.4, 1.0]]), "symmetric"),
        (lambda: QuadraticForm.from_gaussian([1.0, 1.0], [[1.0, 2.0], [2.0, 1.0]]), "positive semi-definite"),
        (lambda: QuadraticForm.from_gaussian([1.0], [[np.nan]]), "covariance must be"),
        (lambda: QuadraticForm.from_gaussian([1.0], [[1.0]], tolerance=-1.0), "tolerance must be"),
        (lambda: QuadraticForm.from_gaussian([1.0], [[1.0]], output_weights=[-1.0]), "output_weights must be"),
        (lambda: QuadraticForm.from_gaussian([], np.zeros((0, 0))), "mean must be"),
        (lambda: QuadraticForm.from_factor([1.0], np.ones((2, 1))), "factor must have shape"),
        (lambda: QuadraticForm.from_factor([1.0], np.ones((1, 1)), resolution=-1.0), "resolution must be"),
    ],
)
def test_refusals(call, match):
    with pytest.raises(ValueError, match=match):
        call()
