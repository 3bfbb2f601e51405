import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.coherence.jackknife import Jackknifed, jackknife


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30))
def test_of_an_average_it_is_the_standard_error_of_the_average(values):
    array = np.array(values)
    left_out = (array.sum() - array) / (len(array) - 1)
    found = jackknife(array.mean(), left_out)
    assert found.standard_error == pytest.approx(array.std(ddof=1) / math.sqrt(len(array)), abs=1e-9)


def test_independent_samples_add_their_variances():
    one, two = np.array([1.0, 2.0, 4.0]), np.array([0.0, 3.0])
    difference = one.mean() - two.mean()
    found = jackknife(difference, (one.sum() - one) / 2 - two.mean(), one.mean() - (two.sum() - two))
    assert found.standard_error == pytest.approx(math.sqrt(one.var(ddof=1) / 3 + two.var(ddof=1) / 2))


def test_a_sample_of_one_has_no_spread_to_see():
    assert math.isnan(jackknife(1.0, [1.0]).standard_error)
    assert jackknife(1.0, [1.0]).to_json() == {
        "value": 1.0,
        "standard_error": None,
        "level": 0.95,
        "low": None,
        "high": None,
    }


def test_the_interval_is_the_normal_one():
    low, high = Jackknifed(2.0, 0.5, 0.95).interval
    assert (low, high) == pytest.approx((2 - 0.979982, 2 + 0.979982), abs=1e-6)
    with pytest.raises(ValueError, match="level must be strictly between 0 and 1"):
        jackknife(0.0, [0.0, 1.0], level=1.0)


def test_text_says_what_there_is():
    assert str(Jackknifed(2.0, 0.5, 0.95)) == "2 [1.02, 2.98]"
    assert str(Jackknifed(2.0, math.nan, 0.95)) == "2"
    assert str(Jackknifed(math.nan, math.nan, 0.95)) == "not defined"


def test_on_average_it_is_no_less_than_a_smaller_samples_variance_shrunk_to_size():
    """All samples with repetition of four from a small population: exact for a mean, more for a product of means."""
    points, k = np.array([0.0, 1.0, 5.0]), 4
    for estimate, exact in (
        (lambda of: of.mean(), True),
        (lambda of: (of.sum() ** 2 - (of**2).sum()) / len(of), False),
    ):
        squares = [
            jackknife(0.0, [estimate(np.delete(sample, i)) for i in range(k)]).standard_error ** 2
            for sample in map(np.array, itertools.product(points, repeat=k))
        ]
        smaller = np.var([estimate(np.array(sample)) for sample in itertools.product(points, repeat=k - 1)])
        least = (k - 1) / k * smaller
        assert np.mean(squares) == pytest.approx(least) if exact else np.mean(squares) > 1.01 * least
