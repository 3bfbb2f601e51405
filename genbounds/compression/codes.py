"""Prefix codes for whole numbers on a buffer of bits, and Kraft's inequality, which every code here obeys.

A message is a sequence of such codes, each of which says where it ends; so no message is the beginning of another, and
the sum of 2^-length over all messages is at most 1. That is all that an Occam bound asks of a code.
"""

import math
import operator
from collections.abc import Iterable
from fractions import Fraction

from genbounds.numerics import round_up

__all__ = [
    "BitReader",
    "BitWriter",
    "code_length",
    "kraft_sum",
    "read_delta",
    "read_gamma",
    "read_omega",
    "require_prefix_lengths",
    "signed",
    "unsigned",
    "write_delta",
    "write_gamma",
    "write_omega",
]


def _whole(name: str, number: int, lowest: int) -> int:
    """Return a whole number of any size, exactly."""
    if (whole := operator.index(number)) < lowest:
        raise ValueError(f"{name} must be a whole number of at least {lowest}, got {whole}.")
    return whole


class BitWriter:
    """Bits, written one number after another."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def __len__(self) -> int:
        return len(self._bits)

    def write(self, value: int, width: int) -> None:
        """Append a number in a fixed width, its highest bit first.

        Parameters
        ----------
        value : int
            From 0 to 2^width - 1.
        width : int
            Bits, at least 0.

        Raises
        ------
        ValueError
            If the number does not fit.
        """
        if width < 0 or not 0 <= value < 1 << width:
            raise ValueError(f"value must be from 0 to 2^{width} - 1, got {value}. Take a code for larger numbers.")
        self._bits += bytes(value >> place & 1 for place in reversed(range(width)))

    def extend(self, other: "BitWriter") -> None:
        """Append what another writer wrote.

        Parameters
        ----------
        other : BitWriter
            Unchanged.
        """
        self._bits += other._bits

    def to_bytes(self) -> bytes:
        """Return the bits as bytes, the last one filled up with zeros.

        Returns
        -------
        bytes
            ceil(bits / 8) of them.
        """
        padded = self._bits + bytes(-len(self._bits) % 8)
        return bytes(int("".join(map(str, padded[place : place + 8])), 2) for place in range(0, len(padded), 8))


class BitReader:
    """Reads bits again, in the order in which they were written.

    Parameters
    ----------
    content : bytes
        What `BitWriter.to_bytes` returned.

    Attributes
    ----------
    position : int
        Bits read so far.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.position = 0

    def read(self, width: int) -> int:
        """Read a number of fixed width.

        Parameters
        ----------
        width : int
            Bits, at least 0.

        Returns
        -------
        int
            From 0 to 2^width - 1.

        Raises
        ------
        ValueError
            If the message is over before.
        """
        end = self.position + width
        if end > 8 * len(self._content):
            raise ValueError(
                f"message must have {end} bits, got {8 * len(self._content)}. It was cut, or is no message."
            )
        first, last = self.position // 8, -(-end // 8)
        self.position = end
        return int.from_bytes(self._content[first:last]) >> (8 * last - end) & ((1 << width) - 1)

    def peek(self, place: int) -> int:
        """Look at one bit without reading it; beyond the end there are zeros.

        Parameters
        ----------
        place : int
            Place of the bit, counted from the beginning.

        Returns
        -------
        int
            0 or 1.
        """
        byte, bit = divmod(place, 8)
        return self._content[byte] >> (7 - bit) & 1 if byte < len(self._content) else 0

    def finish(self) -> None:
        """Check that the message ends here: nothing follows but zeros that fill the last byte.

        Raises
        ------
        ValueError
            If something follows.
        """
        left = 8 * len(self._content) - self.position
        if left >= 8 or self.read(left):
            raise ValueError(f"message must end after {self.position - left} bits, got more. It is no message.")


def write_gamma(bits: BitWriter, number: int) -> None:
    """Append a number in Elias' gamma code: its width in unary, then itself; 2 floor(log2 n) + 1 bits.

    Parameters
    ----------
    bits : BitWriter
        Where to.
    number : int
        At least 1.

    Raises
    ------
    ValueError
        If the number is not positive.
    """
    width = _whole("number", number, 1).bit_length()
    bits.write(0, width - 1)
    bits.write(number, width)


