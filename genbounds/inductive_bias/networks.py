"""A Gaussian prior over the weights of a network: many networks are drawn and evaluated at once."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.conv import _ConvTransposeNd

from genbounds.models.blocks import Blocks, Inputs
from genbounds.models.guards import ModelError
from genbounds.models.per_example.evaluation import (
    Loss,
    check_fixed_function,
    chosen_parameters,
    number_of,
    original,
    rows_of,
)
from genbounds.models.randomness import stream
from genbounds.numerics.checks import count, positive

__all__ = ["NetworkPrior"]

#: Bytes of weights and activations of the chains that are evaluated together, and of a data set that is kept.
_ROOM, _KEPT = 2**28, 2**26


class NetworkPrior:
    """A centred Gaussian prior over the parameters of a network, whitened: z ~ N(0, I) stands for weights s * z.

    Networks are evaluated many at once; one by one where an operation has no rule for that, as recurrent layers.

    Without `scales` every parameter has variance 1 / fan-in, where the fan-in is how many numbers an output of its
    layer adds up: a bias counts as the weight of one more input and has its layer's; embeddings and the gains and
    shifts of normalisation layers, which act on single numbers, have 1, as have other vectors that are no bias. What a
    module of another kind holds counts as a matrix with its outputs along the first axis: give `scales` for tokens and
    positions. Tied parameters are one, under the first name and with its scale. Parameters that require no gradient,
    and buffers, are no part of the prior: they keep their values, so they must not have seen the data either.

    Parameters
    ----------
    model : torch.nn.Module
        A function of one example at a time whose output is a tensor. It is copied and left alone.
    scales : float or mapping of str to float, optional
        Standard deviation of all parameters, or of those that are named; the others keep the default.
    device : torch.device or str
        Where networks are evaluated.
    dtype : torch.dtype
        In which floating type.

    Attributes
    ----------
    names : tuple of str
        The parameters in order of definition.
    shapes : dict of str to torch.Size
        Their shapes.
    scales : dict of str to float
        Their standard deviations.
    dimension : int
        Number of weights d.

    Raises
    ------
    ModelError
        If batch normalisation uses the statistics of the batch, dropout acts, or no parameter requires a gradient.
    ValueError
        If a scale is not positive, or its name unknown.

    Examples
    --------
    >>> prior = NetworkPrior(nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1)))
    >>> print(prior)
    Gaussian prior over the 129 weights of Sequential: independent, of mean 0 and standard deviation 0.707 (0.weight,
    0.bias), 0.177 (2.weight, 2.bias).
    >>> prior.outputs(torch.zeros(3, 129), torch.ones(5, 2)).shape
    torch.Size([3, 5, 1])
    """

    def __init__(
        self,
        model: nn.Module,
        scales: float | Mapping[str, float] | None = None,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        model = original(model)
        check_fixed_function(model)
        chosen = chosen_parameters(model)
        self.names = tuple(chosen)
        self.shapes = {name: value.shape for name, value in chosen.items()}
        self.scales = _scales(model, self.shapes, scales)
        self.dimension = sum(value.numel() for value in chosen.values())
        self.device, self.dtype = torch.device(device), dtype
        # What a hook computed from parameters (pruning, older weight norms) stands in the way of copying.
        held = (value for part in model.modules() for value in vars(part).values() if isinstance(value, Tensor))
        computed = {id(value): value.detach().clone() for value in held if not value.is_leaf}
        self._model = deepcopy(model, computed).to(self.device, dtype).requires_grad_(False)
        self._model.zero_grad(set_to_none=True)
        self._one_by_one = False

    def __str__(self) -> str:
        named: dict[str, list[str]] = {}
        for name, scale in self.scales.items():
            named.setdefault(f"{scale:.3g}", []).append(name)
        shown = ", ".join(f"{scale} ({', '.join(names)})" for scale, names in named.items())
        return (
            f"Gaussian prior over the {self.dimension} weights of {type(self._model).__name__}: independent, of mean 0 "
            f"and standard deviation {shown}."
        )

    def weights(self, z: Tensor) -> dict[str, Tensor]:
        """Return the weights that points of the whitened space stand for.

        Parameters
        ----------
        z : Tensor, shape (B, d)
            Points, of any floating dtype.

        Returns
        -------
        dict of str to Tensor
            By name, B of them along a first axis, on the prior's device and of its dtype; differentiable in z.

        Raises
        ------
        ValueError
            If z has another shape.
        """
        if z.ndim != 2 or z.shape[1] != self.dimension:
            raise ValueError(
                f"z must have shape (chains, {self.dimension}), got {tuple(z.shape)}. Draw it from N(0, I)."
            )
        parts = z.to(self.device, self.dtype).split([shape.numel() for shape in self.shapes.values()], dim=1)
        return {
            name: self.scales[name] * part.reshape(len(z), *self.shapes[name])
            for name, part in zip(self.names, parts, strict=True)
        }

    def latent(self, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the point of the whitened space that stands for given weights.

        Parameters
        ----------
        weights : mapping of str to Tensor, optional
            One set of weights, by name and in the shapes of `shapes`; by default those the model had.

        Returns
        -------
        Tensor, shape (d,)
            The weights over their standard deviations, in float64 on the prior's device.

        Raises
        ------
        ValueError
            If a weight is missing or of another shape.
        """
        given = dict(self._model.named_parameters()) if weights is None else weights
        wrong = [name for name in self.names if name not in given or given[name].shape != self.shapes[name]]
        if wrong:
            raise ValueError(f"weights must hold {wrong[0]!r} of shape {tuple(self.shapes[wrong[0]])}. Add it.")
        parts = [given[name].detach().to(self.device).double() / self.scales[name] for name in self.names]
        return torch.cat([part.flatten() for part in parts])

    def outputs(self, z: Tensor, inputs: Inputs, *, own: bool = False) -> Tensor:
        """Evaluate networks on a batch, all at once.

        Parameters
        ----------
        z : Tensor, shape (B, d)
            Points of the whitened space.
        inputs : Tensor or mapping of str to Tensor
            The batch, n examples along first axes, on the prior's device; a mapping is passed by keyword.
        own : bool
            Each network has a batch of its own: a tensor of shape (B, n, ...).

        Returns
        -------
        Tensor, shape (B, n, ...)
            Outputs of each network, differentiable in z.

        Raises
        ------
        ModelError
            If the model returns anything else.
        """
        if own:
            return self._each(self._forward, z, inputs)
        return self._each(lambda weights: self._forward(weights, inputs), z)

    def loss(self, loss: Loss, data: Any, *, batch_size: int = 256) -> Callable[[Tensor], Tensor]:
        """Return the mean loss over a data set as a function of points of the whitened space.

        Parameters
        ----------
        loss : callable
            ``loss(outputs, targets)`` of a batch: the average over its examples, or one value for each.
        data : object
            What `genbounds.models.blocks.Blocks` takes: a pair of tensors, a dataset.
        batch_size : int
            Examples that are evaluated at a time. Data sets of up to 64 MiB are read once, larger ones at each call.

        Returns
        -------
        callable
            Takes z of shape (B, d), returns B mean losses in float64, in the order of z; once differentiable in z,
            with memory for a few chains and one block whatever their numbers.
        """
        # What a network puts out in half precision is averaged in single precision at least.
        wide = torch.promote_types(self.dtype, torch.float32)

        def summed(inputs: Inputs, targets: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
            outputs, number = self._forward(weights, inputs), len(targets)
            value = loss(*(part.to(wide if part.is_floating_point() else part.dtype) for part in (outputs, targets)))
            if not isinstance(value, Tensor) or value.shape not in {(), (number,)} or not value.is_floating_point():
                shown = f"shape {tuple(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else repr(value)
                raise ModelError(
                    f"loss must be the average over the batch, or one value per example, ({number},), got {shown}. "
                    "Average over the positions of each example, as in loss.mean(dim=1)."
                )
            return value.double().sum() if value.ndim else value.double() * number

        blocks = Blocks(data, batch_size, device=self.device, dtype=self.dtype)
        found = _MeanOverData(self, summed, blocks, batch_size)
        self._check_average(loss, blocks)
        return found

    def errors(self, data: Any, *, batch_size: int = 256) -> Callable[[Tensor], Tensor]:
        """Return the share of errors on a data set, the 0-1 loss, as a function of points of the whitened space.

        The class is the first of those with the largest output; for a single output it is 1 where that is
        positive, else 0. Outputs with NaN or infinity are an error, whatever the target.

        Parameters
        ----------
        data : object
            As for `loss`, with targets that are classes, counted from 0.
        batch_size : int
            As for `loss`.

        Returns
        -------
        callable
            Takes z of shape (B, d), returns B shares of errors in float64: multiples of 1 / n, without a gradient.
        """

        def summed(inputs: Inputs, targets: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
            outputs = self._forward(weights, inputs)
            if outputs.ndim not in {1, 2} or targets.shape != outputs.shape[:1] or targets.is_floating_point():
                raise ModelError(
                    f"model must return logits of shape (n, classes) for targets that are classes, got outputs of "
                    f"shape {tuple(outputs.shape)} and targets of shape {tuple(targets.shape)} and {targets.dtype}. "
                    "Pass a loss function to NetworkPrior.loss instead."
                )
            columns = outputs.reshape(len(outputs), -1)
            classes = max(2, columns.shape[1])
            if ((targets < 0) | (targets >= classes)).any():
                raise ModelError(
                    f"targets must be classes from 0 to {classes - 1}, got {int(targets.min())} to "
                    f"{int(targets.max())}. Check that model and data belong together and that classes count from 0."
                )
            known = columns.isfinite().all(dim=1)
            chosen = (columns[:, 0] > 0).long() if columns.shape[1] == 1 else columns.argmax(dim=1)
            return (~known | (chosen != targets)).double().sum()

        blocks = Blocks(data, batch_size, device=self.device, dtype=self.dtype)
        return _MeanOverData(self, summed, blocks, batch_size, smooth=False)

    def _each(self, function: Callable[..., Tensor], z: Tensor, *own: Any) -> Tensor:
        """Call a function with the weights of each network, and with its part of what has one for each."""
        weights = self.weights(z)
        with _plain_attention():
            if not self._one_by_one:
                try:
                    return vmap(function)(weights, *own)
                except RuntimeError:  # what vmap raises for an operation without a rule, and for a look at a value
                    self._one_by_one = True
            rows = ({name: value[row] for name, value in weights.items()} for row in range(len(z)))
            return torch.stack([function(row, *(part[k] for part in own)) for k, row in enumerate(rows)])

    def _forward(self, weights: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
        args, kwargs = ((), dict(inputs)) if isinstance(inputs, Mapping) else ((inputs,), {})
        outputs = functional_call(self._model, dict(weights), args, kwargs)
        if not isinstance(outputs, Tensor) or outputs.ndim == 0 or len(outputs) != number_of(inputs):
            got = f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
            raise ModelError(f"model must return one row of outputs per example, got {got}. Wrap it to do so.")
        return outputs

    def _check_average(self, loss: Loss, blocks: Blocks) -> None:
        """Refuse a loss that adds up over the examples of a batch."""
        block = blocks.read(0)
        noise = torch.randn(
            1, self.dimension, generator=stream(0, "check of a loss", device=self.device), device=self.device
        )
        with torch.no_grad():
            outputs, targets = self.outputs(noise, rows_of(block.inputs, slice(0, 1)))[0], block.targets[:1]
            once = loss(outputs, targets)
            again = loss(torch.cat([outputs, outputs]), torch.cat([targets, targets]))
        if once.ndim == 0 and not torch.allclose(once, again, equal_nan=True):
            raise ModelError(
                f"loss must be the average over the batch, or one value per example, got {float(once):g} for one "
                f"example and {float(again):g} for the same twice. Divide a sum by the number of examples."
            )

    def _numbers_per_example(self, inputs: Inputs) -> int:
        """Count the numbers that all modules put out for one example."""
        seen: list[int] = []

        def note(_module: nn.Module, _args: Any, output: Any) -> None:
            seen.append(output.numel() if isinstance(output, Tensor) else 0)

        handles = [module.register_forward_hook(note) for module in self._model.modules()]
        try:
            with torch.no_grad():
                self._model(**inputs) if isinstance(inputs, Mapping) else self._model(inputs)
        finally:
            for handle in handles:
                handle.remove()
        return max(1, sum(seen) // number_of(inputs))


#: Sum of the losses of a block's examples for one network.
_Summed = Callable[[Inputs, Tensor, Mapping[str, Tensor]], Tensor]


class _MeanOverData:
    """The mean over a data set of what `summed` adds up over a block, for many networks."""

    def __init__(
        self, prior: NetworkPrior, summed: _Summed, blocks: Blocks, batch_size: int, *, smooth: bool = True
    ) -> None:
        self._prior, self._summed, self._blocks, self._smooth = prior, summed, blocks, smooth
        self._size = min(int(count("batch_size", batch_size)), blocks.number)
        first = blocks.read(0)
        read = [first.targets, *(first.inputs.values() if isinstance(first.inputs, Mapping) else [first.inputs])]
        bytes_each = sum(part.numel() * part.element_size() for part in read) / len(first.index)
        self._read = None
        if bytes_each * blocks.number <= _KEPT:
            self._read = [(block.inputs, block.targets) for block in map(blocks.read, self._numbers())]
        two = rows_of(first.inputs, slice(0, min(2, len(first.index))))
        # Weights, their gradient and the pieces they are made of; activations forward and backward.
        numbers = 4 * prior.dimension + 2 * self._size * prior._numbers_per_example(two)
        self._chains = max(1, _ROOM // (numbers * torch.finfo(prior.dtype).bits // 8))

    def __call__(self, z: Tensor) -> Tensor:
        if self._smooth and z.requires_grad and torch.is_grad_enabled():
            return _WithGradient.apply(z, self)
        with torch.no_grad():
            return torch.cat([self.of_chains(part) for part in z.split(self._chains)]).to(z.device)

    def of_chains(self, z: Tensor) -> Tensor:
        """Evaluate a few networks, block by block."""
        return torch.stack(list(self._terms(z))).sum(0) / self._blocks.number

    def with_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate networks and the gradients in z, a few at a time, block by block."""
        values, slopes = [], []
        for part in z.detach().split(self._chains):
            leaf = part.requires_grad_()
            value, slope = torch.zeros(len(part), dtype=torch.float64, device=z.device), torch.zeros_like(part)
            with torch.enable_grad():
                for term in self._terms(leaf):
                    (piece,) = torch.autograd.grad(term.sum(), leaf)
                    value += term.detach().to(z.device)
                    slope += piece
            values.append(value / self._blocks.number)
            slopes.append(slope / self._blocks.number)
        return torch.cat(values), torch.cat(slopes)

    def _numbers(self) -> range:
        return range(-(-self._blocks.number // self._size))

    def _terms(self, z: Tensor) -> Iterator[Tensor]:
        """Yield the sums of the blocks; each has a graph of its own."""
        stored = self._read
        for number in self._numbers():
            if stored is None:
                block = self._blocks.read(number)
                inputs, targets = block.inputs, block.targets
            else:
                inputs, targets = stored[number]
            yield self._prior._each(partial(self._summed, inputs, targets), z)


class _WithGradient(torch.autograd.Function):
    """Values with a gradient that is computed beside them, so that no graph of more than one block is held."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, mean: _MeanOverData) -> Tensor:
        value, slope = mean.with_gradient(z)
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return outer.to(slope)[:, None] * slope, None


def _scales(
    model: nn.Module, shapes: Mapping[str, torch.Size], scales: float | Mapping[str, float] | None
) -> dict[str, float]:
    if scales is not None and not isinstance(scales, Mapping):
        return dict.fromkeys(shapes, float(positive("scales", scales)))
    given = dict(scales or {})
    unknown = sorted(set(given) - set(shapes))
    if unknown:
        raise ValueError(f"scales must name parameters of the model, got {unknown[0]!r}. It has {', '.join(shapes)}.")
    checked = {name: float(positive(f"scales[{name!r}]", value)) for name, value in given.items()}
    return {name: _fan_in(model, name, shape) ** -0.5 for name, shape in shapes.items()} | checked


def _fan_in(model: nn.Module, name: str, shape: torch.Size) -> float:
    """Return how many numbers an output of the parameter's layer adds up, apart from the bias."""
    path, _, own = name.rpartition(".")
    layer = model.get_submodule(path)
    if "bias" in own:
        weight = getattr(layer, own.replace("bias", "weight"), None)
        shape = weight.shape if isinstance(weight, Tensor) else shape
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag | nn.LayerNorm | nn.RMSNorm) or len(shape) < 2:
        return 1.0
    if isinstance(layer, _ConvTransposeNd):
        return shape[0] / layer.groups * math.prod(shape[2:]) / math.prod(layer.stride)
    return shape[1:].numel()


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Run attention by its separate steps, the fused ones cannot run many networks at once."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
