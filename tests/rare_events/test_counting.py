"""Counting: coverage by enumeration of all outcomes, the refusal where nothing was seen, and conditions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from genbounds.rare_events.counting import counted_conditional_tail, counted_tail
from genbounds.rare_events.curves import TailCurve
from genbounds.rare_events.quadratic.chi_squared_fit import published_chi_squared_fit
from genbounds.rare_events.quadratic.forms import QuadraticForm
from genbounds.rare_events.quadratic.tails import quadratic_tail

CHANCES = np.concatenate([np.linspace(1e-4, 0.05, 60), np.linspace(0.05, 0.95, 91), np.linspace(0.95, 0.9999, 60)])


def of_counts(counts, draws, confidence=0.95):
    """The curves of all outcomes of `draws` draws at one level."""
    return [
        counted_tail(np.where(np.arange(draws) < count, 0.0, 1.0), [0.5], confidence=confidence) for count in counts
    ]


@pytest.mark.parametrize(("draws", "confidence"), [(1, 0.95), (7, 0.5), (25, 0.95), (60, 0.9)])
def test_intervals_cover_at_least_as_often_as_they_say(draws, confidence):
    """Exactly: the probability of all outcomes whose interval holds the truth, and of each end by itself."""
    counts = np.arange(draws + 1)
    curves = of_counts(counts, draws, confidence)
    low, high = (np.array([getattr(curve, end)[0] for curve in curves]) for end in ("low", "high"))
    below, above = [], []
    for chance in CHANCES:
        law = binom.pmf(counts, draws, chance)
        below.append(law[low > -math.log(chance)].sum())
        above.append(law[high < -math.log(chance)].sum())
    each = (1 - confidence) / 2
    assert max(below) <= each + 1e-12
    assert max(above) <= each + 1e-12
    assert max(below) > 0.5 * each  # no wider than need be


def test_narrower_intervals_would_be_caught():
    """The whole error spent at each end, as one-sided limits are: together they miss more often than they may."""
    draws = 25
    counts = np.arange(draws + 1)
    curves = of_counts(counts, draws, confidence=0.9)  # 5 % at each end, sold as 95 %
    low, high = (np.array([getattr(curve, end)[0] for curve in curves]) for end in ("low", "high"))
    covered = [
        binom.pmf(counts, draws, chance)[(low <= -math.log(chance)) & (-math.log(chance) <= high)].sum()
        for chance in CHANCES
    ]
    assert min(covered) < 0.94


@given(draws=st.integers(1, 200), data=st.data())
@settings(deadline=None, max_examples=60)
def test_ends_are_clopper_and_pearsons(draws, data):
    count = data.draw(st.integers(0, draws))
    (curve,) = of_counts([count], draws)
    lower = beta.ppf(0.025, count, draws - count + 1) if count else 0.0
    upper = beta.ppf(0.975, count + 1, draws - count) if count < draws else 1.0
    assert curve.low[0] == pytest.approx(-math.log(upper), rel=1e-9, abs=1e-12)
    assert curve.high[0] == pytest.approx(-math.log(lower) if count else math.inf, rel=1e-9)
    assert curve.counts.tolist() == [count]
    assert curve.samples == draws
    if count > 0:
        assert curve.nats[0] == pytest.approx(-math.log(count / draws), abs=1e-15)
        assert curve.low[0] <= curve.nats[0] <= curve.high[0]
    if 0 < count < draws:
        # The delta method: Var ln(K / S) = (1 - p) / (S p).
        assert curve.standard_error[0] == pytest.approx(math.sqrt((1 - count / draws) / count))
    else:
        assert math.isnan(curve.standard_error[0])


def test_it_refuses_to_extrapolate():
    losses = np.random.default_rng(0).normal(10.0, 1.0, 500)
    curve = counted_tail(losses, [0.1, 5.0, 10.0, 20.0])
    assert np.isnan(curve.nats[:2]).all()
    assert (curve.high[:2] == math.inf).all()
    assert curve.low[:2] == pytest.approx(-math.log(1 - 0.025 ** (1 / 500)))
    assert curve.nats[3] == 0.0
    (warning,) = curve.warnings
    assert "None of 500 draws had a loss of 5 or less" in warning
    assert all(name in warning for name in ("published_chi_squared_fit", "subset_simulation", "annealed_importance"))
    assert counted_tail(losses, [10.0]).warnings == ()


def test_levels_and_losses_at_the_edge():
    """A loss at the level is below it; infinite losses never are."""
    curve = counted_tail([1.0, 2.0, 2.0, math.inf], [1.0, 1.5, 2.0, 1e300])
    assert curve.counts.tolist() == [1, 1, 3, 3]
    shares = np.array([k / 10 for k in range(11)])
    assert counted_tail(shares, shares).counts.tolist() == list(range(1, 12))


@given(seed=st.integers(0, 2**32 - 1), draws=st.integers(2, 60))
@settings(deadline=None, max_examples=30)
def test_curves_fall_and_do_not_depend_on_the_order(seed, draws):
    generator = np.random.default_rng(seed)
    losses = generator.exponential(size=draws).round(1)
    levels = np.unique(generator.exponential(size=8))
    curve, other = counted_tail(losses, levels), counted_tail(generator.permutation(losses), levels)
    for name in ("nats", "low", "high"):
        assert np.array_equal(getattr(curve, name), getattr(other, name), equal_nan=True)
    seen = curve.nats[~np.isnan(curve.nats)]
    assert (np.diff(seen) <= 0).all()
    assert (np.diff(curve.low) <= 0).all()
    assert TailCurve.from_json(curve.to_json()).counts.tolist() == curve.counts.tolist()


def test_limits_for_theorems_hold_for_all_levels_at_once():
    """Exactly, over all outcomes of a law on three levels: the union is paid."""
    chances, draws, delta = np.array([0.1, 0.2, 0.4]), 12, 0.2
    cells = np.append(np.diff(chances, prepend=0.0), 1 - chances[-1])
    values = np.array([1.0, 2.0, 3.0, 9.0])
    fails = 0.0
    for a in range(draws + 1):
        for b in range(draws + 1 - a):
            for c in range(draws + 1 - a - b):
                counts = (a, b, c, draws - a - b - c)
                limit = counted_tail(np.repeat(values, counts), [1.0, 2.0, 3.0]).upper_limit(delta)
                if (np.asarray(limit) < -np.log(chances)).any():
                    weight = math.factorial(draws) / math.prod(map(math.factorial, counts))
                    fails += weight * np.prod(cells**counts)
    assert 0.0 < fails <= delta


def test_conditions_are_counted_jointly():
    generator = np.random.default_rng(1)
    train, test = generator.random(4000), generator.random(4000)
    tail = counted_conditional_tail(train, np.maximum(train, test), 0.25, [0.1, 0.2, 0.9])
    met = train <= 0.25
    assert tail.condition.counts.tolist() == [met.sum()]
    assert tail.tail.samples == met.sum()
    assert tail.joint.samples == 4000
    assert np.array_equal(tail.tail.counts, tail.joint.counts)
    assert tail.condition.nats + tail.tail.nats == pytest.approx(tail.joint.nats, abs=1e-14)
    # P(both) = 0.1^2, 0.2^2, 0.25 * 0.9.
    truth = -np.log([0.01, 0.04, 0.225])
    assert ((tail.joint.low <= truth) & (truth <= tail.joint.high)).all()


def test_nothing_is_known_where_nothing_meets_the_condition():
    tail = counted_conditional_tail([1.0, 1.0], [0.0, 0.0], 0.5, [0.5])
    assert (tail.tail.low[0], tail.tail.high[0], tail.tail.samples) == (0.0, math.inf, 0)
    assert tail.tail.counts is None
    assert "None of 0 draws" in tail.tail.warnings[0]
    assert tail.joint.low == tail.condition.low > 0.0
    with pytest.raises(ValueError, match="certain, counted or unbiased"):
        tail.tail.upper_limit(0.05)


@pytest.mark.parametrize(
    ("losses", "levels", "options", "match"),
    [
        ([], [1.0], {}, "at least one number"),
        ([1.0, math.nan], [1.0], {}, "NaN at draw 1"),
        ([[1.0]], [1.0], {}, "one number for each draw"),
        ([1.0], [math.nan], {}, "levels must be a number"),
        ([1.0], [2.0, 1.0], {}, "increase"),
        ([1.0], [1.0], {"confidence": 1.0}, "strictly between 0 and 1"),
    ],
)
def test_bad_arguments_are_refused(losses, levels, options, match):
    with pytest.raises(ValueError, match=match):
        counted_tail(losses, levels, **options)


def test_losses_of_other_draws_are_refused():
    with pytest.raises(ValueError, match="same draws, got 2 and 3"):
        counted_conditional_tail([1.0, 2.0], [1.0, 2.0, 3.0], 1.0, [1.0])


def test_counting_refuses_where_the_published_fit_is_wrong():
    """A quadratic form of ten unlike weights, whose tail is exact: below one draw in S the fit is nats too low.

    More draws do not help: the fit has the slope of its own degrees of freedom in ln(1 / level), not ten halves.
    """
    form = QuadraticForm(np.geomspace(1.0, 0.01, 10), np.full(10, 0.5))
    levels = form.mean * np.array([1e-3, 1e-2, 0.1, 0.5, 1.0])
    truth = quadratic_tail(form, levels).nats
    for draws, seed in ((1000, 0), (20_000, 1)):
        losses = form.draw(draws, np.random.default_rng(seed))
        counted = counted_tail(losses, levels, confidence=0.999)
        assert ((counted.low <= truth) & (truth <= counted.high)).all()
        assert np.isnan(counted.nats[:2]).all()
        fitted = published_chi_squared_fit(losses, levels).nats
        assert fitted[0] < truth[0] - 8
        assert fitted[0] < 0.6 * truth[0]
        assert (fitted[:2] < truth[:2] - 5).all()
