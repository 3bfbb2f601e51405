import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf
from scipy.special import lambertw

from genbounds.information import (
    bu_zou_veeravalli,
    issa_average,
    xu_raginsky,
    xu_raginsky_cgf,
    xu_raginsky_square,
    xu_raginsky_tail,
)
from genbounds.theorems import get
from genbounds.worlds import WORLDS, GaussianMean, LabelCopier, attack, validate

NATS = st.one_of(st.just(0.0), st.floats(1e-12, 1e-3), st.floats(0.0, 50.0))
SIZES = st.one_of(st.integers(1, 20), st.integers(1, 10**6))
DELTAS = st.one_of(st.floats(1e-9, 0.999), st.just(0.05))


def encloses(value, exact, relative="1e-12"):
    """Whether a bound is at least the exact number, and hardly more."""
    return exact <= mpf(float(value)) <= exact * (1 + mpf(relative)) + mpf("1e-300")


@given(NATS, SIZES, st.floats(1e-6, 1e6))
def test_xu_raginsky_encloses_the_formula(information, n, sigma):
    with mpmath.workdps(40):
        exact = mpmath.sqrt(2 * mpf(sigma) ** 2 * mpf(information) / n)
        assert encloses(xu_raginsky(information, n, sigma), exact)


@pytest.mark.parametrize("bound", [xu_raginsky, issa_average])
@pytest.mark.parametrize(("information", "n"), [(5e-324, 10**6), (1.5e-310, 1000), (1e-300, 2**53 - 1)])
def test_no_information_is_too_small_for_its_root(bound, information, n):
    """The quotient under the root may be below all floats where the root is an ordinary number."""
    with mpmath.workdps(40):
        assert encloses(mpf(float(bound(information, n, 1e200))), mpf("1e200") * mpmath.sqrt(2 * mpf(information) / n))


@given(NATS, SIZES)
@settings(deadline=None)
def test_the_mean_square_encloses_the_lambert_function(information, n):
    """u - 1 - ln u = 2 I has the solution u = -W(-exp(-1 - 2 I)) on the lower branch."""
    with mpmath.workdps(60):
        u = -mpmath.lambertw(-mpmath.exp(-1 - 2 * mpf(information)), -1).real
        assert encloses(xu_raginsky_square(information, n), min(u / (4 * n), mpf(1)), "1e-11")


@given(NATS, st.floats(0.01, 0.99))
def test_the_mean_square_is_the_least_over_all_weights(information, t):
    """At each t the change of measure gives a bound; t = 1/2 is the simple one."""
    n = 100
    any_weight = (information - math.log1p(-t) / 2) / (2 * n * t)
    assert xu_raginsky_square(information, n) <= any_weight * (1 + 1e-12)
    assert xu_raginsky_square(information, n) <= (information + math.log(2) / 2) / n * (1 + 1e-12)


def test_the_mean_square_by_hand():
    assert xu_raginsky_square(0.0, 9) == pytest.approx(1 / 36, rel=1e-14)
    assert xu_raginsky_square((4 - 1 - math.log(4)) / 2, 50) == pytest.approx(4 / 200, rel=1e-14)
    assert xu_raginsky_square(1e6, 3) == xu_raginsky_square(1e308, 3) == xu_raginsky_square(np.inf, 3) == 1.0
    scipy = -lambertw(-np.exp(-1 - 2 * 0.7), -1).real / 40
    assert xu_raginsky_square(0.7, 10) == pytest.approx(scipy, rel=1e-13)


@given(NATS, SIZES, DELTAS)
@settings(deadline=None)
def test_the_tail_encloses_the_inverse(information, n, delta):
    """kl(delta || 2 exp(-2 n eps^2)) is at least I at the value, and below it at a smaller one."""

    def divergence(eps):
        q, d = 2 * mpmath.exp(-2 * n * eps**2), mpf(delta)
        if q >= d:
            return mpf(0)
        return d * mpmath.log(d / q) + (1 - d) * mpmath.log((1 - d) / (1 - q))

    value = xu_raginsky_tail(information, n, delta)
    with mpmath.workdps(60):
        if value < 1:
            assert divergence(mpf(float(value))) >= information
            smaller = divergence(mpf(float(value)) * (1 - mpf("1e-10")))
            assert smaller < information or (smaller == 0 == information)
        else:
            assert divergence(mpf(1 - 1e-9)) < information or 2 * mpmath.exp(-2 * n * mpf(1 - 1e-9) ** 2) >= delta


