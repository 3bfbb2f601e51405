"""Passes with two predictors an example: how often one of them errs, the other, or both.

As in `genbounds.models.passes`, counts are whole numbers, and the draws of a block are a function of seed, stage and
number alone.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from genbounds.models.examples import Data
from genbounds.models.passes import block_size, predict
from genbounds.models.progress import track
from genbounds.models.randomness import PerExampleForward, normal_noise, stream

__all__ = ["Gaussian", "PairCounts", "count_pairs"]

Weights: TypeAlias = Mapping[str, Tensor]
#: Means and standard deviations by name of parameter.
Gaussian: TypeAlias = tuple[Weights, Weights]


class PairCounts(NamedTuple):
    """Number of examples by who errs: first digit the first predictor, second digit the second, 1 for an error."""

    n00: int
    n01: int
    n10: int
    n11: int

    @property
    def examples(self) -> int:
        """Number of examples: of pairs of draws."""
        return sum(self)

    @property
    def first(self) -> int:
        """Errors of the first predictor."""
        return self.n10 + self.n11

    @property
    def second(self) -> int:
        """Errors of the second predictor."""
        return self.n01 + self.n11


@torch.no_grad()
def count_pairs(
    model: nn.Module,
    first: Gaussian,
    second: Gaussian | Weights,
    data: Data,
    indices: NDArray[np.int64],
    *,
    number: int,
    seed: int,
    stage: str = "",
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> PairCounts:
    """Count who errs on the examples `indices` when each meets its own fresh draw of `first` and one of `second`.

    The draws are independent between the two, also where both are of one Gaussian, and from example to example.
    Each of the four counts, or a sum of them, is a sum of independent Bernoulli variables, one an example.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode.
    first : tuple of mapping of str to Tensor
        Means and standard deviations of a Gaussian over the parameters, on `device` and in `dtype`.
    second : tuple of mapping, or mapping of str to Tensor
        Another Gaussian, the same one, or the weights of one network.
    data : Data
        Where the examples are.
    indices : ndarray of int64
        Which examples.
    number : int
        Number of the pass: passes 0, 1, 2, ... of one seed and stage are independent.
    seed : int
        Seed of all passes.
    stage : str
        What the passes are for: other stages have other streams.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    PairCounts
        Numbers of examples.
    """
    forward = PerExampleForward(model, next(data.batches(indices[:5], 5, device=device, dtype=dtype))[1])
    size = block_size(data, indices)
    total, counts = -(-len(indices) // size), torch.zeros(4, dtype=torch.int64)

    def scores(predictor: Gaussian | Weights, which: str, block: int, inputs: Tensor) -> Tensor:
        if not isinstance(predictor, tuple):
            return functional_call(model, dict(predictor), (inputs,))
        generator = stream(seed, f"{stage}, {which} of pairs", block, device=device)
        return forward(*predictor, inputs, normal_noise(generator, dtype))

    batches = enumerate(data.batches(indices, size, device=device, dtype=dtype), number * total)
    for block, (index, inputs, targets) in track(batches, "drawing pairs", total=total, progress=progress):
        own, other = (
            predict(scores(predictor, which, block, inputs), index) != targets
            for predictor, which in ((first, "first"), (second, "second"))
        )
        counts += (2 * own + other).cpu().bincount(minlength=4)
    return PairCounts(*counts.tolist())
