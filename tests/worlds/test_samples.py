"""A learner and all samples, against loops over outcomes in 40 digits."""

import math
from collections import defaultdict
from itertools import product

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings

from genbounds.worlds import FiniteWorld, Gibbs, Learning, blurred, classification, constant, erm, memoriser, tabulated
from genbounds.worlds.samples import every_sample
from genbounds.worlds.strategies import learnings

LN2 = math.log(2)


def information(law):
    """I(X;Y) of a dictionary from pairs (x, y) to probabilities."""
    first, second = defaultdict(mpmath.mpf), defaultdict(mpmath.mpf)
    for (x, y), p in law.items():
        first[x] += p
        second[y] += p
    return sum(p * mpmath.log(p / (first[x] * second[y])) for (x, y), p in law.items() if p > 0)


def slow(learning):
    """The quantities of a learning problem by their definitions, one outcome at a time."""
    world, n = learning.world, learning.n
    points, hypotheses = range(len(world.probabilities)), range(len(world.prior))
    chance = [mpmath.mpf(float(p)) for p in world.probabilities]
    loss = [[mpmath.mpf(float(x)) for x in row] for row in world.losses]
    risk = [sum(p * x for p, x in zip(chance, row, strict=True)) for row in loss]
    whole, single, output = {}, [defaultdict(mpmath.mpf) for _ in range(n)], defaultdict(mpmath.mpf)
    found = defaultdict(mpmath.mpf)
    kernel = {}
    for sample in product(points, repeat=n):
        (row,) = learning.learner(world, np.array([sample]))
        kernel[sample] = [mpmath.mpf(float(p)) for p in row]
        for w in hypotheses:
            p = math.prod(chance[z] for z in sample) * kernel[sample][w]
            gap = risk[w] - sum(loss[w][z] for z in sample) / n
            found["train_risk"] += p * (risk[w] - gap)
            found["risk"] += p * risk[w]
            found["gap"] += p * gap
            found["squared_gap"] += p * gap**2
            whole[sample, w] = p
            output[w] += p
            for i, z in enumerate(sample):
                single[i][z, w] += p
    found["mutual_information"] = information(whole)
    lautum = mpmath.mpf(0)
    for (sample, w), p in whole.items():
        both = math.prod(chance[z] for z in sample) * output[w]
        if both > 0:
            lautum += both * mpmath.log(both / p) if p > 0 else mpmath.inf
    found["lautum"] = lautum
    found["leakage"] = mpmath.log(sum(max(row[w] for row in kernel.values()) for w in hypotheses))
    found["individual_information"] = [information(law) for law in single]
    found["total_variations"] = [sum(abs(p - chance[z] * output[w]) for (z, w), p in law.items()) / 2 for law in single]
    # A supersample is drawn pair by pair: the example trained on is Z_i, its partner is fresh.
    seen = {name: [defaultdict(mpmath.mpf) for _ in range(n)] for name in ("e_mi", "ld_mi", "single_loss_mi")}
    squares = [mpmath.mpf(0)] * n
    for i, law in enumerate(single):
        for ((z, w), p), partner, u in product(law.items(), points, (0, 1)):
            pair = (z, partner) if u == 0 else (partner, z)
            first, second = (world.losses[w, z] for z in pair)
            q = p * chance[partner] / 2
            seen["e_mi"][i][(first, second), u] += q
            seen["ld_mi"][i][round(second - first, 10), u] += q
            seen["single_loss_mi"][i][first, u] += q
            squares[i] += q * (loss[w][pair[1]] - loss[w][pair[0]]) ** 2
    found["squared_differences"] = squares
    for name, laws in seen.items():
        found[name] = [information(law) for law in laws]
    return found


@settings(max_examples=25)
@given(learnings(max_points=3, max_n=2))
def test_every_quantity_against_its_definition(learning):
    with mpmath.workdps(40):
        expected = slow(learning)
    for name, value in expected.items():
        np.testing.assert_allclose(
            np.array(getattr(learning, name), float), np.array(value, float), rtol=1e-12, atol=2e-15, err_msg=name
        )


