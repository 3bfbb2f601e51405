"""Arithmetic coding: read back exactly, as short as the entropy allows, and a prefix code."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln

from genbounds.compression.arithmetic import read_arithmetic, write_arithmetic
from genbounds.compression.codes import BitReader, BitWriter, kraft_sum, write_delta


def written(symbols, kinds):
    bits = BitWriter()
    write_arithmetic(bits, symbols, kinds)
    return bits


def as_text(bits):
    return "".join(f"{byte:08b}" for byte in bits.to_bytes())[: len(bits)]


@given(st.integers(1, 6).flatmap(lambda kinds: st.tuples(st.just(kinds), st.lists(st.integers(0, kinds - 1)))))
def test_it_is_read_back_and_leaves_what_follows(case):
    kinds, symbols = case
    bits = BitWriter()
    bits.write(0b10, 2)
    write_arithmetic(bits, symbols, kinds)
    bits.write(0b0110, 4)
    reader = BitReader(bits.to_bytes())
    assert reader.read(2) == 0b10
    assert read_arithmetic(reader, len(symbols), kinds) == symbols
    assert reader.read(4) == 0b0110
    reader.finish()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kinds", [2, 3, 8])
def test_its_length_is_that_of_the_frequencies(seed, kinds):
    generator = np.random.default_rng(seed)
    n = int(generator.integers(1, 3000))
    symbols = generator.choice(kinds, n, p=generator.dirichlet(np.full(kinds, 0.5)))
    counts = np.bincount(symbols, minlength=kinds)
    ideal = (gammaln(n + kinds / 2) - gammaln(kinds / 2) - (gammaln(counts + 0.5) - gammaln(0.5)).sum()) / math.log(2)
    length = len(written(symbols, kinds))
    assert ideal <= length <= ideal + 2 + 1e-6
    entropy = -sum(count / n * math.log2(count / n) for count in counts if count)
    assert length <= math.ceil(n * entropy) + 2 + (kinds - 1) / 2 * math.log2(n) + kinds


@pytest.mark.parametrize(("symbols", "kinds"), [(8, 2), (5, 3), (4, 4), (1, 7)])
def test_sequences_of_one_length_are_a_prefix_code(symbols, kinds):
    words = [as_text(written(sequence, kinds)) for sequence in itertools.product(range(kinds), repeat=symbols)]
    ordered = sorted(words)
    assert not any(b.startswith(a) for a, b in itertools.pairwise(ordered))
    assert kraft_sum(map(len, words)) <= 1


def test_with_their_number_in_front_all_sequences_of_up_to_12_bits_are_a_prefix_code():
    words = []
    for symbols in range(9):
        for sequence in itertools.product(range(2), repeat=symbols):
            bits = BitWriter()
            write_delta(bits, symbols + 1)
            bits.extend(written(sequence, 2))
            words.append(as_text(bits))
    ordered = sorted(words)
    assert not any(b.startswith(a) for a, b in itertools.pairwise(ordered))
    short = [word for word in words if len(word) <= 12]
    assert len(short) > 20
    assert kraft_sum(map(len, words)) <= 1
    # Without their number they are none: the empty sequence begins every other.
    without = [len(written(s, 2)) for symbols in range(9) for s in itertools.product(range(2), repeat=symbols)]
    assert kraft_sum(without) > 1


@pytest.mark.parametrize(("symbols", "kinds"), [([], 5), ([0, 0, 0], 1)])
def test_what_the_reader_knows_costs_nothing(symbols, kinds):
    bits = written(symbols, kinds)
    assert len(bits) == 0
    assert read_arithmetic(BitReader(b""), len(symbols), kinds) == symbols


def test_long_runs_and_surprises():
    symbols = [0] * 20_000 + [1] + [0] * 20_000
    bits = written(symbols, 2)
    assert len(bits) < 60
    assert read_arithmetic(BitReader(bits.to_bytes()), len(symbols), 2) == symbols


@pytest.mark.parametrize("symbols", [[3], [-1]])
def test_a_symbol_out_of_range(symbols):
    with pytest.raises(ValueError, match="symbols must be from 0 to 2"):
        written(symbols, 3)
