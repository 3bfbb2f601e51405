"""Convolutions in one to three dimensions, and transposed ones."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor
from torch.nn import functional

from genbounds.models.per_example.calls import Call, Outcome, Rule, Use, traced
from genbounds.models.per_example.factored.convolutions import ConvolutionGradients
from genbounds.models.per_example.factored.gradients import ExampleGradients
from genbounds.models.per_example.layouts import Layout
from genbounds.models.per_example.rules.broadcasting import summed

__all__ = ["RULES"]


def _convolution(dimensions: int, call: Call) -> Outcome:
    x, weight, bias, stride, padding, dilation, groups = call.arguments(
        "input", "weight", "bias", stride=1, padding=0, dilation=1, groups=1
    )
    dilation = _per_axis(dilation, dimensions)
    if padding == "same":
        totals = [step * (size - 1) for step, size in zip(dilation, weight.shape[2:], strict=True)]
        odd = [end for total in reversed(totals) for end in (0, total % 2)]
        x, padding = (functional.pad(x, odd) if any(odd) else x), [total // 2 for total in totals]
    elif padding == "valid":
        padding = 0
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _uses(call, dimensions, x, weight, bias, how)


def _transposed(dimensions: int, call: Call) -> Outcome:
    x, weight, bias, stride, padding, _, groups, dilation = call.arguments(
        "input", "weight", "bias", stride=1, padding=0, output_padding=0, groups=1, dilation=1
    )
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "transposed": True}
    return _uses(call, dimensions, x, weight, bias, how)


def _uses(call: Call, dimensions: int, x: Tensor, weight: Tensor, bias: Tensor | None, how: dict[str, Any]) -> Outcome:
    if call.measured(x) or x.ndim < dimensions + 2:
        return None
    x = x.detach()
    how |= {name: _per_axis(how[name], dimensions) for name in ("stride", "padding", "dilation")}
    result = traced(call.run())

    def form(layout: Layout, gradient: Tensor, number: int) -> ExampleGradients:
        inputs, outputs = (layout.split(values, 1, number) for values in (x.to(gradient.dtype), gradient))
        repeats = inputs.shape[1]
        return ConvolutionGradients(inputs.flatten(0, 1), outputs.flatten(0, 1), weight.shape, repeats=repeats, **how)

    uses = [Use(weight, result, 1, form, saved=(x,))] if call.measured(weight) else []
    if bias is not None and call.measured(bias):
        uses.append(Use(bias, result, 1, summed(bias, 1, channels=True)))
    return result, uses


def _per_axis(value: int | Sequence[int], dimensions: int) -> tuple[int, ...]:
    """Return one number for each dimension, where one or a sequence of one may stand for all."""
    sizes = (value,) if isinstance(value, int) else tuple(value)
    return sizes * dimensions if len(sizes) == 1 else sizes


RULES: dict[str, Rule] = {
    f"{name}{dimensions}d": partial(rule, dimensions)
    for name, rule in (("conv", _convolution), ("conv_transpose", _transposed))
    for dimensions in (1, 2, 3)
}
