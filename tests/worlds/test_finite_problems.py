"""Learners in finite worlds as problems: the names that theorems use, and the numbers behind them."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings

from genbounds.theorems import Assumption
from genbounds.theorems.quantities import (
    GAP,
    RISK,
    SQUARED_GAP,
    SUPERSAMPLE_GAP,
    SUPERSAMPLE_RISK,
    SUPERSAMPLE_SQUARED_GAP,
)
from genbounds.worlds import (
    FiniteWorld,
    Gibbs,
    Learning,
    LeaveOneOutLearning,
    SupersampleLearning,
    erm,
    leave_one_out_problem,
    sample_problem,
    supersample_problem,
)
from genbounds.worlds.strategies import learnings

WORLD = FiniteWorld([0.25, 0.75], [[0.0, 0.5], [0.25, 0.75], [1.0, 0.5]], name="graded")


@settings(max_examples=30)
@given(learnings())
def test_one_row_of_n_numbers_for_each_supersample(learning):
    n, points = learning.n, len(learning.world.probabilities)
    whole = sample_problem(learning)
    for name in (
        "individual_information",
        "total_variations",
        "wasserstein_distances",
        "e_mi",
        "ld_mi",
        "single_loss_mi",
    ):
        assert np.shape(whole.quantities[name]) == (n,)
    assert {np.shape(whole.truths[name]) for name in (GAP, RISK, SQUARED_GAP)} == {()}
    told = supersample_problem(SupersampleLearning(learning.world, learning.learner, n))
    for name in ("individual_cmi", "f_cmi", "e_cmi", "ld_cmi", "squared_differences"):
        assert np.shape(told.quantities[name]) == (points ** (2 * n), n)
    for name in ("cmi", "train_risk"):
        assert np.shape(told.quantities[name]) == (points ** (2 * n),)
    left = leave_one_out_problem(LeaveOneOutLearning(learning.world, learning.learner, n))
    assert np.shape(left.quantities["loo_cmi"]) == (points ** (n + 1),)
    for problem in (told, left):
        shapes = {np.shape(problem.truths[q]) for q in (SUPERSAMPLE_GAP, SUPERSAMPLE_RISK, SUPERSAMPLE_SQUARED_GAP)}
        assert len(shapes) == 1
    for problem in (whole, told, left):
        assert problem.quantities["n"] == n
        assert not any(np.isnan(value).any() for value in problem.quantities.values())
        assert all(np.all((np.asarray(value) >= 0) & (np.asarray(value) <= 1)) for value in problem.truths.values())


def test_gaps_are_of_either_sign_and_bounds_are_for_their_size():
    learning = Learning(WORLD, lambda _, s: np.eye(3)[2 * (s[:, 0] == 0)], 1)  # errs on what it has seen
    assert learning.gap < 0
    assert sample_problem(learning).truths[GAP] == -learning.gap
    told = SupersampleLearning(WORLD, learning.learner, 1)
    assert told.gaps.min() < 0
    np.testing.assert_array_equal(supersample_problem(told).truths[SUPERSAMPLE_GAP], np.abs(told.gaps))


def test_the_discrete_metric():
    """Transport in it is total variation, and losses change by at most 1 on the first point."""
    quantities = sample_problem(Learning(WORLD, erm, 2)).quantities
    assert quantities["lipschitz"] == 1.0
    np.testing.assert_array_equal(quantities["wasserstein_distances"], quantities["total_variations"])
    flat = FiniteWorld([0.5, 0.5], [[0.25, 0.5], [0.375, 0.75]])
    assert sample_problem(Learning(flat, erm, 1)).quantities["lipschitz"] == 0.25


@pytest.mark.parametrize("errs", [0.1, 0.9])
def test_cumulants_of_the_worst_hypothesis(errs):
    """Losses that are seldom high have the larger moments to one side, losses that are seldom low to the other."""
    world = FiniteWorld([1 - errs, errs], [[0.0, 1.0], [0.0, 0.5]])
    quantities = sample_problem(Learning(world, erm, 1)).quantities
    for rate, value in zip(quantities["rates"], quantities["cgf"], strict=True):
        moments = []
        with mpmath.workdps(40):
            for row in world.losses:
                risk = mpmath.fdot(world.probabilities, row)
                for sign in (1, -1):
                    weighted = zip(world.probabilities, row, strict=True)
                    moments.append(mpmath.log(sum(p * mpmath.exp(sign * rate * (risk - x)) for p, x in weighted)))
        assert value == pytest.approx(float(max(moments)), rel=1e-12)
        assert value <= rate**2 / 8 + 1e-15  # Hoeffding's lemma
    constant = FiniteWorld([0.5, 0.5], [[0.3, 0.3]])
    assert sample_problem(Learning(constant, erm, 1)).quantities["cgf"].max() < 1e-15


def test_what_only_some_problems_have():
    assert sample_problem(Learning(WORLD, Gibbs(2.5), 1)).quantities["inverse_temperature"] == 2.5
    assert "inverse_temperature" not in sample_problem(Learning(WORLD, erm, 1)).quantities
    errors = FiniteWorld([0.5, 0.5], np.eye(2))
    for world, broken in ((WORLD, {Assumption.ZERO_ONE_LOSS}), (errors, set())):
        assert sample_problem(Learning(world, erm, 1)).breaks == broken
        assert supersample_problem(SupersampleLearning(world, erm, 1)).breaks == broken
        assert leave_one_out_problem(LeaveOneOutLearning(world, erm, 1)).breaks == broken


def test_names_tell_the_three_apart():
    names = [
        sample_problem(Learning(WORLD, erm, 2)).name,
        supersample_problem(SupersampleLearning(WORLD, erm, 2)).name,
        leave_one_out_problem(LeaveOneOutLearning(WORLD, erm, 2)).name,
    ]
    assert names == ["graded, n=2", "graded, n=2, each supersample", "graded, n=2, one left out"]
    assert math.isfinite(sample_problem(Learning(WORLD, Gibbs(1.0), 2)).quantities["lautum"])
