"""Hessians of a classifier's last linear layer in closed form: products, diagonal, Frobenius products, all streamed.

For outputs z = V x, where x holds the features of an example and, with a bias, a last 1, the Hessian of the mean loss
in V is H = mean_i W_i (x) x_i x_i^T with W_i the Hessian of the loss in the outputs. The losses here have
W = diag(d) - u u^T, so that two rows of C numbers an example say it all.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from genbounds.models.blocks import Blocks
from genbounds.models.guards import ModelError, check_evaluation_mode
from genbounds.models.per_example.evaluation import forward
from genbounds.models.progress import track

__all__ = ["LOSSES", "HeadFeatures", "HeadHessian", "OutputDerivatives", "frobenius_products"]


class OutputDerivatives(NamedTuple):
    """Derivatives of a loss in the outputs of b examples.

    Attributes
    ----------
    gradient : Tensor, shape (b, C)
        First derivatives.
    diagonal, factor : Tensor, shape (b, C)
        d and u of the second ones, diag(d) - u u^T.
    """

    gradient: Tensor
    diagonal: Tensor
    factor: Tensor

    def hessian_product(self, x: Tensor, vector: Tensor) -> Tensor:
        """Multiply the Hessian of the summed loss in the head's weights with a vector.

        Parameters
        ----------
        x : Tensor, shape (b, q)
            Features of the examples, with the 1 of a bias.
        vector : Tensor, shape (C, q)
            The vector.

        Returns
        -------
        Tensor, shape (C, q)
            The product, differentiable in everything.
        """
        moved = x @ vector.T
        return (self.diagonal * moved - self.factor * (self.factor * moved).sum(1, keepdim=True)).T @ x


def _cross_entropy(outputs: Tensor, targets: Tensor) -> OutputDerivatives:
    p = outputs.softmax(1)
    return OutputDerivatives(p - F.one_hot(targets.long(), outputs.shape[1]), p, p)


def _mse(outputs: Tensor, targets: Tensor) -> OutputDerivatives:
    share = 2 / outputs.shape[1]
    wanted = _as_outputs(outputs, targets)
    return OutputDerivatives(share * (outputs - wanted), torch.full_like(outputs, share), torch.zeros_like(outputs))


def _logistic(outputs: Tensor, targets: Tensor) -> OutputDerivatives:
    p, share = outputs.sigmoid(), 1 / outputs.shape[1]
    gradient = share * (p - _as_outputs(outputs, targets))
    return OutputDerivatives(gradient, share * p * outputs.neg().sigmoid(), torch.zeros_like(outputs))


def _as_outputs(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return targets in the shape of the outputs: classes become one-hot rows, or the 0 and 1 of a single output."""
    if targets.ndim == 1 and not targets.is_floating_point() and outputs.shape[1] > 1:
        targets = F.one_hot(targets.long(), outputs.shape[1])
    return targets.reshape(outputs.shape).to(outputs.dtype)


#: Losses by their names in ``torch.nn.functional``, each the average over examples and, but for the first, outputs.
LOSSES: dict[str, Callable[[Tensor, Tensor], OutputDerivatives]] = {
    "cross_entropy": _cross_entropy,
    "mse_loss": _mse,
    "binary_cross_entropy_with_logits": _logistic,
}

#: Largest modulus of the third derivative of a loss of C outputs along a unit vector. Cross-entropy's is the third
#: central moment of a variable whose values lie within sqrt 2 of each other; over an interval of length R it is at most
#: R^3 / (6 sqrt 3), as at fixed mean two points on which one is an end of the interval are worst.
_THIRD: dict[str, Callable[[int], float]] = {
    "cross_entropy": lambda _: math.sqrt(2 / 27),
    "mse_loss": lambda _: 0.0,
    "binary_cross_entropy_with_logits": lambda outputs: 1 / (6 * math.sqrt(3) * outputs),
}


def _check_targets(targets: Tensor, loss: str, number: int, outputs: int) -> None:
    """Refuse targets that were not made for this head."""
    classes = targets.ndim == 1 and not targets.is_floating_point() and (outputs > 1 or loss == "cross_entropy")
    if not classes and (loss == "cross_entropy" or targets.numel() != number * outputs):
        numbers = "" if loss == "cross_entropy" else f", or numbers of shape {(number, outputs)}"
        raise ModelError(
            f"targets must be classes, one whole number for each example{numbers}, got {targets.dtype} of shape "
            f"{tuple(targets.shape)}. Pass what the head was trained on."
        )
    if classes and (targets.min() < 0 or targets.max() >= outputs):
        raise ModelError(
            f"targets must be classes from 0 to {outputs - 1}, got {int(targets.min())} to {int(targets.max())}. "
            "Pass what the head was trained on."
        )


