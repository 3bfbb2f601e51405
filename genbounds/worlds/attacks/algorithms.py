"""Attacks on bounds for the gap of the output by what it tells about the sample: the algorithm is the adversary."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.discrete_information import maximal_leakage, mutual_information, sibson_information
from genbounds.worlds.attacks.registry import Bound, attacks
from genbounds.worlds.failures import Attack
from genbounds.worlds.finite import FiniteWorld, coins, shattered_points
from genbounds.worlds.output_gaps import output_gap_attack

_Information = Callable[[NDArray[np.float64], NDArray[np.float64]], Any]


def _worlds(delta: float) -> Iterator[tuple[FiniteWorld, int]]:
    """Yield few hypotheses and many, with samples for which bounds are not vacuous; and one sure to fail if told."""
    for kind, world, n in (
        ("fair coins", coins([0.5, 0.5]), 12),
        ("fair coins", coins([0.5, 0.5]), 30),
        ("a biased coin and a fair one", coins([0.9, 0.5]), 12),
        ("7 shattered points", shattered_points(7), 7),
    ):
        yield FiniteWorld(world.probabilities, world.losses, name=f"{kind}, {n} examples"), n
    for n, risk in ((1, 0.4 * delta), (40, 0.5), (200, 0.5), (200, 0.02)):
        for share in (0.5, 1e-6):
            name = f"a predictor of risk {risk:.3g}, with prior {share:g}, and a perfect one, {n} examples"
            yield FiniteWorld([1 - risk, risk], [[0.0, 1.0], [0.0, 0.0]], [share, 1 - share], name), n


def _attack(information: _Information, bound: Bound, delta: float) -> Iterator[Attack]:
    for world, n in _worlds(delta):
        yield output_gap_attack(bound, information, world, n, delta)


@attacks("mutual_information", "n", "delta")
def _attack_mutual_information(bound: Bound, delta: float) -> Iterator[Attack]:
    return _attack(lambda weights, laws: mutual_information(weights[:, None] * laws), bound, delta)


@attacks("leakage", "n", "delta")
def _attack_leakage(bound: Bound, delta: float) -> Iterator[Attack]:
    return _attack(lambda _, laws: maximal_leakage(laws), bound, delta)


@attacks("sibson", "n", "delta")
def _attack_sibson(bound: Bound, delta: float) -> Iterator[Attack]:
    """Give the information as a function of the order alpha, which is the theorem's own parameter."""
    return _attack(lambda weights, laws: partial(sibson_information, weights, laws), bound, delta)
