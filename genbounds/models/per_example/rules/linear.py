"""Linear maps: contractions of a measured tensor with what comes from the examples."""

from math import prod
from string import ascii_letters
from typing import TypeAlias

import torch
from torch import Tensor

from genbounds.models.per_example.calls import Call, Outcome, Rule, Unsupported, Use, traced
from genbounds.models.per_example.factored.gradients import ExampleGradients
from genbounds.models.per_example.factored.outer_products import OuterGradients
from genbounds.models.per_example.factored.views import ViewGradients
from genbounds.models.per_example.layouts import Layout
from genbounds.models.per_example.rules.broadcasting import summed

__all__ = ["RULES"]

_Operands: TypeAlias = list[tuple[Tensor, str]]


def _contraction(call: Call, operands: _Operands, out: str, scale: float = 1.0) -> Outcome:
    """Run an einsum, a letter for each axis. Axes of the result that the measured operand lacks are positions."""
    operands = _without_broadcasts(call, operands)
    measured = [operand for operand in operands if call.measured(operand[0])]
    others = [(tensor.detach(), letters) for tensor, letters in operands if not call.measured(tensor)]
    if len(measured) != 1:
        return None
    weight, axes = measured[0]
    given = "".join(letters for _, letters in others)
    positions = "".join(letter for letter in out if letter not in axes)
    groups = "".join(letter for letter in axes if letter in out and letter in given)
    outer = "".join(letter for letter in axes if letter in out and letter not in given)
    inner = "".join(letter for letter in axes if letter not in out and letter in given)
    alone = "".join(letter for letter in axes if letter not in out and letter not in given)
    if not positions:
        return None
    if any(size > 1 for letter, size in zip(axes, weight.shape, strict=True) if letter in alone):
        raise Unsupported("a sum over an axis of the parameter alone")
    equation = f"{','.join(letters for _, letters in others)}->{positions + groups + inner}"
    order = [out.index(letter) for letter in positions + groups + outer]
    watched = traced(call.run())
    result = watched
    if order != sorted(order):
        watched = watched.permute(order)
        result = watched.permute([order.index(axis) for axis in range(len(out))])

    def rows(layout: Layout, values: Tensor, number: int) -> Tensor:
        split = layout.split(values, len(positions), number)
        after = 2 + len(groups)
        return split.reshape(*split.shape[:2], prod(split.shape[2:after]), prod(split.shape[after:])).transpose(1, 2)

    def form(layout: Layout, gradient: Tensor, number: int) -> ExampleGradients:
        values = torch.einsum(equation, *(tensor.to(gradient.dtype) for tensor, _ in others))
        inputs = rows(layout, values if scale == 1 else scale * values, number)
        outputs = rows(layout, gradient, number)
        long = "".join(letter for letter in axes if letter not in alone)
        if long == groups + outer + inner:
            return OuterGradients(inputs, outputs, weight.shape)
        if long == groups + inner + outer:
            return OuterGradients(outputs, inputs, weight.shape)
        ordered = [axes.index(letter) for letter in alone + groups + outer + inner]
        gradients = OuterGradients(inputs, outputs, torch.Size(weight.shape[axis] for axis in ordered))
        return ViewGradients(gradients, lambda whole: whole.permute(ordered), weight.shape)

    return result, [Use(weight, watched, len(positions), form, saved=tuple(tensor for tensor, _ in others))]


def _without_broadcasts(call: Call, operands: _Operands) -> _Operands:
    """Give an axis of size 1 that goes with a longer one, or with one of the examples', a letter of its own."""
    fresh = iter(sorted(set(ascii_letters) - set("".join(letters for _, letters in operands))))
    renamed = []
    for tensor, letters in operands:
        partners = [
            (letter, size)
            for other, others in operands
            if other is not tensor
            for letter, size in zip(others, other.shape, strict=True)
        ]
        spread = {
            letter
            for letter, size in zip(letters, tensor.shape, strict=True)
            if size == 1 and any(letter == name and (length > 1 or call.measured(tensor)) for name, length in partners)
        }
        renamed.append((tensor, "".join(next(fresh) if letter in spread else letter for letter in letters)))
    return renamed


def _affine(
    call: Call, operands: _Operands, out: str, bias: Tensor | None, scales: tuple[float, float] = (1, 1)
) -> Outcome:
    """Run a contraction with a bias along the last axis of its result; `scales` multiply the bias and the product."""
    if any(call.measured(tensor) for tensor, _ in operands):
        outcome = _contraction(call, operands, out, scales[1])
        if outcome is None:
            return None
        result, uses = outcome
    else:
        result, uses = traced(call.run()), []
    return result, [*uses, *_of_bias(call, bias, result, scales[0])]


