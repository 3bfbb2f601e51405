"""Curves of quadratic forms: four evaluators agree, floors, orderings, limits, and additivity."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.numerics import log_binomial_cdf
from genbounds.rare_events import (
    QuadraticForm,
    TailCurve,
    quadratic_tail,
    ruben_tail,
    saddlepoint_nats,
    small_ball,
    tilted_tail,
)
from genbounds.rare_events.quadratic import tails
from genbounds.rare_events.quadratic.forms import Rounding


@st.composite
def forms(draw, most=8, decades=3.0, shift=5.0):
    n = draw(st.integers(1, most))
    w = 10.0 ** np.array(draw(st.lists(st.floats(-decades, 0), min_size=n, max_size=n)))
    d = draw(st.lists(st.floats(-shift, shift), min_size=n, max_size=n))
    return QuadraticForm(w * 10.0 ** draw(st.floats(-3, 3)), d, draw(st.sampled_from([0.0, 0.1, -2.0])))


RATIOS = np.array([1e-8, 1e-4, 0.03, 0.3, 0.7, 0.99, 1.0, 1.01, 2.0, 8.0])


def at(form, ratios=RATIOS):
    return form.offset + (form.mean - form.offset) * ratios


@given(forms())
@settings(deadline=None, max_examples=60)
def test_enclosures_hold_it(form):
    """Ruben's mixture and the small-ball bounds are certain: the inversion's interval has to meet both."""
    levels = at(form)
    curve, mixture = quadratic_tail(form, levels), ruben_tail(form, levels, terms=512)
    assert (curve.low <= mixture.high).all()
    assert (curve.high >= mixture.low).all()
    _, low, high = small_ball(form, levels)
    slack = 1e-11 * (1 + np.abs(curve.nats))
    assert (low <= curve.nats + slack).all()
    assert (curve.nats <= high + slack).all()
    assert np.abs(saddlepoint_nats(form, levels) - curve.nats).max() < 0.16
    assert curve.warnings == ()


@given(forms(decades=12.0))
@settings(deadline=None, max_examples=60)
def test_decreasing_and_convex(form):
    """Balls around a point under a Gaussian: by Prekopa's theorem the probability is log-concave in the level."""
    levels = form.offset + (form.mean - form.offset) * np.arange(1, 30) / 12
    nats = quadratic_tail(form, levels).nats
    assert (np.diff(nats) <= 1e-12 * (1 + nats[1:])).all()
    assert (np.diff(nats, 2) >= -1e-9 * (1 + nats[2:])).all()


def test_three_evaluators_at_306_nats():
    """The depth of the reference's Gaussian process in ten dimensions: rank 100, decaying spectrum, shifted."""
    generator = np.random.default_rng(10)
    form = QuadraticForm(np.exp(-3 * np.arange(100) / 100), generator.normal(size=100) * 0.7)
    low, high = -5.0, 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if quadratic_tail(form, at(form, 10.0**middle)).nats[0] > 306 else (low, middle)
    level = at(form, np.array([10.0**middle]))
    curve, sampled, mixture = quadratic_tail(form, level), tilted_tail(form, level), ruben_tail(form, level)
    assert curve.nats[0] == pytest.approx(306, abs=1e-6)
    assert mixture.low[0] <= curve.nats[0] <= mixture.high[0]
    assert mixture.high[0] - mixture.low[0] < 1e-8
    assert sampled.standard_error[0] < 0.01
    assert sampled.nats[0] == pytest.approx(curve.nats[0], abs=4 * sampled.standard_error[0])
    assert saddlepoint_nats(form, level)[0] == pytest.approx(306, abs=0.005)
    assert curve.high[0] - curve.low[0] < 1e-9


@given(forms(most=20), st.integers(0, 100))
@settings(deadline=None, max_examples=30)
def test_against_counting(form, seed):
    """Wherever counting reaches, an exact binomial test of the count does not reject the probability."""
    draws, levels = 4000, at(form, np.array([0.1, 0.5, 0.9, 1.0, 1.5]))
    sample = form.draw(draws, np.random.default_rng(seed))
    p = np.exp(-quadratic_tail(form, levels).nats)
    for chance, count in zip(p, (sample[:, None] <= levels).sum(axis=0), strict=True):
        below = log_binomial_cdf(count, draws, chance)
        above = log_binomial_cdf(draws - count, draws, 1 - chance)
        assert min(below, above) > math.log(1e-6)


def test_above_the_mean_small_numbers_are_accurate():
    """Two equal weights: 1 - P = exp(-x / 2), down to 1e-300."""
    form = QuadraticForm([1.0, 1.0], [0.0, 0.0])
    levels = np.array([2.0, 20.0, 200.0, 1300.0, 1e5])
    expected = -np.log1p(-np.exp(-levels / 2))
    np.testing.assert_allclose(quadratic_tail(form, levels).nats, expected, rtol=1e-12)
    assert quadratic_tail(form, [1e5]).nats[0] == 0


