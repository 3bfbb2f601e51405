"""Attacks on margin bounds: small ReLU networks whose margins and norms are known, the margin chosen on the sample."""

from collections.abc import Iterator
from itertools import product
from math import fsum

import numpy as np
from numpy.typing import NDArray

from genbounds.worlds.attacks.registry import Bound, attacks
from genbounds.worlds.attacks.targets import lone_predictors
from genbounds.worlds.failures import Attack
from genbounds.worlds.finite import FiniteWorld

#: Margins are asked for just below those that occur, so that an example with that margin does not count.
_BELOW = 1 - 1e-9


def _margin_attack(
    bound: Bound,
    probabilities: NDArray[np.float64],
    margins: NDArray[np.float64],  # (networks, points)
    norms: NDArray[np.float64],  # (spectral and Frobenius, networks, layers)
    input_norm: float,
    width: int,
    n: int,
    delta: float,
    name: str,
) -> Attack:
    """Return the probability that some network, at some margin, has a risk above its bound."""
    world = FiniteWorld(probabilities, margins <= 0, name=name)
    counts, weights = world.samples(n)
    failed, least = np.zeros(len(counts), bool), np.full(len(counts), np.inf)
    slack = np.zeros(len(counts))
    for network, risk in enumerate(world.risks):
        for margin in np.unique(margins[network, margins[network] > 0]) * _BELOW:
            share = np.minimum(counts @ (margins[network] <= margin) / n, 1.0)
            rates, place = np.unique(share, return_inverse=True)
            value = np.asarray(bound(rates, *norms[:, network], margin, input_norm, width, n, delta))[place]
            failed |= value - risk < -1e-12
            slack = np.where(value < least, value - risk, slack)
            least = np.minimum(value, least)
    return Attack(name, delta, fsum(weights[failed]), fsum(weights * slack))


def _line(bound: Bound, delta: float) -> Iterator[Attack]:
    """One fixed network with scores (x, -x) at x = 1, and labels that are wrong just more often than the bound says."""
    norms, margins = np.full((2, 1, 1), 2**0.5), np.array([[2.0, -2.0]])
    for n in (300, 1000, 10_000):
        worlds = lone_predictors(
            lambda errors, n, delta: bound(errors / n, *norms[:, 0], 2.0 * _BELOW, 1.0, 2, n, delta), n, delta
        )
        for world in worlds:
            yield _margin_attack(bound, world.probabilities, margins, norms, 1.0, 2, n, delta, world.name)


def _orthogonal(bound: Bound, points: int, n: int, delta: float) -> Attack:
    """Orthogonal inputs with one label, and every linear network of equal margins: one errs on all unseen."""
    signs = 1.0 - 2 * (np.arange(2**points)[:, None] >> np.arange(points) & 1)
    margins, norms = signs * (2 / points) ** 0.5, np.ones((2, 2**points, 1))
    probabilities = np.full(points, 1 / points)
    return _margin_attack(bound, probabilities, margins, norms, 1.0, points, n, delta, f"{points} orthogonal points")


def _two_layers(bound: Bound, n: int, delta: float) -> Attack:
    """Three points on the line, one label noisy, and networks of two layers with norms of their own."""
    inputs, labels, probabilities = np.array([-1.0, 0.5, 1.0, 1.0]), np.array([1, 0, 0, 1]), [0.3, 0.25, 0.35, 0.1]
    margins, norms = [], []
    for first in product((-1.0, 0.5, 2.0), repeat=2):
        for second in product((-1.0, 1.0), (-3.0, 0.25)):
            below, above = np.array(first)[:, None], np.array([second, np.negative(second)])
            scores = above @ np.maximum(below * inputs, 0.0)
            margins.append(np.where(labels == 0, 1, -1) * (scores[0] - scores[1]))
            matrices = (below, above)
            norms.append([[np.linalg.norm(matrix, order) * (1 + 1e-14) for matrix in matrices] for order in (2, "fro")])
    table, sizes = np.array(margins), np.moveaxis(np.array(norms), 1, 0)
    return _margin_attack(bound, np.array(probabilities), table, sizes, 1.0, 2, n, delta, "networks of two layers")


@attacks("margin_risk", "spectral_norms", "frobenius_norms", "margin", "input_norm", "width", "n", "delta")
def _attack_margins(bound: Bound, delta: float) -> Iterator[Attack]:
    yield from _line(bound, delta)
    yield _orthogonal(bound, 7, 7, delta)
    yield _two_layers(bound, 6, delta)
    yield _two_layers(bound, 60, delta)
