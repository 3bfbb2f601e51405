"""Worlds and risks at which attacks are aimed: where the failure probability of a bound comes closest to its delta."""

from collections.abc import Iterator

import numpy as np

from genbounds.worlds.attacks.registry import Bound
from genbounds.worlds.finite import FiniteWorld, lone_predictor

__all__ = ["graded_losses", "just_above", "lone_predictors"]


def graded_losses() -> FiniteWorld:
    """Return a world with losses between 0 and 1 and an uneven prior.

    Returns
    -------
    FiniteWorld
        Three points, five hypotheses.
    """
    return FiniteWorld(
        probabilities=np.array([0.5, 0.3, 0.2]),
        losses=np.array([[0.0, 0.1, 0.9], [0.3, 0.3, 0.3], [1.0, 0.0, 0.2], [0.0, 0.5, 1.0], [0.7, 0.9, 0.0]]),
        prior=np.array([0.4, 0.3, 0.15, 0.1, 0.05]),
        name="graded losses",
    )


def just_above(limit: float) -> float:
    """Return a risk just above what a bound returns: where its failure probability comes closest to delta.

    Parameters
    ----------
    limit : float
        What the bound returns.

    Returns
    -------
    float
        The limit and a little more; a failure counts from 1e-12 on.
    """
    return float(limit) * (1 + 1e-9) + 1e-11


def lone_predictors(bound: Bound, n: int, delta: float) -> Iterator[FiniteWorld]:
    """Yield lone predictors whose risks are just above values that a bound can take.

    Parameters
    ----------
    bound : callable
        ``bound(errors, n, delta)``.
    n : int
        Examples.
    delta : float
        Failure probability asked for.

    Yields
    ------
    FiniteWorld
        One for each of a dozen numbers of errors at most.
    """
    # All numbers of errors if n is small, a dozen of them, denser at few errors, if it is large.
    for errors in np.unique(((n - 1) * np.linspace(0, 1, min(n, 12)) ** 2).astype(int)):
        risk = just_above(bound(errors, n, delta))
        if risk < 1:
            yield lone_predictor(risk, f"lone predictor, risk just above the bound at {errors} of {n} errors")
