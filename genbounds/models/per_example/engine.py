"""Per-example gradients of a network in one forward and one backward pass, parameter by parameter."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from genbounds.models.per_example.chunked import ChunkedGradients
from genbounds.models.per_example.evaluation import Inputs, Loss, number_of
from genbounds.models.per_example.gradients import DenseGradients, ExampleGradients

__all__ = ["BatchNorms", "PerExampleGradients", "Visitor"]

#: Called with a parameter's name, the examples of the batch, and their gradients.
Visitor: TypeAlias = Callable[[str, slice, ExampleGradients], None]


@dataclass(frozen=True)
class BatchNorms:
    """What one pass over a batch gives.

    Parameters
    ----------
    losses : Tensor of float64, shape (B,)
        Loss of each example, on the CPU.
    squared : Tensor of float64, shape (B, K)
        Squared norm of each example's gradient with respect to each of the K parameters, in the order of `names`, on
        the CPU.
    total : dict of str to Tensor
        Sum of the examples' gradients, by parameter, in its dtype and on its device.
    """

    losses: Tensor
    squared: Tensor
    total: dict[str, Tensor]


class PerExampleGradients:
    """Gradients of the loss at every example of a batch, never all of them in memory.

    Parameters
    ----------
    model : torch.nn.Module
        A function of one example: no batch statistics, no dropout that acts.
    loss : callable
        ``loss(outputs, targets)`` of a batch: the average over its examples, as `torch.nn.functional.cross_entropy`, or
        one value per example, shape (B,).
    parameters : collection of str, optional
        Names of the parameters to measure; by default those that require a gradient.
    chunk_size : int
        Examples whose gradients are in memory at once, for parameters that no rule covers.

    Attributes
    ----------
    names : tuple of str
        Measured parameters in order of definition; a tied one once, under its first name.
    shapes : dict of str to torch.Size
        Their shapes.
    layers : dict of str to str
        Name of the module that owns each.
    routes : dict of str to str
        After the first batch, how the gradients of each are found.

    Raises
    ------
    ModelError
        If batch normalisation uses the statistics of the batch, dropout acts, or no parameter requires a gradient.
    """

    def __init__(
        self, model: nn.Module, loss: Loss, *, parameters: Collection[str] | None = None, chunk_size: int = 16
    ) -> None:
        self.model = getattr(model, "_orig_mod", model)
        self._chunked = ChunkedGradients(self.model, loss, chunk_size, parameters)
        measured = self._chunked.parameters()
        self.names = tuple(measured)
        self.shapes = {name: value.shape for name, value in measured.items()}
        self.layers = {name: name.rpartition(".")[0] for name in measured}
        self.routes: dict[str, str] = {}

    def visit(self, inputs: Inputs, targets: Inputs, visitor: Visitor) -> Tensor:
        """Show the gradients of the examples of a batch, one parameter after the other.

        Parameters
        ----------
        inputs, targets : Tensor, or mapping of str to Tensor
            The batch, on the model's device.
        visitor : callable
            ``visitor(name, rows, gradients)``: gradients of the examples `rows` with respect to the parameter `name`.
            They are freed afterwards, unless it keeps them.

        Returns
        -------
        Tensor of float64, shape (B,)
            Loss of each example, on the model's device.
        """
        losses = []
        for rows, block, gradients in self._chunked.blocks(self._chunked.parameters(), inputs, targets):
            losses.append(block.double())
            for name, values in gradients.items():
                visitor(name, rows, DenseGradients(values))
        why = self._chunked.why_loop
        self.routes = dict.fromkeys(self.names, "vmap: no rule" if why is None else f"loop: {why}")
        return torch.cat(losses)

    def squared_norms(self, inputs: Inputs, targets: Inputs) -> BatchNorms:
        """Return squared norms of the examples' gradients, and their sum.

        Parameters
        ----------
        inputs, targets : Tensor, or mapping of str to Tensor
            The batch, on the model's device.

        Returns
        -------
        BatchNorms
            Losses, squared norms and sum.
        """
        column = {name: number for number, name in enumerate(self.names)}
        squared = torch.zeros(number_of(inputs), len(self.names), dtype=torch.float64)
        total = {name: torch.zeros_like(value) for name, value in self._chunked.parameters().items()}

        def take_in(name: str, rows: slice, gradients: ExampleGradients) -> None:
            squared[rows, column[name]] = gradients.squared_norms().cpu()
            ones = torch.ones(len(gradients), dtype=total[name].dtype, device=total[name].device)
            total[name] += gradients.weighted_total(ones)

        losses = self.visit(inputs, targets, take_in)
        return BatchNorms(losses.cpu(), squared, total)
