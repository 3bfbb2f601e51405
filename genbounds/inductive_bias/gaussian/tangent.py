"""The linearisation of a network at its weights: covariances of all outputs, without the Jacobian of the data set."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genbounds.inductive_bias.gaussian.evaluations import evaluated, in_float64, target_rows
from genbounds.models.blocks import Blocks
from genbounds.models.per_example.engine import PerExampleGradients, Visitor
from genbounds.models.per_example.evaluation import joined, tensors_of
from genbounds.models.per_example.factored.gradients import ExampleGradients
from genbounds.models.progress import track
from genbounds.numerics.checks import positive

__all__ = ["TangentSpace", "tangent_space"]

#: A parameter's name, rows of a block, and the gradients of the outputs with respect to it.
_Part = tuple[str, slice, ExampleGradients]


@dataclass(frozen=True, eq=False)
class TangentSpace:
    """A network linearised at its present weights: f(x) = f_0(x) + J(x) w with w ~ N(0, diag(scale^2)).

    Parameters
    ----------
    outputs : ndarray, shape (n, k)
        f_0, the network's own outputs.
    targets : ndarray, shape (n, k)
        Targets; one-hot vectors for classes.
    covariance : ndarray, shape (n k, n k)
        J diag(scale^2) J^T: of all outputs of the first example, then of the second.
    """

    outputs: NDArray[np.float64]
    targets: NDArray[np.float64]
    covariance: NDArray[np.float64]


def tangent_space(
    model: nn.Module,
    *data: Any,
    scale: float | Mapping[str, float],
    parameters: Collection[str] | None = None,
    batch_size: int = 32,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> TangentSpace:
    """Return a network's outputs and the covariance of its linearisation, for other targets or conditions.

    Gradients of the outputs are met block by block in factored form; at no time are more than those of two blocks held,
    and the Jacobian of the data set is never written out. For n examples in blocks of b there are about n^2 / (2 b)
    forward and backward passes of each output.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode; a function of one example that returns one row of outputs per example. A copy in float64 is
        measured.
    *data : object
        Sets of examples, one after the other: what `genbounds.models.blocks.Blocks` takes.
    scale : float or mapping of str to float
        Prior standard deviation of the change of a weight; a mapping names that of each parameter.
    parameters : collection of str, optional
        Parameters that change; by default those that require a gradient.
    batch_size : int
        Examples in a block.
    device : torch.device or str, optional
        Where to measure; by default where the model is. It must know float64.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    TangentSpace
        Of all examples in order.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode, or no function of one example.
    ValueError
        If targets do not fit the outputs, or a scale is not positive or missing.
    """
    measured, place = in_float64(model, device)
    sets = [Blocks(part, batch_size, device=place, dtype=torch.float64) for part in data]
    tasks = [(blocks, number) for blocks in sets for number in range(-(-blocks.number // batch_size))]
    found = [evaluated(measured, blocks.read(number)) for blocks, number in tasks]
    outputs = torch.cat([part for part, _ in found])
    targets = target_rows(torch.cat([part for _, part in found]), outputs.shape[1])

    engine = PerExampleGradients(measured, _chosen_output, parameters=parameters)
    scales = _scales(scale, engine.names)
    ends = np.cumsum([part.numel() for part, _ in found]).tolist()
    places = [slice(start, stop) for start, stop in zip([0, *ends[:-1]], ends, strict=True)]
    gram = np.zeros((outputs.numel(), outputs.numel()))
    for here in track(range(len(tasks)), "covariance of the linearised network", total=len(tasks), progress=progress):
        mine: list[_Part] = []
        _visit(engine, tasks[here], outputs.shape[1], lambda *part, kept=mine: kept.append(part))
        for part in mine:
            _meeting(mine, gram[places[here], places[here]], scales)(*part)
        for there in range(here + 1, len(tasks)):
            products = gram[places[here], places[there]]
            _visit(engine, tasks[there], outputs.shape[1], _meeting(mine, products, scales))
            gram[places[there], places[here]] = products.T
    return TangentSpace(outputs.numpy(), targets.numpy(), gram)


def _scales(scale: float | Mapping[str, float], names: tuple[str, ...]) -> dict[str, float]:
    if isinstance(scale, Mapping):
        if set(scale) != set(names):
            raise ValueError(
                f"scale must name the parameters that change, {sorted(names)}, got {sorted(scale)}. Pass one number, "
                "or choose them by `parameters`."
            )
        return {name: float(positive(f"scale of {name}", value)) for name, value in scale.items()}
    return dict.fromkeys(names, float(positive("scale", scale)))


def _chosen_output(outputs: Tensor, choice: Tensor) -> Tensor:
    """Return one output of each example: the "loss" whose gradients are rows of the Jacobian."""
    return outputs.reshape(len(outputs), -1).gather(1, choice[:, None])[:, 0]


def _visit(engine: PerExampleGradients, task: tuple[Blocks, int], outputs: int, visitor: Visitor) -> None:
    """Show the gradients of all outputs of a block's examples: of all outputs of the first, then of the second."""
    block = task[0].read(task[1])
    repeated = {name: part.repeat_interleave(outputs, dim=0) for name, part in tensors_of(block.inputs).items()}
    number = len(block.index)
    engine.visit(
        joined(block.inputs, repeated), torch.arange(outputs, device=block.targets.device).repeat(number), visitor
    )


def _meeting(mine: list[_Part], products: NDArray[np.float64], scales: Mapping[str, float]) -> Visitor:
    """Return what takes in gradients of another block, and adds inner products with mine to `products`."""

    def take_in(name: str, columns: slice, gradients: ExampleGradients) -> None:
        for own, rows, kept in mine:
            if own == name:
                products[rows, columns] += scales[name] ** 2 * kept.inner(gradients).cpu().numpy()

    return take_in
