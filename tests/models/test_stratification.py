"""The chance of a proportional split: against every split there is, and small where someone made it so."""

from itertools import combinations

import numpy as np
import pytest

from genbounds.models.splits import Roles
from genbounds.models.stratification import chance_of_proportions


def halves(n, bound):
    return Roles.from_indices(n, {"prior": np.setdiff1d(np.arange(n), bound), "bound": np.asarray(bound)})


def proportional(classes, bound):
    """The definition: every class within one example of its share."""
    share = len(bound) / len(classes)
    return all(
        abs((classes[list(bound)] == name).sum() - share * (classes == name).sum()) < 1 - 1e-9 for name in set(classes)
    )


@pytest.mark.parametrize(
    ("classes", "size"),
    [([0, 0, 1, 1], 2), ([0, 0, 0, 1, 1, 2], 3), ([0, 0, 0, 0, 1, 1, 1, 2, 2, 3], 4), ([0] * 5 + [1] * 3 + [7] * 2, 3)],
)
def test_counted_over_every_split(classes, size):
    classes = np.array(classes)
    every = list(combinations(range(len(classes)), size))
    even = [bound for bound in every if proportional(classes, bound)]
    assert 0 < len(even) < len(every)
    for bound in every:
        expected = len(even) / len(every) if bound in even else 1.0
        assert chance_of_proportions(classes, halves(len(classes), bound)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("names", [2, 10, 1000])
def test_stratified_splits_of_real_size(names):
    classes = np.random.default_rng(0).integers(names, size=60_000)
    order = np.argsort(classes, kind="stable")
    chance = chance_of_proportions(classes, halves(60_000, order[::2]))
    assert chance < 0.01
    assert chance_of_proportions(classes, Roles.random(60_000, {"prior": 0.5, "bound": 0.5}, 0)) == 1.0


def test_examples_of_other_roles_are_left_out():
    roles = Roles.from_indices(6, {"prior": [0, 2], "bound": [1, 3], "test": [4, 5]})
    assert chance_of_proportions([0, 0, 1, 1, 5, 5], roles) == pytest.approx(2 / 3)


def test_one_class_and_one_role_say_nothing():
    assert chance_of_proportions([0, 0, 0, 0], halves(4, [0, 1])) == pytest.approx(1.0)
    assert chance_of_proportions([0, 1], Roles.from_indices(2, {"bound": [0, 1]})) == pytest.approx(1.0)
    assert chance_of_proportions([0, 1], Roles.from_indices(2, {"test": [0, 1]})) == 1.0


def test_a_class_for_every_example():
    with pytest.raises(ValueError, match=r"classes must have shape \(4,\), got \(3,\)"):
        chance_of_proportions([0, 1, 1], halves(4, [0, 1]))
