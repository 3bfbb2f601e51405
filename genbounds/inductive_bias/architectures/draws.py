"""Draws of training and test examples from a data set, the same for every architecture."""

from collections.abc import Iterator

import torch
from torch import Tensor

from genbounds.models.blocks import Blocks
from genbounds.models.examples import Data
from genbounds.models.randomness import stream
from genbounds.numerics.checks import count

__all__ = ["Draws"]


class Draws:
    """Training and test examples, drawn several times from a data set; disjoint within a draw.

    Parameters
    ----------
    data : Data
        Examples whose targets are classes.
    train, test : int
        Examples of each draw, at least 1.
    number : int
        Draws, at least 1.
    seed : int
        Seed of the draws.

    Raises
    ------
    ValueError
        If there are too few examples, or inputs are not one tensor.
    """

    def __init__(self, data: Data, train: int, test: int, number: int, seed: int) -> None:
        self._data, self._number, self._seed = data, int(count("draws", number)), seed
        self.train, self.test = int(count("train", train)), int(count("test", test))
        if self.train + self.test > len(data):
            raise ValueError(
                f"train and test must be at most {len(data)} together, got {self.train} and {self.test}. Take fewer."
            )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for draw in range(self._number):
            order = torch.randperm(len(self._data), generator=stream(self._seed, "task", draw))
            chosen = order[: self.train + self.test].numpy()
            block = Blocks(self._data, len(chosen), indices=chosen).read(0)
            if not isinstance(block.inputs, Tensor):
                raise ValueError("data must have one tensor of inputs, got a mapping. Stack its tensors into one.")
            yield block.inputs, block.targets

    def __str__(self) -> str:
        times = "" if self._number == 1 else f", drawn {self._number} times"
        return f"{self._data.name}, {self.train} training and {self.test} test examples{times}"
