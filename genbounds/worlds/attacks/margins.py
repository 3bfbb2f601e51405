"""Attacks on margin bounds: small ReLU networks whose margins and norms are known, the margin chosen on the sample."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import fsum
from typing import Any, TypeAlias

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
    norms: NDArray[np.float64],  # (spectral and another, networks, layers)
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


Norm: TypeAlias = Callable[[NDArray[np.float64]], Any]


def _frobenius(matrix: NDArray[np.float64]) -> Any:
    return np.linalg.norm(matrix)


def _row_norm_sum(matrix: NDArray[np.float64]) -> Any:
    return np.linalg.norm(matrix, axis=1).sum()


def _norms(layers: Sequence[NDArray[np.float64]], norm: Norm) -> NDArray[np.float64]:
    """Return spectral and other norms of a network's layers, rounded up: shape (2, layers)."""
    return np.array([[np.linalg.norm(layer, 2) for layer in layers], [norm(layer) for layer in layers]]) * (1 + 1e-14)


def _line(bound: Bound, norm: Norm, sizes: Sequence[int], delta: float) -> Iterator[Attack]:
    """One fixed network with scores (x, -x) at x = 1, and labels that are wrong just more often than the bound says."""
    norms, margins = _norms([np.array([[1.0], [-1.0]])], norm)[:, None], np.array([[2.0, -2.0]])
    for n in sizes:
        worlds = lone_predictors(
            lambda errors, n, delta: bound(errors / n, *norms[:, 0], 2.0 * _BELOW, 1.0, 2, n, delta), n, delta
        )
        for world in worlds:
            yield _margin_attack(bound, world.probabilities, margins, norms, 1.0, 2, n, delta, world.name)


def _orthogonal(bound: Bound, norm: Norm, points: int, n: int, delta: float) -> Attack:
    """Orthogonal inputs with one label, and every linear network of equal margins: one errs on all unseen."""
    signs = 1.0 - 2 * (np.arange(2**points)[:, None] >> np.arange(points) & 1)
    margins = signs * (2 / points) ** 0.5
    norms = np.stack([_norms([np.array([row, -row]) / (2 * points) ** 0.5], norm) for row in signs], axis=1)
    probabilities = np.full(points, 1 / points)
    return _margin_attack(bound, probabilities, margins, norms, 1.0, points, n, delta, f"{points} orthogonal points")


def _two_layers(bound: Bound, norm: Norm, n: int, delta: float) -> Attack:
    """Three points on the line, one label noisy, and networks of two layers with norms of their own."""
    inputs, labels, probabilities = np.array([-1.0, 0.5, 1.0, 1.0]), np.array([1, 0, 0, 1]), [0.3, 0.25, 0.35, 0.1]
    margins, norms = [], []
    for first in product((-1.0, 0.5, 2.0), repeat=2):
        for second in product((-1.0, 1.0), (-3.0, 0.25)):
            below, above = np.array(first)[:, None], np.array([second, np.negative(second)])
            scores = above @ np.maximum(below * inputs, 0.0)
            margins.append(np.where(labels == 0, 1, -1) * (scores[0] - scores[1]))
            norms.append(_norms((below, above), norm))
    table, sizes = np.array(margins), np.stack(norms, axis=1)
    return _margin_attack(bound, np.array(probabilities), table, sizes, 1.0, 2, n, delta, "networks of two layers")


def _attack_margins(bound: Bound, norm: Norm, sizes: Sequence[int], delta: float) -> Iterator[Attack]:
    yield from _line(bound, norm, sizes, delta)
    yield _orthogonal(bound, norm, 7, 7, delta)
    yield _two_layers(bound, norm, 6, delta)
    yield _two_layers(bound, norm, 60, delta)


@attacks("margin_risk", "spectral_norms", "frobenius_norms", "margin", "input_norm", "width", "n", "delta")
def _attack_frobenius(bound: Bound, delta: float) -> Iterator[Attack]:
    yield from _attack_margins(bound, _frobenius, (300, 1000, 10_000), delta)


@attacks("margin_risk", "spectral_norms", "row_norm_sums", "margin", "input_norm", "width", "n", "delta")
def _attack_row_norm_sums(bound: Bound, delta: float) -> Iterator[Attack]:
    yield from _attack_margins(bound, _row_norm_sum, (100_000,), delta)
