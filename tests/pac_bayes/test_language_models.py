import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.numerics import binary_kl, kl_upper
from genbounds.pac_bayes import (
    occam_kl,
    subsampled_occam,
    subsampled_occam_hoeffding,
    test_set_kl,
    token_level,
    token_level_kl,
)
from genbounds.theorems import catalogue
from genbounds.worlds import WORLDS, coins, lone_predictor, process_attack, subsample_attack

risks = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 1e-12])
lengths = st.just(0.0) | st.floats(0, 10) | st.floats(0, 1e6)
deltas = st.floats(1e-12, 0.999) | st.sampled_from([1e-300, 1 - 2.0**-53])
counts = st.integers(1, 30) | st.integers(1, 10**7)


# Documents.


def exact_kl_upper(oracle, q, c):
    """sup{p : kl(q, p) <= c} to 1e-40, by bisection."""
    low, high = mpf(q), mpf(1)
    for _ in range(140):
        middle = (low + high) / 2
        low, high = (middle, high) if oracle.relative_entropy(mpf(q), middle) <= c else (low, middle)
    return high


@given(risks, lengths, counts, counts, deltas)
def test_subsampled_encloses_the_formula(oracle, risk, length, m, k, delta):
    with oracle.precision():
        part = mpmath.log((k + m) / (m * mpf(delta))) / k
        whole = (mpf(length) + mpmath.log((k + m) / (k * mpf(delta)))) / m
        middle = exact_kl_upper(oracle, risk, part)
        assert oracle.kl_upper_encloses(subsampled_occam(risk, length, m, k, delta), middle, whole)
        roots = mpf(risk) + mpmath.sqrt(part / 2) + mpmath.sqrt(whole / 2)
        assert oracle.encloses(subsampled_occam_hoeffding(risk, length, m, k, delta), roots)


def test_the_published_example():
    """A model of two million bits on OpenWebText: 8,013,769 documents, 10,000 of them evaluated, delta = 0.05."""
    numbers = (0.6, 2e6 * math.log(2), 8_013_769, 10_000, 0.05)
    assert round(float(subsampled_occam_hoeffding(*numbers)), 4) == 0.9063
    assert round(float(subsampled_occam(*numbers)), 4) == 0.8528


@given(risks, lengths, counts, counts, deltas)
def test_the_relative_entropy_is_never_above_the_roots(risk, length, m, k, delta):
    numbers = (risk, length, m, k, delta)
    assert subsampled_occam(*numbers) <= subsampled_occam_hoeffding(*numbers) * (1 + 1e-12)


@given(risks, lengths, counts, counts, deltas)
def test_it_is_two_steps_whose_shares_add_up(risk, length, m, k, delta):
    share = float(Fraction(k, k + m))
    if delta * share < 1e-300 or delta * (1 - share) < 1e-300:
        return
    middle = test_set_kl(risk, k, delta * (1 - share))
    two_steps = occam_kl(middle, length, m, delta * share)
    np.testing.assert_allclose(subsampled_occam(risk, length, m, k, delta), two_steps, rtol=1e-7)


def test_subsampled_by_hand():
    """Equal numbers share delta equally; no loss, no code: the inverse of 1 - (delta/2)^(1/k) at ln(2/delta)/m."""
    middle = 1 - 0.25**0.5
    value = subsampled_occam(0.0, 0.0, 2, 2, 0.5)
    assert binary_kl(middle, value) == pytest.approx(math.log(4) / 2, rel=1e-12)
    assert subsampled_occam_hoeffding(0.0, 2.0, 100, 100, 2 * math.exp(-2)) == pytest.approx(0.1 + math.sqrt(0.02))


def test_more_of_everything_helps():
    grid = np.array([10, 100, 1000, 10**5])
    assert np.all(np.diff(subsampled_occam(0.1, 5.0, grid, 500, 0.05)) < 0)
    assert np.all(np.diff(subsampled_occam(0.1, 5.0, 10**5, grid, 0.05)) < 0)
    assert np.all(np.diff(subsampled_occam(0.1, [0.0, 1.0, 10.0, 1e3], 10**4, 500, 0.05)) > 0)


# Tokens.


def exact_ceiling(risk, m):
    return math.ceil(Fraction(risk) * m)


