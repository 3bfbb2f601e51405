r"""How sure the routers are, and how evenly the experts are used.

With N_k the tokens for which expert k is executed, ``f_k = N_k / sum N`` (which sums to 1) and P_k the mean gate over
tokens, the auxiliary loss of Switch transformers [Fedus2022] is ``K sum_k f_k P_k``: 1 at balance. The library
transformers counts ``N_k / tokens``, which sums to k, and pools the layers: k at balance. Both are here under their own
names and are never mixed. Where routers are not softmax ones, P_k is the mean of their normalised scores, and what a
model was trained with may differ. The z-loss needs the logits, of which gates have lost the scale: it is not here.

Indices of unevenness (effective experts, Gini, CV^2) [Shazeer2017] are those of the tokens seen. Few tokens look uneven
by chance: N independent assignments to K equally likely experts have ``E CV^2 = (K - 1)/N``, tokens of one sample,
which go the same way, more. For the same reason an expert that is dead here may live elsewhere.
"""

import math
from dataclasses import dataclass

import numpy as np

from genbounds.numerics.unevenness import gini
from genbounds.pathways.routing import RoutedLayer, Routing
from genbounds.pathways.usage.clusters import entropy, jackknife_error, ratio
from genbounds.pathways.usage.records import UsageRecord

__all__ = ["ExpertLoad", "LayerLoad", "expert_load"]


@dataclass(frozen=True)
class LayerLoad:
    """Use of the K experts of a layer.

    Attributes
    ----------
    name, number : str, int
        Of the layer.
    experts : int
        K.
    executed : float
        Experts executed for a token, on average: k, less where the capacity of experts left some out.
    router_entropy, router_entropy_error : float
        Mean over tokens of the entropy of the gates, in nats, and its standard error over samples.
    relative_router_entropy : float
        Divided by ln K; NaN for a single expert.
    load : tuple of float
        f_k, each expert's share of the assignments.
    mean_gates : tuple of float
        P_k, each expert's mean gate over tokens.
    load_entropy, load_entropy_error : float
        ``H = -sum f ln f`` in nats (plug-in), and its standard error over samples.
    effective_experts : float
        ``exp(H)``, in [1, K].
    simpson_experts : float
        ``1 / sum f^2``, in [1, `effective_experts`].
    largest_load : float
        ``K max f``: the most used expert's load over the mean load, in [1, K].
    gini : float
        Gini index of the load, in [0, 1 - 1/K].
    cv_squared : float
        ``K sum f^2 - 1``, variance of the load over its squared mean, in [0, K - 1].
    dead_experts : int
        Experts that were executed for no token.
    switch_balance : float
        ``K sum f P``, where f sums to 1: 1 at balance.
    transformers_balance : float
        The same where f sums to k, as in the library transformers: k at balance.
    tied_tokens : int
        Tokens at which equal gates made the choice of experts arbitrary.
    """

    name: str
    number: int
    experts: int
    executed: float
    router_entropy: float
    router_entropy_error: float
    relative_router_entropy: float
    load: tuple[float, ...]
    mean_gates: tuple[float, ...]
    load_entropy: float
    load_entropy_error: float
    effective_experts: float
    simpson_experts: float
    largest_load: float
    gini: float
    cv_squared: float
    dead_experts: int
    switch_balance: float
    transformers_balance: float
    tied_tokens: int


@dataclass(frozen=True)
class ExpertLoad(UsageRecord):
    """Use of the experts of all layers.

    Attributes
    ----------
    samples, tokens : int
        What was seen.
    router_entropy, router_entropy_error : float
        Mean over tokens and layers of the entropy of the gates, in nats, and its standard error over samples.
    transformers_pooled_balance : float
        The auxiliary loss as the library transformers prints it: layers are pooled as if they were one, so that
        imbalances of different layers may cancel. NaN where layers differ in K.
    layers : tuple of LayerLoad
        In the order of execution.
    """

    samples: int
    tokens: int
    router_entropy: float
    router_entropy_error: float
    transformers_pooled_balance: float
    layers: tuple[LayerLoad, ...]


def expert_load(routing: Routing) -> ExpertLoad:
    """Measure how sure the routers are and how evenly experts are used.

    Parameters
    ----------
    routing : Routing
        What was captured; tokens need not have been kept.

    Returns
    -------
    ExpertLoad
        Numbers of the tokens seen, nothing judged.

    Raises
    ------
    ValueError
        If no expert was executed in a layer.
    """
    lengths = routing.lengths
    layers = tuple(_of_layer(layer, lengths) for layer in routing.layers)
    entropies = np.mean([layer.entropy for layer in routing.layers], axis=0)
    value, error = ratio(entropies * lengths, lengths)
    pooled = math.nan
    if len({layer.experts for layer in layers}) == 1:
        share, gates = (
            np.mean([np.asarray(getattr(layer, name)) * scale(layer) for layer in layers], axis=0)
            for name, scale in (("load", lambda layer: layer.executed), ("mean_gates", lambda _: 1.0))
        )
        pooled = float(layers[0].experts * (share * gates).sum())
    return ExpertLoad(len(routing), routing.tokens, float(value), float(error), pooled, layers)


def _of_layer(layer: RoutedLayer, lengths: np.ndarray) -> LayerLoad:
    """Return the numbers of a layer."""
    experts, counts = layer.experts, layer.counts
    used = counts.sum(axis=0)
    if not used.sum():
        raise ValueError(
            f"counts must be above 0 for some expert, got none in the layer {layer.name}. Is the router executed?"
        )
    load = used / used.sum()
    gates, _ = ratio(layer.mean_gates.astype(np.float64) * lengths[:, None], lengths[:, None])
    sureness, sureness_error = ratio(layer.entropy * lengths, lengths)
    samples, symbols = np.nonzero(counts)
    spread, left_out = entropy(samples, symbols, counts[samples, symbols], len(lengths))
    executed = float(used.sum() / lengths.sum())
    squares, balance = float((load**2).sum()), float(experts * (load * gates).sum())
    return LayerLoad(
        name=layer.name,
        number=layer.number,
        experts=experts,
        executed=executed,
        router_entropy=float(sureness),
        router_entropy_error=float(sureness_error),
        relative_router_entropy=float(sureness) / math.log(experts) if experts > 1 else math.nan,
        load=tuple(load.tolist()),
        mean_gates=tuple(gates.tolist()),
        load_entropy=spread,
        load_entropy_error=float(jackknife_error(left_out)),
        effective_experts=math.exp(spread),
        simpson_experts=1 / squares,
        largest_load=float(experts * load.max()),
        gini=gini(load),
        cv_squared=experts * squares - 1,
        dead_experts=int((used == 0).sum()),
        switch_balance=balance,
        transformers_balance=executed * balance,
        tied_tokens=int(layer.ties.sum()),
    )