def read_gamma(bits: BitReader) -> int:
    """Read a number in Elias' gamma code.

    Parameters
    ----------
    bits : BitReader
        Where from.

    Returns
    -------
    int
        At least 1.
    """
    width = 1
    while not bits.read(1):
        width += 1
    return 1 << (width - 1) | bits.read(width - 1)


def write_delta(bits: BitWriter, number: int) -> None:
    """Append a number in Elias' delta code: its width in gamma, then itself without its leading one.

    Parameters
    ----------
    bits : BitWriter
        Where to.
    number : int
        At least 1.

    Raises
    ------
    ValueError
        If the number is not positive.
    """
    width = _whole("number", number, 1).bit_length()
    write_gamma(bits, width)
    bits.write(number - (1 << (width - 1)), width - 1)


def read_delta(bits: BitReader) -> int:
    """Read a number in Elias' delta code.

    Parameters
    ----------
    bits : BitReader
        Where from.

    Returns
    -------
    int
        At least 1.
    """
    width = read_gamma(bits)
    return 1 << (width - 1) | bits.read(width - 1)


def write_omega(bits: BitWriter, number: int) -> None:
    """Append a number in Elias' omega code: each group gives the width of the next, and a zero ends them.

    Parameters
    ----------
    bits : BitWriter
        Where to.
    number : int
        At least 1.

    Raises
    ------
    ValueError
        If the number is not positive.
    """
    groups, rest = [], _whole("number", number, 1)
    while rest > 1:
        groups.append(rest)
        rest = rest.bit_length() - 1
    for group in reversed(groups):
        bits.write(group, group.bit_length())
    bits.write(0, 1)


def read_omega(bits: BitReader) -> int:
    """Read a number in Elias' omega code.

    Parameters
    ----------
    bits : BitReader
        Where from.

    Returns
    -------
    int
        At least 1.
    """
    number = 1
    while bits.read(1):
        number = 1 << number | bits.read(number)
    return number


def unsigned(number: int) -> int:
    """Map all whole numbers to the positive ones: 0, -1, 1, -2, ... to 1, 2, 3, 4, ...

    Parameters
    ----------
    number : int
        Any whole number.

    Returns
    -------
    int
        At least 1, for one of Elias' codes.
    """
    return 2 * number + 1 if number >= 0 else -2 * number


def signed(number: int) -> int:
    """Undo `unsigned`.

    Parameters
    ----------
    number : int
        At least 1.

    Returns
    -------
    int
        The whole number that stands there.
    """
    return number // 2 if number % 2 else -(number // 2)


def kraft_sum(lengths: Iterable[int]) -> Fraction:
    """Return the sum of 2^-length over the words of a code.

    Parameters
    ----------
    lengths : iterable of int
        Length of each word in bits, at least 0.

    Returns
    -------
    Fraction
        Exact. At most 1 if, and for suitable words only if, no word is the beginning of another.

    Raises
    ------
    ValueError
        If a length is negative.

    Examples
    --------
    "A file of l bits costs l + 2 log2 l" is no code. Counted over the files of 1 to 12 bits alone:

    >>> import math
    >>> files = [bits + math.ceil(2 * math.log2(bits)) for bits in range(1, 13) for _ in range(2**bits)]
    >>> float(kraft_sum(files)) > 1
    True
    """
    return sum((Fraction(1, 1 << _whole("length", length, 0)) for length in lengths), Fraction(0))


def require_prefix_lengths(lengths: Iterable[int]) -> None:
    """Refuse lengths that no prefix code has.

    Parameters
    ----------
    lengths : iterable of int
        Length of each word in bits.

    Raises
    ------
    ValueError
        If Kraft's sum is above 1, or a length is negative.
    """
    if (total := kraft_sum(lengths)) > 1:
        raise ValueError(
            f"lengths must have a Kraft sum of at most 1, got {float(total):.6g}. Write where the message ends too: "
            "an Elias code of its length makes it a prefix code."
        )


def code_length(bits: int) -> float:
    """Return the length of a message in nats, rounded up, for an Occam bound.

    Parameters
    ----------
    bits : int
        Its length in bits, at least 0.

    Returns
    -------
    float
        At least bits * ln 2.

    Raises
    ------
    ValueError
        If the length is negative.

    Examples
    --------
    >>> code_length(1000)
    693.1471805599457
    """
    return float(round_up(_whole("bits", bits, 0) * math.log(2), 2)) if bits else 0.0
