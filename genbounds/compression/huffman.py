"""Huffman coding of a sequence of symbols, with the lengths of the code words in front."""

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genbounds.compression.codes import BitReader, BitWriter, read_gamma, require_prefix_lengths, write_gamma
from genbounds.numerics import count

__all__ = ["huffman_lengths", "read_huffman", "write_huffman"]


def huffman_lengths(frequencies: Sequence[int]) -> list[int]:
    """Return the lengths of the words of a shortest prefix code with a word for each symbol.

    Parameters
    ----------
    frequencies : sequence of int
        How often each symbol occurs, at least 0.

    Returns
    -------
    list of int
        Bits of each symbol's word; 0 for one that does not occur, and 1 for one that alone does.

    Raises
    ------
    ValueError
        If a frequency is negative.
    """
    lengths = [0] * len(frequencies)
    heap = [
        (int(count("frequencies", often, minimum=0)), symbol, [symbol])
        for symbol, often in enumerate(frequencies)
        if often
    ]
    if len(heap) == 1:
        lengths[heap[0][1]] = 1
    heapq.heapify(heap)
    while len(heap) > 1:
        (rare, order, first), (often, _, second) = heapq.heappop(heap), heapq.heappop(heap)
        for symbol in first + second:
            lengths[symbol] += 1
        heapq.heappush(heap, (rare + often, order, first + second))
    return lengths


def _words(lengths: Sequence[int]) -> dict[tuple[int, int], int]:
    """Return the canonical code: (length, word) to symbol; words of one length follow each other."""
    found, word, last = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        word <<= length - last
        found[length, word] = symbol
        word, last = word + 1, length
    return found


def write_huffman(bits: BitWriter, symbols: Sequence[int] | NDArray[np.integer], kinds: int) -> None:
    """Append the lengths of the words, and the word of each symbol.

    Parameters
    ----------
    bits : BitWriter
        Where to.
    symbols : sequence of int, shape (n,)
        From 0 to kinds - 1.
    kinds : int
        Kinds of symbols.
    """
    lengths = huffman_lengths(np.bincount(np.asarray(symbols, dtype=np.int64), minlength=kinds).tolist())
    for length in lengths:
        write_gamma(bits, length + 1)
    words = {symbol: (word, length) for (length, word), symbol in _words(lengths).items()}
    for symbol in symbols:
        bits.write(*words[int(symbol)])


def read_huffman(bits: BitReader, symbols: int, kinds: int) -> list[int]:
    """Read a sequence of symbols.

    Parameters
    ----------
    bits : BitReader
        Where from.
    symbols : int
        How many.
    kinds : int
        Kinds of symbols.

    Returns
    -------
    list of int
        From 0 to kinds - 1.

    Raises
    ------
    ValueError
        If the lengths are those of no prefix code, or the message is over before.
    """
    lengths = [read_gamma(bits) - 1 for _ in range(kinds)]
    require_prefix_lengths(length for length in lengths if length)
    words = _words(lengths)
    found = []
    for _ in range(symbols):
        length = word = 0
        while (length, word) not in words:
            length, word = length + 1, word << 1 | bits.read(1)
        found.append(words[length, word])
    return found
