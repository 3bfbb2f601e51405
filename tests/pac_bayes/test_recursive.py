import math

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.numerics import kl_upper
from genbounds.pac_bayes import forward_backward, informed_excess, maurer, recursive_step, seeger_xi
from genbounds.pac_bayes.recursive import EXCESS_LOSSES, REFERENCE_LOSSES
from genbounds.theorems import Assumption, catalogue, get
from genbounds.worlds import (
    FiniteWorld,
    attack,
    coins,
    count_vectors,
    lone_predictor,
    multinomial_law,
    shattered_points,
)
from genbounds.worlds.attacks.recursive import excess_attack, halves_attack, recursive_attack
from genbounds.worlds.strategies import finite_worlds

rates = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))
deltas = st.one_of(st.floats(1e-9, 0.9), st.just(1 - 2.0**-53))


@st.composite
def pairs(draw):
    """How often two draws err: (right, right), (right, wrong), (wrong, right), (wrong, wrong)."""
    counts = draw(st.tuples(*[st.integers(0, 1000)] * 4).filter(sum))
    _, only_earlier, only_own, both = (count / sum(counts) for count in counts)
    return 1 - only_earlier, min(only_own + both, 1.0), only_own


def inverse(oracle, q, c):
    """kl+(q, c) in 60 digits, by bisection; from above."""
    low, high = mpf(q), mpf(1)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if oracle.relative_entropy(mpf(q), middle) <= c else (low, middle)
    return high


# Against the formula in 60 digits.


@given(rates, rates, rates, rates, rates, st.floats(0, 1e4), st.integers(1, 10**5), deltas)
@example(1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 10**5, 0.5)
@example(0.25, 1.0, 0.75, 0.0, 0.0, 0.0, 10**5, 1 - 2.0**-53)
def test_step_encloses_the_formula(oracle, previous, gamma, f_1, f_2, f_3, kl, n, delta):
    with oracle.precision():
        c = oracle.complexity(kl, n, delta, 3 * oracle.xi(n))
        u_1, u_2, u_3 = (inverse(oracle, f, c) for f in (f_1, f_2, f_3))
        through = u_3 + max(mpf(0), mpf(previous) - (1 - u_1))
        truth = (1 - mpf(gamma)) * u_2 + mpf(gamma) * through
        assert oracle.encloses(recursive_step(previous, gamma, f_1, f_2, f_3, kl, n, delta), truth)


@given(rates, rates, rates, st.floats(0, 1e4), st.integers(1, 10**5), deltas)
@example(1.0, 0.0, 0.0, 0.0, 10**5, 0.5)
def test_excess_encloses_the_formula(oracle, reference, f_0, f_1, kl, n, delta):
    with oracle.precision():
        c = oracle.complexity(kl, n, delta, 2 * oracle.xi(n))
        truth = inverse(oracle, f_1, c) + max(mpf(0), mpf(reference) - (1 - inverse(oracle, f_0, c)))
        assert oracle.encloses(informed_excess(reference, f_0, f_1, kl, n, delta), truth)


