import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.theorems import Fixed, Free, Grid

LAM = Free("lam", 0.0, 2.0, "Weighs risk against complexity.")
C = Fixed("C", 0.0, math.inf, "Inverse temperature.")


def test_values_inside_the_interval_pass_unchanged():
    assert LAM.check(0.5) == 0.5
    assert LAM.check([1, np.nextafter(2.0, 0.0)]).dtype == np.float64
    assert C.check(np.float32(3.0)) == 3.0


@pytest.mark.parametrize("value", [0.0, 2.0, -1.0, math.inf, math.nan, [1.0, 2.5], "1", None])
def test_values_outside_the_interval_are_refused_with_the_rule(value):
    with pytest.raises(ValueError, match=r"lam must be strictly between 0 and 2, got .* lam is free"):
        LAM.check(value)


def test_a_fixed_parameter_says_when_it_may_be_chosen():
    assert (LAM.kind, C.kind) == ("free", "fixed")
    with pytest.raises(ValueError, match="C is fixed before the sample is seen, or a Grid"):
        C.check(math.inf)


def test_parameters_compare_by_value():
    assert Free("lam", 0.0, 2.0, "x") == Free("lam", 0.0, 2.0, "x")
    assert Free("lam", 0.0, 2.0, "x") != Fixed("lam", 0.0, 2.0, "x")
    assert hash(Grid([1, 2])) == hash(Grid([1.0, 2.0]))


@given(st.lists(st.floats(1e-100, 1e100), min_size=1, max_size=20))
def test_the_union_of_a_grid_is_paid_in_full(weights):
    """The shares exp(-cost) add up to at most 1, in arithmetic without rounding, and little is wasted."""
    costs = Grid(range(len(weights)), weights).costs
    with mpmath.workdps(60):
        assert mpmath.fsum(mpmath.exp(-mpmath.mpf(cost)) for cost in costs) <= 1
        total = sum(map(Fraction, weights))
        for weight, cost in zip(weights, costs, strict=True):
            ratio = total / Fraction(weight)
            exact = mpmath.log(mpmath.mpf(ratio.numerator) / ratio.denominator)
            assert exact <= cost <= exact * (1 + 1e-14) + 1e-14


def test_equal_shares_cost_the_logarithm_of_their_number():
    np.testing.assert_allclose(Grid([1, 2, 3, 4, 5]).costs, math.log(5), rtol=1e-14)
    assert len(Grid([1, 2, 3])) == 3


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_a_grid_needs_finite_values(values):
    with pytest.raises(ValueError, match="values must be a non-empty list of finite numbers"):
        Grid(values)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, math.nan], [1.0, math.inf], [1e308, 1e308]])
def test_a_grid_needs_a_positive_weight_for_each_value(weights):
    with pytest.raises(ValueError, match="weights must be 2 positive numbers with a finite sum, one a value"):
        Grid([1.0, 2.0], weights)


def test_a_single_candidate_costs_nothing():
    assert Grid([0.5], [3.0]).costs.tolist() == [0.0]
