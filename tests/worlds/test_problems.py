"""Bounds on average against problems whose numbers are exact."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from genbounds.theorems import Assumption, Fixed, Grid, Theorem
from genbounds.theorems.quantities import GAP, SUPERSAMPLE_GAP
from genbounds.worlds import Problem, attack, problem_attack
from genbounds.worlds.problems import problems


def halved(width, factor):
    largest = max(factor.values) if isinstance(factor, Grid) else factor
    return np.asarray(width) * largest / 2


BOUND = Theorem(
    name="tests.halved",
    function=halved,
    statement="?",
    formula="?",
    predictor="algorithm average",
    kind="expectation",
    quantity=GAP,
    uniform_over="",
    assumes=(Assumption.IID,),
    reference="?",
    locator="?",
    parameters=(Fixed("factor", 1.0, 3.0, "?"),),
    averages_over="samples",
)


@pytest.fixture
def two_problems(monkeypatch):
    # `genbounds.worlds.attack` is the function of that module
    monkeypatch.setattr(import_module(attack.__module__), "PROBLEMS", found := [])

    def some():
        yield Problem("one", {"width": 1.0}, {GAP: 0.5})
        yield Problem("none", {"width": 0.0}, {GAP: 0.0})
        yield Problem("another truth", {"width": 1.0}, {SUPERSAMPLE_GAP: 10.0})
        yield Problem("another quantity", {"height": 1.0}, {GAP: 10.0})
        yield Problem("outside its conditions", {"width": 1.0}, {GAP: 10.0}, frozenset(BOUND.assumes))

    found.append(some)


@pytest.mark.usefixtures("two_problems")
def test_a_bound_on_average_meets_the_problems_that_know_its_arguments():
    found = attack(BOUND, 0.05)
    assert {each.world for each in found} == {"one", "none"}
    assert all(each.survived and each.delta == 0 for each in found)
    ratios = [each.ratio for each in found if each.world == "one"]
    assert min(ratios) == pytest.approx(1 + 2 / 16)  # the smallest of fifteen factors strictly between 1 and 3
    assert {each.ratio for each in found if each.world == "none"} == {np.inf}


@pytest.mark.usefixtures("two_problems")
def test_a_constant_that_is_too_small_is_caught():
    halfway = replace(BOUND, function=lambda width, factor: halved(width, factor) / 2)
    assert not all(each.survived for each in attack(halfway, 0.05))


@pytest.mark.usefixtures("two_problems")
def test_a_bound_that_no_problem_knows_is_refused():
    with pytest.raises(ValueError, match="must have arguments that a problem knows"):
        attack(replace(BOUND, quantity="regret"), 0.05)


def test_one_supersample_below_its_truth_is_a_failure():
    problem = Problem("two supersamples", {"width": np.array([1.0, 1.0])}, {SUPERSAMPLE_GAP: np.array([0.2, 0.6])})
    found = problem_attack(lambda width: width / 2, SUPERSAMPLE_GAP, ("width",), problem)
    assert (found.failure, found.slack, found.ratio) == (1.0, pytest.approx(0.1), pytest.approx(0.5 / 0.6))
    found = problem_attack(lambda width: width * 0.6, SUPERSAMPLE_GAP, ("width",), problem)
    assert (found.failure, found.ratio) == (0.0, pytest.approx(1.0))


def test_the_margin_heeds_neither_rounding_nor_caps():
    """0.5 over 0.4 tells how wrong a constant may be; 1 over 0.9 does not if the 1 is a cap, nor 1e-17 over 1e-16."""
    problem = Problem("three", {"width": np.array([0.5, 1.0, 1e-17])}, {SUPERSAMPLE_GAP: np.array([0.4, 0.9, 1e-16])})
    found = problem_attack(lambda width: width, SUPERSAMPLE_GAP, ("width",), problem)
    assert (found.failure, found.ratio) == (0.0, pytest.approx(1.25))


@pytest.mark.parametrize("truth", [0.5, 1e-6, 3e-12, 1.5e-12])
def test_the_margin_is_what_an_attack_detects(truth):
    """A bound that is smaller by just more than its margin fails; by just less, it does not."""
    problem = Problem("small", {"width": 1.1 * truth}, {GAP: truth})
    margin = problem_attack(lambda width: width, GAP, ("width",), problem).ratio
    smaller, larger = (
        problem_attack(lambda width, factor=factor: width / (margin * factor), GAP, ("width",), problem).failure
        for factor in (1 + 1e-3, 1 - 1e-3)
    )
    assert (smaller, larger) == (1.0, 0.0)


def test_slack_is_an_average_over_supersamples():
    quantities, truths = {"width": np.array([1.0, 1.0])}, {SUPERSAMPLE_GAP: np.array([0.5, 0.1])}
    problem = Problem("unequal", quantities, truths, weights=np.array([3.0, 1.0]))
    assert problem_attack(lambda width: width / 2, SUPERSAMPLE_GAP, ("width",), problem).slack == pytest.approx(0.1)


def test_nan_is_no_bound():
    with pytest.raises(ArithmeticError, match="must be a number in here"):
        problem_attack(lambda width: width * np.nan, GAP, ("width",), Problem("here", {"width": 1.0}, {GAP: 0.0}))


@pytest.mark.parametrize("truth", [np.nan, np.inf])
def test_an_unknown_truth_is_no_truth(truth):
    """No bound is below NaN: it would survive."""
    with pytest.raises(ArithmeticError, match="the truth must be a number in here"):
        problem_attack(lambda width: width, GAP, ("width",), Problem("here", {"width": 1.0}, {GAP: truth}))


def test_entering_returns_the_function(monkeypatch):
    monkeypatch.setattr("genbounds.worlds.problems.PROBLEMS", entered := [])

    def none():
        yield from ()

    assert problems(none) is none
    assert entered == [none]
