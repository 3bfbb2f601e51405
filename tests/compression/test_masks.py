"""Masks: read back, as short as a set of known size can be, and a prefix code."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.compression.codes import BitReader, BitWriter, kraft_sum, write_delta
from genbounds.compression.masks import largest, read_mask, write_mask


def written(mask):
    bits = BitWriter()
    write_mask(bits, np.asarray(mask, dtype=bool))
    return bits


@pytest.mark.parametrize("size", range(11))
def test_all_masks_are_read_back_and_are_a_prefix_code(size):
    words = set()
    lengths = []
    for mask in itertools.product([False, True], repeat=size):
        bits = written(mask)
        reader = BitReader(bits.to_bytes())
        assert read_mask(reader, size).tolist() == list(mask)
        assert reader.position == len(bits)
        words.add((len(bits), bits.to_bytes()))
        lengths.append(len(bits))
    assert len(words) == 2**size
    assert kraft_sum(lengths) <= 1


@given(st.lists(st.booleans(), max_size=400))
def test_their_length(mask):
    kept = BitWriter()
    write_delta(kept, sum(mask) + 1)
    assert len(written(mask)) == len(kept) + math.ceil(math.log2(math.comb(len(mask), sum(mask))) - 1e-9)
    assert read_mask(BitReader(written(mask).to_bytes()), len(mask)).tolist() == mask


def test_a_large_mask():
    mask = np.random.default_rng(0).random(20_000) < 0.03
    assert np.array_equal(read_mask(BitReader(written(mask).to_bytes()), mask.size), mask)


def test_what_is_no_mask():
    bits = BitWriter()
    write_delta(bits, 6)
    with pytest.raises(ValueError, match="mark at most as many, got 5"):
        read_mask(BitReader(bits.to_bytes()), 4)
    bits = BitWriter()
    write_delta(bits, 2)
    bits.write(3, 2)  # one of three places, number 3 of 0, 1, 2
    with pytest.raises(ValueError, match="number below 3, got 3"):
        read_mask(BitReader(bits.to_bytes()), 3)


def test_the_largest_are_kept():
    assert largest([1.0, -3.0, 2.0, 0.0], 0.5).tolist() == [False, True, True, False]
    assert largest([1.0, 1.0, 1.0], 0.3).tolist() == [True, False, False]
    assert largest([1.0, 2.0], 1.0).all()


@pytest.mark.parametrize("share", [0.0, 1.5, -0.1, float("nan")])
def test_a_share_out_of_range(share):
    with pytest.raises(ValueError, match="share must be in"):
        largest([1.0], share)
