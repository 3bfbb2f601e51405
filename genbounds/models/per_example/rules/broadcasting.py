"""Parameters that are spread over examples: by arithmetic, by `expand` and `repeat`, by writing into a slice.

No derivative of the function is needed. The measured tensor is spread to the shape of the result before the call; the
gradient that arrives there, summed over what an example spread it to, is the example's gradient.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genbounds.models.per_example.calls import Call, Form, Outcome, Rule, Unsupported, Use, name_of, traced
from genbounds.models.per_example.factored.gradients import DenseGradients, ExampleGradients
from genbounds.models.per_example.layouts import Layout

__all__ = ["RULES", "SPREADING", "summed"]


def summed(
    parameter: Tensor, leading: int, factor: Callable[[Tensor], Any] | None = None, *, channels: bool = False
) -> Form:
    """Return how to read an example's gradient off one that is to be summed over positions.

    Parameters
    ----------
    parameter : Tensor
        The measured tensor.
    leading : int
        How many of the first axes are positions; the others have the parameter's shape, up to axes of size 1.
    factor : callable, optional
        What the parameter is multiplied by, given the gradient whose dtype is wanted; 1 by default.
    channels : bool
        Whether only the first of the others is the parameter's, and the rest are positions too.

    Returns
    -------
    callable
        A `Form`.
    """

    def form(layout: Layout, gradient: Tensor, number: int) -> ExampleGradients:
        split = layout.split(gradient if factor is None else gradient * factor(gradient), leading, number)
        over = [1, *range(3, split.ndim)] if channels else [1]
        values = split.sum(dim=over, dtype=torch.promote_types(split.dtype, torch.float32))
        return DenseGradients(values.reshape(number, *parameter.shape))

    return form


class _Spread(NamedTuple):
    """A parameter in a broadcast shape, its use, and the axes of that shape: first those that it is spread over."""

    values: Tensor
    use: Use
    axes: list[int]


def _spread(parameter: Tensor, values: Tensor, shape: Sequence[int]) -> _Spread | None:
    """Spread the values of a parameter to a shape; None if there is nothing to spread over."""
    missing = len(shape) - values.ndim
    over = [axis for axis in range(len(shape)) if axis < missing or values.shape[axis - missing] == 1]
    if not over:
        return None
    own = [axis for axis in range(len(shape)) if axis not in over]
    axes = over + own
    bare = values.detach().reshape([shape[axis] for axis in own])
    watched = traced(bare.expand([shape[axis] for axis in axes]))
    spread = watched.permute([axes.index(axis) for axis in range(len(shape))])
    return _Spread(spread, Use(parameter, watched, len(over), summed(parameter, len(over))), axes)


def _alone(parameter: Tensor, values: Tensor, shape: Sequence[int], result: Sequence[int]) -> Outcome:
    """Spread a parameter where nothing else is done to it, and say how to come back from the result's shape."""
    outcome = _spread(parameter, values, shape)
    if outcome is None:
        return None
    spread, use, axes = outcome
    over = [1 + axis for axis in axes[: use.leading]]

    def pull(made: ExampleGradients) -> ExampleGradients:
        gradients = made.dense(slice(0, len(made))).reshape(-1, *shape)
        return DenseGradients(gradients.sum(dim=over).reshape(-1, *parameter.shape))

    return spread.reshape(tuple(result)), [replace(use, pull=pull)]


def _elementwise(call: Call) -> Outcome:
    tensors = call.tensors()
    if all(call.measured(tensor) for tensor in tensors):
        return None
    return _run_spread(call, torch.broadcast_shapes(*(tensor.shape for tensor in tensors)))


def _attention(call: Call) -> Outcome:
    """Spread a bias that is added to the scores of all examples."""
    query, key, value, mask = call.arguments("query", "key", "value", "attn_mask")
    if any(call.measured(tensor) for tensor in (query, key, value)) or not call.measured(mask):
        raise Unsupported("queries, keys or values that are parameters")
    before = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2])
    return _run_spread(call, (*before, query.shape[-2], key.shape[-2]))


def _setitem(call: Call) -> Outcome:
    tensor, index, value = call.args
    if not call.measured(value):
        raise Unsupported(f"{name_of(call.func)} into what is made of a parameter")
    return _run_spread(call, tensor[index].shape)


