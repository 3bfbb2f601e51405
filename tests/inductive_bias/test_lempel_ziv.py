import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genbounds.inductive_bias.simplicity.lempel_ziv import lempel_ziv_bits, lempel_ziv_words

bits = st.text("01", min_size=1, max_size=60)


def history(text):
    """The words, by searching: a word grows while it occurs in what stands before its own last symbol."""
    words, start = [], 0
    while start < len(text):
        end = start + 1
        while end < len(text) and text[start:end] in text[: end - 1]:
            end += 1
        words.append(text[start:end])
        start = end
    return words


def test_every_string_of_up_to_12_bits():
    for length in range(1, 13):
        for text in map("".join, product("01", repeat=length)):
            assert lempel_ziv_words(text) == len(history(text)), text


@given(st.text("abcd", min_size=1, max_size=200))
def test_other_alphabets(text):
    assert lempel_ziv_words(text) == len(history(text))


def test_the_example_of_lempel_and_ziv():
    assert history("0001101001000101") == ["0", "001", "10", "100", "1000", "101"]
    assert lempel_ziv_words("0001101001000101") == 6


@pytest.mark.parametrize(("text", "words"), [("0", 1), ("00", 2), ("01", 2), ("0" * 1000, 2), ("01" * 500, 3)])
def test_by_hand(text, words):
    assert lempel_ziv_words(text) == words


@given(bits, bits)
def test_laws_of_lempel_and_ziv(first, second):
    """Subadditive, and never smaller for a longer sequence."""
    together = lempel_ziv_words(first + second)
    assert lempel_ziv_words(first) <= together <= lempel_ziv_words(first) + lempel_ziv_words(second)


@given(bits)
def test_names_of_symbols_and_direction_do_not_matter(text):
    value = lempel_ziv_bits(text)
    assert value == lempel_ziv_bits(text[::-1])
    assert value == lempel_ziv_bits(text.translate(str.maketrans("01", "10")))
    assert value == lempel_ziv_bits(np.array([letter == "1" for letter in text]))
    assert value == lempel_ziv_bits([int(letter) for letter in text])


@given(bits)
def test_bits_by_the_formula(text):
    n = len(text)
    constant = len(set(text)) == 1
    words = 1 if constant else (len(history(text)) + len(history(text[::-1]))) / 2
    assert lempel_ziv_bits(text) == math.log2(n) * words
    assert lempel_ziv_bits(text) >= math.log2(n)


def test_long_sequences_and_their_growth():
    """About n / log2(n) words for random bits, so that K_LZ is about n; and 2^12 bits take no time."""
    n = 2**12
    noise = np.random.default_rng(0).integers(0, 2, n)
    text = "".join(map(str, noise))
    assert lempel_ziv_words(noise) == len(history(text))
    assert 0.9 < lempel_ziv_bits(noise) / n < 1.3
    assert lempel_ziv_bits(np.tile([0, 1, 1], n // 3)) / n < 0.02


def test_numbers_count_by_value_whatever_holds_them():
    """Tensors of one number are different keys even where they are equal."""
    bits = [0, 1, 0, 1, 1, 0]
    wanted = lempel_ziv_words(bits), lempel_ziv_bits(bits)
    assert wanted[0] < len(bits)
    for same in (np.array(bits), torch.tensor(bits), list(torch.tensor(bits)), list(np.array(bits)), tuple(bits)):
        assert (lempel_ziv_words(same), lempel_ziv_bits(same)) == wanted


@pytest.mark.parametrize("function", [lempel_ziv_words, lempel_ziv_bits])
@pytest.mark.parametrize("sequence", ["", [], 5, None, np.zeros((2, 3)), [np.zeros(2)], [0.0, float("nan")]])
def test_what_is_no_sequence_is_refused(function, sequence):
    with pytest.raises(ValueError, match="sequence must be a list of at least one symbol, none of them NaN, got"):
        function(sequence)