@given(risks, lengths, counts | st.integers(1, 2**53 - 1), deltas)
def test_token_level_encloses_the_formulas(oracle, risk, length, m, delta):
    with oracle.precision():
        c = (mpf(length) - mpmath.log(mpf(delta))) / m
        assert oracle.encloses(token_level(risk, length, m, delta), mpf(risk) + mpmath.sqrt(c / 2))
        u = mpf(exact_ceiling(risk, m)) / m
        assert oracle.kl_upper_encloses(token_level_kl(risk, length, m, delta), u, c + mpmath.log(m) / m)


@given(st.integers(1, 10**9), st.data())
def test_a_multiple_is_not_taken_for_the_next_one(m, data):
    """k errors of m, whichever way the quotient was rounded, are at most k + 1, and k if it was not rounded up."""
    k = data.draw(st.integers(0, m - 1))
    for risk in (k / m, math.nextafter(k / m, 1), math.nextafter(k / m, 0)):
        u = exact_ceiling(risk, m)
        expected = kl_upper(u / m, (math.log(m) + 3) / m)
        np.testing.assert_allclose(token_level_kl(risk, 3.0, m, 1 - 2.0**-53), expected, rtol=1e-11, atol=1e-300)


@given(risks, lengths, st.integers(1, 10**7), deltas)
def test_between_the_bound_for_independent_tokens_and_one_more_logarithm(risk, length, m, delta):
    value = token_level_kl(risk, length, m, delta)
    assert value >= occam_kl(risk, length, m, delta)
    rounded = min(1.0, math.nextafter(exact_ceiling(risk, m) / m, 2))
    np.testing.assert_allclose(value, occam_kl(rounded, length + math.log(m), m, delta), rtol=1e-9, atol=1e-300)


def test_long_codes_are_where_the_relative_entropy_pays():
    """A published setting: codes of ten million bits, 9 billion tokens, a rescaled loss of 0.3; and a short code."""
    long, short = (0.3, 1e7 * math.log(2), 9_000_000_000, 0.05), (0.5, 3.0, 10_000, 0.05)
    assert token_level_kl(*long) < token_level(*long)
    assert token_level_kl(*short) > token_level(*short)


# Attacks, and what they must catch.


@pytest.mark.parametrize(("tokens", "at_least"), [(10, 1.07), (40, 1.3)])
def test_the_bound_for_independent_tokens_fails_for_a_process(tokens, at_least):
    """A process that stops making errors as soon as they look few enough: why the union over u is there."""
    delta = 0.05
    found = process_attack(occam_kl, tokens, 30, delta)
    assert found.failure > at_least * delta
    assert process_attack(token_level_kl, tokens, 30, delta).survived
    assert process_attack(token_level, tokens, 30, delta).survived


@pytest.mark.parametrize(
    ("name", "delta", "broken"),
    [
        ("subsampled_occam", 0.05, lambda r, code, m, k, delta: occam_kl(r, code, m, delta)),  # no second step
        ("subsampled_occam", 0.05, lambda r, code, m, k, delta: test_set_kl(r, k, delta)),  # no first step
        ("subsampled_occam", 0.4, lambda r, code, m, k, delta: subsampled_occam(r, 0.0, m, k, delta)),
        ("subsampled_occam", 0.05, lambda r, code, m, k, delta: subsampled_occam(r, code, 9 * m, 9 * k, delta)),
        (
            "subsampled_occam_hoeffding",
            0.05,
            lambda r, code, m, k, delta: r + np.sqrt((code - np.log(delta)) / (2 * m)),
        ),
        (
            "subsampled_occam_hoeffding",
            0.05,
            lambda r, c, m, k, delta: subsampled_occam_hoeffding(r, c, 9 * m, 9 * k, delta),
        ),
        ("token_level", 0.05, lambda r, code, m, delta: token_level(r, code, 4 * m, delta)),
        ("token_level", 0.4, lambda r, code, m, delta: token_level(r, 0.0, m, delta)),
        ("token_level_kl", 0.05, lambda r, code, m, delta: token_level_kl(r, code, 2 * m, delta)),
        ("token_level_kl", 0.05, lambda r, code, m, delta: kl_upper(r, code / m)),  # no delta
        ("token_level_kl", 0.05, lambda r, code, m, delta: occam_kl(r, 0.0, m, delta)),  # neither code nor m
    ],
)
def test_what_is_left_out_is_missed(name, delta, broken):
    worlds = WORLDS[catalogue()[f"pac_bayes.{name}"].arguments]
    assert max(found.failure for found in worlds(broken, delta)) > delta * (1 + 1e-3)


