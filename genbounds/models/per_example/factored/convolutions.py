"""Gradients of the weights of convolutions, in one to three dimensions, transposed or not."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from genbounds.models.per_example.factored.gradients import ExampleGradients, at_least_float32, entries_at_once, runs
from genbounds.models.per_example.factored.outer_products import OuterGradients, gram_is_cheaper

__all__ = ["ConvolutionGradients"]

_CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)


class ConvolutionGradients(ExampleGradients):
    """Gradients of a convolution's weight.

    Written out, those of several examples are the gradient of one convolution with groups of channels for each of them,
    for which there are fast kernels. Where there are few positions the double sum over patches is cheaper.

    Parameters
    ----------
    inputs : Tensor, shape (B * repeats, C_in, *space)
        What was convolved.
    outputs : Tensor, shape (B * repeats, C_out, *space)
        Gradient of the example's loss at what came out.
    shape : torch.Size
        The weight's shape: (C_out, C_in / groups, *kernel), or (C_in, C_out / groups, *kernel) if transposed.
    stride, padding, dilation : sequence of int
        One number for each axis of space; the padding is by zeros, on both sides.
    groups : int
        Groups of channels.
    transposed : bool
        Whether this is a transposed convolution.
    repeats : int
        Images of an example, next to each other along the first axis.
    """

    def __init__(
        self,
        inputs: Tensor,
        outputs: Tensor,
        shape: torch.Size,
        *,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        groups: int,
        transposed: bool = False,
        repeats: int = 1,
    ) -> None:
        # A transposed convolution is the adjoint of a convolution with the same weight, from its outputs to its inputs.
        sources, images = (outputs, inputs) if transposed else (inputs, outputs)
        dtype = torch.promote_types(inputs.dtype, outputs.dtype)
        self.stride, self.padding, self.dilation = list(stride), list(padding), list(dilation)
        self.groups, self.repeats = groups, repeats
        self.sources = at_least_float32(sources.detach().to(dtype))
        self.images = self._completed(at_least_float32(images.detach().to(dtype)), shape[2:])
        self._positions = repeats * prod(self.images.shape[2:])
        sizes = self._positions, prod(shape[1:]), shape[0] // groups
        self._gram_alone = gram_is_cheaper(*sizes, inputs.device, with_total=False)
        gram = gram_is_cheaper(*sizes, inputs.device, with_total=True)
        super().__init__(len(inputs) // repeats, shape, self.sources, "gram" if gram else "materialise")

    def _completed(self, images: Tensor, kernel: Sequence[int]) -> Tensor:
        """Append zeros at positions that a convolution of the sources has, and the transposed one left out."""
        axes = zip(self.sources.shape[2:], kernel, self.stride, self.padding, self.dilation, strict=True)
        sizes = [(size + 2 * pad - dilation * (taps - 1) - 1) // step + 1 for size, taps, step, pad, dilation in axes]
        missing = [size - own for size, own in zip(sizes, images.shape[2:], strict=True)]
        if not any(missing):
            return images
        return functional.pad(images, [number for size in reversed(missing) for number in (0, size)])

    def dense(self, rows: slice) -> Tensor:
        """Take the gradient of one convolution with channels of their own for every example."""
        sources, images = (self._side_by_side(values, rows) for values in (self.sources, self.images))
        number = rows.stop - rows.start
        gradients = self._gradient(sources, images, (number * self.shape[0], *self.shape[1:]), number * self.groups)
        return gradients.reshape(number, *self.shape)

    def squared_norms(self) -> Tensor:
        """Take the cheaper of the two ways."""
        return self._norms_by_gram() if self._gram_alone else super().squared_norms()

    def norms_and_total(self) -> tuple[Tensor, Tensor]:
        """Take the cheaper of the two ways, given that the sum is wanted as well."""
        if self.route == "materialise":
            return super().norms_and_total()
        return self._norms_by_gram(), self._gradient(self.sources, self.images, self.shape, self.groups)

    def dots(self, vector: Tensor) -> Tensor:
        """Convolve with the vector, and compare with the outputs."""
        convolve, weight = _CONVOLUTIONS[len(self.stride) - 1], vector.to(self.sources)
        dots = self._zeros(len(self))
        for rows in runs(len(self), entries_at_once(self.device) // (self.repeats * max(1, self.images[0:1].numel()))):
            images = self._of(self.images, rows)
            convolved = convolve(
                self._of(self.sources, rows), weight, None, self.stride, self.padding, self.dilation, self.groups
            )
            dots[rows] = (convolved.double() * images).reshape(rows.stop - rows.start, -1).sum(dim=1)
        return dots

    def weighted_total(self, weights: Tensor) -> Tensor:
        """Weigh the outputs, then take the gradient of the whole convolution; float64 is summed one by one."""
        if torch.promote_types(weights.dtype, self.dtype) != self.dtype:
            return super().weighted_total(weights)
        totals = []
        for row in weights.reshape(-1, len(self)):
            weight = row.to(self.dtype).repeat_interleave(self.repeats)
            weighed = self.images * weight.reshape(-1, *[1] * (self.images.dim() - 1))
            totals.append(self._gradient(self.sources, weighed, self.shape, self.groups))
        return torch.stack(totals).reshape(weights.shape[:-1] + self.shape)

    def _norms_by_gram(self) -> Tensor:
        entries = self.groups * self._positions * max(self._positions, prod(self.shape[1:]))
        parts = (self.unfolded(rows) for rows in runs(len(self), entries_at_once(self.device) // entries))
        return torch.cat([part.squared_norms() for part in parts])

    def _of(self, values: Tensor, rows: slice) -> Tensor:
        return values[rows.start * self.repeats : rows.stop * self.repeats]

    def _side_by_side(self, values: Tensor, rows: slice) -> Tensor:
        """Return the channels of all examples as those of one, shape (repeats, b C, *space)."""
        apart = self._of(values, rows).unflatten(0, (-1, self.repeats))
        return apart.transpose(0, 1).flatten(1, 2)

    def _gradient(self, sources: Tensor, images: Tensor, shape: Sequence[int], groups: int) -> Tensor:
        weight = sources.new_empty(1).expand(shape)  # only its shape matters
        none, wanted = [0] * len(self.stride), [False, True, False]
        geometry = (self.stride, self.padding, self.dilation, False, none, groups)
        return torch.ops.aten.convolution_backward.default(images, sources, weight, [0], *geometry, wanted)[1]

    def unfolded(self, rows: slice) -> OuterGradients:
        """Return gradients of some examples as those of a linear map of patches.

        Parameters
        ----------
        rows : slice
            Which examples: patches take as many times the memory of the inputs as the kernel has taps.

        Returns
        -------
        OuterGradients
            In `groups` groups; positions are those of all repeats.
        """
        sources, images = self._of(self.sources, rows), self._of(self.images, rows)
        padded = functional.pad(sources, [pad for pad in reversed(self.padding) for _ in range(2)])
        kernel, space = self.shape[2:], images.shape[2:]
        number, channels = rows.stop - rows.start, padded.shape[1] // self.groups
        (first, channel, *steps) = padded.stride()
        taps = [step * dilation for step, dilation in zip(steps, self.dilation, strict=True)]
        moves = [step * stride for step, stride in zip(steps, self.stride, strict=True)]
        windows = padded.as_strided(
            (number, self.repeats, self.groups, channels, *kernel, *space),
            (first * self.repeats, first, channel * channels, channel, *taps, *moves),
        )
        # (b, repeats, groups, d, positions) to (b, groups, repeats positions, d), without moving the positions.
        patches = windows.reshape(number, self.repeats, self.groups, prod(self.shape[1:]), -1)
        outputs = images.reshape(number, self.repeats, self.groups, self.shape[0] // self.groups, -1)
        inputs, outputs = (values.permute(0, 2, 1, 4, 3).flatten(2, 3) for values in (patches, outputs))
        return OuterGradients(inputs, outputs, self.shape)
