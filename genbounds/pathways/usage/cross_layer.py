r"""How much the expert of one layer says about that of another: mutual information, with nulls that fit the data.

For tokens, r_l is the executed expert of the largest weight at layer l (a token that the capacity left without one
counts as one more symbol); for samples, the expert of the largest mean gate. The plug-in value of ``I(r_l; r_m)`` is
too large, for independent tokens by about ``(K - 1)^2/(2 tokens)`` and for tokens of few samples by far more. Two
remedies stand side by side, both estimates: the jackknife over samples takes the bias of order 1/n off and gives a
standard error, and the null says what the plug-in shows where there is nothing to see
(`genbounds.pathways.usage.pairings`: what each of the nulls keeps). Near zero information the normal interval is not to
be trusted: the p-value is. Several pairs of layers are several tests.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.checks import confidence, count
from genbounds.numerics.discrete_information import mutual_information
from genbounds.pathways.routing import Routing
from genbounds.pathways.usage.clusters import LEVEL, entropy, jackknife_error, normal_ends, without_bias
from genbounds.pathways.usage.pairings import Null, against, movable_share, reordering
from genbounds.pathways.usage.records import UsageRecord

__all__ = ["CrossLayerInformation", "LayerPair", "cross_layer_information", "first_experts"]

Units = Literal["tokens", "samples"]


@dataclass(frozen=True)
class LayerPair:
    """What the experts of two layers say about each other; informations and entropies in nats.

    Attributes
    ----------
    name : str
        Of both layers.
    first, second : int
        Their places among the layers of the record.
    plug_in : float
        ``I(r_l; r_m)`` of the empirical law.
    information, standard_error : float
        The jackknife's estimate over samples, which may be negative, and its standard error.
    level : float
        Nominal confidence of `interval`.
    first_entropy, second_entropy : float
        Plug-in entropies of either.
    conditional_entropy : float
        ``H(r_m | r_l)``, plug-in: what remains unknown of the second.
    null_mean, null_deviation : float
        Of the plug-in under the null.
    z, p_value : float
        Of the plug-in against it, large values counting.
    """

    name: str
    first: int
    second: int
    plug_in: float
    information: float
    standard_error: float
    level: float
    first_entropy: float
    second_entropy: float
    conditional_entropy: float
    null_mean: float
    null_deviation: float
    z: float
    p_value: float

    @property
    def excess(self) -> float:
        """Plug-in information above the mean of the null."""
        return self.plug_in - self.null_mean

    @property
    def interval(self) -> tuple[float, float]:
        """Normal interval of `information`: nominal, and not to be trusted near 0."""
        return normal_ends(self.information, self.standard_error, self.level)


@dataclass(frozen=True)
class CrossLayerInformation(UsageRecord):
    """What the experts of pairs of layers say about each other.

    Attributes
    ----------
    units : {"tokens", "samples"}
        Whose experts.
    samples, tokens : int
        What was seen.
    null : {"samples", "shifts"}
        What was exchanged.
    permutations : int
        Draws of the null.
    movable : float
        Share of the units that the null could move.
    pairs : tuple of LayerPair
        Neighbouring layers, or all.
    """

    units: str
    samples: int
    tokens: int
    null: str
    permutations: int
    movable: float
    pairs: tuple[LayerPair, ...]

    def matrix(self) -> NDArray[np.float64]:
        """Return `information` as a symmetric table.

        Returns
        -------
        ndarray, shape (L, L)
            NaN for pairs that were not measured.
        """
        size = 1 + max(pair.second for pair in self.pairs)
        table = np.full((size, size), np.nan)
        for pair in self.pairs:
            table[pair.first, pair.second] = table[pair.second, pair.first] = pair.information
        return table


def first_experts(routing: Routing, units: Units) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first expert of each token, or sample, at every layer.

    Parameters
    ----------
    routing : Routing
        What was captured; for tokens with ``keep="routes"``.
    units : {"tokens", "samples"}
        The executed expert of the largest weight of each token, or the expert of the largest mean gate of each sample
        (of equal ones the first).

    Returns
    -------
    experts : ndarray of int64, shape (units, L)
        -1 where a token had none.
    lengths : ndarray of int64, shape (n,)
        Units of each sample.

    Raises
    ------
    ValueError
        If tokens are asked for and were not kept.
    """
    if units == "samples":
        columns = [layer.mean_gates.argmax(axis=1) for layer in routing.layers]
        return np.stack(columns, axis=1).astype(np.int64), np.ones(len(routing), np.int64)
    if units != "tokens":
        raise ValueError(f"units must be 'tokens' or 'samples', got {units!r}. Choose whose experts are meant.")
    kept = [layer.selected[:, 0] for layer in routing.layers if layer.selected is not None]
    if len(kept) < len(routing.layers):
        raise ValueError(
            "routing must have the experts of each token, got none. Capture with keep='routes', or pass "
            "units='samples'."
        )
    return np.stack(kept, axis=1).astype(np.int64), routing.lengths


