"""How a difference of losses depends on which of two examples was trained on, in several senses; as problems."""

from collections.abc import Iterator
from functools import cache

import numpy as np

from genbounds.numerics.deviance import deviance
from genbounds.theorems.quantities import SUPERSAMPLE_GAP
from genbounds.worlds.batteries.finite import opposed_pairs
from genbounds.worlds.finite import FiniteWorld, classification, coins
from genbounds.worlds.finite_problems import sample_problem
from genbounds.worlds.learners import Gibbs, Learner, blurred, erm, tabulated
from genbounds.worlds.problems import Problem, problems
from genbounds.worlds.random_problems import WORLD_KINDS, random_learner, random_world
from genbounds.worlds.samples import Learning
from genbounds.worlds.supersamples import SupersampleLearning

__all__ = ["loss_dependence_problem", "torn_memoriser"]


def loss_dependence_problem(learning: SupersampleLearning) -> Problem:
    """Return f-informations of the differences of losses about the mask, and the largest differences there are.

    Parameters
    ----------
    learning : SupersampleLearning
        The learner at work.

    Returns
    -------
    Problem
        With p the law of dL_i and U_i and q the product of its marginals, for each supersample and pair: the integrals
        of (sqrt(p) - sqrt(q))^2 and of (p - q)^2 / q, and the mean relative entropy of p and q to their average. The
        square of the largest difference that some hypothesis makes on a pair, averaged over pairs.
    """
    joint = learning.loss_difference_laws
    product = joint.sum(axis=-1, keepdims=True) * joint.sum(axis=-2, keepdims=True)
    middle = (joint + product) / 2
    to_middle = [deviance(law, middle, middle - law) for law in (joint, product)]
    positive = np.where(product > 0, product, 1.0)
    terms = {
        "ld_hellinger": (np.sqrt(joint) - np.sqrt(product)) ** 2,
        "ld_chi_squared": (joint - product) ** 2 / positive,
        "ld_jensen_shannon": sum(to_middle) / 2,
    }
    losses = learning.world.losses.T[learning.points]
    ranges = np.abs(losses[:, :, 1] - losses[:, :, 0]).max(axis=-1)
    quantities = {name: values.sum(axis=(-2, -1)) for name, values in terms.items()} | {
        "n": learning.n,
        "cmi": learning.cmi,
        "squared_range": (ranges**2).mean(axis=-1),
        "ld_cmi": learning.ld_cmi,
        "squared_differences": learning.squared_differences,
    }
    name, truths = f"{learning.name}, dependence of losses", {SUPERSAMPLE_GAP: np.abs(learning.gaps)}
    return Problem(name, quantities, truths, weights=learning.weights)


def torn_memoriser(points: int, bias: float) -> tuple[FiniteWorld, Learner]:
    """Return a learner of one example that mostly memorises it, and else errs on it alone.

    Of two losses exactly one is an error unless both points are the same: a difference of losses tells as much as it
    can about its coin for the gap there is, at any gap.

    Parameters
    ----------
    points : int
        Number of equally likely points.
    bias : float
        How much more often it memorises, in [0, 1].

    Returns
    -------
    world : FiniteWorld
        For each point, a hypothesis that errs on all others and one that errs on it alone.
    learner : callable
        The learner, for samples of one example.
    """
    seen = np.eye(points)
    world = FiniteWorld(np.full(points, 1 / points), np.concatenate([1 - seen, seen]), name=f"{points} points, torn")
    return world, tabulated(np.concatenate([seen * (1 + bias) / 2, seen * (1 - bias) / 2], axis=1))


def _supersamples() -> Iterator[SupersampleLearning]:
    """Yield learners at work: crafted ones, one of which brings each of the bounds close to the truth, and random."""
    for n in (1, 3):
        pairs = np.arange(2 * n).reshape(1, n, 2)
        for temperature in (0.3, 2.0):
            yield SupersampleLearning(opposed_pairs(n), Gibbs(temperature), n, pairs, f"Gibbs on {n} opposed pairs")
    bit = classification([0.5, 0.5], inputs=[0, 0], labels=[0, 1])
    for reliability in (0.1, 0.5, 1.0):
        yield SupersampleLearning(bit, blurred(erm, 1 - reliability), 1, name=f"a fair bit, reliability {reliability}")
    yield SupersampleLearning(coins([0.5] * 2), Gibbs(0.2), 2, name="Gibbs on two coins")
    scaled = coins([0.5])
    small = FiniteWorld(scaled.probabilities, 0.2 * scaled.losses, name="a coin with losses of a fifth")
    yield SupersampleLearning(small, Gibbs(1.0), 2)
    generator = np.random.default_rng(3)
    for kind in WORLD_KINDS:
        world = random_world(generator, kind, 3)
        for learns in ("gibbs", "table"):
            yield SupersampleLearning(world, random_learner(generator, learns, world, 2), 2, name=f"{learns} on {kind}")


@cache
def _battery() -> tuple[Problem, ...]:
    torn = [Learning(*torn_memoriser(16, bias), 1, f"memoriser torn at bias {bias}") for bias in (0.1, 0.5, 1.0)]
    return (*map(loss_dependence_problem, _supersamples()), *map(sample_problem, torn))


@problems
def _loss_dependence_problems() -> Iterator[Problem]:
    yield from _battery()
