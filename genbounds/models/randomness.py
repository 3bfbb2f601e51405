"""Random weights: reproducible streams, one draw for a whole set, and one fresh draw for every example.

A randomised predictor draws its weights from N(mean, diag(scale^2)), or, with a factor U of few columns, from
N(mean, diag(scale^2) + U U^T): given the standard normal coefficients c of the columns, from
N(mean + U c, diag(scale^2)). Two ways of evaluating it are here:

* `draw_weights`: one draw, shared by all examples of a pass (one plain forward pass with `functional_call`);
* `PerExampleForward`: every example meets its own independent draw, in one vectorised pass and without a loop over
  examples. Where a weight acts once per example (a `Linear` on flat input) the pre-activations are sampled
  instead of the weights: given the input they are independent Gaussians with known mean and variance, so the
  law of the output is the same and nothing of the size of the weights is drawn (the local reparametrisation of
  Kingma, Salimans and Welling 2015, used here as an identity in law and not as an approximation). Shared kernels and
  normalisation layers get real draws; whatever is not recognised gets real draws through `torch.func.vmap`, or, where
that does not know an operation, one example after the other.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

__all__ = ["Noise", "PerExampleForward", "draw_weights", "normal_noise", "stream"]

#: Standard normal variates of the shape asked for, on the device and in the dtype of the evaluation.
Noise: TypeAlias = Callable[..., Tensor]
Weights: TypeAlias = Mapping[str, Tensor]

#: Memory that real per-example draws may take at once; longer batches are evaluated in chunks.
_DRAW_BYTES = 128 * 2**20


def stream(seed: int, stage: str, number: int = 0, *, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator whose stream is a function of the arguments alone.

    A result then depends neither on the order of the work nor on what ran before, and an interrupted run can go on
    where it stopped. The CPU generator takes 32 bits of seed; they are hash(seed, stage) + number, so that two streams
    of one stage never coincide.

    Parameters
    ----------
    seed : int
        Seed of the whole computation.
    stage : str
        Name of the part of the computation.
    number : int
        Which stream of that stage (an epoch, a block).
    device : torch.device or str
        Where the variates are needed.

    Returns
    -------
    torch.Generator
        A fresh generator; the global one is never touched.
    """
    base = int.from_bytes(sha256(f"{seed} {stage}".encode()).digest()[:4])
    return torch.Generator(device=device).manual_seed((base + number) % 2**32)


def normal_noise(generator: torch.Generator, dtype: torch.dtype) -> Noise:
    """Return a source of standard normal tensors on the generator's device.

    Parameters
    ----------
    generator : torch.Generator
        Stream to draw from.
    dtype : torch.dtype
        Floating type of the evaluation. The variates have it too, but never less than float32: what they are added to
        is rounded to a narrower type once, afterwards.

    Returns
    -------
    callable
        ``noise(*shape) -> Tensor``.
    """
    wide = torch.promote_types(dtype, torch.float32)
    return lambda *shape: torch.randn(shape, generator=generator, device=generator.device, dtype=wide)


def draw_weights(mean: Weights, scale: Weights, noise: Noise, factor: Weights | None = None) -> dict[str, Tensor]:
    """Draw one set of weights from N(mean, diag(scale^2) + U U^T), in the order of the names of `mean`.

    Parameters
    ----------
    mean, scale : mapping of str to Tensor
        Means, and standard deviations that broadcast to them.
    noise : callable
        Source of standard normals (`normal_noise`); those of the factor come first.
    factor : mapping of str to Tensor, optional
        U by name: its columns along a first axis in front of those of the mean.

    Returns
    -------
    dict of str to Tensor
        The draw, in the dtypes of `mean`.
    """
    return _drawn(_Law(mean, scale, factor, None if factor is None else noise(_rank(factor))), (), noise)


