"""Gradient confusion against loops and known arrangements."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.coherence.pairs.confusion import confusion
from genbounds.coherence.pairs.gram import Gram


def gram_of(gradients, labels=None):
    products = gradients @ gradients.T
    return Gram((products + products.T) / 2, labels, np.arange(len(gradients)), len(gradients))


def test_known_arrangements():
    simplex = np.eye(5) - 0.2
    found = confusion(gram_of(simplex))
    assert found.smallest_cosine == pytest.approx(-0.25)
    assert found.eta == pytest.approx(0.2)
    assert found.opposed == 1
    orthogonal = confusion(gram_of(np.eye(5)))
    assert (orthogonal.eta, orthogonal.opposed) == (0, 0)
    assert confusion(gram_of(np.eye(5) + 1)).opposed == 0


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 2**31))
def test_all_pairs_count_and_more_examples_are_never_less_confused(k, d, seed):
    gradients = np.random.default_rng(seed).normal(size=(k, d))
    found = confusion(gram_of(gradients))
    products = [g @ h for g, h in itertools.combinations(gradients, 2)]
    cosines = [g @ h / math.sqrt((g @ g) * (h @ h)) for g, h in itertools.combinations(gradients, 2)]
    assert found.eta == pytest.approx(max(0.0, -min(products)), rel=1e-10)
    assert found.smallest_cosine == pytest.approx(min(cosines), rel=1e-10)
    assert found.opposed == pytest.approx(np.mean(np.array(products) < 0))
    for rank, product, cosine in zip(found.probabilities, found.product_quantiles, found.cosine_quantiles, strict=True):
        assert product == pytest.approx(np.quantile(products, rank), rel=1e-9, abs=1e-12)
        assert cosine == pytest.approx(np.quantile(cosines, rank), rel=1e-9, abs=1e-12)
    # The least eta for which no pair opposes more, and no smaller one will do.
    assert all(product >= -found.eta * (1 + 1e-12) for product in products)
    fewer = confusion(gram_of(gradients[: max(2, k // 2)]))
    assert found.smallest_product <= fewer.smallest_product + 1e-12
    assert found.eta >= fewer.eta - 1e-12


def test_zero_gradients_are_in_no_pair():
    found = confusion(gram_of(np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])))
    assert (found.examples, found.smallest_product) == (2, 1.0)
    assert str(found).startswith("gradient confusion 0 over all pairs of 2 examples")
    json.dumps(found.to_json(), allow_nan=False)