def test_floor():
    form = QuadraticForm([0.5, 0.1], [1.0, 0.0], 0.3)
    curve = quadratic_tail(form, [0.0, 0.3, 0.3 + 1e-12, 1.0])
    assert np.isinf(curve.nats[:2]).all()
    assert np.isinf(curve.low[:2]).all()
    assert np.isfinite(curve.nats[2:]).all()
    # A fit or a form that forgets the floor says a finite number instead.
    assert np.isfinite(quadratic_tail(QuadraticForm([0.5, 0.1], [1.0, 0.0]), [0.3]).nats[0])
    assert QuadraticForm([0.5, 0.1], [1.0, 0.0], 0.3).mean == pytest.approx(0.3 + 1.0 + 0.1)


@given(forms(most=3, shift=2.0), forms(most=3, shift=2.0))
@settings(deadline=None, max_examples=10)
def test_both_must_pass_adds(first, second):
    """Independent blocks under the criterion that both pass: information adds, as counting shows."""
    generator = np.random.default_rng(0)
    a, b = at(first, np.array([0.6]))[0], at(second, np.array([0.8]))[0]
    both = (first.draw(20_000, generator) <= a) & (second.draw(20_000, generator) <= b)
    total = quadratic_tail(first, [a]).nats[0] + quadratic_tail(second, [b]).nats[0]
    chance = math.exp(-total)
    assert both.mean() == pytest.approx(chance, abs=5 * math.sqrt(chance * (1 - chance) / 20_000))


@given(forms(), forms(), st.floats(0.01, 100))
@settings(deadline=None, max_examples=30)
def test_sums_and_scales(first, second, scale):
    whole = first + second
    again = QuadraticForm(
        np.r_[second.weights, first.weights], np.r_[second.shifts, first.shifts], first.offset + second.offset
    )
    levels = at(whole, np.array([0.01, 0.5, 1.5]))
    nats = quadratic_tail(whole, levels).nats
    np.testing.assert_allclose(quadratic_tail(again, levels).nats, nats, rtol=1e-10)
    scaled = whole.scaled(scale)
    np.testing.assert_allclose(quadratic_tail(scaled, at(scaled, np.array([0.01, 0.5, 1.5]))).nats, nats, rtol=1e-7)
    # More directions never make a small loss more likely.
    alone = quadratic_tail(first, np.unique(levels - second.offset)).nats
    assert (alone <= quadratic_tail(whole, np.unique(levels - second.offset) + second.offset).nats * (1 + 1e-9)).all()


def test_signs_of_shifts_do_not_matter():
    form = QuadraticForm([1.0, 0.5], [2.0, -1.0])
    other = QuadraticForm([1.0, 0.5], [-2.0, -1.0])
    np.testing.assert_array_equal(quadratic_tail(form, at(form)).nats, quadratic_tail(other, at(other)).nats)


def test_ten_thousand_directions_and_a_million_nats():
    generator = np.random.default_rng(1)
    form = QuadraticForm(10.0 ** -generator.uniform(0, 12, 10_000), generator.normal(size=10_000))
    curve = quadratic_tail(form, at(form, np.array([1e-95, 1e-3, 0.9])))
    assert curve.nats[0] > 1e6
    assert (curve.high - curve.low <= 1e-11 * (1 + curve.nats)).all()
    line, low, _ = small_ball(form, curve.levels)
    assert low[0] <= curve.nats[0] * (1 + 1e-12)
    assert curve.nats[0] == pytest.approx(line[0], rel=1e-12)


def test_a_wrong_evaluation_is_noticed(monkeypatch):
    form, right = QuadraticForm([1.0, 0.5], [0.0, 1.0]), tails.log_tail

    def wrong(*args, **kwargs):
        value, error = right(*args, **kwargs)
        return 1.1 * value, error

    assert quadratic_tail(form, [1e-6]).warnings == ()
    monkeypatch.setattr(tails, "log_tail", wrong)
    assert any("saddlepoint" in note for note in quadratic_tail(form, [1e-6]).warnings)


def test_noncentralities_beyond_all_digits():
    """At 1e24 some digits are left, at 1e30 none: then the interval is open, and nothing else is said."""
    for squares, share in [([1e24], 0.25), ([2.4e32, 3.3e33], 1 - 1e-9), ([4.3e31], 2.0), ([1e34], 1.0)]:
        form = QuadraticForm(np.ones(len(squares)), np.sqrt(squares))
        curve = quadratic_tail(form, [share * form.mean])
        # Far from the mean it is the squared distance over two, with the normal tail's factor.
        distance = (1 - math.sqrt(share)) * math.sqrt(sum(squares))
        assert curve.low[0] <= distance**2 / 2 * (share < 1) <= curve.high[0]
    assert np.isnan(curve.nats[0])
    assert (curve.low[0], curve.high[0]) == (0, math.inf)
    assert any("rounding" in note for note in curve.warnings)