@given(rates, st.floats(0, 1e4), st.floats(0, 1e4), st.integers(2, 10**5), deltas)
def test_forward_backward_encloses_the_formula(oracle, risk, kl_1, kl_2, n, delta):
    with oracle.precision():
        constants = mpmath.log(oracle.xi(n // 2)) + mpmath.log(oracle.xi(n - n // 2)) - 2 * mpmath.log(mpf(delta))
        c = (mpf(kl_1) + mpf(kl_2) + constants) / n
        assert oracle.kl_upper_encloses(forward_backward(risk, kl_1, kl_2, n, delta), risk, c)


# The derivation, and what the theorems become at their ends.


def test_the_three_events_make_up_the_excess():
    """-g + g [f >= 0] + (1 - g) [f >= 1 - g] + g [f >= 1] is f = l - g l', for each outcome of a pair."""
    for gamma in (0.1, 0.5, 0.9):
        for own in (0, 1):
            for earlier in (0, 1):
                f = own - gamma * earlier
                events = (own or not earlier, own, own and not earlier)
                assert events == (f >= 0, f >= 1 - gamma, f >= 1)
                assert -gamma + gamma * events[0] + (1 - gamma) * events[1] + gamma * events[2] == pytest.approx(f)


def test_what_may_stand_for_a_frequency():
    limits = catalogue()["pac_bayes.recursive_step"].limits
    assert [limits[f"frequency_{j}"].loss for j in (1, 2, 3)] == list(EXCESS_LOSSES)
    assert (limits["previous"].quantity, limits["previous"].predictor) == ("risk", "gibbs")
    limits = catalogue()["pac_bayes.informed_excess"].limits
    assert [limits[f"frequency_{j}"].loss for j in (0, 1)] == list(REFERENCE_LOSSES)
    assert limits["reference"].predictor == "deterministic"


@given(rates, pairs(), st.floats(0, 1e3), st.integers(1, 10**5), st.floats(1e-9, 0.9))
def test_without_the_step_before_it_is_the_direct_bound(previous, frequencies, kl, n, delta):
    """gamma = 0, the limit and the value: `seeger_xi` at a third of delta, and maurer's at most ln 2 / 2 below."""
    direct = recursive_step(previous, 0.0, *frequencies, kl, n, delta)
    np.testing.assert_allclose(direct, seeger_xi(frequencies[1], kl, n, delta / 3), rtol=1e-12)
    assert direct <= maurer(frequencies[1], kl, n, delta / 3) * (1 + 1e-12)
    np.testing.assert_allclose(recursive_step(previous, 1e-12, *frequencies, kl, n, delta), direct, rtol=1e-6)


@given(rates, rates, pairs(), st.floats(0, 1e3), st.integers(1, 10**5), st.floats(1e-9, 0.9))
def test_linear_in_gamma(previous, gamma, frequencies, kl, n, delta):
    """So the best gamma is 0 or 1; the smaller of the two is a bound, for the theorem holds for all gamma at once."""
    ends = [recursive_step(previous, end, *frequencies, kl, n, delta) for end in (0.0, 1.0)]
    value = recursive_step(previous, gamma, *frequencies, kl, n, delta)
    assert value >= min(ends) * (1 - 1e-12)
    if max(ends) < 1:
        np.testing.assert_allclose(value, (1 - gamma) * ends[0] + gamma * ends[1], rtol=1e-9)


@given(rates, rates, pairs(), st.floats(0, 1e3), st.integers(1, 10**5), st.floats(1e-9, 0.9))
def test_the_positive_part_only_acts_against_the_evidence(previous, gamma, frequencies, kl, n, delta):
    """If the bound on the step before is no less than how often its errors alone are seen, nothing is cut off."""
    previous = max(previous, 1 - frequencies[0])
    u_1, u_2, u_3 = (seeger_xi(f, kl, n, delta / 3) for f in frequencies)
    plain = -gamma + gamma * u_1 + (1 - gamma) * u_2 + gamma * u_3 + gamma * previous
    np.testing.assert_allclose(recursive_step(previous, gamma, *frequencies, kl, n, delta), min(plain, 1), rtol=1e-7)


def test_unrolled_the_first_steps_fade():
    """B_T = sum_t gamma^(T-t) E_t: with gamma = 1/2 a vacuous start counts for 2^-7 after seven steps."""
    value, frequencies = 1.0, (1.0, 0.02, 0.0)
    for _ in range(7):
        value = recursive_step(value, 0.5, *frequencies, 0.0, 10**9, 0.05)
    assert value == pytest.approx(0.5**7 + 0.02 * (1 - 0.5**7), abs=1e-4)


@given(rates, pairs(), st.floats(0, 1e3), st.integers(1, 10**5), st.floats(1e-9, 0.5))
def test_excess_over_a_point_mass_is_the_last_step(reference, frequencies, kl, n, delta):
    informed = informed_excess(reference, frequencies[0], frequencies[2], kl, n, delta * 2 / 3)
    np.testing.assert_allclose(informed, recursive_step(reference, 1.0, *frequencies, kl, n, delta), rtol=1e-12)


@given(rates, st.floats(0, 1e3), st.integers(1, 10**5), deltas)
def test_two_equal_halves_are_one_sample_of_half_the_size(risk, kl, half, delta):
    """Both priors alike: the budget is that of one half, with no union over two."""
    np.testing.assert_allclose(
        forward_backward(risk, kl, kl, 2 * half, delta), seeger_xi(risk, kl, half, delta), rtol=1e-9
    )


@given(rates, rates, pairs(), st.floats(0, 1e3), st.integers(1, 10**4), st.floats(1e-6, 0.9), st.floats(0, 1))
def test_monotone(previous, gamma, frequencies, kl, n, delta, more):
    def value(**changes):
        given_numbers = dict(
            zip(("frequency_1", "frequency_2", "frequency_3"), frequencies, strict=True),
            previous=previous,
            gamma=gamma,
            kl=kl,
            n=n,
            delta=delta,
        )
        return float(recursive_step(**(given_numbers | changes)))

    base = value() * (1 - 1e-12)
    assert 0 < base <= 1
    assert value(previous=min(1, previous + more)) >= base
    assert value(kl=kl + more) >= base
    assert value(delta=delta * (0.5 + more / 2)) >= base
    assert value(n=n + 1 + int(100 * more)) <= value() * (1 + 1e-12)
    for place, name in enumerate(("frequency_1", "frequency_2", "frequency_3")):
        assert value(**{name: min(1, frequencies[place] + more)}) >= base


def test_vacuous_inputs_prove_nothing_and_arrays_broadcast():
    assert recursive_step(1.0, 0.5, 1.0, 1.0, 1.0, 0.0, 10**9, 0.5) == 1
    assert recursive_step(0.0, 0.0, 1.0, 0.0, 0.0, np.inf, 10**9, 0.5) == 1
    assert informed_excess(1.0, 1.0, 0.0, 0.0, 10, 0.5) == 1
    assert forward_backward(0.0, np.inf, 0.0, 10, 0.5) == 1
    assert isinstance(recursive_step(0.1, 0.5, 1.0, 0.1, 0.0, 3.0, 100, 0.05), float)
    table = recursive_step(0.1, [[0.0], [0.5]], 0.9, 0.1, 0.05, 3.0, [100, 1000, 10**4], 0.05)
    assert table.shape == (2, 3)
    assert table[1, 2] == recursive_step(0.1, 0.5, 0.9, 0.1, 0.05, 3.0, 10**4, 0.05)
    assert forward_backward(0.1, [1.0, 2.0], 1.0, [[10], [100]], 0.05).shape == (2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: recursive_step(1.1, 0.5, 1, 0, 0, 1.0, 10, 0.05), "previous must be in"),
        (lambda: recursive_step(0.1, -0.1, 1, 0, 0, 1.0, 10, 0.05), "gamma must be in"),
        (lambda: recursive_step(0.1, 0.5, 1, np.nan, 0, 1.0, 10, 0.05), "frequency_2 must be a number"),
        (lambda: recursive_step(0.1, 0.5, 1, 0, 0, -1.0, 10, 0.05), "kl must be non-negative"),
        (lambda: recursive_step(0.1, 0.5, 1, 0, 0, 1.0, 0, 0.05), "n must be a whole number"),
        (lambda: informed_excess(-0.1, 1, 0, 1.0, 10, 0.05), "reference must be in"),
        (lambda: informed_excess(0.1, 1, 0, 1.0, 10, 1.0), "delta must be strictly between"),
        (lambda: forward_backward(0.1, 1.0, 1.0, 1, 0.05), "n must be a whole number of at least 2"),
        (lambda: forward_backward(0.1, 1.0, -1.0, 4, 0.05), "kl_backward must be non-negative"),
    ],
)
def test_bad_numbers_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Attacks in exact worlds: whole recursions, and broken ones.


