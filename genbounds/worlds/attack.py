"""Every theorem of the catalogue against every world that can attack it."""

from collections.abc import Callable, Iterator
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import confidence
from genbounds.theorems import Free, Grid, Parameter, Theorem
from genbounds.worlds.failures import (
    Attack,
    fresh_draws_attack,
    gibbs_attack,
    hypothesis_attack,
    shared_draws_attack,
)
from genbounds.worlds.finite import FiniteWorld, coins, lone_predictor, shattered_points

__all__ = ["WORLDS", "attack"]

_Bound = Callable[..., Any]


def _graded() -> FiniteWorld:
    """Return a world with losses between 0 and 1 and an uneven prior."""
    return FiniteWorld(
        probabilities=np.array([0.5, 0.3, 0.2]),
        losses=np.array([[0.0, 0.1, 0.9], [0.3, 0.3, 0.3], [1.0, 0.0, 0.2], [0.0, 0.5, 1.0], [0.7, 0.9, 0.0]]),
        prior=np.array([0.4, 0.3, 0.15, 0.1, 0.05]),
        name="graded losses",
    )


def _just_above(limit: float) -> float:
    """Return a risk just above what a bound returns: where its failure probability comes closest to delta."""
    return float(limit) * (1 + 1e-9) + 1e-11  # a failure counts from 1e-12 on


def _lone_predictors(bound: _Bound, n: int, delta: float) -> Iterator[FiniteWorld]:
    """Yield lone predictors whose risks are just above values that the bound, of errors, n and delta, can take."""
    # All numbers of errors if n is small, a dozen of them, denser at few errors, if it is large.
    for errors in np.unique(((n - 1) * np.linspace(0, 1, min(n, 12)) ** 2).astype(int)):
        risk = _just_above(bound(errors, n, delta))
        if risk < 1:
            yield lone_predictor(risk, f"lone predictor, risk just above the bound at {errors} of {n} errors")


def _attack_gibbs(bound: _Bound, delta: float) -> Iterator[Attack]:
    for n in (1, 6, 20, 300, 10_000):
        for world in _lone_predictors(lambda errors, n, delta: bound(errors / n, 0.0, n, delta), n, delta):
            yield gibbs_attack(bound, world, n, delta)
    for world, n in ((shattered_points(6), 6), (coins([0.2, 0.3, 0.4]), 6), (_graded(), 12)):
        yield gibbs_attack(bound, world, n, delta)


def _attack_occam(bound: _Bound, delta: float, graded: bool) -> Iterator[Attack]:
    for n in (1, 6, 20, 300):
        for world in _lone_predictors(lambda errors, n, delta: bound(errors / n, 0.0, n, delta), n, delta):
            yield hypothesis_attack(bound, world, n, delta)
    worlds = [(shattered_points(6), 6), (coins([0.2, 0.3, 0.4]), 6)] + [(_graded(), 12)] * graded
    for world, n in worlds:
        yield hypothesis_attack(bound, world, n, delta)


def _attack_occam_errors(bound: _Bound, delta: float) -> Iterator[Attack]:
    def at_rate(risk: ArrayLike, code_length: ArrayLike, n: int, delta: float) -> Any:
        return bound(np.rint(np.asarray(risk) * n), code_length, n, delta)

    yield from _attack_occam(at_rate, delta, graded=False)


def _attack_holdout(bound: _Bound, delta: float, graded: bool) -> Iterator[Attack]:
    def ignoring_code(risk: ArrayLike, _code_length: ArrayLike, n: int, delta: float) -> Any:
        return bound(risk, n, delta)

    for n in (1, 2, 7, 30, 300):
        for world in _lone_predictors(lambda errors, n, delta: bound(errors / n, n, delta), n, delta):
            yield hypothesis_attack(ignoring_code, world, n, delta)
    for losses in _graded().losses if graded else ():
        world = FiniteWorld(probabilities=_graded().probabilities, losses=losses[None], name="one graded loss")
        yield hypothesis_attack(ignoring_code, world, 12, delta)


def _attack_holdout_errors(bound: _Bound, delta: float) -> Iterator[Attack]:
    yield from _attack_holdout(lambda risk, n, delta: bound(np.rint(np.asarray(risk) * n), n, delta), delta, False)


def _means(limit: float, m: int) -> Iterator[NDArray[np.float64]]:
    """Yield laws of m draws whose average mean is just above `limit`: equal, and as unequal as can be."""
    mean = _just_above(limit)
    if mean >= 1:
        return
    yield np.full(m, mean)
    # Some draws always err, the others share what is left; or they never err, and the others take it all.
    for certain in range(1, int(mean * m) + 1):
        yield np.r_[np.ones(certain), np.full(m - certain, (mean * m - certain) / (m - certain))]
    for certain in range(1, int(m - mean * m) + 1):
        yield np.r_[np.zeros(certain), np.full(m - certain, min(mean * m / (m - certain), 1.0))]


