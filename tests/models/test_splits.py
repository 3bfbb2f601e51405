"""Roles: a partition, repeatable, random, and never overlapping."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from genbounds.models.splits import ROLES, Roles, in_halves, repeated_examples


@st.composite
def splits(draw):
    n = draw(st.integers(20, 300))
    roles = draw(st.lists(st.sampled_from(ROLES), min_size=1, unique=True))
    shares = draw(st.lists(st.integers(1, 10), min_size=len(roles), max_size=len(roles)))
    whole = sum(shares) + draw(st.integers(0, 10))
    return n, {role: share / whole for role, share in zip(roles, shares, strict=True)}


@given(splits(), st.integers(0, 2**64))
def test_random_roles_partition(split, seed):
    n, fractions = split
    assume(min(fractions.values()) * n >= 1)  # below that a role may round to nothing, which is an error
    roles = Roles.random(n, fractions, seed)
    members = [roles.indices(role) for role in ROLES]
    joined = np.concatenate(members)
    assert len(np.unique(joined)) == len(joined) == n - np.count_nonzero(roles.codes == 0)
    assert all((np.diff(part) > 0).all() for part in members)
    for role in ROLES:
        assert roles.count(role) == len(roles.indices(role))
        assert abs(roles.count(role) - n * fractions.get(role, 0)) <= 1
    again = Roles.random(n, fractions, seed)
    assert np.array_equal(again.codes, roles.codes)


def test_fractions_that_fill_leave_nothing_unused():
    roles = Roles.random(60000, {"prior": 0.7, "bound": 0.1, "selection": 0.2}, 3)  # 0.7 + 0.1 is below 0.8 in floats
    assert [roles.count(role) for role in ROLES] == [42000, 6000, 12000, 0]


def test_seed_decides_and_nothing_else():
    rng_state = np.random.get_state()[1].copy()  # noqa: NPY002 - that the global one is left alone is the point
    first, second = (Roles.random(1000, {"prior": 0.5, "bound": 0.5}, seed) for seed in (0, 1))
    assert not np.array_equal(first.codes, second.codes)
    assert np.array_equal(rng_state, np.random.get_state()[1])  # noqa: NPY002


def test_split_is_neither_a_prefix_nor_stratified():
    """With half the indices at random, the count among the first half is hypergeometric, never exact for all seeds."""
    counts = [np.count_nonzero(Roles.random(400, {"bound": 0.5}, seed).indices("bound") < 200) for seed in range(60)]
    assert len(set(counts)) > 10
    assert abs(np.mean(counts) - 100) < 4 * 5.0 / 60**0.5  # standard deviation sqrt(400/16) = 5 a split
    assert min(counts) > 70
    assert max(counts) < 130


def test_fixed_roles_are_kept():
    roles = Roles.random(100, {"prior": 0.5, "bound": 0.5}, 0, fixed={"test": range(80, 100)})
    assert roles.indices("test").tolist() == list(range(80, 100))
    assert roles.count("prior") == roles.count("bound") == 40
    assert len(roles) == 100


def test_from_indices():
    roles = Roles.from_indices(6, {"bound": np.array([4, 1]), "prior": [0]})
    assert roles.indices("bound").tolist() == [1, 4]
    assert roles.indices("selection").size == 0
    assert roles.codes.dtype == np.int8


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ({"prior": [0, 1, 2], "bound": [2, 1, 5]}, r"2 examples of 'bound'.*index 1 \('prior'\)"),
        ({"bound": [1, 2, 2, 2]}, "got 2 repeats, the first of index 2"),
        ({"bound": [0, 10]}, r"must be in \[0, 10\), got 10 \(1 outside\)"),
        ({"bound": [-1]}, r"must be in \[0, 10\), got -1"),
        ({"bound": [0.0, 1.0]}, "must be a one-dimensional array of integers, got dtype float64"),
        ({"bound": np.ones(10, bool)}, "numpy.flatnonzero"),
        ({"bound": [[0, 1]]}, r"shape \(1, 2\)"),
        ({"bound": []}, "must not be empty"),
        ({"train": [0]}, "must be one of prior, bound, selection, test, got 'train'"),
    ],
)
def test_errors_of_indices(indices, message):
    with pytest.raises(ValueError, match=message):
        Roles.from_indices(10, indices)


@pytest.mark.parametrize(
    ("n", "fractions", "seed", "message"),
    [
        (0, {"bound": 1.0}, 0, "n must be a whole number of at least 1, got 0"),
        (2.5, {"bound": 1.0}, 0, "n must be a whole number"),
        (10, {"bound": 1.0}, None, "seed must be a whole number of at least 0, got None"),
        (10, {"bound": 1.0}, -1, "seed must be"),
        (10, {"bound": 0.0}, 0, r"must be in \(0, 1\], got 0.0"),
        (10, {"bound": float("nan")}, 0, r"must be in \(0, 1\], got nan"),
        (10, {"bound": 0.6, "prior": 0.5}, 0, "sum to at most 1, got 1.1"),
        (10, {"bound": 0.01}, 0, "at least one example, got 0.01 of 10"),
        (10, {"training": 0.5}, 0, "must be one of"),
    ],
)
def test_errors_of_random_splits(n, fractions, seed, message):
    with pytest.raises(ValueError, match=message):
        Roles.random(n, fractions, seed)


def test_a_role_given_twice():
    with pytest.raises(ValueError, match="'test' in both fractions and fixed"):
        Roles.random(10, {"test": 0.5}, 0, fixed={"test": [1]})


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=40))
def test_repeated_examples_match_a_slow_count(examples):
    hashes = [content for content, _ in examples]
    roles = Roles(np.array([code for _, code in examples], dtype=np.int8))
    slow = {}
    for a, first in enumerate(ROLES):
        for b, second in enumerate(ROLES[a:], a):
            of_first = [h for h, (_, code) in zip(hashes, examples, strict=True) if code == a + 1]
            of_second = [h for h, (_, code) in zip(hashes, examples, strict=True) if code == b + 1]
            number = sum(h in of_first for h in of_second) if a != b else len(of_first) - len(set(of_first))
            if number:
                slow[first, second] = number
    assert repeated_examples(hashes, roles) == slow


def test_repeated_examples_need_every_hash():
    with pytest.raises(ValueError, match=r"must have shape \(3,\), got \(2,\)"):
        repeated_examples([1, 2], Roles.from_indices(3, {"bound": [0]}))


def test_halves_share_the_examples_out():
    examples = np.arange(100, 121)
    kept, tested = in_halves(examples, 3)
    assert abs(len(kept) - len(tested)) <= 1
    assert sorted([*kept, *tested]) == examples.tolist()
    assert kept.tolist() == in_halves(examples, 3)[0].tolist()
    assert kept.tolist() != in_halves(examples, 4)[0].tolist()
