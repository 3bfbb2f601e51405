import math
from itertools import product

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.information import lautum_gap
from genbounds.numerics.discrete_information import lautum_information, mutual_information
from genbounds.theorems import get
from genbounds.worlds import LabelMemoriser, copying_problem, validate
from genbounds.worlds.problems import problem_attack

NATS = st.one_of(st.just(0.0), st.floats(1e-200, 1e-3), st.floats(0.0, 20.0))
SIZES = st.one_of(st.integers(1, 20), st.integers(1, 10**6))


def at(r, lautum, n):
    return -mpmath.expm1(-mpf(lautum) - mpf(r) ** 2 / (2 * n)) / (mpf(r) * (2 - mpf(r)))


@given(NATS, SIZES)
def test_encloses_the_formula(lautum, n):
    with mpmath.workdps(60):
        value = mpf(float(lautum_gap(lautum, n)))
        if lautum == 0:
            assert 0 < value < mpf("1e-140")
            return
        r = 2 / (1 + mpmath.sqrt(1 + 2 / (n * mpf(lautum))))
        exact = min(at(r, lautum, n), mpf(1))
        assert exact * (1 - mpf("1e-13")) <= value <= exact * (1 + mpf("1e-12")) + mpf("1e-140")


@given(st.floats(1e-6, 5.0), SIZES, st.floats(0.001, 1.0))
def test_no_other_weight_is_much_better(lautum, n, r):
    """Every r in (0, 1] gives a bound; the one that is used costs at most 2 per cent."""
    assert float(lautum_gap(lautum, n)) <= 1.0185 * float(at(r, lautum, n))


def test_ends():
    """Next to independence sqrt(L / (2n)); far from it 1 - exp(-L)."""
    assert lautum_gap(1e-8, 5) == pytest.approx(math.sqrt(1e-9), rel=1e-3)
    assert lautum_gap(0.7, 10**9) == pytest.approx(1 - math.exp(-0.7), rel=1e-3)
    assert lautum_gap(np.array([0.0, 40.0, np.inf]), 3).tolist() == pytest.approx([0.0, 1.0, 1.0])


def smallest_divergence(gap, mean, n):
    """The least KL(P || R) over laws R under which the mean of n coins is smaller by `gap` than under P (dual)."""
    counts = np.arange(n + 1)
    law = np.array([math.comb(n, k) * mean**k * (1 - mean) ** (n - k) for k in counts])
    weights = np.linspace(0, 1 / mean, 4001)[:-1]
    values = law @ np.log1p(weights[None] * (counts[:, None] / n - mean)) - np.log1p(-weights * gap)
    return np.nanmax(values)


@pytest.mark.parametrize("n", [1, 4, 30])
@pytest.mark.parametrize("mean", [0.1, 0.5, 0.95])
def test_the_proof_against_the_best_law(n, mean):
    """One hypothesis, coins for losses: no law of the sample has a larger gap at its divergence than the bound says."""
    for gap in mean * np.array([0.05, 0.3, 0.6, 0.9]):
        assert gap <= lautum_gap(smallest_divergence(gap, mean, n), n) * (1 + 1e-9)


@pytest.mark.parametrize(("classes", "n"), [(2, 1), (2, 3), (3, 2)])
def test_memoriser_against_its_table(classes, n):
    """Labels of the sample against what W names for its inputs, written out."""
    share = 0.3
    words = list(product(range(classes), repeat=n))
    joint = np.array([[share * (y == w) + (1 - share) / len(words) for w in words] for y in words]) / len(words)
    world = LabelMemoriser(classes, n, share)
    assert world.lautum == pytest.approx(float(lautum_information(joint)), rel=1e-12)
    assert world.mutual_information == pytest.approx(float(mutual_information(joint)), rel=1e-12)
    assert world.leakage == pytest.approx(math.log(joint.max(axis=0).sum() * len(words)), rel=1e-12)
    risk = 1 - 1 / classes
    losses = np.array([[np.mean([a != b for a, b in zip(y, w, strict=True)]) for w in words] for y in words])
    assert world.gap == pytest.approx(risk - (joint * losses).sum(), rel=1e-12)
    assert world.squared_gap == pytest.approx((joint * (risk - losses) ** 2).sum(), rel=1e-12)
    first = np.zeros((classes, classes))
    for (i, y), (j, w) in product(enumerate(words), repeat=2):
        first[y[0], w[0]] += joint[i, j]
    assert world.one_label == pytest.approx(float(mutual_information(first)), rel=1e-12)


def test_the_mirror_image_of_xu_raginsky_is_refuted():
    """sqrt(L / (2n)) holds for the smallest samples and fails by any factor for large ones."""
    theorem = get("lautum_gap")

    def mirrored(lautum, n):
        return np.sqrt(lautum / (2 * n))

    for classes, n, broken in ((2, 1, False), (2, 20, True), (10, 20, True)):
        problem = copying_problem(LabelMemoriser(classes, n, 0.5))
        assert problem_attack(mirrored, theorem.quantity, ("lautum", "n"), problem).survived is not broken
        assert problem_attack(lautum_gap, theorem.quantity, ("lautum", "n"), problem).survived


def test_attained_by_memorisers_of_many_classes():
    world = LabelMemoriser(100, 100, 0.3)
    assert 1 <= lautum_gap(world.lautum, 100) / world.gap < 1.03


def test_worlds_come_close_and_none_refutes():
    finding = validate(get("lautum_gap"))
    assert not finding.broken
    assert finding.ratio < 1.03


@given(NATS, SIZES, st.floats(0.0, 3.0))
def test_monotone(lautum, n, more):
    assert lautum_gap(lautum + more, n) >= lautum_gap(lautum, n) * (1 - 1e-12)
    assert lautum_gap(lautum, n + 1) <= lautum_gap(lautum, n) * (1 + 1e-12)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"lautum must be non-negative, got -1.0\. Pass L"):
        lautum_gap(-1.0, 3)
    with pytest.raises(ValueError, match="n must be a whole number"):
        lautum_gap(1.0, 0)