def test_the_tail_where_q_is_no_float():
    """ln(1 / q) = 2e5, exactly (I + h(delta)) / delta as q is 0 to 80000 digits."""
    delta, information, n = 0.05, 1e4, 10**7
    entropy = -delta * math.log(delta) - (1 - delta) * math.log(1 - delta)
    exact = math.sqrt((math.log(2) + (information + entropy) / delta) / (2 * n))
    assert xu_raginsky_tail(information, n, delta) == pytest.approx(exact, rel=1e-13)


@given(st.floats(0.0, 20.0), st.integers(1, 10**6), st.floats(1e-4, 0.5))
def test_the_tail_improves_the_published_one(information, n, delta):
    published = math.sqrt(2 / n * (information / delta + math.log(2 / delta)))
    assert xu_raginsky_tail(information, n, delta) <= published * (1 + 1e-12)
    hoeffding = math.sqrt(math.log(2 / delta) / (2 * n))
    assert xu_raginsky_tail(information, n, delta) >= min(hoeffding, 1.0) * (1 - 1e-12)
    assert xu_raginsky_tail(0.0, n, delta) == pytest.approx(min(hoeffding, 1.0), rel=1e-12)


def test_the_tail_by_hand():
    """An event of probability 0.01 under independence and 0.2 under the joint law takes kl(0.2 || 0.01) nats."""
    information = 0.2 * math.log(0.2 / 0.01) + 0.8 * math.log(0.8 / 0.99)
    assert xu_raginsky_tail(information, 50, 0.2) == pytest.approx(math.sqrt(math.log(2 / 0.01) / 100), rel=1e-12)


@given(NATS, SIZES, st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8))
def test_cumulants_are_at_their_best_the_sub_gaussian_bound(information, n, rates):
    sigma = 0.7
    rates = np.array(rates)
    listed = xu_raginsky_cgf(information, n, rates, rates**2 * sigma**2 / 2)
    assert listed >= xu_raginsky(information, n, sigma) * (1 - 1e-12)
    if information > 0:
        best = np.array([math.sqrt(2 * information / n) / sigma])
        least = xu_raginsky_cgf(information, n, best, best**2 * sigma**2 / 2)
        assert least == pytest.approx(float(xu_raginsky(information, n, sigma)), rel=1e-12)


@given(NATS, SIZES)
def test_cumulants_enclose_the_formula(information, n):
    rates, cgf = np.array([0.3, 2.0, 7.0]), np.array([0.01, 0.5, 3.0])
    with mpmath.workdps(40):
        exact = min((mpf(information) / n + mpf(c)) / mpf(r) for r, c in zip(rates, cgf, strict=True))
        assert encloses(xu_raginsky_cgf(information, n, rates, cgf), exact)


@pytest.mark.parametrize("n", [1, 7, 1000])
@pytest.mark.parametrize("reliability", [0.05, 0.6, 0.99])
def test_cumulants_are_exact_for_copied_labels(n, reliability):
    """The information is divided by n and the cumulants are those of one loss: anything else would miss the gap."""
    world = LabelCopier(n, reliability)
    rates = np.array([2 * math.atanh(reliability)])
    exact = xu_raginsky_cgf(world.mutual_information, n, rates, world.loss_cgf(rates))
    assert exact == pytest.approx(world.gap, rel=1e-12)


def test_the_reference_values():
    """The mean of Gaussian examples has infinite I(S;W); a nearly tight bit; a bit told for certain."""
    assert xu_raginsky(GaussianMean(1, 10, 1.0).mutual_information, 10, 1.0) == np.inf
    assert xu_raginsky(0.5, 100, 0.5) == pytest.approx(math.sqrt(0.5 / 200), rel=1e-14)
    e = 0.05
    information = (1 + e) / 2 * math.log(1 + e) + (1 - e) / 2 * math.log(1 - e)
    assert xu_raginsky(information, 1, 0.5) / (e / 2) == pytest.approx(1.0002, abs=1e-4)
    assert xu_raginsky(math.log(2), 1, 0.5) / 0.5 == pytest.approx(1.1774, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "ratio"), [("xu_raginsky", 1.01), ("xu_raginsky_cgf", 1.0001), ("xu_raginsky_square", 1.0001)]
)
def test_worlds_come_close_and_none_refutes(name, ratio):
    finding = validate(get(name))
    assert not finding.broken
    assert finding.worlds > 20
    assert 1 - 1e-12 < finding.ratio < ratio


