"""Collects the gradients of a backward pass: forms them at each use, sums the uses, hands them over, forgets them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from genbounds.models.per_example.calls import Form, Use
from genbounds.models.per_example.factored.gradients import DenseGradients, ExampleGradients
from genbounds.models.per_example.factored.sums import SumOfGradients
from genbounds.models.per_example.layouts import Layout
from genbounds.models.per_example.recorder import Key, Measured, Plan, Recorder, Unforeseen

__all__ = ["Collector", "Overwritten", "collect"]

_Waiting: TypeAlias = tuple[Measured, Layout, Form, list[tuple[Tensor, int]]]


class Overwritten(Unforeseen):
    """Something that a gradient is made of was changed before it could be."""


class Collector:
    """Observer of a forward pass that hands over each parameter's gradients during the backward pass.

    Parameters
    ----------
    layouts : mapping of Key to Layout
        How uses arrange the examples.
    number : int
        Examples in the batch.
    deliver : callable
        ``deliver(name, gradients)``, once for each parameter.
    """

    def __init__(
        self, layouts: Mapping[Key, Layout], number: int, deliver: Callable[[str, ExampleGradients], None]
    ) -> None:
        self._layouts, self._number, self._deliver = layouts, number, deliver

    def __call__(self, measured: Measured, key: Key, use: Use) -> None:
        """Wait for the gradient at a use.

        Parameters
        ----------
        measured : Measured
            What is used.
        key : Key
            Which layout holds.
        use : Use
            Where its gradient will arrive, and how to read it.

        Raises
        ------
        Unforeseen
            If the examples cannot be told apart there.
        """
        layout, positions = self._layouts.get(key), use.watched.shape[: use.leading]
        if layout is None or not layout.fits(positions, self._number):
            raise Unforeseen(measured.names, f"{key.function} at other positions than before")
        _await(measured)
        versions = [(tensor, tensor._version) for tensor in use.saved]
        use.watched.register_hook(partial(self._arrived, [(measured, layout, use.form, versions)]))

    def _arrived(self, waiting: list[_Waiting], gradient: Tensor) -> None:
        # The hook lives as long as the graph; what was kept for it is freed as soon as it is no longer needed.
        measured, layout, form, versions = waiting.pop()
        if any(tensor._version != version for tensor, version in versions):
            raise Overwritten(measured.names, "an input is overwritten in place")
        with torch._C.DisableTorchFunction():  # the recorder has nothing to see here
            measured.parts.append(form(layout, gradient.detach(), self._number))
            measured.awaited -= 1
            if not measured.awaited:
                self._complete(measured)

    def _complete(self, measured: Measured) -> None:
        parts, measured.parts, measured.done = measured.parts, [], True
        for parent, pull in measured.parents.items():
            if parts:
                parent.parts.append(pull(_sum(parts)))
            parent.awaited -= 1
            if not parent.awaited:
                self._complete(parent)
        if not measured.parents:
            shape = (self._number, *measured.tensor.shape)
            self._deliver(
                measured.label, _sum(parts) if parts else DenseGradients(measured.tensor.new_zeros(()).expand(shape))
            )

    @torch.no_grad()
    def finish(self, every: Sequence[Measured]) -> None:
        """Hand over what still waits after the backward pass: the loss does not depend on all uses.

        Parameters
        ----------
        every : sequence of Measured
            All measured tensors, what is made of others behind them.
        """
        for measured in reversed(every):
            if not measured.done and (measured.awaited or not measured.parents):
                self._complete(measured)


def _await(measured: Measured) -> None:
    if not measured.awaited:
        for parent in measured.parents:
            _await(parent)
    measured.awaited += 1


def _sum(parts: list[ExampleGradients]) -> ExampleGradients:
    return parts[0] if len(parts) == 1 else SumOfGradients(parts)


def collect(
    run: Callable[[Recorder], Tensor],
    parameters: Mapping[str, Tensor],
    constants: Sequence[Tensor],
    plan: Plan,
    number: int,
    deliver: Callable[[str, ExampleGradients], None],
) -> Tensor:
    """Run a batch forward and backward, and hand over the gradients of its examples.

    Parameters
    ----------
    run : callable
        Runs the batch, its forward pass inside the recorder, and returns the loss of each example.
    parameters : mapping of str to Tensor
        What to follow, of the model's own parameters.
    constants : sequence of Tensor
        All its parameters and buffers.
    plan : Plan
        How the examples are arranged.
    number : int
        How many there are.
    deliver : callable
        ``deliver(name, gradients)``, once for each of the parameters.

    Returns
    -------
    Tensor, shape (number,)
        The losses, outside the graph.

    Raises
    ------
    Unforeseen
        If the batch takes a way that the plan does not know. Nothing is delivered then, but where an input is
        overwritten in place.
    """
    collector = Collector(plan.layouts, number, deliver)
    recorder = Recorder(parameters, constants, plan, collector)
    losses = run(recorder)
    lost = [name for name in parameters if name in plan.uncovered]
    if lost:
        raise Unforeseen(lost, plan.uncovered[lost[0]])
    if losses.requires_grad:
        recorder.backward(losses.sum())
    collector.finish(recorder.measured)
    return losses.detach()
