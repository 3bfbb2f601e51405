"""Learners in finite worlds as problems: every quantity under the name that theorems call it by, with the truth."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.theorems import Assumption
from genbounds.theorems.quantities import (
    GAP,
    RISK,
    SQUARED_GAP,
    SUPERSAMPLE_GAP,
    SUPERSAMPLE_RISK,
    SUPERSAMPLE_SQUARED_GAP,
)
from genbounds.worlds.finite import FiniteWorld
from genbounds.worlds.learners import Gibbs
from genbounds.worlds.leave_one_out import LeaveOneOutLearning
from genbounds.worlds.problems import Problem
from genbounds.worlds.samples import Learning
from genbounds.worlds.supersamples import SupersampleLearning

__all__ = ["leave_one_out_problem", "sample_problem", "supersample_problem"]

#: What `Learning` and `SupersampleLearning` know by the names of theorems' arguments.
_OF_SAMPLES = (
    "n",
    "train_risk",
    "mutual_information",
    "individual_information",
    "total_variations",
    "lautum",
    "symmetrised_information",
    "leakage",
    "e_mi",
    "ld_mi",
    "single_loss_mi",
    "squared_differences",
)
_OF_SUPERSAMPLES = ("n", "train_risk", "cmi", "individual_cmi", "f_cmi", "e_cmi", "ld_cmi", "squared_differences")


#: Rates at which the cumulants of the losses are given.
_RATES = 2.0 ** np.linspace(-4, 5, 28)


def _largest_cumulants(world: FiniteWorld) -> NDArray[np.float64]:
    """Return the logarithmic moment of exp(+-rate * (risk - loss)) at each rate, for the worst hypothesis and sign."""
    deviations = _RATES[:, None, None] * (world.risks[:, None] - world.losses)
    moments = np.exp(np.stack([deviations, -deviations])) @ world.probabilities
    return np.maximum(np.log(moments).max(axis=(0, 2)), 0.0)  # rounding may leave -1e-17 where all losses agree


def _broken(world: FiniteWorld) -> frozenset[Assumption]:
    return frozenset() if np.isin(world.losses, (0.0, 1.0)).all() else frozenset({Assumption.ZERO_ONE_LOSS})


def sample_problem(learning: Learning) -> Problem:
    """Return what is true of a learner over all samples.

    Parameters
    ----------
    learning : Learning
        The learner at work.

    Returns
    -------
    Problem
        Information between sample and output and its averages over supersamples; gap, risk and mean squared gap.
        Hypotheses are 1 apart from one another (the discrete metric), which makes Wasserstein distances total
        variations and the Lipschitz constant the largest difference of two losses on one point. A Gibbs learner
        supplies its inverse temperature. `cgf` holds the logarithmic moments of the losses at `rates`.
    """
    quantities: dict[str, Any] = {name: getattr(learning, name) for name in _OF_SAMPLES}
    quantities |= {
        "sigma": 0.5,
        "wasserstein_distances": learning.total_variations,
        "rates": _RATES,
        "cgf": _largest_cumulants(learning.world),
        "lipschitz": np.ptp(learning.world.losses, axis=0).max(),
    }
    if isinstance(learning.learner, Gibbs):
        quantities["inverse_temperature"] = learning.learner.inverse_temperature
    truths = {GAP: abs(learning.gap), RISK: learning.risk, SQUARED_GAP: learning.squared_gap}
    return Problem(learning.name, quantities, truths, _broken(learning.world))


def supersample_problem(learning: SupersampleLearning) -> Problem:
    """Return what is true of a learner for each supersample.

    Parameters
    ----------
    learning : SupersampleLearning
        The learner at work.

    Returns
    -------
    Problem
        Information about the mask; gap, risk and mean squared gap on the ghosts. Arrays with one entry, or one row of
        n entries, for each supersample.
    """
    quantities: dict[str, Any] = {name: getattr(learning, name) for name in _OF_SUPERSAMPLES} | {"sigma": 0.5}
    name, truths = f"{learning.name}, each supersample", _ghost_truths(learning)
    return Problem(name, quantities, truths, _broken(learning.world), learning.weights)


def leave_one_out_problem(learning: LeaveOneOutLearning) -> Problem:
    """Return what is true of a learner for each n + 1 examples of which it is given all but one.

    Parameters
    ----------
    learning : LeaveOneOutLearning
        The learner at work.

    Returns
    -------
    Problem
        Information about the example left out; gap, risk and mean squared gap on it. Arrays with one entry for each
        supersample.
    """
    quantities = {name: getattr(learning, name) for name in ("n", "train_risk", "loo_cmi")}
    name, truths = f"{learning.name}, one left out", _ghost_truths(learning)
    return Problem(name, quantities, truths, _broken(learning.world), learning.weights)


def _ghost_truths(learning: SupersampleLearning | LeaveOneOutLearning) -> dict[str, Any]:
    return {
        SUPERSAMPLE_GAP: np.abs(learning.gaps),
        SUPERSAMPLE_RISK: learning.risk,
        SUPERSAMPLE_SQUARED_GAP: learning.squared_gaps,
    }
