"""The Gibbs algorithm's gap: the identity by enumeration, bounds against exact worlds, each step of the proof."""

import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.information.gibbs_algorithm import aminian, gibbs_gap, gibbs_gap_sub_gaussian
from genbounds.theorems import get
from genbounds.worlds import FiniteWorld, Gibbs, GibbsGaussian, GibbsPoints, Learning, attack, shattered_points
from genbounds.worlds.strategies import finite_worlds

temperatures = st.floats(1e-3, 60.0)
sizes = st.integers(1, 10**6)


@given(st.floats(1e-300, 1e300), sizes)
def test_formulas_against_arbitrary_precision(gamma, n):
    with mpmath.workdps(50):
        exact = mpmath.tanh(mpmath.mpf(gamma) / (4 * n))
        for value, truth in ((gibbs_gap(gamma, n), exact), (gibbs_gap_sub_gaussian(gamma, n, 0.3), None)):
            truth = 2 * mpmath.mpf(0.3) ** 2 * mpmath.mpf(gamma) / n if truth is None else truth
            assert truth <= mpmath.mpf(float(value)) <= truth * (1 + mpmath.mpf("1e-14")) + mpmath.mpf("1e-320")
        truth = mpmath.mpf(0.7) / mpmath.mpf(gamma)
        assert truth <= mpmath.mpf(float(aminian(0.7, gamma))) <= truth * (1 + mpmath.mpf("1e-14"))


@given(temperatures, sizes)
def test_orderings(gamma, n):
    value = gibbs_gap(gamma, n)
    assert 0 < value <= 1
    assert value <= gamma / (4 * n) * (1 + 1e-14)
    assert value <= gibbs_gap_sub_gaussian(gamma, n, 0.5) / 2 * (1 + 1e-14)
    assert gibbs_gap(gamma, n + 1) <= value <= gibbs_gap(gamma * 1.1, n)


def test_arrays_and_limits():
    assert gibbs_gap_sub_gaussian(1e300, 1000, 1e-170) >= 1.99e-43  # the square of sigma is below all floats
    assert gibbs_gap([1.0, 2.0], [[1], [2]]).shape == (2, 2)
    assert gibbs_gap(1e6, 1) == 1.0
    assert gibbs_gap_sub_gaussian(1e200, 1, 1e200) == math.inf
    assert aminian(math.inf, 1.0) == math.inf
    assert aminian(0.0, 1.0) == pytest.approx(0, abs=1e-300)


@settings(max_examples=80)
@given(finite_worlds(), st.integers(1, 3), temperatures)
def test_the_identity_in_random_worlds(world, n, gamma):
    learning = Learning(world, Gibbs(gamma), n)
    assert float(aminian(learning.symmetrised_information, gamma)) == pytest.approx(learning.gap, rel=1e-9, abs=1e-13)
    assert -1e-13 <= learning.gap <= gibbs_gap(gamma, n) + 1e-13
    assert learning.gap <= gibbs_gap_sub_gaussian(gamma, n, 0.5) + 1e-13


@settings(max_examples=40)
@given(finite_worlds(), st.integers(1, 3), temperatures)
def test_the_proof_example_by_example(world, n, gamma):
    """Given the other examples the algorithm is a Gibbs algorithm on one, at inverse temperature gamma / n."""
    learning = Learning(world, Gibbs(gamma), n)
    joint = learning.joint.reshape((len(world.probabilities),) * n + (-1,))
    for i in range(n):
        given_others = np.moveaxis(joint, i, -2).reshape(-1, len(world.probabilities), len(world.prior))
        for cells in given_others:
            law = cells / cells.sum()
            product = law.sum(axis=1, keepdims=True) * law.sum(axis=0)
            gap = ((product - law) * world.losses.T).sum()
            divergences = ((law - product) * np.log(law / product)).sum()  # both directions
            assert divergences == pytest.approx(gamma / n * gap, rel=1e-8, abs=1e-12)
            assert -1e-13 <= gap <= math.tanh(gamma / (4 * n)) + 1e-13


@given(st.integers(2, 6), st.integers(0, 10**6))
def test_both_divergences_bound_the_total_variation(size, seed):
    """KL(J || M) + KL(M || J) >= 2 v ln((1 + v) / (1 - v)), equal for laws that mirror each other."""
    first, second = np.random.default_rng(seed).dirichlet(np.full(size, 0.7), 2) + 1e-9
    first, second = first / first.sum(), second / second.sum()
    v = np.abs(first - second).sum() / 2
    assert ((first - second) * np.log(first / second)).sum() >= 2 * v * math.log((1 + v) / (1 - v)) * (1 - 1e-12)
    mirrored = np.array([(1 + v) / 2, (1 - v) / 2])
    both = ((mirrored - mirrored[::-1]) * np.log(mirrored / mirrored[::-1])).sum()
    assert both == pytest.approx(2 * v * math.log((1 + v) / (1 - v)), rel=1e-12)


