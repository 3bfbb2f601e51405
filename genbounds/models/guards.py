"""Guards: what a model and its data must be for a count of errors to mean what a theorem takes it to mean.

Each check measures instead of trusting, and either passes silently or raises with the reason and the remedy.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from genbounds.models.buffers import same_bits, stateful_buffers
from genbounds.models.examples import Data, DataError

__all__ = [
    "ModelError",
    "StochasticData",
    "check_deterministic",
    "check_evaluation_mode",
    "check_examples_do_not_mix",
    "check_finite_outputs",
    "check_logits",
    "check_repeatable_data",
    "infer_device_and_dtype",
    "stateful_buffers",
]

#: How a model is called, where ``model(inputs)`` is not it.
Forward = Callable[[nn.Module, Tensor], Tensor]


class ModelError(ValueError):
    """A model is not a fixed function of one example; the message says why and what to do."""


class StochasticData(DataError):
    """A dataset returns different examples under one index, as random augmentation does."""


def check_evaluation_mode(model: nn.Module) -> None:
    """Refuse a model with a module in training mode.

    Parameters
    ----------
    model : torch.nn.Module
        Model about to be evaluated.

    Raises
    ------
    ModelError
        Naming the modules, those known to act differently in training (dropout, batch normalisation) first.
    """
    # Plain containers and traced graphs do not look at the flag.
    training = {
        name or type(module).__name__: module
        for name, module in model.named_modules()
        if module.training and type(module) is not nn.Module and not isinstance(module, GraphModule)
    }
    if training:
        acting = [n for n, m in training.items() if isinstance(m, _NormBase | _DropoutNd)]
        listed = sorted(training, key=lambda name: name not in acting)
        shown = ", ".join(f"{name} ({type(training[name]).__name__})" for name in listed[:5])
        more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
        raise ModelError(
            f"model must be in evaluation mode, got {len(training)} modules in training mode: {shown}{more}. "
            "Call model.eval() first."
        )


def check_deterministic(model: nn.Module, inputs: Tensor, forward: Forward | None = None) -> None:
    """Refuse a model that answers differently when asked twice, or that changes by being asked.

    Parameters
    ----------
    model : torch.nn.Module
        Model in evaluation mode.
    inputs : Tensor, shape (n, ...)
        A batch on the model's device.
    forward : callable, optional
        ``forward(model, inputs)``; by default ``model(inputs)``.

    Raises
    ------
    ModelError
        If two passes differ in any bit, or a pass changes a buffer.
    """
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    first, second = _call(model, inputs, forward), _call(model, inputs, forward)
    for name, buffer in model.named_buffers():
        if name not in before or not same_bits(before[name], buffer):
            raise ModelError(
                f"model must not change while it is evaluated, got a new value of the buffer {name!r} after a pass. "
                "Call model.eval(), or stop the module from updating its state."
            )
    if not same_bits(first, second):
        same = first.shape == second.shape
        differing = int((first != second).reshape(len(first), -1).any(1).sum()) if same else len(first)
        raise ModelError(
            f"model must give the same outputs twice, got a difference in {differing} of {len(inputs)} examples. "
            "Turn off sampling inside it, or, on a GPU, call torch.use_deterministic_algorithms(True)."
        )


def check_examples_do_not_mix(model: nn.Module, inputs: Tensor, forward: Forward | None = None) -> None:
    """Refuse a model whose output for one example depends on the others in its batch.

    The batch is run whole, reversed, and in two halves; outputs may differ by rounding only: by the square root
    of the machine epsilon, relative to the largest output. Batch statistics differ by far more.

    Parameters
    ----------
    model : torch.nn.Module
        Model in evaluation mode.
    inputs : Tensor, shape (n, ...)
        At least two different examples, on the model's device.
    forward : callable, optional
        ``forward(model, inputs)``; by default ``model(inputs)``.

    Raises
    ------
    ModelError
        If the outputs differ beyond rounding, or the batch cannot show it.
    """
    if len(inputs) < 2 or all(torch.equal(inputs[0], other) for other in inputs[1:]):
        raise ModelError(
            f"inputs must hold at least two different examples, got {len(inputs)}. Take a larger batch for this check."
        )
    half = len(inputs) // 2
    whole = _call(model, inputs, forward)
    try:
        ways = {
            "in reverse order": _call(model, inputs.flip(0), forward).flip(0),
            "in two halves": torch.cat([_call(model, part, forward) for part in (inputs[:half], inputs[half:])]),
        }
    except (RuntimeError, ValueError) as error:  # batch normalisation in training mode refuses a batch of one
        raise ModelError(
            f"model must take batches of any size, got an error on {half} of {len(inputs)} examples: {error}. "
            "Call model.eval(); export or reshape with a free batch dimension."
        ) from error
    scale = float(whole.abs().max())
    for way, outputs in ways.items():
        gap = float((outputs - whole).abs().max()) if outputs.shape == whole.shape else float("inf")
        if not gap <= scale * _rounding(whole):
            raise ModelError(
                f"model must treat each example by itself, got outputs that change by {gap:.3g} (largest output "
                f"{scale:.3g}) when the batch is run {way}. Call model.eval(), and replace statistics over the batch."
            )


def check_logits(outputs: Tensor, targets: Tensor) -> None:
    """Refuse outputs that are no logits, one row per example and one column per class.

    Parameters
    ----------
    outputs : Tensor
        What the model returned.
    targets : Tensor, shape (n,)
        Class indices of the same examples.

    Raises
    ------
    ModelError
        If the outputs are no floating tensor of shape (n, classes) with a column for every target.
    """
    wanted = f"model must return logits of shape ({len(targets)}, classes)"
    if outputs.ndim != 2 or len(outputs) != len(targets) or outputs.shape[1] < 2 or not outputs.is_floating_point():
        raise ModelError(
            f"{wanted}, got shape {tuple(outputs.shape)} of {outputs.dtype}. "
            "Flatten it, and give a binary classifier two columns."
        )
    largest = int(targets.max()) if len(targets) else 0
    if largest >= outputs.shape[1]:
        raise ModelError(
            f"model must have a column for every class, got {outputs.shape[1]} columns and the target {largest}. "
            "Check that model and data belong together and that classes count from 0."
        )


def check_finite_outputs(outputs: Tensor, index: ArrayLike | Tensor | None = None) -> None:
    """Refuse NaN and infinite outputs, whose largest class means nothing.

    Parameters
    ----------
    outputs : Tensor, shape (n, ...)
        Outputs of a batch.
    index : array_like of int, optional
        Indices of its examples, for the error.

    Raises
    ------
    ModelError
        Naming the first example.
    """
    bad = ~torch.isfinite(outputs).reshape(len(outputs), -1).all(1)
    if bad.any():
        row = int(bad.nonzero()[0])
        where = row if index is None else int(np.asarray(index)[row])
        raise ModelError(
            f"model outputs must be finite, got NaN or infinity for {int(bad.sum())} of {len(outputs)} examples, the "
            f"first being example {where}. Use a wider dtype (float32, float64), or check the scale of the inputs."
        )


def check_repeatable_data(data: Data, indices: ArrayLike, *, examples: int = 32, reads: int = 3) -> None:
    """Refuse data that answers differently when the same index is read again.

    The bound and test roles need each example fixed: a random augmentation evaluates on examples that were not
    drawn from the distribution, and counts them as n. Read is a sample spread over the indices; an augmentation
    that leaves nine examples in ten alone still escapes with probability below 10^-4.

    Parameters
    ----------
    data : Data
        The examples.
    indices : array_like of int
        Those of the role in question.
    examples : int
        How many to read.
    reads : int
        How often to read each.

    Raises
    ------
    StochasticData
        Naming the first example that changed.
    """
    if data.inputs is not None:
        return
    every = np.asarray(indices)
    probe = every[np.unique(np.linspace(0, len(every) - 1, min(examples, len(every))).astype(int))]
    first = data.example_hashes(probe)
    for _ in range(reads - 1):
        changed = data.example_hashes(probe) != first
        if changed.any():
            raise StochasticData(
                f"{data.name} must return the same example under the same index, got a different one for "
                f"{changed.sum()} of {len(probe)}, the first being example {probe[changed][0]}. Random augmentation "
                "may shape a prior, never carry a bound or a test: pass the data without it here."
            )


def infer_device_and_dtype(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Find where a model lives and which floating dtype its inputs should have.

    Parameters
    ----------
    model : torch.nn.Module
        Any module.

    Returns
    -------
    device : torch.device
        Of all parameters and buffers; the CPU if there are none.
    dtype : torch.dtype
        Of the first floating parameter or buffer in order of definition; torch's default if there is none.

    Raises
    ------
    ModelError
        If the model is spread over several devices, or has no data (meta device).
    """
    held: dict[torch.device, str] = {}
    dtype = None
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        held.setdefault(tensor.device, name)
        if dtype is None and tensor.is_floating_point():
            dtype = tensor.dtype
    if len(held) > 1:
        shown = ", ".join(f"{name} on {device}" for device, name in held.items())
        raise ModelError(f"model must be on one device, got {shown}. Move it: model.to(device).")
    device = next(iter(held), torch.device("cpu"))
    if device.type == "meta":
        raise ModelError("model must have weights, got a module on the meta device. Build it with real tensors first.")
    return device, dtype or torch.get_default_dtype()


def _call(model: nn.Module, inputs: Tensor, forward: Forward | None) -> Tensor:
    with torch.no_grad():
        outputs = model(inputs) if forward is None else forward(model, inputs)
    if not isinstance(outputs, Tensor) or outputs.ndim == 0 or len(outputs) != len(inputs):
        got = f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        logits = "its logits" if hasattr(outputs, "logits") else "the tensor of logits alone"
        raise ModelError(
            f"model must return one row of logits per example, got {got} for {len(inputs)} examples. "
            f"Wrap it to return {logits}."
        )
    return outputs


def _rounding(outputs: Tensor) -> float:
    epsilon = torch.finfo(outputs.dtype).eps
    if outputs.is_cuda and outputs.dtype == torch.float32:
        epsilon = 2.0**-10  # convolutions and products may run in TF32
    return epsilon**0.5
