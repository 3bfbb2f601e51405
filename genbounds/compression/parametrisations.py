"""Parametrisations: from a few coordinates to all weights of a network, by a map that no data has shaped."""

import inspect
import math
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from genbounds.numerics import count

__all__ = ["KINDS", "FullSpace", "Parametrisation", "RandomSubspace", "rebuild", "signs", "unit"]

#: Where each kind of parametrisation is at home. The order is that of their numbers in a message: append only.
KINDS = {
    "full": "genbounds.compression.parametrisations:FullSpace",
    "random subspace": "genbounds.compression.parametrisations:RandomSubspace",
    "lora": "genbounds.compression.adapters:LoRA",
    "sublora": "genbounds.compression.adapters:SubLoRA",
}


class Parametrisation(Protocol):
    """A differentiable map from coordinates to weights, fixed before any data was seen.

    Attributes
    ----------
    dimension : int
        Number of coordinates.
    initial : Tensor of float32, shape (dimension,)
        Where training starts; data-free, on the CPU.
    """

    dimension: int
    initial: Tensor

    def weights(self, coordinates: Tensor) -> dict[str, Tensor]:
        """Return the weights at `coordinates`.

        Parameters
        ----------
        coordinates : Tensor, shape (dimension,)
            On any device, of any floating type.

        Returns
        -------
        dict of str to Tensor
            By the names of the model's parameters, for `torch.func.functional_call`; same device and type, and
            differentiable in `coordinates`. Parameters that are left out keep the values of the start.
        """

    def describe(self) -> dict[str, Any]:
        """Return what `rebuild` needs beside the start.

        Returns
        -------
        dict
            ``kind``, a key of `KINDS`, and whole numbers under other names, each of which a message pays for.
        """


def rebuild(description: Mapping[str, Any], start: Mapping[str, Tensor]) -> Parametrisation:
    """Build a parametrisation again from its description.

    Parameters
    ----------
    description : mapping
        What `describe` returned.
    start : mapping of str to Tensor
        Parameters of the model before it saw any data.

    Returns
    -------
    Parametrisation
        An equal one.

    Raises
    ------
    ValueError
        If the kind is unknown, or its numbers are others.
    """
    if not isinstance(description, Mapping):
        raise ValueError(f'parametrisation must be a mapping such as {{"kind": "full"}}, got {description!r}.')
    arguments = dict(description)
    kind = arguments.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}. Was the message made by this version?")
    module, _, name = KINDS[kind].partition(":")
    build = getattr(import_module(module), name)
    try:
        inspect.signature(build).bind(start, **arguments)
    except TypeError as error:
        raise ValueError(
            f"parametrisation of the kind {kind!r} cannot be built: {error}. Give it its own numbers."
        ) from None
    built: Parametrisation = build(start, **arguments)
    return built


def unit(start: Tensor) -> float:
    """Return the natural size of a change to a tensor of weights: its own size before training.

    Parameters
    ----------
    start : Tensor
        Its values before training.

    Returns
    -------
    float
        The power of two nearest to its root mean square (a power of two multiplies without rounding). For a tensor
        of zeros 1 / sqrt(fan-in) stands in for it, and 1 for a vector of zeros.
    """
    size = math.sqrt(float(start.detach().double().square().mean()))
    if size == 0:
        size = 1 / math.sqrt(start[0].numel()) if start.ndim > 1 else 1.0
    return float(2.0 ** round(math.log2(size)))


class FullSpace:
    """All parameters: each weight is its own coordinate times the unit of its tensor.

    Vectors (biases, gains of normalisation layers) are counted from their start, so that a coordinate of zero leaves
    a normalisation layer as it was; matrices and kernels are counted from zero.

    Parameters
    ----------
    start : mapping of str to Tensor
        Parameters of the model before it saw any data.
    """

    def __init__(self, start: Mapping[str, Tensor]) -> None:
        self._start = {name: value.detach().cpu().double() for name, value in start.items()}
        self._units = {name: unit(value) for name, value in self._start.items()}
        self.dimension = sum(value.numel() for value in self._start.values())
        at_start = [
            (value / self._units[name] if value.ndim > 1 else torch.zeros_like(value)).flatten()
            for name, value in self._start.items()
        ]
        self.initial = torch.cat(at_start).float()

    def weights(self, coordinates: Tensor) -> dict[str, Tensor]:
        """Return the weights at `coordinates`.

        Parameters
        ----------
        coordinates : Tensor, shape (dimension,)
            In the order of the start's tensors.

        Returns
        -------
        dict of str to Tensor
            All parameters.
        """
        pieces = coordinates.split([value.numel() for value in self._start.values()])
        found = {}
        for piece, (name, start) in zip(pieces, self._start.items(), strict=True):
            moved = piece.view(start.shape) * self._units[name]
            found[name] = moved if start.ndim > 1 else moved + start.to(moved)
        return found

    def describe(self) -> dict[str, Any]:
        """Return the kind, which says everything.

        Returns
        -------
        dict
            ``kind``.
        """
        return {"kind": "full"}


