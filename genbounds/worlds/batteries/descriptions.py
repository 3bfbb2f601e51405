"""Problems for bounds that count what an output can say: labels copied, scales, subspaces, and models in a mixture."""

import math
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from scipy.special import betaln, digamma

from genbounds.numerics.binary_kl import binary_kl
from genbounds.numerics.discrete_information import mutual_information
from genbounds.theorems.quantities import GAP, LOG_LOSS, REGRET, RISK, SQUARED_GAP
from genbounds.worlds.bernoulli_universality import BernoulliUniversality
from genbounds.worlds.finite import FiniteWorld
from genbounds.worlds.label_copying import LabelCopier, LabelMemoriser
from genbounds.worlds.learners import Gibbs, Learner, erm
from genbounds.worlds.problems import Problem, problems
from genbounds.worlds.samples import Learning

__all__ = [
    "coin_problem",
    "copying_problem",
    "forgetting_problem",
    "quantised_problem",
    "scales_problem",
    "sequences_problem",
    "subspaces_problem",
]


def copying_problem(world: LabelCopier | LabelMemoriser) -> Problem:
    """Return what is true of a learner that copies random labels, for the 0-1 loss.

    Parameters
    ----------
    world : LabelCopier or LabelMemoriser
        The learner.

    Returns
    -------
    Problem
        A copier supplies cumulants too, at the rate at which they are exact and at others.
    """
    names = ("n", "mutual_information", "lautum", "leakage")
    quantities = {name: getattr(world, name) for name in names} | {
        "sigma": 0.5,
        "individual_information": np.full(world.n, world.one_label),
        "total_variations": np.full(world.n, world.gap),
    }
    truths = {GAP: world.gap, SQUARED_GAP: world.squared_gap}
    if isinstance(world, LabelCopier):
        quantities["rates"] = 2 * np.arctanh(world.reliability) * np.array([0.5, 1.0, 2.0])
        quantities["cgf"] = world.loss_cgf(quantities["rates"])
    else:
        truths[RISK] = world.risk
        quantities["train_risk"] = (1 - world.share) * world.risk
    return Problem(str(world), quantities, truths)


def scales_problem(sizes: Sequence[float], reliabilities: Sequence[float], n: int) -> Problem:
    """Return a chain of scales: bits of an example, of falling size, are copied from coarse to fine.

    Z holds K fair signs, W names K signs for every input, and inputs never repeat. The loss is 1/2 less the sum of
    size * (product of the two signs); sign k is copied rightly with probability (1 + reliability_k) / 2.

    Parameters
    ----------
    sizes : sequence of float, length K
        By how much a sign moves the loss: positive, at most 1/2 together.
    reliabilities : sequence of float, length K
        In (0, 1).
    n : int
        Examples in a sample.

    Returns
    -------
    Problem
        [W]_k are the first k signs; a cell is represented by the hypothesis that leaves out the signs after them, so
        that scale k is as large as size k. sigma is that of a sum of signs.
    """
    copiers = [LabelCopier(n, reliability) for reliability in reliabilities]
    total = np.cumsum([copier.mutual_information for copier in copiers])
    quantities = {
        "n": n,
        "scale_information": total,
        "scale_diameters": np.array(sizes),
        "mutual_information": total[-1],
        "individual_information": np.full(n, total[-1] / n),
        "sigma": math.hypot(*sizes),
    }
    name = f"signs of sizes {tuple(sizes)}, copied with reliabilities {tuple(reliabilities)}, {n} examples"
    return Problem(name, quantities, {GAP: math.fsum(np.multiply(sizes, reliabilities))})


