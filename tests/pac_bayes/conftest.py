"""Oracles that share nothing with the package: every formula once more, in arbitrary precision."""

from types import SimpleNamespace

import mpmath
import pytest
from mpmath import mpf

DIGITS = 60


def relative_entropy(q, p):
    """kl(q, p) of coins, infinite where p excludes what q allows."""
    total = mpf(0)
    for a, b in ((q, p), (1 - q, 1 - p)):
        if a > 0:
            total += a * mpmath.log(a / b) if b > 0 else mpmath.inf
    return total


def kl_upper_encloses(value, q, c):
    """Whether `value` is at or above sup{p : kl(q, p) <= c}, by at most 1e-12 of it plus 1e-15."""
    value, q = mpf(float(value)), mpf(q)
    above = value >= 1 or (value >= q and relative_entropy(q, value) >= c)
    below = (value - mpf("1e-15")) / (1 + mpf("1e-12"))
    near = below <= q or relative_entropy(q, below) <= c
    return above and near


def encloses(value, truth):
    """Whether `value` is at or above min(truth, 1), by at most 1e-12 of it plus 1e-15."""
    truth = min(truth, mpf(1))
    return truth <= mpf(float(value)) <= truth * (1 + mpf("1e-12")) + mpf("1e-15")


def binomial_cdf(k, n, p):
    """P[Bin(n, p) <= k], term by term."""
    return mpmath.fsum(mpmath.binomial(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


def binomial_limit_encloses(value, k, n, level):
    """Whether `value` is at or above max{p : P[Bin(n, p) <= k] >= level}, by at most 1e-12 of it plus 1e-15."""
    if k == n:
        return value == 1
    value = mpf(float(value))
    below = (value - mpf("1e-15")) / (1 + mpf("1e-12"))
    above = value >= 1 or binomial_cdf(k, n, value) <= level
    return above and (below <= 0 or binomial_cdf(k, n, below) >= level)


def xi(n):
    """sum_k C(n, k) (k/n)^k (1 - k/n)^(n - k), by Ramanujan's identity sum_k n! / ((n - k)! n^k)."""
    total, term = mpf(0), mpf(1)
    for k in range(n + 1):
        total += term
        term *= mpf(n - k) / n
        if term < mpf(10) ** -DIGITS:
            break
    return total


def complexity(kl, n, delta, constant=1):
    """(KL + ln(constant / delta)) / n."""
    return (mpf(kl) + mpmath.log(constant / mpf(delta))) / n


@pytest.fixture(scope="session")
def oracle():
    """Arbitrary-precision twins; use inside ``with oracle.precision():``."""
    return SimpleNamespace(
        binomial_cdf=binomial_cdf,
        binomial_limit_encloses=binomial_limit_encloses,
        complexity=complexity,
        encloses=encloses,
        kl_upper_encloses=kl_upper_encloses,
        precision=lambda: mpmath.workdps(DIGITS),
        relative_entropy=relative_entropy,
        xi=xi,
    )
