"""Binomial tails and their inverses against ball arithmetic, exact rationals and exact coverage."""

import math
from fractions import Fraction

import flint
import numpy as np
import pytest
from flint import arb
from hypothesis import example, given
from hypothesis import strategies as st

from genbounds.numerics import binomial_lower, binomial_upper, kl_lower, kl_upper, log_binomial_cdf

COUNTS = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
LEVEL = st.one_of(st.floats(-20.0, -1e-3), st.floats(-6000.0, -1.0), st.floats(-20.0, 0.0).map(lambda x: -math.exp(x)))


def summed(k: int, n: int, p: float) -> arb:
    """ln P(Bin(n, p) <= k) where k is below the mean, else ln P(Bin(n, p) > k), summed away from the mean."""
    flint.ctx.prec = 300
    odds, down = arb(p) / (1 - arb(p)), (n + 1) * arb(p) >= k + 1
    j = k if down else k + 1
    start = j
    term, total = arb(1), arb(0)
    while term > total * arb(2) ** -120:
        total += term
        if j == (0 if down else n):
            break
        term *= arb(j) / ((n - j + 1) * odds) if down else (n - j) * odds / (j + 1)
        j += -1 if down else 1
    log_factorials = arb(n + 1).lgamma() - arb(start + 1).lgamma() - arb(n - start + 1).lgamma()
    return log_factorials + start * arb(p).log() + (n - start) * (1 - arb(p)).log() + total.log()


def log_cdf(k: int, n: int, p: float) -> arb:
    flint.ctx.prec = 300
    log = summed(k, n, p)
    return log if (n + 1) * arb(p) >= k + 1 else (-log.exp()).log1p()


def log_survival(k: int, n: int, p: float) -> arb:
    """ln P(Bin(n, p) > k)."""
    flint.ctx.prec = 300
    log = summed(k, n, p)
    return (-log.exp()).log1p() if (n + 1) * arb(p) >= k + 1 else log


def check_upper(k: int, n: int, level: float, limit: float) -> None:
    if limit < 1.0:
        assert log_cdf(k, n, limit) <= arb(level), (k, n, level, limit)
        assert log_cdf(k, n, limit * (1 - 1e-12)) > arb(level), f"not tight at {(k, n, level, limit)}"


def check_lower(k: int, n: int, level: float, limit: float) -> None:
    if limit > 1e-300:
        slack = 1e-12 if limit > 1e-40 else 1e-11
        assert log_survival(k - 1, n, limit) <= arb(level), (k, n, level, limit)
        inside = min(limit * (1 + slack) + 1e-16 * (limit > 0.5), 1 - 2.0**-53)
        assert log_survival(k - 1, n, inside) > arb(level) or limit > 1 - 1e-15, f"not tight at {(k, n, level, limit)}"


@given(COUNTS, st.one_of(st.floats(1e-12, 1 - 1e-9), st.floats(-700.0, -1.0).map(math.exp)))
@example((6812, 50_000), 0.35)
@example((0, 10), 0.3)
@example((9, 10), 1 - 1e-9)
def test_log_cdf_matches_ball_arithmetic(counts: tuple[int, int], p: float) -> None:
    k, n = counts
    value = float(log_binomial_cdf(k, n, p))
    if k == n:
        assert value == 0.0
        return
    truth = log_cdf(k, n, p)
    if abs(truth) > arb(1e-300):
        assert abs(arb(value) / truth - 1) < arb(1e-12)


@pytest.mark.parametrize("p", [0.5, 0.125, 0.75])
def test_log_cdf_is_exact_arithmetic_for_few_trials(p: float) -> None:
    for n in range(1, 13):
        total = Fraction(0)
        for k in range(n):
            total += math.comb(n, k) * Fraction(p) ** k * (1 - Fraction(p)) ** (n - k)
            assert float(log_binomial_cdf(k, n, p)) == pytest.approx(math.log(total), rel=1e-12)


@pytest.mark.parametrize(
    ("k", "n", "p"),
    [
        (999_000, 10**9, 1.002e-3),
        (10**6, 10**9, 0.998e-3),
        (10**6, 10**9, 0.99e-3),
        (5, 10**9, 1e-8),
        (6_999_954_000, 10**10, 0.7),  # n p must be known beyond float64 here
    ],
)
def test_log_cdf_at_billions_of_trials(k: int, n: int, p: float) -> None:
    truth = log_cdf(k, n, p)
    assert abs(arb(float(log_binomial_cdf(k, n, p))) / truth - 1) < arb(1e-12)


def test_log_cdf_end_points() -> None:
    assert log_binomial_cdf([0, 3, 3, 5], 5, [0.0, 0.0, 1.0, 1.0]).tolist() == [0.0, 0.0, -math.inf, 0.0]
    assert log_binomial_cdf(0, 7, 1.0) == -math.inf
    assert log_binomial_cdf(0, 10**6, 0.5) == pytest.approx(10**6 * math.log(0.5), rel=1e-15)
    assert math.copysign(1.0, log_binomial_cdf(3, 10, 1e-200)) == 1.0  # 0, not -0


@given(COUNTS, LEVEL)
@example((6812, 50_000), -5886.0)
@example((1, 1000), -1e-12)
@example((26, 133), -6000.0)
def test_limits_are_proven_and_tight(counts: tuple[int, int], level: float) -> None:
    k, n = counts
    if 0 < k < n:
        check_upper(k, n, level, float(binomial_upper(k, n, level)))
    if 0 < k < n:
        check_lower(k, n, level, float(binomial_lower(k, n, level)))


