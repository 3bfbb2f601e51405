import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

from genbounds.certificates.balls import is_above
from genbounds.information import almost_exchangeable
from genbounds.numerics import kl_upper, log_two_sqrt, xi
from genbounds.theorems import get
from genbounds.worlds import attack
from genbounds.worlds.attacks.supersamples import guessed_masks, mask_attack

RISKS = st.floats(0, 1) | st.sampled_from([0.0, 1e-9, 1.0])


def matched(a, b):
    return sum(x * mpmath.log(2 * x / (a + b)) for x in (a, b) if x > 0)


@settings(max_examples=60)
@given(RISKS, st.floats(0, 1e3) | st.just(0.0), st.integers(1, 200), st.floats(1e-6, 0.99))
def test_encloses_the_formula(risk, kl, n, delta):
    value = float(almost_exchangeable(risk, kl, n, delta))
    assert risk <= value <= 1
    with mpmath.workdps(40):
        moment = mpmath.fsum(
            mpmath.binomial(n, k) * (mpf(k) / n) ** k * (1 - mpf(k) / n) ** (n - k) for k in range(n + 1)
        )
        budget = (mpf(kl) + mpmath.log(moment / mpf(delta))) / n
        told = max(matched(mpf(risk), mpf(value)), matched(1 - mpf(risk), 1 - mpf(value)))
        assert value == 1 or budget <= told <= budget * (1 + mpf("1e-9"))


def test_by_hand():
    """xi(2) = 5/2. Without training errors (kl + ln(2.5 / delta)) / (2 ln 2)."""
    assert almost_exchangeable(0.0, 0.0, 2, 0.9) == pytest.approx(math.log(2.5 / 0.9) / (2 * math.log(2)), rel=1e-12)
    assert almost_exchangeable(0.0, 0.0, 1, 0.9) == 1.0  # ln(2 / 0.9) > ln 2
    assert float(xi(2)) == pytest.approx(2.5, rel=1e-14)


@given(RISKS, st.floats(0, 100), st.integers(1, 2000), st.floats(1e-3, 0.9))
def test_below_the_published_form(risk, kl, n, delta):
    """kl(a || (a + b) / 2) <= (KL + ln(2 sqrt n / delta)) / n."""
    budget = (kl + log_two_sqrt(n) - math.log(delta)) / n
    published = min(1.0, 2 * float(kl_upper(risk, budget)) - risk)
    assert almost_exchangeable(risk, kl, n, delta) <= published * (1 + 1e-12)


def test_the_moment_by_plain_loops():
    """E exp(n D) over all masks: at most xi(n), with equality for one error in each pair."""
    rng = np.random.default_rng(0)

    def divergence(a, b):
        def told(a, b):
            return sum(x * math.log(2 * x / (a + b)) for x in (a, b) if x > 0)

        return max(told(a, b), told(1 - a, 1 - b))

    for n in (1, 2, 4):
        tables = [
            np.stack([np.zeros(n), np.ones(n)], axis=1),
            *rng.random((20, n, 2)),
            *rng.integers(2, size=(20, n, 2)),
        ]
        moments = []
        for table in tables:
            total = 0.0
            for mask in itertools.product((0, 1), repeat=n):
                train = sum(table[i][u] for i, u in enumerate(mask)) / n
                ghost = sum(table[i][1 - u] for i, u in enumerate(mask)) / n
                total += math.exp(n * divergence(float(train), float(ghost)))
            moments.append(total / 2**n)
        assert moments[0] == pytest.approx(float(xi(n)), rel=1e-12)
        assert max(moments) <= float(xi(n)) * (1 + 1e-12)


@pytest.mark.parametrize("delta", [0.02, 0.05, 0.3, 0.9])
def test_no_world_refutes_it(delta):
    assert all(found.survived for found in attack(get("almost_exchangeable"), delta))


def test_the_adversary_comes_close():
    """All masks of a small prior are fooled: failure delta / xi(n), up to the grid of 2^-n."""
    delta, n = 0.9, 4
    found = mask_attack(almost_exchangeable, guessed_masks(n, 4), np.full(4, 0.25), delta, "four guesses")
    assert delta / 2 / float(xi(n)) < found.failure <= delta


BROKEN = {
    "twice the pairs": lambda risk, kl, n, delta: almost_exchangeable(risk, kl, 2 * n, delta),
    "no divergence": lambda risk, kl, n, delta: almost_exchangeable(risk, 0 * kl, n, delta),
    "half the divergence": lambda risk, kl, n, delta: almost_exchangeable(risk, kl / 2, n, delta),
    "ten times delta": lambda risk, kl, n, delta: almost_exchangeable(risk, kl, n, min(10 * delta, 0.999)),
    "ghosts for the average": lambda risk, kl, n, delta: (almost_exchangeable(risk, kl, n, delta) + risk) / 2,
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_variants_are_caught(name):
    found = []
    for n, delta in ((4, 0.05), (6, 0.05), (6, 0.3), (7, 0.4)):
        for number in (1, 2, 4, 8, 16, 2**n):
            if number <= 2**n:
                prior = np.full(number, 1 / number)
                found.append(mask_attack(BROKEN[name], guessed_masks(n, number), prior, delta, name))
    assert not all(each.survived for each in found)


def test_an_average_divergence_is_no_substitute():
    """A learner that knows one mask in four and else draws from the prior: its information does not cover those."""
    n, number, delta = 8, 64, 0.05
    chance = number / 2**n
    information = chance * math.log(number)
    assert almost_exchangeable(0.0, information, n, delta) < 1  # below the ghost risk, with probability 1/4
    assert chance > delta
    assert almost_exchangeable(0.0, math.log(number), n, delta) == 1.0


@settings(max_examples=40)
@given(RISKS, st.floats(0, 50), st.integers(1, 1000), st.floats(1e-3, 0.9), st.floats(1, 3))
def test_monotone(risk, kl, n, delta, factor):
    value = almost_exchangeable(risk, kl, n, delta)
    assert almost_exchangeable(risk, factor * kl, n, delta) >= value - 1e-12
    assert almost_exchangeable(risk, kl, n, delta / factor) >= value - 1e-12
    assert almost_exchangeable(min(1.0, factor * risk), kl, n, delta) >= value - 1e-12


def test_ends_and_twin():
    assert almost_exchangeable(0.0, np.inf, 10, 0.05) == almost_exchangeable(0.0, 1e308, 1, 0.05) == 1.0
    assert almost_exchangeable([[0.0], [0.1]], [0.0, 1.0, 2.0], 100, 0.05).shape == (2, 3)
    numbers = {"train_risk": 0.0, "supersample_kl": 0.0, "n": 2, "delta": 0.9}
    exact = math.log(2.5 / 0.9) / (2 * math.log(2))
    assert is_above("information.almost_exchangeable", numbers, exact * (1 + 1e-13))
    assert is_above("information.almost_exchangeable", numbers, exact * (1 - 1e-13)) is False
    assert is_above("information.almost_exchangeable", numbers | {"train_risk": 0.8}, 0.7) is False


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train_risk": 1.1}, "train_risk must be in"),
        ({"supersample_kl": -1.0}, "supersample_kl must be non-negative"),
        ({"n": 0}, "n must be a whole number"),
        ({"delta": 1.0}, "delta must be strictly between"),
    ],
)
def test_bad_numbers_are_refused(change, words):
    numbers = {"train_risk": 0.1, "supersample_kl": 1.0, "n": 10, "delta": 0.05} | change
    with pytest.raises(ValueError, match=words):
        almost_exchangeable(**numbers)
