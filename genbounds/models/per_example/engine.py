"""Per-example gradients of a network in one forward and one backward pass, parameter by parameter."""

from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeAlias

import torch
from torch import Tensor, nn

from genbounds.models.guards import ModelError
from genbounds.models.per_example.batch_check import WeightedSum, compared, random_weights
from genbounds.models.per_example.chunked import ChunkedGradients, first_line
from genbounds.models.per_example.collector import Overwritten, collect
from genbounds.models.per_example.evaluation import (
    Inputs,
    Loss,
    forward,
    held_by,
    number_of,
    original,
    picked,
    rows_of,
    tensors_of,
    undisturbed,
)
from genbounds.models.per_example.factored.gradients import DenseGradients, ExampleGradients
from genbounds.models.per_example.losses import SingleLosses, batch_loss
from genbounds.models.per_example.probe import find_plan
from genbounds.models.per_example.recorder import Plan, Recorder, Unforeseen
from genbounds.models.per_example.self_check import Truth, check_losses_stand_alone, check_slopes, examined, one_by_one
from genbounds.models.per_example.witness import Witness

__all__ = ["BatchNorms", "PerExampleGradients", "Visitor"]

#: Called with a parameter's name, the examples of the batch, and their gradients.
Visitor: TypeAlias = Callable[[str, slice, ExampleGradients], None]

#: Examples of the first batch on which everything is found out and checked.
_CHECKED = 3


@dataclass(frozen=True)
class BatchNorms:
    """What one pass over a batch gives.

    Parameters
    ----------
    losses : Tensor of float64, shape (B,)
        Loss of each example, on the CPU.
    squared : Tensor of float64, shape (B, K)
        Squared norm of each example's gradient with respect to each of the K parameters, in the order of `names`, on
        the CPU.
    total : dict of str to Tensor
        Sum of the examples' gradients, by parameter, on its device and in its dtype, but never less than float32.
    """

    losses: Tensor
    squared: Tensor
    total: dict[str, Tensor]


