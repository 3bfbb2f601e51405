"""Adapters: a fine-tuned network as its start and low-rank changes (LoRA), or a random subspace of those (SubLoRA).

An adapter is built on a part of a model's parameters, taken before any data was seen: `linear_weights` picks those of
linear layers, new heads are added by hand. It works on any module, for `torch.func.functional_call` is all it asks for.
"""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genbounds.compression.parametrisations import RandomSubspace, signs, unit
from genbounds.numerics import count

__all__ = ["LoRA", "SubLoRA", "linear_weights"]


def linear_weights(model: nn.Module, *patterns: str) -> dict[str, Tensor]:
    """Return the weights of linear layers whose names match a pattern.

    Parameters
    ----------
    model : nn.Module
        Any module; ``nn.Linear`` and the ``Conv1D`` of GPT-2, which is a linear layer as well, are looked at.
    *patterns : str
        Names of layers as in ``model.named_modules()``, with ``*`` and ``?``, such as ``encoder.layer.5.*``.

    Returns
    -------
    dict of str to Tensor
        Weights by their names as parameters, in the order of the model.

    Raises
    ------
    ValueError
        If a pattern matches no linear layer, or a weight is shared with another part of the model.
    """
    layers = {name: module for name, module in model.named_modules() if _is_linear(module)}
    uses: dict[int, list[str]] = {}
    for name, value in model.named_parameters(remove_duplicate=False):
        uses.setdefault(id(value), []).append(name)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in layers):
            near = get_close_matches(pattern, layers, n=3, cutoff=0.3)
            hint = f"Did you mean {' or '.join(near)}?" if near else "It has no linear layers of its own."
            raise ValueError(f"patterns must name linear layers of the model, got {pattern!r}. {hint}")
    found = {}
    for name, module in layers.items():
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            continue
        weight: Any = module.weight
        if len(uses.get(id(weight), ())) != 1:
            shared = ", ".join(uses.get(id(weight), ["a computed tensor"]))
            raise ValueError(
                f"patterns must name layers with a weight of their own, got {name!r}, whose weight is {shared}. "
                "Adapting it would change the other use as well: leave it out, or untie them first."
            )
        found[f"{name}.weight" if name else "weight"] = weight.detach()
    return found


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or (type(module).__name__ == "Conv1D" and hasattr(module, "nf"))


