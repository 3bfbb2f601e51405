"""Learning problems as a table of exact numbers, for bounds that hold on average.

A bound on average is a function of numbers that describe an algorithm: a mutual information, distances, variances. A
world that knows these numbers exactly, and the gap with them, attacks every such bound whose arguments it can fill in.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.theorems import Assumption
from genbounds.worlds.failures import MARGIN, Attack

__all__ = ["PROBLEMS", "Problem", "problem_attack", "problems"]


@dataclass(frozen=True)
class Problem:
    """One algorithm on one distribution, in numbers.

    Parameters
    ----------
    name : str
        For reports.
    quantities : mapping of str to object
        From names of theorems' arguments to their exact values. Leading axes stand for supersamples, if there are any.
    truths : mapping of str to object
        From what a theorem may bound (`genbounds.theorems.quantities`) to its exact value, in the same shape as what a
        theorem makes of the quantities.
    breaks : frozenset of Assumption
        Assumptions that do not hold here: theorems that rest on one of them are not tried.
    weights : ndarray, optional
        Probabilities of the supersamples, up to a factor, for averages over them; equal ones if left out.
    """

    name: str
    quantities: Mapping[str, Any]
    truths: Mapping[str, Any]
    breaks: frozenset[Assumption] = frozenset()
    weights: NDArray[np.float64] | None = None


#: Functions that yield problems. They are called anew for each theorem: keep what is costly in a cache.
PROBLEMS: list[Callable[[], Iterator[Problem]]] = []


def problems(function: Callable[[], Iterator[Problem]]) -> Callable[[], Iterator[Problem]]:
    """Enter a function into `PROBLEMS`.

    Parameters
    ----------
    function : callable
        Yields problems.

    Returns
    -------
    callable
        The function, unchanged.
    """
    PROBLEMS.append(function)
    return function


def problem_attack(bound: Callable[..., Any], quantity: str, arguments: tuple[str, ...], problem: Problem) -> Attack:
    """Compare a bound that holds on average with the truth.

    Parameters
    ----------
    bound : callable
        From the arguments, by position, to the bound.
    quantity : str
        What it bounds: a key of the problem's truths.
    arguments : tuple of str
        Names of the arguments: keys of the problem's quantities.
    problem : Problem
        The problem.

    Returns
    -------
    Attack
        Failure 1 if the bound is below the truth, for one supersample at least where there are several, by more than
        1e-12 of what is larger, the truth or 1; else 0. It allows itself none. The slack is an average over the
        supersamples, the ratio the smallest.

    Raises
    ------
    ArithmeticError
        If the bound or the truth is not a number.
    """
    truth = np.asarray(problem.truths[quantity], dtype=np.float64)
    value = np.asarray(bound(*(problem.quantities[name] for name in arguments)), dtype=np.float64)
    if np.isnan(value).any():
        raise ArithmeticError(f"the bound must be a number in {problem.name}, got NaN.")
    if not np.isfinite(truth).all():
        raise ArithmeticError(f"the truth must be a number in {problem.name}, got {truth!r} for the {quantity}.")
    excess = value - truth
    least = truth - MARGIN * np.maximum(1.0, np.abs(truth))  # what is above has not failed
    with np.errstate(divide="ignore", invalid="ignore"):
        # A truth next to 0 may be the rounding of 0; and a bound capped at 1 says nothing of its constants.
        ratio = np.where((least > 0) & (value != 1), value / least, np.inf)
    slack = float(np.average(excess, weights=problem.weights))
    return Attack(problem.name, 0.0, float(np.any(value < least)), slack, float(np.min(ratio)))
