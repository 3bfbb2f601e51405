r"""Which experts serve which token of the vocabulary.

Vocabulary specialisation [Muennighoff2024OLMoE] is ``N_xE / N_x``, the share of the occurrences of token id x for which
expert E is executed; rows sum to k, and k/K is what no preference would show. Rare ids look specialised by chance,
which is why a least number of occurrences is asked for; occurrences in few samples are fewer than they look.

One number for a layer is the mutual information, in nats, between the id and the expert of an assignment drawn
uniformly among the kept ids, with the nulls of `genbounds.pathways.usage.pairings`: the plug-in is far too large where
ids are many, and its excess over the null is what can be read.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import count
from genbounds.numerics.discrete_information import mutual_information
from genbounds.pathways.routing import Routing
from genbounds.pathways.usage.pairings import Null, against, movable_share, reordering

__all__ = ["LayerVocabulary", "VocabularySpecialisation", "vocabulary_specialisation"]


@dataclass(frozen=True, eq=False)
class LayerVocabulary:
    """Which experts of a layer serve which token id.

    Attributes
    ----------
    name, number : str, int
        Of the layer.
    shares : ndarray of float64, shape (V, K)
        Share of the occurrences of each kept id that execute each expert.
    baseline : float
        k/K, over the kept ids.
    plug_in : float
        Mutual information of id and expert, of the empirical law, in nats.
    null_mean, null_deviation : float
        Of the plug-in under the null.
    z, p_value : float
        Of the plug-in against it, large values counting.
    """

    name: str
    number: int
    shares: NDArray[np.float64]
    baseline: float
    plug_in: float
    null_mean: float
    null_deviation: float
    z: float
    p_value: float

    @property
    def excess(self) -> float:
        """Plug-in information above the mean of the null: an estimate, low where much is shared."""
        return self.plug_in - self.null_mean


@dataclass(frozen=True, eq=False)
class VocabularySpecialisation:
    """Which experts serve which token id, in all layers.

    Attributes
    ----------
    ids : ndarray of int, shape (V,)
        Token ids that occur often enough, in rising order.
    occurrences : ndarray of int64, shape (V,)
        How often.
    samples : ndarray of int64, shape (V,)
        In how many samples: the independent ones among the occurrences are hardly more.
    movable : float
        Share of the tokens that the null could move.
    layers : tuple of LayerVocabulary
        In the order of execution.
    """

    ids: NDArray[np.integer]
    occurrences: NDArray[np.int64]
    samples: NDArray[np.int64]
    movable: float
    layers: tuple[LayerVocabulary, ...]


def vocabulary_specialisation(
    routing: Routing,
    *,
    token_ids: ArrayLike | None = None,
    minimum: int = 10,
    null: Null = "samples",
    permutations: int = 199,
    seed: int = 0,
) -> VocabularySpecialisation:
    """Measure which experts serve which token of the vocabulary.

    Parameters
    ----------
    routing : Routing
        What was captured, with ``keep="routes"``.
    token_ids : array_like of int, shape (tokens,), optional
        Ids to use in place of those of the inputs: the ids predicted next, for specialisation on outputs.
    minimum : int
        Least number of occurrences of an id, at least 1.
    null : {"samples", "shifts"}
        What is exchanged under the null.
    permutations : int
        Draws of the null, the same for all layers.
    seed : int
        Of the permutations.

    Returns
    -------
    VocabularySpecialisation
        Shares by id and expert, and an information for each layer.

    Raises
    ------
    ValueError
        If ids or the experts of tokens were not kept, no id occurs often enough, or the null can move nothing.
    """
    given = routing.token_ids if token_ids is None else np.asarray(token_ids)
    if given is None or given.shape != (routing.tokens,):
        shape = None if given is None else given.shape
        raise ValueError(
            f"token_ids must be an id for each of {routing.tokens} tokens, got {shape}. Capture with keep='routes'."
        )
    ids, place, occurrences = np.unique(given, return_inverse=True, return_counts=True)
    frequent = occurrences >= int(count("minimum", minimum))
    if not frequent.any():
        raise ValueError(
            f"minimum must leave a token id, got {minimum} where the most frequent occurs {occurrences.max()} times. "
            "Lower it."
        )
    row = np.where(frequent, np.cumsum(frequent) - 1, -1)[place]  # of each token, -1 for rare ids
    rows = int(frequent.sum())
    owner = np.unique(np.stack([row, routing.sample_of_token], axis=1), axis=0)[:, 0]
    movable = movable_share(routing.lengths, null)
    draw, rng = reordering(routing.lengths, null), np.random.default_rng(int(count("seed", seed, 0)))
    chosen = []
    for layer in routing.layers:
        if layer.selected is None:
            raise ValueError(
                f"routing must have the experts of each token, got none in the layer {layer.name}. Capture with "
                "keep='routes'."
            )
        chosen.append((layer.selected.astype(np.intp), layer.experts))
    drawn = np.empty((int(count("permutations", permutations)), len(chosen)))
    for under_null in drawn:
        moved = row[draw(rng)]
        under_null[:] = [_plug_in(_table(moved, *experts, rows)) for experts in chosen]
    layers = []
    for layer, experts, under_null in zip(routing.layers, chosen, drawn.T, strict=True):
        table = _table(row, *experts, rows)
        observed = _plug_in(table)
        layers.append(
            LayerVocabulary(
                layer.name,
                layer.number,
                table / occurrences[frequent, None],
                float(table.sum() / occurrences[frequent].sum() / layer.experts),
                observed,
                *against(observed, under_null),
            )
        )
    in_samples = np.bincount(owner[owner >= 0], minlength=rows)
    return VocabularySpecialisation(ids[frequent], occurrences[frequent], in_samples, movable, tuple(layers))


def _table(row: NDArray[np.intp], selected: NDArray[np.intp], experts: int, rows: int) -> NDArray[np.int64]:
    """Count the assignments of each kept id to each expert."""
    table = np.zeros(rows * experts, np.int64)
    for column in selected.T:
        both = (row >= 0) & (column >= 0)
        table += np.bincount(row[both] * experts + column[both], minlength=len(table))
    return table.reshape(rows, experts)


def _plug_in(table: NDArray[np.int64]) -> float:
    """Return the mutual information of id and expert of a random assignment."""
    return float(mutual_information(table / table.sum()))
