import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf
from scipy.integrate import quad
from scipy.optimize import brentq

from genbounds.numerics import binary_kl, log_kt
from genbounds.pac_bayes import (
    coin_betting,
    coin_betting_kl,
    maurer,
    seeger_xi,
    split_kl_discrete,
    time_uniform_hoeffding,
    unexpected_bernstein,
)
from genbounds.worlds.strategies import gibbs_inputs


@st.composite
def levelled(draw, low=0, high=20):
    """Return a strategy for frequencies that do not increase, and levels from 0 to at most 1, on a grid of 1/20."""
    inner = draw(st.sets(st.integers(low + 1, high - 1), max_size=4))
    levels = [level / 20 for level in sorted({low, high, *inner})]
    count = len(levels) - 1
    shares = draw(st.lists(st.floats(0, 1) | st.sampled_from([0.0, 1.0]), min_size=count, max_size=count))
    x = {name: value for name, value in draw(gibbs_inputs()).items() if name != "risk"}
    return x | {"frequencies": sorted(shares, reverse=True), "levels": levels}


def mean_of(x):
    return min(1.0, float(np.dot(np.diff(x["levels"]), x["frequencies"])))


# The relaxation to the kl divergence.


@given(gibbs_inputs())
def test_coin_betting_kl_encloses_the_formula(oracle, x):
    with oracle.precision():
        n = mpf(x["n"])
        kt = mpmath.sqrt(mpmath.pi) * mpmath.exp(mpmath.loggamma(n + 1) - mpmath.loggamma(n + mpf(1) / 2))
        assert oracle.kl_upper_encloses(
            coin_betting_kl(**x), x["risk"], oracle.complexity(x["kl"], x["n"], x["delta"], kt)
        )


@given(gibbs_inputs())
def test_all_n_at_once_costs_less_than_the_constant_of_maurer(x):
    ours = coin_betting_kl(**x)
    assert seeger_xi(**x) <= ours * (1 + 1e-12) + 1e-15
    assert ours <= maurer(**x) * (1 + 1e-12) + 1e-15


def test_the_price_of_all_n_is_at_most_half_of_ln_2():
    for n in (1, 10, 10**3, 10**6):
        low, high = seeger_xi(0.1, 0.1 * n, n, 0.05), coin_betting_kl(0.1, 0.1 * n, n, 0.05)
        assert n * (binary_kl(0.1, high) - binary_kl(0.1, low)) <= math.log(2) / 2 + 1e-9


# The supermartingale: what the proof says of it.


def log_mixture(losses, risk):
    """ln of the mean over b ~ Beta(1/2, 1/2) of prod (x b / R + (1 - x) (1 - b) / (1 - R))."""

    def density(angle):  # b = sin^2(angle): the Beta(1/2, 1/2) law is the uniform one of the angle
        b = math.sin(angle) ** 2
        return np.prod(losses * b / risk + (1 - losses) * (1 - b) / (1 - risk))

    return math.log(quad(density, 0, math.pi / 2, epsabs=0, epsrel=1e-10)[0] / (math.pi / 2))


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.02, 0.98), st.floats(0.001, 0.999))
def test_the_mixture_loses_at_most_kt_against_any_bet(losses, risk, bet):
    losses = np.array(losses)
    wealth = np.log((1 - bet * losses) / (1 - bet * risk)).sum()
    assert log_mixture(losses, risk) >= wealth - log_kt(len(losses)) - 1e-8


def test_the_mixture_has_mean_1():
    """Coins of bias p, five tosses: E of the mixture is the sum over all numbers of heads."""
    n, p = 5, 0.3
    mean = 0.0
    for k in range(n + 1):
        tosses = np.r_[np.ones(k), np.zeros(n - k)]
        mean += math.comb(n, k) * p**k * (1 - p) ** (n - k) * math.exp(log_mixture(tosses, p))
    assert mean == pytest.approx(1, rel=1e-9)


# The full form.


