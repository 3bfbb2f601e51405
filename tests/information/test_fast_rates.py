"""Bounds on the risk, for one supersample and averaged over them."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.information import (
    dong,
    hellstrom_durisi_kl,
    hellstrom_durisi_kl_averaged,
    hellstrom_durisi_linear,
    sharp_ld_cmi,
    sharp_ld_mi,
    steinke_zakynthinou_interpolation,
    steinke_zakynthinou_linear,
    wang_mao_closed,
    wang_mao_fast,
    wang_mao_interpolation,
)
from genbounds.theorems import get

RISKS = st.floats(0, 1) | st.sampled_from([0.0, 1e-9, 0.5, 1 - 1e-9, 1.0])
TERMS = st.lists(st.floats(1e-9, 0.7) | st.just(math.log(2)), min_size=1, max_size=8)
LN2 = math.log(2)
BOUNDS = {
    "hellstrom_durisi_kl": hellstrom_durisi_kl,
    "hellstrom_durisi_kl_averaged": hellstrom_durisi_kl_averaged,
    "hellstrom_durisi_linear": lambda risk, terms: hellstrom_durisi_linear(risk, terms, 0.4),
    "sharp_ld_cmi": sharp_ld_cmi,
    "sharp_ld_mi": sharp_ld_mi,
    "wang_mao_fast": lambda risk, terms: wang_mao_fast(risk, terms, 0.2),
    "wang_mao_closed": wang_mao_closed,
    "wang_mao_interpolation": wang_mao_interpolation,
    "dong": dong,
}
every_bound = pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)


def best(bound, risk, information, high):
    """Smallest value over a parameter, by a search."""
    return np.min(bound(risk, [information], high * np.linspace(1e-4, 1 - 1e-9, 20_001)))


@pytest.mark.parametrize(
    ("risk", "information", "expected"),
    [
        # binary KL, JS, Wang and Mao's fast rate at its best, L_S + sqrt(2 I), interpolation, and the sharp form
        (0.0, 0.1, (0.190325, 0.260332, 0.288539, 0.447214, 0.144270, 0.144270)),
        (0.0, 0.3, (0.518364, 0.639759, 0.865617, 0.774597, 0.432809, 0.432809)),
        (0.05, 0.02, (0.161500, 0.172700, 0.182228, 0.250000, 1.0, 0.134259)),
        (0.1, 0.1, (0.464758, 0.495855, 0.603482, 0.547214, 1.0, 0.407687)),
        (0.2, 0.01, (0.320663, 0.323911, 0.347012, 0.341421, 1.0, 0.299628)),
    ],
)
def test_known_values(risk, information, expected):
    found = (
        hellstrom_durisi_kl(risk, [information]),
        dong(risk, [information]),
        best(wang_mao_fast, risk, information, LN2 / 2),
        risk + math.sqrt(2 * information),
        wang_mao_interpolation(risk, [information]),
        sharp_ld_cmi(risk, [information]),
    )
    assert found == pytest.approx(expected, abs=1e-6)


@given(RISKS, TERMS)
def test_kl_encloses_the_largest_root(risk, terms):
    """By a bisection of its own for the average M of both risks, in [a, (1 + a) / 2]."""

    def kl(q, p):
        return (q * mpmath.log(q / p) if q > 0 else 0) + ((1 - q) * mpmath.log((1 - q) / (1 - p)) if q < 1 else 0)

    with mpmath.workdps(40):
        information, a = mpmath.fsum(mpf(term) for term in terms) / len(terms), mpf(risk)
        low, high = a, (1 + a) / 2
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (low, middle) if a < 1 and kl(a, middle) > information else (middle, high)
        truth = 2 * low - a
        for bound in (hellstrom_durisi_kl, hellstrom_durisi_kl_averaged):
            assert truth - mpf("1e-25") <= mpf(float(bound(risk, terms))) <= truth + mpf("1e-14")


def test_kl_root_is_the_largest_one():
    """kl(a || (a + b) / 2) also vanishes at b = a, and is large again below: no b above the value satisfies it."""
    b = np.linspace(0, 1, 20_001)
    for a, information in ((0.3, 0.01), (0.05, 0.02), (0.7, 0.03)):
        m = np.clip((a + b) / 2, 1e-12, 1 - 1e-12)
        allowed = b[a * np.log(a / m) + (1 - a) * np.log((1 - a) / (1 - m)) <= information]
        assert allowed.max() <= hellstrom_durisi_kl(a, [information]) <= allowed.max() + 1e-4
        assert allowed.min() < a


@given(RISKS, TERMS, st.floats(1e-6, 1 - 1e-6))
def test_linear_bounds_enclose_the_formula(risk, terms, share):
    gamma1, C2 = share * LN2, share * LN2 / 2
    with mpmath.workdps(50):
        information = mpmath.fsum(mpf(term) for term in terms) / len(terms)
        for bound, rate, price in (
            (hellstrom_durisi_linear(risk, terms, gamma1), mpf(gamma1), mpf(gamma1)),
            (wang_mao_fast(risk, terms, C2), 2 * mpf(C2), mpf(C2)),
        ):
            truth = -mpmath.log(2 - mpmath.exp(rate)) / rate * mpf(risk) + information / price
            assert min(truth, 1) <= mpf(float(bound)) <= truth * (1 + mpf("1e-8"))


@given(RISKS, TERMS)
def test_closed_form_encloses_the_formula(risk, terms):
    with mpmath.workdps(40):
        information, a = mpmath.fsum(mpf(term) for term in terms) / len(terms), mpf(risk)
        truth = a + 2 * information + 2 * mpmath.sqrt(information**2 + 2 * information * a)
        published = a + 4 * information + 4 * mpmath.sqrt(information * a)
        assert min(truth, 1) <= mpf(float(wang_mao_closed(risk, terms))) <= truth * (1 + mpf("1e-13"))
        assert truth <= published


def test_closed_form_where_squares_are_below_all_floats():
    """Without training errors it is 4 I, half of which is the root."""
    assert 4e-170 <= wang_mao_closed(0.0, [1e-170]) <= 4.001e-170
    assert wang_mao_closed(0.0, [1e308, 1e308]) == 1.0


def test_the_corner_condition_is_met_with_equality():
    """exp(rate) + exp(-weight rate) = 2, the weight being what multiplies the train risk."""
    for gamma1 in (0.01, 0.2, 0.36534, 0.6):
        weight = hellstrom_durisi_linear(0.25, [0.0], gamma1) / 0.25
        assert np.exp(gamma1) + np.exp(-weight * gamma1) == pytest.approx(2, abs=1e-13)


def test_published_weight_of_the_linear_bound():
    """From exp replaced by a parabola: never below the weight here, and 1 + sqrt(2) at the end of its range."""

    def published(gamma1):
        A = np.expm1(gamma1) - gamma1
        return (gamma1 - np.sqrt(np.maximum(gamma1**2 - 4 * A * (A + gamma1), 0.0))) / (2 * A)

    gamma1 = np.linspace(1e-3, 0.36534, 50)
    ours = hellstrom_durisi_linear(0.01, [[0.0]] * 50, gamma1) / 0.01
    assert (ours <= published(gamma1)).all()
    assert published(0.36534) == pytest.approx(1 + math.sqrt(2), abs=0.01)
    assert ours[-1] == pytest.approx(1.592, abs=1e-3)


def test_the_golden_ratio_gives_the_linear_form_with_weight_two():
    golden = math.asinh(0.5)
    value = hellstrom_durisi_linear(0.05, [0.01, 0.03], golden)
    assert value == pytest.approx(steinke_zakynthinou_linear(0.05, 0.04, 2), rel=1e-13)


@settings(max_examples=20)
@given(st.floats(1e-3, 0.5), st.floats(1e-4, 0.5))
def test_the_sharp_form_is_the_best_linear_bound(risk, information):
    """As long as train risk and bound add up to 1 at most; and it is never above one."""
    linear, sharp = best(hellstrom_durisi_linear, risk, information, LN2), float(sharp_ld_cmi(risk, [information]))
    assert sharp <= linear * (1 + 1e-12)
    assume(risk + linear < 1)
    assert linear == pytest.approx(sharp, rel=1e-5)


@settings(max_examples=20)
@given(st.floats(1e-3, 0.5), st.floats(1e-4, 0.25))
def test_the_best_fast_rate_is_the_sharp_form_of_twice_the_information(risk, information):
    fast, sharp = best(wang_mao_fast, risk, information, LN2 / 2), float(sharp_ld_mi(risk, [2 * information]))
    assert sharp <= fast * (1 + 1e-12)
    assume(risk + fast < 1)
    assert fast == pytest.approx(sharp, rel=1e-5)


@given(RISKS, TERMS)
def test_orders_that_are_proved(risk, terms):
    mean, tolerance = float(np.mean(terms)), 1 + 1e-12
    sharp, js = float(sharp_ld_mi(risk, terms)), float(dong(risk, terms))
    kl, closed = float(hellstrom_durisi_kl_averaged(risk, terms)), float(wang_mao_closed(risk, terms))
    root = min(1.0, risk + math.sqrt(2 * mean))
    assert risk <= sharp <= min(kl, js) * tolerance
    assert max(kl, js) <= root * tolerance
    assert js <= closed * tolerance
    assert sharp <= min(1.0, risk + mean + math.sqrt(mean**2 + 4 * risk * mean)) * tolerance
    for C2 in (0.05, 0.2, 0.34):
        assert js <= wang_mao_fast(risk, terms, C2) * tolerance


@given(st.floats(0, LN2))
def test_interpolation_is_below_the_relative_entropy(information):
    """I / ln 2 <= 2 (1 - exp(-I)) up to saturation at ln 2, where both are 1."""
    interpolation, kl = wang_mao_interpolation(0.0, [information]), hellstrom_durisi_kl(0.0, [information])
    assert interpolation <= kl * (1 + 1e-12) + 1e-300
    assert kl == pytest.approx(-2 * math.expm1(-information), rel=1e-12, abs=1e-300)
    assert interpolation == pytest.approx(information / LN2, rel=1e-12, abs=1e-300)
    assert interpolation == pytest.approx(steinke_zakynthinou_interpolation(0.0, 3 * information, 3), rel=1e-12)
    assert sharp_ld_mi(0.0, [information]) == pytest.approx(interpolation, rel=1e-11, abs=1e-299)


@every_bound
def test_ends_and_shapes(bound):
    assert bound(0.0, [0.0]) <= 1e-299
    assert bound(0.0, [LN2, LN2]) == pytest.approx(1.0, abs=1e-15)
    assert bound(0.1, [np.inf, 0.0]) == bound(1.0, [0.1]) == 1.0
    assert bound(np.full((4, 1), 0.1), np.full((3, 5), 0.02)).shape == (4, 3)


@every_bound
@given(risk=RISKS, more_risk=RISKS, terms=TERMS, factor=st.floats(1, 3))
def test_monotone(bound, risk, more_risk, terms, factor):
    """Upper limits of train risk and information may stand for them."""
    low, high = sorted((risk, more_risk))
    value, more, riskier = bound([low, low, high], [terms, [factor * term for term in terms], terms])
    assert min(more, riskier) >= value - 1e-12


@every_bound
@pytest.mark.parametrize(
    ("risk", "terms", "words"),
    [(1.1, [0.1], "train_risk must be in"), (0.1, [-0.1], "must be non-negative"), (0.1, 0.1, "last axis")],
)
def test_bad_numbers_are_refused(bound, risk, terms, words):
    with pytest.raises(ValueError, match=words):
        bound(risk, terms)


@pytest.mark.parametrize("value", [0.0, LN2, math.nan])
def test_bad_parameters_are_refused(value):
    with pytest.raises(ValueError, match="gamma1 must be strictly between 0 and"):
        hellstrom_durisi_linear(0.1, [0.1], value)
    with pytest.raises(ValueError, match="C2 must be strictly between 0 and"):
        wang_mao_fast(0.1, [0.1], value)


def test_what_merely_restates_the_test_error_says_so():
    restating = {name for name in BOUNDS if get(f"information.{name}").restates}
    assert restating == {"dong", "wang_mao_interpolation", "sharp_ld_cmi", "sharp_ld_mi"}
    assert all(get(f"information.{name}").ghost_losses for name in BOUNDS)
