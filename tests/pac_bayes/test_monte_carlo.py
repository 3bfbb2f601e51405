import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf
from scipy.special import bdtr

from genbounds.pac_bayes import clopper_pearson, monte_carlo_betting, monte_carlo_binomial, monte_carlo_kl, test_set_kl
from genbounds.worlds import fresh_draws_attack, poisson_binomial_law
from genbounds.worlds.strategies import bernoulli_means

deltas = st.one_of(st.floats(1e-12, 0.999), st.sampled_from([1e-300, 1 - 2.0**-53]))


@st.composite
def counts(draw, largest=120):
    m = draw(st.integers(1, largest))
    return draw(st.integers(0, m)), m


@given(counts(), deltas)
def test_the_binomial_limit_encloses_the_formula(oracle, counts, delta):
    errors, m = counts
    limit = monte_carlo_binomial(errors, m, delta)
    with oracle.precision():
        if limit > (errors + 1) / m * (1 + 1e-15) or errors == m:
            assert oracle.binomial_limit_encloses(limit, errors, m, mpf(delta))
        else:
            assert limit * m >= errors + 1
            assert oracle.binomial_cdf(errors, m, mpf(errors + 1) / m) <= mpf(delta)


@given(st.floats(0, 1), st.integers(1, 10**6), deltas)
def test_the_kl_limit_encloses_the_formula(oracle, risk, m, delta):
    assert monte_carlo_kl(risk, m, delta) == test_set_kl(risk, m, delta)
    with oracle.precision():
        assert oracle.kl_upper_encloses(monte_carlo_kl(risk, m, delta), risk, -mpmath.log(mpf(delta)) / m)


def wealth(values, mu, m):
    shares = [mpf(2) ** -j for j in range(1 + math.ceil(math.log2(m) / 2))]
    return mpmath.fsum(mpmath.fprod(1 + g * (mu - mpf(x)) / (1 - mu) for x in values) for g in shares) / len(shares)


@given(st.lists(st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1)), min_size=1, max_size=25), deltas)
def test_the_betting_limit_encloses_the_formula(oracle, values, delta):
    limit = float(monte_carlo_betting(values, delta))
    with oracle.precision():
        assert limit == 1 or wealth(values, mpf(limit), len(values)) >= 1 / mpf(delta)
        below = mpf(limit) - mpf("1e-12")
        assert below <= 0 or wealth(values, below, len(values)) < 1 / mpf(delta)


@given(counts(10**4), st.floats(1e-6, 0.25))
def test_hoeffdings_condition_matters_only_next_to_certain_error(counts, delta):
    """For delta <= 1/4 the term (k + 1) / m decides nowhere but at k = m - 1."""
    errors, m = counts
    limit = monte_carlo_binomial(errors, m, delta)
    if errors == m - 1:
        assert limit == 1
    else:
        assert limit == clopper_pearson(errors, m, delta)
    assert clopper_pearson(errors, m, delta) <= limit


def test_the_smallest_level_at_which_the_condition_could_decide_is_a_quarter():
    """P[Bin(m, (k + 1) / m) <= k] >= 1/4 for all k <= m - 2: what the docstring says was checked, checked."""
    tails = [bdtr(np.arange(m - 1.0), m, np.arange(1, m) / m).min() for m in range(2, 301)]
    assert tails[0] == 0.25  # m = 2, k = 0
    assert min(tails[1:]) > 0.25


@given(bernoulli_means())
def test_hoeffding_1956(means):
    """Theorem 4: up to m p - 1, a sum of unlike coins is no likelier to be small than one of like coins."""
    m, total = means.size, math.fsum(means)
    unlike, like = np.cumsum(poisson_binomial_law(means)), np.cumsum(poisson_binomial_law(np.full(m, total / m)))
    for c in range(m):
        if c <= total - 1 - 1e-12:
            assert unlike[c] <= like[c] + 1e-13


@given(bernoulli_means(), st.floats(1e-3, 0.99))
def test_the_binomial_limit_covers_unlike_draws(means, delta):
    assert fresh_draws_attack(monte_carlo_binomial, means, delta).survived


@pytest.mark.parametrize("delta", [1e-4, 0.01, 0.098, 0.5, 0.85])
def test_the_exact_binomial_limit_alone_does_not(delta):
    """Two draws, one of which always errs: the plain limit fails more often than delta, at every delta.

    At one error it is sqrt(1 - delta), below p = 1 - e for delta > 1 - p^2 = 2e - e^2, and fails with probability 2e.
    """
    e = 2 - math.sqrt(4 - 2 * delta)  # delta = 2e - e^2 / 2
    means = np.array([1.0, 1 - 2 * e])
    found = fresh_draws_attack(clopper_pearson, means, delta)
    assert math.isclose(found.failure, 2 * e)
    assert found.failure > delta
    assert not found.survived
    assert fresh_draws_attack(monte_carlo_binomial, means, delta).survived