def quantised_problem(bits: int, n: int, learner: Learner, name: str) -> Problem:
    """Return a learner that has to name a number of [0, 1], to a few bits, for the loss abs(w - z); all samples listed.

    Parameters
    ----------
    bits : int
        The examples are fair draws of the middles of 2^bits intervals, and so are the hypotheses.
    n : int
        Examples in a sample.
    learner : callable
        See `genbounds.worlds.learners`.
    name : str
        For reports.

    Returns
    -------
    Problem
        Cells are halved at each scale and represented by their middles. Both a coarse output, of half the bits, and its
        distance from the output are given as a compression.
    """
    points = (np.arange(2**bits) + 0.5) / 2**bits
    world = FiniteWorld(np.full(len(points), 1 / len(points)), np.abs(points[:, None] - points))
    learning = Learning(world, learner, n)
    cells = [learning.joint.reshape(-1, 2**k, 2 ** (bits - k)).sum(axis=2) for k in range(1, bits + 1)]
    information = np.array([float(mutual_information(cell)) for cell in cells])
    coarse = (bits + 1) // 2
    middles = (np.floor(points * 2**coarse) + 0.5) / 2**coarse
    quantities = {
        "n": n,
        "scale_information": information,
        "scale_diameters": 2.0 ** -(np.arange(1, bits + 1) + 1.0),
        "sliced_information": information[-1:],
        "compressed_information": information[coarse - 1 : coarse],
        "distortion": float(learning.joint.sum(axis=0) @ np.abs(points - middles)),
        "lipschitz": 1.0,
        "sigma": 0.5,
        "mutual_information": learning.mutual_information,
        "individual_information": learning.individual_information,
    }
    return Problem(f"{name} names a number to {bits} bits, {n} examples", quantities, {GAP: abs(learning.gap)})


def subspaces_problem(reliabilities: Sequence[float], n: int) -> Problem:
    """Return a learner whose reliability is drawn first, from a list, whatever the sample.

    Parameters
    ----------
    reliabilities : sequence of float, length T
        Of a `LabelCopier` in each of T equally likely subspaces.
    n : int
        Examples in a sample.

    Returns
    -------
    Problem
        Information in each subspace; the compressed output is the output.
    """
    copiers = [LabelCopier(n, reliability) for reliability in reliabilities]
    information = np.array([copier.mutual_information for copier in copiers])
    quantities = {
        "n": n,
        "sliced_information": information,
        "compressed_information": information,
        "distortion": 0.0,
        "lipschitz": 1.0,
        "sigma": 0.5,
    }
    name = f"labels copied with reliabilities {tuple(reliabilities)}, drawn first, {n} examples"
    return Problem(name, quantities, {GAP: float(np.mean([copier.gap for copier in copiers]))})


def forgetting_problem(points: int) -> Problem:
    """Return one example learnt by heart, and a compressed output that has forgotten it.

    Parameters
    ----------
    points : int
        Number of equally likely points. The output errs on all but the one it has seen.

    Returns
    -------
    Problem
        The compressed output has a loss of 1/2 everywhere, so it is 1/2 from the others, which are 1 from one another.
    """
    quantities = {"n": 1, "compressed_information": np.zeros(1), "distortion": 0.5, "lipschitz": 1.0, "sigma": 0.5}
    return Problem(f"one of {points} points by heart, then forgotten", quantities, {GAP: 1 - 1 / points})


def coin_problem(world: BernoulliUniversality, cells: int = 4000) -> Problem:
    """Return what is true of the mixture of all coins, on average over flips.

    Parameters
    ----------
    world : BernoulliUniversality
        The coin.
    cells : int
        Number of cells of coins, of equal mass.

    Returns
    -------
    Problem
        Balls at radii about the best; cells with their largest divergence, which is at an end of the cell; the best law
        of coins, a Beta.
    """
    ends = np.asarray(binary_kl(world.theta, np.linspace(0, 1, cells + 1)))
    radii = world.radius * np.array([0.25, 0.5, 1.0, 2.0])
    divergence, kl = world.divergences(world.n * world.theta + 1, world.n * (1 - world.theta) + 1)
    quantities = {
        "n": world.n,
        "ball_radii": radii,
        "ball_costs": np.array([-math.log(world.weight(radius)) for radius in radii]),
        "cell_divergences": np.maximum(ends[1:], ends[:-1]),
        "cell_costs": np.full(cells, math.log(cells)),
        "mean_divergence": divergence,
        "kl": kl,
    }
    return Problem(str(world), quantities, {REGRET: world.redundancy})


