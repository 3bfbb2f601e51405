"""Error probabilities of Gaussian scores: above quadrature in high precision, next to it, and equal in closed forms."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import ndtr

from genbounds.numerics import argmax_error, pairwise_error
from genbounds.numerics.gaussian_argmax import _NORMAL_ERROR, _steps

SEED = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def exact(mean, scale, target):
    """1 - integral of phi prod Phi, with mpmath's Gauss-Legendre rule between the places where a factor turns."""
    with mpmath.workdps(20):
        others = [k for k in range(len(mean)) if k != target]
        m, s = [mpmath.mpf(float(x)) for x in mean], [mpmath.mpf(float(x)) for x in scale]

        def integrand(t):
            return mpmath.npdf(t) * mpmath.fprod(mpmath.ncdf((m[target] + s[target] * t - m[k]) / s[k]) for k in others)

        turns = [(m[k] - m[target]) / s[target] for k in others]
        cuts = sorted({mpmath.mpf(c) for c in range(-12, 13, 3)} | {c for c in turns if abs(c) < 12})
        return 1 - mpmath.quad(integrand, cuts)


@given(SEED, st.integers(3, 6), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([0.1, 1.0, 5.0]))
@settings(max_examples=8, deadline=None)
def test_above_high_precision_and_next_to_it(rng, classes, unequal, size):
    mean, scale = size * rng.standard_normal((2, classes)), np.exp(unequal * rng.standard_normal((2, classes)))
    target = rng.integers(0, classes, 2)
    for value, m, s, y in zip(argmax_error(mean, scale, target), mean, scale, target, strict=True):
        truth = exact(m, s, int(y))
        assert truth <= value <= truth + mpmath.mpf(2) ** -34 + classes * mpmath.mpf(2) ** -37 + mpmath.mpf("1e-12")


def test_hundreds_of_cases_against_scipy():
    rng = np.random.default_rng(0)
    for _ in range(150):
        classes = int(rng.integers(2, 12))
        m, s = rng.standard_normal(classes) * 10.0 ** rng.uniform(-1, 1), np.exp(0.8 * rng.standard_normal(classes))
        y = int(rng.integers(classes))
        rest = [k for k in range(classes) if k != y]

        def integrand(t, m=m, s=s, y=y, rest=rest):
            return stats.norm.pdf(t) * math.prod(math.erfc(-(m[y] + s[y] * t - m[k]) / s[k] / 2**0.5) / 2 for k in rest)

        turns = [(m[k] - m[y]) / s[y] for k in rest]
        points = [t for t in turns if abs(t) < 9]
        truth = 1 - integrate.quad(integrand, -9, 9, points=points, epsabs=1e-12, limit=300)[0]
        (value,) = argmax_error([m], [s], [y])
        assert -1e-11 <= value - truth <= 1e-9


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_scores_alike(classes):
    (value,) = argmax_error(np.ones((1, classes)), np.full((1, classes), 3.0), [classes - 1])
    assert 1 - 1 / classes <= value <= 1 - 1 / classes + 1e-9


def test_the_step_is_fine_enough():
    # The sum with a step four times finer, whose own remainder is far below, must agree as closely as promised.
    rng = np.random.default_rng(3)
    for size in (0.1, 1.0, 10.0, 60.0):
        slope = size * np.exp(0.3 * rng.standard_normal((1, 4)))
        offset = rng.standard_normal((1, 4))
        step = float(_steps(slope)[0])
        sums = []
        for h in (step, step / 4):
            t = np.arange(-np.floor(9 / h), np.floor(9 / h) + 1) * h
            sums.append(
                (h * stats.norm.pdf(t) * stats.norm.cdf(offset[0][:, None] + slope[0][:, None] * t).prod(0)).sum()
            )
        assert abs(sums[0] - sums[1]) < 2.0**-34
        assert step >= 2.0**-9 or size > 50