def best_gamma(*numbers):
    """The adversary's gamma, chosen after both chunks: an end, as the bound is linear."""
    return np.minimum(*(recursive_step(numbers[0], gamma, *numbers[1:]) for gamma in (0.0, 1.0)))


MEMORISERS = FiniteWorld([0.65, 0.175, 0.175], 1 - np.eye(3), [0.62, 0.19, 0.19], name="three memorisers")


@pytest.mark.parametrize("world", [shattered_points(3), coins([0.2, 0.4]), MEMORISERS], ids=lambda world: world.name)
@pytest.mark.parametrize("delta", [0.05, 0.9])
def test_two_steps_fail_together_no_more_often_than_they_may(world, delta):
    found = recursive_attack(best_gamma, world, (2, 3), (delta / 2, delta / 2), first=seeger_xi)
    assert found.delta == delta
    assert found.survived


@given(finite_worlds(max_points=3, max_hypotheses=4, zero_one=True), st.sampled_from([0.05, 0.5]))
def test_random_worlds(world, delta):
    assert recursive_attack(best_gamma, world, (1, 2), (delta / 2, delta / 2), first=seeger_xi).survived
    assert excess_attack(informed_excess, world, 3, delta, 0).survived
    assert halves_attack(forward_backward, world, 3, delta, 2.0).survived