def test_what_is_nearly_certain_is_not_certain():
    """Beyond the range of float64 the high end is its smallest number."""
    form = QuadraticForm([1.0, 1e-3], [0.0, 1.0])
    curve = quadratic_tail(form, form.mean * np.array([3e3, 1e4, 1e5, 1e300]))
    assert curve.nats.tolist() == curve.low.tolist() == [0.0] * 4
    assert curve.high.tolist() == [5e-324] * 4


@pytest.mark.parametrize("ratio", [1e-6, 0.1, 0.9, 1.5, 30.0])
def test_an_error_of_the_mean(ratio):
    """A hundred directions of an error of the mean stay inside, and take up a fifteenth of the interval at least."""
    mean, factor, shift = np.array([1.0, -0.5, 0.3]), np.diag([1.0, 0.4, 0.0]), 1e-6
    plain = QuadraticForm.from_factor(mean, factor)
    form = replace(plain, rounding=replace(plain.rounding, mean=shift / math.sqrt(3)))
    level = plain.offset + ratio * (plain.mean - plain.offset)
    curve = quadratic_tail(form, [level])
    moved = [
        quadratic_tail(QuadraticForm.from_factor(mean + shift * direction, factor), [level]).nats[0]
        for direction in np.random.default_rng(0).normal(size=(100, 3))
        / np.linalg.norm(np.random.default_rng(0).normal(size=(100, 3)), axis=1)[:, None]
    ]
    assert curve.low[0] <= min(moved) < curve.nats[0] < max(moved) <= curve.high[0]
    assert curve.high[0] - curve.low[0] < 15 * (max(moved) - min(moved))


@pytest.mark.parametrize("d", [0.0, 0.5, 3.0])
def test_the_derivative_of_information_by_the_level(d):
    """An error of the level of up to a hundredth of it, where the derivative is steepest: one direction."""
    form = QuadraticForm([1.0], [d])
    for ratio in (1e-6, 0.5, 0.999, 1.0, 1.1, 4.0):
        level = form.mean * ratio
        shift = 0.0049 * math.sqrt(level)  # moves the level by 2 shift sqrt(level), just below a hundredth
        curve = quadratic_tail(replace(form, rounding=Rounding(mean=shift)), [level])
        ends = quadratic_tail(form, [(math.sqrt(level) - shift) ** 2, (math.sqrt(level) + shift) ** 2]).nats
        assert curve.low[0] <= ends[1] < ends[0] <= curve.high[0]
        assert curve.high[0] - curve.low[0] < 12 * (ends[0] - ends[1])


def test_the_last_digit_of_an_offset_is_in_the_interval():
    """Levels that are a millionth of a millionth above it: an offset of the next number moves them by 1e-4 nats."""
    form = QuadraticForm([1e-12], [0.0], 1.0, Rounding(mean=1e-30))
    levels = 1 + np.array([1e-13, 1e-12, 3e-12])
    curve = quadratic_tail(form, levels)
    for offset in (1.0, np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0)):
        nats = quadratic_tail(QuadraticForm([1e-12], [0.0], offset), levels).nats
        assert ((curve.low <= nats) & (nats <= curve.high)).all()


def test_levels_near_a_floor_that_a_mean_moves():
    form = QuadraticForm([1.0], [0.0], 2.0, Rounding(0.0, 0.0, 1, 2.0, 1e-9))
    curve = quadratic_tail(form, [1.0, 2.0 - 1e-9, 2.0 + 1e-9, 3.0])
    assert np.isinf(curve.nats[0])
    assert np.isinf(curve.low[0])
    assert np.isnan(curve.nats[1:3]).all()
    assert np.isfinite(curve.nats[3])


def test_record():
    form = QuadraticForm([1.0, 0.5], [0.0, 1.0], 0.1)
    curve = quadratic_tail(form, [0.05, 0.2, 3.0])
    assert (curve.kind, curve.confidence, curve.samples) == ("exact", 1.0, 0)
    assert curve.standard_error.tolist() == [0.0] * 3
    again = TailCurve.from_json(json.loads(json.dumps(curve.to_json())))
    np.testing.assert_array_equal(again.nats, curve.nats)
    assert np.isinf(curve.upper_limit(0.05).value[0])
    np.testing.assert_array_equal(curve.upper_limit(0.05).value, curve.high)


def test_refusals():
    form = QuadraticForm([1.0], [0.0])
    with pytest.raises(ValueError, match="increase"):
        quadratic_tail(form, [2.0, 1.0])
    with pytest.raises(ValueError, match="levels must be"):
        quadratic_tail(form, [math.inf])
    with pytest.raises(ValueError, match="Take small_ball"):
        quadratic_tail(form, [1e-300])
    with pytest.raises(ValueError, match="Take small_ball"):
        quadratic_tail(QuadraticForm([1.0], [1e15]), [1e-270])