@pytest.mark.parametrize("part", [0.5, 1 / math.sqrt(2)])
@pytest.mark.parametrize("name", ["xu_raginsky", "xu_raginsky_cgf", "xu_raginsky_square"])
def test_wrong_constants_are_caught(name, part, broken):
    assert not all(found.survived for found in attack(broken(name, part), 0.05))


def test_information_per_example_is_what_the_square_root_takes():
    """Dividing by n twice, or n squared, is caught by copied labels."""
    world = LabelCopier(1000, 0.5)
    assert xu_raginsky(world.mutual_information / 1000, 1000, 0.5) < world.gap
    assert xu_raginsky(world.mutual_information, 1000, 0.5) >= world.gap


def test_tails_survive_algorithms_that_tell_and_half_of_them_does_not(broken):
    theorem = get("xu_raginsky_tail")
    for delta in (0.05, 0.4):
        assert all(found.survived for found in attack(theorem, delta))
        for part in (0.5, 1 / math.sqrt(2.5)):
            assert not all(found.survived for found in attack(broken("xu_raginsky_tail", part), delta))


def test_markov_in_place_of_data_processing_is_no_shortcut():
    """ln(1 / delta) in place of I / delta: an algorithm with little information that tells when it hurts."""
    worlds = WORLDS["mutual_information", "n", "delta"]

    def wishful(information, n, delta):
        return np.minimum(np.sqrt((information + np.log(2 / delta)) / (2 * n)), 1.0)

    assert not all(found.survived for found in worlds(wishful, 0.05))


@given(NATS, SIZES, DELTAS, st.floats(0.0, 5.0))
def test_monotone(information, n, delta, more):
    up = 1 + 1e-12
    assert xu_raginsky_square(information + more, n) * up >= xu_raginsky_square(information, n)
    assert xu_raginsky_square(information, n + 1) <= xu_raginsky_square(information, n) * up
    assert xu_raginsky_tail(information + more, n, delta) * up >= xu_raginsky_tail(information, n, delta)
    assert xu_raginsky_tail(information, n + 1, delta) <= xu_raginsky_tail(information, n, delta) * up
    assert xu_raginsky_tail(information, n, delta / 2) * up >= xu_raginsky_tail(information, n, delta)
    assert xu_raginsky(information + more, n, 0.5) * up >= xu_raginsky(information, n, 0.5)


def test_shapes_and_ends():
    table = xu_raginsky_square(np.array([[0.0], [1.0]]), np.array([1, 10, 100]))
    assert table.shape == (2, 3)
    assert table[1, 2] == xu_raginsky_square(1.0, 100)
    assert xu_raginsky_tail(np.array([0.0, np.inf]), 10, 0.05).tolist()[1] == 1.0
    assert xu_raginsky_cgf(np.zeros((4, 2)), 3, [1.0], [0.5]).shape == (4, 2)
    assert xu_raginsky(np.inf, 10, 0.5) == np.inf
    assert bu_zou_veeravalli(np.zeros((2, 5)), 0.5).shape == (2,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: xu_raginsky(-0.1, 10, 0.5), "mutual_information must be non-negative, got -0.1. Pass I"),
        (lambda: xu_raginsky(0.1, 0, 0.5), "n must be a whole number of at least 1"),
        (lambda: xu_raginsky(0.1, 10, 0.0), "sigma must be positive and finite, got 0.0"),
        (lambda: xu_raginsky_tail(0.1, 10, 1.0), "delta must be strictly between 0 and 1"),
        (lambda: xu_raginsky_square(math.nan, 10), "mutual_information must be a number, got nan"),
        (lambda: xu_raginsky_cgf(0.1, 10, [1.0, 2.0], [0.5]), r"rates must be a list with one value of cgf each, got"),
        (lambda: xu_raginsky_cgf(0.1, 10, [], []), "rates must be a list with one value of cgf each"),
        (lambda: xu_raginsky_cgf(0.1, 10, [0.0], [0.5]), "rates must be positive and finite"),
        (lambda: xu_raginsky_cgf(0.1, 10, [1.0], [-0.5]), "cgf must be non-negative, got -0.5. A centred"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
