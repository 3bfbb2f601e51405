r"""Which experts are executed together, over all pairs of a token's experts.

``P(j | i) = N_ij / N_i`` [Muennighoff2024OLMoE], where N_ij tokens execute both experts and N_i the one. Where every
token has k experts, each active expert's row sums to ``k - 1`` exactly: it has that many companions. Counting only
pairs of neighbouring rank, as is also done, gives rows between 1 and 2, and other strengths; such counts are refused
here, as the numbers of experts of a token that they imply have a negative variance.

Loads alone make pairs. The lift ``N_ij / E_0 N_ij`` compares with the least committed law of k experts that has the
same loads (`genbounds.pathways.usage.expert_sets`), under which rows sum to k - 1 as well; products of loads, which do
not, call every pair too rare. Lifts say how strong a pair is, not that it is real: tokens of one sample go the same
way, and the strongest of many pairs is strong by chance too. Their intervals are for a pair chosen beforehand.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import count
from genbounds.pathways.routing import RoutedLayer, Routing
from genbounds.pathways.usage.clusters import ratio
from genbounds.pathways.usage.expert_sets import joint_inclusion
from genbounds.pathways.usage.records import UsageRecord

__all__ = ["CoActivation", "ExpertPair", "LayerCoActivation", "coactivation", "coactivation_matrix", "expected_pairs"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ExpertPair:
    """Two experts that are executed together.

    Attributes
    ----------
    given, other : int
        Experts i and j.
    tokens : int
        N_ij.
    probability, standard_error : float
        ``P(j | i)``, and its standard error over samples: NaN where tokens were not kept.
    expected : float
        ``P(j | i)`` from the loads alone; NaN where tokens differ in their number of experts.
    """

    given: int
    other: int
    tokens: int
    probability: float
    standard_error: float
    expected: float

    @property
    def lift(self) -> float:
        """How many times more often together than the loads explain."""
        return self.probability / self.expected if self.expected > 0 else math.nan


@dataclass(frozen=True)
class LayerCoActivation:
    """Which experts of a layer are executed together.

    Attributes
    ----------
    name, number : str, int
        Of the layer.
    companions : float
        Mean over assignments of the number of other experts of the token: k - 1 where every token has k.
    active_experts : int
        Experts that were executed at all.
    largest : float
        Largest ``P(j | i)``; NaN where no token has two experts.
    divergence : float
        Total variation between the pairs seen and those expected from the loads, in [0, 1]: the share of pairs that
        would have to change. A plug-in, above 0 by chance; NaN where tokens differ in their number of experts.
    pairs : tuple of ExpertPair
        Those of the largest ``P(j | i)``, in falling order.
    """

    name: str
    number: int
    companions: float
    active_experts: int
    largest: float
    divergence: float
    pairs: tuple[ExpertPair, ...]


@dataclass(frozen=True)
class CoActivation(UsageRecord):
    """Which experts are executed together, in all layers.

    Attributes
    ----------
    samples, tokens : int
        What was seen.
    layers : tuple of LayerCoActivation
        In the order of execution.
    """

    samples: int
    tokens: int
    layers: tuple[LayerCoActivation, ...]


def coactivation_matrix(pair_counts: ArrayLike) -> Floats:
    """Return ``P(j | i)`` for all pairs of experts.

    Parameters
    ----------
    pair_counts : array_like of int, shape (K, K)
        N_ij, with N_i on the diagonal (`RoutedLayer.pair_counts`).

    Returns
    -------
    ndarray, shape (K, K)
        Row i holds ``P(j | i)``, with 0 on the diagonal: an expert is not its own companion. NaN in the rows of experts
        that were never executed.

    Raises
    ------
    ValueError
        If the counts are not symmetric, or are those of no sets of experts.

    Examples
    --------
    >>> coactivation_matrix([[2, 2, 0], [2, 3, 1], [0, 1, 1]]).round(4).tolist()
    [[0.0, 1.0, 0.0], [0.6667, 0.0, 0.3333], [0.0, 1.0, 0.0]]
    """
    counts = _checked(pair_counts)
    used = np.diag(counts)
    together = counts - np.diag(used)
    return np.divide(together, used[:, None], out=np.full(counts.shape, math.nan), where=used[:, None] > 0)


def expected_pairs(pair_counts: ArrayLike, tokens: int) -> Floats | None:
    """Return how often pairs are expected together from the loads alone, if every token has the same number of experts.

    Parameters
    ----------
    pair_counts : array_like of int, shape (K, K)
        N_ij, with N_i on the diagonal.
    tokens : int
        Tokens counted.

    Returns
    -------
    ndarray, shape (K, K), or None
        ``E_0 N_ij``, with N_i on the diagonal; None where tokens differ in their number of experts.

    Raises
    ------
    ValueError
        If no sets of experts of so many tokens have these counts: if pairs were left out, say.
    """
    counts, number = _checked(pair_counts), int(count("tokens", tokens))
    # Of the tokens' numbers of experts s: sum s, and sum s^2, whose difference from (sum s)^2 / tokens is a variance.
    assignments, squares = int(np.trace(counts)), int(counts.sum())
    spread = squares * number - assignments**2
    if spread < 0 or np.diag(counts).max() > number:
        raise ValueError(
            f"pair_counts must count all pairs of the experts of {number} tokens, got {squares - assignments} for "
            f"{assignments} executed experts. Count every pair, not only neighbouring ranks (count_pairs)."
        )
    if spread > 0 or not assignments:
        return None
    return joint_inclusion(np.diag(counts) / number, assignments // number) * number


def coactivation(routing: Routing, *, pairs: int = 10) -> CoActivation:
    """Measure which experts are executed together.

    Parameters
    ----------
    routing : Routing
        What was captured, with counts of pairs; with tokens (``keep="routes"``) pairs have standard errors.
    pairs : int
        How many pairs to list for each layer.

    Returns
    -------
    CoActivation
        By layer. The whole matrix is `coactivation_matrix` of a layer's `pair_counts`.

    Raises
    ------
    ValueError
        If a layer has no counts of pairs.
    """
    wanted = int(count("pairs", pairs, 0))
    layers = tuple(_of_layer(layer, routing, wanted) for layer in routing.layers)
    return CoActivation(len(routing), routing.tokens, layers)


def _checked(pair_counts: ArrayLike) -> NDArray[np.int64]:
    """Return counts as integers, or raise if no sets have them."""
    counts = count("pair_counts", pair_counts, 0).astype(np.int64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or (counts != counts.T).any():
        raise ValueError(
            f"pair_counts must be a symmetric table, got shape {counts.shape}. Count pairs with count_pairs."
        )
    if (counts > np.diag(counts)).any():
        raise ValueError(
            "pair_counts must be at most the number on the diagonal in each row, got more pairs than tokens of an "
            "expert. Count each pair of a token once."
        )
    return counts


def _of_layer(layer: RoutedLayer, routing: Routing, pairs: int) -> LayerCoActivation:
    """Return what is executed together in one layer."""
    if layer.pair_counts is None:
        raise ValueError(
            f"layers must have counts of pairs, got none in {layer.name}. Samples were selected after tokens were left "
            "out: capture with keep='routes', or only the samples wanted."
        )
    matrix, expected = coactivation_matrix(layer.pair_counts), expected_pairs(layer.pair_counts, routing.tokens)
    used = np.diag(layer.pair_counts)
    active = used > 0
    together = layer.pair_counts - np.diag(used)
    total = int(together.sum())
    divergence = math.nan
    if expected is not None and total:
        divergence = float(np.abs(together - (expected - np.diag(used))).sum() / (2 * total))
    strength = np.where(together > 0, matrix, -1.0)
    places = np.argsort(-strength, axis=None, kind="stable")[: min(pairs, int((together > 0).sum()))]
    listed = []
    for i, j in zip(*np.unravel_index(places, matrix.shape), strict=True):
        chance = math.nan if expected is None else float(expected[i, j] / used[i])
        error = _standard_error(layer, routing, int(i), int(j))
        listed.append(ExpertPair(int(i), int(j), int(together[i, j]), float(matrix[i, j]), error, chance))
    return LayerCoActivation(
        name=layer.name,
        number=layer.number,
        companions=total / int(used.sum()) if active.any() else math.nan,
        active_experts=int(active.sum()),
        largest=float(strength.max()) if total else math.nan,
        divergence=divergence,
        pairs=tuple(listed),
    )


def _standard_error(layer: RoutedLayer, routing: Routing, i: int, j: int) -> float:
    """Return the standard error over samples of P(j | i)."""
    if layer.selected is None:
        return math.nan
    has = (layer.selected == i).any(axis=1)
    both = has & (layer.selected == j).any(axis=1)
    owner, n = routing.sample_of_token, len(routing)
    return float(ratio(np.bincount(owner[both], minlength=n), np.bincount(owner[has], minlength=n))[1])
