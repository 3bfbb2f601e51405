"""Scale and shift of normalisation, over features or over channels: the same function without them is run once more."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional

from genbounds.models.guards import ModelError
from genbounds.models.per_example.calls import Call, Outcome, Rule, Unsupported, Use, traced
from genbounds.models.per_example.rules.broadcasting import summed

__all__ = ["RULES"]


def _layer_norm(call: Call) -> Outcome:
    x, shape, weight, bias, eps = call.arguments("input", "normalized_shape", weight=None, bias=None, eps=1e-5)
    return _uses(call, x, weight, bias, lambda x: functional.layer_norm(x, shape, eps=eps), own=len(shape))


def _rms_norm(call: Call) -> Outcome:
    x, shape, weight, eps = call.arguments("input", "normalized_shape", "weight", "eps")
    return _uses(call, x, weight, None, lambda x: functional.rms_norm(x, shape, eps=eps), own=len(shape))


def _group_norm(call: Call) -> Outcome:
    x, groups, weight, bias, eps = call.arguments("input", "num_groups", weight=None, bias=None, eps=1e-5)
    return _uses(call, x, weight, bias, lambda x: functional.group_norm(x, groups, eps=eps))


def _batch_norm(call: Call) -> Outcome:
    x, mean, variance, weight, bias, training, _, eps = call.arguments(
        "input", "running_mean", "running_var", weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
    )
    if call.func is not functional.batch_norm:
        raise Unsupported("batch_norm other than torch.nn.functional's")
    if training:
        raise ModelError(
            "model must treat each example by itself, got batch_norm with the statistics of the batch. Put it in "
            "evaluation mode, or use normalisation within one example (GroupNorm, LayerNorm)."
        )
    return _uses(call, x, weight, bias, lambda x: functional.batch_norm(x, mean, variance, eps=eps))


def _instance_norm(call: Call) -> Outcome:
    x, mean, variance, weight, bias, of_input, _, eps = call.arguments(
        *("input", "running_mean", "running_var", "weight", "bias"), use_input_stats=True, momentum=0.1, eps=1e-5
    )
    if call.func is not functional.instance_norm:
        raise Unsupported("instance_norm other than torch.nn.functional's")
    if of_input:
        mean = variance = None  # running statistics are not to be updated once more
    return _uses(
        call, x, weight, bias, lambda x: functional.instance_norm(x, mean, variance, None, None, of_input, eps=eps)
    )


def _uses(
    call: Call, x: Tensor, weight: Any, bias: Any, normalise: Callable[[Tensor], Tensor], own: int | None = None
) -> Outcome:
    """Run the call; scale and shift go along the last `own` axes, or along the channels, which are axis 1."""
    if call.measured(x) or x.ndim == own:
        return None
    x, result = x.detach(), traced(call.run())
    leading = 1 if own is None else x.ndim - own
    uses = []

    def normalised(gradient: Tensor) -> Tensor:
        return normalise(x.to(gradient.dtype))

    for parameter, factor in ((weight, normalised), (bias, None)):
        if call.measured(parameter):
            form = summed(parameter, leading, factor, channels=own is None)
            uses.append(Use(parameter, result, leading, form, saved=(x,) if factor else ()))
    return result, uses


RULES: dict[str, Rule] = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
}
