import math
from itertools import product

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.information import asadi, xu_raginsky
from genbounds.numerics.discrete_information import mutual_information
from genbounds.theorems import get
from genbounds.worlds import attack, scales_problem, validate

SCALES = st.lists(st.tuples(st.floats(0.0, 30.0), st.floats(0.0, 5.0)), min_size=1, max_size=10)


@given(SCALES, st.integers(1, 10**6))
def test_encloses_the_formula(scales, n):
    with mpmath.workdps(40):
        exact = sum(mpf(a) * mpmath.sqrt(mpf(i)) for i, a in scales) * mpmath.sqrt(mpf(2) / n)
        value = mpf(float(asadi([i for i, _ in scales], [a for _, a in scales], n)))
        assert exact <= value <= exact * (1 + mpf("1e-13")) + mpf("1e-300")


@given(st.lists(st.floats(0.0, 30.0), min_size=1, max_size=10))
def test_the_published_form_is_a_special_case(information):
    """Balls of radius 2^-k: representatives are 2^-k + 2^-(k-1) apart, which makes 3 sqrt(2) sum 2^-k sqrt(I_k)."""
    k = np.arange(1, len(information) + 1)
    published = 3 * math.sqrt(2) * (2.0**-k * np.sqrt(information)).sum()
    assert asadi(information, 2.0**-k + 2.0 ** -(k - 1), 1) == pytest.approx(published, rel=1e-12)


@given(st.floats(0.0, 30.0), st.integers(1, 10**6), st.floats(0.01, 10.0))
def test_one_scale_is_xu_raginsky(information, n, sigma):
    """A representative of all hypotheses in the middle of the range is sigma away from each."""
    assert asadi([information], [sigma], n) == pytest.approx(float(xu_raginsky(information, n, sigma)), rel=1e-12)


def test_fine_scales_are_cheap():
    k = np.arange(1, 41)
    chained = [asadi(k[:top] * math.log(2), 2.0 ** -(k[:top] + 1.0), 100) for top in (10, 20, 40)]
    plain = [xu_raginsky(top * math.log(2), 100, 0.5) for top in (10, 20, 40)]
    assert chained[2] / chained[0] < 1.01
    assert plain[2] / plain[0] == pytest.approx(2)
    assert chained[2] < plain[2] / 4


def grid_learner(bits, noise):
    """W on a grid of 2^bits numbers, loss |w - z|, z on the same grid; everything listed for one example."""
    points = (np.arange(2**bits) + 0.5) / 2**bits
    kernel = np.exp(-np.abs(points[:, None] - points[None]) / noise)
    joint = kernel / kernel.sum(axis=1, keepdims=True) / len(points)
    losses = np.abs(points[:, None] - points[None])  # (w, z)
    gap = joint.sum(axis=0) @ losses.mean(axis=1) - (joint * losses.T).sum()
    information = []
    for k in range(1, bits + 1):
        cells = joint.reshape(len(points), 2**k, -1).sum(axis=2)
        information.append(float(mutual_information(cells)))
    return gap, np.array(information)


@pytest.mark.parametrize("bits", [1, 3, 5])
@pytest.mark.parametrize("noise", [0.02, 0.2, 2.0])
def test_a_quantised_hypothesis_listed(bits, noise):
    """Cells halved at each scale, with their middles to represent them; the loss is 1-Lipschitz."""
    gap, information = grid_learner(bits, noise)
    scales = 2.0 ** -(np.arange(1, bits + 1) + 1.0)
    assert 0 < gap <= asadi(information, scales, 1)


def test_the_chain_of_signs_against_its_table():
    """One example of two signs, written out: W copies each with its own reliability."""
    sizes, reliabilities = (0.25, 0.125), (0.6, 0.2)
    signs = list(product((-1, 1), repeat=2))
    chances = [[(1 + e * z * s) / 2 for e, z, s in zip(reliabilities, y, w, strict=True)] for y in signs for w in signs]
    joint = np.prod(chances, axis=1).reshape(4, 4) / 4
    losses = np.array([
        [0.5 - sum(a * z * s for a, z, s in zip(sizes, y, w, strict=True)) for w in signs] for y in signs
    ])
    problem = scales_problem(sizes, reliabilities, 1)
    gap = joint.sum(axis=0) @ losses.mean(axis=0) - (joint * losses).sum()
    assert problem.truths["generalization gap"] == pytest.approx(gap, rel=1e-12)
    first = joint.reshape(4, 2, 2).sum(axis=2)
    assert problem.quantities["scale_information"] == pytest.approx(
        [float(mutual_information(first)), float(mutual_information(joint))], rel=1e-12
    )


def test_worlds_come_close_and_none_refutes():
    finding = validate(get("asadi"))
    assert not finding.broken
    assert finding.ratio < 1.001


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        (0.7, {}),
        (0.5, {"scale_information": lambda given: np.diff(given["scale_information"], prepend=0.0)}),
        (1.0, {"scale_diameters": lambda given: np.full_like(given["scale_diameters"], given["scale_diameters"][-1])}),
        (1.0, {"n": lambda given: given["n"] ** 2}),
    ],
    ids=["constant", "increments and half", "only the finest scale's size", "n squared"],
)
def test_broken_variants_are_caught(part, changed, broken):
    assert not all(found.survived for found in attack(broken("asadi", part, **changed), 0.05))


def test_shapes_and_ends():
    assert asadi(np.zeros((4, 3)), np.ones(3), 10).shape == (4,)
    assert asadi([0.0, np.inf], [1.0, 0.0], 10) < 1e-300
    assert asadi([1.0, np.inf], [1.0, 0.1], 10) == np.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: asadi([1.0, 2.0], [1.0], 3), r"scale_information must be a list .* got shapes \(2,\) and \(1,\)"),
        (lambda: asadi([], [], 3), "scale_information must be a list"),
        (lambda: asadi(1.0, 1.0, 3), "scale_information must be a list"),
        (lambda: asadi([-1.0], [1.0], 3), "scale_information must be non-negative"),
        (lambda: asadi([1.0], [-1.0], 3), "scale_diameters must be non-negative"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