def best_bet(x):
    """inf over g of (1 - exp(-A(g) - c)) / g, on a fine grid and then by ternary search, with SciPy's float64."""
    levels, frequencies = np.array(x["levels"]), np.array(x["frequencies"])
    kt = math.log(math.pi) / 2 + math.lgamma(x["n"] + 1) - math.lgamma(x["n"] + 0.5)
    c = (x["kl"] + kt - math.log(x["delta"])) / x["n"]
    shares = np.r_[1, frequencies] - np.r_[frequencies, 0]

    def value(log_bet):
        g = -math.expm1(-math.exp(log_bet))
        return -math.expm1(np.dot(shares, np.log1p(-g * levels)) - c) / g

    places = np.linspace(-27, math.log(36), 400)
    place = places[np.argmin([value(place) for place in places])]
    low, high = place - 0.1, min(place + 0.1, math.log(36))
    for _ in range(60):
        third = (high - low) / 3
        low, high = (low + third, high) if value(low + third) > value(high - third) else (low, high - third)
    return min(1.0, value((low + high) / 2))


@given(levelled().filter(lambda x: x["n"] <= 10**6))
def test_coin_betting_is_the_best_bet(x):
    expected = best_bet(x)
    assert coin_betting(**x) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@given(levelled().filter(lambda x: x["n"] <= 10**6), st.floats(0.001, 0.999))
def test_no_bet_gives_less(oracle, x, bet):
    """Every g gives a bound; the one returned is no larger."""
    with oracle.precision():
        c = (mpf(x["kl"]) - mpmath.log(mpf(x["delta"]))) / x["n"]
        c += (mpmath.log(mpmath.pi) / 2 + mpmath.loggamma(x["n"] + 1) - mpmath.loggamma(x["n"] + mpf("0.5"))) / x["n"]
        tails = [mpf(1), *map(mpf, x["frequencies"]), mpf(0)]
        shares = [high - low for high, low in pairwise(tails)]
        points = [mpf(round(20 * level)) / 20 for level in x["levels"]]
        logs = sum(share * mpmath.log(1 - mpf(bet) * point) for share, point in zip(shares, points, strict=True))
        assert coin_betting(**x) <= -mpmath.expm1(logs - c) / mpf(bet) * (1 + mpf("1e-11")) + mpf("1e-15")


@given(gibbs_inputs())
def test_two_levels_are_the_kl_form(x):
    ours = coin_betting([x["risk"]], [0, 1], x["kl"], x["n"], x["delta"])
    np.testing.assert_allclose(ours, coin_betting_kl(**x), rtol=1e-9, atol=1e-14)


@given(levelled())
def test_never_above_the_kl_form_at_the_same_mean(x):
    rest = (x["kl"], x["n"], x["delta"])
    assert coin_betting(**x) <= coin_betting_kl(mean_of(x), *rest) * (1 + 1e-9) + 1e-12


@given(levelled(), st.floats(0.01, 0.99))
def test_below_unexpected_bernstein_at_every_gamma_that_pays_the_constant(x, gamma):
    """In place of a grid: all gamma at once."""
    levels = np.array(x["levels"])
    second = min(1.0, float(np.dot(np.diff(levels**2), x["frequencies"])))
    paid = x["kl"] + float(log_kt(x["n"]))
    other = unexpected_bernstein(mean_of(x), second, paid, x["n"], x["delta"], gamma)
    assert coin_betting(**x) <= other * (1 + 1e-9) + 1e-12


@given(levelled(), st.integers(-5, 5), st.sampled_from([0.5, 2.0, 8.0]))
def test_affine_equivariance(x, shift, scale):
    moved = x | {"levels": [shift + scale * level for level in x["levels"]]}
    np.testing.assert_allclose(coin_betting(**moved), shift + scale * coin_betting(**x), rtol=0, atol=1e-9 * scale)


@given(levelled())
def test_a_level_that_never_occurs_costs_nothing(x):
    finer = x | {"levels": [0.0, 0.025, *x["levels"][1:]], "frequencies": [x["frequencies"][0], *x["frequencies"]]}
    np.testing.assert_allclose(coin_betting(**finer), coin_betting(**x), rtol=1e-9, atol=1e-12)