def test_a_counterexample_in_which_the_difference_is_large():
    """Nine certain errors in ten draws: failing with probability 0.5 where a like-coins law says 0.40."""
    means = np.r_[np.ones(9), 0.5]
    delta = 0.42
    assert fresh_draws_attack(clopper_pearson, means, delta).failure == 0.5
    assert fresh_draws_attack(monte_carlo_binomial, means, delta).failure == 0.0


@given(counts(2000), st.floats(1e-9, 0.25))
def test_binomial_is_below_kl(counts, delta):
    errors, m = counts
    if errors < m - 1:
        assert monte_carlo_binomial(errors, m, delta) <= monte_carlo_kl(errors / m, m, delta) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("m", "expected"),
    [(200, 0.06572), (1000, 0.03649), (2000, 0.03101), (10_000, 0.02455), (60_000, 0.02178), (150_000, 0.02112)],
)
def test_the_price_of_m_draws(m, expected):
    """The empirical risk 0.02 at confidence 0.99, by number of draws."""
    assert round(float(monte_carlo_kl(0.02, m, 0.01)), 5) == expected


@pytest.mark.parametrize("m", [200, 1000, 5000])
def test_betting_gains_from_a_small_spread(m):
    """Risks of draws shared by a large sample hardly differ: the excess falls like 1 / m, not 1 / sqrt(m)."""
    values = 0.02 + 0.001 * np.sin(np.arange(m))
    kl = monte_carlo_kl(values.mean(), m, 0.01)
    betting = monte_carlo_betting(values, 0.01)
    assert values.mean() < betting < kl
    assert betting - values.mean() < 0.75 * (kl - values.mean())
    shares = 1 + math.ceil(math.log2(m) / 2)
    assert betting - values.mean() < 1.01 * math.log(100 * shares) / m


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_draws_does_not_matter(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    assert monte_carlo_betting(values, 0.05) == monte_carlo_betting(shuffled, 0.05)


@given(counts(1000), st.floats(1e-6, 0.9))
def test_monotone(counts, delta):
    errors, m = counts
    limit = monte_carlo_binomial(errors, m, delta)
    assert errors / m <= limit <= 1
    assert limit <= monte_carlo_binomial(errors, m, delta / 2)
    assert monte_carlo_binomial(errors, m + 1, delta) <= limit
    assert monte_carlo_kl(errors / m, 2 * m, delta) <= monte_carlo_kl(errors / m, m, delta)
    values = np.arange(m) < errors
    assert errors / m <= monte_carlo_betting(values, delta) * (1 + 1e-12)
    assert monte_carlo_betting(values, delta) <= monte_carlo_betting(values, delta / 2)


def test_shapes():
    assert isinstance(monte_carlo_binomial(1, 10, 0.05), float)
    assert isinstance(monte_carlo_kl(0.1, 10, 0.05), float)
    assert isinstance(monte_carlo_betting([0.1, 0.2], 0.05), float)
    assert monte_carlo_binomial(np.arange(3)[:, None], [10, 20], 0.05).shape == (3, 2)
    assert monte_carlo_betting(np.zeros((3, 1, 5)), [0.05, 0.1]).shape == (3, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: monte_carlo_binomial(-1, 10, 0.05), "errors must be a whole number of at least 0"),
        (lambda: monte_carlo_binomial(0.1, 10, 0.05), "errors must be a whole number of at least 0"),
        (lambda: monte_carlo_binomial(11, 10, 0.05), "must be at most n"),
        (lambda: monte_carlo_binomial(0, 0, 0.05), "draws must be a whole number of at least 1"),
        (lambda: monte_carlo_binomial(0, 10, 0.0), "delta must be strictly between 0 and 1"),
        (lambda: monte_carlo_kl(1.1, 10, 0.05), r"risk must be in \[0, 1\]"),
        (lambda: monte_carlo_kl(0.1, 0, 0.05), "draws must be a whole number of at least 1"),
        (lambda: monte_carlo_kl(0.1, 10, 1.0), "delta must be strictly between 0 and 1"),
        (lambda: monte_carlo_betting([0.1, 1.1], 0.05), r"values must be in \[0, 1\]"),
        (lambda: monte_carlo_betting([0.1, math.nan], 0.05), "values must be a number"),
        (lambda: monte_carlo_betting([], 0.05), "values must hold at least one value"),
        (lambda: monte_carlo_betting(0.1, 0.05), "values must hold at least one value"),
        (lambda: monte_carlo_betting([0.1], 0.0), "delta must be strictly between 0 and 1"),
    ],
)
def test_bad_numbers_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
