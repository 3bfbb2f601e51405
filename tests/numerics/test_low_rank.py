"""KL of a diagonal plus low-rank Gaussian: never below ball arithmetic, tight, and equal to its special cases."""

import math

import numpy as np
import pytest
from flint import arb, arb_mat, ctx
from hypothesis import given
from hypothesis import strategies as st

from genbounds.numerics import kl_diagonal, kl_full, kl_low_rank

SEED = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@pytest.fixture(autouse=True)
def _bits():
    before, ctx.prec = ctx.prec, 600
    yield
    ctx.prec = before


def oracle(mean_q, scale_q, factor, mean_p, scale_p):
    """The textbook form, with the determinant of the k x k matrix of the lemma."""
    d, rank = factor.shape
    mean_q, scale_q, mean_p, scale_p = (
        [arb(float(x)) for x in np.broadcast_to(v, d)] for v in (mean_q, scale_q, mean_p, scale_p)
    )
    u = [[arb(float(x)) for x in row] for row in factor]
    total = arb(0)
    for i in range(d):
        variance = scale_q[i] ** 2 + sum((x * x for x in u[i]), arb(0))
        total += (variance + (mean_q[i] - mean_p[i]) ** 2) / scale_p[i] ** 2 - 1
        total -= ((scale_q[i] / scale_p[i]) ** 2).log()
    if rank:
        w = arb_mat([[x / scale_q[i] for x in u[i]] for i in range(d)])
        one = arb_mat([[arb(int(i == j)) for j in range(rank)] for i in range(rank)])
        total -= (one + w.transpose() * w).det().log()
    return total / 2


def case(rng, d, rank, spread, size):
    scale_p = np.exp(rng.standard_normal(d)) * 10.0 ** rng.uniform(-3, 1)
    scale_q = scale_p * np.exp(spread * rng.standard_normal(d))
    factor = size * scale_q[:, None] * rng.standard_normal((d, rank)) * 10.0 ** rng.uniform(-2, 2, rank)
    mean_p = rng.standard_normal(d)
    return mean_p + spread * scale_p * rng.standard_normal(d), scale_q, factor, mean_p, scale_p


@given(
    SEED,
    st.integers(1, 30),
    st.integers(0, 6),
    st.sampled_from([1e-9, 1e-3, 1.0]),
    st.sampled_from([1e-9, 1e-3, 1.0, 1e4]),
)
def test_never_below_ball_arithmetic_and_tight(rng, d, rank, spread, size):
    arguments = case(rng, d, rank, spread, size)
    value, truth = float(kl_low_rank(*arguments)), oracle(*arguments)
    assert arb(value) >= truth
    if rank <= d:
        added = float(
            (arguments[2] / arguments[4][:, None]).__pow__(2).sum()
        )  # what the factor adds before the logarithm
        assert value - float(truth.mid()) <= 1e-9 + 1e-12 * (added + float(truth.mid()))


def test_thousands_of_cases_are_never_below():
    rng = np.random.default_rng(0)
    for _ in range(3000):
        arguments = case(
            rng, rng.integers(1, 9), rng.integers(1, 4), 10.0 ** rng.uniform(-8, 0.5), 10.0 ** rng.uniform(-8, 3)
        )
        assert arb(float(kl_low_rank(*arguments))) >= oracle(*arguments)


@pytest.mark.parametrize("noise", [0.0, 1e-14, 1e-9])
def test_columns_that_are_almost_parallel_stay_covered(noise):
    # C is next to singular: the bound on the determinant is poor or gives up, and the value stays above.
    rng = np.random.default_rng(1)
    column = 1e6 * rng.standard_normal((20, 1))
    factor = column * (1 + noise * rng.standard_normal((20, 4)))
    value, truth = kl_low_rank(0.0, 1e-3, factor, 0.0, np.ones(20)), oracle(0.0, 1e-3, factor, 0.0, 1.0)
    assert arb(float(value)) >= truth
    assert value <= float(truth.mid()) * 1.01
    repeated = np.concatenate([factor[:, :1]] * 3, axis=1)  # one direction three times: nothing is lost but the digits
    one = kl_low_rank(0.0, 1e-3, factor[:, :1] * math.sqrt(3), 0.0, np.full(20, 1e6))
    assert one <= kl_low_rank(0.0, 1e-3, repeated, 0.0, np.full(20, 1e6)) <= one + 1


