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
    norms: NDArray[np.float64],  # (kinds of norms, networks, layers)
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


Layers: TypeAlias = Sequence[NDArray[np.float64]]
#: Norms of a network's layers, rounded up, of shape (kinds, layers).
Norms: TypeAlias = Callable[[Layers], NDArray[np.float64]]


def _spectral(layers: Layers) -> list[Any]:
    return [np.linalg.norm(layer, 2) for layer in layers]


def _row_sum(matrix: NDArray[np.float64]) -> Any:
    return np.linalg.norm(matrix, axis=1).sum()


def _with_frobenius(layers: Layers) -> NDArray[np.float64]:
    return np.array([_spectral(layers), [np.linalg.norm(layer) for layer in layers]]) * (1 + 1e-14)


def _with_row_sums(layers: Layers) -> NDArray[np.float64]:
    return np.array([_spectral(layers), [_row_sum(layer) for layer in layers]]) * (1 + 1e-14)


def _row_sum_last(layers: Layers) -> NDArray[np.float64]:
    return np.array([[*(np.linalg.norm(layer) for layer in layers[:-1]), _row_sum(layers[-1])]]) * (1 + 1e-14)


def _line(bound: Bound, norm: Norms, sizes: Sequence[int], delta: float) -> Iterator[Attack]:
    """One fixed network with scores (x, -x) at x = 1, and labels that are wrong just more often than the bound says."""
    norms, margins = norm([np.array([[1.0], [-1.0]])])[:, None], np.array([[2.0, -2.0]])
    for n in sizes:
        worlds = lone_predictors(
            lambda errors, n, delta: bound(errors / n, *norms[:, 0], 2.0 * _BELOW, 1.0, 2, n, delta), n, delta
        )
        for world in worlds:
            yield _margin_attack(bound, world.probabilities, margins, norms, 1.0, 2, n, delta, world.name)


def _orthogonal(bound: Bound, norm: Norms, points: int, n: int, delta: float) -> Attack:
    """Orthogonal inputs with one label, and every linear network of equal margins: one errs on all unseen."""
    signs = 1.0 - 2 * (np.arange(2**points)[:, None] >> np.arange(points) & 1)
    margins = signs * (2 / points) ** 0.5
    norms = np.stack([norm([np.array([row, -row]) / (2 * points) ** 0.5]) for row in signs], axis=1)
    probabilities = np.full(points, 1 / points)
    return _margin_attack(bound, probabilities, margins, norms, 1.0, points, n, delta, f"{points} orthogonal points")


def _unseen(bound: Bound, norm: Norms, points: int, n: int, delta: float) -> Attack:
    """Many orthogonal inputs with one label: of all linear networks of equal margins, the one wrong on all unseen."""
    # Every choice of signs has the same norms, so that the bound of that network, none of whose n examples has a
    # smaller margin, does not depend on the sample; how many points the sample misses has a known law.
    row = np.ones(points)
    norms = norm([np.array([row, -row]) / (2 * points) ** 0.5])
    margin = (2 / points) ** 0.5 * _BELOW
    value = float(bound(0.0, *norms, margin, 1.0, points, n, delta))
    seen = np.zeros(points + 1)
    seen[0] = 1.0
    numbers = np.arange(points + 1)
    for _ in range(n):  # a draw repeats a point or shows a new one
        seen = seen * numbers / points + np.concatenate([[0.0], seen[:-1] * (points - numbers[:-1]) / points])
    risks = (points - numbers) / points
    failed = value - risks < -1e-12
    return Attack(f"{points} orthogonal points unseen", delta, fsum(seen[failed]), fsum(seen * (value - risks)))


def _two_layers(bound: Bound, norm: Norms, n: int, delta: float) -> Attack:
    """Three points on the line, one label noisy, and networks of two layers with norms of their own."""
    inputs, labels, probabilities = np.array([-1.0, 0.5, 1.0, 1.0]), np.array([1, 0, 0, 1]), [0.3, 0.25, 0.35, 0.1]
    margins, norms = [], []
    for first in product((-1.0, 0.5, 2.0), repeat=2):
        for second in product((-1.0, 1.0), (-3.0, 0.25)):
            below, above = np.array(first)[:, None], np.array([second, np.negative(second)])
            scores = above @ np.maximum(below * inputs, 0.0)
            margins.append(np.where(labels == 0, 1, -1) * (scores[0] - scores[1]))
            norms.append(norm((below, above)))
    table, sizes = np.array(margins), np.stack(norms, axis=1)
    return _margin_attack(bound, np.array(probabilities), table, sizes, 1.0, 2, n, delta, "networks of two layers")


def _attack_margins(bound: Bound, norm: Norms, sizes: Sequence[int], delta: float) -> Iterator[Attack]:
    yield from _line(bound, norm, sizes, delta)
    yield _orthogonal(bound, norm, 7, 7, delta)
    yield _two_layers(bound, norm, 6, delta)
    yield _two_layers(bound, norm, 60, delta)


@attacks("margin_risk", "spectral_norms", "frobenius_norms", "margin", "input_norm", "width", "n", "delta")
def _attack_frobenius(bound: Bound, delta: float) -> Iterator[Attack]:
    yield from _attack_margins(bound, _with_frobenius, (300, 1000, 10_000), delta)


@attacks("margin_risk", "spectral_norms", "row_norm_sums", "margin", "input_norm", "width", "n", "delta")
def _attack_row_norm_sums(bound: Bound, delta: float) -> Iterator[Attack]:
    yield from _attack_margins(bound, _with_row_sums, (100_000,), delta)


@attacks("margin_risk", "layer_norms", "margin", "input_norm", "classes", "n", "delta")
def _attack_layer_norms(bound: Bound, delta: float) -> Iterator[Attack]:
    def of_two_classes(risk: Any, norms: Any, margin: Any, input_norm: float, _: int, n: int, delta: float) -> Any:
        return bound(risk, norms, margin, input_norm, 2, n, delta)  # every world here has two

    yield from _attack_margins(of_two_classes, _row_sum_last, (1000, 10_000), delta)
    yield _unseen(of_two_classes, _row_sum_last, 64, 64, delta)