def test_limits_that_increase_are_lowered():
    assert coin_betting([0.3, 0.5], [0, 0.5, 1], 1.0, 100, 0.05) == coin_betting(
        [0.3, 0.3], [0, 0.5, 1], 1.0, 100, 0.05
    )


def test_against_split_kl_on_many_levels():
    """A loss spread evenly over ten levels: one bet on all of it against ten bounds at a tenth of delta."""
    levels, frequencies = np.linspace(0, 1, 11), np.linspace(0.95, 0.05, 10) ** 2
    for n in (1000, 60_000):
        ours = coin_betting(frequencies, levels, 0.02 * n, n, 0.05)
        split = split_kl_discrete(frequencies, levels, 0.02 * n, n, 0.05)
        mean = np.dot(np.diff(levels), frequencies)
        assert ours - mean < 0.7 * (split - mean)


def log_wealth(losses, risk):
    """The largest log-wealth of one who bets "below risk" on these losses."""
    bets = -np.expm1(-np.exp(np.linspace(-12, 3.5, 4000)))[:, None]
    return np.log((1 - bets * losses) / (1 - bets * risk)).sum(axis=1).max()


def test_for_one_predictor_it_is_the_theorem_itself():
    """sup{R : the best bet earns at most n c}, solved for R."""
    losses = np.array([0.1, 0.1, 0.4, 0.0, 0.9, 0.1, 0.4, 0.4])
    levels = [0.0, 0.1, 0.4, 0.9, 1.0]
    frequencies = [(losses > level).mean() for level in levels[:-1]]
    budget = 2.0 + float(log_kt(8)) - math.log(0.3)
    exact = brentq(lambda risk: log_wealth(losses, risk) - budget, losses.mean() + 1e-9, 1 - 1e-9)
    assert coin_betting(frequencies, levels, 2.0, 8, 0.3) == pytest.approx(exact, rel=1e-5)


def test_for_two_predictors_it_is_never_below_the_papers_supremum():
    """Half each of a good and a bad predictor: the paper's gambler bets differently against them, ours does not."""
    first, second = np.repeat([0.0, 0.5], [9, 1]), np.repeat([0.5, 1.0], [5, 5])
    levels, n = [0.0, 0.5, 1.0], 10
    frequencies = [((first > level).mean() + (second > level).mean()) / 2 for level in levels[:-1]]
    budget = 1.0 + float(log_kt(n)) - math.log(0.2)
    ours = coin_betting(frequencies, levels, 1.0, n, 0.2)
    best = 0.0
    for risk in np.linspace(first.mean(), 0.95, 150):
        left = 2 * budget - log_wealth(first, risk)
        if left > 0 and log_wealth(second, 1 - 1e-9) > left:
            other = brentq(lambda r, left=left: log_wealth(second, r) - left, second.mean() + 1e-9, 1 - 1e-9)
            best = max(best, (risk + other) / 2)
    assert 0 < best <= ours <= best + 0.1


# Hoeffding's form.


@given(gibbs_inputs(), st.floats(1e-3, 1e3), st.floats(1, 10))
def test_time_uniform_hoeffding_encloses_the_formula(oracle, x, total, spread):
    squares = total * total / x["n"] * spread
    with oracle.precision():
        complexity = mpf(x["kl"]) - mpmath.log(mpf(x["delta"])) + mpf(squares) / 8
        truth = mpf(x["risk"]) + complexity / mpf(total)
        assert oracle.encloses(time_uniform_hoeffding(**x, weight_sum=total, weight_squares=squares), truth)