@settings(max_examples=40)
@given(learnings())
def test_sums_and_orderings(learning):
    assert learning.weights.sum() == pytest.approx(1, abs=1e-13)
    assert learning.joint.sum() == pytest.approx(1, abs=1e-13)
    np.testing.assert_allclose(
        learning.individual_joints.sum(axis=2), np.tile(learning.world.probabilities, (learning.n, 1))
    )
    assert learning.gap == pytest.approx(learning.risk - learning.train_risk, abs=1e-14)
    assert learning.gap**2 <= learning.squared_gap + 1e-15
    assert learning.individual_information.sum() <= learning.mutual_information + 1e-14
    orders = [learning.mutual_information, *(learning.sibson(alpha) for alpha in (1.5, 3.0, 50.0)), learning.leakage]
    assert np.all(np.diff(orders) >= -1e-13)
    assert learning.leakage <= math.log(len(learning.world.prior)) + 1e-13
    assert np.all(learning.total_variations**2 <= learning.individual_information / 2 + 1e-15)  # Pinsker
    assert learning.symmetrised_information == learning.mutual_information + learning.lautum
    assert learning.failure(1.0) == 0
    assert learning.failure(-1.0) == pytest.approx(1)


def test_a_fair_bit_learnt_with_some_reliability():
    """I = e^2/2 + O(e^4), gap e/2: Xu and Raginsky's bound is all but attained."""
    bit = classification([0.5, 0.5], [0, 0], [0, 1])
    for e in (0.05, 0.3, 1.0):
        learning = Learning(bit, blurred(erm, 1 - e), 1)
        right, wrong = (1 + e) / 2, (1 - e) / 2
        exact = LN2 + right * math.log(right) + (wrong * math.log(wrong) if wrong else 0)
        assert learning.gap == pytest.approx(e / 2, rel=1e-14)
        assert learning.mutual_information == pytest.approx(exact, rel=1e-12)
        assert learning.leakage == pytest.approx(math.log(1 + e), rel=1e-12)
        assert learning.total_variations == pytest.approx([e / 2])
        assert learning.failure(0.4999) == 1
        assert learning.failure(0.5) == 0  # a difference of rounding is none


def test_the_label_alone():
    """A class of constants learns which label is more frequent: gaps 1/2, 1/4, 1/4 at n = 1, 2, 3."""
    world = classification([0.25] * 4, [0, 0, 1, 1], [0, 1, 0, 1], [[0, 0], [1, 1]])
    assert [float(Learning(world, erm, n).gap) for n in (1, 2, 3)] == pytest.approx([0.5, 0.25, 0.25])


def test_nothing_learnt_is_nothing_told():
    world = classification([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], [0, 1, 0, 1])
    learning = Learning(world, constant([0.1, 0.0, 0.9, 0.0]), 3)
    for name in (
        "gap",
        "mutual_information",
        "lautum",
        "leakage",
        "e_mi",
        "ld_mi",
        "single_loss_mi",
        "total_variations",
    ):
        assert np.all(np.abs(getattr(learning, name)) < 1e-15), name
    assert learning.sibson(3.0) < 1e-15


def test_a_memoriser_tells_all():
    learning = Learning(FiniteWorld([0.25, 0.75], np.zeros((4, 2))), memoriser, 2)
    entropy = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert learning.mutual_information == pytest.approx(2 * entropy)
    assert learning.leakage == pytest.approx(2 * LN2)
    assert learning.lautum == math.inf
    np.testing.assert_allclose(learning.individual_information, [entropy, entropy])


def test_parity_is_known_to_no_single_example():
    """W = Z_1 xor Z_2: I(S;W) = ln 2, and each I(W;Z_i) is 0."""
    learning = Learning(FiniteWorld([0.5, 0.5], np.eye(2)), tabulated(np.eye(2)[[0, 1, 1, 0]]), 2)
    assert learning.mutual_information == pytest.approx(LN2)
    assert np.all(learning.individual_information < 1e-15)


@settings(max_examples=30)
@given(learnings())
def test_a_gibbs_algorithm_overfits_by_its_information(learning):
    cold = Learning(learning.world, Gibbs(4.0), learning.n)
    assert 4.0 * cold.gap == pytest.approx(cold.symmetrised_information, abs=1e-12)


def test_too_many_samples_are_refused():
    world = FiniteWorld(np.full(10, 0.1), np.zeros((2, 10)))
    assert len(every_sample(world, 3)[0]) == 1000
    with pytest.raises(ValueError, match="n must be small enough for a table of 16777216 numbers, got 7 draws"):
        Learning(world, erm, 7)
    with pytest.raises(ValueError, match="n must be a whole number of at least 1"):
        Learning(world, erm, 0)


def test_names():
    world = FiniteWorld([1.0], [[0.0]], name="nothing to learn")
    assert Learning(world, erm, 2).name == "nothing to learn, n=2"
    assert Learning(world, erm, 2, "mine").name == "mine"