def sequences_problem(n: int, tempering: float) -> Problem:
    """Return every sequence of n flips, predicted by the mixture of all coins under the uniform prior.

    Parameters
    ----------
    n : int
        Flips.
    tempering : float
        How much of the likelihood enters the law of coins: at 1 it is the posterior, and the log-loss is attained.

    Returns
    -------
    Problem
        One entry for each number of ones.
    """
    ones = np.arange(n + 1.0)
    heads, tails = tempering * ones + 1, tempering * (n - ones) + 1
    head, tail = digamma(heads) - digamma(heads + tails), digamma(tails) - digamma(heads + tails)
    kl = (heads - 1) * head + (tails - 1) * tail - betaln(heads, tails)
    quantities = {"log_loss": -ones * head - (n - ones) * tail, "kl": np.maximum(kl, 0.0)}
    name = f"all sequences of {n} flips, likelihood to the power {tempering}"
    return Problem(name, quantities, {LOG_LOSS: -betaln(ones + 1, n - ones + 1)})


def _lone_models() -> Iterator[Problem]:
    """Yield mixtures whose regret is no more than what is paid for one model."""
    for n in (1, 30):
        distance = float(binary_kl(0.3, 0.6))
        alone = {"ball_radii": [distance], "ball_costs": [0.0], "cell_divergences": [distance], "cell_costs": [0.0]}
        quantities = alone | {"n": n, "mean_divergence": distance, "kl": 0.0}
        yield Problem(f"a coin of 0.3 coded by one of 0.6, {n} flips", quantities, {REGRET: n * distance})
        cost = math.log(8)
        told = {"ball_radii": [0.0], "ball_costs": [cost], "cell_divergences": [0.0, np.inf], "cell_costs": [cost] * 2}
        quantities = told | {"n": n, "mean_divergence": 0.0, "kl": cost}
        yield Problem(f"one of 8 models that exclude one another, {n} examples", quantities, {REGRET: cost})


def _battery() -> Iterator[Problem]:
    for n in (1, 10, 1000):
        for reliability in (0.05, 0.5, 0.9):
            yield copying_problem(LabelCopier(n, reliability))
    for classes, n, share in ((2, 1, 0.05), (2, 20, 0.5), (10, 20, 0.5), (100, 100, 0.3), (2, 100, 0.01)):
        yield copying_problem(LabelMemoriser(classes, n, share))
    for bits, n in ((1, 1), (2, 3), (3, 2), (5, 1)):
        yield quantised_problem(bits, n, Gibbs(3.0), "the Gibbs algorithm")
        yield quantised_problem(bits, n, erm, "empirical risk minimisation")
    for n in (1, 100):
        yield scales_problem((0.5,), (0.05,), n)
        yield scales_problem((0.25, 0.125, 0.0625), (0.1, 0.1, 0.3), n)
        yield subspaces_problem((0.05,), n)
        yield subspaces_problem((0.01, 0.2, 0.7), n)
    for points in (2, 100):
        yield forgetting_problem(points)
    for theta, n in ((0.2, 10), (0.2, 100), (0.5, 1000), (0.3, 10**5)):
        yield coin_problem(BernoulliUniversality(theta, n))
    for n in (1, 10, 200):
        yield sequences_problem(n, 1.0)
        yield sequences_problem(n, 0.5)
    yield from _lone_models()


@cache
def _kept() -> tuple[Problem, ...]:
    return tuple(_battery())


@problems
def _description_problems() -> Iterator[Problem]:
    yield from _kept()