class HeadFeatures:
    """What a model's last linear layer is given, block by block, as often as it is asked for.

    Parameters
    ----------
    model : nn.Module
        Classifier in evaluation mode.
    head : str
        Name of the layer (`genbounds.models.linear_heads.find_head`).
    blocks : Blocks
        The examples, where the model takes them.
    keep : bool
        Hold the features of all examples on the CPU from the first pass on, m p numbers in the model's dtype; otherwise
        the model runs again for each pass. Processes of a distributed run compute them together, and each holds all.
    progress : bool
        Show a bar on a terminal for each pass of the model.

    Raises
    ------
    ModelError
        If the model is not in evaluation mode, or a distributed run is not to keep the features.
    """

    def __init__(
        self, model: nn.Module, head: str, blocks: Blocks, *, keep: bool = True, progress: bool = False
    ) -> None:
        check_evaluation_mode(model)
        if not keep and _distributed():
            raise ModelError("keep must be set in a distributed run, which shares the passes out, got False. Set it.")
        self._model, self._head, self._blocks = model, head, blocks
        self._keep, self._progress = keep, progress
        self._kept: list[tuple[Tensor, Tensor]] = []

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Read features and targets.

        Yields
        ------
        tuple of Tensor
            Features of shape (b, p) and targets of a block.
        """
        if not self._keep:
            for _, features, targets in self._computed():
                yield features, targets
            return
        if not self._kept:
            found = [(number, features.cpu(), targets.cpu()) for number, features, targets in self._computed()]
            if _distributed():
                parts: list[Any] = [None] * dist.get_world_size()
                dist.all_gather_object(parts, found)
                found = sorted((block for part in parts for block in part), key=lambda block: block[0])
            self._kept = [(features, targets) for _, features, targets in found]
        yield from self._kept

    def _computed(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        for block in track(self._blocks, "computing features", total=len(self._blocks), progress=self._progress):
            seen: list[Tensor] = []
            layer = self._model.get_submodule(self._head)
            handle = layer.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
            try:
                with torch.no_grad():
                    forward(self._model, block.inputs)
            finally:
                handle.remove()
            yield block.number, seen[0], block.targets


class HeadHessian:
    """The Hessian of the mean loss in the weights of a linear layer, and the gradient, over a set of examples.

    Parameters
    ----------
    examples : iterable of (Tensor, Tensor)
        Features of shape (b, p) and targets, block by block; it is read again for every product.
    weight : Tensor, shape (C, p)
        The layer's weight.
    bias : Tensor, shape (C,), optional
        Its bias, which then is the weight of a last feature that is 1.
    loss : str
        One of `LOSSES`.

    Attributes
    ----------
    shape : torch.Size
        (C, q): q = p, or p + 1 with a bias. Vectors have this shape; the Hessian has C q rows.
    number : int
        Examples.
    gradient : Tensor, shape (C, q)
        Gradient of the mean loss.
    diagonal : Tensor, shape (C, q)
        Diagonal of the Hessian.
    third_derivative : Tensor
        Upper limit of the modulus of the mean loss's third derivative along any unit vector, at any weights, a scalar:
        the loss's own constant times the mean of the norm of x cubed.
    mean_square : Tensor
        Mean of the squared norm of x, a scalar: what the rounding errors of the Hessian are proportional to, whose own
        size may be far smaller where probabilities are almost 0 and 1.

    Raises
    ------
    ModelError
        If the loss is not known, there is no example, or features or targets do not fit.

    Notes
    -----
    Everything is computed in float64 from features, weight and bias as they are; outputs are computed anew.

    Examples
    --------
    >>> x, y = torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1])
    >>> hessian = HeadHessian([(x, y)], torch.zeros(2, 1))
    >>> hessian.product(torch.tensor([[1.0], [0.0]])).tolist()
    [[0.25], [-0.25]]
    """

    def __init__(
        self,
        examples: Iterable[tuple[Tensor, Tensor]],
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        loss: str = "cross_entropy",
    ) -> None:
        if loss not in LOSSES:
            raise ModelError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}. Pass its name.")
        self.loss = loss
        self._examples, self._derivatives, self._bias = examples, LOSSES[loss], bias is not None
        columns = weight.detach().double()
        self._weight = columns if bias is None else torch.cat([columns, bias.detach().double().unsqueeze(1)], dim=1)
        self.shape = self._weight.shape
        self.number = 0
        gradient, diagonal = torch.zeros_like(self._weight), torch.zeros_like(self._weight)
        squares, cubes = self._weight.new_zeros(2)
        for x, (first, d, u) in self._terms():
            self.number += len(x)
            gradient += first.T @ x
            diagonal += (d - u.square()).T @ x.square()
            squares += x.square().sum()
            cubes += x.norm(dim=1).pow(3).sum()
        if not self.number:
            raise ModelError("examples must hold at least one, got none. Pass a list or another iterable, not used up.")
        self.gradient, self.diagonal = gradient / self.number, diagonal / self.number
        self.mean_square = squares / self.number
        self.third_derivative = _THIRD[loss](self.shape[0]) * cubes / self.number

    def _terms(self) -> Iterator[tuple[Tensor, OutputDerivatives]]:
        """Yield x of shape (b, q) and the derivatives of the loss in the outputs, in float64."""
        for features, targets in self._examples:
            if features.ndim != 2 or features.shape[1] + self._bias != self.shape[1]:
                raise ModelError(
                    f"features must have shape (examples, {self.shape[1] - self._bias}), got {tuple(features.shape)}. "
                    "Pass what the head is given."
                )
            _check_targets(targets, self.loss, len(features), self.shape[0])
            x = features.to(self._weight)
            x = torch.cat([x, x.new_ones(len(x), 1)], dim=1) if self._bias else x
            yield x, self._derivatives(x @ self._weight.T, targets.to(x.device))

    @property
    def trace(self) -> Tensor:
        """Sum of the eigenvalues.

        Returns
        -------
        Tensor
            A scalar, float64.
        """
        return self.diagonal.sum()

    def product(self, vector: Tensor) -> Tensor:
        """Multiply the Hessian with a vector, in one pass and at the cost of two products with the features.

        Parameters
        ----------
        vector : Tensor, shape (C, q)
            The vector.

        Returns
        -------
        Tensor, shape (C, q)
            H v in float64.
        """
        v, total = vector.to(self._weight), torch.zeros_like(self._weight)
        for x, derivatives in self._terms():
            total += derivatives.hessian_product(x, v)
        return total / self.number

    def slabs(self) -> Iterator[Tensor]:
        """Write the Hessian out, one class after the other: a pass and C q^2 numbers each.

        Yields
        ------
        Tensor, shape (q, C, q)
            The rows of the class.
        """
        classes, columns = self.shape
        for a in range(classes):
            slab = self._weight.new_zeros(classes, columns, columns)
            for x, (_, d, u) in self._terms():
                weights = -u.narrow(1, a, 1) * u
                weights.select(1, a).add_(d.select(1, a))
                for block, column in zip(slab.unbind(), weights.unsqueeze(2).unbind(1), strict=True):
                    block.addmm_(x.T, column * x)
            yield (slab / self.number).transpose(0, 1)

    def dense(self) -> Tensor:
        """Write the Hessian out.

        Returns
        -------
        Tensor, shape (C q, C q)
            Rows and columns in the order of ``weight.flatten()``.
        """
        rows = self.shape.numel()
        return torch.stack(list(self.slabs())).reshape(rows, rows)

    def pairwise(self, other: "HeadHessian") -> Tensor:
        """Return the Frobenius inner product with another one from inner products of pairs of examples.

        tr(W W') = d.d' - d.u'^2 - u^2.d' + (u.u')^2 for each pair, times (x.x')^2.

        Parameters
        ----------
        other : HeadHessian
            Of the same shape.

        Returns
        -------
        Tensor
            A scalar.
        """
        total = self._weight.new_zeros(())
        for x, (_, d, u) in self._terms():
            for y, (_, e, v) in other._terms():
                outputs = d @ e.T - d @ v.square().T - u.square() @ e.T + (u @ v.T).square()
                total += (outputs * (x @ y.T).square()).sum()
        return total / (self.number * other.number)


def frobenius_products(one: HeadHessian, other: HeadHessian) -> tuple[float, float, float]:
    """Return <A, A>, <A, B> and <B, B> of two Hessians in the Frobenius inner product, by whichever route is cheaper.

    Parameters
    ----------
    one, other : HeadHessian
        A and B, of the same shape.

    Returns
    -------
    tuple of float
        The three inner products.

    Notes
    -----
    Exact either way: by writing out q rows at a time, C^2 q^2 multiplications an example, or over pairs of examples,
    q + 4 C multiplications a pair.
    """
    classes, columns = one.shape
    by_slabs = (one.number + other.number) * (classes * columns) ** 2
    by_pairs = (one.number**2 + one.number * other.number + other.number**2) * (columns + 4 * classes)
    if by_pairs < by_slabs:
        return float(one.pairwise(one)), float(one.pairwise(other)), float(other.pairwise(other))
    sums = sum(
        torch.stack([(a * a).sum(), (a * b).sum(), (b * b).sum()])
        for a, b in zip(one.slabs(), other.slabs(), strict=True)
    )
    first, mixed, second = cast(Tensor, sums).tolist()
    return first, mixed, second


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
