"""Records of routing with chosen experts, and routes whose tokens depend on each other within a sample only."""

import numpy as np

from genbounds.pathways.routing import RoutedLayer, Routing, count_pairs


def layer_of(selected, lengths, experts, gates=None, number=0):
    """Return a layer that executed `selected`, with the gates given, or those that are even over what was executed."""
    selected, owner = np.asarray(selected, np.int16), np.repeat(np.arange(len(lengths)), lengths)
    counts = np.zeros((len(lengths), experts), np.int64)
    for column in selected.T:
        np.add.at(counts, (owner[column >= 0], column[column >= 0]), 1)
    if gates is None:
        chosen = np.stack([np.bincount(row[row >= 0], minlength=experts) for row in selected]) + 1e-3
        gates = chosen / chosen.sum(axis=1, keepdims=True)
    gates = np.asarray(gates, np.float64)
    mean = np.stack([gates[owner == i].mean(axis=0) for i in range(len(lengths))])
    terms = -np.where(gates > 0, gates * np.log(np.where(gates > 0, gates, 1)), 0).sum(axis=1)
    return RoutedLayer(
        f"layers.{number}.gate",
        number,
        "softmax",
        mean.astype(np.float32),
        counts,
        np.bincount(owner, terms) / lengths,
        np.zeros(len(lengths), np.int64),
        count_pairs(selected, experts),
        selected=selected,
        weights=np.where(selected >= 0, 0.5, 0).astype(np.float32),
        gates=gates.astype(np.float32),
    )


def routing_of(selected_by_layer, lengths, experts, token_ids=None, gates=None):
    lengths = np.asarray(lengths, np.int64)
    gates = gates or [None] * len(selected_by_layer)
    layers = [
        layer_of(s, lengths, experts, g, i) for i, (s, g) in enumerate(zip(selected_by_layer, gates, strict=True))
    ]
    ids = None if token_ids is None else np.asarray(token_ids, np.int32)
    return Routing(tuple(layers), lengths, token_ids=ids, name="now")


def random_sets(rng, tokens, experts, k, loads=None):
    """Sets drawn one after the other without replacement."""
    keys = rng.gumbel(size=(tokens, experts)) + (0 if loads is None else np.log(loads))
    return np.argsort(-keys, axis=1)[:, :k]


def sticky(rng, n, length, experts, stay=0.9):
    """Routes of n samples of one length in which a token keeps the expert of the one before, mostly."""
    routes = rng.integers(0, experts, (n, length))
    for place in range(1, length):
        keep = rng.random(n) < stay
        routes[keep, place] = routes[keep, place - 1]
    return routes.reshape(-1, 1)
