"""Gradients that are sums of outer products over positions: those of linear maps."""

import torch
from torch import Tensor

from genbounds.models.per_example.gradients import ExampleGradients, at_least_float32, squared_norms

__all__ = ["OuterGradients"]


class OuterGradients(ExampleGradients):
    """Gradients of a linear map that is applied at T positions of each example, in G groups of features.

    Parameters
    ----------
    inputs : Tensor, shape (B, G, T, d_in)
        What the map was applied to.
    outputs : Tensor, shape (B, G, T, d_out)
        Gradient of the example's loss at what came out.
    shape : torch.Size
        The parameter's shape, G d_out d_in entries in this order.
    """

    def __init__(self, inputs: Tensor, outputs: Tensor, shape: torch.Size) -> None:
        dtype = torch.promote_types(inputs.dtype, outputs.dtype)
        self.inputs, self.outputs = at_least_float32(inputs.to(dtype)), at_least_float32(outputs.to(dtype))
        self.shape, self.device = torch.Size(shape), inputs.device
        self.route = "product" if self.inputs.shape[2] == 1 else "materialise"

    def __len__(self) -> int:
        return len(self.inputs)

    def dense(self, rows: slice) -> Tensor:
        """Sum the outer products over positions."""
        return (self.outputs[rows].mT @ self.inputs[rows]).reshape(-1, *self.shape)

    def squared_norms(self) -> Tensor:
        """Return ||a||^2 ||b||^2 where there is one position, else write the gradients out."""
        if self.route != "product":
            return super().squared_norms()
        sizes = [squared_norms(values.flatten(0, 1)) for values in (self.inputs, self.outputs)]
        return (sizes[0] * sizes[1]).reshape(self.inputs.shape[:2]).sum(dim=1)
