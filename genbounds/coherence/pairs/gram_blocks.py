"""Inner products of the gradients of a subsample, block by block, from what the gradients are made of."""

from collections.abc import Callable, Collection
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from genbounds.coherence.pairs.gram import Gram
from genbounds.coherence.passes import gradient_passes
from genbounds.models.blocks import Block, Blocks
from genbounds.models.examples import DataError
from genbounds.models.per_example.engine import PerExampleGradients, Visitor
from genbounds.models.per_example.factored.gradients import ExampleGradients
from genbounds.models.randomness import stream
from genbounds.numerics.checks import count

__all__ = ["gram_matrix", "input_distances"]

#: A parameter's name, examples of a block, their gradients.
_Part: TypeAlias = tuple[str, slice, ExampleGradients]


def gram_matrix(
    model: nn.Module,
    loss: Callable[..., Tensor],
    data: Any,
    *,
    examples: int = 512,
    parameters: Collection[str] | None = None,
    indices: ArrayLike | None = None,
    batch_size: int = 64,
    seed: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = False,
) -> Gram:
    """Return the inner products ``g_i . g_j`` of the gradients of all pairs from a random subsample.

    The gradients of one block are held in the form the engine finds them in (inputs and output gradients of layers, not
    written out), and met with those of one other block at a time. For k examples in blocks of b there are about
    ``k^2 / (2 b)`` backward passes of an example; the k x k matrix itself is kept. Under ``torch.distributed`` the rows
    are shared out, and all processes return the whole.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode; a function of one example.
    loss : callable
        ``loss(outputs, targets)``: the average over the examples of a batch, or one value for each, no regulariser.
    data : object
        What `genbounds.models.blocks.Blocks` takes.
    examples : int
        Size k of the subsample, >= 2, drawn without repetition; all examples if there are fewer.
    parameters : collection of str, optional
        Names of the parameters whose gradients are compared, such as those of one layer; by default all that require a
        gradient.
    indices : array_like of int, optional
        Examples to draw the subsample from; all by default.
    batch_size : int
        b. More is faster, and holds the layers' inputs and output gradients of more examples.
    seed : int
        Of the subsample.
    device : torch.device or str, optional
        Where to measure; by default where the model is.
    dtype : torch.dtype, optional
        Floating dtype to measure in; by default the model's.
    progress : bool
        Whether to draw a bar on a terminal.

    Returns
    -------
    Gram
        With labels, if targets are class indices.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode, or no function of one example, or has no parameters to measure.
    DataError
        If there are fewer than two examples.
    ValueError
        If a setting is out of range.

    Examples
    --------
    >>> model = nn.Linear(2, 1, bias=False).eval()
    >>> x = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    >>> gram_matrix(model, lambda outputs, _: outputs.mean(), (x, torch.zeros(2, 1))).products
    array([[1., 1.],
           [1., 2.]])
    """
    k = int(count("examples", examples, 2))
    number = Blocks(data, 1, indices=indices).number
    if number < 2:
        raise DataError(f"data must hold at least two examples, got {number}. There is no pair.")
    index = torch.randperm(number, generator=stream(seed, "gram subsample"))[:k].sort().values.numpy()
    if indices is not None:
        index = np.asarray(indices)[index]
    passes = gradient_passes(
        model,
        loss,
        data,
        parameters=parameters,
        indices=index,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        progress=progress,
    )
    engine, blocks = passes.engine, passes.blocks

    positions: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    rows = [torch.zeros(0, len(index), dtype=torch.float64)]
    labels = [torch.zeros(0, dtype=torch.int64)]
    last = -(-len(index) // batch_size)
    for block in passes.tracked("inner products of gradients"):
        mine = _held(engine, block)
        row = torch.zeros(len(block.index), len(index), dtype=torch.float64)
        for part in mine:
            _meeting(mine, row, int(block.index[0]))(*part)
        for number_of_other in range(block.number + 1, last):
            other = blocks.read(number_of_other)
            engine.visit(other.inputs, other.targets, _meeting(mine, row, int(other.index[0])))
        rows.append(row)
        positions.append(block.index)
        labels.append(_classes(block.targets))
    place = np.concatenate(positions)
    upper = torch.triu(blocks.gather(place, torch.cat(rows))).numpy()
    return Gram(
        upper + np.triu(upper, 1).T,
        _labels(blocks, place, torch.cat(labels)),
        index,
        number,
        torch.finfo(next(engine.model.parameters()).dtype).eps,
    )


def input_distances(data: Any, index: ArrayLike) -> NDArray[np.float64]:
    """Return the distances ``1 - cos(x, x')`` of the inputs of examples, for a `distance_profile`.

    Parameters
    ----------
    data : object
        What `genbounds.models.blocks.Blocks` takes, with one floating tensor as input (bytes of images count as such).
    index : array_like of int, shape (k,)
        Examples: `Gram.index`.

    Returns
    -------
    ndarray, shape (k, k)
        Distances in [0, 2].

    Raises
    ------
    DataError
        If inputs are no floating tensors, or one of them is 0 and has no direction.
    """
    chosen = np.asarray(index)
    inputs = Blocks(data, len(chosen), dtype=torch.float64, indices=chosen).read(0).inputs
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        got = f"dtype {inputs.dtype}" if isinstance(inputs, Tensor) else "keyword arguments"
        raise DataError(f"data must have floating tensors as inputs, got {got}. Pass distances of your own.")
    rows = inputs.double().flatten(1)
    lengths = rows.norm(dim=1)
    if not (lengths > 0).all():
        place = int(chosen[int((lengths == 0).nonzero()[0])])
        raise DataError(f"inputs must not be 0, got example {place}. It has no direction: leave it out.")
    cosines = (rows / lengths[:, None]) @ (rows / lengths[:, None]).T
    return (1 - (cosines + cosines.T) / 2).clamp(0, 2).numpy()


def _held(engine: PerExampleGradients, block: Block) -> list[_Part]:
    """Return the gradients of a block, in the form they are found in."""
    parts: list[_Part] = []
    engine.visit(block.inputs, block.targets, lambda *part: parts.append(part))
    return parts


def _meeting(mine: list[_Part], row: Tensor, first: int) -> Visitor:
    """Return what takes in another block, from its first position on, and adds inner products with mine to `row`."""

    def take_in(name: str, columns: slice, gradients: ExampleGradients) -> None:
        place = slice(first + columns.start, first + columns.stop)
        for own, here, kept in mine:
            if own == name:
                row[here, place] += kept.inner(gradients).cpu()

    return take_in


def _classes(targets: Tensor) -> Tensor:
    """Return class indices; -1 for each target that is none."""
    if targets.ndim == 1 and not targets.is_floating_point() and not targets.is_complex():
        return targets.to("cpu", torch.int64)
    return torch.full((len(targets),), -1)


def _labels(blocks: Blocks, place: NDArray[np.int64], labels: Tensor) -> NDArray[np.int64] | None:
    found = blocks.gather(place, labels).numpy()
    return None if (found < 0).any() else found