class RandomSubspace:
    """A random subspace through the start: theta_0 + u * (P z), u the unit of each tensor.

    P is a Kronecker product of two matrices of random signs, divided by the root of the dimension, so that it takes
    memory of the order of sqrt(parameters * dimension) and P z costs two small matrix products. Coordinates of size
    one move every weight by about its unit.

    Parameters
    ----------
    start : mapping of str to Tensor
        theta_0: parameters of the model before it saw any data.
    dimension : int
        Number of coordinates, from 1 to the number of parameters.
    seed : int
        Seed of P, at least 0.

    Raises
    ------
    ValueError
        If the dimension or the seed is out of range.

    Notes
    -----
    The subspace is that of Li et al. (2018); a Kronecker product in place of a dense matrix was proposed for it by
    Lotfi et al. (2022). Signs are the raw bits of a PCG64 generator, whose stream is the same on every machine.
    """

    def __init__(self, start: Mapping[str, Tensor], dimension: int, seed: int = 0) -> None:
        self._start = {name: value.detach().cpu().double() for name, value in start.items()}
        parameters = sum(value.numel() for value in self._start.values())
        if int(count("dimension", dimension)) > parameters:
            raise ValueError(
                f"dimension must be at most the number of parameters, {parameters}, got {dimension}. Use FullSpace."
            )
        count("seed", seed, minimum=0)
        self.dimension, self.seed = int(dimension), int(seed)
        self.initial = torch.zeros(self.dimension)
        self._units = {name: unit(value) for name, value in self._start.items()}
        rows, self._columns = (
            math.isqrt(self.dimension - 1) + 1,
            -(-self.dimension // (math.isqrt(self.dimension - 1) + 1)),
        )
        high = math.isqrt(parameters - 1) + 1
        wide = -(-parameters // high)
        source = np.random.PCG64(self.seed)
        self._left = signs(source, high, rows)
        self._right = signs(source, self._columns, wide)
        self._rows = rows
        self._placed: dict[tuple[torch.device, torch.dtype], tuple[dict[str, Tensor], Tensor, Tensor]] = {}

    def weights(self, coordinates: Tensor) -> dict[str, Tensor]:
        """Return theta_0 + u * (P z).

        Parameters
        ----------
        coordinates : Tensor, shape (dimension,)
            z.

        Returns
        -------
        dict of str to Tensor
            All parameters.
        """
        start, left, right = self._on(coordinates)
        padded = torch.nn.functional.pad(coordinates, (0, self._rows * self._columns - self.dimension))
        moves = (left @ padded.view(self._rows, self._columns) @ right).flatten()
        found, place = {}, 0
        for name, value in start.items():
            move = moves[place : place + value.numel()].view(value.shape)
            found[name] = torch.add(value, move, alpha=self._units[name])
            place += value.numel()
        return found

    def describe(self) -> dict[str, Any]:
        """Return kind, dimension and seed.

        Returns
        -------
        dict
            ``kind``, ``dimension``, ``seed``.
        """
        return {"kind": "random subspace", "dimension": self.dimension, "seed": self.seed}

    def _on(self, like: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return start and matrices beside the coordinates, moved there once."""
        key = (like.device, like.dtype)
        if key not in self._placed:
            scaled = self._left.to(torch.float64) / math.sqrt(self.dimension)
            start = {name: value.to(like) for name, value in self._start.items()}
            self._placed = {key: (start, scaled.to(like), self._right.to(like))}
        return self._placed[key]


def signs(source: np.random.PCG64, rows: int, columns: int) -> Tensor:
    """Return a matrix of random signs: the raw bits of a generator, the same on every machine.

    Parameters
    ----------
    source : PCG64
        Generator; it moves on.
    rows, columns : int
        Shape.

    Returns
    -------
    Tensor of int8, shape (rows, columns)
        1 and -1.
    """
    words = np.atleast_1d(source.random_raw(-(-rows * columns // 64))).astype("<u8")
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")[: rows * columns]
    return torch.from_numpy(bits.reshape(rows, columns).astype(np.int8) * 2 - 1)
