"""Problems of training on fair bits that bounds along a path are attacked with: some nearly tight, some generic."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations, product

import numpy as np

from genbounds.theorems import Assumption
from genbounds.theorems.quantities import GAP
from genbounds.worlds.noisy_bits import NoisyBits
from genbounds.worlds.problems import Problem, problems

__all__ = ["linear_loss_problem", "random_batches_problem"]

_UNBOUNDED = frozenset({Assumption.LOSS_IN_UNIT_INTERVAL, Assumption.ZERO_ONE_LOSS})
#: What depends on the evaluation loss, or asks for a loss that is sub-Gaussian for each output.
_OF_THE_LOSS = {"sigma", "sharpness_gap", "mutual_information", "individual_information", "weighted_differences"}


def linear_loss_problem(world: NoisyBits, problem: Problem, virtual_scales: Sequence[float] = ()) -> Problem:
    """Return a problem of noisy bits judged by the loss -w z: with it bounds along a path are nearly attained.

    The sign of W_T keeps no more than 2 / pi of a small signal; W_T itself keeps all.

    Parameters
    ----------
    world : NoisyBits
        The world.
    problem : Problem
        What bounds take with the loss of the sign: all that is not about the loss is kept.
    virtual_scales : sequence of float
        Standard deviations of the virtual noise, if there is any. On average it does nothing to a linear loss.

    Returns
    -------
    Problem
        sigma belongs to the output, perturbed if noise is virtual, and an independent bit.
    """
    variance = world.output_variance + float(np.square(virtual_scales).sum())
    kept = {name: value for name, value in problem.quantities.items() if name not in _OF_THE_LOSS}
    quantities = kept | {"sigma": np.sqrt(variance)} | ({"sharpness_gap": 0.0} if virtual_scales else {})
    return Problem(f"{problem.name}, linear loss", quantities, {GAP: world.linear_gap}, _UNBOUNDED)


def random_batches_problem(n: int, size: int, eta: float, s: float, steps: int) -> Problem:
    """Return the problem in which each step draws its batch uniformly: the average over all sequences of batches.

    Parameters
    ----------
    n : int
        Bits.
    size : int
        Bits in a batch.
    eta, s : float
        Step size and noise scale of every step.
    steps : int
        Number of steps; all sequences of batches are listed.

    Returns
    -------
    Problem
        With linear loss.
    """
    sequences = product(combinations(range(n), size), repeat=steps)
    worlds = [NoisyBits(n, batches, (eta,) * steps, (s,) * steps) for batches in sequences]
    first = worlds[0]
    quantities = {
        "n": n,
        "sigma": 0.5,
        "step_sizes": np.array(first.step_sizes),
        "noise_scales": np.array(first.noise_scales),
        "batch_sizes": first.batch_sizes,
        "squared_gradient_norms": np.mean([world.squared_gradient_norms for world in worlds], axis=0),
        "gradient_variances": first.gradient_variances,
    }
    name = f"{n} noisy bits, {steps} random batches of {size}"
    return Problem(name, quantities, {GAP: float(np.mean([world.gap for world in worlds]))})


def _linear() -> Iterator[Problem]:
    full = NoisyBits.full_batch
    for world in (
        full(1, (0.01,), (1.0,)),
        full(12, (0.05,) * 3, (1.0,) * 3),
        NoisyBits(4, ((0, 1), (2, 3)), (0.02, 0.02), (1.0, 1.0)),
        full(3, (0.5,) * 4, (0.7,) * 4, 1.0),
    ):
        labels = tuple(sorted(set(world.batches)).index(batch) for batch in world.batches)
        yield linear_loss_problem(
            world, world.problem(f"{world.n} noisy bits, {world.steps} steps", batch_indices=labels)
        )
    for world, scales in (
        (full(1, (1.0,), (0.0,)), (20.0,)),
        (full(3, (0.5,) * 3, (0.0,) * 3, 1.0), (0.3,) * 3),
        (NoisyBits(5, ((0,), (1,), (2,)), (0.3,) * 3, (0.0,) * 3, 0.5), (0.2, 0.3, 0.4)),
    ):
        problem = world.virtual_problem(f"{world.n} bits, {world.steps} steps, virtual noise", scales)
        yield linear_loss_problem(world, problem, scales)


@lru_cache(maxsize=1)
def _entered() -> tuple[Problem, ...]:
    full = NoisyBits.full_batch
    return (
        *_linear(),
        full(1, (0.01,), (1.0,)).problem("one noisy bit, one small step", batch_indices=(0,)),
        full(1, (0.05,) * 10, (1.0,) * 10).problem("one noisy bit, 10 small steps", batch_indices=(0,) * 10),
        full(1, (0.25,) * 300, (1.0,) * 300).problem("one noisy bit, 300 steps", batch_indices=(0,) * 300),
        full(2, (0.02, 0.01), (1.0, 0.5)).problem("2 noisy bits, full batches", batch_indices=(0, 0)),
        full(3, (0.5,) * 4, (0.7,) * 4, 1.0).problem("3 noisy bits, squared loss", batch_indices=(0,) * 4),
        full(8, (0.01,), (0.5,)).problem("8 noisy bits, one small step", batch_indices=(0,)),
        full(8, (0.1,) * 6, (0.2, 0.1, 0.3, 0.2, 0.1, 0.2), 1.0).problem("8 noisy bits, squared loss"),
        NoisyBits(4, ((0, 1),), (0.01,), (1.0,)).problem("2 of 4 noisy bits, one small step", batch_indices=(0,)),
        NoisyBits(3, ((0,), (1,), (2,)), (0.3,) * 3, (0.5, 0.5, 0.5)).problem(
            "3 noisy bits, one after the other", batch_indices=(0, 1, 2)
        ),
        NoisyBits(4, ((0, 1), (2, 3)) * 3, (0.4,) * 6, (0.5,) * 6, 0.5).problem(
            "4 noisy bits, two batches three times", batch_indices=(0, 1) * 3
        ),
        random_batches_problem(2, 1, 0.01, 1.0, 1),
        random_batches_problem(4, 2, 0.2, 0.5, 3),
        full(1, (1.0,), (0.0,)).virtual_problem("one bit, virtual noise of the size of the step", (1.0,)),
        full(1, (1.0,), (0.0,)).virtual_problem("one bit, small virtual noise", (0.5,)),
        full(1, (1.0,), (0.0,)).virtual_problem("one bit, large virtual noise", (2.0,)),
        full(3, (0.5,) * 3, (0.0,) * 3, 1.0).virtual_problem("3 bits, squared loss, virtual noise", (0.3,) * 3),
        NoisyBits(5, ((0,), (1,), (2,)), (0.3,) * 3, (0.0,) * 3, 0.5).virtual_problem(
            "3 of 5 bits, one after the other, virtual noise", (0.2, 0.3, 0.4)
        ),
    )


@problems
def _noisy_bits_problems() -> Iterator[Problem]:
    yield from _entered()