def _attack_draws(limit: _Bound, delta: float) -> Iterator[Attack]:
    for m in (1, 2, 5, 12):
        for value in np.unique(limit(np.arange(m + 1), m, delta)):
            for means in _means(float(value), m):
                yield fresh_draws_attack(limit, means, delta)


def _attack_draw_rates(limit: _Bound, delta: float) -> Iterator[Attack]:
    yield from _attack_draws(lambda errors, draws, delta: limit(np.asarray(errors) / draws, draws, delta), delta)
    yield from _shared(lambda values, delta: limit(np.minimum(values.mean(axis=1), 1.0), values.shape[1], delta), delta)


def _attack_values(limit: _Bound, delta: float) -> Iterator[Attack]:
    def from_errors(errors: ArrayLike, draws: int, delta: float) -> Any:
        return limit((np.arange(draws) < np.asarray(errors)[:, None]).astype(np.float64), delta)

    yield from _attack_draws(from_errors, delta)
    yield from _shared(limit, delta)


def _shared(limit: _Bound, delta: float) -> Iterator[Attack]:
    """Yield attacks with predictors shared by the sample: nearly equal risks, and a rare bad predictor."""
    for m in (1, 3, 10):
        yield shared_draws_attack(limit, [0.25, 0.5, 0.25], [0.1, 0.11, 0.12], m, delta)
        yield shared_draws_attack(limit, [0.5, 0.3, 0.2], [0.0, 0.4, 1.0], m, delta)
        for rare in (delta ** (1 / m), delta / m, 0.5):
            yield shared_draws_attack(limit, [1 - rare, rare], [0.05, 1.0], m, delta)
            yield shared_draws_attack(limit, [rare, 1 - rare], [0.0, 0.9], m, delta)


#: Attacks by the names of a theorem's arguments, its own parameters left out: ``attacks(bound, delta)``.
WORLDS: MappingProxyType[tuple[str, ...], Callable[[_Bound, float], Iterator[Attack]]] = MappingProxyType({
    ("risk", "kl", "n", "delta"): _attack_gibbs,
    ("errors", "n", "delta"): _attack_holdout_errors,
    ("risk", "n", "delta"): partial(_attack_holdout, graded=True),
    ("errors", "code_length", "n", "delta"): _attack_occam_errors,
    ("risk", "code_length", "n", "delta"): partial(_attack_occam, graded=True),
    ("errors", "draws", "delta"): _attack_draws,
    ("risk", "draws", "delta"): _attack_draw_rates,
    ("values", "delta"): _attack_values,
})


def _candidates(parameter: Parameter) -> list[float]:
    """Return values across a parameter's interval."""
    if np.isinf(parameter.high):
        return [parameter.low + 2.0**power for power in range(-3, 6)]
    return list(parameter.low + (parameter.high - parameter.low) * np.arange(1, 16) / 16)


def _versions(theorem: Theorem) -> Iterator[_Bound]:
    """Yield the theorem as a function without own parameters, for each way in which it lets them be chosen."""
    if not theorem.parameters:
        yield theorem.function
        return
    if len(theorem.parameters) > 1:
        raise ValueError(
            f"theorem must have at most one parameter of its own, got {theorem.parameters}. "
            "Teach genbounds.worlds.attack to choose several."
        )
    (parameter,) = theorem.parameters
    values = _candidates(parameter)
    if isinstance(parameter, Free):
        # The adversary chooses after seeing the sample: only the smallest result must hold.
        yield lambda *numbers: np.min([theorem.function(*numbers, value) for value in values], axis=0)
        return
    for value in [*values, Grid(values)]:
        yield lambda *numbers, value=value: theorem.function(*numbers, value)


def attack(theorem: Theorem, delta: float) -> list[Attack]:
    """Attack a theorem in every world that suits its arguments.

    Free parameters are chosen by the adversary after seeing the sample; fixed ones are tried one value at a time,
    and as a grid. The risks of some worlds are set just above values that the theorem returns, where its failure
    probability comes closest to delta.

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
    if arguments not in WORLDS:
        raise ValueError(
            f"theorem must have arguments that a world can attack, got {theorem.name}{theorem.arguments}. "
            "Add its world to genbounds.worlds.attack.WORLDS."
        )
    return [found for version in _versions(theorem) for found in WORLDS[arguments](version, delta)]
