"""Compares the gradients of all examples of a batch with plain autograd at once, in one sum with random weights.

If single gradients are wrong, or right and given to the wrong examples, sum_i w_i g_i is wrong for almost all weights
w_i; it takes one plain pass, and nothing of the size of all gradients.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genbounds.models.per_example.evaluation import Inputs, forward
from genbounds.models.per_example.factored.gradients import ExampleGradients
from genbounds.models.per_example.losses import SingleLosses
from genbounds.models.per_example.witness import Witness

__all__ = ["WeightedSum", "compared", "random_weights"]

#: Rounding errors of a gradient, in units of the last place of the whole one.
_ROUNDING = 2**7


@dataclass(frozen=True)
class WeightedSum:
    """What is kept of a parameter's gradients for the comparison.

    Parameters
    ----------
    total : Tensor
        sum_i w_i g_i, in the parameter's shape.
    size : float
        The square root of sum_i w_i^2 ||g_i||^2, which does not cancel.
    """

    total: Tensor
    size: float

    @classmethod
    def of(cls, gradients: ExampleGradients, weights: Tensor) -> "WeightedSum":
        """Form it.

        Parameters
        ----------
        gradients : ExampleGradients
            Of one parameter.
        weights : Tensor, shape (B,)
            One weight an example, on the CPU.

        Returns
        -------
        WeightedSum
            Of these gradients.
        """
        weights = weights.to(gradients.device)
        size = float((gradients.squared_norms() * weights.double().square()).sum()) ** 0.5
        return cls(gradients.weighted_total(weights.to(gradients.dtype)), size)


def random_weights(number: int, seed: int) -> Tensor:
    """Draw weights: whole numbers, exact in every dtype, and no two alike in up to 254 examples.

    Parameters
    ----------
    number : int
        Examples.
    seed : int
        Another one for each batch.

    Returns
    -------
    Tensor, shape (number,)
        Between -127 and 127, none of them 0; float32, on the CPU.
    """
    order = torch.randperm(max(number, 254), generator=torch.Generator().manual_seed(seed))[:number] % 254 - 127
    return (order + (order >= 0)).float()


def compared(
    model: nn.Module,
    losses: SingleLosses,
    found: dict[str, WeightedSum],
    inputs: Inputs,
    targets: Inputs,
    weights: Tensor,
    witness: Witness,
) -> dict[str, float]:
    """Return by how much the gradients of a batch are off.

    Parameters
    ----------
    model : torch.nn.Module
        The network; none of its parameters requires a gradient when it is called.
    losses : SingleLosses
        The loss of each example.
    found : dict of str to WeightedSum
        What is to be compared, by parameter.
    inputs, targets : Tensor or mapping of str to Tensor
        The batch.
    weights : Tensor, shape (B,)
        Those of the sums.
    witness : Witness
        Sees the forward pass.

    Returns
    -------
    dict of str to float
        Error relative to the larger of both sides, where it is more than rounding of the whole gradient; else 0.
    """
    every = dict(model.named_parameters())
    parameters = [every[name] for name in found]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        with witness:
            outputs = forward(model, inputs)
        single = losses(outputs, targets)
        weighted = (weights.to(single) * single).sum()
        truth = (
            torch.autograd.grad(weighted, parameters, allow_unused=True, materialize_grads=True)
            if weighted.requires_grad
            else [torch.zeros_like(parameter) for parameter in parameters]
        )
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)
    pairs = {name: (one, value.to_dense()) for (name, one), value in zip(found.items(), truth, strict=True)}
    sizes = {name: max(one.size, _norm(other)) for name, (one, other) in pairs.items()}
    whole = sum(size**2 for size in sizes.values()) ** 0.5
    errors = {}
    for name, (one, other) in pairs.items():
        error = _norm(one.total - other)
        rounding = _ROUNDING * torch.finfo(other.dtype).eps * whole
        errors[name] = 0.0 if error <= rounding else error / sizes[name]
    return errors


def _norm(value: Tensor) -> float:
    return float(torch.linalg.vector_norm(value, dtype=torch.float64))
