"""Measures of a training from its log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.measures import Measure, Refusal, training_log_measures


@given(st.lists(st.floats(0, 3), min_size=1, max_size=30), st.floats(0.011, 2.9))
def test_steps_are_those_of_a_scan(losses, level):
    found = training_log_measures(range(0, 10 * len(losses), 10), losses, levels=(level, 0.01))
    by_name = {each.name: each for each in found}
    crossings = [next((10 * k for k, loss in enumerate(losses) if loss <= at), None) for at in (level, 0.01)]
    first, between = by_name["steps_to_first_level"], by_name["steps_between_levels"]
    assert isinstance(first, Refusal) is (crossings[0] is None)
    if isinstance(first, Measure):
        assert first.value == pytest.approx(crossings[0])
    assert isinstance(between, Refusal) is (crossings[1] is None)
    if isinstance(between, Measure):
        assert between.value == pytest.approx(crossings[1] - crossings[0])
        assert between.value >= 0


def test_noise_is_read_at_both_ends_or_refused():
    found = {each.name: each for each in training_log_measures([1, 2], [1, 1], gradient_variances=[3.0, 0.5])}
    assert found["gradient_noise_first"].value == pytest.approx(3)
    assert found["gradient_noise_last"].value == pytest.approx(0.5)
    without = training_log_measures([1, 2], [1, 1])
    assert all(isinstance(each, Refusal) for each in without)


@pytest.mark.parametrize(
    ("steps", "losses", "more"),
    [
        ([1, 1], [1, 1], {}),
        ([1, 2], [1], {}),
        ([], [], {}),
        ([1, 2], [1, float("nan")], {}),
        ([1, 2], [1, 1], {"gradient_variances": [1]}),
        ([1, 2], [1, 1], {"gradient_variances": [1, -1]}),
        ([1, 2], [1, 1], {"levels": (0.01, 0.1)}),
    ],
)
def test_logs_that_are_none_are_refused(steps, losses, more):
    with pytest.raises(ValueError, match="must"):
        training_log_measures(steps, losses, **more)