def memorisers(points):
    """One predictor that never errs, and for each of k points one that is right there alone."""
    prior = [0.9, *[0.1 / points] * points]
    return FiniteWorld(np.full(points, 1 / points), np.vstack([np.zeros(points), 1 - np.eye(points)]), prior)


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_a_prior_that_saw_the_last_chunk(gamma):
    """pi_1 = pi_2 = what memorised the last chunk: no divergence is left to pay, and its risk is next to 1."""

    def step(previous, f_1, f_2, f_3, kl, n, delta):
        return recursive_step(previous, gamma, f_1, f_2, f_3, kl, n, delta)

    def peeking(previous, f_1, f_2, f_3, kl, n, delta):
        return step(previous, f_1, f_2, f_3, 0 * kl, n, delta)

    assert recursive_attack(peeking, memorisers(16), (1, 1), (0.0, 0.9)).failure == pytest.approx(1)
    assert recursive_attack(step, memorisers(16), (1, 1), (0.0, 0.9)).survived


def test_a_union_over_three_losses_that_is_not_paid():
    """Two fixed networks, nothing learnt: Chernoff's ln(1 / delta) for each event fails, and ln(3 / delta) does not.

    In the theorem itself ln xi(n) hides this: no world was found where it fails with delta for each event.
    """
    n, delta = 3, 0.05
    alone, both = 1 - delta ** (1 / n) + 1e-9, 0.28  # only h errs, both err; h' never errs alone
    law = np.array([1 - alone - both, 0, alone, both])
    counts = count_vectors(n, 4)
    frequencies = 1 - counts[:, 1] / n, (counts[:, 2] + counts[:, 3]) / n, counts[:, 2] / n

    def failure(events):
        u_1, u_2, u_3 = (kl_upper(f, math.log(events / delta) / n) for f in frequencies)
        bound = np.minimum(u_2, u_3 + np.maximum(0, both - (1 - u_1)))
        return multinomial_law(counts, law)[bound < alone + both].sum()

    assert failure(1) > 1.28 * delta
    assert failure(3) < delta