def test_the_best_equal_weights():
    """sqrt(8 B / n) gives r + sqrt(B / (2n)), Hoeffding's bound for one n."""
    n, budget = 1000, 5.0 - math.log(0.05)
    weight = math.sqrt(8 * budget / n)
    bounds = [time_uniform_hoeffding(0.2, 5.0, n, 0.05, w * n, w * w * n) for w in (weight / 2, weight, 2 * weight)]
    assert min(bounds) == bounds[1] == pytest.approx(0.2 + math.sqrt(budget / (2 * n)))


def test_falling_weights_approach_the_risk():
    excess = []
    for n in (10**2, 10**4, 10**6):
        i = np.arange(1, n + 1)
        weights = np.sqrt(8 * 3.0 / (i * np.log(i + 1)))
        excess.append(time_uniform_hoeffding(0.1, 0.0, n, 0.05, weights.sum(), (weights**2).sum()) - 0.1)
    assert excess[0] > 5 * excess[1] > 25 * excess[2]


# All three.

BOUNDS = {
    "coin_betting_kl": (coin_betting_kl, {"risk": 0.1, "kl": 3.0, "n": 100, "delta": 0.05}),
    "coin_betting": (
        coin_betting,
        {"frequencies": [0.5, 0.1], "levels": [0, 0.5, 1], "kl": 3.0, "n": 100, "delta": 0.05},
    ),
    "time_uniform_hoeffding": (
        time_uniform_hoeffding,
        {"risk": 0.1, "kl": 3.0, "n": 100, "delta": 0.05, "weight_sum": 50.0, "weight_squares": 30.0},
    ),
}
every_bound = pytest.mark.parametrize(("bound", "good"), BOUNDS.values(), ids=BOUNDS)


@every_bound
def test_limits_and_monotonicity(bound, good):
    assert bound(**good | {"kl": np.inf}) == 1.0
    assert bound(**good | {"kl": np.finfo(float).max}) == 1.0
    values = [bound(**good | {"kl": kl}) for kl in (0.0, 1.0, 10.0)]
    assert values == sorted(values)
    assert values[0] < values[1] < values[2]
    values = [bound(**good | {"delta": delta}) for delta in (1e-9, 0.01, 0.9)]
    assert values == sorted(values, reverse=True)


@every_bound
def test_scalars_give_scalars_and_arrays_broadcast(bound, good):
    assert isinstance(bound(**good), float)
    table = bound(**good | {"n": np.array([[100], [2000]]), "kl": np.array([0.0, 1.0, 5.0])})
    assert table.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        assert table[i, j] == bound(**good | {"n": [100, 2000][i], "kl": [0.0, 1.0, 5.0][j]})


@pytest.mark.parametrize(
    ("bound", "change", "message"),
    [
        ("coin_betting_kl", {"risk": 1.1}, r"risk must be in \[0, 1\]"),
        ("coin_betting_kl", {"kl": -1.0}, "kl must be non-negative"),
        ("coin_betting_kl", {"n": 0}, "n must be a whole number"),
        ("coin_betting_kl", {"delta": 0.0}, "delta must be strictly between 0 and 1"),
        ("coin_betting", {"frequencies": [0.5]}, "frequencies must have 2 entries along the last axis"),
        ("coin_betting", {"frequencies": [0.5, -0.1]}, r"frequencies must be in \[0, 1\]"),
        ("coin_betting", {"levels": [0, 2, 1]}, "levels must be at least two finite numbers in increasing order"),
        ("time_uniform_hoeffding", {"weight_sum": 0.0}, "weight_sum must be positive and finite"),
        ("time_uniform_hoeffding", {"weight_sum": np.inf}, "weight_sum must be positive and finite"),
        (
            "time_uniform_hoeffding",
            {"weight_squares": 24.9},
            r"weight_squares must be finite and at least weight_sum\^2",
        ),
        ("time_uniform_hoeffding", {"weight_squares": np.inf}, "weight_squares must be finite"),
        ("time_uniform_hoeffding", {"weight_sum": math.nan}, "weight_sum must be a number"),
    ],
)
def test_bad_numbers_are_refused(bound, change, message):
    function, good = BOUNDS[bound]
    with pytest.raises(ValueError, match=message):
        function(**good | change)
