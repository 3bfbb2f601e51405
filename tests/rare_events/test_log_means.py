import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import genpareto

from genbounds.rare_events.averages.log_means import log_mean, tail_index


def log_normal(spread):
    return lambda rng, n: spread * rng.standard_normal(n) - spread**2 / 2


def pareto(k):
    return lambda rng, n: math.log(1 - k) - k * np.log(rng.random(n))


@settings(deadline=None, max_examples=30)
@given(st.floats(-1e6, 1e6), st.floats(0, 0.8), st.integers(0, 10**6))
def test_a_shift_of_the_logarithms_shifts_the_result(shift, spread, seed):
    logs = spread * np.random.default_rng(seed).standard_normal(200)
    plain, moved = log_mean(logs), log_mean(logs + shift)
    rounding = 1e-9 * (1 + abs(shift))
    assert plain.value == pytest.approx(math.log(np.exp(logs).mean()), abs=1e-12)
    assert moved.value - shift == pytest.approx(plain.value, abs=rounding)
    assert moved.trusted == plain.trusted
    assert plain.low <= plain.value <= plain.high
    assert 1 <= plain.effective <= 200 * (1 + 1e-12)


@pytest.mark.parametrize(
    ("law", "fine"),
    [
        (log_normal(0.3), True),
        (log_normal(1.0), True),
        (log_normal(2.0), None),
        (log_normal(4.0), False),
        (pareto(0.2), True),
        (pareto(0.5), None),
        (pareto(0.9), False),
        (lambda rng, n: np.where(rng.random(n) < 0.1, math.log(10.0), -np.inf), True),
    ],
)
def test_intervals_cover_and_the_alarm_is_raised_where_they_would_not(law, fine):
    rng = np.random.default_rng(5)
    runs = [log_mean(law(rng, 1000)) for _ in range(400)]
    covered = np.mean([run.low <= 0 <= run.high for run in runs])
    trusted = np.mean([run.trusted for run in runs])
    assert covered > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400)
    if fine is not None:
        assert trusted > 0.93 if fine else trusted < 0.03


@pytest.mark.parametrize(("k", "n"), [(0.6, 1000), (0.7, 1000), (0.7, 200)])
def test_tails_that_are_not_always_seen_cost_what_is_said(k, n):
    rng = np.random.default_rng(10)
    runs = [log_mean(pareto(k)(rng, n)) for _ in range(1000)]
    missed = np.mean([run.high < 0 for run in runs])
    assert np.mean([run.low > 0 for run in runs]) < 0.01
    assert 0.05 < missed < (0.11 if n == 1000 else 0.15)


@pytest.mark.parametrize("chance", [0.003, 0.008, 0.02, 0.1])
def test_few_equal_terms_among_zeros(chance):
    """Where five are not seen there is no upper end; where they are, the skewness makes room for them."""
    rng = np.random.default_rng(11)
    runs = [log_mean(np.where(rng.random(1000) < chance, -math.log(chance), -np.inf)) for _ in range(1000)]
    assert np.mean([run.low <= 0 <= run.high for run in runs]) > 0.93
    assert np.mean([run.high < 0 for run in runs]) < 0.035


@pytest.mark.parametrize("chance", [0.001, 0.003, 0.006])
def test_few_large_terms_among_equal_ones_are_a_heavy_tail(chance):
    """Zeros or ones below: too few are seen for an upper end, unless there is none to see."""
    rng, mean, missed = np.random.default_rng(12), math.log(1 - chance + chance * math.exp(13)), 0
    for _ in range(300):
        large = rng.random(1000) < chance
        found = log_mean(np.where(large, 13.0, 0.0))
        assert found.trusted == (large.sum() == 0 or large.sum() >= 5)
        missed += large.any() and not found.low <= mean <= found.high
    assert missed / 300 < 0.08


def test_rounding_of_equal_terms_is_no_tail():
    logs = np.zeros(1000)
    logs[:3] = [1e-15, 2e-15, 0.5]
    assert log_mean(logs).trusted
    logs[2] = 0.8
    assert not log_mean(logs).trusted


def test_the_interval_takes_in_the_symmetric_one_and_the_one_for_skewed_terms():
    logs = np.random.default_rng(13).normal(0, 1, 100)
    found, weights = log_mean(logs, 0.9), np.exp(logs)
    reach = 1.6448536269514722
    assert found.low <= found.value - reach * found.standard_error + 1e-12
    assert found.high >= found.value + reach * found.standard_error - 1e-12
    skew = ((weights - weights.mean()) ** 3).mean() / weights.std(ddof=1) ** 3 / 10
    relative = weights.std(ddof=1) / 10 / weights.mean()
    # Hall's cubic of the t-statistic at the upper end is the lower quantile, term by term as he has it.
    t = (1 - math.exp(found.high - found.value)) / relative
    assert t + skew * t**2 / 3 + skew**2 * t**3 / 27 + skew / 6 == pytest.approx(-reach, rel=1e-9)


def test_without_the_alarm_intervals_would_fail():
    """The delta method on heavy tails: what the index is for."""
    rng = np.random.default_rng(6)
    weights = np.exp(4 * rng.standard_normal((400, 1000)) - 8)
    mean, error = weights.mean(1), weights.std(1) / math.sqrt(1000)
    assert np.mean(np.abs(np.log(mean)) < 1.96 * error / mean) < 0.5


@pytest.mark.parametrize("k", [-0.5, 0.0, 0.3, 0.7, 1.5])
def test_the_index_is_that_of_the_tail(k):
    rng = np.random.default_rng(7)
    found = [tail_index(np.log(genpareto.rvs(k, size=4000, random_state=rng))) for _ in range(40)]
    assert np.mean(found) == pytest.approx(k, abs=0.08)


def test_the_index_agrees_with_maximum_likelihood():
    rng = np.random.default_rng(8)
    logs = 1.5 * rng.standard_normal(4000)
    largest = np.sort(np.exp(logs))[-190:]
    likely = genpareto.fit(largest[1:] - largest[0], floc=0)[0]
    assert tail_index(logs) == pytest.approx(likely, abs=0.1)


def test_equal_terms_are_exact():
    same = log_mean(np.full(100, -1234.5))
    assert (same.value, same.standard_error, same.low, same.high) == (-1234.5, 0.0, -1234.5, -1234.5)
    assert same.trusted
    assert same.effective == 100


def test_nothing_seen_is_nothing_known():
    none = log_mean(np.full(100, -np.inf))
    assert (none.value, none.low, none.high) == (-np.inf, -np.inf, np.inf)
    assert not none.trusted


def test_one_side_holds_whatever_the_tail():
    """Markov: an unbiased mean is above its expectation by a factor of 20 in at most one run of twenty."""
    rng = np.random.default_rng(9)
    runs = [log_mean(pareto(0.95)(rng, 100)) for _ in range(400)]
    assert np.mean([run.low <= 0 for run in runs]) >= 0.95


@pytest.mark.parametrize("terms", [np.zeros(24), np.zeros((25, 1)), [*np.zeros(30), np.nan], [*np.zeros(30), np.inf]])
def test_what_is_no_sample_is_refused(terms):
    for function in (log_mean, tail_index):
        with pytest.raises(ValueError, match="log_terms must be"):
            function(terms)