def test_n_of_all_chunks_for_those_not_seen():
    """The examples of the first chunk shaped the prior and do not count again: 3 n for n."""

    def broken(previous, f_1, f_2, f_3, kl, n, delta):
        return best_gamma(previous, f_1, f_2, f_3, kl, 3 * n, delta)

    delta, n = 1e-6, 300
    world = lone_predictor(float(seeger_xi(0.0, 0.0, 3 * n, delta / 3)) + 1e-9)
    assert recursive_attack(broken, world, (1, n), (0.0, delta)).failure > 1000 * delta
    assert recursive_attack(best_gamma, world, (1, n), (0.0, delta)).survived


@pytest.mark.parametrize("swapped", [(1, 0, 2), (0, 2, 1)])
def test_swapped_frequencies(swapped):
    """Each frequency has its own weight: that of errors in the place of that of errors alone proves too little."""

    def broken(previous, *numbers):
        frequencies, rest = [numbers[place] for place in swapped], numbers[3:]
        return best_gamma(previous, *frequencies, *rest)

    world = coins([0.3, 0.8])
    attacks = [recursive_attack(broken, world, (2, n), (0.0, 0.3)) for n in (5, 12)]
    assert not all(found.survived for found in attacks)
    assert all(recursive_attack(best_gamma, world, (2, n), (0.0, 0.3)).survived for n in (5, 12))


def test_a_reference_without_its_risk():
    def broken(reference, f_0, f_1, kl, n, delta):
        return informed_excess(0.0 * reference, f_0, f_1, kl, n, delta)

    world = lone_predictor(0.99)
    found = excess_attack(broken, world, 300, 0.05, 0)
    assert found.failure > 0.9
    assert excess_attack(informed_excess, world, 300, 0.05, 0).survived


def test_a_reference_that_saw_the_sample():
    """It errs on the six examples, of a thousand, and so never differs from a predictor that always errs."""
    assert informed_excess(6 / 1000, 1.0, 0.0, 0.0, 6, 0.05) < 0.6
    assert Assumption.REFERENCE_INDEPENDENT_OF_SAMPLE in get("informed_excess").assumes


def test_a_prior_of_the_excess_that_saw_the_sample():
    def peeking(reference, f_0, f_1, kl, n, delta):
        return informed_excess(reference, f_0, f_1, 0 * kl, n, delta)

    assert excess_attack(peeking, memorisers(16), 1, 0.9, 0).failure == pytest.approx(1)
    assert excess_attack(informed_excess, memorisers(16), 1, 0.9, 0).survived


def test_priors_judged_by_the_halves_that_they_saw():
    """Right on two of six points, wherever the two examples fell: no divergence is left to pay."""
    rights = np.array([row for row in np.ndindex(*[2] * 6) if sum(row) == 2])
    world = FiniteWorld(np.full(6, 1 / 6), 1.0 - rights)

    def peeking(risk, kl_1, kl_2, n, delta):
        return forward_backward(risk, 0 * kl_1, 0 * kl_2, n, delta)

    assert halves_attack(peeking, world, 2, 0.9, 1.0).failure == pytest.approx(1)
    assert halves_attack(forward_backward, world, 2, 0.9, 1.0).survived


def test_halves_counted_twice():
    delta, n = 1e-6, 60

    def broken(risk, kl_1, kl_2, n, delta):
        return forward_backward(risk, kl_1, kl_2, 3 * n, delta)

    world = lone_predictor(float(broken(0.0, 0.0, 0.0, n, delta)) + 1e-9)
    assert halves_attack(broken, world, n, delta, 0.0).failure > 10 * delta
    assert halves_attack(forward_backward, world, n, delta, 0.0).survived


@pytest.mark.parametrize("name", ["recursive_step", "informed_excess", "forward_backward"])
def test_the_catalogue_attacks_them(name):
    found = attack(catalogue()[f"pac_bayes.{name}"], 0.2)
    assert all(one.survived for one in found)
    assert max(one.failure for one in found) > 0
    assert math.isclose(found[0].delta, 0.2)
