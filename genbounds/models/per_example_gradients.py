"""Gradients of single examples, a few at a time: never those of a whole set in memory."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from genbounds.models.guards import ModelError, check_deterministic
from genbounds.numerics.checks import count

__all__ = ["GradientMoments", "PerExampleGradients"]

#: ``loss(outputs, targets)`` of a batch: the average over its examples.
Loss = Callable[[Tensor, Tensor], Tensor]


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


class PerExampleGradients:
    """Gradients of the training loss at each example, with respect to the parameters that require them.

    Parameters
    ----------
    model : torch.nn.Module
        A function of one example: no batch statistics, no dropout that acts.
    loss : callable
        ``loss(outputs, targets)`` of a batch, the average over its examples.
    chunk_size : int
        Examples whose gradients are in memory at once.

    Raises
    ------
    ModelError
        If batch normalisation uses the statistics of the batch, dropout acts, or no parameter requires a gradient.
    """

    def __init__(self, model: nn.Module, loss: Loss, chunk_size: int = 64) -> None:
        self.model, self.loss = model, loss
        self.chunk_size = int(count("chunk_size", chunk_size))
        self._refuse_randomness()
        if not self.parameters():
            raise ModelError("model must have parameters that require a gradient, got none. Unfreeze what is trained.")
        self._gradients = vmap(grad(self._loss_of_one), in_dims=(None, 0, 0))

    def _refuse_randomness(self) -> None:
        for name, module in self.model.named_modules():
            shown = f"{name or 'model'} ({type(module).__name__})"
            if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
                raise ModelError(
                    f"model must treat each example by itself, got {shown} with the statistics of the batch. Put it in "
                    "evaluation mode, or use normalisation within one example (GroupNorm, LayerNorm)."
                )
            if isinstance(module, _DropoutNd) and module.training and module.p > 0:
                raise ModelError(
                    f"model must be a fixed function, got {shown} in training mode: its mask cannot be drawn again to "
                    "measure the step that was taken. Train without dropout, or put it in evaluation mode."
                )

    def parameters(self) -> dict[str, Tensor]:
        """Return the parameters that require a gradient, detached: views, not copies.

        Returns
        -------
        dict of str to Tensor
            By name.
        """
        return {name: value.detach() for name, value in self.model.named_parameters() if value.requires_grad}

    def _loss_of_one(self, parameters: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        outputs = functional_call(self.model, dict(parameters), (x.unsqueeze(0),))
        return self.loss(outputs, y.unsqueeze(0))

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
            return self.loss(functional_call(self.model, values, (inputs,)), targets)

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
        for x, y in zip(inputs.split(self.chunk_size), targets.split(self.chunk_size), strict=True):
            yield _flat(self._gradients(parameters, x, y), 1)

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