def cross_layer_information(
    routing: Routing,
    *,
    units: Units = "tokens",
    layers: Literal["neighbours", "all"] = "neighbours",
    null: Null = "samples",
    permutations: int = 199,
    level: float = 0.95,
    seed: int = 0,
) -> CrossLayerInformation:
    """Estimate how much the experts of pairs of layers say about each other.

    Parameters
    ----------
    routing : Routing
        What was captured, of two layers or more; for tokens with ``keep="routes"``.
    units : {"tokens", "samples"}
        Whose experts (`first_experts`).
    layers : {"neighbours", "all"}
        Which pairs of layers.
    null : {"samples", "shifts"}
        What is exchanged under the null: see `genbounds.pathways.usage.pairings`. For samples only "samples".
    permutations : int
        Draws of the null, the same for all pairs.
    level : float
        Nominal confidence of intervals, in (0, 1).
    seed : int
        Of the permutations.

    Returns
    -------
    CrossLayerInformation
        Estimates in nats.

    Raises
    ------
    ValueError
        If there is one layer only, tokens were not kept, or the null can move nothing.
    """
    confidence("level", level, LEVEL)
    experts, lengths = first_experts(routing, units)
    size = experts.shape[1]
    if size < 2:
        raise ValueError(
            f"routing must have two layers or more, got {size}. One layer has nothing to be compared with."
        )
    if layers not in ("neighbours", "all"):
        raise ValueError(f"layers must be 'neighbours' or 'all', got {layers!r}. Choose which pairs are measured.")
    places = list(itertools.combinations(range(size), 2) if layers == "all" else itertools.pairwise(range(size)))
    movable = movable_share(lengths, null)
    draw, rng = reordering(lengths, null), np.random.default_rng(int(count("seed", seed, 0)))
    symbols = experts + 1  # 0 for none
    sizes = [layer.experts + 1 for layer in routing.layers]
    drawn = np.empty((int(count("permutations", permutations)), len(places)))
    for row in drawn:
        moved = symbols[draw(rng)]
        row[:] = [_plug_in(symbols[:, one], moved[:, two], sizes[one], sizes[two]) for one, two in places]
    owner, n = np.repeat(np.arange(len(lengths)), lengths), len(lengths)
    ones = np.ones(len(owner), np.int64)
    alone = [entropy(owner, symbols[:, place], ones, n) for place in range(size)]
    pairs = []
    for (one, two), under_null in zip(places, drawn.T, strict=True):
        joint = entropy(owner, symbols[:, one] * sizes[two] + symbols[:, two], ones, n)
        observed = _plug_in(symbols[:, one], symbols[:, two], sizes[one], sizes[two])
        left_out = alone[one][1] + alone[two][1] - joint[1]
        mean, deviation, score, p_value = against(observed, under_null)
        pairs.append(
            LayerPair(
                name=f"{routing.layers[one].name} > {routing.layers[two].name}",
                first=one,
                second=two,
                plug_in=observed,
                information=without_bias(observed, left_out),
                standard_error=float(jackknife_error(left_out)),
                level=level,
                first_entropy=alone[one][0],
                second_entropy=alone[two][0],
                conditional_entropy=joint[0] - alone[one][0],
                null_mean=mean,
                null_deviation=deviation,
                z=score,
                p_value=p_value,
            )
        )
    return CrossLayerInformation(units, len(routing), routing.tokens, null, len(drawn), movable, tuple(pairs))


def _plug_in(one: NDArray[np.int64], two: NDArray[np.int64], rows: int, columns: int) -> float:
    """Return the mutual information of the empirical law of pairs."""
    table = np.bincount(one * columns + two, minlength=rows * columns).reshape(rows, columns)
    return float(mutual_information(table / len(one)))
