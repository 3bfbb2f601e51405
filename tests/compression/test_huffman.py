"""Huffman coding: read back, as short as any symbol code, and self-delimiting with its table."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.compression.codes import BitReader, BitWriter, kraft_sum, write_gamma
from genbounds.compression.huffman import huffman_lengths, read_huffman, write_huffman


@given(st.integers(1, 7).flatmap(lambda kinds: st.tuples(st.just(kinds), st.lists(st.integers(0, kinds - 1)))))
def test_it_is_read_back(case):
    kinds, symbols = case
    bits = BitWriter()
    write_huffman(bits, symbols, kinds)
    reader = BitReader(bits.to_bytes())
    assert read_huffman(reader, len(symbols), kinds) == symbols
    assert reader.position == len(bits)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=5))
def test_no_symbol_code_is_shorter(frequencies):
    lengths = huffman_lengths(frequencies)
    used = [(often, length) for often, length in zip(frequencies, lengths, strict=True) if often]
    assert kraft_sum(length for _, length in used) <= 1
    total = sum(often * length for often, length in used)
    if len(used) > 1:
        best = min(
            sum(often * length for (often, _), length in zip(used, tried, strict=True))
            for tried in itertools.product(range(1, 5), repeat=len(used))
            if kraft_sum(tried) <= 1
        )
        assert total == best
        n = sum(frequencies)
        entropy = -sum(often * math.log2(often / n) for often, _ in used)
        assert entropy - 1e-9 <= total <= entropy + n


def test_a_symbol_that_alone_occurs_costs_a_bit():
    assert huffman_lengths([0, 5, 0]) == [0, 1, 0]


def test_sequences_of_one_length_are_a_prefix_code():
    lengths = []
    for sequence in itertools.product(range(3), repeat=4):
        bits = BitWriter()
        write_huffman(bits, sequence, 3)
        lengths.append(len(bits))
    assert kraft_sum(lengths) <= 1


def test_a_table_that_is_no_prefix_code_is_refused():
    bits = BitWriter()
    for length in (1, 1, 1):  # three words of one bit
        write_gamma(bits, length + 1)
    with pytest.raises(ValueError, match="Kraft"):
        read_huffman(BitReader(bits.to_bytes()), 1, 3)
