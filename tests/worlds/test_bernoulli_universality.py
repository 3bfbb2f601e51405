"""Regret of a Bayes mixture against enumerated sequences, integrals over coins, and published figures."""

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize

from genbounds.worlds import BernoulliUniversality

coins = st.builds(BernoulliUniversality, st.floats(0.01, 0.99), st.integers(1, 200))


def divergence(theta, t):
    return theta * math.log(theta / t) + (1 - theta) * math.log((1 - theta) / (1 - t))


@pytest.mark.parametrize("theta", [0.05, 0.5, 0.8])
def test_redundancy_is_the_regret_of_predicting_flip_by_flip(theta):
    """Laplace's rule of succession: the chance of a one is (ones + 1) / (flips + 2)."""
    n, regret = 8, 0.0
    for flips in product((0, 1), repeat=n):
        chance, loss = 1.0, 0.0
        for seen, flip in enumerate(flips):
            predicted = (sum(flips[:seen]) + 1) / (seen + 2)
            loss -= math.log(predicted if flip else 1 - predicted)
            chance *= theta if flip else 1 - theta
        regret += chance * (loss + math.log(chance))
    assert BernoulliUniversality(theta, n).redundancy == pytest.approx(regret, rel=1e-11)


@given(coins)
def test_the_three_bounds_stand_above_the_redundancy_in_order(world):
    assert -1e-12 <= world.redundancy <= world.mixture_bound <= world.ball_bound
    assert world.redundancy <= math.log(world.n + 1)


@settings(max_examples=20)
@given(coins)
def test_the_mixture_bound_is_the_integral(world):
    def integrand(t):
        return math.exp(-world.n * divergence(world.theta, t))

    spread = 8 * math.sqrt(world.theta * (1 - world.theta) / world.n)
    ends = [0.0, max(0.0, world.theta - spread), world.theta, min(1.0, world.theta + spread), 1.0]
    integral = sum(quad(integrand, low, high)[0] for low, high in pairwise(ends))
    assert world.mixture_bound == pytest.approx(-math.log(integral), rel=1e-7)


@given(coins, st.floats(1e-6, 3.0))
def test_weight_is_the_length_of_the_ball(world, radius):
    grid = (np.arange(100_000) + 0.5) / 100_000
    divergences = world.theta * np.log(world.theta / grid) + (1 - world.theta) * np.log((1 - world.theta) / (1 - grid))
    assert world.weight(radius) == pytest.approx((divergences <= radius).mean(), abs=2e-5)
    assert world.ball_bound <= world.n * radius - math.log(world.weight(radius)) + 1e-9


@settings(max_examples=20)
@given(coins)
def test_donsker_and_varadhan_are_attained_by_the_tilted_prior(world):
    best = (world.n * world.theta + 1, world.n * (1 - world.theta) + 1)

    def bound(logs):
        expected, kl = world.divergences(*np.exp(logs))
        return world.n * expected + kl

    assert bound(np.log(best)) == pytest.approx(world.mixture_bound, rel=1e-9)
    found = minimize(bound, np.log(best) + 0.3, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10})
    assert found.fun == pytest.approx(world.mixture_bound, rel=1e-6)
    assert found.fun >= world.mixture_bound - 1e-9


def test_divergences_against_integrals():
    world, ones, zeros = BernoulliUniversality(0.3, 20), 4.5, 7.0
    log_beta = math.lgamma(ones) + math.lgamma(zeros) - math.lgamma(ones + zeros)

    def density(t):
        return math.exp((ones - 1) * math.log(t) + (zeros - 1) * math.log(1 - t) - log_beta)

    expected, kl = world.divergences(ones, zeros)
    assert expected == pytest.approx(quad(lambda t: density(t) * divergence(0.3, t), 0, 1)[0], rel=1e-9)
    assert kl == pytest.approx(quad(lambda t: density(t) * math.log(density(t)), 0, 1)[0], rel=1e-9)
    assert world.divergences(1, 1)[1] == pytest.approx(0, abs=1e-14)


def test_figures():
    figures = {10: (0.7760, 1.2005, 1.8926), 100: (1.8118, 2.3055, 3.0276), 1000: (2.9524, 3.4518, 4.1772)}
    for n, (redundancy, mixture, ball) in figures.items():
        world = BernoulliUniversality(0.2, n)
        assert world.redundancy == pytest.approx(redundancy, abs=6e-5)
        assert world.mixture_bound == pytest.approx(mixture, abs=6e-5)
        assert world.ball_bound == pytest.approx(ball, abs=6e-5)
    assert world.asymptote == pytest.approx(world.redundancy, abs=1.5e-3)
    assert 2 * world.n * world.radius == pytest.approx(1, abs=1e-3)


def test_simulated_coding():
    """Code lengths of the mixture less those of the true coin, averaged over sequences."""
    world, generator = BernoulliUniversality(0.2, 50), np.random.default_rng(0)
    ones = generator.binomial(world.n, world.theta, size=20_000)
    log_mixture = -np.log([(world.n + 1) * math.comb(world.n, k) for k in ones])
    log_truth = ones * math.log(world.theta) + (world.n - ones) * math.log(1 - world.theta)
    regrets = log_truth - log_mixture
    assert abs(regrets.mean() - world.redundancy) < 4 * regrets.std() / math.sqrt(len(regrets))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BernoulliUniversality(0.0, 3), "theta must be strictly between 0 and 1, got 0.0"),
        (lambda: BernoulliUniversality(math.nan, 3), "theta must be strictly between 0 and 1, got nan"),
        (lambda: BernoulliUniversality(0.5, 0), "n must be a whole number of at least 1, got 0"),
        (lambda: BernoulliUniversality(0.5, 3).weight(-1.0), "radius must be non-negative, got -1.0"),
    ],
)
def test_parameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()