def test_no_limit_is_on_the_wrong_side_in_thousands() -> None:
    rng = np.random.default_rng(2)
    n = np.floor(10 ** rng.uniform(0.4, 4, 1500))
    k = np.clip(np.floor(n ** rng.random(1500)), 1, n - 1)
    level = -(10 ** rng.uniform(-10, 3.8, 1500))
    for check, limits in ((check_upper, binomial_upper(k, n, level)), (check_lower, binomial_lower(k, n, level))):
        for a, b, c, limit in zip(k.astype(int).tolist(), n.astype(int).tolist(), level.tolist(), limits, strict=True):
            check(a, b, c, float(limit))


def test_limits_at_a_billion_trials() -> None:
    check_upper(10**6, 10**9, math.log(0.01), float(binomial_upper(10**6, 10**9, math.log(0.01))))
    check_lower(10**6, 10**9, math.log(0.01), float(binomial_lower(10**6, 10**9, math.log(0.01))))


def test_published_compression_bound() -> None:
    # CIFAR-10, d = 3000: 50,000 examples, training error .13624, a code of 8490.09 bits less two, delta = .05
    level = -(8490.094247824229 - 2) * math.log(2) + math.log(0.05)
    assert float(binomial_upper(6812, 50_000, level)) == pytest.approx(0.350627, abs=1e-6)


@given(st.integers(1, 10**6), LEVEL)
def test_closed_forms(n: int, level: float) -> None:
    assert binomial_upper(n, n, level) == 1.0
    assert binomial_lower(0, n, level) == 0.0
    flint.ctx.prec = 300
    root = (arb(level) / n).exp()
    up, down = float(binomial_upper(0, n, level)), float(binomial_lower(n, n, level))
    assert up == 1.0 or 1 - root <= arb(up) <= (1 - root) * (1 + arb(1e-14))
    assert arb(down) <= root
    assert arb(down) >= root * (1 - arb(1e-12)) - arb(1e-322)


@given(COUNTS)
def test_levels_zero_and_minus_infinity(counts: tuple[int, int]) -> None:
    k, n = counts
    assert binomial_upper(k, n, 0.0) == (1.0 if k == n else 0.0)
    assert binomial_lower(k, n, 0.0) == (0.0 if k == 0 else 1.0)
    assert binomial_upper(k, n, -math.inf) == 1.0
    assert binomial_lower(k, n, -math.inf) == 0.0


@given(COUNTS, LEVEL)
def test_mirror_and_order(counts: tuple[int, int], level: float) -> None:
    k, n = counts
    up = float(binomial_upper(k, n, level))
    assert binomial_lower(n - k, n, level) == pytest.approx(1.0 - up, abs=1e-14)
    assert up <= kl_upper(k / n, -level / n) * (1 + 1e-12)  # Chernoff
    assert binomial_lower(k, n, level) >= kl_lower(k / n, -level / n) * (1 - 1e-11) - 1e-300
    assert binomial_upper(k, n, level - 0.1) >= up
    assert binomial_upper(k, n + 1, level) <= up
    if k < n:
        assert binomial_upper(k + 1, n, level) >= up
    if level < -math.log(2):
        assert binomial_lower(k, n, level) <= k / n <= up


@pytest.mark.parametrize("delta", [0.05, 0.4, 0.7])
def test_exact_coverage(delta: float) -> None:
    for n in (1, 7, 20):
        limits = binomial_upper(np.arange(n + 1), n, math.log(delta))
        for p in np.concatenate([np.linspace(0.01, 0.99, 50), limits[:-1] * (1 + 1e-9)]):
            pmf = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
            missed = sum(mass for mass, limit in zip(pmf, limits, strict=True) if limit < p)
            assert missed <= delta * (1 + 1e-9)
        # just beyond a limit the coverage is used up: a smaller limit would fail
        p = float(limits[0]) * (1 + 1e-9)
        assert (1 - p) ** n == pytest.approx(delta, rel=1e-5)


def test_entries_do_not_depend_on_their_neighbours() -> None:
    rng = np.random.default_rng(3)
    n = rng.integers(2, 10**5, 40)
    k = (n * rng.random(40)).astype(int)
    for function in (binomial_upper, binomial_lower):
        whole = function(k, n, -3.7)
        assert whole.tolist() == [float(function(a, b, -3.7)) for a, b in zip(k, n, strict=True)]
        assert isinstance(function(3, 10, -3.7), np.float64)
    assert binomial_upper(np.arange(3)[:, None], [10, 20], -3.0).shape == (3, 2)
    assert binomial_upper([], 10, -3.0).shape == log_binomial_cdf([], 10, 0.5).shape == (0,)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (log_binomial_cdf, (3, 2, 0.5), "k must be at most n, got k = 3, n = 2. It counts errors"),
        (log_binomial_cdf, (1, 2, 1.5), r"p must be in \[0, 1\], got 1.5. It is a probability."),
        (binomial_upper, (-1, 2, -3.0), "k must be a whole number of at least 0, got -1.0"),
        (binomial_upper, (1.5, 2, -3.0), "k must be a whole number of at least 0, got 1.5"),
        (binomial_upper, (1, 0, -3.0), "n must be a whole number of at least 1, got 0.0"),
        (binomial_upper, (1, 2, 0.05), "log_level must be at most 0, got 0.05. It is the logarithm of a probability"),
        (binomial_lower, (1, 2, math.nan), "log_level must be a number, got nan"),
    ],
)
def test_errors(function, arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        function(*arguments)
