"""Descent along strong gradient directions: medians of three gradients of a batch (M3) or of the last steps (RM3).

A direction in which most examples agree survives the coordinatewise median of three averages; one that serves few
examples, as memorising a wrong label does, is mostly lost (Zielinski, Krishnan and Chatterjee 2020). What averages over
winsorised gradients of single examples is in `winsorised`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from genbounds.models.guards import ModelError
from genbounds.models.per_example.evaluation import Inputs, Loss, forward, number_of, rows_of

__all__ = ["RollingMedian", "median_gradients", "median_of_three"]

_KEY = "rolling_median"


def median_of_three(first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """Return the coordinatewise median of three tensors.

    Parameters
    ----------
    first, second, third : Tensor
        Of one shape.

    Returns
    -------
    Tensor
        In each coordinate one of the three values, exactly; NaN where one of them is.

    Notes
    -----
    It is max(min(a, b), min(max(a, b), c)); a + b + c - min - max rounds, and is NaN where one value is infinite.

    For three independent N(mu, s^2) the variance is (1 - sqrt(3)/pi) s^2 = 0.4487 s^2, where the mean has s^2/3.
    With s = 1 and mu = 0 the three order statistics have squares that add up to 3 on average, those of the smallest and
    largest are alike, and E max^2 = int 3 x^2 phi Phi^2 = 1 + 3 int phi^3 = 1 + sqrt(3)/(2 pi), by parts twice; what
    is left for the median is 3 - 2 (1 + sqrt(3)/(2 pi)).

    Examples
    --------
    >>> median_of_three(torch.tensor([0.0, 3.0]), torch.tensor([1.0, -1e9]), torch.tensor([torch.inf, 2.0]))
    tensor([1., 2.])
    """
    return torch.maximum(torch.minimum(first, second), torch.minimum(torch.maximum(first, second), third))


def median_gradients(
    model: nn.Module,
    loss: Loss,
    inputs: Inputs,
    targets: Inputs,
) -> Tensor:
    """Add to ``.grad`` the median of the gradients on three parts of a batch (M3), in place of its average gradient.

    It takes the place of ``loss(model(inputs), targets).backward()``, with any optimizer, at the same cost and with
    three more copies of the gradient in memory. The parts are the first, middle and last third of the batch, which
    should be in random order: sorted by class, each part would push for directions of its own, and all be suppressed.
    Under ``DistributedDataParallel`` each part's gradient is the average over the processes before the median is taken.

    Parameters
    ----------
    model : torch.nn.Module
        Its parameters that require gradients are meant, and no others that the loss may have.
    loss : callable
        ``loss(outputs, targets)``, a scalar averaged over the examples, such as `torch.nn.functional.cross_entropy`.
        A penalty on the weights is alike on all parts, and so passes unchanged. Scaled by ``GradScaler.scale`` the
        median is scaled too.
    inputs : Tensor or mapping of str to Tensor
        The batch, at least 3 examples; a mapping is passed to the model by keyword.
    targets : Tensor or mapping of str to Tensor
        Their targets.

    Returns
    -------
    Tensor
        The loss averaged over the batch, in float64, detached.

    Raises
    ------
    ValueError
        If there are fewer than 3 examples.
    ModelError
        If a gradient is sparse.

    Examples
    --------
    One of six examples is corrupted, and moves the median no further than the other two parts allow:

    >>> model = nn.Linear(1, 1, bias=False)
    >>> model.weight.data.fill_(1.0)
    tensor([[1.]])
    >>> x, y = torch.ones(6, 1), torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, -1e6]).unsqueeze(1)
    >>> _ = median_gradients(model, nn.functional.mse_loss, x, y)
    >>> model.weight.grad
    tensor([[2.]])
    """
    number = number_of(inputs)
    if number < 3:
        raise ValueError(f"inputs must hold at least 3 examples, got {number}. Drop a last batch that is short.")
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    before = {name: value.grad for name, value in parameters.items()}
    total, parts = torch.zeros((), dtype=torch.float64), []
    try:
        for part in (slice(number * j // 3, number * (j + 1) // 3) for j in range(3)):
            for value in parameters.values():
                value.grad = None
            own = rows_of(inputs, part)
            average = loss(forward(model, own), rows_of(targets, part))
            average.backward()
            total = total.to(average.device) + average.detach().double() * number_of(own)
            parts.append({name: _dense(name, value.grad) for name, value in parameters.items()})
    finally:
        for name, value in parameters.items():
            value.grad = before[name]
    for name, value in parameters.items():
        three = [part[name] for part in parts]
        known = next((each for each in three if each is not None), None)
        if known is None:
            continue
        median = median_of_three(*(torch.zeros_like(known) if each is None else each for each in three))
        value.grad = median if value.grad is None else value.grad.add_(median)
    return total / number


def _dense(name: str, gradient: Tensor | None) -> Tensor | None:
    """Return a copy: the buffers of distributed training are written again by the next backward pass."""
    if gradient is not None and gradient.layout is not torch.strided:
        raise ModelError(
            f"model must have dense gradients, got a sparse one of {name!r}. Build the embedding with sparse=False."
        )
    return None if gradient is None else gradient.clone()


class RollingMedian:
    """Let an optimizer step along the coordinatewise median of the last three gradients (RM3).

    It hooks into the optimizer's own ``step``: each ``.grad`` is replaced by the median of itself and the gradients of
    the two steps before, and then the optimizer does as it always does, whichever it is. The optimizer stays the user's
    object, so that schedulers of the learning rate, groups of parameters, clipping before the step, and
    trainers take it as before; its ``state_dict`` also carries the last two gradients, under ``"rolling_median"``, and
    a run resumed from it goes on with the identical weights.

    No further backward pass is due, but two gradients are kept; and the older two were taken at earlier weights.
    Until a parameter has had three, its first stands in for those that are missing. The published code makes no step
    before the third.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Any that evaluates a closure once at most, if it is given one. With a `GradScaler` it must not be ``fused``.

    Raises
    ------
    ValueError
        If the optimizer steps along a rolling median already. Later, from ``optimizer.step()``: if a gradient is sparse
        or still scaled by a `GradScaler`, or the optimizer evaluates a closure again (L-BFGS); and from
        ``optimizer.load_state_dict``: if the two gradients are missing, or are not of these parameters.

    Notes
    -----
    A parameter without a gradient is passed over, and keeps its last two. Pickling or copying an optimizer drops its
    hooks: copy by ``state_dict``. A step that `GradScaler` leaves out because of infinite gradients is not counted.

    Examples
    --------
    >>> weight = torch.zeros(1, requires_grad=True)
    >>> optimizer = torch.optim.SGD([weight], lr=1.0)
    >>> rolling = RollingMedian(optimizer)
    >>> for gradient in (1.0, 2.0, -1e6, 3.0):
    ...     weight.grad = torch.tensor([gradient])
    ...     optimizer.step()
    ...     print(weight.grad)
    tensor([1.])
    tensor([1.])
    tensor([1.])
    tensor([2.])
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if _KEY in optimizer.state_dict():
            raise ValueError(
                "optimizer must not step along a rolling median yet, got one that does. Call remove() of the first."
            )
        self._previous: dict[Tensor, tuple[Tensor, Tensor]] = {}
        self._handles = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_state_dict_post_hook(self._save),
            optimizer.register_load_state_dict_pre_hook(self._load),
        ]

    def remove(self) -> None:
        """Let the optimizer step along plain gradients again."""
        for handle in self._handles:
            handle.remove()
        self._previous.clear()

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        if getattr(optimizer, "found_inf", None) is not None:
            raise ValueError(
                "optimizer must get gradients without a scale, got a fused one that takes the scale of a GradScaler "
                "away itself. Build it with fused=False."
            )
        changed = None
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is not None:
            # Gradients must be there before their median: the closure is evaluated here, and its loss handed on.
            with torch.enable_grad():
                handed_on = _once(closure())
            changed = (args[0], handed_on, *args[2:]) if len(args) > 1 else args, dict(kwargs)
            if "closure" in kwargs:
                changed[1]["closure"] = handed_on
        with torch.no_grad():
            for parameter in _parameters(optimizer):
                if parameter.grad is not None:
                    self._replace(parameter, parameter.grad)
        return changed

    def _replace(self, parameter: Tensor, gradient: Tensor) -> None:
        if gradient.layout is not torch.strided:
            raise ValueError(
                f"optimizer must have dense gradients, got a sparse one of shape {tuple(gradient.shape)}. Build the "
                "embedding with sparse=False."
            )
        newest = gradient.clone()
        older, newer = self._previous.get(parameter, (newest, newest))
        # In place: distributed training looks at this very tensor.
        gradient.copy_(median_of_three(older, newer, newest))
        self._previous[parameter] = (newer, newest)

    def _save(self, optimizer: Optimizer, state_dict: dict[str, Any]) -> None:
        numbered = enumerate(_parameters(optimizer))
        state_dict[_KEY] = {place: list(self._previous[p]) for place, p in numbered if p in self._previous}

    def _load(self, optimizer: Optimizer, state_dict: dict[str, Any]) -> None:
        if _KEY not in state_dict:
            raise ValueError(
                f"state_dict must hold the last gradients as {_KEY!r}, got {sorted(state_dict)}. Load the state of a "
                "plain optimizer before RollingMedian is put on it."
            )
        parameters = _parameters(optimizer)
        for place, (older, newer) in state_dict[_KEY].items():
            if place >= len(parameters) or not older.shape == newer.shape == parameters[place].shape:
                raise ValueError(
                    f"state_dict must be of these parameters, got a gradient of shape {tuple(older.shape)} for number "
                    f"{place} of {len(parameters)}. Build the optimizer as it was built then."
                )
        self._previous = {}
        for place, pair in state_dict[_KEY].items():
            like = parameters[place]
            older, newer = (each.to(like.device, like.dtype, copy=True) for each in pair)
            self._previous[like] = (older, newer)


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    """Return the parameters in the order in which an optimizer numbers them."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _once(loss: Any) -> Callable[[], Any]:
    """Return a closure that hands on a loss, once."""
    waiting = [loss]

    def closure() -> Any:
        if not waiting:
            raise ValueError(
                "optimizer must evaluate its closure once a step, got one that evaluates it again, where gradients "
                "would not be medians. Take one that steps along the gradient it is given."
            )
        return waiting.pop()

    return closure
