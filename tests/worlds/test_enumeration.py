import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.worlds import count_vectors, multinomial_law, poisson_binomial_law
from genbounds.worlds.strategies import bernoulli_means


@pytest.mark.parametrize(("total", "categories"), [(0, 1), (3, 1), (0, 4), (1, 3), (4, 2), (5, 4)])
def test_count_vectors_are_all_the_multisets(total, categories):
    found = count_vectors(total, categories).tolist()
    expected = [list(c) for c in itertools.product(range(total + 1), repeat=categories) if sum(c) == total]
    assert found == expected


@pytest.mark.parametrize("probabilities", [(0.5, 0.25, 0.25), (0.125, 0.875), (0.0625, 0.0625, 0.375, 0.5)])
@pytest.mark.parametrize("total", [1, 4, 6])
def test_multinomial_law_against_every_ordered_sample(total, probabilities):
    exact = Counter()
    for sample in itertools.product(range(len(probabilities)), repeat=total):
        counts = tuple(sample.count(point) for point in range(len(probabilities)))
        exact[counts] += math.prod(Fraction(probabilities[point]) for point in sample)
    counts = count_vectors(total, len(probabilities))
    law = multinomial_law(counts, probabilities)
    assert sum(exact.values()) == 1
    for row, probability in zip(counts.tolist(), law, strict=True):
        assert math.isclose(probability, exact[tuple(row)], rel_tol=1e-13)


def test_multinomial_law_broadcasts_over_laws():
    counts = count_vectors(3, 2)
    table = multinomial_law(counts, [[0.5, 0.5], [0.1, 0.9]])
    assert table.shape == (2, 4)
    np.testing.assert_array_equal(table[1], multinomial_law(counts, [0.1, 0.9]))
    np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-14)


@pytest.mark.parametrize(("total", "probabilities"), [(1000, (0.3, 0.7)), (300, (0.01, 0.04, 0.95))])
def test_large_laws_keep_twelve_digits(total, probabilities):
    counts = count_vectors(total, len(probabilities))
    assert abs(math.fsum(multinomial_law(counts, probabilities)) - 1) < 1e-12


def test_a_hundred_thousand_items_keep_eleven_digits():
    n, p = 100_000, 0.0625
    counts = count_vectors(n, 2)
    law = multinomial_law(counts, [p, 1 - p])
    assert abs(math.fsum(law) - 1) < 1e-11
    for k in (0, 1, 17, 6000, 6250, 7000):
        exact = math.comb(n, k) * Fraction(p) ** k * (1 - Fraction(p)) ** (n - k)
        if exact > Fraction(1, 10**100):
            assert abs(Fraction(law[k]) / exact - 1) < Fraction(1, 10**11)
        else:
            assert law[k] < 1e-99


@given(bernoulli_means(8))
def test_poisson_binomial_law_against_every_outcome(means):
    exact = [Fraction(0)] * (means.size + 1)
    for outcome in itertools.product((0, 1), repeat=means.size):
        exact[sum(outcome)] += math.prod(
            Fraction(p) if hit else 1 - Fraction(p) for p, hit in zip(means.tolist(), outcome, strict=True)
        )
    np.testing.assert_allclose(poisson_binomial_law(means), [float(p) for p in exact], rtol=1e-13, atol=1e-300)


def test_poisson_binomial_law_of_like_means_is_binomial():
    law = poisson_binomial_law(np.full((2, 30), [[0.2], [0.9]]))
    binomial = multinomial_law(count_vectors(30, 2), [[0.2, 0.8], [0.9, 0.1]])
    np.testing.assert_allclose(law, binomial, rtol=1e-12)


@given(st.integers(50, 10**6))
def test_an_enumeration_too_large_is_refused(total):
    with pytest.raises(ValueError, match="total must be small enough for 2000000 outcomes"):
        count_vectors(total, 12)


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="categories must be a whole number of at least 1"):
        count_vectors(3, 0)
    with pytest.raises(ValueError, match="total must be a whole number of at least 0"):
        count_vectors(-1, 3)
    with pytest.raises(ValueError, match=r"means must be in \[0, 1\]"):
        poisson_binomial_law([1.5])
