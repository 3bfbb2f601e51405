"""A learner and all supersamples, against loops over outcomes in 40 digits, and what symmetry and processing say."""

import math
from collections import defaultdict
from itertools import product

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings

from genbounds.worlds import (
    FiniteWorld,
    Learning,
    SupersampleLearning,
    classification,
    constant,
    erm,
    gap_seeking,
    memoriser,
    opposed_pairs,
    seen_points,
)
from genbounds.worlds.strategies import learnings

LN2 = math.log(2)
TOLD = ("cmi", "individual_cmi", "f_cmi", "e_cmi", "ld_cmi")
LAWS = ("prediction_pair_laws", "loss_pair_laws", "loss_difference_laws", "first_loss_laws")


def supersamples(learning):
    return SupersampleLearning(learning.world, learning.learner, learning.n)


def information(law):
    first, second = defaultdict(mpmath.mpf), defaultdict(mpmath.mpf)
    for (x, y), p in law.items():
        first[x] += p
        second[y] += p
    return sum(p * mpmath.log(p / (first[x] * second[y])) for (x, y), p in law.items() if p > 0)


def slow(learning, pairs):
    """The quantities for one supersample, a tuple of n pairs of points, one mask and output at a time."""
    world, n = learning.world, len(pairs)
    whole = {}
    seen = {name: [defaultdict(mpmath.mpf) for _ in range(n)] for name in TOLD[1:]}
    found = defaultdict(mpmath.mpf) | {"squared_differences": [mpmath.mpf(0)] * n}
    for mask in product((0, 1), repeat=n):
        (row,) = learning.learner(world, np.array([[pair[u] for pair, u in zip(pairs, mask, strict=True)]]))
        for w, share in enumerate(row):
            p = mpmath.mpf(float(share)) / 2**n
            whole[w, mask] = p
            train = sum(mpmath.mpf(float(world.losses[w, pairs[i][mask[i]]])) for i in range(n)) / n
            ghost = sum(mpmath.mpf(float(world.losses[w, pairs[i][1 - mask[i]]])) for i in range(n)) / n
            found["train_risk"] += p * train
            found["risk"] += p * ghost
            found["gaps"] += p * (ghost - train)
            found["squared_gaps"] += p * (ghost - train) ** 2
            for i, (a, b) in enumerate(pairs):
                first, second = world.losses[w, a], world.losses[w, b]
                looks = (
                    w,
                    (world.predictions[w, a], world.predictions[w, b]),
                    (first, second),
                    round(second - first, 10),
                )
                for name, look in zip(TOLD[1:], looks, strict=True):
                    seen[name][i][look, mask[i]] += p
                found["squared_differences"][i] += p * (mpmath.mpf(float(second)) - mpmath.mpf(float(first))) ** 2
    return found | {"cmi": information(whole)} | {name: [information(law) for law in seen[name]] for name in TOLD[1:]}


@settings(max_examples=15)
@given(learnings(max_points=3, max_n=2))
def test_every_quantity_against_its_definition(learning):
    given_all = supersamples(learning)
    with mpmath.workdps(40):
        listed = list(product(product(range(len(learning.world.probabilities)), repeat=2), repeat=learning.n))
        expected = [slow(learning, pairs) for pairs in listed]
    np.testing.assert_array_equal(given_all.points, listed)
    for name in expected[0]:
        values = np.array([row[name] for row in expected], dtype=float)
        np.testing.assert_allclose(getattr(given_all, name), values, rtol=1e-12, atol=2e-15, err_msg=name)


@settings(max_examples=40)
@given(learnings(max_n=2))
def test_averages_are_those_over_samples(learning):
    given_all = supersamples(learning)
    for name, average in (("gaps", "gap"), ("train_risk", "train_risk"), ("risk", "risk")):
        assert given_all.weights @ getattr(given_all, name) == pytest.approx(getattr(learning, average), abs=1e-13)
    average = given_all.weights @ given_all.squared_differences
    np.testing.assert_allclose(average, learning.squared_differences, atol=1e-13)
    for name in LAWS:  # masks are fair, given any supersample
        np.testing.assert_allclose(getattr(given_all, name).sum(axis=-1), 0.5, rtol=1e-13)


@settings(max_examples=40)
@given(learnings(max_n=2))
def test_nothing_depends_on_which_column_comes_first(learning):
    plain = supersamples(learning)
    swapped = SupersampleLearning(learning.world, learning.learner, learning.n, plain.points[:, :, ::-1])
    for name in (*TOLD, "gaps", "squared_gaps", "train_risk", "risk", "squared_differences", "weights"):
        np.testing.assert_allclose(getattr(swapped, name), getattr(plain, name), atol=1e-15, err_msg=name)


@settings(max_examples=40)
@given(learnings(max_n=2))
def test_processing_tells_less(learning):
    """The output tells no less than its predictions, they no less than losses, these no less than their difference."""
    told = supersamples(learning)
    assert np.all(told.individual_cmi.sum(axis=1) <= told.cmi + 1e-14)
    assert np.all(told.f_cmi <= told.individual_cmi + 1e-14)
    assert np.all(told.e_cmi <= told.f_cmi + 1e-14)
    assert np.all(told.ld_cmi <= told.e_cmi + 1e-14)
    assert np.all(told.cmi <= learning.n * LN2 + 1e-14)


