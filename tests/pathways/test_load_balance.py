"""Top-1 paths: the load-balance identity, the variance over pairs, the law of independent routing."""

from fractions import Fraction
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.pathways import Paths, distance_matrix, independent_routing, load_balance


def top_one(first, experts):
    first = np.asarray(first)
    return Paths(first[:, :, None].astype(np.int16), np.ones(first.shape, np.int64), experts, "top 1", first[:, 0] * 0)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 30), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_identity_holds_for_integers_and_under_any_shuffle(n, layers, experts, seed):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, experts, (n, layers))
    found = load_balance(top_one(first, (experts,) * layers))
    distances = [int((first[i] != first[j]).sum()) for i in range(n) for j in range(i)]
    pairs = len(distances)
    assert abs(found.mean - Fraction(sum(distances), pairs)) <= 1e-12
    square = Fraction(sum(d * d for d in distances), pairs) - Fraction(sum(distances), pairs) ** 2
    assert abs(found.variance - square) <= 1e-12
    by_hand = [1 - Fraction(int(sum(c * (c - 1) for c in np.bincount(x).tolist())), n * (n - 1)) for x in first.T]
    assert abs(found.mean - sum(by_hand)) <= 1e-12
    shuffled = load_balance(top_one(rng.permuted(first, axis=0), (experts,) * layers))
    assert (shuffled.by_layer, shuffled.mean) == (found.by_layer, found.mean)
    whole = distance_matrix(top_one(first, (experts,) * layers))
    assert found.mean == pytest.approx(whole.sum() / (n * (n - 1)), abs=1e-12)


def test_shuffles_leave_the_sum_of_the_layers_variances_on_average():
    first = np.array([[0, 0, 1], [0, 0, 1], [1, 1, 0], [2, 1, 1]])
    every = [
        load_balance(top_one(np.column_stack([first[:, 0], first[list(a), 1], first[list(b), 2]]), (3, 2, 2))).variance
        for a, b in product(permutations(range(4)), repeat=2)
    ]
    assert np.mean(every) == pytest.approx(load_balance(top_one(first, (3, 2, 2))).shuffled_variance, abs=1e-12)
    assert max(every) > min(every)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=3), min_size=1, max_size=3))
def test_the_law_of_independent_routing_by_enumeration(weights):
    loads = [np.array(row) / sum(row) for row in weights]
    law = np.zeros(len(loads) + 1)
    routes = list(product(*(range(len(load)) for load in loads)))
    chance = [np.prod([load[k] for load, k in zip(loads, route, strict=True)]) for route in routes]
    for (one, p), (two, q) in product(zip(routes, chance, strict=True), repeat=2):
        law[sum(a != b for a, b in zip(one, two, strict=True))] += p * q
    found = independent_routing(loads)
    assert np.allclose(found.probabilities, law, atol=1e-14)
    values = np.arange(len(law))
    assert found.mean == pytest.approx(law @ values)
    assert found.variance == pytest.approx(law @ values**2 - (law @ values) ** 2)
    assert found.at_most(0.5) == pytest.approx(law[0])
    assert found.at_most(1) == pytest.approx(law[0] + law[1])


def test_uniform_routing_and_what_is_refused():
    assert independent_routing([[0.25] * 4] * 3).mean == pytest.approx(3 * (1 - 1 / 4))
    for loads, message in (([], "at least one layer"), ([[0.5, 0.4]], "sum to 1"), ([[1.5, -0.5]], r"in \[0, 1\]")):
        with pytest.raises(ValueError, match=message):
            independent_routing(loads)
    with pytest.raises(ValueError, match="at least two samples"):
        load_balance(top_one([[0]], (1,)))
    empty = Paths(np.full((2, 1, 1), -1, np.int16), np.zeros((2, 1), np.int64), (2,), "none", np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="an expert in every layer"):
        load_balance(empty)
