"""The problems with closed forms that bounds on average are attacked with: unbounded losses, long paths, Gibbs laws."""

import math
from collections.abc import Iterator
from functools import cache

import numpy as np

from genbounds.theorems import Assumption
from genbounds.theorems.quantities import GAP, RISK, SQUARED_GAP
from genbounds.worlds.gaussian_mean import GaussianMean, NoisyGaussianMean
from genbounds.worlds.gibbs_gaussian import GibbsGaussian
from genbounds.worlds.gibbs_points import GibbsPoints
from genbounds.worlds.langevin import LangevinQuadratic
from genbounds.worlds.linear_gaussian import LinearGaussian
from genbounds.worlds.linear_network import BinaryGaussianLinearNetwork
from genbounds.worlds.problems import Problem, problems

__all__ = [
    "absolute_problem",
    "hinge_problem",
    "network_problem",
    "path_problem",
    "points_problem",
    "squared_problem",
]

_UNBOUNDED = frozenset({Assumption.LOSS_IN_UNIT_INTERVAL, Assumption.ZERO_ONE_LOSS})
#: Rates at which cumulants are given, as multiples of one over the loss's scale.
_RATES = np.geomspace(1e-3, 1e2, 101)


def squared_problem(world: LinearGaussian) -> Problem:
    """Return what is true of a learner that averages Gaussian examples, for the squared loss.

    Parameters
    ----------
    world : LinearGaussian
        The learner.

    Returns
    -------
    Problem
        sigma and the cumulants are those of the loss's lower tail, which bound the gap, as it is not negative. A Gibbs
        law supplies its inverse temperature.
    """
    rates = _RATES / world.loss_variance
    quantities = {
        "n": world.n,
        "sigma": world.sigma,
        "rates": rates,
        "cgf": world.loss_cgf(rates),
        "mutual_information": world.mutual_information,
        "individual_information": world.individual_information,
        "lautum": world.lautum,
        "symmetrised_information": world.symmetrised_information,
    }
    if isinstance(world, GibbsGaussian):
        quantities["inverse_temperature"] = world.inverse_temperature
    return Problem(f"{world}, squared loss", quantities, {GAP: world.gap}, _UNBOUNDED)


def absolute_problem(world: LinearGaussian) -> Problem:
    """Return what is true of a learner that averages Gaussian examples in one dimension, for the absolute loss.

    Parameters
    ----------
    world : LinearGaussian
        The learner.

    Returns
    -------
    Problem
        With Wasserstein distances in the metric abs(w - w').
    """
    quantities = {
        "n": world.n,
        "sigma": world.absolute_sigma,
        "mutual_information": world.mutual_information,
        "individual_information": world.individual_information,
        "wasserstein_distances": world.wasserstein_distances,
        "lipschitz": 1.0,
    }
    return Problem(f"{world}, absolute loss", quantities, {GAP: world.absolute_gap}, _UNBOUNDED)


def path_problem(world: LangevinQuadratic) -> Problem:
    """Return what is true of Langevin dynamics on a quadratic loss, step by step.

    Parameters
    ----------
    world : LangevinQuadratic
        The dynamics.

    Returns
    -------
    Problem
        Gradients are taken about the best centres there are, so that bounds come as close as they can. The variance
        within the sample, which needs batches drawn anew, is given for full batches.
    """
    names = ("step_sizes", "noise_scales", "dimension", "batch_sizes", "batch_indices", "gradient_spreads")
    quantities = {name: getattr(world, name) for name in names} | {
        "n": world.n,
        "sigma": world.sigma,
        "batch_spreads": world.gradient_spreads,
        "squared_gradient_norms": world.centred_gradient_norms,
    }
    if len(world.visits) == 1 < world.n:
        quantities["gradient_variances"] = world.gradient_variances
    return Problem(f"{world}, its path", quantities, {GAP: world.gap}, _UNBOUNDED)


def points_problem(world: GibbsPoints) -> Problem:
    """Return what is true of the Gibbs algorithm that has to name a point.

    Parameters
    ----------
    world : GibbsPoints
        The world.

    Returns
    -------
    Problem
        Of one example, with a loss of 0 or 1; rates 1/2, 1 and 2 times the inverse temperature, at which the cumulants
        are exact.
    """
    rates = world.inverse_temperature * np.array([0.5, 1.0, 2.0])
    names = ("inverse_temperature", "sigma", "train_risk", "mutual_information", "lautum", "symmetrised_information")
    quantities = {name: getattr(world, name) for name in names} | {
        "n": 1,
        "rates": rates,
        "cgf": world.loss_cgf(rates),
        "individual_information": np.array([world.mutual_information]),
        "total_variations": np.array([world.gap]),
    }
    square = (1 - world.risk) ** 2 * world.train_risk + world.risk**2 * world.recall
    return Problem(str(world), quantities, {GAP: world.gap, RISK: world.risk, SQUARED_GAP: square})


