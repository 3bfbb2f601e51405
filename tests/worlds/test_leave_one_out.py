"""A learner given all examples but one, against loops over outcomes."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings

from genbounds.worlds import LeaveOneOutLearning, SupersampleLearning, classification, constant, memoriser, seen_points
from genbounds.worlds.strategies import learnings


def slow(learning, examples):
    world, size = learning.world, len(examples)
    joint, found = {}, {"train_risk": 0.0, "risk": 0.0, "gaps": 0.0, "squared_gaps": 0.0}
    for left in range(size):
        kept = [z for place, z in enumerate(examples) if place != left]
        (row,) = learning.learner(world, np.array([kept]))
        for w, share in enumerate(row):
            joint[w, left] = p = share / size
            train, ghost = np.mean(world.losses[w, kept]), world.losses[w, examples[left]]
            values = (train, ghost, ghost - train, (ghost - train) ** 2)
            for name, value in zip(found, values, strict=True):
                found[name] += p * value
    output = {w: sum(p for (v, _), p in joint.items() if v == w) for w, _ in joint}
    found["loo_cmi"] = sum(p * math.log(p * size / output[w]) for (w, _), p in joint.items() if p > 0)
    return found


@settings(max_examples=30)
@given(learnings(max_points=3, max_n=3))
def test_every_quantity_against_its_definition(learning):
    told = LeaveOneOutLearning(learning.world, learning.learner, learning.n)
    listed = list(product(range(len(learning.world.probabilities)), repeat=learning.n + 1))
    np.testing.assert_array_equal(told.points, listed)
    expected = [slow(learning, examples) for examples in listed]
    for name in expected[0]:
        values = [row[name] for row in expected]
        np.testing.assert_allclose(getattr(told, name), values, rtol=1e-11, atol=1e-14, err_msg=name)
    assert told.weights @ told.gaps == pytest.approx(learning.gap, abs=1e-13)
    assert told.weights @ told.train_risk == pytest.approx(learning.train_risk, abs=1e-13)
    assert np.all(told.loo_cmi <= math.log(learning.n + 1) + 1e-14)


@settings(max_examples=30)
@given(learnings(max_n=1))
def test_one_of_two_is_a_pair(learning):
    """At n = 1 the one left out is the ghost of the other."""
    left = LeaveOneOutLearning(learning.world, learning.learner, 1)
    pair = SupersampleLearning(learning.world, learning.learner, 1)
    np.testing.assert_allclose(left.loo_cmi, pair.cmi, atol=1e-15)
    np.testing.assert_allclose(left.gaps, pair.gaps, atol=1e-15)
    np.testing.assert_allclose(left.squared_gaps, pair.squared_gaps, atol=1e-15)


def test_a_memoriser_tells_which_of_different_examples_is_missing():
    told = LeaveOneOutLearning(seen_points(3, 2), memoriser, 2)
    different = [len(set(row)) for row in told.points.tolist()]
    by_number = {1: 0.0, 2: math.log(3) - 2 / 3 * math.log(2), 3: math.log(3)}
    # (a, b, b) without a is (b, b); without either b it is (a, b), unless a stands between them: (b, a, b).
    for row, number, value in zip(told.points.tolist(), different, told.loo_cmi, strict=True):
        if number != 2 or row[0] != row[2]:
            assert value == pytest.approx(by_number[number], abs=1e-14)
        else:
            assert value == pytest.approx(math.log(3))


def test_nothing_learnt_is_nothing_told():
    world = classification([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], [0, 1, 0, 1])
    told = LeaveOneOutLearning(world, constant([0.1, 0.0, 0.9, 0.0]), 2, "idle")
    assert told.name == "idle"
    assert np.all(told.loo_cmi < 1e-15)
    assert np.all(np.abs(told.gaps) < 1e-15)
