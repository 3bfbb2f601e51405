"""Codebooks: exact in float16, nearest levels, Lloyd's conditions, steps of a power of two."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.vq import kmeans2

from genbounds.compression.quantisation import Codebook, k_means, uniform

values = st.lists(st.floats(-100, 100), min_size=1, max_size=60)


@given(values, st.integers(1, 9))
def test_k_means_meets_lloyds_conditions(coordinates, levels):
    book = k_means(coordinates, levels)
    assert 1 <= book.levels.size <= levels
    assert np.array_equal(book.levels.astype(np.float16).astype(float), book.levels)
    assert np.array_equal(book.levels, k_means(coordinates[::-1], levels).levels)  # of the values alone


def test_k_means_against_another_implementation():
    generator = np.random.default_rng(0)
    coordinates = np.concatenate([generator.normal(centre, 0.2, 300) for centre in (-2, 0, 3, 5)])
    ours = k_means(coordinates, 4)
    theirs, _ = kmeans2(coordinates, ours.levels, iter=50)  # a fixed point of theirs, too
    assert np.abs(np.sort(theirs) - ours.levels).max() < 4e-3  # rounding to float16
    assert np.abs(ours.levels - [-2, 0, 3, 5]).max() < 0.05


@given(values, st.sampled_from([3, 5, 7]))
def test_uniform_steps_fit_best_of_all_powers_of_two(coordinates, levels):
    book = uniform(coordinates, levels)
    first, last, exponent = book.multiples
    assert (first, last) == (-(levels // 2), levels // 2)

    def error(exponent):
        tried = np.arange(first, last + 1) * 2.0**exponent
        return np.square(np.asarray(coordinates)[:, None] - tried).min(1).sum()

    assert error(exponent) <= min(error(other) for other in range(-10, 9)) + 1e-9


@given(values, st.lists(st.floats(-100, 100), min_size=1, max_size=5))
def test_the_nearest_level(coordinates, levels):
    book = Codebook.rounded(levels)
    found = book.levels[book.nearest(coordinates)]
    distances = np.abs(np.asarray(coordinates)[:, None] - book.levels).min(1)
    assert np.abs(found - coordinates) == pytest.approx(distances, abs=1e-12)


@pytest.mark.parametrize(
    ("levels", "multiples"),
    [
        ([-1.0, 0.0, 1.0], (-1, 1, 0)),
        ([-0.5, 0.0, 0.5, 1.0], (-1, 2, -1)),
        ([0.0, 4.0], (0, 1, 2)),
        ([-1.0, 1.0], None),
        ([-3.0, 0.0, 3.0], None),
        ([-1.0, 0.0, 2.0], None),
        ([2.0], None),
    ],
)
def test_what_a_range_says_as_well_as_a_table(levels, multiples):
    assert Codebook(np.array(levels)).multiples == multiples


@pytest.mark.parametrize("levels", [[0.1], [1.0, 1.0], [2.0, 1.0], [], [np.inf], [np.nan], [1e6], [[1.0]]])
def test_what_a_message_could_not_carry(levels):
    with pytest.raises(ValueError, match="levels must"):
        Codebook(np.array(levels))


def test_values_beyond_float16():
    with pytest.raises(ValueError, match="levels must be finite float16"):
        Codebook.rounded([1.0, 1e9])


@pytest.mark.parametrize("levels", [2, 4, 1])
def test_equal_steps_need_a_middle(levels):
    with pytest.raises(ValueError, match="levels must be odd"):
        uniform([1.0], levels)


def test_no_values():
    with pytest.raises(ValueError, match="at least one coordinate"):
        k_means([], 3)
