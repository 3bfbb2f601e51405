"""Random learners in random finite worlds, of every kind there is here, from a generator that is given."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from genbounds.worlds.finite import FiniteWorld, classification
from genbounds.worlds.learners import Gibbs, Learner, blurred, constant, erm, first_erm, memoriser, tabulated

__all__ = ["LEARNERS", "WORLD_KINDS", "random_learner", "random_world"]

#: Worlds by how their losses come about.
WORLD_KINDS = ("noisy labels", "clean labels", "0-1 losses", "graded losses")
#: Learners by what they do with a sample.
LEARNERS = ("erm", "first erm", "gibbs", "table", "sparse table", "memoriser", "blurred erm", "constant")


def _random_law(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Return positive probabilities, even or very uneven ones."""
    law = generator.dirichlet(np.full(size, generator.choice([0.3, 1.0, 10.0]))) + 1e-3
    return law / law.sum()


def random_world(generator: np.random.Generator, kind: str, points: int, hypotheses: int = 8) -> FiniteWorld:
    """Return a random world.

    Parameters
    ----------
    generator : numpy.random.Generator
        Source of randomness.
    kind : str
        One of `WORLD_KINDS`. With noisy labels half as many inputs as points have one of two labels at random, with
        clean ones each point is an input of its own, whose label some classifier knows.
    points : int
        Number of points, at least 2.
    hypotheses : int
        Largest number of hypotheses, at least 2.

    Returns
    -------
    FiniteWorld
        A world with a random prior.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    weights = _random_law(generator, points)
    if kind in WORLD_KINDS[:2]:
        inputs = np.arange(points) // (2 if kind == "noisy labels" else 1)
        labels = np.arange(points) % 2 if kind == "noisy labels" else generator.integers(2, size=points)
        answers = np.indices((2,) * (inputs.max() + 1)).reshape(inputs.max() + 1, -1).T
        kept = generator.permutation(answers)[:hypotheses]
        if kind == "clean labels":
            kept[0] = labels
        return classification(weights, inputs, labels, kept, _random_law(generator, len(kept)), kind)
    if kind not in WORLD_KINDS:
        raise ValueError(f"kind must be one of {WORLD_KINDS}, got {kind!r}. Choose one.")
    losses = generator.random((generator.integers(2, hypotheses + 1), points))
    if kind == "0-1 losses":
        losses = np.round(losses)
    return FiniteWorld(weights, losses, _random_law(generator, len(losses)), kind)


def random_learner(generator: np.random.Generator, kind: str, world: FiniteWorld, n: int) -> Learner:
    """Return a random learner.

    Parameters
    ----------
    generator : numpy.random.Generator
        Source of randomness.
    kind : str
        One of `LEARNERS`.
    world : FiniteWorld
        Where it is to learn.
    n : int
        Examples in a sample.

    Returns
    -------
    callable
        A learner.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    rows, hypotheses = len(world.probabilities) ** n, len(world.prior)
    made: dict[str, Callable[[], Learner]] = {
        "erm": lambda: erm,
        "first erm": lambda: first_erm,
        "gibbs": lambda: Gibbs(float(generator.exponential(3.0 * n))),
        "table": lambda: tabulated(generator.dirichlet(np.ones(hypotheses), rows)),
        "sparse table": lambda: tabulated(np.eye(hypotheses)[generator.integers(hypotheses, size=rows)]),
        "memoriser": lambda: memoriser,
        "blurred erm": lambda: blurred(erm, float(generator.random())),
        "constant": lambda: constant(generator.dirichlet(np.ones(hypotheses))),
    }
    if kind not in made:
        raise ValueError(f"kind must be one of {LEARNERS}, got {kind!r}. Choose one.")
    return made[kind]()