def _shifted(mean: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
    return torch.addcmul(mean.to(noise.dtype), scale.to(noise.dtype), noise)


@dataclass(frozen=True)
class _Law:
    """N(mean + U coefficients, diag(scale^2)); coefficients of shape (rank,), or (batch, rank) for a law an example."""

    mean: Weights
    scale: Weights
    factor: Weights | None = None
    coefficients: Tensor | None = None

    def of_layer(self, name: str, layer: nn.Module) -> "_Law":
        mean, scale = (_of_layer(name, layer, part) for part in (self.mean, self.scale))
        return _Law(mean, scale, self.factor and _of_layer(name, layer, self.factor), self.coefficients)

    def centre(self, name: str, kind: torch.dtype) -> Tensor:
        mean = self.mean[name].to(kind)
        if self.factor is None or self.coefficients is None:
            return mean
        return mean + torch.tensordot(self.coefficients, self.factor[name].to(kind), 1)


def _rank(factor: Weights) -> int:
    return len(next(iter(factor.values())))


def _drawn(law: _Law, batch: tuple[int, ...], noise: Noise) -> dict[str, Tensor]:
    """Draw weights: one set, or one for each example of a batch."""
    drawn = {}
    for name, mean in law.mean.items():
        own = noise(*batch, *mean.shape)
        drawn[name] = _shifted(law.centre(name, own.dtype), law.scale[name], own).to(mean.dtype)
    return drawn


#: (layer, law of its weights, noise, input) to output; the layer is of a type that the rule knows.
Rule: TypeAlias = Callable[[Any, _Law, Noise, Tensor], Tensor]
Layers: TypeAlias = dict[str, tuple[nn.Module, Rule]]


def _linear(_: Any, law: _Law, noise: Noise, x: Tensor) -> Tensor:
    # z = W x + b with independent Gaussian entries is, given x, Gaussian with independent entries. All in the type of
    # the noise: a variance rounded to bfloat16 is that of another Gaussian, whose divergence nobody counted.
    own = noise(len(x), len(law.mean["weight"]))
    wide = x.to(own.dtype)
    mean, scale = ({name: value.to(own.dtype) for name, value in part.items()} for part in (law.mean, law.scale))
    bias_variance = scale["bias"].square() if "bias" in mean else None
    variance = F.linear(wide.square(), scale["weight"].square(), bias_variance)
    # The smallest float keeps the root's slope finite for an example whose inputs are all zero.
    deviation = (variance + torch.finfo(own.dtype).tiny).sqrt()
    centre = F.linear(wide, mean["weight"], mean.get("bias"))
    if law.factor is not None and law.coefficients is not None:
        columns = {name: value.to(own.dtype).flatten(0, 1) for name, value in law.factor.items()}
        moves = F.linear(wide, columns["weight"], columns.get("bias")).unflatten(1, (-1, len(mean["weight"])))
        centre = centre + torch.einsum("br,bro->bo", law.coefficients, moves)
    return _shifted(centre, deviation, own).to(x.dtype)


def _linear_positions(_: Any, law: _Law, noise: Noise, x: Tensor) -> Tensor:
    # The same weights act on every position of an example: draw them for real, one matrix an example.
    own = _drawn(law, (len(x),), noise)
    z = x.flatten(1, -2) @ own["weight"].transpose(1, 2)
    z = z + own["bias"].unsqueeze(1) if "bias" in own else z
    return z.reshape(*x.shape[:-1], -1)


def _convolution(layer: Any, law: _Law, noise: Noise, x: Tensor) -> Tensor:
    # One kernel an example is a grouped convolution over a single image that holds the whole batch as channels.
    batch = len(x)
    own = _drawn(law, (batch,), noise)
    padding: str | tuple[int, ...] = layer.padding
    if layer.padding_mode != "zeros":
        x, padding = F.pad(x, layer._reversed_padding_repeated_twice, mode=layer.padding_mode), (0,) * (x.ndim - 2)
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[x.ndim - 2]
    z = convolve(
        x.reshape(1, -1, *x.shape[2:]),
        own["weight"].flatten(0, 1),
        own["bias"].flatten() if "bias" in own else None,
        layer.stride,
        padding,
        layer.dilation,
        groups=batch * layer.groups,
    )
    return z.reshape(batch, -1, *z.shape[2:])


def _normalisation(layer: Any, law: _Law, noise: Noise, x: Tensor) -> Tensor:
    # Normalise without the affine part, then let every example meet its own gain and offset.
    own = _drawn(law, (len(x),), noise)
    if isinstance(layer, nn.LayerNorm):
        z = F.layer_norm(x, layer.normalized_shape, eps=layer.eps)
        places = (len(x), *(1,) * (x.ndim - 1 - len(layer.normalized_shape)), *layer.normalized_shape)
    elif isinstance(layer, nn.GroupNorm):
        z = F.group_norm(x, layer.num_groups, eps=layer.eps)
        places = (len(x), x.shape[1], *(1,) * (x.ndim - 2))
    else:
        z = F.batch_norm(x, layer.running_mean, layer.running_var, eps=layer.eps)
        places = (len(x), x.shape[1], *(1,) * (x.ndim - 2))
    z = z * own["weight"].reshape(places)
    return z + own["bias"].reshape(places) if "bias" in own else z


def _stacked(mean: Weights, batch: int) -> dict[str, Tensor]:
    return {name: value.expand(batch, *value.shape) for name, value in mean.items()}


class PerExampleForward:
    """Forward pass in which every example of a batch meets its own draw of all weights.

    On construction the model is probed with a few examples: which layers hold parameters, how often each runs and
    on what shape. A layer is treated by a rule of its own if it runs once per pass with the batch in front; a
    self-check then compares the rules, with zero scale and shifted weights, with `functional_call`. If
    any layer has no rule, or the check fails (a weight that is also used elsewhere, say), the whole model is
    evaluated by `torch.func.vmap` over real draws, which costs memory for them. A model that `vmap` cannot take
    (recurrent layers, control flow that looks at values) is called with the same draws example by example.

    Parameters
    ----------
    model : nn.Module
        Model in evaluation mode; all of its parameters are random.
    example : Tensor, shape (batch, ...)
        A few examples to probe with.

    Attributes
    ----------
    rules : dict of str to str
        What was chosen, by name of layer ("pre-activations", "real draws"), or ``{"": "vmap"}``, or
        ``{"": "one by one"}``.
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        self.model = model
        example = example[torch.arange(5) % len(example)]
        self._layers = self._find_rules(example)
        if self._layers is not None and not self._agrees(self._layers, example[:3]):
            self._layers = None
        self._vmap = self._layers is None and self._can_vmap(example[:2])
        named = {"": "vmap" if self._vmap else "one by one"} if self._layers is None else {}
        for name, (_, rule) in (self._layers or {}).items():
            named[name] = "pre-activations" if rule is _linear else "real draws"
        self.rules = named
        self._drawn = self._values_drawn_per_example()

    @torch.no_grad()
    def _find_rules(self, example: Tensor) -> Layers | None:
        holders = {
            name: layer
            for name, layer in self.model.named_modules()
            if next(layer.parameters(recurse=False), None) is not None
        }
        names = [name for name, _ in self.model.named_parameters(remove_duplicate=False)]
        if len(names) != len(list(self.model.parameters())):
            return None  # tied weights
        seen: dict[nn.Module, list[torch.Size]] = {layer: [] for layer in holders.values()}

        def note(layer: nn.Module, args: tuple[Any, ...]) -> None:
            # What is called by keyword, or not on a tensor, leaves a shape without a batch.
            seen[layer].append(args[0].shape if args and isinstance(args[0], Tensor) else torch.Size())

        handles = [layer.register_forward_pre_hook(note) for layer in holders.values()]
        # Two batch sizes, so that another axis cannot be taken for the batch.
        try:
            for batch in (3, 5):
                self.model(example.narrow(0, 0, batch))
        finally:
            for handle in handles:
                handle.remove()
        found: Layers = {}
        for name, layer in holders.items():
            rule = _rule_for(layer, len(seen[layer][0]) if seen[layer] else 0)
            if rule is None or [shape[:1] for shape in seen[layer]] != [(3,), (5,)]:
                return None
            found[name] = (layer, rule)
        return found

    @torch.no_grad()
    def _agrees(self, layers: Layers, example: Tensor) -> bool:
        shifted = {name: value * 1.25 + 0.01 for name, value in self.model.named_parameters()}
        still = {name: torch.zeros_like(value) for name, value in shifted.items()}
        kind = next(iter(still.values()))
        with _replaced(layers, _Law(shifted, still), lambda *shape: kind.new_zeros(shape)):
            ours = self.model(example)
        truth = functional_call(self.model, shifted, (example,))
        return torch.allclose(ours, truth, rtol=1e-3, atol=1e-3 * float(truth.abs().max()))

    @torch.no_grad()
    def _can_vmap(self, example: Tensor) -> bool:
        mean = dict(self.model.named_parameters())
        try:
            self._vmapped(_stacked(mean, len(example)), example)
        except RuntimeError:  # what vmap raises for an operation without a rule, and for a look at a value
            return False
        return True

    def _values_drawn_per_example(self) -> int:
        if self._layers is None:
            return sum(value.numel() for value in self.model.parameters())
        drawn = [layer for layer, rule in self._layers.values() if rule is not _linear]
        return sum(value.numel() for layer in drawn for value in layer.parameters(recurse=False))

    def __call__(
        self, mean: Weights, scale: Weights, inputs: Tensor, noise: Noise, factor: Weights | None = None
    ) -> Tensor:
        """Evaluate a batch with one fresh draw of N(mean, diag(scale^2) + U U^T) per example.

        Parameters
        ----------
        mean, scale : mapping of str to Tensor
            For every parameter of the model, by name; `scale` has the shapes of `mean`.
        inputs : Tensor, shape (batch, ...)
            The batch.
        noise : callable
            Source of standard normals (`normal_noise`), on the inputs' device.
        factor : mapping of str to Tensor, optional
            U by name: its columns along a first axis in front of those of the mean.

        Returns
        -------
        Tensor
            The model's output; row i was computed with the i-th draw. Differentiable in `mean`, `scale` and `factor`.
        """
        values = self._drawn
        if factor is not None and self._layers is not None:  # where pre-activations are sampled, one a column
            sampled = [name for name, (_, rule) in self._layers.items() if rule is _linear]
            values += _rank(factor) * sum(len(mean[f"{name}.weight" if name else "weight"]) for name in sampled)
        room = max(1, _DRAW_BYTES // max(1, values * inputs.element_size()))
        pieces = [self._evaluate(mean, scale, piece, noise, factor) for piece in inputs.split(room)]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _evaluate(self, mean: Weights, scale: Weights, inputs: Tensor, noise: Noise, factor: Weights | None) -> Tensor:
        coefficients = None if factor is None else noise(len(inputs), _rank(factor))
        law = _Law(mean, scale, factor, coefficients)
        if self._layers is not None:
            with _replaced(self._layers, law, noise):
                return self.model(inputs)
        own = _drawn(law, (len(inputs),), noise)
        if self._vmap:
            return self._vmapped(own, inputs)
        rows = [{name: value[row] for name, value in own.items()} for row in range(len(inputs))]
        return torch.stack([self._one(weights, example) for weights, example in zip(rows, inputs, strict=True)])

    def _vmapped(self, own: dict[str, Tensor], inputs: Tensor) -> Tensor:
        # Dropout, while a network is trained with noise, is each example's own too.
        return vmap(self._one, randomness="different")(own, inputs)

    def _one(self, weights: dict[str, Tensor], example: Tensor) -> Tensor:
        return functional_call(self.model, weights, (example.unsqueeze(0),)).squeeze(0)


@contextmanager
def _replaced(layers: Layers, law: _Law, noise: Noise) -> Iterator[None]:
    try:
        for name, (layer, rule) in layers.items():
            # An attribute of the instance hides the method of the class until it is deleted below.
            layer.forward = _once(name, rule, layer, law.of_layer(name, layer), noise)
        yield
    finally:
        for layer, _ in layers.values():
            layer.__dict__.pop("forward", None)


def _rule_for(layer: nn.Module, dimensions: int) -> Rule | None:
    # Pruning and the older weight and spectral norms compute the weight from parameters of other names.
    if {name for name, _ in layer.named_parameters(recurse=False)} not in ({"weight"}, {"weight", "bias"}):
        return None
    # Exact types: a subclass may compute something else.
    if type(layer) is nn.Linear:
        return _linear if dimensions == 2 else _linear_positions
    if type(layer) in (nn.Conv1d, nn.Conv2d, nn.Conv3d):
        return _convolution
    if type(layer) in (nn.LayerNorm, nn.GroupNorm):
        return _normalisation
    if type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d) and layer.running_mean is not None:
        return _normalisation
    return None


def _of_layer(name: str, layer: nn.Module, weights: Weights) -> dict[str, Tensor]:
    prefix = f"{name}." if name else ""
    return {own: weights[prefix + own] for own, _ in layer.named_parameters(recurse=False)}


def _once(name: str, rule: Rule, layer: nn.Module, law: _Law, noise: Noise) -> Callable[[Tensor], Tensor]:
    waiting = [rule]

    def forward(x: Tensor) -> Tensor:
        if not waiting:  # it would meet other weights than the first time
            raise ValueError(
                f"layer {name!r} must run once per pass, as it did when probed, but ran again. Give the model a depth "
                "that does not depend on its input."
            )
        return waiting.pop()(layer, law, noise, x)

    return forward
