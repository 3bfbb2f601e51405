"""Correlated draws: closed forms of autoregressions, coverage of intervals, and chains that must be noticed."""

import math

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import norm

from genbounds.rare_events.markov_chains.effective_samples import chain_tail, effective_samples, split_r_hat


def autoregression(generator, coefficient, chains, n):
    """Stationary chains with N(0, 1) at each time."""
    noise = generator.normal(size=(chains, n)) * math.sqrt(1 - coefficient**2)
    noise[:, 0] = generator.normal(size=chains)
    return lfilter([1.0], [1.0, -coefficient], noise, axis=1)


@pytest.mark.parametrize("coefficient", [0.0, 0.3, 0.7, 0.9, 0.97])
def test_effective_size_of_an_autoregression(coefficient):
    """S (1 - a) / (1 + a)."""
    generator = np.random.default_rng(0)
    sizes = [effective_samples(autoregression(generator, coefficient, 4, 4000)) for _ in range(12)]
    assert np.mean(sizes) == pytest.approx(16000 * (1 - coefficient) / (1 + coefficient), rel=0.06)


def test_effective_size_is_that_of_the_spread_of_the_mean():
    """Var of the mean over repetitions, for a sum of two autoregressions: no closed form is used."""
    generator = np.random.default_rng(1)
    draws = [autoregression(generator, 0.95, 4, 1000) + autoregression(generator, 0.2, 4, 1000) for _ in range(400)]
    spread = np.var([each.mean() for each in draws])
    assert np.mean([2.0 / effective_samples(each) for each in draws]) == pytest.approx(spread, rel=0.2)


def test_draws_that_avoid_each_other_are_worth_no_more():
    draws = autoregression(np.random.default_rng(2), -0.8, 4, 500)
    assert effective_samples(draws) == 2000
    assert math.isnan(effective_samples(np.ones((2, 10))))


def test_odd_lengths_and_a_single_chain():
    generator = np.random.default_rng(3)
    assert effective_samples(autoregression(generator, 0.5, 1, 4001)) == pytest.approx(4001 / 3, rel=0.25)
    # The middle draw of an odd chain belongs to no half.
    assert effective_samples(np.arange(9.0)[None]) == effective_samples(np.delete(np.arange(9.0), 4)[None])


def test_chains_that_stand_still_apart_are_worth_few_draws():
    apart = np.repeat(np.arange(4.0)[:, None], 1000, axis=1)
    assert split_r_hat(apart) == math.inf
    assert effective_samples(apart) < 10
    assert effective_samples(apart + 1e-3 * np.random.default_rng(0).normal(size=apart.shape)) < 10


def test_r_hat_sees_location_spread_and_drift():
    generator = np.random.default_rng(4)
    draws = autoregression(generator, 0.3, 4, 2000)
    assert abs(split_r_hat(draws) - 1) < 0.005
    shifted, wider, drifting = draws.copy(), draws.copy(), draws + np.linspace(0, 2, 2000)
    shifted[0] += 1.0
    wider[0] *= 4.0
    assert min(map(split_r_hat, (shifted, wider, drifting))) > 1.05
    # Ranks: no draw is too large, and no increasing function changes the value for location.
    assert split_r_hat(np.exp(20 * draws)) == pytest.approx(1.0, abs=0.01)


def test_r_hat_of_normal_draws_with_shifted_chains():
    """Half chains with means m_c and variance 1: sqrt(1 + Var m) for draws that are normal overall."""
    generator = np.random.default_rng(5)
    means = norm.ppf((np.arange(200) + 0.5) / 200)
    draws = means[:, None] + generator.normal(size=(200, 400))
    assert split_r_hat(draws) == pytest.approx(math.sqrt(2.0), rel=0.01)


@pytest.mark.parametrize("coefficient", [0.0, 0.9])
def test_intervals_cover(coefficient):
    """Nominal 95 %, over 400 repetitions: never less than 93 %."""
    generator = np.random.default_rng(6)
    levels = norm.ppf([0.01, 0.1, 0.5, 0.9])
    truth = -norm.logcdf(levels)
    covered = np.zeros(len(levels))
    for _ in range(400):
        curve = chain_tail(autoregression(generator, coefficient, 4, 600), levels, method="test")
        covered += (curve.low <= truth) & (truth <= curve.high)
    assert (covered / 400 >= 0.93).all(), covered / 400


def test_intervals_of_counting_would_not_cover():
    """The same chains counted as independent: what the effective size is for."""
    generator = np.random.default_rng(7)
    covered = 0
    for _ in range(200):
        share = (autoregression(generator, 0.9, 4, 600) <= 0).mean()
        covered += abs(share - 0.5) <= 1.96 * 0.5 / math.sqrt(2400)
    assert covered / 200 < 0.75


def test_levels_beyond_one_effective_draw_are_refused():
    draws = autoregression(np.random.default_rng(8), 0.95, 4, 1000)
    worth = effective_samples(draws)
    levels = np.quantile(draws, [0.3 / worth, 10 / worth, 0.5])
    curve = chain_tail(draws, levels, method="an autoregression")
    assert (draws <= levels[0]).any()  # seen, but by neighbours in one visit
    assert math.isnan(curve.nats[0])
    assert curve.high[0] == math.inf
    assert 0 < curve.low[0] < math.log(worth)
    assert np.isfinite(curve.nats[1:]).all()
    assert any(warning.startswith("Less than one of ") and "subset_simulation" in warning for warning in curve.warnings)
    assert any("fewer than 400" in warning for warning in curve.warnings)
    assert (curve.kind, curve.counts, curve.unbiased) == ("estimate", None, False)
    with pytest.raises(ValueError, match="certain, counted or unbiased"):
        curve.upper_limit(0.05)


def test_good_chains_have_no_warnings_and_bad_ones_do():
    draws = autoregression(np.random.default_rng(9), 0.3, 4, 2000)
    curve = chain_tail(draws, [-1.0, 0.0, 9.0], method="an autoregression")
    assert curve.warnings == ()
    assert curve.nats[2] == 0.0
    assert math.isnan(curve.standard_error[2])
    worth = effective_samples(draws)
    assert curve.high[2] == pytest.approx(-math.log(0.025) / worth, rel=0.2)
    draws[0] += 3.0
    assert "Chains disagree" in chain_tail(draws, [0.0], method="an autoregression").warnings[0]


def test_losses_that_are_all_equal_tell_as_much_as_one_draw():
    curve = chain_tail(np.zeros((4, 100)), [-1.0, 0.0], method="a test")
    assert curve.nats[1] == 0.0
    assert curve.high[1] == pytest.approx(-math.log(0.025))
    assert math.isnan(curve.nats[0])
    assert any("worth 1 " in warning for warning in curve.warnings)


def test_chains_that_stand_still_in_places_of_their_own():
    """R-hat is infinite whatever the rounding of means of equal numbers."""
    for chains in (2, 3, 7):
        places = np.random.default_rng(3).random((chains, 1))
        assert split_r_hat(np.repeat(places, 14, axis=1)) == math.inf


def test_no_levels_are_refused():
    with pytest.raises(ValueError, match="levels must hold at least one number, got none"):
        chain_tail(np.zeros((2, 8)), [], method="a test")


@pytest.mark.parametrize(
    "draws", [np.zeros((2, 7)), np.zeros(20), np.full((2, 20), math.nan), np.full((2, 9), math.inf)]
)
def test_bad_draws_are_refused(draws):
    for function in (effective_samples, split_r_hat):
        with pytest.raises(ValueError, match="draws must be"):
            function(draws)