def test_a_predictor_chosen_by_the_subsample_is_not_covered():
    """Eight predictors, the best on the subsample taken: without a union over them the second step is void."""
    world, m, k, delta = coins([0.5] * 3), 6, 2, 0.5
    counts, weights = world.samples(k)
    # With m infinite the sample is the distribution, and the subsample k fresh documents.
    limits = subsampled_occam(world.empirical_risks(counts), 0.0, 10**12, k, delta)
    assert weights @ (limits.min(axis=1) < world.risks[0]) > delta
    assert subsample_attack(subsampled_occam, world, m, k, delta).survived


def test_the_attack_on_subsamples_is_exact():
    """One document, one draw, one predictor: it errs, and shows it, with its risk."""
    world = lone_predictor(0.3)
    found = subsample_attack(lambda r, code, m, k, delta: np.where(r > 0, 1.0, 0.2), world, 1, 1, 0.05)
    assert found.failure == pytest.approx(0.7)
    assert found.slack == pytest.approx(0.7 * 0.2 + 0.3 - 0.3)
    two = subsample_attack(lambda r, code, m, k, delta: np.where(r > 0, 1.0, 0.2), world, 2, 2, 0.05)
    assert two.failure == pytest.approx(0.49 + 0.42 / 4)  # no error, or one that two draws both miss
    without = subsample_attack(
        lambda r, code, m, k, delta: np.where(r > 0, 1.0, 0.2), world, 2, 2, 0.05, replacement=False
    )
    assert without.failure == pytest.approx(0.49)


@pytest.mark.parametrize(("steps", "best"), [(2, 0.5), (10, 0.6)])
def test_the_worst_process_by_hand(steps, best):
    """One token, a bound of 0.35 on its bias if it was no error: the best bias is the smallest above."""
    found = process_attack(lambda r, code, m, delta: np.where(r > 0, 1.0, 0.35), 1, steps, 0.05)
    assert found.failure == pytest.approx(best)
    assert found.slack == pytest.approx({2: 0.5 * 0.35 + 0.5 - 0.5, 10: 0.6 * 0.35 + 0.4 - 0.4}[steps])


def test_the_worst_process_of_two_tokens_by_hand():
    """Fails if the first token is no error and the average bias is above 1/4: any bias will do on the second then."""

    def bound(risk, code, m, delta):
        return np.where(risk < 1, 0.25, 1.0)

    # First bias 0, then 1: one error for sure, average 1/2 > 1/4. The process fails it always.
    assert process_attack(bound, 2, 2, 0.05).failure == 1.0
    assert process_attack(bound, 2, 2, 0.05, predictors=3).failure == 1.0


@pytest.mark.parametrize(
    ("bound", "numbers", "message"),
    [
        (subsampled_occam, (1.5, 1.0, 10, 5, 0.05), r"subsample_risk must be in \[0, 1\]"),
        (subsampled_occam, (0.5, -1.0, 10, 5, 0.05), "code_length must be non-negative"),
        (subsampled_occam, (0.5, 1.0, 0, 5, 0.05), "documents must be a whole number of at least 1"),
        (subsampled_occam, (0.5, 1.0, 10, 2.5, 0.05), "subsample must be a whole number of at least 1"),
        (subsampled_occam_hoeffding, (0.5, 1.0, 10, 5, 1.0), "delta must be strictly between 0 and 1"),
        (token_level, (math.nan, 1.0, 10, 0.05), "risk must be a number"),
        (token_level, (0.5, 1.0, 0, 0.05), "tokens must be a whole number of at least 1"),
        (token_level_kl, (0.5, 1.0, 2.0**53, 0.05), "tokens must be a whole number"),
        (token_level_kl, (-0.1, 1.0, 10, 0.05), r"risk must be in \[0, 1\]"),
    ],
)
def test_bad_numbers_are_refused(bound, numbers, message):
    with pytest.raises(ValueError, match=message):
        bound(*numbers)


def test_shapes_and_ends():
    assert isinstance(subsampled_occam(0.1, 3.0, 10, 5, 0.05), float)
    assert isinstance(token_level_kl(0.1, 3.0, 10, 0.05), float)
    assert subsampled_occam(np.zeros((4, 1)), [1.0, 2.0], 10, 5, 0.05).shape == (4, 2)
    assert token_level_kl(np.zeros((4, 1)), [1.0, 2.0], 10, 0.05).shape == (4, 2)
    for bound in (token_level, token_level_kl):
        assert bound(0.0, math.inf, 10, 0.05) == bound(1.0, 0.0, 10**6, 0.05) == 1.0
    assert subsampled_occam(0.0, np.finfo(float).max, 1, 1, 0.05) == 1.0