@pytest.mark.parametrize("points", [3, 4, 20, 10**4])
def test_one_example_attains_the_bound(points):
    world = GibbsPoints(points, 2 * math.log(points - 1))
    assert world.gap == pytest.approx(float(gibbs_gap(world.inverse_temperature, 1)), rel=1e-12)


@pytest.mark.parametrize("gamma", [1.0, 6.0])
@pytest.mark.parametrize("n", [2, 3])
def test_several_examples_attain_it_as_collisions_vanish(n, gamma):
    odds = math.exp(gamma / (2 * n))  # of an error under the prior, at each point by itself
    for points in (3, 5, 8):
        world = shattered_points(points)
        prior = odds ** world.losses.sum(axis=1)
        learning = Learning(FiniteWorld(world.probabilities, world.losses, prior / prior.sum()), Gibbs(gamma), n)
        assert 1 - n / points < learning.gap / gibbs_gap(gamma, n) < 1


def test_half_of_it_does_not_bound_hot_gibbs_laws():
    """l = [[0, 1], [1, 0]] on a fair bit: the gap approaches gamma / (4n) as gamma tends to 0, for every n."""
    for n in (1, 2, 3):
        world = FiniteWorld([0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]])
        assert Learning(world, Gibbs(1e-3), n).gap == pytest.approx(float(gibbs_gap(1e-3, n)), rel=1e-5)


ATTACKED = {"aminian": 1 + 1e-9, "gibbs_gap": 1 + 1e-9, "gibbs_gap_sub_gaussian": 1.3}


@pytest.mark.parametrize(("name", "margin"), ATTACKED.items())
def test_worlds_cannot_break_it_and_come_close(name, margin):
    found = attack(get(f"information.{name}"), 0.05)
    assert [each for each in found if not each.survived] == []
    assert min(each.ratio for each in found) < margin


BROKEN = {
    "aminian without the lautum information": ("aminian", lambda i, gamma: i / gamma / 2),
    "aminian over the root of two": ("aminian", lambda i, gamma: i / gamma / math.sqrt(2)),
    "half the temperature": ("gibbs_gap", lambda gamma, n: np.tanh(gamma / (8 * n))),
    "the root of two": ("gibbs_gap", lambda gamma, n: np.tanh(gamma / (4 * n)) / math.sqrt(2)),
    "n counted twice": ("gibbs_gap", lambda gamma, n: np.tanh(gamma / (4 * n**2))),
    "sigma^2 gamma / n": ("gibbs_gap_sub_gaussian", lambda gamma, n, sigma: sigma**2 * gamma / n),
    "sqrt(2) sigma^2 gamma / n": (
        "gibbs_gap_sub_gaussian",
        lambda gamma, n, sigma: math.sqrt(2) * sigma**2 * gamma / n,
    ),
}


@pytest.mark.parametrize(("name", "formula"), BROKEN.values(), ids=BROKEN)
def test_wrong_constants_are_caught(name, formula):
    theorem = get(f"information.{name}")
    names = ", ".join(theorem.arguments)
    broken = eval(f"lambda {names}: formula({names})", {"formula": formula})
    assert any(not found.survived for found in attack(replace(theorem, function=broken), 0.05))


def test_gaussian_world():
    world = GibbsGaussian(3, 12, 1.1, prior_scale=2.0, inverse_temperature=5.0)
    assert float(aminian(world.symmetrised_information, 5.0)) == pytest.approx(world.gap, rel=1e-12)
    assert world.gap <= gibbs_gap_sub_gaussian(5.0, 12, world.sigma)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: aminian(-1.0, 1.0), "symmetrised_information must be non-negative, got -1.0"),
        (lambda: aminian(1.0, 0.0), "inverse_temperature must be positive and finite, got 0.0"),
        (lambda: gibbs_gap(math.inf, 1), "inverse_temperature must be positive and finite, got inf"),
        (lambda: gibbs_gap(1.0, 0), "n must be a whole number of at least 1, got 0"),
        (lambda: gibbs_gap_sub_gaussian(1.0, 1, math.nan), "sigma must be a number, got nan"),
    ],
)
def test_arguments_out_of_range(call, message):
    with pytest.raises(ValueError, match=message):
        call()
