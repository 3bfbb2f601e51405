"""Every theorem of the catalogue against every world that can attack it."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from genbounds.numerics.checks import confidence
from genbounds.theorems import Fixed, Grid, Parameter, Theorem
from genbounds.worlds.attacks import WORLDS
from genbounds.worlds.attacks.registry import ALL_N, Bound
from genbounds.worlds.failures import Attack
from genbounds.worlds.problems import PROBLEMS, Problem, problem_attack

__all__ = ["attack"]


def _candidates(parameter: Parameter, number: int) -> list[float]:
    """Return values across a parameter's interval."""
    if np.isinf(parameter.high):
        return [parameter.low + 2.0**power for power in np.linspace(-3, 5, number)]
    return list(parameter.low + (parameter.high - parameter.low) * np.arange(1, number + 1) / (number + 1))


def _choices(parameters: Sequence[Parameter], values: dict[str, list[Any]]) -> list[dict[str, Any]]:
    names = [parameter.name for parameter in parameters]
    return [dict(zip(names, choice, strict=True)) for choice in product(*(values[name] for name in names))]


def _versions(theorem: Theorem) -> Iterator[Bound]:
    """Yield the theorem as a function without own parameters, for each way in which it lets them be chosen."""
    number = 15 if len(theorem.parameters) < 2 else 4
    values: dict[str, list[Any]] = {own.name: _candidates(own, number) for own in theorem.parameters}
    fixed = [own for own in theorem.parameters if isinstance(own, Fixed)]
    free = _choices([own for own in theorem.parameters if not isinstance(own, Fixed)], values)
    for own in fixed:
        values[own.name] = [*values[own.name], Grid(values[own.name])]
    names = [name for name in theorem.arguments if name not in values]

    def value(numbers: tuple[Any, ...], choice: dict[str, Any]) -> Any:
        # What depends on the theorem's own parameters, as information of order alpha does, comes as a function of them.
        known = (number(**choice) if callable(number) else number for number in numbers)
        return theorem.function(**dict(zip(names, known, strict=True)), **choice)

    def version(*numbers: Any, choice: dict[str, Any]) -> Any:
        # The adversary chooses a free parameter after seeing the sample: only the smallest result must hold.
        return np.min([value(numbers, choice | own) for own in free], axis=0)

    for choice in _choices(fixed, values):
        yield partial(version, choice=choice)


def _problems(theorem: Theorem, arguments: tuple[str, ...]) -> Iterator[Problem]:
    """Yield the problems that know what a bound on average takes and what it bounds."""
    for found in (problem for entered in PROBLEMS for problem in entered()):
        known = theorem.quantity in found.truths and set(arguments) <= set(found.quantities)
        if known and found.breaks.isdisjoint(theorem.assumes):
            yield found


def attack(theorem: Theorem, delta: float) -> list[Attack]:
    """Attack a theorem in every world that suits its arguments.

    A theorem that holds on average is compared with the truth in every problem that knows both exactly; it has no
    delta, and the attack's is 0.

    Free parameters are chosen by the adversary after seeing the sample; fixed ones are tried one value at a time,
    and as a grid. The risks of some worlds are set just above values that the theorem returns, where its failure
    probability comes closest to delta. A theorem that holds for all n at once is also attacked by an adversary who
    looks after every example and stops when it fails.

    Parameters
    ----------
    theorem : Theorem
        A theorem of the catalogue.
    delta : float
        Failure probability that the theorem is asked for, in (0, 1).

    Returns
    -------
    list of Attack
        One for each world and choice of parameter.

    Raises
    ------
    ValueError
        If no world suits the theorem's arguments: it does not enter the catalogue before one does.
    ArithmeticError
        If a theorem gives NaN.

    Examples
    --------
    >>> from genbounds.theorems import get
    >>> attacks = attack(get("clopper_pearson"), 0.05)
    >>> all(attack.survived for attack in attacks)
    True
    >>> max(attack.failure for attack in attacks) > 0.0499
    True
    """
    delta = float(confidence("delta", delta))
    own = {parameter.name for parameter in theorem.parameters}
    arguments = tuple(name for name in theorem.arguments if name not in own)
    if theorem.kind == "expectation":
        versions, known = list(_versions(theorem)), list(_problems(theorem, arguments))
        if not known:
            raise ValueError(
                f"theorem must have arguments that a problem knows, got {theorem.name}{theorem.arguments} for the "
                f"{theorem.quantity}. Enter its problems with genbounds.worlds.problems.problems."
            )
        return [problem_attack(each, theorem.quantity, arguments, problem) for each in versions for problem in known]
    needed = (*arguments, ALL_N) if theorem.holds_for_all_n else arguments
    if needed not in WORLDS:
        raise ValueError(
            f"theorem must have arguments that a world can attack, got {theorem.name}{theorem.arguments}. "
            "Enter its worlds with genbounds.worlds.attacks.attacks."
        )
    entered = [WORLDS[key] for key in dict.fromkeys((arguments, needed)) if key in WORLDS]
    return [found for version in _versions(theorem) for worlds in entered for found in worlds(version, delta)]
