"""The record of a curve: what it refuses, how it is kept, and the limits it gives to theorems."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.numerics import log_binomial_cdf
from genbounds.rare_events import ConditionalTail, TailCurve


def curve(nats=(2.0, 1.0), **changes):
    nats = np.array(nats)
    fields = {
        "levels": np.arange(1.0, len(nats) + 1),
        "nats": nats,
        "standard_error": np.full(len(nats), 0.1),
        "low": np.where(np.isnan(nats), 0, nats - 0.2),
        "high": np.where(np.isnan(nats), np.inf, nats + 0.2),
        "confidence": 0.95,
        "kind": "estimate",
        "method": "a test",
    }
    return TailCurve(**fields | changes)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"levels": [2.0, 1.0]}, "increase"),
        ({"levels": [1.0, 1.0]}, "increase"),
        ({"levels": [1.0, np.nan]}, "finite"),
        ({"levels": [1.0]}, "one length"),
        ({"low": [0.0, 1.5]}, "within low and high"),
        ({"high": [1.0, 1.5]}, "within low and high"),
        ({"high": [np.nan, 1.5]}, "must be numbers"),
        ({"standard_error": [-0.1, 0.0]}, "non-negative"),
        ({"high": [np.inf, np.nan]}, "must be numbers"),
        ({"low": [np.nan, 0.5]}, "must be numbers"),
        ({"confidence": 0.0}, r"\(0, 1\]"),
        ({"confidence": 1.1}, r"\(0, 1\]"),
        (
            {"nats": [1.0, -1.0], "low": [1.0, -1.0], "high": [1.0, -0.5], "confidence": 1.0},
            "high must be non-negative",
        ),
        ({"counts": [1, 2], "samples": 1}, "counts must rise with the level, to at most samples = 1"),
        ({"counts": [2, 1], "samples": 3}, "counts must rise with the level"),
        ({"counts": [0.5, 1], "samples": 3}, "counts must be a whole number"),
        ({"counts": [-1, 1], "samples": 3}, "counts must be a whole number of at least 0"),
        ({"kind": "bound"}, "'exact' or 'estimate'"),
    ],
)
def test_refusals(changes, match):
    with pytest.raises(ValueError, match=match):
        curve(**changes)


def test_json_keeps_every_bit():
    first = curve((math.inf, math.nan, 0.1 + 0.2), samples=7, unbiased=True, warnings=("frozen",), counts=[0, 1, 7])
    again = TailCurve.from_json(json.loads(json.dumps(first.to_json(), allow_nan=False)))
    for name in ("levels", "nats", "standard_error", "low", "high", "counts"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (again.samples, again.unbiased, again.warnings, again.method) == (7, True, ("frozen",), "a test")
    whole = ConditionalTail(curve((1.0,)), first, first)
    assert ConditionalTail.from_json(json.loads(json.dumps(whole.to_json()))).to_json() == whole.to_json()


def test_frame():
    pytest.importorskip("pandas")
    frame = curve().to_frame()
    np.testing.assert_allclose(frame["bits"] * math.log(2), frame["nats"])


def test_conditional_refusals():
    with pytest.raises(ValueError, match="one level"):
        ConditionalTail(curve(), curve(), curve())
    with pytest.raises(ValueError, match="same levels"):
        ConditionalTail(curve((1.0,)), curve(), curve(levels=[1.0, 3.0]))


def test_certain_values_are_their_own_limit():
    certain = curve((3.0, 2.0), confidence=1.0, kind="exact")
    np.testing.assert_array_equal(certain.upper_limit(0.1).value, certain.high)


def test_what_is_neither_counted_nor_unbiased_gives_no_limit():
    with pytest.raises(ValueError, match="certain, counted or unbiased"):
        curve().upper_limit(0.05)
    with pytest.raises(ValueError, match="delta"):
        curve(unbiased=True).upper_limit(1.0)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 200), st.floats(0.01, 0.99), st.floats(0.01, 0.3))
def test_limits_of_counts_fail_as_rarely_as_they_say(n, p, delta):
    """Exactly, by the law of the count: the limit of one level is above -ln p but for a set of probability delta."""
    counts = np.arange(n + 1)
    limits = [curve((math.nan,), counts=[count], samples=n).upper_limit(delta).value[0] for count in counts]
    failing = counts[np.array(limits) < -math.log(p)]
    if failing.size:  # they are the largest counts
        assert -math.expm1(
            float(log_binomial_cdf(failing.min() - 1, n, p)) if failing.min() else -math.inf
        ) <= delta * (1 + 1e-9)


def test_limit_of_an_unbiased_estimate_pays_for_all_levels():
    limit = curve((2.0, 1.0), unbiased=True).upper_limit(0.05)
    np.testing.assert_allclose(limit.value, np.array([2.0, 1.0]) + math.log(2 / 0.05), rtol=1e-14)
    assert np.isinf(curve((math.nan, 1.0), unbiased=True).upper_limit(0.05).value[0])


def test_no_limit_is_below_zero():
    """An estimate of a probability above k / delta is wrong, and the limit at 0 fails with it, or holds."""
    limit = curve((-2.0, -5.0), unbiased=True).upper_limit(0.05)
    np.testing.assert_allclose(limit.value, [-2 + math.log(40), 0.0], rtol=1e-14)


def test_markov_holds_for_the_worst_estimate():
    """X = p / q with probability q, else 0, has mean p; at q just above delta it fails on a set of probability q."""
    p, delta, q = 1e-6, 0.05, 0.0500001
    fails = curve((-math.log(p / q),), unbiased=True).upper_limit(delta).value[0] < -math.log(p)
    assert not fails
    assert curve((-math.log(p / 0.04),), unbiased=True).upper_limit(delta).value[0] < -math.log(p)
