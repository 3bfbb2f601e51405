import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.information import (
    wang_mao_chi_squared,
    wang_mao_differences,
    wang_mao_hellinger,
    wang_mao_jensen_shannon,
    wang_mao_variance,
)
from genbounds.theorems import get

BOUNDS = (wang_mao_chi_squared, wang_mao_hellinger, wang_mao_jensen_shannon, wang_mao_variance)
every_bound = pytest.mark.parametrize("bound", BOUNDS, ids=[bound.__name__ for bound in BOUNDS])
PAIRS = st.lists(st.tuples(st.floats(1e-6, 1), st.floats(1e-9, 0.58)), min_size=1, max_size=6)


def phi(r):
    """kl((1 + r) / 2 || 1/2) for arrays."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(1 + s * r > 0, (1 + s * r) * np.log1p(s * r), 0.0) for s in (1, -1)]
    return (terms[0] + terms[1]) / 2


@st.composite
def dependences(draw):
    """A law of x in [-1, 1] and of r(x) in [-1, 1]: any law of a difference of losses and a fair coin."""
    size = draw(st.integers(1, 5))
    thousandths = st.integers(-1000, 1000).map(lambda number: number / 1000)
    numbers = st.lists(thousandths, min_size=size, max_size=size)
    weights = np.array(draw(st.lists(st.floats(1e-3, 1), min_size=size, max_size=size)))
    return np.array(draw(numbers)), np.array(draw(numbers)), weights / weights.sum()


@given(dependences())
def test_every_dependence_is_covered(law):
    """The module's functions of the density against the gap that it makes, and their order."""
    x, r, weights = law
    gap, squares = abs(weights @ (x * r)), weights @ x**2
    hellinger = 2 - np.sqrt(1 + r) - np.sqrt(1 - r)
    values = [
        wang_mao_chi_squared([squares], [weights @ r**2]),
        wang_mao_variance([squares], [weights @ np.maximum(phi(r), 0)]),
        wang_mao_hellinger([squares], [weights @ np.maximum(hellinger, 0)]),
        wang_mao_jensen_shannon([squares], [weights @ np.maximum(phi(r) / 2 - phi(r / 2), 0)]),
    ]
    assert min(values) >= gap * (1 - 1e-9)  # functions of a small r lose digits in this transcription
    assert values[0] <= min(values[1:]) * (1 + 1e-9)


@pytest.mark.parametrize("r", [0.01, 0.3, 0.8, 1.0])
def test_attained_where_all_differences_have_one_size(r):
    hellinger = 2 - math.sqrt(1 + r) - math.sqrt(1 - r)
    for size in (0.2, 1.0):
        for bound, divergence in (
            (wang_mao_chi_squared, r**2),
            (wang_mao_variance, float(phi(np.array(r)))),
            (wang_mao_hellinger, hellinger),
        ):
            assert bound([size**2], [divergence]) == pytest.approx(size * r, rel=1e-11)
    assert wang_mao_jensen_shannon([1.0], [float(phi(np.array(0.01)) / 2 - phi(np.array(0.005)))]) == pytest.approx(
        0.01, rel=1e-4
    )


@settings(max_examples=40)
@given(PAIRS)
def test_enclose_the_formulas(pairs):
    squares, divergences = (list(column) for column in zip(*pairs, strict=True))
    with mpmath.workdps(40):
        size = [mpmath.sqrt(mpf(each)) for each in squares]
        value = [mpf(each) for each in divergences]
        root = [
            mpmath.findroot(
                lambda r, c=c: ((1 + r) * mpmath.log(1 + r) + (1 - r) * mpmath.log(1 - r)) / 2 - c,
                (mpf("1e-6"), 1 - mpf("1e-30")),
                solver="anderson",
                tol=1e-40,
            )
            for c in value
        ]
        formulas = {
            wang_mao_chi_squared: [mpmath.sqrt(c) for c in value],
            wang_mao_variance: root,
            wang_mao_hellinger: [(2 - c) * mpmath.sqrt(c * (1 - c / 4)) for c in value],
            wang_mao_jensen_shannon: [mpmath.sqrt(8 * c) for c in value],
        }
        for bound, slopes in formulas.items():
            truth = min(mpmath.fsum(a * b for a, b in zip(size, slopes, strict=True)) / len(pairs), mpf(1))
            assert truth - mpf("1e-25") <= mpf(float(bound(squares, divergences))) <= truth * (1 + mpf("1e-9"))


@given(st.floats(1e-6, 1), st.floats(1e-9, math.log(2)))
def test_below_the_published_forms(squares, information):
    """Those with the gap on the right, solved for it: g^2 = 2 (E x^2 + g) I, g^2 = (4 E x^2 + 2 g) H^2, and so on."""
    for bound, factor, own in (
        (wang_mao_variance, 2, 1),
        (wang_mao_hellinger, 4, 0.5),
        (wang_mao_jensen_shannon, 16, 0.25),
    ):
        # g^2 = factor (E x^2 + own g) information
        half = factor * own * information / 2
        published = half + math.sqrt(half**2 + factor * squares * information)
        assert bound([squares], [information]) <= min(1, published) * (1 + 1e-12)
    gap_free = information + math.sqrt((information + 2 * squares) * information)
    simple = math.sqrt(2 * squares * information)
    assert wang_mao_variance([squares], [information]) <= min(1, simple, gap_free) * (1 + 1e-12)
    assert wang_mao_variance([1.0], [information]) <= wang_mao_differences([information]) * (1 + 1e-12)


def test_saturation():
    """A coin known for certain: I = ln 2, H^2 = 2 - sqrt 2, chi^2 = 1. The root of 2 ln 2 would be 1.177."""
    assert wang_mao_variance([1, 0, 0], [math.log(2), 0, 0]) == pytest.approx(1 / 3, rel=1e-12)
    assert wang_mao_hellinger([1, 0, 0], [2 - math.sqrt(2), 0, 0]) == pytest.approx(1 / 3, rel=1e-12)
    assert wang_mao_hellinger([1, 0, 0], [1.3, 0, 0]) == pytest.approx(1 / 3, rel=1e-12)
    assert wang_mao_chi_squared([1, 0, 0], [1, 0, 0]) == pytest.approx(1 / 3, rel=1e-12)


@every_bound
def test_ends_shapes_and_order(bound):
    assert bound([0.3, 1.0], [0.0, 0.0]) <= 1e-149
    assert bound([0.0, 0.0], [np.inf, 0.4]) <= 1e-300
    assert bound([np.inf], [0.4]) == bound([1.0], [np.inf]) == bound([1.0], [1e308]) == 1.0
    assert bound(np.full((3, 5), 0.4), np.full((2, 1, 5), 0.1)).shape == (2, 3)
    grid = bound(np.full((200, 1), 0.5), np.linspace(0, 1, 200)[:, None])
    assert (np.diff(grid) >= -1e-15).all()


@every_bound
def test_bad_numbers_are_refused(bound):
    with pytest.raises(ValueError, match="squared_differences must be non-negative"):
        bound([-0.1], [0.1])
    with pytest.raises(ValueError, match=r"ld_.* must be non-negative"):
        bound([0.1], [-0.1])
    with pytest.raises(ValueError, match="last axis"):
        bound(0.1, 0.1)


def test_only_chi_squared_restates_the_gap():
    assert {bound.__name__ for bound in BOUNDS if get(bound.__name__).restates} == {"wang_mao_chi_squared"}
