import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from genbounds.rare_events.averages.lower_limits import log_mean_lower_limit

logs = st.lists(st.floats(-30, 30) | st.just(-math.inf), min_size=1, max_size=60)


@settings(max_examples=50)
@given(logs, st.floats(-500, 500), st.floats(1e-6, 0.9))
def test_orderings_and_scale(terms, shift, delta):
    limit = log_mean_lower_limit(terms, delta)
    if max(terms) == -math.inf:
        assert limit == -math.inf
        return
    average = math.log(np.exp(terms).mean())
    assert average - math.log(2 / delta) - 1e-12 <= limit <= average + 1e-12
    assert log_mean_lower_limit(np.array(terms) + shift, delta) == pytest.approx(limit + shift, abs=1e-9)
    assert log_mean_lower_limit(terms[::-1], delta) == pytest.approx(limit, abs=1e-11)
    assert log_mean_lower_limit(terms, delta / 2) <= limit


def test_by_hand():
    """One term: half of delta goes to Markov's inequality. Equal terms come close to their value."""
    assert log_mean_lower_limit([3.0], 0.1) == pytest.approx(3 + math.log(0.05), rel=1e-12)
    assert log_mean_lower_limit(np.full(100_000, -700.0), 0.01) == pytest.approx(-700, abs=2e-4)


@pytest.mark.parametrize("delta", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.95])
@pytest.mark.parametrize("n", [1, 4, 60])
def test_exact_coverage_for_two_values(n, p, delta):
    """Terms 0 and 1 and terms 1 and 10: every number of the larger ones, with its probability."""
    hits = np.arange(n + 1)
    for small, large in ((0.0, 1.0), (1.0, 10.0)):
        truth = math.log((1 - p) * small + p * large)
        with np.errstate(divide="ignore"):
            found = [log_mean_lower_limit(np.log(np.repeat([small, large], [n - k, k])), delta) for k in hits]
        failure = binom.pmf(hits, n, p)[np.array(found) > truth + 1e-12].sum()
        assert failure <= delta


@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("n", [3, 100])
def test_coverage_whatever_the_tail(spread, n):
    """Log-normal terms of expectation 1, up to tails for which no standard error holds."""
    generator, delta, runs = np.random.default_rng(3), 0.2, 500
    terms = spread * generator.standard_normal((runs, n)) - spread**2 / 2
    failures = sum(log_mean_lower_limit(row, delta) > 0 for row in terms)
    assert failures <= delta * runs + 3 * math.sqrt(delta * runs)
    above = (np.exp(terms).mean(axis=1) > 1).mean()
    assert spread > 1 or above > 0.3  # the average itself is no lower limit


def test_it_pays_for_the_spread_alone():
    """Where Markov's inequality costs ln(1 / delta), bets cost about the error of the mean."""
    terms = np.random.default_rng(0).normal(-300.0, 0.3, 10_000)
    average = np.exp(terms + 300).mean()
    assert 0 < math.log(average) - 300 - log_mean_lower_limit(terms, 0.01) < 0.02


@pytest.mark.parametrize("terms", [[], [math.nan], [0.0, math.nan], [math.inf], [0.0, math.inf], [[0.0]]])
def test_bad_terms_are_refused(terms):
    with pytest.raises(ValueError, match="log_terms must be a list of numbers below infinity, got shape"):
        log_mean_lower_limit(terms, 0.1)


def test_bad_delta_is_refused():
    with pytest.raises(ValueError, match="delta must be strictly between 0 and 1"):
        log_mean_lower_limit([0.0], 1.0)
