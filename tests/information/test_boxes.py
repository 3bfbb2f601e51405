"""Limits by boxes: the worst laws against brute force, exact coverage, and variants that forget the union."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import binom, multinomial

from genbounds.information import box_limits
from genbounds.information.estimation.boxes import log_level
from genbounds.information.estimation.coin_divergences import COIN_DIVERGENCES
from genbounds.numerics import binomial_lower, binomial_upper

MUTUAL = COIN_DIVERGENCES["mutual"].between


def divergence(p, q):
    return float(MUTUAL(np.asarray(p, dtype=float), np.asarray(q, dtype=float)))


def limits_of(counts, delta):
    level = log_level(delta / (4 * len(counts)))
    n = np.full(len(counts), sum(counts))
    return binomial_lower(counts, n, level), binomial_upper(counts, n, level)


def spread(low, high, rng, draws=400):
    """Random extreme points of the box cut with the simplex, by linear programming in random directions."""
    size = len(low)
    return [
        linprog(
            rng.standard_normal(size), A_eq=np.ones((1, size)), b_eq=[1], bounds=list(zip(low, high, strict=True))
        ).x
        for _ in range(draws)
    ]


@pytest.mark.parametrize("counts", [[[6, 2, 0], [1, 1, 6]], [[9, 1, 0, 0], [8, 0, 1, 1]], [[4, 4], [7, 1]]])
def test_the_worst_laws_of_the_boxes(counts):
    """The limit is the largest value at extreme points, unless symbols not seen are merged."""
    rng = np.random.default_rng(0)
    laws = [np.unique(np.round(spread(*limits_of(side, 0.2), rng), 12), axis=0) for side in counts]
    worst = max(divergence(p, q) for p, q in itertools.product(*laws))
    limit = float(box_limits(counts, 0.2))
    assert limit >= worst
    if np.sum(np.sum(counts, axis=0) == 0) < 2:
        assert limit == pytest.approx(worst, abs=1e-8)


@settings(max_examples=30)
@given(st.integers(2, 9), st.integers(1, 40), st.integers(0, 10**6))
def test_no_law_within_the_boxes_tells_more(symbols, draws, seed):
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(np.full(symbols, 0.4), 2)
    counts = np.array([rng.multinomial(draws, law) for law in truth])
    ends = [limits_of(side, 0.3) for side in counts]
    if all(np.all((low <= law) & (law <= high)) for (low, high), law in zip(ends, truth, strict=True)):
        for name, told in COIN_DIVERGENCES.items():
            assert float(box_limits(counts, 0.3, name)) >= told.between(*truth)


def all_tables(n, symbols):
    cuts = itertools.combinations(range(n + symbols - 1), symbols - 1)
    return np.array([np.diff([-1, *cut, n + symbols - 1]) - 1 for cut in cuts])


def failure(p, q, n, limit):
    """Probability, over independent draws for both faces, that a limit for their counts is below the truth."""
    tables = all_tables(n, len(p))
    weights = [multinomial.pmf(tables, n, law) for law in (p, q)]
    pairs = np.stack(np.broadcast_arrays(tables[:, None], tables[None, :]), axis=2)
    below = limit(pairs.reshape(-1, 2, len(p))) < divergence(p, q) - 1e-12
    return weights[0] @ below.reshape(len(tables), -1) @ weights[1]


def each(tables, delta):
    """Limits for each table by itself, at its own delta."""
    distinct, place = np.unique(tables.reshape(len(tables), -1), axis=0, return_inverse=True)
    values = np.array([float(box_limits(row.reshape(2, -1), delta)) for row in distinct])
    return values[place.ravel()]


@pytest.mark.parametrize(
    ("p", "q", "n"),
    [
        ([0.7, 0.3], [1.0, 0.0], 3),
        ([0.5, 0.5], [0.5, 0.5], 3),
        ([0.9, 0.1], [0.1, 0.9], 4),
        ([0.8, 0.1, 0.1], [0.8, 0.2, 0.0], 3),
        ([0.6, 0.4, 0.0], [0.6, 0.0, 0.4], 4),
        ([0.8, 0.2], [1.0, 0.0], 10),
    ],
)
@pytest.mark.parametrize("delta", [0.05, 0.4, 0.9])
def test_exact_coverage(p, q, n, delta):
    assert failure(p, q, n, lambda tables: each(tables, delta)) <= delta


def test_a_union_that_is_not_paid_is_caught():
    """Twenty examples that never flip for mask 1 and sometimes for mask 0, all independent; none was seen to flip."""
    n, examples, delta = 20, 20, 0.3
    silent = np.array([[n, 0], [n, 0]])

    def fails(limit):
        """Largest failure probability over flip rates: one example whose flips were not seen is enough."""
        worst = 0.0
        for rate in np.linspace(0.005, 0.5, 200):
            if limit < divergence([1 - rate, rate], [1.0, 0.0]) - 1e-12:
                worst = max(worst, 1 - (1 - binom.pmf(0, n, rate)) ** examples)
        return worst

    paid = float(box_limits(np.tile(silent, (examples, 1, 1)), delta).value[0])
    assert fails(paid) <= delta
    assert fails(float(box_limits(silent, delta))) > delta


def test_all_limits_at_once_cost_a_union():
    one, many = box_limits([[20, 0], [20, 0]], 0.05), box_limits(np.tile([[20, 0], [20, 0]], (50, 1, 1)), 0.05)
    assert np.all(many.value > float(one))
    assert many.value.shape == (50,)
    assert float(box_limits([[20, 0], [20, 0]], 0.05 / 50)) == pytest.approx(many.value[0], rel=1e-12)


def test_the_order_of_symbols_and_of_faces_does_not_matter():
    counts = np.array([[12, 3, 0, 1], [2, 9, 4, 1]])
    limit = float(box_limits(counts, 0.05))
    assert float(box_limits(counts[:, [3, 0, 2, 1]], 0.05)) == limit
    assert float(box_limits(counts[::-1], 0.05)) == pytest.approx(limit, rel=1e-14)


def test_more_draws_tend_to_the_truth():
    truth = divergence([0.8, 0.2, 0, 0], [0.5, 0.2, 0.3, 0])
    limits = [float(box_limits(np.array([[8, 2, 0, 0], [5, 2, 3, 0]]) * m, 0.05)) for m in (1, 10, 100, 10**4, 10**6)]
    assert limits == sorted(limits, reverse=True)
    assert truth < limits[-1] < truth + 2e-3


def test_many_symbols_and_none_seen():
    rng = np.random.default_rng(0)
    wide = rng.multinomial(500, np.full(100, 0.01), 2)  # beyond six symbols only lower limits
    assert divergence(wide[0] / 500, wide[1] / 500) < float(box_limits(wide, 0.05)) <= math.nextafter(math.log(2), 1)
    assert float(box_limits([[0, 0], [30, 0]], 0.05)) > float(box_limits([[30, 0], [30, 0]], 0.05))
    assert float(box_limits([[0], [0]], 0.05)) == pytest.approx(0.0, abs=1e-9)  # one symbol tells nothing


@pytest.mark.parametrize(
    ("counts", "delta", "message"),
    [
        ([1, 2], 0.05, r"shape \(\.\.\., 2, symbols\)"),
        ([[1, 2], [3, 4], [5, 6]], 0.05, r"shape \(\.\.\., 2, symbols\)"),
        ([[1.5, 2], [1, 1]], 0.05, "counts must be a whole number"),
        ([[1, 2], [3, 4]], 0.0, "delta must be"),
    ],
)
def test_what_is_no_table_is_refused(counts, delta, message):
    with pytest.raises(ValueError, match=message):
        box_limits(counts, delta)
