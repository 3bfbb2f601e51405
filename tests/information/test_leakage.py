import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.information import (
    esposito,
    issa,
    issa_average,
    private_information,
    private_leakage,
    xu_raginsky,
    xu_raginsky_tail,
)
from genbounds.numerics.discrete_information import maximal_leakage, mutual_information, sibson_information
from genbounds.theorems import get
from genbounds.worlds import Learning, attack, blurred, coins, erm, shattered_points, validate

NATS = st.one_of(st.just(0.0), st.floats(1e-200, 100.0))
SIZES = st.one_of(st.integers(1, 20), st.integers(1, 10**6))
DELTAS = st.one_of(st.floats(1e-12, 0.999), st.just(0.05))


@given(NATS, SIZES, DELTAS, st.floats(1.0001, 1e4))
def test_each_encloses_its_formula(nats, n, delta, alpha):
    with mpmath.workdps(40):
        by_leakage = mpmath.sqrt((mpf(nats) + mpmath.log(2 / mpf(delta))) / (2 * n))
        cost = mpf(alpha) / (mpf(alpha) - 1) * mpmath.log(1 / mpf(delta))
        by_order = mpmath.sqrt((mpf(nats) + mpmath.log(2) + cost) / (2 * n))
        average = mpmath.sqrt(mpf(nats) / (2 * n))
        for value, exact in (
            (issa(nats, n, delta), min(by_leakage, mpf(1))),
            (esposito(nats, n, delta, alpha), min(by_order, mpf(1))),
            (issa_average(nats, n, 0.5), average),
        ):
            assert exact <= mpf(float(value)) <= exact * (1 + mpf("1e-13")) + mpf("1e-300")


def test_by_hand():
    """A deterministic choice among K pays the union bound over K."""
    assert issa(math.log(8), 200, 0.1) == pytest.approx(math.sqrt(math.log(160) / 400), rel=1e-14)
    assert esposito(0.0, 200, math.exp(-2), 2.0) == pytest.approx(math.sqrt((math.log(2) + 4) / 400), rel=1e-14)


@given(NATS, SIZES, DELTAS)
def test_leakage_is_the_limit_of_the_orders(nats, n, delta):
    assert esposito(nats, n, delta, 1e14) == pytest.approx(float(issa(nats, n, delta)), rel=1e-11)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("alpha", [1.3, 2.0, 20.0])
def test_events_have_no_more_than_the_bounded_probability(n, alpha):
    """The inequality behind both, for the event of a large gap, with the largest probability of the event itself."""
    for world, rate in ((shattered_points(3), 0.2), (coins([0.3, 0.6]), 0.7)):
        learning = Learning(world, blurred(erm, rate), n)
        for eps in (0.1, 0.3, 0.45):
            events = np.abs(learning.output_gaps) >= eps
            chance = (learning.joint * events).sum()
            largest = (learning.weights @ events).max()
            order = np.exp((alpha - 1) / alpha * (learning.sibson(alpha) + np.log(largest)))
            assert chance <= min(order, np.exp(learning.leakage) * largest) * (1 + 1e-12)


def test_orders_between_information_and_leakage():
    learning = Learning(coins([0.3, 0.6]), blurred(erm, 0.3), 2)
    orders = [learning.sibson(alpha) for alpha in (1.000001, 1.5, 3.0, 30.0)]
    assert learning.mutual_information <= orders[0] * (1 + 1e-5)
    assert orders == sorted(orders)
    assert orders[-1] <= learning.leakage
    assert xu_raginsky(learning.mutual_information, 2, 0.5) <= issa_average(learning.leakage, 2, 0.5)


def test_what_small_delta_costs():
    """1 / delta times the information, or ln(1 / delta): one part in a million of a sure bound is worth leaking for."""
    assert issa(20.0, 10**6, 1e-6) < 0.005
    assert xu_raginsky_tail(1.0, 10**6, 1e-6) > 0.7


@pytest.mark.parametrize("name", ["issa", "esposito"])
def test_survives_algorithms_that_tell_and_a_part_of_it_does_not(name, broken):
    assert all(found.survived for delta in (0.05, 0.4) for found in attack(get(name), delta))
    assert not all(found.survived for found in attack(broken(name, 1 / math.sqrt(2)), 0.05))


@pytest.mark.parametrize(
    "changed",
    [
        {"leakage": lambda given: 0.0},
        {"n": lambda given: 2 * given["n"]},
        {"delta": lambda given: min(20 * given["delta"], 0.999)},
    ],
    ids=["leakage left out", "n doubled", "delta twentyfold"],
)
def test_forgotten_parts_are_caught(changed, broken):
    assert not all(found.survived for found in attack(broken("issa", **changed), 0.05))


