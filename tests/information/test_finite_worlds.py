"""Every bound on average in 500 random finite worlds, whole and with its constants cut; and how tight it gets at all.

Two cuts are tried on every theorem that a finite world can feed: its value times 1/sqrt(2), where it is not capped at
1, and its information times 1/2. The second is the sharper test of bounds on the risk, whose value contains the
training risk whatever the constants are. Some world must expose each of them; what is cut deeper fails there, too.
"""

from collections import defaultdict
from dataclasses import replace
from functools import wraps
from importlib import import_module
from math import sqrt

import numpy as np
import pytest

from genbounds.theorems import catalogue
from genbounds.worlds import (
    Gibbs,
    Learning,
    LeaveOneOutLearning,
    Problem,
    SupersampleLearning,
    attack,
    classification,
    leave_one_out_problem,
    sample_problem,
    supersample_problem,
)
from genbounds.worlds.batteries.loss_dependence import loss_dependence_problem

#: Arguments that measure what the output tells; a bound without any of them is cut in its value alone.
INFORMATION = {
    "mutual_information",
    "individual_information",
    "total_variations",
    "wasserstein_distances",
    "lautum",
    "symmetrised_information",
    "leakage",
    "cmi",
    "individual_cmi",
    "f_cmi",
    "e_cmi",
    "ld_cmi",
    "e_mi",
    "ld_mi",
    "single_loss_mi",
    "loo_cmi",
    "ld_hellinger",
    "ld_jensen_shannon",
    "ld_chi_squared",
}


def kinds(learning, told):
    """A learner at work as problems: over samples, for each supersample in two ways, with one example left out."""
    left = LeaveOneOutLearning(told.world, told.learner, told.n)
    return (
        sample_problem(learning),
        supersample_problem(told),
        loss_dependence_problem(told),
        leave_one_out_problem(left),
    )


def fed_by_finite_worlds():
    """Theorems all of whose arguments one of these problems knows, and what they bound."""
    coin, learner = classification([0.5, 0.5], [0, 0], [0, 1]), Gibbs(1.0)
    known = kinds(Learning(coin, learner, 1), SupersampleLearning(coin, learner, 1))

    def fed(theorem):
        arguments = set(theorem.arguments) - {own.name for own in theorem.parameters}
        return any(theorem.quantity in each.truths and arguments <= set(each.quantities) for each in known)

    return {name: theorem for name, theorem in catalogue().items() if theorem.kind == "expectation" and fed(theorem)}


every_theorem = pytest.mark.parametrize("theorem", fed_by_finite_worlds().values(), ids=fed_by_finite_worlds())


def rows(problem, kept):
    """Some supersamples of a problem."""

    def pick(value):
        return value[kept] if np.ndim(value) and len(value) == len(kept) else value

    quantities = {name: pick(value) for name, value in problem.quantities.items()}
    return replace(problem, quantities=quantities, truths={name: pick(value) for name, value in problem.truths.items()})


def joined(problems):
    """Several problems as one, with a leading axis for them or a longer one for their supersamples."""
    first = problems[0]
    listed = np.ndim(next(iter(first.truths.values()))) > 0

    def join(values):
        return np.concatenate(values) if listed else np.stack(values)

    def shared(value):
        return np.ndim(value) == 0 if listed else False

    quantities = {
        name: value if name == "n" or shared(value) else join([problem.quantities[name] for problem in problems])
        for name, value in first.quantities.items()
    }
    truths = {name: join([problem.truths[name] for problem in problems]) for name in first.truths}
    return Problem(f"{len(problems)} worlds like {first.name}", quantities, truths, first.breaks)


@pytest.fixture(scope="module")
def five_hundred(random_problems):
    """The random problems; those with the same n and the same kind of loss are one, so that 500 take little time."""
    groups, single = defaultdict(list), []
    for learning, told in random_problems:
        whole, each, dependence, left = kinds(learning, told)
        # Which column of a pair comes first changes nothing: one order of each pair will do.
        kept = (told.points[:, :, 0] <= told.points[:, :, 1]).all(axis=1)
        # Cumulants at a list of rates belong to one world.
        cumulants = ("n", "rates", "cgf", "mutual_information", "individual_information")
        single.append(replace(whole, quantities={name: whole.quantities[name] for name in cumulants}))
        others = {name: value for name, value in whole.quantities.items() if name not in ("rates", "cgf")}
        whole = replace(whole, quantities=others)
        for kind, problem in enumerate((whole, rows(each, kept), rows(dependence, kept), left)):
            groups[kind, learning.n, problem.breaks, tuple(problem.quantities)].append(problem)
    return [joined(group) for group in groups.values()] + single


@pytest.fixture
def attacked(monkeypatch):
    """A function that attacks a theorem in given problems, or, given none, in all that there are."""

    def attacks(theorem, problems):
        with monkeypatch.context() as patched:
            if problems is not None:
                patched.setattr(import_module(attack.__module__), "PROBLEMS", [lambda: iter(problems)])
            return attack(theorem, 0.05)

    return attacks


@every_theorem
def test_no_bound_is_below_the_truth_in_500_worlds(theorem, five_hundred, attacked):
    found = attacked(theorem, five_hundred)
    assert found
    assert [each for each in found if each.slack < -1e-9 or not each.survived] == []


def cut_value(theorem):
    @wraps(theorem.function)
    def cut(**given):
        value = theorem.function(**given)
        return np.where(value == 1, 1.0, value / sqrt(2))

    return replace(theorem, function=cut)


def cut_information(theorem):
    @wraps(theorem.function)
    def cut(**given):
        return theorem.function(**{name: v / 2 if name in INFORMATION else v for name, v in given.items()})

    return replace(theorem, function=cut)


@every_theorem
@pytest.mark.parametrize("cut", [cut_value, cut_information])
def test_a_constant_that_is_too_small_is_caught(theorem, cut, five_hundred, attacked):
    """In one of the 500 worlds, or in one of those that were made to be nearly tight."""
    if cut is cut_information and not INFORMATION & set(theorem.arguments):
        assert {"n", "inverse_temperature"} <= set(theorem.arguments)  # it has no information to cut
        return
    broken = cut(theorem)
    if all(each.survived for each in attacked(broken, five_hundred)):
        assert not all(each.survived for each in attacked(broken, None))


@every_theorem
def test_every_bound_comes_close_to_the_truth(theorem, five_hundred, attacked):
    """The smallest ratio is the margin of detection: a constant that is too small by more than that is caught."""
    ratio = min(each.ratio for worlds in (five_hundred, None) for each in attacked(theorem, worlds))
    print(f"{theorem.name}: at least {ratio:.4f} times the {theorem.quantity}")
    assert 1 - 1e-9 <= ratio < sqrt(2)
