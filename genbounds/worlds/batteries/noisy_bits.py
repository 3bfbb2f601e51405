"""Problems of training on fair bits that bounds along a path are attacked with: some nearly tight, some generic."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations, product

import numpy as np

from genbounds.theorems.quantities import GAP
from genbounds.worlds.noisy_bits import NoisyBits
from genbounds.worlds.problems import Problem, problems

__all__ = ["random_batches_problem"]


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


@lru_cache(maxsize=1)
def _entered() -> tuple[Problem, ...]:
    full = NoisyBits.full_batch
    return (
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
