"""The message: a quantised network as bits, every choice that was made among networks paid for, and back again.

A message is a sequence of codes each of which says where it ends, so it is a prefix code as a whole. In order: the
number of the variant and of the seed, kind and whole numbers of the parametrisation, the codebook, the symbols.
"""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genbounds.compression.arithmetic import read_arithmetic, write_arithmetic
from genbounds.compression.codes import (
    BitReader,
    BitWriter,
    read_delta,
    read_gamma,
    signed,
    unsigned,
    write_delta,
    write_gamma,
)
from genbounds.compression.huffman import read_huffman, write_huffman
from genbounds.compression.masks import read_mask, write_mask
from genbounds.compression.parametrisations import KINDS, rebuild
from genbounds.compression.quantisation import Codebook
from genbounds.numerics import count

__all__ = ["Header", "Message", "QuantisedNetwork", "decode", "encode", "read_header"]

#: Ways to write the symbols; the shortest is taken, and its number is paid for.
_ARITHMETIC, _HUFFMAN, _MASKED = range(3)


@dataclass(frozen=True)
class Header:
    """Everything in a message that is needed to build the map from coordinates to weights.

    Parameters
    ----------
    description : mapping
        What the parametrisation's `describe` returned: a kind and whole numbers.
    seed : int
        Seed under which the start was drawn, at least 0.
    variant : int
        Number of the network in a list that was fixed before the data was seen, from 1.
    """

    description: Mapping[str, Any]
    seed: int = 0
    variant: int = 1