class PerExampleGradients:
    """Gradients of the loss at every example of a batch, never all of them in memory.

    Parameters
    ----------
    model : torch.nn.Module
        A function of one example: no batch statistics, no dropout that acts. Compiled and data-parallel models are
        measured as they were written, and names are those of the original.
    loss : callable
        ``loss(outputs, targets)`` of a batch: the average over its examples, as `torch.nn.functional.cross_entropy`, or
        one value per example, shape (B,).
    parameters : collection of str, optional
        Names of the parameters to measure; by default those that require a gradient.
    chunk_size : int
        Examples whose gradients are in memory at once, for parameters that no rule covers.

    Attributes
    ----------
    names : tuple of str
        Measured parameters in order of definition; a tied one once, under its first name.
    shapes : dict of str to torch.Size
        Their shapes.
    layers : dict of str to str
        Name of the module that owns each.
    routes : dict of str to str
        After the first batch, how the gradients of each are found.

    Raises
    ------
    ModelError
        If batch normalisation uses the statistics of the batch, dropout acts, or no parameter requires a gradient.

    Notes
    -----
    During the pass nothing requires a gradient: each call of a torch function with a parameter is met by a rule, which
    keeps the inputs and waits for the gradient at the outputs. Together they are the gradients of the examples in
    factored form, and autograd forms none of its own. Parameters that no rule covers are differentiated by
    `torch.func.vmap`, or one example after the other.

    A regulariser in the loss is refused, as it uses parameters. One that the model computes by itself and returns for
    the loss to add cannot be told from a part of the loss, and is in the gradient of every example.

    Examples
    --------
    >>> model = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    >>> nn.init.zeros_(model.weight).tolist()
    [[0.0, 0.0]]
    >>> x, y = torch.tensor([[3.0, 4.0], [1.0, 0.0]]).double(), torch.tensor([[1.0], [2.0]]).double()
    >>> found = PerExampleGradients(model, nn.functional.mse_loss).squared_norms(x, y)  # gradients are -2 y x
    >>> found.squared.tolist(), found.total["weight"].tolist()
    ([[100.0], [16.0]], [[-10.0, -8.0]])
    """

    def __init__(
        self, model: nn.Module, loss: Loss, *, parameters: Collection[str] | None = None, chunk_size: int = 16
    ) -> None:
        self.model, self.loss = original(model), loss
        self._chunked = ChunkedGradients(self.model, loss, chunk_size, parameters)
        measured = self._chunked.parameters()
        self.names = tuple(measured)
        self.shapes = {name: value.shape for name, value in measured.items()}
        self.layers = {name: name.rpartition(".")[0] for name in measured}
        self.routes: dict[str, str] = {}
        self._plan = Plan()
        self._losses: SingleLosses  # from the first batch on
        self._tolerance = 0.0
        self._checked = self._batches = 0
        self._decides = False
        self._way = 0  # that the last pass took, as far as values decide
        self._known: set[int] = set()  # ways on which all examples were compared
        self._proven: set[str] = set()  # parameters whose gradients were compared in a batch where they had some

    def visit(self, inputs: Inputs, targets: Inputs, visitor: Visitor) -> Tensor:
        """Show the gradients of the examples of a batch, one parameter after the other.

        A few examples of the first batch are looked into: how the network arranges them, and whether what comes out
        agrees with plain autograd. At batches 1, 2, 4, 8 and so on one example of the whole batch is compared again,
        and all of them in a sum with random weights. That sum is also compared wherever a parameter has its first
        gradient, and wherever the model decides by values what it does, and decides otherwise than before
        (`Witness.decisions`): at every batch, say, which then takes up to twice as long.

        Parameters
        ----------
        inputs, targets : Tensor, or mapping of str to Tensor
            The batch, on the model's device.
        visitor : callable
            ``visitor(name, rows, gradients)``: gradients of the examples `rows` with respect to the parameter `name`.
            They are freed afterwards, unless it keeps them.

        Returns
        -------
        Tensor of float64, shape (B,)
            Loss of each example, on the model's device.

        Raises
        ------
        ModelError
            If single examples have no gradients of their own, or those found turn out wrong.
        ValueError
            If inputs and targets differ in number, or there are none.
        """
        number = number_of(inputs)
        if number_of(targets) != number or not number:
            raise ValueError(
                f"targets must hold as many examples as inputs, at least one, got {number_of(targets)} for {number}. "
                "Pass pairs, with the examples along the first axes."
            )
        with undisturbed(self.model):
            if self._checked < min(number, _CHECKED):
                self._prepare(inputs, targets)
            self._batches += 1
            spot: dict[str, Tensor] = {}
            sums: dict[str, WeightedSum] = {}
            weights = cache(partial(random_weights, number, self._batches))  # few batches need them
            row = self._batches * 7919 % number
            again = self._batches & (self._batches - 1) == 0 and number > 1

            def deliver(name: str, rows: slice, gradients: ExampleGradients) -> None:
                self.routes[name] = gradients.route
                if again:
                    spot[name] = gradients.dense(slice(row, row + 1))[0]
                if number > 1 and (again or self._way not in self._known or name not in self._proven):
                    sums[name] = WeightedSum.of(gradients, weights())
                visitor(name, rows, gradients)

            losses = self._follow(inputs, targets, deliver)
            if spot:
                self._compare(spot, rows_of(inputs, slice(row, row + 1)), rows_of(targets, slice(row, row + 1)))
                spot.clear()
            new = any(sums[name].size > 0 for name in sums if name not in self._proven)
            if sums and (again or self._way not in self._known or new):
                self._compare_sums(sums, inputs, targets, weights())
            others = self._write_out(inputs, targets, visitor)
        return others if losses is None else losses

    def squared_norms(self, inputs: Inputs, targets: Inputs) -> BatchNorms:
        """Return squared norms of the examples' gradients, and their sum.

        Parameters
        ----------
        inputs, targets : Tensor, or mapping of str to Tensor
            The batch, on the model's device.

        Returns
        -------
        BatchNorms
            Losses, squared norms and sum.

        Raises
        ------
        ModelError
            As `visit`.
        ValueError
            As `visit`.
        """
        norms = _Norms()
        losses = self.visit(inputs, targets, norms)
        squared = torch.stack([norms.squared[name] for name in self.names], dim=1)
        return BatchNorms(losses.cpu(), squared.cpu(), {name: norms.total[name] for name in self.names})

    def _parameters(self, *, followed: bool) -> dict[str, Tensor]:
        every, uncovered = dict(self.model.named_parameters()), self._plan.uncovered
        return {name: every[name] for name in self.names if (name in uncovered) is not followed}

    def _run(self, inputs: Inputs, targets: Inputs, recorder: Recorder) -> Tensor:
        """Return the losses of the examples, in the graph."""
        with recorder, Witness() if self._decides else nullcontext() as witness:
            outputs = forward(self.model, inputs)
        self._way = 0 if witness is None else _way(witness, inputs)
        recorder.give_up(outputs)
        losses = self._losses(outputs, targets)
        if self._losses.averages:
            with torch.no_grad():
                whole = number_of(targets) * batch_loss(self.loss, outputs, targets)
            values = losses.detach().double()
            check_losses_stand_alone(values, whole, self._tolerance)
            if float(values.max() - values.min()) <= self._tolerance * float(values.abs().max()):
                check_slopes(self._losses, outputs, targets)
        return losses

    def _collect(self, inputs: Inputs, targets: Inputs, visitor: Visitor) -> Tensor | None:
        """Follow the parameters that rules cover; return the losses, or None if there are no such parameters."""
        number, parameters = number_of(inputs), self._parameters(followed=True)
        if not parameters:
            return None
        losses = collect(
            lambda recorder: self._run(inputs, targets, recorder),
            parameters,
            held_by(self.model),
            self._plan,
            number,
            lambda name, gradients: visitor(name, slice(0, number), gradients),
        )
        return losses.double()

    def _follow(self, inputs: Inputs, targets: Inputs, visitor: Visitor) -> Tensor | None:
        """Follow the parameters that rules cover, and look once more where the batch takes an unknown way."""
        try:
            return self._collect(inputs, targets, visitor)
        except Overwritten as error:
            raise ModelError(
                f"model must treat all batches alike, got an input of {error.names[0]} that is overwritten in place "
                "now and was not in the first. Replace operations in place."
            ) from error
        except Unforeseen:
            self._prepare(inputs, targets)
        while True:
            try:
                return self._collect(inputs, targets, visitor)
            except Unforeseen as error:
                self._plan.uncovered |= dict.fromkeys(error.names, error.why)

    def _write_out(self, inputs: Inputs, targets: Inputs, visitor: Visitor) -> Tensor:
        """Write out the gradients of the other parameters, a few examples at a time; return the losses, if any."""
        losses: list[Tensor] = []
        if not self._plan.uncovered:
            return torch.zeros(0)
        parameters = self._parameters(followed=False)
        for rows, block, gradients in self._chunked.blocks(parameters, inputs, targets):
            losses.append(block.double())
            for name, values in gradients.items():
                visitor(name, rows, DenseGradients(values))
        why, failed = self._plan.uncovered, self._chunked.why_loop
        self.routes |= {
            n: f"vmap: {why[n]}" if failed is None else f"loop: {why[n]} (vmap: {failed})" for n in parameters
        }
        return torch.cat(losses)

    def _prepare(self, inputs: Inputs, targets: Inputs) -> None:
        """Look into a few examples of a batch, and settle how each parameter's gradients are found."""
        last = number_of(inputs) - 1
        index = sorted({0, last // 2, last})
        x, y = picked(inputs, index), picked(targets, index)
        truth, self._losses, witness = examined(self.model, self.loss, self.names, x, y)
        self._decides |= bool(witness.decisions)
        self._known, self._proven = set(), set()
        self._tolerance, self._checked, self._chunked.why_loop = truth.tolerance, len(index), None
        self._plan = self._planned(x, y, truth)
        norms, settled = _Norms(), False
        while not settled:
            try:
                self._collect(x, y, norms)
                settled = True
            except Unforeseen as error:
                self._plan.uncovered |= dict.fromkeys(error.names, error.why)
        for name, gap in norms.errors(truth).items():
            self._plan.uncovered[name] = f"self-check is off by {gap:.2g}"
        while True:
            norms = _Norms()
            self._write_out(x, y, norms)
            wrong = norms.errors(truth)
            if not wrong:
                break
            name, gap = next(iter(wrong.items()))
            if self._chunked.why_loop is not None:
                raise ModelError(
                    f"model must give an example the same gradient every time, got one in {name} that is off by "
                    f"{gap:.2g} the second time. Look for state that a pass leaves behind."
                )
            self._chunked.why_loop = f"self-check of vmap is off by {gap:.2g} in {name}"

    def _planned(self, x: Inputs, y: Inputs, truth: Truth) -> Plan:
        """Find out how the calls arrange the examples; a plan to write everything out, if that cannot be."""
        try:
            losses = self._losses(forward(self.model, x), y).double().cpu()
            if not torch.allclose(losses, truth.losses, rtol=truth.tolerance, atol=0):
                return Plan(
                    uncovered=dict.fromkeys(self.names, "the loss of an example is not a function of its outputs")
                )
            return find_plan(
                lambda order, recorder: self._run(picked(x, order), picked(y, order), recorder),
                number_of(x),
                self._parameters(followed=True),
                held_by(self.model),
            )
        except ModelError:
            raise
        except Exception as error:  # plain autograd went through: what stops here is no fault of the model
            return Plan(uncovered=dict.fromkeys(self.names, first_line(error)))

    def _compare(self, spot: dict[str, Tensor], inputs: Inputs, targets: Inputs) -> None:
        """Compare one example of this batch with plain autograd."""
        truth = one_by_one(self.model, self.loss, list(spot), inputs, targets, self._tolerance)
        for name, gradient in spot.items():
            error = truth.error(name, gradient.double().square().sum()[None], gradient)
            if not error <= truth.tolerance:
                raise ModelError(
                    f"model must treat all batches alike, got a gradient in {name} that is off by {error:.3g} for one "
                    f"example of batch {self._batches}, though those checked first were right. Measure it with batches "
                    "of one example."
                )

    def _compare_sums(self, sums: dict[str, WeightedSum], inputs: Inputs, targets: Inputs, weights: Tensor) -> None:
        """Compare all examples of this batch with plain autograd."""
        witness = Witness()
        errors = compared(self.model, self._losses, sums, inputs, targets, weights, witness)
        self._decides |= bool(witness.decisions)
        for name, error in errors.items():
            if not error <= self._tolerance:
                raise ModelError(
                    f"model must arrange the examples of all batches alike, got gradients in {name} that are off by "
                    f"{error:.3g} in batch {self._batches}. Leave the order of the examples as it is, or measure them "
                    "in batches of one."
                )
        self._proven |= {name for name in sums if sums[name].size > 0}
        self._known.add(_way(witness, inputs) if self._decides else 0)


def _way(witness: Witness, inputs: Inputs) -> int:
    shapes = ((name, tuple(part.shape)) for name, part in tensors_of(inputs).items())
    return hash((*shapes, *witness.decisions))


class _Norms:
    """Visitor that takes in squared norms and sums."""

    def __init__(self) -> None:
        self.squared: dict[str, Tensor] = {}
        self.total: dict[str, Tensor] = {}

    def __call__(self, name: str, _: slice, gradients: ExampleGradients) -> None:
        squared, total = gradients.norms_and_total()
        if name in self.squared:
            self.squared[name] = torch.cat([self.squared[name], squared])
            self.total[name] += total
        else:
            self.squared[name], self.total[name] = squared, total

    def errors(self, truth: Truth) -> dict[str, float]:
        """Return the parameters that are off by more than rounding, and by how much."""
        errors = {name: truth.error(name, self.squared[name], self.total[name]) for name in self.squared}
        return {name: error for name, error in errors.items() if not error <= truth.tolerance}