def _run_spread(call: Call, shape: Sequence[int]) -> Outcome:
    """Run a call with the measured tensors spread to one shape; None if one of them has this shape already."""
    spread = {}
    for tensor in call.tensors():
        if call.measured(tensor):
            found = _spread(tensor, tensor, shape)
            if found is None:
                return None
            spread[id(tensor)] = found
    # A tensor without axes does not widen the result's dtype; spread out it would.
    dtypes = [tensor.dtype for tensor in call.tensors() if tensor.ndim]
    narrow = reduce(torch.promote_types, dtypes, torch.bool)

    def in_place_of(tensor: Tensor) -> Tensor:
        values = spread[id(tensor)].values
        return values if tensor.ndim or not narrow.is_floating_point else values.to(narrow)

    result = call.run(in_place_of)
    if not isinstance(result, Tensor) or result.shape != torch.Size(shape):
        return result, [use for _, use, _ in spread.values()]
    return result, [replace(use, shown=result.permute(axes)) for _, use, axes in spread.values()]


def _expand(call: Call) -> Outcome:
    parameter, *sizes = call.args
    sizes = sizes or list(call.kwargs.values())
    wanted = sizes[0].shape if isinstance(sizes[0], Tensor) else _sizes(sizes)
    if not call.measured(parameter):
        return None
    missing = len(wanted) - parameter.ndim
    shape = [parameter.shape[axis - missing] if size == -1 else size for axis, size in enumerate(wanted)]
    return _alone(parameter, parameter, shape, shape)


def _repeat(call: Call) -> Outcome:
    """Repeat along each axis as one more axis before it, to spread over, and merge the two."""
    parameter, *times = call.args
    repeats = list(_sizes(times or list(call.kwargs.values())))
    axes = max(parameter.ndim, len(repeats))  # `tile` may name fewer axes than there are
    repeats = [1] * (axes - len(repeats)) + repeats
    shape = [1] * (axes - parameter.ndim) + list(parameter.shape)
    values = parameter.reshape([size for length in shape for size in (1, length)])
    apart = [size for pair in zip(repeats, shape, strict=True) for size in pair]
    return _alone(parameter, values, apart, [times * length for times, length in zip(repeats, shape, strict=True)])


def _repeat_interleave(call: Call) -> Outcome:
    """Repeat entries along an axis as one more axis behind it, to spread over, and merge the two."""
    parameter, times, axis = call.arguments("input", "repeats", "dim")
    if not isinstance(times, int) or axis is None:
        return None
    axis %= parameter.ndim
    shape = [*parameter.shape[: axis + 1], times, *parameter.shape[axis + 1 :]]
    merged = [size * (times if place == axis else 1) for place, size in enumerate(parameter.shape)]
    return _alone(parameter, parameter.unsqueeze(axis + 1), shape, merged)


def _sizes(sizes: Sequence[Any]) -> Sequence[int]:
    """Return sizes that were given one by one, or as one sequence."""
    return sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes


def _prelu(call: Call) -> Outcome:
    x, weight = call.arguments("input", "weight")
    if call.measured(x):
        return None
    below = x.detach().clamp(max=0)
    result = traced(call.run())
    several = weight.numel() > 1
    leading = 1 if several else result.ndim
    return result, [Use(weight, result, leading, summed(weight, leading, lambda _: below, channels=several))]


_ELEMENTWISE = (
    *("add", "sub", "rsub", "subtract", "mul", "multiply", "div", "divide", "true_divide", "rdiv", "rtruediv"),
    *("pow", "rpow", "float_power", "where", "addcmul", "addcdiv", "lerp", "copy", "clamp", "clip"),
    *("maximum", "minimum", "max", "min", "fmax", "fmin", "clamp_min", "clamp_max", "atan2", "arctan2", "hypot"),
    *("logaddexp", "logaddexp2", "xlogy", "special_xlogy", "remainder", "fmod", "copysign"),
)

#: Functions by which a parameter alone may meet the examples.
SPREADING = ("expand", "expand_as", "broadcast_to", "repeat", "tile", "repeat_interleave")

RULES: dict[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(SPREADING[:3], _expand),
    **dict.fromkeys(SPREADING[3:5], _repeat),
    SPREADING[5]: _repeat_interleave,
    "scaled_dot_product_attention": _attention,
    "setitem": _setitem,
    "prelu": _prelu,
}