def test_two_classes_are_probit():
    value = argmax_error([[1.0, 3.0]], [[0.6, 0.8]], [1])[0]
    assert value == pytest.approx(stats.norm.cdf(-2.0), rel=1e-12)
    assert pairwise_error([2.0], [1.0]) == pytest.approx(value, rel=1e-12)
    with mpmath.workdps(30):
        for z in (-3.0, 0.0, 1.0, 8.0, 30.0):
            truth = mpmath.ncdf(-z)
            assert truth <= float(pairwise_error([z], [1.0])) <= truth * (1 + mpmath.mpf("1e-11"))


@given(SEED, st.integers(2, 6))
def test_union_is_above_and_all_is_below_one(rng, classes):
    mean, scale = 2 * rng.standard_normal((4, classes)), np.exp(rng.standard_normal((4, classes)))
    target = rng.integers(0, classes, 4)
    value = argmax_error(mean, scale, target)
    for row in range(4):
        others = [k for k in range(classes) if k != target[row]]
        margins = mean[row, target[row]] - mean[row, others]
        deviations = np.hypot(scale[row, target[row]], scale[row, others])
        assert value[row] <= pairwise_error(margins, deviations) * (1 + 1e-12)
        largest = max(stats.norm.cdf(-margins / deviations))  # one of the events
        assert largest <= value[row] * (1 + 1e-12) <= 1 + 1e-12


@given(SEED)
def test_moves_with_its_arguments(rng):
    mean, scale = rng.standard_normal((1, 4)), np.exp(rng.standard_normal((1, 4)))
    base = argmax_error(mean, scale, [2])[0]
    better = mean + np.array([[0, 0, 0.5, 0]])
    assert argmax_error(better, scale, [2])[0] <= base
    assert argmax_error(5 * mean, 5 * scale, [2])[0] == pytest.approx(base, abs=1e-9)
    assert argmax_error(mean + 7, scale, [2])[0] == pytest.approx(base, abs=1e-9)
    order = rng.permutation(4)
    assert argmax_error(mean[:, order], scale[:, order], [int(np.argsort(order)[2])])[0] == pytest.approx(
        base, abs=1e-9
    )


def test_scores_that_are_not_random_and_scales_far_apart():
    assert argmax_error([[1.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]], [0])[0] == 0.0
    assert argmax_error([[1.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]], [0])[0] == 1.0  # a tie counts as an error
    assert argmax_error([[1.0, 2.0, 0.0]], [[0.0, 0.0, 0.0]], [0])[0] == 1.0
    # A score a thousand times wider than the others: the union bound stands in.
    value = argmax_error([[0.0, 0.0, 0.0]], [[1000.0, 1.0, 1.0]], [0])[0]
    truth = exact([0, 0, 0], [1000, 1, 1], 0)
    assert truth <= value <= 2 * truth + 1e-6


def test_a_margin_that_is_random_is_never_certain():
    """Not even where the margin in units of its deviation is beyond all floats."""
    for margin, deviation in ((1.0, 5e-324), (1e308, 1e-10), (40.0, 1.0)):
        assert 0 < pairwise_error([margin], [deviation]) < 1e-300
    assert pairwise_error([5e-324], [0.0]) == 0.0


def test_the_error_allowed_to_the_normal_distribution_function():
    """In the far tail it is tens of times what it is near the centre."""
    with mpmath.workdps(30):
        errors = [abs(mpmath.mpf(float(ndtr(-x))) / mpmath.ncdf(-mpmath.mpf(x)) - 1) for x in np.arange(0, 37, 0.0173)]
    assert max(errors) <= _NORMAL_ERROR


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: argmax_error([[1.0]], [[1.0]], [0]), "K >= 2"),
        (lambda: argmax_error([[1.0, 2.0]], [[1.0, 2.0]], [0.5]), "whole numbers"),
        (lambda: argmax_error([[1.0, 2.0]], [[1.0, 2.0]], [2]), r"target must be in 0..1"),
        (lambda: argmax_error([[1.0, np.nan]], [[1.0, 2.0]], [0]), "mean must be finite"),
        (lambda: argmax_error([[1.0, 0.0]], [[1.0, -2.0]], [0]), "scale must be finite and not negative"),
        (lambda: pairwise_error([1.0, 2.0], [1.0]), "margins and deviations must be of one shape"),
    ],
)
def test_impossible_arguments_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
