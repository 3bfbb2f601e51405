"""The learning-curve fit: exact recovery, an independent optimiser, calibrated intervals, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from genbounds.report.learning_curve import fit_learning_curve

SIZES = np.array([100, 300, 1000, 3000, 10000, 30000])


def law(n, a, b, c):
    return a * np.asarray(n, np.float64) ** -b + c


@given(a=st.floats(0.1, 3.0), b=st.floats(0.2, 1.5), c=st.floats(0.0, 0.2))
def test_a_noiseless_curve_is_recovered(a, b, c):
    errors = np.minimum(law(SIZES, a, b, c), 1.0)
    if (errors == 1.0).any():
        return
    fit = fit_learning_curve(SIZES, errors, np.full(len(SIZES), 1e-3))
    assert fit.b.value == pytest.approx(b, rel=1e-4)
    assert fit.c.value == pytest.approx(c, abs=1e-5)
    assert fit.a.value == pytest.approx(a, rel=1e-3)
    np.testing.assert_allclose(fit(SIZES), errors, atol=1e-7)
    assert fit.a.low <= fit.a.value <= fit.a.high
    assert fit.b.low <= b <= fit.b.high
    assert fit.c.low <= c <= fit.c.high


def test_agrees_with_a_general_optimiser_where_no_constraint_binds():
    rng = np.random.default_rng(3)
    deviations = np.array([0.01, 0.006, 0.003, 0.002, 0.002, 0.001])
    errors = law(SIZES, 0.9, 0.45, 0.02) + deviations * rng.standard_normal(6)
    ours = fit_learning_curve(SIZES, errors, deviations)
    theirs, _ = curve_fit(law, SIZES, errors, p0=(1.0, 0.5, 0.01), sigma=deviations, absolute_sigma=True)
    assert [ours.a.value, ours.b.value, ours.c.value] == pytest.approx(list(theirs), rel=1e-4)


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(11)
    truth = law(SIZES, 0.8, 0.4, 0.03)
    deviations = 0.04 * truth
    repetitions, hits = 60, {"a": 0, "b": 0, "c": 0, "next": 0}
    for _ in range(repetitions):
        fit = fit_learning_curve(SIZES, truth + deviations * rng.standard_normal(6), deviations, level=0.9)
        for name, value in (("a", 0.8), ("b", 0.4), ("c", 0.03)):
            interval = getattr(fit, name)
            hits[name] += interval.low <= value <= interval.high
        ahead = fit.predict(100_000)
        hits["next"] += ahead.low <= law(100_000, 0.8, 0.4, 0.03) <= ahead.high
    # Binomial(60, 0.9) is below 46 with probability 1e-3.
    assert min(hits.values()) >= 46, hits


def test_scatter_beyond_the_standard_errors_widens_the_intervals():
    errors = law(SIZES, 0.8, 0.4, 0.03) * (1 + 0.2 * np.array([1, -1, 1, -1, 1, -1]))
    small = np.full(6, 1e-3)
    fit = fit_learning_curve(SIZES, errors, small)
    calm = fit_learning_curve(SIZES, law(SIZES, 0.8, 0.4, 0.03), small)
    assert fit.misfit > 10
    assert fit.b.high - fit.b.low > 5 * (calm.b.high - calm.b.low)


def test_a_flat_curve_leaves_the_exponent_open():
    fit = fit_learning_curve(SIZES, np.full(6, 0.3), np.full(6, 0.01))
    assert (fit.b.low, fit.b.high) == (0.0, math.inf)
    assert fit.c.low == 0.0
    assert fit(1_000_000) == pytest.approx(0.3)


def test_without_standard_errors_the_scatter_alone_sets_the_intervals():
    rng = np.random.default_rng(5)
    errors = law(SIZES, 0.8, 0.4, 0.03) + 0.002 * rng.standard_normal(6)
    fit = fit_learning_curve(SIZES, errors)
    assert fit.b.low < 0.4 < fit.b.high
    assert fit.b.high - fit.b.low < 0.4


def test_it_calls_itself_an_extrapolation():
    text = str(fit_learning_curve(SIZES, law(SIZES, 0.8, 0.4, 0.03)))
    assert text.startswith("Extrapolation, not a bound")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([100, 200, 300], [0.3, 0.2, 0.1]), "at least four different"),
        (([100, 200, 300, 300], [0.3, 0.2, 0.1, 0.1]), "at least four different"),
        (([100, 200, 300, 400], [0.3, 0.2, 0.1]), "lists of one length"),
        (([100, 200, 300, 400], [0.3, 0.2, 0.1, math.nan]), "errors must be a number"),
        (([100, 200, 300, 400], [0.3, 0.2, 0.1, 1.2]), r"errors must be in \[0, 1\]"),
        (([0, 200, 300, 400], [0.3, 0.2, 0.1, 0.1]), "sizes must be a whole number"),
        (([100, 200, 300, 400], [0.3, 0.2, 0.1, 0.1], [0.1, 0.1, 0.1, 0.0]), "standard_errors must be positive"),
        (([100, 200, 300, 400], [0.3, 0.2, 0.1, 0.1], None, 1.0), "level must be strictly between"),
    ],
)
def test_refuses(arguments, text):
    with pytest.raises(ValueError, match=text):
        fit_learning_curve(*arguments)
