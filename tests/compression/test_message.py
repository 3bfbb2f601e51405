"""The message: decoded to the network that was encoded, bit by bit paid for, and a prefix code as a whole."""

import hashlib
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.compression.codes import BitReader, kraft_sum
from genbounds.compression.message import Header, Message, QuantisedNetwork, decode, encode, read_header
from genbounds.compression.parametrisations import rebuild
from genbounds.compression.quantisation import Codebook

START = {"a.weight": torch.linspace(-1, 1, 20).reshape(4, 5), "a.bias": torch.zeros(4)}
DESCRIPTIONS = (
    {"kind": "full"},
    {"kind": "random subspace", "dimension": 7, "seed": 3},
    {"kind": "lora", "rank": 1, "seed": 0},
    {"kind": "sublora", "rank": 1, "dimension": 4, "seed": 2},
)


def network(description=DESCRIPTIONS[0], levels=(-1.0, 0.0, 1.0), seed=0, variant=1, draw=0, zeros=0.6):
    generator = np.random.default_rng(draw)
    book = Codebook(np.array(levels))
    dimension = rebuild(description, START).dimension
    symbols = generator.integers(book.levels.size, size=dimension)
    if 0 in levels:
        symbols[generator.random(dimension) < zeros] = int(book.nearest(0.0))
    return QuantisedNetwork(Header(description, seed, variant), book, symbols)


def same(one, other):
    return (
        one.header == other.header
        and np.array_equal(one.codebook.levels, other.codebook.levels)
        and np.array_equal(one.symbols, other.symbols)
    )


@settings(max_examples=150)
@given(
    st.sampled_from(DESCRIPTIONS),
    st.lists(st.floats(-50, 50, width=16), min_size=1, max_size=9, unique=True),
    st.integers(0, 2**40),
    st.integers(1, 2**40),
    st.integers(0, 2**20),
    st.sampled_from([0.0, 0.7, 0.97, 1.0]),
)
def test_it_decodes_to_what_was_encoded(description, levels, seed, variant, draw, zeros):
    book = Codebook.rounded(levels)
    given = network(description, tuple(book.levels.tolist()), seed, variant, draw, zeros)
    message = encode(given)
    read = decode(message.content, START)
    assert same(read, given)
    assert read_header(message.content) == given.header
    assert encode(read) == message
    for name, value in given.weights(START).items():
        assert torch.equal(value, read.weights(START)[name])


@pytest.mark.parametrize("description", DESCRIPTIONS)
@pytest.mark.parametrize("levels", [(-1.0, 0.0, 1.0), (-0.75, -0.0999755859375, 0.5), (0.0,), (2.0,), (-1.0, 1.0)])
def test_every_bit_is_in_a_part(description, levels):
    message = encode(network(description, levels))
    assert message.bits == sum(message.parts.values())
    assert min(message.parts.values()) >= 0
    assert 0 <= 8 * len(message.content) - message.bits < 8
    assert message.sha256 == hashlib.sha256(message.content).hexdigest()
    reader = BitReader(message.content)
    reader.position = message.bits
    reader.finish()  # nothing but the filling of the last byte


def test_more_to_choose_from_costs_more():
    plain = encode(network()).parts
    assert plain["variant"] == plain["seed"] == plain["parametrisation"] == 1
    chosen = encode(network(DESCRIPTIONS[1], seed=41, variant=300)).parts
    assert chosen["variant"] == 8 + 7  # Elias' delta code of 300
    assert chosen["seed"] == 5 + 5
    assert chosen["parametrisation"] == 3 + 8 + 5  # the kind; dimension 7 and seed 3, plus one each: 8 and 4


def test_a_table_of_levels_is_paid_for():
    equal, table = encode(network()), encode(network(levels=(-1.0, 0.0, 1.5)))
    assert table.parts["codebook"] >= 2 * 16  # where a mask has the zero
    assert equal.parts["codebook"] < 12
    assert table.bits - table.parts["codebook"] >= equal.bits - equal.parts["codebook"] - 1


def test_a_mask_is_taken_where_it_is_shorter():
    start = {"w": torch.ones(3000)}
    symbols = np.full(3000, 1)
    symbols[::300] = 0
    symbols[1::400] = 2
    network = QuantisedNetwork(Header({"kind": "full"}), Codebook(np.array([-1.0, 0.0, 1.0])), symbols)
    message = encode(network)
    assert message.bits < 250
    assert same(decode(message.content, start), network)


def test_messages_of_one_network_are_a_prefix_code():
    """All networks of five ternary weights, over several headers: Kraft's sum, and no message begins another."""
    start = {"w": torch.ones(5)}
    words, lengths = [], []
    for seed, variant, levels in itertools.product(range(2), (1, 2), ((-1.0, 0.0, 1.0), (-1.0, 0.0, 2.0))):
        for symbols in itertools.product(range(3), repeat=5):
            header = Header({"kind": "full"}, seed, variant)
            message = encode(QuantisedNetwork(header, Codebook(np.array(levels)), np.array(symbols)))
            words.append("".join(f"{byte:08b}" for byte in message.content)[: message.bits])
            lengths.append(message.bits)
            assert decode(message.content, start).symbols.tolist() == list(symbols)
    assert kraft_sum(lengths) <= 1
    ordered = sorted(words)
    assert not any(later.startswith(earlier) for earlier, later in itertools.pairwise(ordered))


def test_a_credit_breaks_kraft():
    """Two bits less for every message, as is claimed where a table or a header is not counted."""
    lengths = []
    for symbols in itertools.product(range(2), repeat=6):
        message = encode(QuantisedNetwork(Header({"kind": "full"}), Codebook(np.array([0.0, 1.0])), np.array(symbols)))
        lengths.append(message.bits)
    assert kraft_sum(lengths) <= 1
    header = min(lengths) - 1
    assert kraft_sum(length - header for length in lengths) > 1


@pytest.mark.parametrize("cut", [1, 2])
def test_a_cut_message(cut):
    content = encode(network()).content
    with pytest.raises(ValueError, match="message must"):
        decode(content[:-cut], START)
    with pytest.raises(ValueError, match="must end after"):
        decode(content + b"\x01" * cut, START)


def test_another_start_has_other_weights():
    given = network()
    shifted = {"a.weight": START["a.weight"], "a.bias": torch.ones(4)}
    assert not torch.equal(given.weights(START)["a.bias"], given.weights(shifted)["a.bias"])


def test_a_description_with_anything_else_is_refused():
    with pytest.raises(ValueError, match="a description must have kind, dimension, seed"):
        encode(
            QuantisedNetwork(
                Header({"kind": "random subspace", "dimension": 7}), Codebook(np.array([0.0])), np.zeros(7, int)
            )
        )


def test_bytes_that_are_no_message():
    for content in (b"", b"\x00" * 40, b"\xff" * 3):
        with pytest.raises(ValueError, match="must"):
            decode(content, START)


def test_a_message_is_only_its_parts():
    assert Message(b"\x80", {"variant": 1}).bits == 1
