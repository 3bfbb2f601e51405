r"""How far the experts of a token are already those of the last checkpoint, and how far two checkpoints agree.

Router saturation [Muennighoff2024OLMoE] is the average over tokens of ``#(E(t) n E(T)) / k``, where E(t) are the
experts executed at checkpoint t and T is the last one. Where the capacity of experts leaves a token fewer than k, k is
replaced by the number executed at T: that reading is ours, and makes the saturation of the last checkpoint 1 again.

Two baselines stand beside it. k experts drawn at random of K meet ``k^2/K`` others on average (hypergeometric), which
makes k/K. Uneven loads meet more often by themselves: ``sum_E N_E(t) N_E(T) / (tokens sum_E N_E(T))`` is exactly the
average over all orders in which the tokens of one checkpoint could stand beside those of the other. What rises towards
the last checkpoint is no evidence by itself: any approach to anywhere does so.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genbounds.pathways.routing import RoutedLayer, Routing
from genbounds.pathways.usage.clusters import ratio
from genbounds.pathways.usage.records import UsageRecord

__all__ = ["LayerSaturation", "Saturation", "saturation"]


@dataclass(frozen=True)
class LayerSaturation:
    """Agreement of two checkpoints on the experts of the same tokens, in one layer.

    Standard errors are over samples.

    Attributes
    ----------
    name, number : str, int
        Of the layer.
    saturation, saturation_error : float
        Mean share of a token's later experts that it had before, in [0, 1].
    random : float
        What k experts at random would give, k/K.
    same_loads : float
        What choices with the loads of both checkpoints, but independent of each other, would give on average.
    top_agreement, top_agreement_error : float
        Share of tokens whose expert of largest weight is the same, of the tokens that have one at the later checkpoint.
    jaccard, jaccard_error : float
        Mean over tokens of the shared experts over those of either checkpoint.
    """

    name: str
    number: int
    saturation: float
    saturation_error: float
    random: float
    same_loads: float
    top_agreement: float
    top_agreement_error: float
    jaccard: float
    jaccard_error: float


@dataclass(frozen=True)
class Saturation(UsageRecord):
    """Agreement of two checkpoints on the experts of the same tokens.

    Attributes
    ----------
    early, last : str
        Names of the checkpoints.
    samples, tokens : int
        What was compared.
    saturation : float
        Mean over layers.
    layers : tuple of LayerSaturation
        In the order of execution.
    """

    early: str
    last: str
    samples: int
    tokens: int
    saturation: float
    layers: tuple[LayerSaturation, ...]


def saturation(early: Routing, last: Routing) -> Saturation:
    """Measure how far the experts of each token are those of a later checkpoint.

    Parameters
    ----------
    early, last : Routing
        Two checkpoints of one model on the same tokens in the same order, captured with ``keep="routes"``. That the
        tokens are the same is checked by the samples' lengths, and by token ids where both have them. With consecutive
        checkpoints in place of the last one the agreement is that of neighbours.

    Returns
    -------
    Saturation
        By layer: saturation with its baselines, agreement of the first expert, and Jaccard's index.

    Raises
    ------
    ValueError
        If tokens were not kept, or tokens or layers differ.

    Examples
    --------
    >>> from genbounds.pathways import RoutedLayer, Routing
    >>> def at_checkpoint(selected):
    ...     selected, gates = np.array(selected, np.int16), np.full((2, 4), 0.25, np.float32)
    ...     counts = np.stack([np.bincount(row, minlength=4) for row in selected])
    ...     layer = RoutedLayer("router", 0, "softmax", gates, counts, np.ones(2), np.zeros(2, np.int64),
    ...                         selected=selected, weights=np.full((2, 2), 0.5, np.float32))
    ...     return Routing((layer,), np.array([1, 1]))
    >>> found = saturation(at_checkpoint([[0, 1], [2, 3]]), at_checkpoint([[0, 2], [2, 3]])).layers[0]
    >>> found.saturation, found.random, found.top_agreement, round(found.jaccard, 4)
    (0.75, 0.5, 1.0, 0.6667)
    """
    _check_same_tokens(early, last)
    layers = tuple(_of_layer(one, two, last) for one, two in zip(early.layers, last.layers, strict=True))
    mean = float(np.mean([layer.saturation for layer in layers]))
    return Saturation(early.name, last.name, len(last), last.tokens, mean, layers)


def _check_same_tokens(early: Routing, last: Routing) -> None:
    """Raise if the two records are not of the same tokens and layers."""
    remedy = "Capture both checkpoints on the same data."
    if not np.array_equal(early.lengths, last.lengths):
        raise ValueError(
            f"early and last must be of the same tokens, got {early.tokens} tokens of {len(early)} samples and "
            f"{last.tokens} of {len(last)}, or other lengths. {remedy}"
        )
    if early.token_ids is not None and last.token_ids is not None and (early.token_ids != last.token_ids).any():
        differ = int((early.token_ids != last.token_ids).sum())
        raise ValueError(f"early and last must be of the same tokens, got {differ} that differ. {remedy}")
    for routing in (early, last):
        for layer in routing.layers:
            if layer.selected is None:
                raise ValueError(
                    f"early and last must have the experts of each token, got none in the layer {layer.name} of "
                    f"{routing.name!r}. Capture them with keep='routes'."
                )
    shapes = [
        [(layer.name, layer.experts, layer.selected.shape[1]) for layer in routing.layers if layer.selected is not None]
        for routing in (early, last)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"early and last must have the same layers, experts and k, got {shapes[0]} and {shapes[1]}. Compare "
            "checkpoints of one model."
        )


def _of_layer(early: RoutedLayer, last: RoutedLayer, routing: Routing) -> LayerSaturation:
    """Return the agreement in one layer."""
    one, two = _selected(early), _selected(last)
    shared = sum(((one[:, [place]] == two) & (two >= 0)).sum(axis=1) for place in range(one.shape[1]))
    size_one, size_two = (one >= 0).sum(axis=1), (two >= 0).sum(axis=1)
    united, has = size_one + size_two - shared, two[:, 0] >= 0
    with np.errstate(invalid="ignore"):
        jaccards = np.where(united > 0, shared / united, 0.0)

    def by_sample(values: NDArray[np.generic]) -> NDArray[np.float64]:
        return np.bincount(routing.sample_of_token, values, len(routing)).astype(np.float64)

    value, error = ratio(by_sample(shared), by_sample(size_two))
    top, top_error = ratio(by_sample(has & (one[:, 0] == two[:, 0])), by_sample(has))
    jaccard, jaccard_error = ratio(by_sample(jaccards), by_sample(united > 0))
    loads = [np.bincount(chosen[chosen >= 0], minlength=last.experts).astype(np.float64) for chosen in (one, two)]
    assignments = loads[1].sum()
    return LayerSaturation(
        name=last.name,
        number=last.number,
        saturation=float(value),
        saturation_error=float(error),
        random=float(size_one.mean() / last.experts),
        same_loads=float((loads[0] * loads[1]).sum() / (routing.tokens * assignments)) if assignments else np.nan,
        top_agreement=float(top),
        top_agreement_error=float(top_error),
        jaccard=float(jaccard),
        jaccard_error=float(jaccard_error),
    )


def _selected(layer: RoutedLayer) -> NDArray[np.int16]:
    """Return the executed experts, which were checked to be there."""
    return np.empty((0, 0), np.int16) if layer.selected is None else layer.selected
