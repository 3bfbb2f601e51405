"""Prefix codes: read back, prefix-free as a whole by enumeration; what is no code fails the same test."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.compression.codes import (
    BitReader,
    BitWriter,
    code_length,
    kraft_sum,
    read_delta,
    read_gamma,
    read_omega,
    require_prefix_lengths,
    signed,
    unsigned,
    write_delta,
    write_gamma,
    write_omega,
)

CODES = {"gamma": (write_gamma, read_gamma), "delta": (write_delta, read_delta), "omega": (write_omega, read_omega)}


def word(write, number):
    bits = BitWriter()
    write(bits, number)
    return bits


def as_text(bits):
    return "".join(f"{byte:08b}" for byte in bits.to_bytes())[: len(bits)]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("gamma", ["1", "010", "011", "00100", "00101", "00110", "00111", "0001000"]),
        ("delta", ["1", "0100", "0101", "01100", "01101", "01110", "01111", "00100000"]),
        ("omega", ["0", "100", "110", "101000", "101010", "101100", "101110", "1110000"]),
    ],
)
def test_published_words(code, words):
    write = CODES[code][0]
    assert [as_text(word(write, number)) for number in range(1, 9)] == words


@pytest.mark.parametrize("code", CODES)
@given(numbers=st.lists(st.integers(1, 2**70), max_size=8))
def test_numbers_one_after_another_are_read_back(code, numbers):
    write, read = CODES[code]
    bits = BitWriter()
    for number in numbers:
        write(bits, number)
    reader = BitReader(bits.to_bytes())
    assert [read(reader) for _ in numbers] == numbers
    assert reader.position == len(bits)
    reader.finish()


@pytest.mark.parametrize("code", CODES)
def test_no_word_of_up_to_12_bits_begins_another(code):
    words = []
    number = 1
    while number < 2**12:
        text = as_text(word(CODES[code][0], number))
        if len(text) <= 12:
            words.append(text)
        number += 1
    assert len(set(words)) == len(words)
    assert not any(b.startswith(a) for a in words for b in words if a is not b)
    assert kraft_sum(map(len, words)) <= 1
    require_prefix_lengths(map(len, words))


def test_every_string_of_12_bits_begins_with_at_most_one_word():
    """The other way round: what a reader takes from a string is what a writer would have written."""
    for code, (write, read) in CODES.items():
        for string in range(2**12):
            reader = BitReader((string << 4).to_bytes(2))
            try:
                number = read(reader)
            except ValueError:
                continue
            if reader.position <= 12:
                assert f"{string:012b}"[: reader.position] == as_text(word(write, number)), code


def test_l_plus_2_log_l_is_no_code():
    """What is often paid for a file of l bits: its sum of 2^-length is pi^2 / 6, above 1 from the second length on."""
    lengths = [bits + math.ceil(2 * math.log2(bits)) for bits in range(1, 13) for _ in range(2**bits)]
    assert kraft_sum(lengths) > 1
    with pytest.raises(ValueError, match="Kraft sum of at most 1"):
        require_prefix_lengths(lengths)
    exact = sum(Fraction(1, bits * bits) for bits in range(1, 2000))
    assert float(exact) == pytest.approx(math.pi**2 / 6, abs=1e-3)
    # The same files with their length in Elias' delta code in front are a code.
    proper = [bits + len(word(write_delta, bits)) for bits in range(1, 13) for _ in range(2**bits)]
    assert kraft_sum(proper) < 1


def test_a_credit_of_two_bits_is_no_code():
    lengths = [len(word(write_gamma, number)) - 2 for number in range(2, 200)]
    with pytest.raises(ValueError, match="Kraft"):
        require_prefix_lengths(lengths)


def test_negative_bits_are_refused():
    with pytest.raises(ValueError, match="length must be a whole number of at least 0"):
        kraft_sum([3, -2])
    with pytest.raises(ValueError, match="bits must be a whole number of at least 0"):
        code_length(-2)


@given(st.integers(-(2**70), 2**70))
def test_signs(number):
    assert unsigned(number) >= 1
    assert signed(unsigned(number)) == number


def test_signed_numbers_fill_the_positive_ones():
    assert sorted(unsigned(number) for number in range(-50, 51)) == list(range(1, 102))


@given(st.integers(0, 10**9))
def test_nats_are_never_below_the_bits(bits):
    length = Fraction(code_length(bits))
    assert bits * Fraction("0.6931471805599453094172321214582") <= length  # ln 2, rounded up in the last place
    assert float(length) <= bits * math.log(2) * (1 + 1e-15)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2**40 - 1)), max_size=20))
def test_fixed_widths(pairs):
    bits = BitWriter()
    for width, value in pairs:
        bits.write(value % (1 << width), width)
    reader = BitReader(bits.to_bytes())
    assert [reader.read(width) for width, _ in pairs] == [value % (1 << width) for width, value in pairs]
    reader.finish()


@pytest.mark.parametrize(("value", "width"), [(4, 2), (-1, 3), (1, 0)])
def test_a_number_that_does_not_fit(value, width):
    with pytest.raises(ValueError, match="value must be from 0 to"):
        BitWriter().write(value, width)


def test_a_message_that_was_cut_or_goes_on():
    bits = word(write_delta, 1000)
    reader = BitReader(bits.to_bytes()[:1])
    with pytest.raises(ValueError, match="It was cut"):
        read_delta(reader)
    for tail in (b"\x00", b"\x01"):
        reader = BitReader(bits.to_bytes() + tail)
        read_delta(reader)
        with pytest.raises(ValueError, match="must end after"):
            reader.finish()


@pytest.mark.parametrize("write", [write_gamma, write_delta, write_omega])
def test_zero_has_no_word(write):
    with pytest.raises(ValueError, match="number must be a whole number of at least 1"):
        write(BitWriter(), 0)
