"""P(f): how likely a random network computes a function, sampled from the prior over its weights.

The map from weights to functions is strongly biased: most of the prior lies on few functions, and those are simple
(Valle-Perez et al., 2019; Mingard et al., 2019). On the corners of a cube {0, 1}^n a network computes one of 2^(2^n)
Boolean functions; on other inputs a function is the list of its classes there.
"""

from collections.abc import Iterator
from itertools import product

import torch
from numpy.typing import NDArray
from torch import Tensor

from genbounds.inductive_bias.networks import NetworkPrior
from genbounds.inductive_bias.simplicity.functions import FunctionCounts, count_functions
from genbounds.models.blocks import Inputs
from genbounds.models.guards import ModelError
from genbounds.models.progress import track
from genbounds.models.randomness import stream
from genbounds.numerics.checks import count

__all__ = ["boolean_cube", "function_probabilities"]


def boolean_cube(dimension: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return all corners of the cube {0, 1}^n.

    Parameters
    ----------
    dimension : int
        n, from 1 to 16.
    dtype : torch.dtype
        Of the numbers.

    Returns
    -------
    Tensor, shape (2^n, n)
        The binary numbers from 0 to 2^n - 1, leading digit first.

    Raises
    ------
    ValueError
        If the dimension is out of its range.

    Examples
    --------
    >>> boolean_cube(2).tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    n = int(count("dimension", dimension, 0))
    if not 1 <= n <= 16:
        raise ValueError(f"dimension must be from 1 to 16, got {n}. Pass a sample of inputs instead.")
    return torch.tensor(list(product((0.0, 1.0), repeat=n)), dtype=dtype)


def function_probabilities(
    prior: NetworkPrior,
    inputs: Inputs,
    networks: int,
    *,
    seed: int = 0,
    batch: int = 1024,
    progress: bool = False,
) -> FunctionCounts:
    """Draw networks from a prior and count the functions that they compute on some inputs.

    Parameters
    ----------
    prior : NetworkPrior
        Law of the weights.
    inputs : Tensor or mapping of str to Tensor
        The inputs, n examples along first axes, on the prior's device.
    networks : int
        Number of draws S, at least 1.
    seed : int
        Seed of the draws.
    batch : int
        Networks that are evaluated at a time; with another batch the draws are others.
    progress : bool
        Whether to draw a bar on a terminal.

    Returns
    -------
    FunctionCounts
        The functions with their counts. A class is the first of those with the largest output; for a single output it
        is 1 where that is positive, else 0.

    Raises
    ------
    ModelError
        If outputs are not finite, or no row of logits for each example.

    Examples
    --------
    A perceptron without bias in one dimension is positive at 1 or nowhere:

    >>> prior = NetworkPrior(torch.nn.Linear(1, 1, bias=False))
    >>> found = function_probabilities(prior, boolean_cube(1), 1000)
    >>> sorted(found.functions.tolist()), bool(abs(found.probabilities - 0.5).max() < 0.05)
    ([[0, 0], [0, 1]], True)
    """
    total, size = int(count("networks", networks)), int(count("batch", batch))

    def draws() -> Iterator[NDArray]:
        starts = range(0, total, size)
        for number, start in enumerate(track(starts, "Functions", total=len(starts), progress=progress)):
            shape = (min(size, total - start), prior.dimension)
            z = torch.randn(shape, generator=stream(seed, "functions", number), dtype=prior.dtype)
            yield _classes(prior.outputs(z, inputs))

    with torch.no_grad():
        return count_functions(draws(), str(prior))


def _classes(outputs: Tensor) -> NDArray:
    """Return the class of each network for each example."""
    if outputs.ndim not in {2, 3} or not outputs.isfinite().all():
        raise ModelError(
            f"model must return finite logits of shape (n,) or (n, classes), got {tuple(outputs.shape[1:])} for a "
            f"network, {int((~outputs.isfinite()).sum())} numbers not finite. Check model and scales of the prior."
        )
    columns = outputs[..., None] if outputs.ndim == 2 else outputs
    chosen = columns[..., 0] > 0 if columns.shape[-1] == 1 else columns.argmax(dim=-1)
    return chosen.cpu().numpy()
