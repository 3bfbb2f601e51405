"""Whether two curves agree: by hand, by its symmetries, and by how often it raises a flag without reason."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from genbounds.rare_events import TailCurve
from genbounds.rare_events.agreement import (
    Agreement,
    ConditionalAgreement,
    agreement,
    conditional_agreement,
)
from genbounds.rare_events.curves import ConditionalTail


def curve(nats, error, levels=None, quantile=2.4, **more):
    nats, error = np.array(nats, dtype=float), np.array(error, dtype=float)
    known = np.isfinite(nats) & np.isfinite(error)
    arms = np.where(known, quantile * error, 0.0)
    given_more = {"confidence": 0.95, "kind": "estimate", "method": "a sampler", "samples": 10} | more
    return TailCurve(
        levels=np.arange(len(nats)) if levels is None else levels,
        nats=nats,
        standard_error=error,
        low=np.where(known, np.maximum(nats - arms, 0), 0.0),
        high=np.where(known, nats + arms, np.inf),
        **given_more,
    )


def exact(nats):
    nats = np.array(nats, dtype=float)
    zero = np.zeros(len(nats))
    return TailCurve(np.arange(len(nats)), nats, zero, nats, nats, 1.0, "exact", "closed form")


def test_by_hand():
    found = agreement(curve([60, 8, 5], [1, 0.1, 0.3]), curve([70, 8.1, 5.4], [2, 0.2, 0.4]))
    assert found.z == pytest.approx([-10 / math.sqrt(5), -0.1 / math.hypot(0.1, 0.2), -0.8])
    # Three levels: arms of 2.4 errors are stretched by 2.394 / 1.960, to 2.93: 63 and 64 do not meet.
    assert found.verdicts == ("disagree", "agree", "agree")
    assert found.agrees.tolist() == [False, True, True]
    assert found.flag
    combined = found.combined
    assert math.isnan(combined.nats[0])
    assert (combined.low[0], combined.high[0]) == pytest.approx((57.6, 74.8))
    assert combined.nats[1] == pytest.approx((8 * 4 + 8.1) / 5)
    assert combined.standard_error[1] == pytest.approx(0.1 * 2 / math.sqrt(5))
    assert combined.high[1] - combined.nats[1] == pytest.approx(2.4 * combined.standard_error[1])
    assert not combined.unbiased
    assert combined.samples == 20
    with pytest.raises(ValueError, match="must be certain, counted or unbiased"):
        combined.upper_limit(0.05)


def test_a_difference_above_one_error_widens_the_combination():
    one, two = curve([10.0], [0.5]), curve([11.5], [0.5])
    combined = agreement(one, two).combined
    assert combined.nats[0] == pytest.approx(10.75)
    assert combined.standard_error[0] == pytest.approx(math.sqrt(1 / 8) * 1.5 / math.sqrt(0.5))


def test_what_is_not_resolved_is_undecided_unless_it_contradicts():
    nan, inf = math.nan, math.inf
    low, high = [20.0, 30.0, 0.0, 9.0, 11.0], [inf, inf, 300.0, inf, 13.0]
    nats, error = [nan, nan, 170.0, 12.0, 12.0], [nan, nan, 60.0, nan, 0.2]
    poor = TailCurve(np.arange(5), nats, error, low, high, 0.95, "estimate", "a poor one")
    fine = curve([25.0, 12.0, 104.0, 11.0, 12.1], [0.5] * 5)
    found = agreement(poor, fine)
    assert found.verdicts == ("undecided", "disagree", "undecided", "undecided", "agree")
    assert np.isnan(found.z[[0, 1, 3]]).all()
    assert np.isnan(found.combined.nats[:4]).all()
    assert found.combined.high[:4].tolist() == [inf, inf, 300.0, inf]
    text = str(found)
    assert "at least 20.00" in text
    assert "UNDECIDED: 20.00 to inf" in text
    alarm = "THE SAMPLERS DISAGREE at the level 1: no value there is to be quoted."
    assert text.endswith(f"{alarm} Run them longer, or find a better one.")
    assert found.combined.warnings[0].startswith(alarm)
    assert "12.00 ± ?" in text


def test_certainty_counts_as_it_is():
    truth = exact([5.0, 5.0, math.inf, math.inf])
    low = curve([5.1, 7.0, math.nan, 80.0], [0.1, 0.1, math.nan, 1.0])
    found = agreement(truth, low)
    assert found.verdicts == ("agree", "disagree", "undecided", "disagree")
    assert found.combined.nats[0] == 5
    assert found.combined.low[0] == found.combined.high[0] == 5
    twice = agreement(truth, exact([5.0, 6.0, math.inf, 3.0]))
    assert twice.verdicts == ("agree", "disagree", "agree", "disagree")
    assert twice.combined.nats[2] == math.inf
    assert twice.z.tolist() == [0, -math.inf, 0, math.inf]


numbers = st.floats(0, 500)
errors = st.one_of(st.floats(0, 30), st.just(math.nan))
sides = st.lists(st.tuples(st.one_of(numbers, st.just(math.nan)), errors), min_size=3, max_size=3)


@settings(deadline=None, max_examples=150)
@given(sides, sides)
def test_the_comparison_is_symmetric_and_keeps_within_both(left, right):
    one, two = (curve(*zip(*side, strict=True)) for side in (left, right))
    ahead, back = agreement(one, two), agreement(two, one)
    assert ahead.verdicts == back.verdicts
    np.testing.assert_allclose(ahead.z, -back.z)
    np.testing.assert_allclose(ahead.combined.nats, back.combined.nats)
    np.testing.assert_allclose(ahead.combined.high, back.combined.high)
    for level in range(3):
        value = ahead.combined.nats[level]
        if ahead.verdicts[level] == "agree":
            ends = sorted((one.nats[level], two.nats[level]))
            assert ends[0] - 1e-9 <= value <= ends[1] + 1e-9
        else:
            assert math.isnan(value)
            assert ahead.combined.low[level] == min(one.low[level], two.low[level])
    assert agreement(one, one).flag is False
    again = Agreement.from_json(json.loads(json.dumps(ahead.to_json())))
    assert again.verdicts == ahead.verdicts
    np.testing.assert_array_equal(again.combined.nats, ahead.combined.nats)
    assert str(again) == str(ahead)


def test_flags_without_reason_are_rare_and_with_reason_are_not():
    generator = np.random.default_rng(0)
    runs, levels, truth = 8, 5, np.linspace(60, 20, 5)
    quantile = student.ppf(0.975, runs - 1)

    def sampled(spread, bias=0.0):
        logs = truth + bias + spread * generator.standard_normal((runs, levels))
        return curve(logs.mean(0), logs.std(0, ddof=1) / math.sqrt(runs), quantile=quantile)

    alike = np.mean([agreement(sampled(1.0), sampled(1.0)).flag for _ in range(1500)])
    uneven = np.mean([agreement(sampled(1.0), sampled(0.05)).flag for _ in range(1500)])
    assert alike < 0.03
    assert uneven < 0.12  # one curve's errors alone: within twice 1 - confidence
    missed = np.mean([not agreement(sampled(0.5), sampled(0.5, bias=2.5)).flag for _ in range(300)])
    assert missed < 0.02


def test_beyond_a_condition_nothing_is_agreed_on_where_its_parts_are_not():
    def side(condition, joint):
        parts = np.array(joint) - condition
        return ConditionalTail(curve([condition], [0.2]), curve(parts, [0.2, 0.2]), curve(joint, [0.2, 0.2]))

    found = conditional_agreement(side(10.0, [30.0, 20.0]), side(10.1, [36.0, 20.2]))
    assert found.condition.verdicts == ("agree",)
    assert found.joint.verdicts == ("disagree", "agree")
    assert found.tail.verdicts == ("disagree", "agree")
    moved = conditional_agreement(side(10.0, [30.0, 20.0]), side(12.0, [32.0, 22.0]))
    assert moved.condition.verdicts == ("disagree",)
    assert moved.tail.verdicts == ("undecided", "undecided")
    assert np.isnan(moved.tail.combined.nats).all()
    assert moved.flag
    again = ConditionalAgreement.from_json(json.loads(json.dumps(moved.to_json())))
    assert again.tail.verdicts == moved.tail.verdicts
    assert str(again) == str(moved)
    assert str(moved).startswith("condition\n")


def test_curves_at_other_levels_are_refused():
    with pytest.raises(ValueError, match="curves must have the same levels"):
        agreement(curve([1.0], [0.1]), curve([1.0], [0.1], levels=[5.0]))
