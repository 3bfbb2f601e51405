"""What a model's gradients at single examples must be: plain autograd, one example at a time, on a few of them.

Everything faster is compared with this at the first batch, parameter by parameter. The same few examples show whether
single examples have gradients at all: whether the loss of the batch is made of the losses of its examples.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from genbounds.models.guards import ModelError, check_deterministic
from genbounds.models.per_example.evaluation import Inputs, Loss, forward, number_of, rows_of, tensors_of
from genbounds.models.per_example.losses import SingleLosses, batch_loss
from genbounds.models.per_example.witness import Witness

__all__ = ["Truth", "check_losses_stand_alone", "check_slopes", "examined", "one_by_one", "tolerance_of"]


@dataclass(frozen=True)
class Truth:
    """Losses and gradients of a few examples, found one at a time.

    Parameters
    ----------
    losses : Tensor of float64, shape (n,)
        Losses, on the CPU.
    squared : dict of str to Tensor of float64, shape (n,)
        Squared norms of the gradients by parameter, on the CPU.
    total : dict of str to Tensor
        Sums of the gradients.
    tolerance : float
        Relative error that rounding may cause.
    """

    losses: Tensor
    squared: dict[str, Tensor]
    total: dict[str, Tensor]
    tolerance: float

    def error(self, name: str, squared: Tensor, total: Tensor) -> float:
        """Return by how much gradients of one parameter are off, relative to the largest of the true ones.

        Parameters
        ----------
        name : str
            The parameter.
        squared : Tensor, shape (n,)
            Squared norms found.
        total : Tensor
            Sum found.

        Returns
        -------
        float
            Not above `tolerance` if they agree; NaN where something is not a number. What is small against the whole
            gradient, as rounding is where a gradient vanishes by symmetry, is no error.
        """
        truth = self.squared[name]
        epsilon = torch.finfo(self.total[name].dtype).eps
        whole = float(torch.stack([*self.squared.values()]).sum(dim=0).max()) ** 0.5
        noise = min(2**7 * epsilon, self.tolerance) * whole / self.tolerance
        scale = max(float(truth.max()) ** 0.5, noise)
        if scale == 0:
            scale = 1.0
        norms = float((squared.cpu().double().sqrt() - truth.sqrt()).abs().max())
        sums = float((total.double() - self.total[name].double()).norm()) / len(truth)
        return max(norms, sums, key=lambda error: (error != error, error)) / scale


def one_by_one(
    model: nn.Module, loss: Loss, names: Sequence[str], inputs: Inputs, targets: Inputs, tolerance: float
) -> Truth:
    """Find the gradients of a few examples, one at a time.

    Parameters
    ----------
    model : torch.nn.Module
        The network; none of its parameters requires a gradient when it is called.
    loss : callable
        Of a batch.
    names : sequence of str
        Measured parameters.
    inputs, targets : Tensor or mapping of str to Tensor
        The examples.
    tolerance : float
        Relative error that rounding may cause.

    Returns
    -------
    Truth
        Losses, squared norms and sums.
    """
    losses: list[Tensor] = []
    squared: dict[str, list[Tensor]] = {name: [] for name in names}
    total: dict[str, Tensor] = {}
    for row in range(number_of(inputs)):
        rows = slice(row, row + 1)
        value, gradients = _differentiated(model, loss, names, rows_of(inputs, rows), rows_of(targets, rows))
        losses.append(value.detach())
        for name, gradient in gradients.items():
            squared[name].append(torch.linalg.vector_norm(gradient, dtype=torch.float64).square().cpu())
            total[name] = total[name] + gradient if row else gradient
    norms = {name: torch.stack(values) for name, values in squared.items()}
    return Truth(torch.stack(losses), norms, total, tolerance)


def examined(
    model: nn.Module, loss: Loss, names: Sequence[str], inputs: Inputs, targets: Inputs
) -> tuple[Truth, SingleLosses, Witness]:
    """Find the gradients of a few examples, and refuse models and losses for which single examples have none.

    Parameters
    ----------
    model : torch.nn.Module
        The network; none of its parameters requires a gradient when it is called.
    loss : callable
        Of a batch.
    names : sequence of str
        Measured parameters.
    inputs, targets : Tensor or mapping of str to Tensor
        The examples.

    Returns
    -------
    truth : Truth
        Losses, squared norms and sums, found one at a time.
    single_losses : SingleLosses
        The loss of each example from the outputs of a batch.
    witness : Witness
        What was seen of the forward pass.

    Raises
    ------
    ModelError
        If the model is random or changes, the loss uses parameters, or loss or gradient of the examples together are
        not made of theirs.
    """
    whole, gradients = _differentiated(model, loss, names, inputs, targets)
    if not whole.requires_grad:
        raise ModelError(
            "loss must depend on the parameters, got one that has no gradient. Leave torch.no_grad() and "
            "torch.inference_mode() out."
        )
    _check_fixed(model, loss, inputs, targets)
    witness, number = Witness(), number_of(inputs)
    with witness:
        outputs = forward(model, inputs)
    of_loss = Witness()
    with _NoParameters(model), of_loss:
        averages = not batch_loss(loss, outputs, targets).ndim
    single = forward(model, rows_of(inputs, slice(0, 1)))
    tolerance = tolerance_of(max(witness.precision, of_loss.precision), next(model.parameters()).device)
    truth = one_by_one(model, loss, names, inputs, targets, tolerance)
    factor = number if averages else 1
    check_losses_stand_alone(truth.losses, factor * whole.detach(), tolerance)
    for name, gradient in gradients.items():
        error = truth.error(name, truth.squared[name], factor * gradient)
        if not error <= tolerance:
            raise ModelError(
                f"loss must be the average over the examples of a batch, or one value per example, got a gradient of "
                f"{number} examples that differs by {error:.3g} from the sum of theirs (in {name}). {_REMEDY}"
            )
    return truth, SingleLosses(loss, outputs, single, averages), witness


_REMEDY = (
    "Use reduction='mean' without weights of classes, or return one loss per example; examples must not see each other "
    "in the model either, as in contrastive losses and batch statistics."
)


#: A loss that is this small has vanished by symmetry, and what is left is rounding.
_NOTHING = 1e-5


def check_losses_stand_alone(losses: Tensor, whole: Tensor, tolerance: float) -> None:
    """Refuse a loss of a batch that is not made of the losses of its examples.

    Parameters
    ----------
    losses : Tensor, shape (n,)
        Of the single examples.
    whole : Tensor, scalar
        Their sum, as the loss of the batch gives it.
    tolerance : float
        Relative error that rounding may cause.

    Raises
    ------
    ModelError
        If it is another number.
    """
    total, found = float(losses.sum()), float(whole)
    if not abs(total - found) <= tolerance * (float(losses.abs().sum()) + _NOTHING * len(losses)):
        raise ModelError(
            f"loss must be the average over the examples of a batch, or one value per example, got {found:.6g} for "
            f"{len(losses)} examples whose own losses add up to {total:.6g}. {_REMEDY}"
        )


def check_slopes(losses: SingleLosses, outputs: Any, targets: Inputs) -> None:
    """Refuse an average that has other slopes than that over the examples.

    Where all losses are alike, as at zero weights, a weighted average has the same value, and only this tells.

    Parameters
    ----------
    losses : SingleLosses
        The loss of each example.
    outputs : object
        Of the model.
    targets : Tensor or mapping of str to Tensor
        Of the same examples.

    Raises
    ------
    ModelError
        If the gradients at the outputs differ by more than half precision may round them.
    """
    leaves, form = tree_flatten(outputs)
    own = [isinstance(leaf, Tensor) and leaf.is_floating_point() for leaf in leaves]
    leaves = [leaf.detach().requires_grad_() if mine else leaf for leaf, mine in zip(leaves, own, strict=True)]
    outputs, inputs = tree_unflatten(leaves, form), [leaf for leaf, mine in zip(leaves, own, strict=True) if mine]
    values = batch_loss(losses.loss, outputs, targets) * number_of(targets), losses(outputs, targets).sum()
    if not (inputs and all(value.requires_grad for value in values)):
        return
    together, apart = (
        torch.autograd.grad(value, inputs, allow_unused=True, materialize_grads=True) for value in values
    )
    for one, other in zip(together, apart, strict=True):
        error = float((one - other).norm())
        if not error <= _SLOPES * max(float(one.norm()), float(other.norm())):
            raise ModelError(
                f"loss must be the average over the examples of a batch, or one value per example, got one whose "
                f"gradient at the outputs is off by {error:.3g}. {_REMEDY}"
            )


#: Relative rounding error of gradients at the outputs in half precision.
_SLOPES = 0.05


def tolerance_of(precision: float, device: torch.device) -> float:
    """Return the relative error that rounding may cause in a gradient's norm.

    Parameters
    ----------
    precision : float
        Machine epsilon of the narrowest floating dtype in the pass.
    device : torch.device
        Where it runs.

    Returns
    -------
    float
        1e-9 in float64, 1e-3 in float32, or 0.02 where products are rounded to TF32, 0.05 in half precision.
    """
    if precision <= torch.finfo(torch.float64).eps:
        return 1e-9
    if precision <= torch.finfo(torch.float32).eps:
        return 0.02 if device.type == "cuda" and _rounds_products() else 1e-3
    return 0.05


def _rounds_products() -> bool:
    """Say whether products of float32 are rounded to TF32."""
    return torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32


def _check_fixed(model: nn.Module, loss: Loss, inputs: Inputs, targets: Inputs) -> None:
    versions = [value._version for value in model.parameters()]
    first = next(iter(tensors_of(inputs).values()))
    number = len(first)

    def losses(model: nn.Module, _: Tensor) -> Tensor:
        return batch_loss(loss, forward(model, inputs), targets).repeat(number)[:number]

    check_deterministic(model, first, losses)
    if versions != [value._version for value in model.parameters()]:
        raise ModelError(
            "model must not change while it is evaluated, got parameters that a pass writes to. Call model.eval(), or "
            "constrain the weights after the optimiser's step instead."
        )


def _differentiated(
    model: nn.Module, loss: Loss, names: Sequence[str], inputs: Inputs, targets: Inputs
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the sum of the losses, which requires a gradient if it depends on the parameters, and its gradient."""
    every = dict(model.named_parameters())
    parameters = [every[name] for name in names]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        value = batch_loss(loss, forward(model, inputs), targets).sum()
        # An example may take a way on which there is no parameter.
        gradients = (
            torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
            if value.requires_grad
            else [torch.zeros_like(parameter, requires_grad=False) for parameter in parameters]
        )
    except RuntimeError as error:
        if not re.search("checkpoint.*(compatible|reentrant)", str(error), re.IGNORECASE):
            raise
        raise ModelError(
            "model must not use reentrant checkpointing, which gives gradients to nothing but .grad. Use "
            "torch.utils.checkpoint.checkpoint(..., use_reentrant=False)."
        ) from error
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)
    dense = (gradient.to_dense() for gradient in gradients)  # those of an embedding may be sparse
    return value.double().cpu(), dict(zip(names, dense, strict=True))


class _NoParameters(TorchFunctionMode):
    """Refuses calls that take a parameter: the loss is evaluated inside."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._names = {id(value): name for name, value in model.named_parameters()}

    def __torch_function__(
        self, func: Callable[..., Any], _: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a call without parameters."""
        for value in tree_leaves((args, kwargs)):
            if id(value) in self._names:
                raise ModelError(
                    f"loss must be a function of outputs and targets, got one that uses {self._names[id(value)]}. "
                    "Leave regularisers out, they belong to no example; put layers into the model."
                )
        return func(*args, **(kwargs or {}))