def network_problem(network: BinaryGaussianLinearNetwork) -> Problem:
    """Return what is true of a linear network that classifies two Gaussian clouds, for the 0-1 loss.

    Parameters
    ----------
    network : BinaryGaussianLinearNetwork
        The network.

    Returns
    -------
    Problem
        With one row of relative entropies for each layer, all of which bound the same gap. The layers add no noise.
    """
    quantities = {
        "n": network.n,
        "sigma": 0.5,
        "train_risk": network.train_risk,
        "individual_information": network.individual_information,
        "layer_divergences": network.layer_divergences,
        "label_information": network.label_information,
        "feature_information": network.individual_information,
        "contraction": 1.0,
    }
    return Problem(str(network), quantities, {GAP: network.gap, RISK: network.risk})


def hinge_problem(network: BinaryGaussianLinearNetwork) -> Problem:
    """Return what is true of a linear network that classifies two Gaussian clouds, for the hinge loss.

    Parameters
    ----------
    network : BinaryGaussianLinearNetwork
        The network.

    Returns
    -------
    Problem
        Distances at the input, over all of it that reaches the output and with what the layers multiply it by, and at
        the output. Representations of different labels are infinitely far apart.
    """
    distances = np.array([network.input_distance, network.output_distance])
    quantities = {
        "n": network.n,
        "layer_distances": np.repeat(distances[:, None], network.n, axis=1),
        "output_lipschitz": 1.0,
        "remaining_lipschitz": 1.0,
    }
    return Problem(f"{network}, hinge loss", quantities, {GAP: abs(network.hinge_gap)}, _UNBOUNDED)


def _entered() -> Iterator[Problem]:
    worlds: list[LinearGaussian] = [
        *(GaussianMean(1, n, 1.0) for n in (1, 2, 10, 100)),
        GaussianMean(5, 10, 1.3),
        NoisyGaussianMean(3, 50, 1.0, noise=0.1),
        NoisyGaussianMean(1, 1, 1.0, noise=1.14),  # where the bound by I(W;Z_i) is tightest: 1.763 times the gap
        *(
            GibbsGaussian(1, n, 1.0, prior_scale=1.0, inverse_temperature=gamma)
            for n in (1, 20)
            for gamma in (0.01, 5.0)
        ),
        GibbsGaussian(3, 12, 1.1, prior_scale=2.0, inverse_temperature=5.0),
    ]
    dynamics = [
        *(LangevinQuadratic(2, 20, 1.0, 0.05, 200.0, steps) for steps in (1, 20, 100)),
        LangevinQuadratic(1, 1, 1.0, 0.5, 1.0, 1),
        LangevinQuadratic(1, 2, 1.0, 0.1, 1.0, 10),
        LangevinQuadratic(1, 6, 1.1, 0.3, 5.0, 8, batch=2),
        LangevinQuadratic(2, 3, 0.8, 0.5, 0.5, 3, batch=1),
    ]
    for world in (*worlds, *dynamics):
        yield squared_problem(world)
        if world.dimension == 1:
            yield absolute_problem(world)
    yield from map(path_problem, dynamics)
    networks = [
        BinaryGaussianLinearNetwork(6, 10, 1.5, signal=2.7, widths=(6, 4, 2)),
        BinaryGaussianLinearNetwork(1, 2, 1.0, signal=0.1),
        BinaryGaussianLinearNetwork(30, 8, 2.0, signal=3.0),
    ]
    yield from map(network_problem, networks)
    yield from map(hinge_problem, networks)
    # At gamma = 2 ln(k - 1) bounds for losses in [0, 1] are attained; colder and with many points, by smaller sigma.
    for points in (2, 3, 11, 10**6):
        for gamma in (0.1, 2 * math.log(max(points - 1, 2)), math.log(points) + 2):
            yield points_problem(GibbsPoints(points, gamma))


@cache
def _battery() -> tuple[Problem, ...]:
    return tuple(_entered())


@problems
def _closed_form_problems() -> Iterator[Problem]:
    yield from _battery()
