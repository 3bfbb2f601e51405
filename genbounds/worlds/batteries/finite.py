"""The finite problems that every bound on average is attacked with: some crafted to be nearly tight, some random."""

from collections.abc import Iterator
from functools import cache

import numpy as np

from genbounds.worlds.finite import FiniteWorld, classification, coins
from genbounds.worlds.finite_problems import leave_one_out_problem, sample_problem, supersample_problem
from genbounds.worlds.learners import Gibbs, Learner, blurred, constant, erm, first_erm, gap_seeking, memoriser
from genbounds.worlds.leave_one_out import LeaveOneOutLearning
from genbounds.worlds.problems import Problem, problems
from genbounds.worlds.random_problems import LEARNERS, WORLD_KINDS, random_learner, random_world
from genbounds.worlds.samples import Learning, every_sample
from genbounds.worlds.supersamples import SupersampleLearning

__all__ = ["opposed_pairs", "seen_points"]

#: The largest number of supersamples in a problem, and how many problems are random.
_SUPERSAMPLES, _RANDOM = 800, 40


def seen_points(points: int, n: int) -> FiniteWorld:
    """Return the world in which `memoriser` is right on what it has seen and wrong on all else.

    Parameters
    ----------
    points : int
        Number of equally likely points.
    n : int
        Examples in a sample.

    Returns
    -------
    FiniteWorld
        One hypothesis for each ordered sample, which errs on the points that are not in it.
    """
    law = np.full(points, 1 / points)
    samples, _ = every_sample(FiniteWorld(law, [law]), n, points)
    losses = (samples[:, :, None] != np.arange(points)).all(axis=1)
    return FiniteWorld(law, losses.astype(np.float64), name=f"errs on all but {n} of {points} points")


def opposed_pairs(n: int) -> FiniteWorld:
    """Return n pairs of points and all 2^n ways to err on exactly one of each pair.

    Given the pairs as a supersample, what a hypothesis does on one pair is free of what it does on the others: here
    bounds for supersamples come close to the truth at any n.

    Parameters
    ----------
    n : int
        Number of pairs.

    Returns
    -------
    FiniteWorld
        Points 2i and 2i + 1 are pair i; all are equally likely.
    """
    first = np.indices((2,) * n).reshape(n, -1).T
    losses = np.stack([first, 1 - first], axis=-1).reshape(2**n, 2 * n)
    return FiniteWorld(np.full(2 * n, 1 / (2 * n)), losses.astype(np.float64), name=f"{n} opposed pairs")


def _crafted() -> Iterator[tuple[str, FiniteWorld, Learner, int]]:
    """Yield problems that bring some bound close to the truth, or to the edge of its conditions."""
    bit = classification([0.5, 0.5], inputs=[0, 0], labels=[0, 1])
    for reliability in (0.05, 0.3, 0.5, 0.7, 0.9, 1.0):
        yield f"a fair bit learnt with reliability {reliability}", bit, blurred(erm, 1 - reliability), 1
    for n in (1, 2, 3):
        for temperature in (0.1, 3.0):
            yield f"Gibbs at {temperature} on a fair bit, {n} examples", bit, Gibbs(temperature), n
        labels = classification([0.25] * 4, [0, 0, 1, 1], [0, 1, 0, 1], classifiers=[[0, 0], [1, 1]])
        yield f"the label alone, {n} examples", labels, erm, n
    for points, n in ((2, 1), (4, 1), (8, 1), (16, 1), (3, 2), (5, 2)):
        world = seen_points(points, n)
        yield f"memoriser that {world.name}", world, memoriser, n
    yield "memoriser, half the time", seen_points(8, 1), blurred(memoriser, 0.5), 1
    clean = classification([0.25] * 4, inputs=range(4), labels=[0, 1, 1, 0])
    for n in (1, 2):
        yield f"clean labels, any minimiser, {n} examples", clean, erm, n
        yield f"clean labels, first minimiser, {n} examples", clean, first_erm, n
    yield "learns nothing", clean, constant(np.eye(16)[3]), 2
    for size, n in ((1, 2), (2, 2), (3, 3)):
        world = coins([0.5] * size)
        for strength in (0.1, 2.0):
            yield f"Gibbs at {strength} on {world.name}, {n} examples", world, Gibbs(strength), n
        yield f"gap seeker on {world.name}, {n} examples", world, gap_seeking(1.1), n


def _randomly() -> Iterator[tuple[str, FiniteWorld, Learner, int]]:
    """Yield random problems, each kind of world with each kind of learner, a fixed list."""
    for seed in range(_RANDOM):
        generator = np.random.default_rng(seed)
        n = 1 + seed % 3
        points = int(generator.integers(2, (5, 5, 4)[n - 1] + 1))
        kind = LEARNERS[seed % len(LEARNERS)]
        world = random_world(generator, WORLD_KINDS[seed // len(LEARNERS) % len(WORLD_KINDS)], points)
        yield f"{kind} on {world.name}, no. {seed}", world, random_learner(generator, kind, world, n), n


@cache
def _battery() -> tuple[Problem, ...]:
    found = []
    for name, world, learner, n in (*_crafted(), *_randomly()):
        found.append(sample_problem(Learning(world, learner, n, name)))
        found.append(leave_one_out_problem(LeaveOneOutLearning(world, learner, n, name)))
        if len(world.probabilities) ** (2 * n) <= _SUPERSAMPLES:
            found.append(supersample_problem(SupersampleLearning(world, learner, n, name=name)))
    for n in (3, 6):
        world, pairs = opposed_pairs(n), np.arange(2 * n).reshape(1, n, 2)
        learners: dict[str, Learner] = {
            "Gibbs": Gibbs(0.3),
            "Gibbs, colder": Gibbs(3.0),
            "gap seeker": gap_seeking(1.8),
            "erm": erm,
        }
        for kind, learner in learners.items():
            given = SupersampleLearning(world, learner, n, pairs, f"{kind} on {world.name}")
            found.append(supersample_problem(given))
    return tuple(found)


@problems
def _finite_problems() -> Iterator[Problem]:
    yield from _battery()
