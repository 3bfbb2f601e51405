"""Routing made up at random or given by its gates, and paths from plain lists."""

import numpy as np
import pytest

from genbounds.pathways.paths import Paths
from genbounds.pathways.routing import RoutedLayer, Routing, count_pairs


def _layer(tokens_of_samples, k, keep_tokens, number, rng):
    """Reduce gates of tokens, one array (tokens, K) for each sample, as a capture does."""
    gates = np.concatenate(tokens_of_samples).astype(np.float32)
    experts = gates.shape[1]
    selected = np.argsort(-gates, axis=1, kind="stable")[:, :k].astype(np.int16)
    ends = np.cumsum([len(tokens) for tokens in tokens_of_samples])[:-1]
    mean = np.stack([part.mean(axis=0, dtype=np.float64) for part in np.split(gates, ends)])
    entropies = -np.where(gates > 0, gates * np.log(np.where(gates > 0, gates, 1)), 0).sum(axis=1, dtype=np.float64)
    entropy = np.array([part.mean() for part in np.split(entropies, ends)])
    return RoutedLayer(
        f"layers.{number}.gate",
        number,
        "softmax",
        mean.astype(np.float32),
        np.stack([np.bincount(part.ravel(), minlength=experts) for part in np.split(selected, ends)]),
        np.clip(entropy, 0, np.log(experts)),
        np.zeros(len(mean), np.int64),
        count_pairs(selected, experts),
        router=rng.standard_normal((experts, 3)).astype(np.float32),
        selected=selected if keep_tokens else None,
        weights=np.take_along_axis(gates, selected.astype(np.intp), 1) if keep_tokens else None,
        gates=gates if keep_tokens else None,
    )


@pytest.fixture(scope="session")
def random_routing():
    """A function that makes up the routing of samples with `lengths` tokens through layers with `experts` experts."""

    def make(seed=0, lengths=(3, 1, 4, 2), experts=(5, 5, 5), *, k=2, concentration=1.0, tokens=True):
        rng = np.random.default_rng(seed)
        layers = []
        for number, each in enumerate(experts):
            gates = [rng.dirichlet(np.full(each, concentration), length) for length in lengths]
            layers.append(_layer(gates, k, tokens, number, rng))
        return Routing(tuple(layers), np.array(lengths), values={"loss": rng.random(len(lengths))})

    return make


@pytest.fixture(scope="session")
def routing_of_gates():
    """A function that makes the routing of samples of one token each from their gates, (n, K) for each layer."""

    def make(*gates, k=1):
        rng = np.random.default_rng(0)
        arrays = [np.asarray(each, np.float64)[:, None] for each in gates]
        layers = tuple(_layer(list(each), k, True, number, rng) for number, each in enumerate(arrays))
        return Routing(layers, np.ones(len(arrays[0]), np.int64))

    return make


@pytest.fixture(scope="session")
def paths_of():
    """A function that makes paths from lists: for each sample a list of experts for each layer."""

    def make(samples, experts=None, ties=None):
        layers = len(samples[0])
        places = max(len(part) for sample in samples for part in sample)
        symbols = np.full((len(samples), layers, max(places, 1)), -1, np.int16)
        for i, sample in enumerate(samples):
            for layer, part in enumerate(sample):
                symbols[i, layer, : len(part)] = part
        if experts is None:
            experts = tuple((symbols.max(axis=(0, 2)) + 1).clip(1).tolist())
        lengths = np.array([[len(part) for part in sample] for sample in samples])
        return Paths(symbols, lengths, experts, "by hand", np.zeros(len(samples), int) if ties is None else ties)

    return make


@pytest.fixture(scope="session")
def random_paths(paths_of):
    """A function that makes up paths of random lists, of given or random lengths from 1."""

    def make(seed, n, experts, longest, shortest=1):
        rng = np.random.default_rng(seed)
        samples = [
            [rng.permutation(each)[: rng.integers(shortest, min(longest, each) + 1)].tolist() for each in experts]
            for _ in range(n)
        ]
        return paths_of(samples, tuple(experts))

    return make
