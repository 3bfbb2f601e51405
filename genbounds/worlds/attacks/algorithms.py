"""Attacks on bounds for the gap of the output by what it tells about the sample: the algorithm is the adversary."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.discrete_information import maximal_leakage, mutual_information, sibson_information
from genbounds.theorems import Grid
from genbounds.worlds.attacks.registry import Bound, attacks
from genbounds.worlds.failures import Attack
from genbounds.worlds.finite import FiniteWorld, coins, shattered_points
from genbounds.worlds.output_gaps import output_gap_attack

_Information = Callable[[NDArray[np.float64], NDArray[np.float64]], Any]


def _worlds(delta: float) -> Iterator[tuple[FiniteWorld, int]]:
    """Yield few hypotheses and many, with samples for which bounds are not vacuous; and one sure to fail if told."""
    yield from ((coins([0.5, 0.5]), 12), (coins([0.5, 0.5]), 30), (coins([0.9, 0.5]), 12), (shattered_points(4), 16))
    for n, risk in ((1, 0.4 * delta), (40, 0.5), (200, 0.5), (200, 0.02)):
        name = f"a predictor of risk {risk:.3g} and a perfect one, {n} examples"
        for share in (0.5, 1e-6):
            world = FiniteWorld([1 - risk, risk], [[0.0, 1.0], [0.0, 0.0]], [share, 1 - share], f"{name}, {share:g}")
            yield world, n


def _attack(information: _Information, bound: Bound, delta: float) -> Iterator[Attack]:
    for world, n in _worlds(delta):
        yield output_gap_attack(bound, information, world, n, delta)


def _mutual_information(weights: NDArray[np.float64], laws: NDArray[np.float64]) -> Any:
    return mutual_information(weights[:, None] * laws)


def _leakage(_: NDArray[np.float64], laws: NDArray[np.float64]) -> Any:
    return maximal_leakage(laws)


def _sibson(weights: NDArray[np.float64], laws: NDArray[np.float64]) -> Callable[[ArrayLike | Grid], Any]:
    """Return Sibson's information as a function of the theorem's alpha, or of all of them in a grid."""

    def at(alpha: ArrayLike | Grid) -> Any:
        orders = alpha.values if isinstance(alpha, Grid) else np.ravel(alpha)
        found = np.array([sibson_information(weights, laws, float(order)) for order in orders])
        return found if isinstance(alpha, Grid) else found.reshape(np.shape(alpha))

    return at


attacks("mutual_information", "n", "delta")(partial(_attack, _mutual_information))
attacks("leakage", "n", "delta")(partial(_attack, _leakage))
attacks("sibson", "n", "delta")(partial(_attack, _sibson))
