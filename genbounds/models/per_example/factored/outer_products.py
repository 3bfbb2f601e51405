r"""Gradients that are sums of outer products over positions: those of linear maps.

With inputs a_t and gradients b_t at the outputs, t = 1, ..., T, the gradient is g = sum_t b_t a_t^T and

    ||g||^2 = sum_{t,s} (a_t . a_s)(b_t . b_s),

||a||^2 ||b||^2 for one position [Goodfellow2015]. The double sum takes T^2 (d_in + d_out) multiply-adds, and g
itself T d_in d_out, after which its d_in d_out entries are passed over a few times; where the sum over examples is
wanted, the T d_in d_out are spent anyway and only the passes count.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from genbounds.models.per_example.factored.gradients import (
    ExampleGradients,
    at_least_float32,
    entries_at_once,
    runs,
    scaled,
    squared_norms,
)

__all__ = ["OuterGradients", "gram_is_cheaper"]

#: Multiply-adds of a matrix product that take as long as passing over one entry of a gradient that was written out.
_PASSES = {"cpu": 16}
_PASSES_ELSEWHERE = 128
#: The double sum is trusted while sum_t ||a_t||^2 ||b_t||^2, what it would be if no two positions had anything in
#: common, is at most this many times its value: its rounding error is about that many units in the last place.
_CANCELLATION = 64


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
        self.inputs = at_least_float32(inputs.detach().to(dtype))
        self.outputs = at_least_float32(outputs.detach().to(dtype))
        if self._positions == 1:
            route = "product"
        else:
            route = "gram" if gram_is_cheaper(*self._sizes, inputs.device, with_total=True) else "materialise"
        super().__init__(len(inputs), shape, self.inputs, route)

    @property
    def _positions(self) -> int:
        return self.inputs.shape[2]

    @property
    def _sizes(self) -> tuple[int, int, int]:
        return self._positions, self.inputs.shape[3], self.outputs.shape[3]

    def dense(self, rows: slice) -> Tensor:
        """Multiply the matrices of outputs and inputs."""
        return (self.outputs[rows].mT @ self.inputs[rows]).reshape(rows.stop - rows.start, *self.shape)

    def pieces(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Cut large gradients along the features of the output, too."""
        at_once = entries_at_once(self.device)
        if self.shape.numel() <= at_once:
            yield from super().pieces()
            return
        _, d_in, d_out = self._sizes
        for group in range(self.inputs.shape[1]):
            for features in runs(d_out, at_once // d_in):
                start = (group * d_out + features.start) * d_in
                coordinates = slice(start, start + (features.stop - features.start) * d_in)
                for row in range(len(self)):
                    piece = self.outputs[row, group, :, features].T @ self.inputs[row, group]
                    yield slice(row, row + 1), coordinates, piece.reshape(1, -1)

    def squared_norms(self) -> Tensor:
        """Take the cheaper of the formulas above."""
        if self.route == "product":
            sizes = [squared_norms(values.flatten(0, 1)) for values in (self.inputs, self.outputs)]
            return (sizes[0] * sizes[1]).reshape(self.inputs.shape[:2]).sum(dim=1)
        if not gram_is_cheaper(*self._sizes, self.device, with_total=False):
            return super().squared_norms()
        return self._norms_by_gram()

    def norms_and_total(self) -> tuple[Tensor, Tensor]:
        """Take the cheaper of the formulas above, given that the sum is wanted as well."""
        if self.route == "materialise":
            return super().norms_and_total()
        return self.squared_norms(), _summed(self.outputs, self.inputs).reshape(self.shape)

    def dots(self, vector: Tensor) -> Tensor:
        """Apply the vector as a linear map to the inputs, and compare with the outputs."""
        groups, (_, d_in, d_out) = self.inputs.shape[1], self._sizes
        images = self.inputs @ vector.to(self.inputs).reshape(groups, d_out, d_in).mT
        dots = self._zeros(len(self))
        for rows in runs(len(self), entries_at_once(self.device) // max(1, images[0:1].numel())):
            dots[rows] = (images[rows].double() * self.outputs[rows]).flatten(1).sum(dim=1)
        return dots

    def inner(self, other: ExampleGradients) -> Tensor:
        """Return (a . a')(b . b') for pairs with one position each."""
        if not (isinstance(other, OuterGradients) and self.route == other.route == "product" and self._fits(other)):
            return super().inner(other)
        grams = []
        for mine, theirs in ((self.inputs, other.inputs), (self.outputs, other.outputs)):
            (x, x_scale), (y, y_scale) = scaled(mine.squeeze(2)), scaled(theirs.squeeze(2))
            grams.append((x.transpose(0, 1) @ y.permute(1, 2, 0)).double() * x_scale[:, None] * y_scale)
        return (grams[0] * grams[1]).sum(dim=0)

    def weighted_total(self, weights: Tensor) -> Tensor:
        """Weigh the outputs, then multiply the matrices of all examples and positions at once."""
        weights = weights.to(torch.promote_types(weights.dtype, self.dtype))
        rows = weights.reshape(-1, len(self), 1, 1, 1)
        totals = [_summed(self.outputs * row, self.inputs.to(weights.dtype)) for row in rows]
        return torch.stack(totals).reshape(weights.shape[:-1] + self.shape)

    def squares_total(self) -> Tensor:
        """Return sum_i b_i^2 (a_i^2)^T where there is one position."""
        if self.route != "product":
            return super().squares_total()
        return _summed(self.outputs.double().square(), self.inputs.double().square()).reshape(self.shape)

    def factors_of(self, shape: torch.Size) -> tuple[Tensor, Tensor] | None:
        """Return inputs and outputs, if they make matrices of one group.

        Parameters
        ----------
        shape : torch.Size
            (d_out, d_in) of the matrix that is asked for.

        Returns
        -------
        tuple of Tensor, or None
            Shapes (B, T, d_in) and (B, T, d_out); None if the parameter is made otherwise.
        """
        if self.inputs.shape[1] != 1 or (self.outputs.shape[3], self.inputs.shape[3]) != tuple(shape):
            return None
        return self.inputs.squeeze(1), self.outputs.squeeze(1)

    def joined(self, other: "OuterGradients") -> "OuterGradients | None":
        """Return the gradients of two uses together: positions of one behind those of the other.

        Parameters
        ----------
        other : OuterGradients
            Another use at the same examples.

        Returns
        -------
        OuterGradients or None
            None if features or groups differ.
        """
        if not self._fits(other):
            return None
        inputs = torch.cat([self.inputs, other.inputs], dim=2)
        return OuterGradients(inputs, torch.cat([self.outputs, other.outputs], dim=2), self.shape)

    def _fits(self, other: "OuterGradients") -> bool:
        return (self.inputs.shape[1], *self._sizes[1:]) == (other.inputs.shape[1], *other._sizes[1:])

    def _norms_by_gram(self) -> Tensor:
        squared = self._zeros(len(self))
        for rows in runs(len(self), entries_at_once(self.device) // (self.inputs.shape[1] * self._positions**2)):
            (inputs, input_scale), (outputs, output_scale) = scaled(self.inputs[rows]), scaled(self.outputs[rows])
            grams = inputs @ inputs.mT, outputs @ outputs.mT
            product = grams[0] * grams[1]
            sums = product.flatten(1).sum(dim=1, dtype=torch.float64)
            alone = product.diagonal(dim1=2, dim2=3).flatten(1).sum(dim=1, dtype=torch.float64)
            squared[rows] = sums * (input_scale * output_scale).square()
            if bool((cancelled := alone > _CANCELLATION * sums).any()):
                few = OuterGradients(self.inputs[rows][cancelled], self.outputs[rows][cancelled], self.shape)
                squared[rows.start + cancelled.nonzero()[:, 0]] = ExampleGradients.squared_norms(few)
        return squared


def _summed(outputs: Tensor, inputs: Tensor) -> Tensor:
    """Return the sum over examples and positions of the outer products in each group, shape (G, d_out, d_in)."""
    if outputs.shape[1] == 1:
        return outputs.flatten(0, 2).T @ inputs.flatten(0, 2)
    return outputs.transpose(0, 1).flatten(1, 2).mT @ inputs.transpose(0, 1).flatten(1, 2)


def gram_is_cheaper(positions: int, d_in: int, d_out: int, device: torch.device, *, with_total: bool) -> bool:
    """Compare the double sum over positions with writing out a gradient.

    Parameters
    ----------
    positions, d_in, d_out : int
        T and the features of one group.
    device : torch.device
        Where it is to be done.
    with_total : bool
        Whether the sum over examples is wanted as well.

    Returns
    -------
    bool
        Whether T^2 (d_in + d_out) < k d_in d_out, k the price of a pass over an entry, plus T without the total.
    """
    passes = _PASSES.get(device.type, _PASSES_ELSEWHERE)
    return positions**2 * (d_in + d_out) < (passes + (0 if with_total else positions)) * d_in * d_out