@dataclass(frozen=True)
class QuantisedNetwork:
    """A network as its code says it.

    Parameters
    ----------
    header : Header
        The map from coordinates to weights.
    codebook : Codebook
        Values of the coordinates.
    symbols : ndarray of int64, shape (dimension,)
        Which value each coordinate has.
    """

    header: Header
    codebook: Codebook
    symbols: NDArray[np.int64]

    def weights(self, start: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return its weights, computed in float64 on the CPU.

        Parameters
        ----------
        start : mapping of str to Tensor
            The parameters that the parametrisation moves, before any data was seen.

        Returns
        -------
        dict of str to Tensor
            In the type of the start.
        """
        coordinates = torch.from_numpy(self.codebook.levels[self.symbols])
        found = rebuild(self.header.description, start).weights(coordinates)
        return {name: value.to(start[name].dtype) for name, value in found.items()}


@dataclass(frozen=True)
class Message:
    """A network in bits.

    Parameters
    ----------
    content : bytes
        The bits, the last byte filled up with zeros.
    parts : mapping of str to int
        How many bits went where.
    """

    content: bytes
    parts: Mapping[str, int]

    @property
    def bits(self) -> int:
        """Its length."""
        return sum(self.parts.values())

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of the content, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


def encode(network: QuantisedNetwork) -> Message:
    """Write a network as a message.

    Parameters
    ----------
    network : QuantisedNetwork
        The network.

    Returns
    -------
    Message
        `decode` of its content is the network.

    Raises
    ------
    ValueError
        If the parametrisation is described by anything but whole numbers of at least 0.
    """
    bits = BitWriter()
    parts: dict[str, int] = {}

    def close(part: str) -> None:
        parts[part] = len(bits) - sum(parts.values())

    _write_header(bits, network.header, close)
    prunable = bool(network.codebook.levels.any())
    ways = {method: _body(method, network) for method in (_ARITHMETIC, _HUFFMAN) + (_MASKED,) * prunable}
    method, body = min(ways.items(), key=lambda way: sum(map(len, way[1].values())))
    write_gamma(bits, method + 1)
    close("choice of code")
    for part, written in body.items():
        bits.extend(written)
        close(part)
    return Message(bits.to_bytes(), parts)


def decode(content: bytes, start: Mapping[str, Tensor]) -> QuantisedNetwork:
    """Read a network from a message.

    Parameters
    ----------
    content : bytes
        `content` of a `Message`.
    start : mapping of str to Tensor
        The parameters that the parametrisation moves, before any data was seen.

    Returns
    -------
    QuantisedNetwork
        What was encoded.

    Raises
    ------
    ValueError
        If it is no message, or more than one.
    """
    bits = BitReader(content)
    header = _read_header(bits)
    dimension = rebuild(header.description, start).dimension
    method = read_gamma(bits) - 1
    codebook = _read_codebook(bits)
    kinds = codebook.levels.size
    if method == _MASKED:
        kept = read_mask(bits, dimension)
        whole = Codebook(np.sort(np.append(codebook.levels, 0.0)))
        zero = int(whole.nearest(0.0))
        symbols = np.full(dimension, zero)
        others = np.asarray(read_arithmetic(bits, int(kept.sum()), kinds), dtype=np.int64)
        symbols[kept] = others + (others >= zero)
        codebook = whole
    elif method in (_ARITHMETIC, _HUFFMAN):
        read = read_arithmetic if method == _ARITHMETIC else read_huffman
        symbols = np.asarray(read(bits, dimension, kinds), dtype=np.int64)
    else:
        raise ValueError(f"the code of the symbols must be one of 1, 2 and 3, got {method + 1}. It is no message.")
    bits.finish()
    return QuantisedNetwork(header, codebook, symbols)


def read_header(content: bytes) -> Header:
    """Read the beginning of a message: with which seed the start is drawn, and how it is moved.

    Parameters
    ----------
    content : bytes
        `content` of a `Message`.

    Returns
    -------
    Header
        What was encoded.
    """
    return _read_header(BitReader(content))


def _arguments(kind: str) -> list[str]:
    """Return the names of the whole numbers that describe a parametrisation: its arguments after the start."""
    module, _, name = KINDS[kind].partition(":")
    return list(inspect.signature(getattr(import_module(module), name)).parameters)[1:]


def _write_header(bits: BitWriter, header: Header, close: Callable[[str], None]) -> None:
    write_delta(bits, header.variant)
    close("variant")
    write_delta(bits, header.seed + 1)
    close("seed")
    kind, names = header.description["kind"], _arguments(header.description["kind"])
    if {"kind", *names} != header.description.keys():
        raise ValueError(f"a description must have kind, {', '.join(names)}, got {', '.join(header.description)}.")
    write_gamma(bits, list(KINDS).index(kind) + 1)
    for name in names:
        write_delta(bits, int(count(name, header.description[name], minimum=0)) + 1)
    close("parametrisation")


def _read_header(bits: BitReader) -> Header:
    variant, seed, kind = read_delta(bits), read_delta(bits) - 1, read_gamma(bits) - 1
    if kind >= len(KINDS):
        raise ValueError(f"a parametrisation must be one of {len(KINDS)} kinds, got number {kind + 1}. Is it of now?")
    name = list(KINDS)[kind]
    return Header({"kind": name} | {each: read_delta(bits) - 1 for each in _arguments(name)}, seed, variant)


def _body(method: int, network: QuantisedNetwork) -> dict[str, BitWriter]:
    """Write codebook and symbols in one of the ways."""
    levels, symbols = network.codebook.levels, network.symbols
    if method != _MASKED:
        write = write_arithmetic if method == _ARITHMETIC else write_huffman
        return {
            "codebook": _written(_write_codebook, network.codebook),
            "symbols": _written(write, symbols, levels.size),
        }
    # The level zero is carried by the mask, whether there is one or not, and the others by symbols of their own.
    others = Codebook(levels[levels != 0])
    kept = levels[symbols] != 0
    return {
        "codebook": _written(_write_codebook, others),
        "mask": _written(write_mask, kept),
        "symbols": _written(write_arithmetic, others.nearest(levels[symbols[kept]]), others.levels.size),
    }


def _written(write: Callable[..., None], *arguments: Any) -> BitWriter:
    bits = BitWriter()
    write(bits, *arguments)
    return bits


def _write_codebook(bits: BitWriter, codebook: Codebook) -> None:
    """Append one bit that says which, and either a range of multiples of a power of two or a table of float16."""
    multiples = codebook.multiples
    bits.write(multiples is None, 1)
    if multiples is None:
        write_delta(bits, codebook.levels.size)
        for value in codebook.levels.astype(np.float16).view(np.uint16).tolist():
            bits.write(value, 16)
    else:
        for number in multiples:
            write_gamma(bits, unsigned(number))


def _read_codebook(bits: BitReader) -> Codebook:
    if bits.read(1):
        stored = np.array([bits.read(16) for _ in range(read_delta(bits))], dtype=np.uint16)
        return Codebook(stored.view(np.float16).astype(np.float64))
    first, last, exponent = (signed(read_gamma(bits)) for _ in range(3))
    if max(abs(first), abs(last), abs(exponent)) > 65504:
        raise ValueError(f"levels must be float16, got {first} to {last} times 2^{exponent}. It is no message.")
    with np.errstate(over="ignore"):
        return Codebook(np.ldexp(np.arange(first, last + 1, dtype=np.float64), exponent))