def test_predictions_tell_more_than_losses_and_merged_ones_less():
    """Of three classes, two wrong ones look alike to the loss. Told apart less and less: f-CMI falls to e-CMI."""
    generator = np.random.default_rng(0)
    predictions = np.indices((3, 3)).reshape(2, -1).T
    table = generator.dirichlet(np.ones(9), size=9)
    losses = (predictions[:, [0, 0, 1]] != [0, 1, 2]).astype(float)
    told = []
    for shown in (predictions[:, [0, 0, 1]], losses.astype(int)):
        world = FiniteWorld([0.2, 0.3, 0.5], losses, predictions=shown)
        told.append(SupersampleLearning(world, lambda w, s: table[s @ [3, 1]], 2))
    full, merged = told
    assert np.all(merged.f_cmi <= full.f_cmi + 1e-15)
    assert full.weights @ full.f_cmi.mean(axis=1) > 1.05 * (full.weights @ merged.f_cmi.mean(axis=1))
    np.testing.assert_array_equal(merged.f_cmi, merged.e_cmi)
    np.testing.assert_allclose(full.e_cmi, merged.e_cmi, atol=1e-16)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_an_ordered_memoriser_tells_every_coin_that_can_be_told(n):
    """CMI = ln 2 for each pair of different points; points told apart by the losses give it to all of the family."""
    told = SupersampleLearning(seen_points(3, n), memoriser, n)
    different = told.points[:, :, 0] != told.points[:, :, 1]
    np.testing.assert_allclose(told.cmi, different.sum(axis=1) * LN2, atol=1e-14)
    np.testing.assert_allclose(told.individual_cmi, different * LN2, atol=1e-14)
    assert told.weights @ told.cmi == pytest.approx(n * 2 / 3 * LN2)
    if n == 1:
        np.testing.assert_allclose(told.ld_cmi, different * LN2, atol=1e-14)
        np.testing.assert_array_equal(told.gaps, different[:, 0])


def test_nothing_learnt_is_nothing_told():
    world = classification([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], [0, 1, 0, 1])
    told = SupersampleLearning(world, constant([0.1, 0.0, 0.9, 0.0]), 2)
    for name in (*TOLD, "gaps"):
        assert np.all(np.abs(getattr(told, name)) < 1e-15), name
    assert np.max(told.squared_gaps) > 0.1


def test_opposed_pairs_are_free_of_one_another():
    """With weights exp(t times the gap) in the class of all signs, W is n independent bits, in closed form."""
    n, t = 6, 0.6
    world, pairs = opposed_pairs(n), np.arange(2 * n).reshape(1, n, 2)
    told = SupersampleLearning(
        world, lambda w, s: np.exp(t * (1 - 2 * w.losses[:, s].mean(-1).T)) / (2 * np.cosh(t / n)) ** n, n, pairs
    )
    right = 1 / (1 + math.exp(-2 * t / n))
    bit = LN2 + right * math.log(right) + (1 - right) * math.log(1 - right)
    assert told.gaps == pytest.approx([math.tanh(t / n)], rel=1e-12)
    assert told.cmi == pytest.approx([n * bit], rel=1e-11)
    for name in TOLD[1:]:
        np.testing.assert_allclose(getattr(told, name), np.full((1, n), bit), rtol=1e-11)
    assert told.squared_differences.tolist() == pytest.approx(np.ones((1, n)))
    assert told.weights == pytest.approx([(2 * n) ** (-2.0 * n)])


def test_a_gap_seeker_has_the_largest_squared_gap_for_its_information():
    """By Donsker and Varadhan its mean squared gap is the derivative of a log moment; nothing with less tells more."""
    n, strength = 4, 1.8
    world, pairs = opposed_pairs(n), np.arange(2 * n).reshape(1, n, 2)
    told = SupersampleLearning(world, gap_seeking(strength), n, pairs)
    gaps = [sum(signs) / n for signs in product((-1, 1), repeat=n)]
    rate = strength * n / 4  # risk minus empirical risk is half of the gap to the ghosts
    moment = sum(math.exp(rate * g * g) for g in gaps) / 2**n
    squared = sum(g * g * math.exp(rate * g * g) for g in gaps) / 2**n / moment
    assert told.squared_gaps == pytest.approx([squared], rel=1e-12)
    assert told.cmi == pytest.approx([rate * squared - math.log(moment)], rel=1e-11)


def test_supersamples_of_ones_choice():
    world = classification([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], [0, 1, 0, 1])
    whole = SupersampleLearning(world, erm, 2)
    chosen = [200, 3, 77]
    some = SupersampleLearning(world, erm, 2, whole.points[chosen], "three")
    assert (some.name, whole.name) == ("three", "classification, n=2")
    assert whole.weights.sum() == pytest.approx(1)
    for name in (*TOLD, "weights", "gaps", "squared_gaps", "train_risk", "risk", "squared_differences"):
        np.testing.assert_allclose(getattr(some, name), getattr(whole, name)[chosen], rtol=1e-14, err_msg=name)


@pytest.mark.parametrize("points", [[[[0, 2]]], [[[0, -1]]], [[[0, 1], [0, 1]]], [[[0.5, 1]]]])
def test_supersamples_of_something_else_are_refused(points):
    world = classification([0.5, 0.5], [0, 0], [0, 1])
    with pytest.raises(ValueError, match=r"points must be numbers of points in an array of shape \(super"):
        SupersampleLearning(world, erm, 1, points)


def test_too_many_supersamples_are_refused():
    world = FiniteWorld(np.full(6, 1 / 6), np.zeros((3, 6)))
    assert len(Learning(world, erm, 5).samples) == 6**5
    with pytest.raises(ValueError, match=r"n must be small enough .* got 10 draws of 6 points with 96 numbers each"):
        SupersampleLearning(world, erm, 5)
