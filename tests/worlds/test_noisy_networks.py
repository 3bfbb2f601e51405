"""Noisy networks against a second enumeration, by plain loops over every sample, and what must hold among layers."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given

from genbounds.information import composed_contraction, contracted_information, hierarchical_information
from genbounds.numerics.channels import channel_contraction
from genbounds.theorems import get
from genbounds.theorems.quantities import GAP
from genbounds.worlds import NoisyNetwork, flipped_bit, label_memoriser, random_network
from genbounds.worlds.learners import Gibbs
from genbounds.worlds.problems import problem_attack
from genbounds.worlds.strategies import noisy_networks

THEOREMS = (
    "hierarchical_information",
    "hierarchical_wasserstein",
    "contracted_information",
    "contracted_gibbs",
    "contracted_gibbs_labels",
)
SEEDS = range(40, 100)


@pytest.fixture(scope="module")
def networks():
    return [random_network(seed) for seed in SEEDS]


def relative_entropy(p, q):
    p, q = np.ravel(p), np.ravel(q)
    return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0))


def by_loops(network):
    """Laws of (weights, label, T_1, T_2) of a training example i and of a test example, one sample after the other."""
    learning = network.learning
    law, points, n = learning.world.probabilities, network.points, learning.n
    first, second = network.layers
    weights, outputs = len(first), second.shape[2]
    train = np.zeros((n, weights, network.losses.shape[1], first.shape[2], outputs))
    fresh = np.zeros(train.shape[1:])
    kernel = learning.learner(learning.world, np.array(list(product(range(len(law)), repeat=n))))
    for sample, output in zip(product(range(len(law)), repeat=n), kernel, strict=True):
        chance = np.prod(law[list(sample)])
        for w in range(weights):
            for i, z in enumerate(sample):
                x, y = points[z]
                train[i, w, y] += chance * output[w] * first[w, x][:, None] * second[w]
            for z, probability in enumerate(law):
                x, y = points[z]
                fresh[w, y] += chance * output[w] * probability * first[w, x][:, None] * second[w]
    return train, fresh


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 5, 8])
def test_layers_by_plain_loops(seed):
    network = random_network(seed)
    train, fresh = by_loops(network)
    views = [lambda law: law.sum(axis=-1), lambda law: law.sum(axis=-2)]
    for i, law in enumerate(train):
        for layer, view in enumerate(views, start=1):
            divergence, distance = network.layer_divergences[layer, i], network.layer_distances[layer, i]
            assert divergence == pytest.approx(relative_entropy(view(law), view(fresh)), abs=1e-12)
            assert distance == pytest.approx(np.abs(view(law) - view(fresh)).sum() / 2, abs=1e-12)
        labels, product_law = law.sum(axis=(2, 3)), fresh.sum(axis=(2, 3))
        assert network.label_information[i] == pytest.approx(relative_entropy(labels, product_law), abs=1e-12)
    loss = network.losses.T[None, :, None, :]
    gap = (fresh * loss).sum() - np.mean([(law * loss).sum() for law in train])
    assert network.learning.gap == pytest.approx(gap, abs=1e-12)


def test_input_layer_is_the_individual_information(networks):
    """At l = 0 the relative entropy is I(X_i,Y_i;W), which is the label's part and the features' part."""
    for network in networks:
        individual = network.learning.individual_information
        np.testing.assert_allclose(network.layer_divergences[0], individual, atol=1e-13)
        np.testing.assert_allclose(network.label_information + network.feature_information, individual, atol=1e-13)
        np.testing.assert_allclose(network.layer_distances[0], network.learning.total_variations, atol=1e-13)


def test_bounds_never_grow_with_the_layer(networks):
    for network in networks:
        assert np.all(np.diff(network.layer_divergences, axis=0) <= 1e-14)
        assert np.all(np.diff(network.layer_distances, axis=0) <= 1e-14)
        bounds = hierarchical_information(network.layer_divergences, 0.5)
        assert np.all(np.diff(bounds) <= 1e-14)
        assert bounds[-1] >= abs(network.learning.gap) - 1e-12


def test_contraction_with_the_label_split_off(networks):
    """The relative entropy at the output, example by example; and where it must not be applied to both parts at once.

    Without labels there is nothing to split; with them the wrong form fails for many of these networks.
    """
    wrong = 0
    for network in networks:
        last, eta = network.layer_divergences[-1], network.contraction
        assert np.all(last <= network.label_information + eta * network.feature_information + 1e-13)
        assert eta <= composed_contraction([max(map(channel_contraction, layer)) for layer in network.layers])
        assert eta <= network.example_contraction <= 1
        assert np.all(last <= network.example_contraction * network.layer_divergences[0] + 1e-13)
        if network.losses.shape[1] == 1:
            assert network.example_contraction == pytest.approx(eta, abs=1e-12)
        wrong += bool(np.any(last > eta * network.layer_divergences[0] + 1e-12))
    assert wrong > len(networks) / 5


@pytest.mark.parametrize(("n", "gap", "bound"), [(1, 0.5, 0.5887), (2, 0.25, 0.2557), (3, 0.25, 0.2557)])
def test_label_memoriser_refutes_contraction_of_everything(n, gap, bound):
    network = label_memoriser(n)
    assert network.learning.gap == pytest.approx(gap, abs=1e-14)
    assert network.contraction == 0
    right = contracted_information(network.label_information, network.feature_information, network.contraction, 0.5)
    assert right == pytest.approx(bound, abs=1e-4)
    everything = network.learning.individual_information
    unsplit = contracted_information(np.zeros(n), everything, network.contraction, 0.5)
    assert unsplit < 1e-100 < network.learning.gap


@given(noisy_networks())
def test_nothing_is_gained_on_the_way(network):
    """Wherever the search looks: from layer to layer relative entropy and distance fall, and both cover the gap."""
    assert np.all(np.diff(network.layer_divergences, axis=0) <= 1e-13)
    assert np.all(np.diff(network.layer_distances, axis=0) <= 1e-13)
    assert network.layer_distances[-1].mean() >= abs(network.learning.gap) - 1e-13
    assert np.all(2 * network.layer_distances**2 <= network.layer_divergences + 1e-13)  # Pinsker


@pytest.mark.parametrize("name", THEOREMS)
def test_theorems_survive_networks_that_are_not_in_the_battery(networks, name):
    theorem = get(f"information.{name}")
    entered = [network.problem for network in networks]
    entered = [problem for problem in entered if set(theorem.arguments) <= set(problem.quantities)]
    assert len(entered) >= 15
    for problem in entered:
        found = problem_attack(theorem.function, theorem.quantity, theorem.arguments, problem)
        assert found.survived, problem.name


def test_truth_of_a_flipped_bit():
    """By hand: the Gibbs law puts out the bit with probability 1 / (1 + exp(-gamma (1 - 2 rate)))."""
    rate, gamma = 0.2, 1.5
    network = flipped_bit(rate, Gibbs(gamma), 1, "flipped bit")
    kept = 1 - 2 * rate
    right = 1 / (1 + np.exp(-gamma * kept))
    assert network.learning.gap == pytest.approx(kept * (right - 0.5), abs=1e-14)
    assert network.contraction == pytest.approx(kept**2, abs=1e-14)
    assert network.problem.truths == {GAP: abs(network.learning.gap)}


def test_pairs_of_probability_zero_are_left_out():
    network = NoisyNetwork([[0.5, 0.0], [0.0, 0.5]], [np.eye(2)[None]], 1 - np.eye(2), Gibbs(1.0), 2, "label is input")
    assert network.points.tolist() == [[0, 0], [1, 1]]
    assert network.example_contraction == 1
    np.testing.assert_allclose(network.feature_information, 0, atol=1e-15)


@pytest.mark.parametrize(
    ("layers", "losses"),
    [
        ([np.eye(2)], 1 - np.eye(2)),
        ([np.eye(3)[None]], 1 - np.eye(2)),
        ([np.eye(2)[None], np.ones((1, 3, 2)) / 2], 1 - np.eye(2)),
        ([np.eye(2)[None]], [[0.0], [1.0]]),
        ([2 * np.eye(2)[None]], 1 - np.eye(2)),
        ([np.eye(2)[None]], 2 * np.eye(2)),
    ],
)
def test_tables_that_do_not_fit_are_refused(layers, losses):
    with pytest.raises(ValueError, match="must"):
        NoisyNetwork(np.full((2, 2), 0.25), layers, losses, Gibbs(1.0), 1)
