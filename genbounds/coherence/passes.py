"""Passes over a data set that keep a few numbers of each example's gradient by layer, and sums of gradients."""

from collections.abc import Callable, Collection, Iterator, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch import distributed as dist

from genbounds.models.blocks import Block, Blocks
from genbounds.models.examples import DataError
from genbounds.models.guards import ModelError, check_evaluation_mode, infer_device_and_dtype
from genbounds.models.per_example.engine import PerExampleGradients
from genbounds.models.per_example.factored.gradients import ExampleGradients
from genbounds.models.progress import track
from genbounds.models.randomness import stream
from genbounds.models.sums import CompensatedSum

__all__ = ["GradientPasses", "gradient_passes"]

#: Entries of the vectors that are summed for sign flips at once; a sum takes 16 bytes for each.
_ENTRIES = 2**26


class GradientPasses:
    """Passes over the gradients of a data set's examples; under ``torch.distributed``, all processes take part in each.

    Parameters
    ----------
    engine : PerExampleGradients
        Model, loss and parameters.
    blocks : Blocks
        Examples, on the model's device.
    progress : bool
        Whether to draw a bar on a terminal.

    Attributes
    ----------
    layers : dict of str to int
        Parameters, as single numbers, of each of the L layers in order of definition: the columns of what follows.
    column : dict of str to int
        The layer of each parameter, by its place in `layers`.
    """

    def __init__(self, engine: PerExampleGradients, blocks: Blocks, *, progress: bool = False) -> None:
        self.engine, self.blocks, self.progress = engine, blocks, progress
        self.layers: dict[str, int] = {}
        for name in engine.names:
            layer = engine.layers[name]
            self.layers[layer] = self.layers.get(layer, 0) + engine.shapes[name].numel()
        position = {layer: column for column, layer in enumerate(self.layers)}
        self.column = {name: position[engine.layers[name]] for name in engine.names}

    def norms(self) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, Tensor]]:
        """Return the loss and the squared gradient norms of each example, and the average gradient.

        Returns
        -------
        losses : ndarray, shape (m,)
            In the order of the examples.
        squared : ndarray, shape (m, L)
            By layer.
        mean : dict of str to Tensor
            By parameter, float64, on the device.

        Raises
        ------
        ModelError
            If a loss or a gradient is not finite.
        """
        total = CompensatedSum(self.parameters())
        columns = torch.tensor([self.column[name] for name in self.engine.names])

        def numbers(block: Block) -> Tensor:
            found = self.engine.squared_norms(block.inputs, block.targets)
            total.add(found.total)
            by_layer = torch.zeros(len(block.index), len(self.layers), dtype=torch.float64)
            by_layer.index_add_(1, columns, found.squared)
            return torch.cat([found.losses[:, None], by_layer], dim=1)

        table = self.table("norms of gradients", numbers, 1 + len(self.layers))
        bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
        if len(bad):
            raise ModelError(
                f"losses and gradients must be finite, got NaN or infinity for {len(bad)} of {len(table)} examples, "
                f"the first being example {bad[0]}. Use a wider dtype, or look at that example."
            )
        mean = {name: value / self.blocks.number for name, value in total.value().items()}
        return table[:, 0], table[:, 1:], mean

    def dots(self, *vectors: Mapping[str, Tensor]) -> list[NDArray[np.float64]]:
        """Return the inner products of each example's gradient with some vectors.

        Parameters
        ----------
        *vectors : mapping of str to Tensor
            By parameter, on the device.

        Returns
        -------
        list of ndarray, shape (m, L)
            For each vector, by layer.
        """
        width = len(self.layers)

        def numbers(block: Block) -> Tensor:
            dots = torch.zeros(len(block.index), len(vectors), width, dtype=torch.float64)

            def take_in(name: str, rows: slice, gradients: ExampleGradients) -> None:
                for number, vector in enumerate(vectors):
                    dots[rows, number, self.column[name]] += gradients.dots(vector[name]).cpu()

            self.engine.visit(block.inputs, block.targets, take_in)
            return dots.flatten(1)

        table = self.table("inner products of gradients", numbers, len(vectors) * width)
        return [table[:, number * width : (number + 1) * width] for number in range(len(vectors))]

    def flipped(self, draws: int, seed: int) -> NDArray[np.float64]:
        """Return squared norms of the sum of all gradients, each multiplied with a random sign.

        Parameters
        ----------
        draws : int
            Patterns of signs, K. The signs depend on the seed and the batch size alone.
        seed : int
            Seed of the signs.

        Returns
        -------
        ndarray, shape (K, L)
            By layer.
        """
        at_once = max(1, _ENTRIES // sum(self.layers.values()))
        rounds = [range(first, min(first + at_once, draws)) for first in range(0, draws, at_once)]
        return np.concatenate([self._flipped(number, len(part), seed) for number, part in enumerate(rounds)])

    def _flipped(self, number: int, draws: int, seed: int) -> NDArray[np.float64]:
        parameters = self.parameters()
        totals = CompensatedSum({
            name: parameter.expand(draws, *parameter.shape) for name, parameter in parameters.items()
        })
        for block in self.tracked("sign flips"):
            generator = stream(seed, f"sign flips {number}", block.number)
            signs = torch.randint(0, 2, (draws, len(block.index)), generator=generator) * 2.0 - 1.0

            def take_in(name: str, rows: slice, gradients: ExampleGradients, signs: Tensor = signs) -> None:
                totals.add({name: gradients.weighted_total(signs[:, rows].to(parameters[name]))})

            self.engine.visit(block.inputs, block.targets, take_in)
        return self.by_layer(totals.value(), draws)

    def by_layer(self, vectors: Mapping[str, Tensor], number: int) -> NDArray[np.float64]:
        """Return the squared norms of several vectors by layer.

        Parameters
        ----------
        vectors : mapping of str to Tensor
            By parameter, with the vectors along the first axis.
        number : int
            How many vectors.

        Returns
        -------
        ndarray, shape (number, L)
            Squared norms.
        """
        squared = np.zeros((number, len(self.layers)))
        for name, value in vectors.items():
            squared[:, self.column[name]] += value.double().reshape(number, -1).square().sum(dim=1).cpu().numpy()
        return squared

    def routes(self) -> dict[str, str]:
        """Return how the gradients of each parameter were found, in the first process' passes.

        Returns
        -------
        dict of str to str
            By parameter.
        """
        found = [{name: self.engine.routes[name] for name in self.engine.names if name in self.engine.routes}]
        if dist.is_available() and dist.is_initialized():
            dist.broadcast_object_list(found)
        return found[0]

    def parameters(self) -> dict[str, Tensor]:
        """Return the measured parameters.

        Returns
        -------
        dict of str to Tensor
            By name, detached: views, not copies.
        """
        held = dict(self.engine.model.named_parameters())
        return {name: held[name].detach() for name in self.engine.names}

    def tracked(self, description: str) -> Iterator[Block]:
        """Read the blocks of this process, with a bar if there should be one.

        Parameters
        ----------
        description : str
            What is under way.

        Returns
        -------
        iterator of Block
            In order.
        """
        return track(self.blocks, description, total=len(self.blocks), progress=self.progress)

    def table(self, description: str, numbers: Callable[[Block], Tensor], width: int) -> NDArray[np.float64]:
        """Make one pass that keeps some numbers of each example.

        Parameters
        ----------
        description : str
            What is under way.
        numbers : callable
            From a block, the numbers of its examples: float64, on the CPU, shape (b, width).
        width : int
            Numbers of one example.

        Returns
        -------
        ndarray, shape (m, width)
            In the order of the examples, on all processes.
        """
        index: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
        rows = [torch.zeros(0, width, dtype=torch.float64)]
        for block in self.tracked(description):
            rows.append(numbers(block))
            index.append(block.index)
        return self.blocks.gather(np.concatenate(index), torch.cat(rows)).numpy()


def gradient_passes(
    model: nn.Module,
    loss: Callable[..., Tensor],
    data: Any,
    *,
    parameters: Collection[str] | None = None,
    indices: ArrayLike | None = None,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = False,
) -> GradientPasses:
    """Prepare passes over a data set, with the model where it is to be measured.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode; a function of one example. It is left as it was found.
    loss : callable
        ``loss(outputs, targets)``: the average over the examples of a batch, or one value for each.
    data : object
        What `genbounds.models.blocks.Blocks` takes.
    parameters : collection of str, optional
        Names of the parameters to measure; by default those that require a gradient.
    indices : array_like of int, optional
        Examples to measure, each once; all by default.
    batch_size : int
        Examples in a block.
    device : torch.device or str, optional
        Where to measure; by default where the model is. Elsewhere a copy of the model is measured.
    dtype : torch.dtype, optional
        Floating dtype to measure in; by default the model's. In another one a copy of the model is measured.
    progress : bool
        Whether to draw a bar on a terminal.

    Returns
    -------
    GradientPasses
        Ready to run.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode, or no function of one example, or has no parameters to measure.
    DataError
        If an index is repeated.
    """
    if indices is not None and len(np.unique(indices)) < np.size(indices):
        raise DataError("indices must be different, got repetitions. Gradients of copies agree by themselves.")
    check_evaluation_mode(model)
    place, kind = infer_device_and_dtype(model)
    wanted = torch.device(device) if device is not None else place
    if wanted.type != place.type or (wanted.index is not None and wanted != place) or (dtype or kind) != kind:
        model = deepcopy(getattr(model, "_orig_mod", model)).to(device=wanted, dtype=dtype)
        place, kind = infer_device_and_dtype(model)
    engine = PerExampleGradients(model, loss, parameters=parameters)
    return GradientPasses(
        engine, Blocks(data, batch_size, device=place, dtype=kind, indices=indices), progress=progress
    )