def test_worlds_come_close_on_average():
    finding = validate(get("issa_average"))
    assert not finding.broken
    assert finding.ratio < math.sqrt(2)


def responses(epsilon, n):
    """Randomised response to n bits, as a channel from samples to answers."""
    truth = math.exp(epsilon) / (1 + math.exp(epsilon))
    single = np.array([[truth, 1 - truth], [1 - truth, truth]])
    channel = np.ones((1, 1))
    for _ in range(n):
        channel = np.kron(channel, single)
    return channel


@pytest.mark.parametrize("epsilon", [0.01, 0.5, 3.0])
@pytest.mark.parametrize("n", [1, 3])
def test_private_answers_tell_no_more(epsilon, n):
    channel = responses(epsilon, n)
    law = np.full(2**n, 2.0**-n)
    information = mutual_information(law[:, None] * channel)
    assert information <= private_information(epsilon, n)
    assert sibson_information(law, channel, 2.0) <= maximal_leakage(channel) <= private_leakage(epsilon, n)


@pytest.mark.parametrize("epsilon", [0.1, 0.8, 4.0])
def test_a_private_answer_attains_the_information(epsilon):
    """Two examples of unequal probability, answered with the largest and smallest density ratio that privacy allows."""
    smallest = -math.expm1(-epsilon) / epsilon  # 1 / D
    rare = (1 - smallest) / (smallest * math.expm1(epsilon))  # P(Z = 1), so that the ratio has mean 1
    # Many answers, each of which one of many examples makes more likely by exp(epsilon): in the limit, these two laws.
    ratio, law = smallest * np.array([1.0, math.exp(epsilon)]), np.array([1 - rare, rare])
    assert law @ ratio == pytest.approx(1.0)
    assert private_information(epsilon, 1) == pytest.approx(law @ (ratio * np.log(ratio)), rel=1e-12)


def test_no_private_channel_tells_more():
    generator = np.random.default_rng(0)
    epsilon, closest = 1.5, 0.0
    for _ in range(2000):
        examples, answers = generator.integers(2, 6, size=2)
        ratios = np.exp(epsilon * generator.integers(0, 2, (examples, answers)) * generator.random((1, answers)) ** 0.1)
        channel = ratios * generator.dirichlet(np.ones(answers))
        channel = channel / channel.sum(axis=1, keepdims=True)
        strength = np.log(channel.max(axis=0) / channel.min(axis=0)).max()
        law = generator.dirichlet(np.ones(examples))
        if strength > 0:
            told = mutual_information(law[:, None] * channel)
            closest = max(closest, told / private_information(strength, 1))
            assert told <= private_information(strength, 1)
    assert closest > 0.7  # half of the bound would be noticed


@given(st.floats(0.0, 30.0), st.integers(1, 10**6))
def test_what_privacy_gives(epsilon, n):
    assert private_information(epsilon, n) <= n * epsilon * min(1.0, epsilon / 8) * (1 + 1e-12) + 1e-300
    with mpmath.workdps(60):
        ratio = mpf(epsilon) / -mpmath.expm1(-mpf(epsilon)) if epsilon else mpf(1)
        exact = n * (ratio - 1 - mpmath.log(ratio) if epsilon > 1e-12 else mpf(epsilon) ** 2 / 8 * (1 - mpf("1e-20")))
        assert exact <= mpf(float(private_information(epsilon, n))) <= exact * (1 + mpf("3e-13")) + mpf("1e-300")
    assert private_leakage(epsilon, n) >= n * epsilon
    assert private_information(np.inf, n) == private_leakage(np.inf, n) == np.inf


def test_what_privacy_gives_at_the_ends_of_the_floats():
    with mpmath.workdps(40):
        assert mpf(10) ** 15 * mpf(3e-162) ** 2 / 8 <= mpf(float(private_information(3e-162, 10**15))) < 2e-309
    assert private_information(1e308, 100) == private_leakage(1e308, 100) == np.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: issa(-1.0, 10, 0.1), "leakage must be non-negative"),
        (lambda: issa(1.0, 10, 0.0), "delta must be strictly between 0 and 1"),
        (lambda: esposito(1.0, 10, 0.1, 1.0), "alpha must be strictly between 1 and inf, got 1.0"),
        (lambda: esposito(math.nan, 10, 0.1, 2.0), "sibson must be a number"),
        (lambda: issa_average(1.0, 10, 0.0), "sigma must be positive and finite"),
        (lambda: private_leakage(-0.1, 10), "epsilon must be non-negative"),
        (lambda: private_information(0.1, 0), "n must be a whole number"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_shapes():
    assert esposito(np.zeros((3, 1)), 10, 0.05, np.array([1.5, 2.0])).shape == (3, 2)
    assert issa(np.array([0.0, np.inf]), 10, 0.05)[1] == 1.0
