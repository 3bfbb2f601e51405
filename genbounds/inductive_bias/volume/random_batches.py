"""The loss of many networks at once, each on a random batch of its own."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vmap

from genbounds.inductive_bias.networks import NetworkPrior
from genbounds.numerics.checks import count

__all__ = ["RandomBatches"]


class RandomBatches:
    """Mean losses on batches drawn without replacement: unbiased for the mean loss over the data.

    Parameters
    ----------
    prior : NetworkPrior
        What points of its whitened space stand for; its device and dtype are used.
    model : torch.nn.Module
        The prior's model, in evaluation mode. It is run with the prior's weights and left alone.
    loss : callable
        ``loss(outputs, targets)``: the average over the examples of a batch, or one value for each.
    inputs, targets : Tensor
        The data, examples along first axes.
    batch_size : int
        Examples of a batch.

    Raises
    ------
    ValueError
        If a batch is larger than the data.
    """

    def __init__(
        self,
        prior: NetworkPrior,
        loss: Callable[[Tensor, Tensor], Tensor],
        inputs: Tensor,
        targets: Tensor,
        batch_size: int,
    ) -> None:
        self._size = int(count("batch_size", batch_size))
        if self._size > len(targets):
            raise ValueError(f"batch_size must be at most {len(targets)}, the number of examples, got {batch_size}.")
        self._prior, self._loss = prior, loss
        self._inputs = inputs.to(prior.device, prior.dtype if inputs.is_floating_point() else None)
        self._targets = targets.to(prior.device, prior.dtype if targets.is_floating_point() else None)

    def __call__(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """Evaluate networks, each on its own batch.

        Parameters
        ----------
        z : Tensor, shape (B, d)
            Points of the whitened space.
        generator : torch.Generator
            Source of the batches, on the prior's device.

        Returns
        -------
        Tensor, shape (B,)
            Mean losses, differentiable in z.
        """
        noise = torch.rand(len(z), len(self._targets), generator=generator, device=generator.device)
        rows = noise.argsort(dim=1)[:, : self._size].to(self._prior.device)

        outputs = self._prior.outputs(z, self._inputs[rows], own=True)
        return vmap(lambda *pair: self._loss(*pair).mean())(outputs, self._targets[rows])
