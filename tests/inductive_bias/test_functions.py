import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from genbounds.inductive_bias.simplicity.functions import FunctionCounts, count_functions, simplicity_line
from genbounds.inductive_bias.simplicity.lempel_ziv import lempel_ziv_bits

DRAWS = [[0, 1, 1], [0, 0, 0], [0, 1, 1], [1, 1, 1], [0, 1, 1], [0, 0, 0]]


def test_counting():
    found = count_functions([DRAWS], "six draws")
    assert found.functions.tolist() == [[0, 1, 1], [0, 0, 0], [1, 1, 1]]
    assert found.counts.tolist() == [3, 2, 1]
    assert (found.samples, found.source) == (6, "six draws")
    np.testing.assert_allclose(found.probabilities, [1 / 2, 1 / 3, 1 / 6])
    assert found.bits(2).tolist() == [lempel_ziv_bits("011"), math.log2(3)]
    assert found.of([[1, 1, 1], [1, 0, 1], [0, 1, 1]]).tolist() == [1, 0, 3]


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=2), min_size=1, max_size=30), st.integers(1, 7))
def test_batches_and_their_order_do_not_matter(draws, size):
    whole = count_functions([draws], "")
    for batches in ([draws[i : i + size] for i in range(0, len(draws), size)], [draws[::-1]]):
        found = count_functions(batches, "")
        np.testing.assert_array_equal(found.functions, whole.functions)
        np.testing.assert_array_equal(found.counts, whole.counts)


def test_the_posterior_by_counting():
    found = count_functions([DRAWS], "draws")
    fit = found.given([1, 2], [1, 1])
    assert fit.functions.tolist() == [[0, 1, 1], [1, 1, 1]]
    np.testing.assert_allclose(fit.probabilities, [0.75, 0.25])
    assert fit.samples / found.samples == pytest.approx(4 / 6)
    assert fit.source == "draws that fit 2 inputs"
    with pytest.raises(ValueError, match="classes must be those of some function that was drawn"):
        found.given([0, 1], [1, 0])
    for inputs, classes in (([0, 1], [1]), ([3], [1]), (0, 1)):
        with pytest.raises(ValueError, match="inputs must be numbers below 3, one for each class"):
            found.given(inputs, classes)
    with pytest.raises(ValueError, match="inputs must be a whole number of at least 0"):
        found.given([-1], [1])


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        (np.array([[256, 1, 1]]), "functions must hold tables of classes from 0 to 255, got shape .* largest 256"),
        (np.array([[-256, 1, 1]]), "functions must be a whole number of at least 0"),
        (np.array([[0.5, 1, 1]]), "functions must be a whole number"),
        (np.array([0, 1, 1]), "functions must hold tables"),
        (np.array([[0, 1]]), "functions must be of 3 inputs, got 2"),
    ],
)
def test_functions_that_cannot_be_looked_up_are_refused(functions, message):
    with pytest.raises(ValueError, match=message):
        count_functions([DRAWS], "draws").of(functions)


def test_intervals_are_those_of_clopper_and_pearson():
    found = count_functions([DRAWS], "")
    for k, low, high in zip(found.counts, *found.intervals(0.9), strict=True):
        assert binom.sf(k - 1, 6, low) == pytest.approx(0.05, rel=1e-9)
        assert binom.cdf(k, 6, high) == pytest.approx(0.05, rel=1e-9)


def draw(law, size, seed):
    """Counts of draws from a law over functions, as a record."""
    counts = np.random.default_rng(seed).multinomial(size, law)
    seen = np.flatnonzero(counts)
    order = np.argsort(-counts[seen])
    return FunctionCounts(np.zeros((len(seen), 1), np.uint8), counts[seen][order], ""), law[counts == 0].sum()


@pytest.mark.parametrize(("exponent", "functions"), [(1.0, 3000), (2.0, 3000), (0.0, 400), (0.0, 30)])
def test_missing_mass(exponent, functions):
    """Laws of Zipf and even ones, of whose functions some, most or next to none are missed: the interval covers."""
    law = np.arange(1, functions + 1.0) ** -exponent
    law /= law.sum()
    hits, errors, runs = 0, [], 80
    for seed in range(runs):
        found, truth = draw(law, 500, seed)
        estimate = found.missing_mass(0.9)
        low, high = estimate.interval
        assert 0 <= low <= estimate.value <= high <= 1
        hits += low <= truth <= high
        errors.append(estimate.value - truth)
    assert hits >= 0.8 * runs
    mean_error = np.std(errors) / math.sqrt(runs)
    assert abs(np.mean(errors)) < 4 * mean_error + 1 / 500  # biased by at most 1 / S
    assert exponent != 1 or np.std(errors) == pytest.approx(estimate.standard_error, rel=0.2)


def test_nothing_rare_is_not_taken_for_certainty():
    found = FunctionCounts(np.zeros((1, 1), np.uint8), np.array([100]), "")
    assert found.missing_mass().value == 0
    assert found.missing_mass().interval[1] == pytest.approx(1 - 0.025 ** (1 / 100))


def test_a_table():
    pandas = pytest.importorskip("pandas")
    frame = count_functions([DRAWS], "").to_frame(2)
    assert isinstance(frame, pandas.DataFrame)
    assert frame["function"].tolist() == ["011", "000"]
    assert frame["count"].tolist() == [3, 2]
    assert (frame["low"] < frame["probability"]).all()
    many = count_functions([[[0, 12]]], "").to_frame()
    assert many["function"].tolist() == ["0 12"]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 8), st.floats(-30, 0)), min_size=2, max_size=25))
def test_the_line_is_above_and_the_lowest(points):
    bits, logs = np.array(points).T
    if len(np.unique(bits)) < 2:
        return
    a, b = simplicity_line(bits, 2.0**logs)
    assert a >= 0
    assert (-a * bits - b >= logs - 1e-7).all()
    values = np.unique(bits)
    top = np.array([logs[bits == value].max() for value in values])
    gap = (-a * values - b - top).sum()
    for i in range(len(values)):  # no line through two of the points, or flat, is lower and above all
        for slope in [0.0, *((top[i] - top[j]) / (values[j] - values[i]) for j in range(i))]:
            line = top[i] - slope * (values - values[i])
            if slope >= 0 and (line >= top - 1e-9).all():
                assert gap <= (line - top).sum() + 1e-6


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "batches must be at least one and of the same inputs"),
        ([[[0, 1]], [[0, 1, 1]]], "batches must be at least one and of the same inputs"),
        ([[0, 1]], "batches must hold tables of classes from 0 to 255, got shape"),
        ([[[0, 256]]], "batches must hold tables of classes"),
        ([[[0, 0.5]]], "batches must be a whole number"),
        ([[[0, -1]]], "batches must be a whole number of at least 0"),
    ],
)
def test_bad_draws_are_refused(batches, message):
    with pytest.raises(ValueError, match=message):
        count_functions(batches, "")


def test_bad_lines_are_refused():
    with pytest.raises(ValueError, match="bits must have at least two values"):
        simplicity_line([1.0, 1.0], [0.5, 0.1])
    with pytest.raises(ValueError, match="bits and probabilities must be lists of one length"):
        simplicity_line([1.0, 2.0], [0.5])
    with pytest.raises(ValueError, match="probabilities must be positive"):
        simplicity_line([1.0, 2.0], [0.5, 0.0])
