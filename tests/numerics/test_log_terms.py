"""xi(n) against its definition and Ramanujan's function, in high precision."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from genbounds.numerics import binary_kl, log_kt, log_terms, log_two_sqrt, log_xi, xi


@pytest.fixture(autouse=True)
def _digits():
    with mp.workdps(40):
        yield


def definition(n: int) -> mpf:
    return mp.fsum(mp.binomial(n, k) * (mpf(k) / n) ** k * (1 - mpf(k) / n) ** (n - k) for k in range(n + 1))


def ramanujan(n: int) -> mpf:
    product, total, k = mpf(1), mpf(0), 0
    while product > mpf(10) ** -36 and k < n:
        total, k = total + product, k + 1
        product *= mpf(n - k) / n
    return 1 + total


@pytest.mark.parametrize("n", [*range(1, 40), 100, 333])
def test_matches_its_definition(n: int) -> None:
    truth = definition(n)
    assert 0 <= (mpf(float(xi(n))) - truth) / truth < 1e-14


@pytest.mark.parametrize("n", [1000, 4567, 30_000, 60_000, 10**6])
def test_matches_ramanujan(n: int) -> None:
    truth = ramanujan(n)
    assert 0 <= (mpf(float(xi(n))) - truth) / truth < 3e-16 * (math.sqrt(n) + 5)


def test_proven_form_beyond_a_million() -> None:
    for n in (10**6 + 1, 3 * 10**6):
        truth = ramanujan(n)
        assert 0 <= (mpf(float(xi(n))) - truth) / truth < 3e-15
    for n in (10**9, 2**53 - 1):  # theta(n) between its two proven bounds
        leading = mp.exp(mp.loggamma(n + 1) + n - n * mp.log(n)) / 2 + mpf(2) / 3
        assert mpf(float(xi(n))) >= leading - mpf(4) / (135 * (n + mpf(8) / 45))
        assert (mpf(float(xi(n))) - leading) / leading < 1e-14


def test_proven_form_holds_for_few_examples_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_terms, "_SUMMED_UP_TO", 0)
    for n in (1, 2, 3, 10, 30, 100):
        gap = mpf(float(xi(n))) - ramanujan(n)
        robbins = math.sqrt(math.pi * n / 2) / (360 * n**3)
        assert 0 <= gap < robbins + 4 / 135 * (8 / 45 - 2 / 21) / n**2


@given(st.integers(1, 10**12))
def test_between_its_bounds(n: int) -> None:
    assert math.sqrt(n) <= xi(n) <= 2 * math.sqrt(n) * (1 + 1e-14)
    assert log_xi(n) <= log_two_sqrt(n)
    naive = math.sqrt(math.pi * n / 2) + 2 / 3  # tempting, and below xi
    assert naive < xi(n) <= naive + math.sqrt(2 * math.pi) / (24 * math.sqrt(n)) * (1 + 1e-3) + 1e-12 * naive


@given(st.integers(1, 60), st.floats(0.01, 0.99))
def test_is_the_exponential_moment_for_every_p(n: int, p: float) -> None:
    k = np.arange(n + 1)
    log_binomial = [float(mp.log(mp.binomial(n, int(j)))) for j in k]
    log_pmf = np.array(log_binomial) + k * math.log(p) + (n - k) * math.log1p(-p)
    assert np.exp(log_pmf + n * binary_kl(k / n, p)).sum() == pytest.approx(xi(n), rel=1e-11)


@given(st.integers(1, 10**15))
def test_logarithms_are_rounded_up(n: int) -> None:
    assert 0 <= mpf(float(log_two_sqrt(n))) - mp.log(2 * mp.sqrt(n)) < 3e-14
    assert mpf(float(log_xi(n))) >= mp.log(xi(n)) or log_xi(n) == log_two_sqrt(n)


def test_increases_across_the_switch_and_broadcasts() -> None:
    n = np.array([[999_999, 10**6], [10**6 + 1, 10**6 + 2]])
    values = xi(n)
    assert values.shape == (2, 2)
    assert (np.diff(values.ravel()) > 0).all()
    assert xi(np.array([5, 1, 5])).tolist() == [float(xi(5)), float(xi(1)), float(xi(5))]
    assert isinstance(xi(7), np.float64)
    assert xi([]).shape == log_xi([]).shape == (0,)


@pytest.mark.parametrize("n", [0, 1.5, -3])
@pytest.mark.parametrize("function", [xi, log_xi, log_two_sqrt])
def test_errors(function, n) -> None:
    with pytest.raises(ValueError, match=f"n must be a whole number of at least 1, got {float(n)}"):
        function(n)


@pytest.mark.parametrize("n", [*range(1, 80), 1000, 10**6, 10**12, 2**53 - 1])
def test_log_kt_is_next_to_the_gamma_quotient(n: int) -> None:
    truth = mp.log(mp.pi) / 2 + mp.loggamma(n + 1) - mp.loggamma(n + mpf(1) / 2)
    assert 0 <= (mpf(float(log_kt(n))) - truth) / truth < 5e-15


def test_log_kt_lies_between_its_neighbours() -> None:
    n = np.arange(1, 5000)
    assert np.all(log_xi(n) <= log_kt(n) * (1 + 1e-14))
    assert np.all(log_kt(n) <= log_two_sqrt(n))
    assert np.all(np.diff(log_kt(n)) > 0)
    assert log_kt(5).shape == ()
    assert log_kt(np.ones((2, 3))).shape == (2, 3)


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_log_kt_is_the_regret_of_the_mixture(n: int) -> None:
    """max_b b^k (1-b)^(n-k) over its mean under Beta(1/2, 1/2) is largest at k = 0 and k = n, and kt(n) there."""
    regrets = [
        (mpf(k) / n) ** k * (1 - mpf(k) / n) ** (n - k) * mp.pi / mp.beta(k + mpf("0.5"), n - k + mpf("0.5"))
        for k in range(n + 1)
    ]
    assert max(regrets) == regrets[0] == regrets[n]
    assert abs(mp.log(regrets[0]) - mpf(float(log_kt(n)))) < 1e-14


@pytest.mark.parametrize("n", [0, 1.5, math.nan])
def test_log_kt_refuses_what_is_no_count(n: float) -> None:
    with pytest.raises(ValueError, match="n must be"):
        log_kt(n)
