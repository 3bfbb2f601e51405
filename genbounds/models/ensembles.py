"""Many small networks trained at once: their weights stacked, and one step of the optimiser for all of them."""

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from genbounds.models.randomness import stream

__all__ = [
    "DTYPES",
    "Ensemble",
    "EnsembleTraining",
    "epoch_orders",
    "initial_network",
    "one_thread",
    "seeded",
    "train_ensemble",
]

#: Stacked weights, stacked buffers and inputs of shape (networks, batch, ...) to scores (networks, batch, classes).
Forward: TypeAlias = Callable[[Mapping[str, Tensor], Mapping[str, Tensor], Tensor], Tensor]

#: Layers without weights that act on each number, whatever axes stand in front of it.
_ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Identity)

#: Types of numbers by their names.
DTYPES = {"float32": torch.float32, "float64": torch.float64}

#: Examples that are predicted at a time.
_CHUNK = 256

_GLOBAL_GENERATOR = threading.RLock()


@dataclass(frozen=True)
class EnsembleTraining:
    """How each network is trained: on minibatches, in a fresh random order every epoch.

    Parameters
    ----------
    epochs : int
        Passes over the examples, >= 1.
    batch_size : int
        Examples a step, >= 1; the last batch of an epoch has what remains.
    optimiser : {"adam", "sgd"}
        Both act on each weight by itself, so that one optimiser of stacked weights is one for each network.
    learning_rate : float
        Positive.
    momentum : float
        Of SGD, in [0, 1).
    weight_decay : float
        Added to the gradient, times the weight; >= 0.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    epochs: int = 100
    batch_size: int = 16
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 3e-3
    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        for name, good, wanted in (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("optimiser", self.optimiser in {"adam", "sgd"}, "'adam' or 'sgd'"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "positive and finite"),
            ("momentum", 0 <= self.momentum < 1, "in [0, 1)"),
            ("momentum", self.momentum == 0 or self.optimiser == "sgd", "0 with adam, which has its own"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "non-negative and finite"),
        ):
            if not good:
                raise ValueError(f"{name} must be {wanted}, got {getattr(self, name)!r}. Change it or leave it out.")

    def prepare(self, weights: Sequence[Tensor], *, fused: bool = True) -> torch.optim.Optimizer:
        """Return the optimiser of some weights.

        Parameters
        ----------
        weights : sequence of Tensor
            Leaves with gradients.
        fused : bool
            Whether one kernel updates a whole tensor.

        Returns
        -------
        torch.optim.Optimizer
            Adam or SGD.
        """
        rate, decay = self.learning_rate, self.weight_decay
        if self.optimiser == "adam":
            return torch.optim.Adam(weights, lr=rate, weight_decay=decay, fused=fused)
        return torch.optim.SGD(weights, lr=rate, momentum=self.momentum, weight_decay=decay, fused=fused)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: sums then do not depend on the machine's cores, and small networks run faster.

    Yields
    ------
    None
        Afterwards the number of threads is what it was.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Lend torch's global generators, seeded, to code that draws from them, and put them back as they were.

    Parameters
    ----------
    seed : int
        In [0, 2^64). One thread at a time is let in.

    Yields
    ------
    None
        Afterwards the generators are as they were.
    """
    with _GLOBAL_GENERATOR, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def initial_network(build: Callable[[], nn.Module], seed: int, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Build a network whose initial weights depend on the seed alone.

    Parameters
    ----------
    build : callable
        Returns a fresh network; it may draw from torch's global generators.
    seed : int
        Seed of this network's training.
    dtype : torch.dtype
        Of its weights.

    Returns
    -------
    nn.Module
        The network on the CPU, in training mode.
    """
    with seeded(stream(seed, "initialisation").initial_seed()):
        return build().to(dtype).train()


def epoch_orders(seed: int, n: int, training: EnsembleTraining) -> Iterator[Tensor]:
    """Yield the order of the examples in each epoch.

    Parameters
    ----------
    seed : int
        Seed of this network's training.
    n : int
        Examples that it sees.
    training : EnsembleTraining
        How many epochs; where a batch holds all examples, their order stays as it is.

    Yields
    ------
    Tensor of int64, shape (n,)
        A permutation.
    """
    source = stream(seed, "order")
    for _ in range(training.epochs):
        yield torch.randperm(n, generator=source) if training.batch_size < n else torch.arange(n)


class Ensemble:
    """Networks of one architecture whose weights are stacked, so that all run at once.

    Parameters
    ----------
    build : callable
        Returns a fresh network, which treats each example by itself and draws nothing while it runs.
    seeds : sequence of int, length K
        Seed of the initial weights of each.
    inputs : Tensor, shape (m, ...)
        Some examples, on the device and in the dtype of the networks.

    Raises
    ------
    ValueError
        If a network's output for an example depends on the rest of the batch.
    """

    def __init__(self, build: Callable[[], nn.Module], seeds: Sequence[int], inputs: Tensor) -> None:
        dtype = inputs.dtype if inputs.is_floating_point() else torch.get_default_dtype()
        networks = [initial_network(build, seed, dtype).to(inputs.device) for seed in seeds]
        self._network = networks[0]
        _require_each_by_itself(self._network, inputs)
        self._weights, self._buffers = stack_module_state(networks)
        self._forward = _layers(self._network) or _mapped(self._network)

    def __len__(self) -> int:
        """Return the number of networks K."""
        return len(next(iter(self._weights.values())))

    @property
    def trained(self) -> list[Tensor]:
        """Stacked weights that require a gradient.

        Returns
        -------
        list of Tensor
            K of each along a first axis.
        """
        return [weight for weight in self._weights.values() if weight.requires_grad]

    def __call__(self, batch: Tensor) -> Tensor:
        """Run each network on its own batch.

        Parameters
        ----------
        batch : Tensor, shape (K, b, ...)
            Inputs.

        Returns
        -------
        Tensor, shape (K, b, ...)
            Outputs, differentiable in the weights.
        """
        return self._forward(self._weights, self._buffers, batch)

    def output_shape(self, inputs: Tensor) -> tuple[int, ...]:
        """Return the shape of the outputs for one example.

        Parameters
        ----------
        inputs : Tensor, shape (m, ...)
            Examples.

        Returns
        -------
        tuple of int
            Without the axes of networks and examples.

        Raises
        ------
        ValueError
            If the networks cannot be mapped, or give no row of outputs for each example.
        """
        two = inputs[[0, -1]].expand(len(self), 2, *inputs.shape[1:])
        name = type(self._network).__name__
        try:
            with torch.no_grad():
                shape = tuple(self(two).shape)
        except RuntimeError as error:
            raise ValueError(
                f"model must be one that torch.func.vmap can run, got {name}: {error} "
                "Train one network at a time by a function of your own."
            ) from error
        if shape[:2] != two.shape[:2]:
            raise ValueError(
                f"model must give a row of outputs for each example, got shape {shape[1:]} for two from {name}. "
                "Keep the first axis."
            )
        return shape[2:]

    def predict(self, examples: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """Run networks on the same examples, some at a time, without gradients.

        Parameters
        ----------
        examples : Tensor, shape (m, ...)
            Inputs.
        rows : Tensor of bool or int
            Which networks; by default all.

        Returns
        -------
        Tensor, shape (K, m, ...)
            Outputs.
        """
        with torch.no_grad():
            weights, buffers = (
                {name: value[rows] for name, value in each.items()} for each in (self._weights, self._buffers)
            )
            chosen = len(next(iter(weights.values())))
            chunks = [chunk.expand(chosen, *chunk.shape) for chunk in examples.split(_CHUNK)]
            return torch.cat([self._forward(weights, buffers, chunk) for chunk in chunks], dim=1)

    def train(self, mode: bool = True) -> None:
        """Set the mode of the networks.

        Parameters
        ----------
        mode : bool
            Training, or evaluation.
        """
        self._network.train(mode)

    def keep(self, rows: Tensor, optimiser: torch.optim.Optimizer) -> None:
        """Go on with some of the networks, and with what their optimiser knows of them.

        Parameters
        ----------
        rows : Tensor of bool or int
            Which.
        optimiser : torch.optim.Optimizer
            That of `trained`.
        """
        self._buffers = {name: value[rows] for name, value in self._buffers.items()}
        moved = {}
        for name, weight in self._weights.items():
            moved[weight] = self._weights[name] = weight.detach()[rows].requires_grad_(weight.requires_grad)
        for group in optimiser.param_groups:
            for weight in group["params"]:
                state = optimiser.state.pop(weight, {})
                optimiser.state[moved[weight]] = {
                    name: value[rows] if isinstance(value, Tensor) and value.shape == weight.shape else value
                    for name, value in state.items()
                }
            group["params"] = [moved[weight] for weight in group["params"]]


def train_ensemble(
    build: Callable[[], nn.Module],
    inputs: Tensor,
    targets: Tensor,
    members: Tensor,
    seeds: Sequence[int],
    training: EnsembleTraining,
    classes: int,
) -> Callable[[Tensor], Tensor]:
    """Train K networks by cross-entropy at once, each on its own examples; up to rounding as if each were alone.

    Parameters
    ----------
    build : callable
        Returns a fresh network, which treats each example by itself and draws nothing while it runs.
    inputs : Tensor, shape (m, ...)
        Pool of examples, on the device and in the dtype of the training.
    targets : Tensor of int64, shape (m,)
        Their classes.
    members : Tensor of int64, shape (K, n)
        Indices of the examples that each network is trained on.
    seeds : sequence of int, length K
        Seed of each training: its initial weights and the order of its examples.
    training : EnsembleTraining
        How.
    classes : int
        Number of classes, each of which the networks give a score.

    Returns
    -------
    callable
        Inputs of shape (m, ...) to scores of shape (K, m, classes), from the trained networks in evaluation mode.

    Raises
    ------
    ValueError
        If the networks cannot be trained together, or have another number of outputs.
    """
    ensemble = Ensemble(build, seeds, inputs)
    shape = ensemble.output_shape(inputs)
    if shape != (classes,):
        raise ValueError(
            f"model must give one score for each of {classes} classes, got outputs of shape {shape} for one example. "
            "Change its last layer."
        )
    optimiser = training.prepare(ensemble.trained)
    orders = zip(*(epoch_orders(seed, members.shape[1], training) for seed in seeds), strict=True)
    for order in orders:
        chosen = members.gather(1, torch.stack(order).to(members.device))
        for batch in chosen.split(training.batch_size, dim=1):
            optimiser.zero_grad()
            scores = ensemble(inputs[batch])
            # Each network's mean loss; their sum has each network's gradient in its own slice.
            loss = F.cross_entropy(scores.flatten(0, 1), targets[batch].flatten(), reduction="sum") / batch.shape[1]
            loss.backward()
            optimiser.step()
    ensemble.train(False)
    return ensemble.predict


def _mapped(network: nn.Module) -> Forward:
    """Map any network over its stacked weights."""

    def one(weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor], batch: Tensor) -> Tensor:
        return functional_call(network, (dict(weights), dict(buffers)), (batch,))

    return vmap(one, randomness="error")


def _layers(network: nn.Module) -> Forward | None:
    """Multiply the stacked matrices of a plain fully connected network, twice as fast as mapping it.

    Returns
    -------
    callable or None
        None if it has any other layer, a weight used twice, or hooks.
    """
    if type(network) is not nn.Sequential or network._forward_hooks or network._forward_pre_hooks:
        return None
    layers: list[tuple[str, Any]] = list(network._modules.items())
    names = dict(network.named_parameters())
    for name, layer in layers:
        if type(layer) is nn.Linear:
            plain = all(f"{name}.{own}" in names for own, _ in layer.named_parameters()) and f"{name}.weight" in names
        elif type(layer) is nn.Flatten:
            plain = (layer.start_dim, layer.end_dim) == (1, -1)
        else:
            plain = type(layer) in _ELEMENTWISE
        if not plain or layer._forward_hooks or layer._forward_pre_hooks:
            return None

    def forward(weights: Mapping[str, Tensor], _: Mapping[str, Tensor], batch: Tensor) -> Tensor:
        values = batch
        for name, layer in layers:
            if type(layer) is nn.Linear:
                matrix, bias = weights[f"{name}.weight"].transpose(1, 2), weights.get(f"{name}.bias")
                places, rows = values.shape[1:-1], values.flatten(1, -2)
                product = torch.bmm(rows, matrix) if bias is None else torch.baddbmm(bias.unsqueeze(1), rows, matrix)
                values = product.unflatten(1, places)
            else:
                values = values.flatten(2) if type(layer) is nn.Flatten else layer(values)
        return values

    return forward


def _require_each_by_itself(network: nn.Module, inputs: Tensor) -> None:
    some = inputs[:8]
    with torch.no_grad(), seeded(0):
        beside_others, beside_copies = network(some)[0], network(some[:1].expand_as(some))[0]
    if not torch.allclose(beside_others, beside_copies, rtol=1e-3, atol=1e-3):
        kinds = sorted({type(layer).__name__ for layer in network.modules() if "BatchNorm" in type(layer).__name__})
        raise ValueError(
            "model must treat each example by itself while it is trained, and draw nothing, got scores that depend on "
            f"the rest of the batch{': ' + ', '.join(kinds) if kinds else ''}. Use GroupNorm or LayerNorm and no "
            "dropout, or train one network at a time by a function of your own."
        )
