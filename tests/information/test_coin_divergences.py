"""Divergences between the laws of a symbol given a coin: textbook formulas, orders, and what limits rest on."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.information.estimation.coin_divergences import COIN_DIVERGENCES

NAMES = list(COIN_DIVERGENCES)
WEIGHTS = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1.0)), min_size=4, max_size=4)
LAWS = WEIGHTS.filter(lambda weights: sum(weights) > 0).map(lambda weights: np.array(weights) / sum(weights))


def terms(joint, product):
    """Divergences of the joint law of coin and symbol from the product of its marginals, by their definitions."""

    def relative(a, b):
        return sum(x * mpmath.log(x / y) for x, y in zip(a, b, strict=True) if x > 0)

    middle = [(x + y) / 2 for x, y in zip(joint, product, strict=True)]
    return {
        "mutual": relative(joint, product),
        "hellinger": sum((mpmath.sqrt(x) - mpmath.sqrt(y)) ** 2 for x, y in zip(joint, product, strict=True)),
        "jensen_shannon": (relative(joint, middle) + relative(product, middle)) / 2,
        "chi_squared": sum((x - y) ** 2 / y for x, y in zip(joint, product, strict=True) if y > 0),
    }


@given(LAWS, LAWS)
def test_the_definitions(p, q):
    with mpmath.workdps(40):
        law = [[mpf(float(x)) for x in side] for side in (p, q)]
        joint = [x / 2 for side in law for x in side]
        product = [(x + y) / 4 for x, y in zip(*law, strict=True)] * 2
        for name, value in terms(joint, product).items():
            assert COIN_DIVERGENCES[name].between(p, q) == pytest.approx(float(value), rel=1e-10, abs=1e-15)


@pytest.mark.parametrize("name", NAMES)
@given(LAWS, LAWS)
def test_at_most_its_largest_value_times_the_total_variation(name, p, q):
    divergence = COIN_DIVERGENCES[name]
    variation = np.abs(p - q).sum() / 2
    assert divergence.between(p, q) <= divergence.largest * variation + 1e-14


@pytest.mark.parametrize("name", NAMES)
@given(LAWS, LAWS, LAWS, LAWS, st.floats(0, 1))
def test_jointly_convex(name, p, q, other_p, other_q, share):
    between = COIN_DIVERGENCES[name].between
    mixed = between(share * p + (1 - share) * other_p, share * q + (1 - share) * other_q)
    assert mixed <= share * between(p, q) + (1 - share) * between(other_p, other_q) + 1e-13


@pytest.mark.parametrize("name", NAMES)
@given(LAWS, LAWS)
def test_merging_symbols_tells_less(name, p, q):
    between = COIN_DIVERGENCES[name].between
    merge = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    assert between(p @ merge, q @ merge) <= between(p, q) + 1e-14


@pytest.mark.parametrize("name", NAMES)
def test_told_apart_for_certain(name):
    divergence = COIN_DIVERGENCES[name]
    value = divergence.between(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert value == pytest.approx(divergence.largest, rel=1e-14)
    exact = {
        "mutual": mpmath.log(2),
        "hellinger": 2 - mpmath.sqrt(2),
        "jensen_shannon": mpmath.log(2) / 2 - (mpf(3) / 2 * mpmath.log(1.5) + mpf(1) / 2 * mpmath.log(0.5)) / 2,
        "chi_squared": mpf(1),
    }
    with mpmath.workdps(30):
        assert mpf(divergence.largest) >= exact[name] - mpf(10) ** -17
    assert divergence.between(np.array([0.3, 0.7]), np.array([0.3, 0.7])) == 0.0


@pytest.mark.parametrize("name", NAMES)
@given(LAWS, LAWS, st.integers(0, 3))
def test_the_margin_covers_the_rounding_of_a_law(name, p, q, place):
    divergence = COIN_DIVERGENCES[name]
    moved = p + 1e-14 * (np.arange(4) == place)
    assert abs(divergence.between(moved, q) - divergence.between(p, q)) <= divergence.margin / 4
