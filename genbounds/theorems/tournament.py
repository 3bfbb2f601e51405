"""Several theorems on one sample, and the smallest number quoted: the choice is paid for where it is one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import nextafter
from typing import Any

import numpy as np

from genbounds.theorems.catalogue import get
from genbounds.theorems.theorem import Theorem

__all__ = ["Tournament", "tournament"]


@dataclass(frozen=True)
class Tournament:
    """What a comparison of theorems found.

    Parameters
    ----------
    winner : str
        Full name of the theorem with the smallest value.
    value : float
        That value: a bound that fails with probability at most the delta of the whole comparison.
    delta : float
        The part of it that each event had, and every theorem with it.
    candidates : int
        Number of events: over how many candidates a ledger must list the union. 1 if all theorems share one.
    values : mapping of str to float
        What each theorem gives at `delta`. All of them hold at once.
    """

    winner: str
    value: float
    delta: float
    candidates: int
    values: Mapping[str, float]


def _share(delta: float, candidates: int) -> float:
    """Return the largest float that is at most delta / candidates, exactly."""
    part = delta / candidates
    return nextafter(part, 0.0) if Fraction(part) * candidates > Fraction(delta) else part


def _events(theorems: Iterable[Theorem]) -> int:
    """Count the events: those that theorems share, and one for each of the others."""
    return len({theorem.event or theorem.name for theorem in theorems})


def _compared(names: Iterable[str]) -> list[Theorem]:
    """Return the theorems, all about one predictor and one quantity, none twice."""
    theorems = [get(name) for name in names]
    full = [theorem.name for theorem in theorems]
    if not full or len(set(full)) < len(full):
        raise ValueError(f"names must be different theorems, at least one, got {full}. List each once.")
    about = sorted({f"the {theorem.quantity} of {theorem.predictor!r}" for theorem in theorems})
    if len(about) > 1:
        raise ValueError(
            f"names must bound one quantity of one predictor, got {' and '.join(about)}. Compare like with like."
        )
    for theorem in theorems:
        if "delta" not in theorem.arguments:
            raise ValueError(f"names must spend delta, but {theorem.name} does not. Compare the bound it rests on.")
    return theorems


def _inputs(theorem: Theorem, inputs: Mapping[str, Any]) -> dict[str, Any]:
    missing = [name for name in theorem.arguments if name != "delta" and name not in inputs]
    if missing:
        raise ValueError(
            f"inputs must hold {', '.join(missing)} for {theorem.name}, got {', '.join(inputs) or 'nothing'}. "
            "Measure it, or leave that theorem out."
        )
    return {name: inputs[name] for name in theorem.arguments if name != "delta"}


def tournament(names: Iterable[str], inputs: Mapping[str, Any], delta: float) -> Tournament:
    """Apply several theorems to one sample and return the smallest bound, at a total failure probability of delta.

    Theorems with the same `Theorem.event` hold on one event: if it occurs, all of them hold, and the best may be quoted
    for nothing. Of K different events each gets delta / K, so that all theorems hold at once with probability at least
    1 - delta. That costs about ln K nats on top of the KL divergence.

    Parameters
    ----------
    names : iterable of str
        Theorems of the catalogue, fixed before the sample; all about one quantity of one predictor.
    inputs : mapping of str to object
        Arguments by name, delta left out; more than a theorem needs is no harm. They are numbers about one sample.
    delta : float
        Probability with which the result may fail, in (0, 1).

    Returns
    -------
    Tournament
        The winner, its value, what each event got of delta, and how many candidates a ledger must list.

    Raises
    ------
    ValueError
        If a theorem is listed twice, is about something else than the others or misses an input, if an input is an
        array of several candidates, or a theorem refuses its numbers.

    Examples
    --------
    Two theorems on one event cost nothing; a third with an event of its own halves delta:

    >>> inputs = {"risk": 0.02, "kl": 500.0, "n": 60000, "C": 1.0}
    >>> free = tournament(["maurer", "mcallester"], inputs, 0.05)
    >>> free.winner, free.delta, free.candidates
    ('pac_bayes.maurer', 0.05, 1)
    >>> paid = tournament(["maurer", "mcallester", "catoni"], inputs, 0.05)
    >>> paid.delta, paid.candidates
    (0.025, 2)
    """
    theorems = _compared(names)
    candidates = _events(theorems)
    if not 0 < delta < 1:
        raise ValueError(
            f"delta must be strictly between 0 and 1, got {delta!r}. It is what all of them may fail with."
        )
    part = _share(float(delta), candidates)
    values = {}
    for theorem in theorems:
        value = theorem.function(**_inputs(theorem, inputs), delta=part)
        if np.ndim(value):
            raise ValueError(f"inputs must give {theorem.name} one number, got shape {np.shape(value)}. Pass scalars.")
        values[theorem.name] = float(value)
    winner = min(values, key=values.__getitem__)
    return Tournament(winner, values[winner], part, candidates, values)
