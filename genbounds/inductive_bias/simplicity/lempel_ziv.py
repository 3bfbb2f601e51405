"""Lempel-Ziv complexity of a finite sequence: the stand-in for its Kolmogorov complexity that the field uses.

Lempel and Ziv (1976) cut a sequence into words from left to right. Each word is as long as it can be while the word
without its last symbol could be copied: it begins somewhere further left, and the copy may run into itself. The last
word may end with the sequence before it is complete; it counts. So 0001101001000101 is 0 001 10 100 1000 101.
"""

import math
from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

__all__ = ["lempel_ziv_bits", "lempel_ziv_words"]


#: A string, a list of labels, a vector.
Symbols: TypeAlias = Sequence[Hashable] | NDArray[Any]


def _symbols(sequence: Symbols) -> list[Hashable]:
    """Return the symbols of a sequence of at least one: numbers of arrays and tensors as what they are equal to."""
    try:
        symbols = [symbol.tolist() if hasattr(symbol, "tolist") else symbol for symbol in sequence]
    except TypeError:
        symbols = []
    if not symbols or any(isinstance(symbol, list) or symbol != symbol for symbol in symbols):
        raise ValueError(
            f"sequence must be a list of at least one symbol, none of them NaN, got {sequence!r:.80}. Pass one "
            "sequence at a time, such as a string of 0 and 1."
        )
    return symbols


def lempel_ziv_words(sequence: Symbols) -> int:
    """Return the number of words in the exhaustive history of a sequence (Lempel and Ziv, 1976).

    Parameters
    ----------
    sequence : sequence or ndarray, shape (n,)
        Symbols of any alphabet, n at least 1: a string, a list of labels, a vector of booleans.

    Returns
    -------
    int
        N_w: between 1 and n; of the order n / log n for a random sequence.

    Raises
    ------
    ValueError
        If the sequence is empty or has several axes.

    Notes
    -----
    Symbols enter a suffix automaton one by one. The suffix link of its last state leads to the longest suffix of what
    has been read that ended somewhere before: the word stays open as long as it is no longer than that. Time and memory
    grow as n; the count is that of the scan by Kaspar and Schuster (1987), whose time grows as n^2.

    Examples
    --------
    The example of Lempel and Ziv, and a sequence that copies its first symbol:

    >>> lempel_ziv_words("0001101001000101"), lempel_ziv_words("0000")
    (6, 2)
    """
    symbols = _symbols(sequence)
    longest, link, follow = [0], [-1], [dict[Hashable, int]()]
    last, words, length = 0, 0, 0
    for symbol in symbols:
        state, new = last, len(longest)
        longest.append(longest[last] + 1)
        link.append(0)
        follow.append({})
        while state >= 0 and symbol not in follow[state]:
            follow[state][symbol] = new
            state = link[state]
        if state >= 0:
            target = follow[state][symbol]
            if longest[target] > longest[state] + 1:
                clone = len(longest)
                longest.append(longest[state] + 1)
                link.append(link[target])
                follow.append(follow[target].copy())
                link[target] = clone
                while state >= 0 and follow[state].get(symbol) == target:
                    follow[state][symbol] = clone
                    state = link[state]
                target = clone
            link[new] = target
        last, length = new, length + 1
        if length > longest[link[last]]:
            words, length = words + 1, 0
    return words + (length > 0)


def lempel_ziv_bits(sequence: Symbols) -> float:
    """Return the complexity K_LZ of a sequence in bits, as the field measures simplicity bias.

    log2(n) for a constant sequence, else log2(n) (N_w(x) + N_w(x reversed)) / 2 (Dingle, Camargo and Louis, 2018).

    Parameters
    ----------
    sequence : sequence or ndarray, shape (n,)
        Symbols, n at least 1; for a Boolean function its outputs over all inputs in a fixed order.

    Returns
    -------
    float
        In bits, the unit of this measure; at least log2(n). It estimates no quantity and bounds none: it ranks.

    Raises
    ------
    ValueError
        If the sequence is empty or has several axes.

    Notes
    -----
    The factor log2(n) is what it takes to say where a word is copied from. Averaging over both directions removes
    what depends on where reading begins; the case of constant sequences undoes that "0000" has two words. The value
    depends on the order of the inputs.

    Examples
    --------
    >>> lempel_ziv_bits("0000"), lempel_ziv_bits("0101"), lempel_ziv_bits("0001101001000101")
    (2.0, 6.0, 24.0)
    """
    symbols = _symbols(sequence)
    if all(symbol == symbols[0] for symbol in symbols):
        return math.log2(len(symbols))
    return math.log2(len(symbols)) * (lempel_ziv_words(symbols) + lempel_ziv_words(symbols[::-1])) / 2
