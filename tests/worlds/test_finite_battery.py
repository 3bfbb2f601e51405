"""The problems that every bound on average meets: what they were crafted for, each once, in little time."""

import math
from collections import Counter

import numpy as np
import pytest

from genbounds.theorems.quantities import GAP, SQUARED_GAP, SUPERSAMPLE_GAP, SUPERSAMPLE_RISK, SUPERSAMPLE_SQUARED_GAP
from genbounds.worlds import PROBLEMS, Learning, memoriser, opposed_pairs, seen_points
from genbounds.worlds.batteries import finite as finite_battery


@pytest.fixture(scope="module")
def entered():
    (found,) = [function for function in PROBLEMS if function.__module__ == finite_battery.__name__]
    return {problem.name: problem for problem in found()}


def nearest(entered, bound, quantity, *arguments):
    """The smallest quotient of a bound and the truth over all problems, where the bound is not capped."""
    ratios = []
    for problem in entered.values():
        if quantity in problem.truths and set(arguments) <= set(problem.quantities):
            value = np.asarray(bound(*(problem.quantities[name] for name in arguments)))
            truth = np.asarray(problem.truths[quantity])
            assert np.all(value >= truth - 1e-12)
            ratios.append(
                np.min(value[(truth > 1e-12) & (value < 1)] / truth[(truth > 1e-12) & (value < 1)], initial=9)
            )
    assert len(ratios) > 10
    return min(ratios)


def test_each_problem_is_there_once(entered):
    (found,) = [function for function in PROBLEMS if function.__module__ == finite_battery.__name__]
    counts = Counter(problem.name for problem in found())
    assert max(counts.values()) == 1
    assert len(counts) > 200
    assert next(found()) is next(found())  # computed once


def half_sum(information):
    return np.sqrt(information / 2).mean(axis=-1)


def pair_sum(information):
    return np.sqrt(2 * information).mean(axis=-1)


@pytest.mark.parametrize(
    ("bound", "quantity", "arguments", "margin"),
    [
        (lambda i, n: np.sqrt(i / (2 * n)), GAP, ("mutual_information", "n"), 1.001),
        (half_sum, GAP, ("individual_information",), 1.001),
        (lambda t: np.mean(t), GAP, ("total_variations",), 1.0 + 1e-9),
        (lambda i, n: np.sqrt(i / (2 * n)), GAP, ("lautum", "n"), 1.001),
        (lambda i, n: np.sqrt(i / (2 * n)), GAP, ("leakage", "n"), 1.12),
        (lambda i, n: (i + math.log(2) / 2) / n, SQUARED_GAP, ("mutual_information", "n"), 1.23),
        (lambda i, n: np.sqrt(2 * i / n), SUPERSAMPLE_GAP, ("cmi", "n"), 1.001),
        (pair_sum, SUPERSAMPLE_GAP, ("individual_cmi",), 1.001),
        (pair_sum, SUPERSAMPLE_GAP, ("f_cmi",), 1.001),
        (pair_sum, SUPERSAMPLE_GAP, ("e_cmi",), 1.001),
        (pair_sum, SUPERSAMPLE_GAP, ("ld_cmi",), 1.001),
        (pair_sum, GAP, ("single_loss_mi",), 1.001),
        (pair_sum, GAP, ("e_mi",), 1.4143),
        (pair_sum, GAP, ("ld_mi",), 1.4143),
        (lambda r, i, n: 2 * r + 3 * i / n, SUPERSAMPLE_RISK, ("train_risk", "cmi", "n"), 1.2),
        (lambda i, n: (3 * i + 2) / n, SUPERSAMPLE_SQUARED_GAP, ("cmi", "n"), 1.3),
        (lambda i, n: (n + 1) / n * np.sqrt(i / 2), SUPERSAMPLE_GAP, ("loo_cmi", "n"), 1.001),
    ],
    ids=lambda case: "-".join(case) if isinstance(case, tuple) else None,
)
def test_published_bounds_come_close_to_the_truth(entered, bound, quantity, arguments, margin):
    """A constant that is too small by more than the margin is caught; nothing is below the truth."""
    assert 1 - 1e-9 <= nearest(entered, bound, quantity, *arguments) <= margin


def test_some_learners_never_err_in_training(entered):
    clean = [p for p in entered.values() if "train_risk" in p.quantities and np.all(p.quantities["train_risk"] == 0)]
    assert len(clean) > 20
    assert any(problem.truths.get(GAP, 0) > 0.4 for problem in clean)


def test_a_learner_that_learns_nothing_has_no_gap(entered):
    problem = entered["learns nothing"]
    told = ("mutual_information", "lautum", "leakage", "individual_information", "total_variations", "e_mi", "ld_mi")
    for name in told:
        assert np.all(np.asarray(problem.quantities[name]) < 1e-15), name
    assert problem.truths[GAP] < 1e-15
    assert problem.truths[SQUARED_GAP] > 0.1


def test_points_that_were_seen():
    world = seen_points(3, 2)
    assert world.losses.shape == (9, 3)
    learning = Learning(world, memoriser, 2)
    assert learning.train_risk == 0
    # a new point was not seen with probability 4/9
    assert learning.risk == pytest.approx(4 / 9)


def test_opposed_pairs():
    world = opposed_pairs(2)
    assert world.losses.tolist() == [[0, 1, 0, 1], [0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 1, 0]]
    assert world.risks.tolist() == [0.5] * 4