def test_extremes_are_covered():
    assert kl_low_rank([0.0], [1e-150], [[1e300]], [0.0], [1.0]) == math.inf
    huge = kl_low_rank([0.0], [1e-150], [[1e10]], [0.0], [1.0])
    assert arb(float(huge)) >= oracle(np.zeros(1), 1e-150, np.array([[1e10]]), np.zeros(1), 1.0)
    tiny = kl_low_rank([0.0], [1.0], [[1e-200]], [0.0], [1.0])
    assert tiny >= 0
    assert tiny < 1e-100


def test_many_blocks_of_rows():
    rng = np.random.default_rng(2)
    d = 5000
    scale_q = np.exp(0.1 * rng.standard_normal(d))
    factor = rng.standard_normal((d, 3))
    value, truth = kl_low_rank(np.zeros(d), scale_q, factor, 0.0, 1.0), oracle(np.zeros(d), scale_q, factor, 0.0, 1.0)
    assert arb(float(value)) >= truth
    assert value <= float(truth.mid()) * (1 + 1e-12)


@given(SEED, st.integers(1, 8), st.integers(0, 3))
def test_special_cases_agree(rng, d, rank):
    mean_q, scale_q, factor, mean_p, scale_p = case(rng, d, rank, 0.5, 0.5)
    assert kl_low_rank(mean_q, scale_q, 0 * factor, mean_p, scale_p) == kl_diagonal(mean_q, scale_q, mean_p, scale_p)
    whole = kl_low_rank(mean_q, scale_q, factor, mean_p, scale_p)
    turn = np.linalg.qr(rng.standard_normal((rank, rank)))[0]  # the covariance does not know a rotation of the factor
    assert kl_low_rank(mean_q, scale_q, factor @ turn, mean_p, scale_p) == pytest.approx(whole, rel=1e-9)
    covariance = np.diag(scale_q**2) + factor @ factor.T
    assert kl_full(mean_q, covariance, mean_p, np.diag(scale_p**2)) == pytest.approx(whole, rel=1e-6)
    assert kl_low_rank(mean_q, 1.5, factor, mean_p, 2.0) == kl_low_rank(
        mean_q, np.full(d, 1.5), factor, mean_p, np.full(d, 2.0)
    )
    half = d // 2
    marginal = kl_low_rank(mean_q[:half], scale_q[:half], factor[:half], mean_p[:half], scale_p[:half])
    assert marginal <= whole * (1 + 1e-9)
    single = [value.astype(np.float32) for value in (mean_q, scale_q, factor, mean_p, scale_p)]
    assert kl_low_rank(*single) == kl_low_rank(*(value.astype(np.float64) for value in single))


def test_the_posterior_is_its_own_nearest():
    assert kl_low_rank(np.ones(3), 2.0, np.zeros((3, 2)), np.ones(3), 2.0) == 0.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0, 0], [1, 1], np.ones((3, 1)), 0, 1), r"factor_q must be of shape \(d, r\) beside"),
        (([0, 0], [1, 1], np.ones(2), 0, 1), r"factor_q must be of shape \(d, r\) beside"),
        (([0, 0], [1, 0], np.ones((2, 1)), 0, 1), "scale_q must be positive, from 1e-150"),
        (([0, 0], [1, 1], np.ones((2, 1)), 0, [1, 1, 1]), r"factor_q must be of shape \(d, r\) beside"),
        (([0, 0], [1, 1], np.full((2, 1), np.nan), 0, 1), "factor_q must be finite"),
        (([0, np.inf], [1, 1], np.ones((2, 1)), 0, 1), "mean_q must be finite"),
    ],
)
def test_impossible_arguments_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        kl_low_rank(*arguments)
