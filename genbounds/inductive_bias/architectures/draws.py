"""Draws of training and test examples from a data set, the same for every architecture."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from genbounds.models.blocks import Blocks
from genbounds.models.examples import Data
from genbounds.models.randomness import stream
from genbounds.numerics.checks import count, finite

__all__ = ["Draws", "increasing"]


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
        Seed of the draws, at least 0.

    Attributes
    ----------
    classes : int
        Classes of the data, at least 2; not all of them need be among the examples of a draw.

    Raises
    ------
    ValueError
        If there are too few examples or classes, or inputs are not one tensor.
    """

    def __init__(self, data: Data, train: int, test: int, number: int, seed: int) -> None:
        self._data, self._number, self._seed = data, int(count("draws", number)), seed
        self.train, self.test = int(count("train", train)), int(count("test", test))
        if self.train + self.test > len(data):
            raise ValueError(
                f"train and test must be at most {len(data)} together, got {self.train} and {self.test}. Take fewer."
            )
        self.classes = data.classes
        if self.classes < 2:
            raise ValueError(f"data must have at least 2 classes, got {self.classes}. There is nothing to tell apart.")
        count("seed", seed, minimum=0)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of each draw, training examples first."""
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

    def seed_of(self, draw: int) -> int:
        """Return a seed of what is drawn beside the examples of a draw, so that draws are independent in all.

        Parameters
        ----------
        draw : int
            Which draw, from 0.

        Returns
        -------
        int
            In [0, 2^32).
        """
        return stream(self._seed, "beside a task", draw).initial_seed()


def increasing(levels: ArrayLike) -> NDArray[np.float64]:
    """Return levels as a list that increases; what takes long begins after this.

    Parameters
    ----------
    levels : array_like, shape (k,)
        Levels of a loss.

    Returns
    -------
    ndarray, shape (k,)
        The same in float64.

    Raises
    ------
    ValueError
        If they are not finite or do not increase.
    """
    values = np.atleast_1d(finite("levels", levels, "A level is a threshold of the loss."))
    if values.ndim != 1 or not values.size or (np.diff(values) <= 0).any():
        raise ValueError(f"levels must be a list that increases, got {levels!r}. Sort them, each once.")
    return values
