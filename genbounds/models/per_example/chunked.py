"""Gradients of single examples in full, a few at a time: never those of a whole set in memory."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, vmap

from genbounds.models.guards import ModelError, check_deterministic
from genbounds.models.per_example.evaluation import (
    Inputs,
    Loss,
    check_fixed_function,
    chosen_parameters,
    forward,
    joined,
    number_of,
    rows_of,
    tensors_of,
)
from genbounds.numerics.checks import count

__all__ = ["ChunkedGradients", "GradientMoments", "first_line"]


@dataclass(frozen=True)
class GradientMoments:
    """Sums over the gradients of a set of examples, in float64.

    Parameters
    ----------
    number : int
        Examples.
    mean : Tensor, shape (d,)
        Average gradient.
    centred : Tensor
        Sum of the squared distances from that average, a scalar.
    """

    number: int
    mean: Tensor
    centred: Tensor

    @property
    def variance(self) -> Tensor:
        """Unbiased variance summed over coordinates, `centred` over number - 1; NaN for a single example."""
        return self.centred / (self.number - 1) if self.number > 1 else torch.full_like(self.centred, torch.nan)


class ChunkedGradients:
    """Gradients of the training loss at each example, with respect to the parameters that require them.

    They come from `torch.func.vmap`, or, where that does not know an operation, from one example after the other.

    Parameters
    ----------
    model : torch.nn.Module
        A function of one example: no batch statistics, no dropout that acts.
    loss : callable
        ``loss(outputs, targets)`` of a batch, the average over its examples, or one value per example.
    chunk_size : int
        Examples whose gradients are in memory at once.
    parameters : collection of str, optional
        Names of the parameters to measure; by default those that require a gradient.

    Attributes
    ----------
    why_loop : str or None
        What `vmap` could not do, once it has been tried.

    Raises
    ------
    ModelError
        If batch normalisation uses the statistics of the batch, dropout acts, or no parameter requires a gradient.
    """

    def __init__(
        self, model: nn.Module, loss: Loss, chunk_size: int = 64, parameters: Collection[str] | None = None
    ) -> None:
        self.model, self.loss = model, loss
        self.chunk_size = int(count("chunk_size", chunk_size))
        check_fixed_function(model)
        self._names = tuple(chosen_parameters(model, parameters))
        self.why_loop: str | None = None

    def parameters(self) -> dict[str, Tensor]:
        """Return the measured parameters, detached: views, not copies.

        Returns
        -------
        dict of str to Tensor
            By name.
        """
        every = dict(self.model.named_parameters())
        return {name: every[name].detach() for name in self._names}

    def blocks(
        self, parameters: Mapping[str, Tensor], inputs: Inputs, targets: Inputs
    ) -> Iterator[tuple[slice, Tensor, dict[str, Tensor]]]:
        """Yield losses and gradients of successive examples.

        Parameters
        ----------
        parameters : mapping of str to Tensor
            Where to take the gradients, and with respect to what; the other parameters stay as they are.
        inputs, targets : Tensor, or mapping of str to Tensor
            The examples, on the parameters' device.

        Yields
        ------
        rows : slice
            Which examples.
        losses : Tensor, shape (chunk,)
            Their losses.
        gradients : dict of str to Tensor, shape (chunk, *parameter's)
            In the parameters' dtype.
        """
        rest = {name: value.detach() for name, value in self.model.named_parameters() if name not in parameters}
        number = number_of(inputs)
        for first in range(0, number, self.chunk_size):
            rows = slice(first, min(first + self.chunk_size, number))
            yield rows, *self._of_chunk(dict(parameters), rest, rows_of(inputs, rows), rows_of(targets, rows))

    def _of_chunk(
        self, parameters: dict[str, Tensor], rest: dict[str, Tensor], inputs: Inputs, targets: Inputs
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if self.why_loop is None:
            try:
                return self._by_vmap(parameters, rest, inputs, targets)
            except (RuntimeError, ValueError, TypeError) as error:
                self.why_loop = first_line(error)
        singles = [
            self._of_one(parameters, rest, rows_of(inputs, slice(i, i + 1)), rows_of(targets, slice(i, i + 1)))
            for i in range(number_of(inputs))
        ]
        gradients = {name: torch.stack([single[1][name] for single in singles]) for name in parameters}
        return torch.stack([loss for loss, _ in singles]), gradients

    def _by_vmap(
        self, parameters: dict[str, Tensor], rest: dict[str, Tensor], inputs: Inputs, targets: Inputs
    ) -> tuple[Tensor, dict[str, Tensor]]:
        def loss_of_one(weights: dict[str, Tensor], x: dict[str, Tensor], y: dict[str, Tensor]) -> Tensor:
            one, target = ({name: part.unsqueeze(0) for name, part in parts.items()} for parts in (x, y))
            return self._loss(weights | rest, joined(inputs, one), joined(targets, target))

        x, y = tensors_of(inputs), tensors_of(targets)
        gradients, losses = vmap(grad_and_value(loss_of_one), in_dims=(None, 0, 0))(parameters, x, y)
        return losses.detach(), gradients

    def _of_one(
        self, parameters: dict[str, Tensor], rest: dict[str, Tensor], x: Inputs, y: Inputs
    ) -> tuple[Tensor, dict[str, Tensor]]:
        weights = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        named = {f"model.{name}": value for name, value in (weights | rest).items()}
        with torch.enable_grad():
            return functional_call(_Differentiated(self.model, self.loss), named, (x, y, weights))

    def _loss(self, weights: Mapping[str, Tensor], x: Inputs, y: Inputs) -> Tensor:
        return self.loss(forward(self.model, x, weights), y).sum()

    def check(self, inputs: Tensor, targets: Tensor) -> None:
        """Refuse a loss that is not the average over the examples, and a model that is not a fixed function.

        Parameters
        ----------
        inputs, targets : Tensor
            At least two examples.

        Raises
        ------
        ModelError
            If the gradient of the batch is not the average of the examples' gradients, or the model is random.
        """
        check_deterministic(self.model, inputs)
        parameters = self.parameters()

        def batch_loss(values: dict[str, Tensor]) -> Tensor:
            return self.loss(forward(self.model, inputs, values), targets)

        whole = _flat(grad(batch_loss)(parameters), 0).double()
        mean = self.moments(parameters, inputs, targets).mean
        error, size = float((whole - mean).norm()), float(whole.norm())
        epsilon = torch.finfo(next(iter(parameters.values())).dtype).eps
        if not error <= max(epsilon**0.5, 2.0**-8 if whole.is_cuda else 0.0) * max(size, float(mean.norm())):
            raise ModelError(
                f"loss must be the average over the examples of a batch, got a gradient that differs by {error:.3g} "
                f"(of {size:.3g}) from the average of the examples' gradients. Use reduction='mean' without weights."
            )

    def chunks(self, parameters: Mapping[str, Tensor], inputs: Tensor, targets: Tensor) -> Iterator[Tensor]:
        """Yield the gradients of successive examples.

        Parameters
        ----------
        parameters : mapping of str to Tensor
            Where to take the gradients.
        inputs, targets : Tensor
            The examples, on the parameters' device.

        Yields
        ------
        Tensor, shape (chunk, d)
            One row an example, in the parameters' dtype.
        """
        for _, _, gradients in self.blocks(parameters, inputs, targets):
            yield _flat(gradients, 1)

    def moments(self, parameters: Mapping[str, Tensor], inputs: Tensor, targets: Tensor) -> GradientMoments:
        """Return the average gradient over a set of examples and the spread about it.

        Parameters
        ----------
        parameters : mapping of str to Tensor
            Where to take the gradients.
        inputs, targets : Tensor
            The examples, at least one, on the parameters' device.

        Returns
        -------
        GradientMoments
            In one pass, by merging the moments of the chunks.

        Raises
        ------
        ValueError
            If there is no example.
        """
        if not len(inputs):
            raise ValueError("inputs must hold at least one example, got none. Pass the batch or the data set.")
        return reduce(_merged, map(_moments, self.chunks(parameters, inputs, targets)))


class _Differentiated(nn.Module):
    """Loss and gradient at one example, both under the same weights: parts may be recomputed for the gradient."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, x: Inputs, y: Inputs, weights: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        loss = self.loss(forward(self.model, x), y).sum()
        if not loss.requires_grad:  # there is no parameter on the way that this example takes
            return loss, {name: torch.zeros_like(value, requires_grad=False) for name, value in weights.items()}
        values = torch.autograd.grad(loss, list(weights.values()), allow_unused=True, materialize_grads=True)
        return loss.detach(), {name: value.to_dense() for name, value in zip(weights, values, strict=True)}


def _moments(rows: Tensor) -> GradientMoments:
    wide = rows.double()
    mean = wide.mean(dim=0)
    return GradientMoments(len(wide), mean, (wide - mean).square().sum())


def _flat(gradients: Mapping[str, Tensor], start: int) -> Tensor:
    """Return all gradients side by side, behind the first `start` axes."""
    return torch.cat([value.reshape(*value.shape[:start], -1) for value in gradients.values()], dim=start)


def _merged(one: GradientMoments, other: GradientMoments) -> GradientMoments:
    """Return the moments of two sets together (Chan, Golub and LeVeque)."""
    number = one.number + other.number
    apart = other.mean - one.mean
    centred = one.centred + other.centred + apart.square().sum() * (one.number * other.number / number)
    return GradientMoments(number, one.mean + apart * (other.number / number), centred)


def first_line(error: Exception) -> str:
    """Return what an error says, in short.

    Parameters
    ----------
    error : Exception
        Of torch, say, with its advice behind.

    Returns
    -------
    str
        The first sentence, or the error's name.
    """
    return re.split(r"\n|\. |[.:]$", str(error).strip())[0] or type(error).__name__