class LoRA:
    """Low-rank changes of matrices: W = W_0 + u B (A_0 + A) / sqrt(rank), u the unit of W_0; the rest moves in full.

    A_0 is a matrix of random signs, and B and A, the coordinates, are zero at the start, where W = W_0. Coordinates of
    size one move every weight by about its unit. A kernel counts as a matrix with a row for each output. Vectors, and
    matrices that have no more numbers than their two factors would have, are moved in full: W_0 + u Z.

    Parameters
    ----------
    start : mapping of str to Tensor
        Parameters to adapt, before the model saw any data of the task; what is left out keeps its value.
    rank : int
        Rank of the changes, at least 1.
    seed : int
        Seed of A_0, at least 0.

    Raises
    ------
    ValueError
        If nothing is to be adapted, or rank or seed is out of range.

    Notes
    -----
    Hu et al. (2022), with the scale alpha / rank replaced by u / sqrt(rank), which needs no tuning for a start of any
    size. For the ``Conv1D`` of GPT-2, whose weight is transposed, A_0 stands on the side of the outputs.
    """

    def __init__(self, start: Mapping[str, Tensor], rank: int, seed: int = 0) -> None:
        if not start:
            raise ValueError("start must hold the parameters to adapt, got none. Pick some by linear_weights.")
        self.rank, self.seed = int(count("rank", rank)), int(count("seed", seed, minimum=0))
        self._start = {name: value.detach().cpu().double() for name, value in start.items()}
        self._units = {name: unit(value) for name, value in self._start.items()}
        source = np.random.PCG64((self.seed, 1))  # another stream than that of a subspace with the same seed
        self._frozen: dict[str, Tensor] = {}
        self._sizes: dict[str, tuple[int, ...]] = {}
        for name, value in self._start.items():
            rows, columns = (len(value), value[0].numel()) if value.ndim > 1 else (value.numel(), 1)
            if self.rank * (rows + columns) < rows * columns:
                self._frozen[name] = signs(source, self.rank, columns).double()
                self._sizes[name] = (rows * self.rank, self.rank * columns)
            else:
                self._sizes[name] = (rows * columns,)
        self.dimension = sum(map(sum, self._sizes.values()))
        self.initial = torch.zeros(self.dimension)
        self._placed: dict[tuple[torch.device, torch.dtype], tuple[dict[str, Tensor], dict[str, Tensor]]] = {}

    def weights(self, coordinates: Tensor) -> dict[str, Tensor]:
        """Return the weights at `coordinates`.

        Parameters
        ----------
        coordinates : Tensor, shape (dimension,)
            For each adapted tensor, in their order: B and then A, row by row, or Z.

        Returns
        -------
        dict of str to Tensor
            The adapted parameters.
        """
        start, frozen = self._on(coordinates)
        pieces = iter(coordinates.split([size for sizes in self._sizes.values() for size in sizes]))
        found = {}
        for name, value in start.items():
            scale = self._units[name]
            if name in frozen:
                left, right = next(pieces).view(-1, self.rank), next(pieces).view(self.rank, -1)
                change, scale = left @ (frozen[name] + right), scale / math.sqrt(self.rank)
            else:
                change = next(pieces)
            found[name] = torch.add(value, change.view(value.shape), alpha=scale)
        return found

    def describe(self) -> dict[str, Any]:
        """Return kind, rank and seed.

        Returns
        -------
        dict
            ``kind``, ``rank``, ``seed``.
        """
        return {"kind": "lora", "rank": self.rank, "seed": self.seed}

    def _on(self, like: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return start and A_0 beside the coordinates, moved there once."""
        key = (like.device, like.dtype)
        if key not in self._placed:
            self._placed = {
                key: tuple(
                    {name: value.to(like) for name, value in held.items()} for held in (self._start, self._frozen)
                )  # type: ignore[dict-item]
            }
        return self._placed[key]


class SubLoRA:
    """A random subspace of the coordinates of `LoRA`: factors P z, P as in `RandomSubspace`.

    Parameters
    ----------
    start : mapping of str to Tensor
        Parameters to adapt, before the model saw any data of the task; what is left out keeps its value.
    rank : int
        Rank of the changes, at least 1.
    dimension : int
        Number of coordinates, from 1 to that of `LoRA`.
    seed : int
        Seed of A_0 and of P, at least 0.

    Raises
    ------
    ValueError
        If nothing is to be adapted, or a number is out of range.

    Notes
    -----
    Lotfi et al. (2024): low rank and a subspace together reach smaller code lengths than either alone. B and A both
    move with z, so that weights are quadratic in it.
    """

    def __init__(self, start: Mapping[str, Tensor], rank: int, dimension: int, seed: int = 0) -> None:
        self._lora = LoRA(start, rank, seed)
        self._subspace = RandomSubspace({"factors": self._lora.initial}, dimension, seed)
        self.dimension, self.initial = self._subspace.dimension, self._subspace.initial

    def weights(self, coordinates: Tensor) -> dict[str, Tensor]:
        """Return the weights at `coordinates`.

        Parameters
        ----------
        coordinates : Tensor, shape (dimension,)
            z.

        Returns
        -------
        dict of str to Tensor
            The adapted parameters.
        """
        return self._lora.weights(self._subspace.weights(coordinates)["factors"])

    def describe(self) -> dict[str, Any]:
        """Return kind, rank, dimension and seed.

        Returns
        -------
        dict
            ``kind``, ``rank``, ``dimension``, ``seed``.
        """
        return self._lora.describe() | {"kind": "sublora", "dimension": self.dimension}
