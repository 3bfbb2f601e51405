"""Stiffness by distance against a loop, and where gradients turn with the distance by construction."""

import itertools
import json
import math

import numpy as np
import pytest

from genbounds.coherence.pairs.gram import Gram
from genbounds.coherence.pairs.input_distance import distance_profile
from genbounds.coherence.pairs.stiffness import stiffness


def gram_of(gradients, labels=None):
    products = gradients @ gradients.T
    return Gram((products + products.T) / 2, labels, np.arange(len(gradients)), len(gradients))


def test_stiffness_by_distance_falls_where_it_was_made_to_fall():
    angles = np.linspace(0, math.pi, 40)
    gradients = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    distances = np.abs(angles[:, None] - angles[None, :])
    found = distance_profile(gram_of(gradients), distances, bins=8)
    assert found.critical_length == pytest.approx(math.pi / 2, abs=0.05)
    assert sum(found.pairs) == 40 * 39 // 2
    total = sum(mean.value * pairs for mean, pairs in zip(found.cosine, found.pairs, strict=True)) / (20 * 39)
    assert total == pytest.approx(stiffness(gram_of(gradients)).cosine.overall.value)
    for number, (low, high) in enumerate(itertools.pairwise(found.edges)):
        values = [
            math.cos(distances[i, j])
            for i, j in itertools.combinations(range(40), 2)
            if low <= distances[i, j] and (distances[i, j] < high or number == 7)
        ]
        assert found.cosine[number].value == pytest.approx(np.mean(values))
        assert found.pairs[number] == len(values)
    assert json.loads(json.dumps(found.to_json()))["critical_length"] == found.critical_length


def test_distances_with_ties_and_gradients_that_agree_or_oppose_everywhere():
    agreeing = distance_profile(gram_of(np.eye(4) + 1), 1.0 - np.eye(4))
    assert agreeing.pairs == (6,)
    assert agreeing.critical_length is None
    assert distance_profile(gram_of(np.eye(4) - 0.25), 1.0 - np.eye(4)).critical_length is None
    with pytest.raises(ValueError, match="distances must be of shape"):
        distance_profile(gram_of(np.eye(4)), np.zeros((3, 3)))


def test_a_bin_without_pairs_is_part_of_the_one_below():
    distances = np.zeros((5, 5))
    distances[np.triu_indices(5, 1)] = [0, 0, 0, 0, 0, 1, 2, 2, 2, 3]  # no pair between 1.4 and 2
    found = distance_profile(gram_of(np.eye(5) + 1), distances + distances.T, bins=10)
    assert found.pairs == (5, 1, 3, 1)
    assert found.edges == pytest.approx((0, 0.5, 2, 2.1, 3))
    assert found.edges[0] <= found.distances[0]
    assert all(low <= middle for low, middle in zip(found.edges, found.distances, strict=False))
    assert all(middle <= high for middle, high in zip(found.distances, found.edges[1:], strict=True))
    alone = distance_profile(gram_of(np.eye(4) + 1), 1.0 - np.eye(4))
    assert alone.edges == (1.0, 1.0)
    orthogonal = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
    assert distance_profile(gram_of(np.eye(4)), orthogonal, bins=3).critical_length is None
