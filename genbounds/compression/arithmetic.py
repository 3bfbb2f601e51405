"""Arithmetic coding of a sequence of symbols, in whole numbers only.

The frequencies are those of the symbols so far, plus one half for each (Krichevsky and Trofimov 1981), so that no table
is sent. For n symbols of entropy H (of their own frequencies) out of K kinds this costs at most
n H + (K - 1) / 2 * log2(n) + K bits, and the coder adds at most two.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genbounds.compression.codes import BitReader, BitWriter
from genbounds.numerics import count

__all__ = ["read_arithmetic", "write_arithmetic"]

#: Width of the coder's interval. Frequencies stay below 2^32, so that what rounding loses in n < 2^30 symbols is less
#: than a millionth of a bit.
_WIDTH = 62
_FULL, _HALF, _QUARTER = 1 << _WIDTH, 1 << (_WIDTH - 1), 1 << (_WIDTH - 2)


def write_arithmetic(bits: BitWriter, symbols: Sequence[int] | NDArray[np.integer], kinds: int) -> None:
    """Append a sequence of symbols; the reader must know their number and the number of kinds.

    Parameters
    ----------
    bits : BitWriter
        Where to.
    symbols : sequence of int, shape (n,)
        From 0 to kinds - 1; none at all cost nothing.
    kinds : int
        Kinds of symbols, at least 1; a single kind costs nothing.

    Raises
    ------
    ValueError
        If a symbol is out of range.
    """
    sequence = [int(symbol) for symbol in symbols]
    if any(not 0 <= symbol < kinds for symbol in sequence):
        raise ValueError(f"symbols must be from 0 to {kinds - 1}, got {min(sequence)} to {max(sequence)}. Add kinds.")
    if _trivial(len(sequence), kinds):
        return
    model = _Counts(kinds)
    low, high, waiting = 0, _FULL, 0

    def emit(bit: int) -> None:
        nonlocal waiting
        bits.write(bit, 1)
        if waiting:
            bits.write(((1 << waiting) - 1) * (1 - bit), waiting)
            waiting = 0

    for symbol in sequence:
        low, high = model.narrow(low, high, symbol)
        model.add(symbol)
        # Halves that are decided are sent; around the middle, one more bit waits for the decision.
        while True:
            if high <= _HALF:
                emit(0)
            elif low >= _HALF:
                emit(1)
                low, high = low - _HALF, high - _HALF
            elif low >= _QUARTER and high <= _HALF + _QUARTER:
                waiting += 1
                low, high = low - _QUARTER, high - _QUARTER
            else:
                break
            low, high = 2 * low, 2 * high
    # One more bit and its complement name a quarter inside the interval, whatever follows.
    waiting += 1
    emit(0 if low < _QUARTER else 1)


def read_arithmetic(bits: BitReader, symbols: int, kinds: int) -> list[int]:
    """Read a sequence of symbols.

    Parameters
    ----------
    bits : BitReader
        Where from.
    symbols : int
        How many.
    kinds : int
        Kinds of symbols, at least 1.

    Returns
    -------
    list of int
        From 0 to kinds - 1.

    Raises
    ------
    ValueError
        If the message is over before.
    """
    if _trivial(int(count("symbols", symbols, minimum=0)), int(count("kinds", kinds))):
        return [0] * symbols
    model = _Counts(kinds)
    low, high, shifts = 0, _FULL, 0
    # The window runs ahead of what was written; the bits beyond belong to what follows and are left there.
    value = 0
    for ahead in range(_WIDTH):
        value = 2 * value + bits.peek(bits.position + ahead)
    found = []
    for _ in range(symbols):
        symbol = model.find(low, high, value)
        found.append(symbol)
        low, high = model.narrow(low, high, symbol)
        model.add(symbol)
        while True:
            if high <= _HALF:
                below = 0
            elif low >= _HALF:
                below = _HALF
            elif low >= _QUARTER and high <= _HALF + _QUARTER:
                below = _QUARTER
            else:
                break
            low, high = 2 * (low - below), 2 * (high - below)
            value = 2 * (value - below) + bits.peek(bits.position + _WIDTH + shifts)
            shifts += 1
    # Each shift is one bit of the message, now or later, and two bits end it.
    bits.read(shifts + 2)
    return found


def _trivial(symbols: int, kinds: int) -> bool:
    return symbols == 0 or kinds == 1


class _Counts:
    """Twice the Krichevsky-Trofimov frequencies, which are whole: 2 * count + 1."""

    def __init__(self, kinds: int) -> None:
        self._twice = [1] * kinds
        self._total = kinds

    def narrow(self, low: int, high: int, symbol: int) -> tuple[int, int]:
        """Return the part of an interval that belongs to a symbol."""
        before, width = sum(self._twice[:symbol]), high - low
        after = before + self._twice[symbol]
        return low + width * before // self._total, low + width * after // self._total

    def find(self, low: int, high: int, value: int) -> int:
        """Return the symbol to whose part of the interval a value belongs."""
        symbol = 0
        while self.narrow(low, high, symbol)[1] <= value:
            symbol += 1
        return symbol

    def add(self, symbol: int) -> None:
        """Count a symbol."""
        self._twice[symbol] += 2
        self._total += 2
