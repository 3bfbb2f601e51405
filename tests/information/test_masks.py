"""Masks: uniform bits, in pairs, the same ones however many are drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from genbounds.information.supersamples.masks import draw_masks, generator


@given(st.integers(1, 20), st.integers(1, 40), st.integers(0, 2**70), st.integers(0, 9))
def test_balanced_masks_train_on_each_example_half_of_the_time(pairs, n, seed, supersample):
    masks = draw_masks(2 * pairs, n, seed=seed, supersample=supersample)
    assert masks.shape == (2 * pairs, n)
    assert set(masks.ravel()) <= {0, 1}
    assert (masks.sum(0) == pairs).all()
    assert (masks[::2] + masks[1::2] == 1).all()


@given(st.integers(1, 20), st.integers(1, 40), st.sampled_from(["pairs", "independent"]))
def test_more_masks_begin_with_the_same(pairs, n, design):
    few, many = (draw_masks(count, n, seed=5, design=design) for count in (2 * pairs, 2 * pairs + 6))
    np.testing.assert_array_equal(many[: 2 * pairs], few)


def test_bits_are_fair_and_independent():
    """Chi-square over all patterns of four bits of the first of each pair, at a level that a sound generator passes."""
    for design in ("pairs", "independent"):
        masks = draw_masks(8000, 4, seed=1, design=design)[:: 2 if design == "pairs" else 1]
        counts = np.bincount(masks @ (1 << np.arange(4)), minlength=16)
        assert stats.chisquare(counts).pvalue > 1e-3


def test_supersamples_and_seeds_have_masks_of_their_own():
    drawn = [draw_masks(4, 64, seed=seed, supersample=number).tobytes() for seed in (0, 1) for number in (0, 1)]
    assert len(set(drawn)) == 4
    assert generator(1, "masks", 11).random() != generator(11, "masks", 1).random()


@pytest.mark.parametrize(
    ("count", "design", "complaint"),
    [
        (3, "pairs", "even and at least 2, .* got 3. Take 4"),
        (0, "pairs", "got 0. Take 2"),
        (1, "independent", "at least 2, got 1"),
        (4, "halves", "design must be 'pairs' or 'independent', got 'halves'"),
    ],
)
def test_refusals(count, design, complaint):
    with pytest.raises(ValueError, match=complaint):
        draw_masks(count, 5, seed=0, design=design)
    with pytest.raises(ValueError, match="n must be at least 1"):
        draw_masks(4, 0, seed=0)
