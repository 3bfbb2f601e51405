"""Architectures side by side: averages and differences over draws of the data, checked by hand and by coverage."""

import json
import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from genbounds.inductive_bias.architectures.comparison import Comparison
from genbounds.rare_events import TailCurve


def curve(nats, error=0.0, levels=None, confidence=0.95):
    nats = np.array(nats, dtype=float)
    known = np.isfinite(nats)
    return TailCurve(
        levels=np.arange(len(nats)) + 1.0 if levels is None else levels,
        nats=nats,
        standard_error=np.where(known, error, np.nan),
        low=np.where(np.isnan(nats), 3.0, nats - error),
        high=np.where(np.isnan(nats), np.inf, nats + error),
        confidence=confidence,
        kind="estimate",
        method="a test",
    )


def compared(**curves):
    return Comparison("a task", "loss", dict.fromkeys(curves, "a space"), curves)


def test_difference_over_draws_is_a_paired_t_interval():
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 10, 6)  # hard data are hard for both
    one, other = shared + rng.normal(2, 1, 6), shared
    result = compared(
        cnn=tuple(curve([value]) for value in one), mlp=tuple(curve([value]) for value in other)
    ).difference("cnn", "mlp")
    low, high = ttest_1samp(one - other, 0).confidence_interval(0.95)
    np.testing.assert_allclose([result.nats[0], result.low[0], result.high[0]], [(one - other).mean(), low, high])


def test_difference_on_one_draw_joins_the_intervals():
    result = compared(cnn=(curve([5.0], 0.3),), mlp=(curve([2.0], 0.4),)).difference("cnn", "mlp")
    np.testing.assert_allclose([result.low[0], result.nats[0], result.high[0]], [2.5, 3.0, 3.5])


def test_interval_of_a_difference_covers():
    rng, z, hits = np.random.default_rng(1), 1.959964, 0
    for _ in range(2000):
        a, b = rng.normal(7, 1.0), rng.normal(4, 0.2)
        result = compared(a=(curve([a], z * 1.0),), b=(curve([b], z * 0.2),)).difference("a", "b")
        hits += result.low[0] <= 3 <= result.high[0]
    assert abs(hits / 2000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)


def test_average_over_draws():
    values = np.array([[5.0, 0.1], [7.0, 0.4], [6.0, 0.0]])
    average = compared(cnn=tuple(curve(row) for row in values)).averages["cnn"]
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(average.nats, values.mean(axis=0))
    np.testing.assert_allclose(average.standard_error, values.std(axis=0, ddof=1) / math.sqrt(3))
    assert low[1] < 0  # information is not
    np.testing.assert_allclose([average.low, average.high], [[low[0], 0.0], high])


def test_the_confidence_of_a_difference_is_that_of_the_worse_curve():
    both = compared(cnn=(curve([5.0], 0.3, confidence=0.9),), mlp=(curve([2.0], 0.4, confidence=0.99),))
    assert both.difference("cnn", "mlp").confidence == both.difference("mlp", "cnn").confidence == 0.9


def test_what_is_not_resolved_stays_so():
    both = compared(cnn=(curve([math.inf, math.nan, 1.0]), curve([4.0, 2.0, 3.0])), mlp=(curve([3.0, 2.0, 1.0]),) * 2)
    average = both.averages["cnn"]
    assert np.isposinf(average.nats[0])
    assert math.isnan(average.nats[1])
    assert (average.low[1], average.high[1]) == (0, math.inf)
    assert average.nats[2] == 2.0
    assert np.isnan(both.difference("cnn", "mlp").nats).tolist() == [True, True, False]
    single = compared(cnn=(curve([math.inf]),), mlp=(curve([3.0]),))
    assert math.isnan(single.difference("cnn", "mlp").low[0])


def test_json_keeps_every_bit():
    first = compared(cnn=(curve([5.0, 1 / 3], 0.3),), mlp=(curve([2.0, 0.1], 0.4),))
    again = Comparison.from_json(json.loads(json.dumps(first.to_json(), allow_nan=False)))
    assert again.to_json() == first.to_json()


def test_refusals():
    with pytest.raises(ValueError, match="one curve for each draw"):
        compared(a=(curve([1.0]),), b=(curve([1.0]), curve([1.0])))
    with pytest.raises(ValueError, match="one curve for each draw"):
        compared(a=(), b=())
    with pytest.raises(ValueError, match="same levels"):
        compared(a=(curve([1.0]),), b=(curve([1.0], levels=[2.0]),))
    with pytest.raises(ValueError, match="belong to the spaces"):
        Comparison("a task", "loss", {"a": ""}, {"b": (curve([1.0]),)})
