import math
from dataclasses import replace
from functools import wraps

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf
from scipy.special import ndtr

from genbounds.information import neu, wang_mao_descent
from genbounds.theorems import get
from genbounds.worlds import NoisyBits, attack

numbers = st.floats(1e-3, 1e3)


@st.composite
def runs(draw):
    """Deviations, sensitivities, step sizes, virtual scales, n, sigma, sharpness gap."""
    steps = draw(st.integers(1, 6))
    arrays = [np.array([draw(numbers) for _ in range(steps)]) for _ in range(4)]
    return *arrays, draw(st.integers(1, 50)), draw(st.floats(0.01, 10)), draw(st.floats(0, 2))


def exact(*arrays):
    return zip(*([mpf(value) for value in array.tolist()] for array in arrays), strict=True)


@given(runs(), st.integers(1, 1000))
def test_both_enclose_their_formulas(run, d):
    deviations, sensitivities, eta, s, n, sigma, sharpness = run
    with mpmath.workdps(50):
        rows = list(exact(deviations, sensitivities, eta, s))
        linear = sum((e / v) ** 2 * (a + b + 2 * mpmath.sqrt(a * b)) for a, b, e, v in rows)
        expected = mpf(sigma) * mpmath.sqrt(linear / n) + mpf(sharpness)
        value = mpf(float(neu(deviations, sensitivities, sharpness, eta, s, n, sigma)))
        assert expected <= value <= expected * (1 + mpf("1e-12"))
        logarithmic = sum(mpf(d) / 2 * mpmath.log1p((e / v) ** 2 * a / d) for a, _, e, v in rows)
        expected = mpmath.sqrt(2 * mpf(sigma) ** 2 * logarithmic / n) + mpf(sharpness)
        value = mpf(float(wang_mao_descent(deviations, sharpness, eta, s, d, n, sigma)))
        assert expected <= value <= expected * (1 + mpf("1e-12"))


@given(runs(), st.integers(1, 1000))
def test_orderings(run, d):
    """The logarithmic form is the smaller one; neither exceeds the published form with 4 sigma^2."""
    deviations, sensitivities, eta, s, n, sigma, sharpness = run
    value = neu(deviations, sensitivities, sharpness, eta, s, n, sigma)
    together = np.square(np.sqrt(deviations) + np.sqrt(sensitivities))
    assert wang_mao_descent(together, sharpness, eta, s, d, n, sigma) <= value * (1 + 1e-12)
    published = sigma * math.sqrt(4 / n * np.sum((eta / s) ** 2 * (deviations + sensitivities))) + sharpness
    assert value <= published * (1 + 1e-12)
    assert value <= neu(deviations, sensitivities, sharpness, eta, s / 2, n, sigma)
    assert value <= neu(deviations, 2 * sensitivities, sharpness, eta, s, n, sigma)


@pytest.mark.parametrize("name", ["neu", "wang_mao_descent"])
def test_no_world_breaks_it_and_one_is_nearly_tight(name):
    attacks = attack(get(name), 0.05)
    assert all(found.survived for found in attacks)
    assert 1 < min(found.ratio for found in attacks) < math.sqrt(2)


def without(name):
    return lambda bound, given: bound(**{**given, name: 0 * given[name]})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *((name, lambda bound, given: bound(**given) / 2) for name in ("neu", "wang_mao_descent")),
        *((name, lambda bound, given: bound(**given) / math.sqrt(2)) for name in ("neu", "wang_mao_descent")),
        # The gradient term alone at half its constant, and no term for sharpness.
        *(
            (name, lambda bound, given: bound(**{**given, "sigma": given["sigma"] / 2}))
            for name in ("neu", "wang_mao_descent")
        ),
        *((name, without("sharpness_gap")) for name in ("neu", "wang_mao_descent")),
        ("neu", without("gradient_deviations")),
        ("wang_mao_descent", without("virtual_spreads")),
    ],
)
def test_broken_variants_are_caught(name, change):
    theorem = get(name)

    @wraps(theorem.function)
    def broken(**given):
        return change(theorem.function, given)

    assert not all(found.survived for found in attack(replace(theorem, function=broken), 0.05))


def test_one_bit_by_hand():
    """W = Z, always right on the sample and right by chance on a new one; virtual noise of scale s."""
    for s in (0.3, 1.0, 3.0):
        given = NoisyBits.full_batch(1, (1.0,), (0.0,)).virtual_problem("one bit", (s,)).quantities
        assert given["sharpness_gap"] == pytest.approx(ndtr(-1 / s), rel=1e-12)
        value = neu([1.0], [0.0], given["sharpness_gap"], [1.0], [s], 1, 0.5)
        assert value == pytest.approx(0.5 / s + ndtr(-1 / s), rel=1e-12)
        assert value >= 0.5


def test_the_scale_of_virtual_noise_is_a_trade():
    """Small: the information explodes. Large: all that is left is the gap itself, in the sharpness."""
    world = NoisyBits.full_batch(3, (0.5,) * 3, (0.0,) * 3, 1.0)

    def value(s):
        given = world.virtual_problem("3 bits", (s,) * 3).quantities
        return float(wang_mao_descent(*(given[name] for name in get("wang_mao_descent").arguments)))

    assert value(1e-6) > value(0.3) >= world.gap
    assert value(100.0) == pytest.approx(world.gap, rel=0.02)


def test_zero_is_zero_and_no_virtual_noise_is_vacuous():
    assert neu([0.0], [0.0], 0.0, [0.1], [0.1], 3, 0.5) < 1e-100
    assert wang_mao_descent([1.0], 0.0, [0.1], [0.0], 4, 3, 0.5) == math.inf
    assert neu([1.0], [0.0], 0.2, [0.1], [0.0], 3, 0.0) == pytest.approx(0.2)
    assert neu(np.ones((4, 1, 3)), np.ones(3), 0.1, 0.1, 0.1, [2, 5], 0.5).shape == (4, 2)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (neu, ([-1.0], [0.0], 0.0, [0.1], [0.1], 3, 0.5), "gradient_deviations must be non-negative"),
        (neu, ([1.0], [math.nan], 0.0, [0.1], [0.1], 3, 0.5), "gradient_sensitivities must be a number"),
        (neu, ([1.0], [0.0], -0.1, [0.1], [0.1], 3, 0.5), "sharpness_gap must be non-negative"),
        (wang_mao_descent, ([1.0], 0.0, [0.1], [0.1], 0, 3, 0.5), "dimension must be a whole number"),
        (wang_mao_descent, ([1.0], 0.0, [0.1], [0.1], 1, 0, 0.5), "n must be a whole number"),
    ],
)
def test_refuses(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)


def test_one_step_may_be_given_by_plain_numbers():
    assert neu(1.0, 0.25, 0.1, 0.01, 0.1, 1, 0.5) == neu([1.0], [0.25], 0.1, [0.01], [0.1], 1, 0.5)
    assert wang_mao_descent(1.0, 0.1, 0.1, 0.1, 1, 1, 0.5) == wang_mao_descent([1.0], 0.1, [0.1], [0.1], 1, 1, 0.5)
