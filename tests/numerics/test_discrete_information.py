"""Information measures of a joint law, against arbitrary precision and closed forms."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.numerics.discrete_information import (
    lautum_information,
    maximal_leakage,
    mutual_information,
    sibson_information,
    total_variation_from_product,
)

LN2 = math.log(2)


@st.composite
def joints(draw, positive=False):
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    entry = st.sampled_from([1, 2, 7, 1000] if positive else [0, 0, 1, 2, 7, 1000])
    counts = np.array(draw(st.lists(entry, min_size=rows * columns, max_size=rows * columns)), dtype=float)
    counts[0] += 1
    return (counts / counts.sum()).reshape(rows, columns)


def exact(joint):
    """Entries and marginals of a joint law in 50 digits."""
    with mpmath.workdps(50):
        cells = [[mpmath.mpf(float(p)) for p in row] for row in joint]
        return cells, [sum(row) for row in cells], [sum(column) for column in zip(*cells, strict=True)]


@given(joints())
def test_mutual_information_and_total_variation_against_50_digits(joint):
    cells, rows, columns = exact(joint)
    with mpmath.workdps(50):
        places = [(p, rows[x] * columns[y]) for x, row in enumerate(cells) for y, p in enumerate(row)]
        information = sum(p * mpmath.log(p / q) for p, q in places if p > 0)
        variation = sum(abs(p - q) for p, q in places) / 2
    assert mutual_information(joint) >= 0
    assert mutual_information(joint) == pytest.approx(float(information), rel=1e-13, abs=1e-15)
    assert total_variation_from_product(joint) == pytest.approx(float(variation), rel=1e-13, abs=1e-15)


@given(joints(positive=True))
def test_lautum_information_against_50_digits(joint):
    cells, rows, columns = exact(joint)
    with mpmath.workdps(50):
        products = [[a * b for b in columns] for a in rows]
        value = sum(
            q * mpmath.log(q / p) for r, s in zip(products, cells, strict=True) for q, p in zip(r, s, strict=True)
        )
    assert lautum_information(joint) == pytest.approx(float(value), rel=1e-13, abs=1e-15)


@given(joints(), st.floats(1.01, 60.0))
def test_sibson_information_against_50_digits(joint, alpha):
    channel = joint + 0.01
    channel /= channel.sum(axis=1, keepdims=True)
    weights = np.arange(1, len(channel) + 1) / np.arange(1, len(channel) + 1).sum()
    with mpmath.workdps(50):
        a = mpmath.mpf(alpha)
        norms = [
            sum(mpmath.mpf(w) * mpmath.mpf(p) ** a for w, p in zip(weights, column, strict=True)) ** (1 / a)
            for column in channel.T
        ]
        value = a / (a - 1) * mpmath.log(sum(norms))
    assert sibson_information(weights, channel, alpha) == pytest.approx(float(value), rel=1e-12, abs=3e-14)


@given(joints())
def test_orders_interpolate_between_mutual_information_and_leakage(joint):
    weights, channel = joint.sum(axis=1), joint + 1e-3
    weights = (weights + 0.1) / (weights + 0.1).sum()
    channel /= channel.sum(axis=1, keepdims=True)
    orders = [sibson_information(weights, channel, alpha) for alpha in (1.001, 1.5, 2.0, 10.0, 1000.0, math.inf)]
    assert np.all(np.diff(orders) >= -1e-12)
    assert orders[0] == pytest.approx(mutual_information(weights[:, None] * channel), abs=1e-2)
    assert orders[-1] == maximal_leakage(channel) == pytest.approx(orders[-2], abs=1e-2)


def test_next_to_independent_is_next_to_zero():
    """Where P ln(P/Q) summed naively is noise of either sign: a fair bit through a channel with e = 1e-9 is e^2/2."""
    e = 1e-9
    joint = np.array([[1 + e, 1 - e], [1 - e, 1 + e]]) / 4
    assert mutual_information(joint) == pytest.approx(e**2 / 2, rel=1e-6)
    product = np.outer([0.1, 0.2, 0.7], [0.3, 0.3, 0.4])
    assert 0 <= mutual_information(product) < 1e-16


def test_closed_forms():
    identity = np.eye(4) / 4
    assert mutual_information(identity) == pytest.approx(2 * LN2)
    assert total_variation_from_product(identity) == 0.75
    assert lautum_information(identity) == math.inf
    assert maximal_leakage(np.eye(4)) == pytest.approx(2 * LN2)
    erasure = np.array([[0.75, 0.0, 0.25], [0.0, 0.75, 0.25]])
    assert mutual_information(erasure / 2) == pytest.approx(0.75 * LN2)
    assert maximal_leakage(erasure) == pytest.approx(math.log(1.75))
    assert sibson_information([0.5, 0.5], erasure, 2.0) == pytest.approx(2 * math.log(0.75 * 2**0.5 + 0.25))


def test_leading_axes_are_laws_of_their_own():
    generator = np.random.default_rng(0)
    laws = generator.dirichlet(np.ones(6), size=(3, 2)).reshape(3, 2, 2, 3)
    for measure in (mutual_information, lautum_information, total_variation_from_product):
        singly = [[measure(law) for law in row] for row in laws]
        np.testing.assert_allclose(measure(laws), singly, rtol=1e-14)


@pytest.mark.parametrize("alpha", [1.0, 0.5, math.nan])
def test_orders_that_are_none_are_refused(alpha):
    with pytest.raises(ValueError, match="alpha must be above 1"):
        sibson_information([1.0], [[1.0]], alpha)


@pytest.mark.parametrize("measure", [mutual_information, lautum_information, total_variation_from_product])
@pytest.mark.parametrize("table", [[[0.5, 0.5], [0.5, 0.5]], [[[0.5, 0.5]], [[0.25, 0.25]]], [0.5, 0.5], 0.5, [[]]])
def test_a_joint_law_is_a_table_that_adds_up_to_1(measure, table):
    with pytest.raises(ValueError, match=r"joint must be tables .* that add up to 1, got shape"):
        measure(table)


def test_a_channel_has_rows_that_add_up_to_1():
    for measure in (maximal_leakage, lambda channel: sibson_information([0.5, 0.5], channel, 2.0)):
        with pytest.raises(ValueError, match=r"channel must be rows that add up to 1, got the sum .*0\.9"):
            measure([[0.5, 0.5], [0.5, 0.4]])


@pytest.mark.parametrize("bad", [[[1.5]], [[-0.5, 1.5]], [[math.nan]]])
def test_what_is_no_probability_is_refused(bad):
    for measure in (mutual_information, lautum_information, total_variation_from_product):
        with pytest.raises(ValueError, match="joint must be"):
            measure(bad)
    with pytest.raises(ValueError, match="channel must be"):
        maximal_leakage(bad)
