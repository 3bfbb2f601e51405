"""Memorised samples: against the definition read aloud, monotone in thresholds, and the thresholds themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.pathways.memorised import memorisation_times, memorised_groups, share_before_last, threshold_for_share

tables = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 12))


def losses_of(seed, checkpoints, n):
    rng = np.random.default_rng(seed)
    return np.round(2 * rng.random(n) + rng.choice([0.0, 0.03, 0.06, 1.0], (checkpoints, n)), 2)


def by_definition(losses, epsilon, delta):
    last = len(losses) - 1
    for t in range(len(losses)):
        if all(losses[u] <= epsilon and abs(losses[u] - losses[last]) <= delta for u in range(t, last + 1)):
            return t
    return -1


@settings(deadline=None, max_examples=60)
@given(tables, st.floats(0, 3), st.floats(0, 1))
def test_times_are_those_of_the_definition(table, epsilon, delta):
    losses = losses_of(*table)
    times = memorisation_times(losses, epsilon, delta)
    assert times.tolist() == [by_definition(column, epsilon, delta) for column in losses.T]
    each = memorisation_times(losses, np.full(losses.shape[1], epsilon), delta)
    assert (each == times).all()
    groups = memorised_groups(times)
    assert sorted(np.concatenate([*groups.values(), np.flatnonzero(times < 0)])) == list(range(losses.shape[1]))


@settings(deadline=None, max_examples=60)
@given(tables, st.floats(0, 3), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_larger_thresholds_memorise_earlier(table, epsilon, delta, more_epsilon, more_delta):
    losses = losses_of(*table)
    times = memorisation_times(losses, epsilon, delta)
    for wider in (
        memorisation_times(losses, epsilon + more_epsilon, delta),
        memorisation_times(losses, epsilon, delta + more_delta),
    ):
        memorised = times >= 0
        assert (wider[memorised] >= 0).all()
        assert (wider[memorised] <= times[memorised]).all()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(4, 40), st.sampled_from([0.1, 0.25, 0.07, None]))
def test_the_threshold_is_the_smallest_that_is_enough(seed, checkpoints, n, step):
    losses = losses_of(seed, checkpoints, n)

    def share(epsilon):
        return share_before_last(memorisation_times(losses, epsilon, 0.05), checkpoints)

    grid = np.unique(losses) if step is None else np.round(np.arange(60) * step, 12)
    enough = [value for value in grid if share(value) >= 0.2]
    if not enough:
        with pytest.raises(ValueError, match="share must be at most"):
            threshold_for_share(losses, (0.2, 1.0), step=step)
        return
    assert threshold_for_share(losses, (0.2, 1.0), step=step) == enough[0]
    if share(enough[0]) > 0.25:
        with pytest.raises(ValueError, match=r"share must be reachable, got 0\.2 to 0\.25"):
            threshold_for_share(losses, step=step)


def test_the_last_checkpoint_alone_is_not_before_it():
    times = memorisation_times([[5.0, 1.0], [1.0, 1.0]], 1.5)
    assert times.tolist() == [1, 0]
    assert share_before_last(times, 2) == 0.5


def test_an_interruption_counts_from_its_end():
    assert memorisation_times(np.array([[1.0, 1.3, 1.0, 1.0]]).T, 1.5).tolist() == [2]


def test_what_is_no_table_of_losses_is_refused():
    with pytest.raises(ValueError, match="losses must be a number, got nan"):
        memorisation_times([[np.nan]], 1.0)
    with pytest.raises(ValueError, match="losses must have a row for each checkpoint"):
        memorisation_times([1.0, 2.0], 1.0)
    with pytest.raises(ValueError, match="epsilon must be one number or one for each of 2 samples"):
        memorisation_times([[1.0, 2.0]], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="delta must be non-negative"):
        memorisation_times([[1.0]], 1.0, -0.1)
    with pytest.raises(ValueError, match="losses must be of two checkpoints or more"):
        threshold_for_share([[1.0]])


def test_a_share_of_no_samples_is_refused():
    with pytest.raises(ValueError, match="times must be of at least one sample"):
        share_before_last([], 3)


def test_a_share_may_be_one_number():
    losses = [[1.0, 2.0, 3.0, 4.0]] * 2
    assert threshold_for_share(losses, (0.5, 0.5)) == 2.0
    assert threshold_for_share(losses, (0.0, 0.25)) == 1.0