def _of_bias(call: Call, bias: Tensor | None, result: Tensor, scale: float = 1) -> list[Use]:
    """Return the use of a bias, times `scale`, along the last axis of the result, if it is measured."""
    if bias is None or not call.measured(bias):
        return []
    leading = result.ndim - min(bias.ndim, 1)
    if not leading or bias.numel() != prod(result.shape[leading:]):
        raise Unsupported("a bias that does not go along the last axis")
    return [Use(bias, result, leading, summed(bias, leading, None if scale == 1 else lambda _: scale))]


def _linear(call: Call) -> Outcome:
    x, weight, bias = call.arguments("input", "weight", "bias")
    if weight.ndim == 2 and x.ndim > 1 and call.measured(weight) and not call.measured(x):
        return _layer(call, x.detach(), weight, bias)
    before = ascii_letters[: x.ndim - 1]
    return _affine(call, [(x, before + "Y"), (weight, "ZY"[-weight.ndim :])], before + "Z"[: weight.ndim - 1], bias)


def _layer(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None) -> Outcome:
    """Run a linear layer with a measured matrix: what nearly all calls are, and so without letters."""
    result, leading = traced(call.run()), x.ndim - 1

    def form(layout: Layout, gradient: Tensor, number: int) -> ExampleGradients:
        inputs, outputs = (layout.split(values, leading, number) for values in (x.to(gradient.dtype), gradient))
        return OuterGradients(inputs.unsqueeze(1), outputs.unsqueeze(1), weight.shape)

    return result, [Use(weight, result, leading, form, saved=(x,)), *_of_bias(call, bias, result)]


def _addmm(call: Call) -> Outcome:
    bias, one, other, beta, alpha = call.arguments("input", "mat1", "mat2", beta=1, alpha=1)
    return _affine(call, [(one, "ab"), (other, "bc")], "ac", bias, (beta, alpha))


def _bilinear(call: Call) -> Outcome:
    one, other, weight, bias = call.arguments("input1", "input2", "weight", "bias")
    before = ascii_letters[: one.ndim - 1]
    return _affine(call, [(one, before + "X"), (weight, "ZXY"), (other, before + "Y")], before + "Z", bias)


def _matmul(call: Call) -> Outcome:
    one, other = call.tensors()[:2]
    return _product(call, one, other)


def _rmatmul(call: Call) -> Outcome:
    other, one = call.tensors()
    return _product(call, one, other)


def _product(call: Call, one: Tensor, other: Tensor) -> Outcome:
    stacks = [max(tensor.ndim - 2, 0) for tensor in (one, other)]
    before = ascii_letters[: max(stacks)]
    left, right = "XY"[-min(one.ndim, 2) :], "YZ"[: min(other.ndim, 2)]
    operands = [(one, before[len(before) - stacks[0] :] + left), (other, before[len(before) - stacks[1] :] + right)]
    return _contraction(call, operands, before + left[:-1] + right[1:])


def _einsum(call: Call) -> Outcome:
    equation, operands = call.args[0], call.tensors()
    if not isinstance(equation, str):
        raise Unsupported("einsum without an equation")
    inputs, arrow, out = equation.replace(" ", "").partition("->")
    letters = inputs.split(",")
    if not arrow:
        once = (letter for letter in set(inputs) - {",", "."} if inputs.count(letter) == 1)
        out = ("..." if "..." in inputs else "") + "".join(sorted(once))
    spare = "".join(sorted(set(ascii_letters) - set(equation)))
    dots = [tensor.ndim - len(axes.replace("...", "")) for tensor, axes in zip(operands, letters, strict=True)]
    letters = [axes.replace("...", spare[max(dots) - n : max(dots)]) for axes, n in zip(letters, dots, strict=True)]
    if any(len(set(axes)) < len(axes) for axes in letters):
        raise Unsupported("einsum over a diagonal")
    return _contraction(call, list(zip(operands, letters, strict=True)), out.replace("...", spare[: max(dots)]))


RULES: dict[str, Rule] = {
    "linear": _linear,
    "addmm": _addmm,
    "bilinear": _bilinear,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot", "vdot", "linalg_matmul"), _matmul),
    "rmatmul": _rmatmul,
    "einsum": _einsum,
}
