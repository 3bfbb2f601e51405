import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.information import nadjahi, nadjahi_distortion, quantised_information, xu_raginsky
from genbounds.numerics.discrete_information import mutual_information
from genbounds.theorems import get
from genbounds.worlds import Learning, attack, coins, erm, gap_seeking, shattered_points, validate

LISTS = st.lists(st.floats(0.0, 30.0), min_size=1, max_size=8)


@given(LISTS, st.floats(0.0, 3.0), st.integers(1, 10**6), st.floats(0.01, 10.0), st.floats(0.0, 10.0))
def test_each_encloses_its_formula(nats, distortion, n, sigma, lipschitz):
    with mpmath.workdps(40):
        roots = sum(mpmath.sqrt(2 * mpf(sigma) ** 2 * mpf(i) / n) for i in nats) / len(nats)
        whole = roots + 2 * mpf(lipschitz) * mpf(distortion)
        for value, exact in (
            (nadjahi(nats, n, sigma), roots),
            (nadjahi_distortion(nats, distortion, n, sigma, lipschitz), whole),
        ):
            assert exact <= mpf(float(value)) <= exact * (1 + mpf("1e-13")) + mpf("1e-300")


@given(st.integers(0, 10**6), st.integers(1, 10**9))
def test_counting_encloses_the_logarithm(dimension, levels):
    with mpmath.workdps(40):
        exact = dimension * mpmath.log(levels)
        assert (
            exact <= mpf(float(quantised_information(dimension, levels))) <= exact * (1 + mpf("1e-14")) + mpf("1e-300")
        )


@pytest.mark.parametrize("n", [1, 2, 3])
def test_no_output_tells_more_than_its_number_of_values(n):
    for world, learner in ((shattered_points(3), erm), (coins([0.5, 0.5]), gap_seeking(5.0))):
        learning = Learning(world, learner, n)
        ceiling = quantised_information(1, len(world.prior))
        law = learning.joint.sum(axis=0)
        entropy = -(law[law > 0] * np.log(law[law > 0])).sum()
        assert learning.mutual_information <= entropy + 1e-12 <= ceiling + 2e-12
        assert abs(learning.gap) <= xu_raginsky(ceiling, n, 0.5)


@given(LISTS, st.integers(1, 10**6), st.floats(0.01, 10.0))
def test_averaging_roots_is_no_worse_than_the_root_of_the_average(nats, n, sigma):
    """I(W';S|Theta) is the mean of the information given each subspace."""
    assert nadjahi(nats, n, sigma) <= nadjahi([math.fsum(nats) / len(nats)], n, sigma) * (1 + 1e-12)
    assert nadjahi(nats[:1], n, sigma) == pytest.approx(float(xu_raginsky(nats[0], n, sigma)), rel=1e-12)


def test_compression_of_an_enumerated_learner():
    """Hypotheses merged in pairs, each pair's first one kept: information, distortion and both gaps from tables."""
    for strength in (0.5, 3.0):
        learning = Learning(shattered_points(3), gap_seeking(strength), 2)
        losses = learning.world.losses
        kept = np.arange(8) // 2 * 2
        joint = np.zeros_like(learning.joint)
        for w, image in enumerate(kept):
            joint[:, image] += learning.joint[:, w]
        distances = np.abs(losses - losses[kept]).max(axis=1)  # the loss is 1-Lipschitz in this metric
        distortion = learning.joint.sum(axis=0) @ distances
        information = mutual_information(joint)
        compressed = abs((joint * learning.output_gaps).sum())
        assert compressed <= nadjahi([information], 2, 0.5)
        assert abs(learning.gap) <= nadjahi_distortion([information], distortion, 2, 0.5, 1.0)
        assert information <= min(learning.mutual_information, quantised_information(1, 4))


@pytest.mark.parametrize("name", ["nadjahi", "nadjahi_distortion"])
def test_worlds_come_close_and_none_refutes(name):
    finding = validate(get(name))
    assert not finding.broken
    assert finding.ratio < 1.001


@pytest.mark.parametrize(
    ("name", "part", "changed"),
    [
        ("nadjahi", 1 / math.sqrt(2), {}),
        ("nadjahi", 1.0, {"n": lambda given: given["n"] ** 2}),
        ("nadjahi_distortion", 1.0, {"distortion": lambda given: given["distortion"] / 2}),
        ("nadjahi_distortion", 1.0, {"sigma": lambda given: given["sigma"] / 2}),
    ],
    ids=["constant", "n squared", "distortion paid once", "half of sigma"],
)
def test_broken_variants_are_caught(name, part, changed, broken):
    assert not all(found.survived for found in attack(broken(name, part, **changed), 0.05))


def test_shapes_and_ends():
    assert nadjahi(np.zeros((5, 2)), 10, 0.5).shape == (5,)
    assert nadjahi_distortion([0.0], np.inf, 10, 0.5, 1.0) == np.inf
    assert nadjahi_distortion([0.0], 0.0, 10, 0.5, np.inf) < 1e-300
    assert quantised_information(0, 5) < 1e-300
    assert quantised_information(7, 1) < 1e-300


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nadjahi([-1.0], 10, 0.5), "sliced_information must be non-negative"),
        (lambda: nadjahi(1.0, 10, 0.5), "values must have entries along a last axis"),
        (lambda: nadjahi_distortion([-1.0], 0.0, 10, 0.5, 1.0), "compressed_information must be non-negative"),
        (lambda: nadjahi_distortion([1.0], -0.1, 10, 0.5, 1.0), "distortion must be non-negative"),
        (lambda: quantised_information(2.5, 4), "dimension must be a whole number"),
        (lambda: quantised_information(2, 0), "levels must be a whole number of at least 1"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
