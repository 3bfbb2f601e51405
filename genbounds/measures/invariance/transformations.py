"""Changes of a network's weights that keep its function: in exact arithmetic all, in floating point to rounding."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genbounds.measures.invariance.chains import Chain
from genbounds.models.guards import ModelError

__all__ = ["TRANSFORMATIONS"]


def rescale_layers(model: nn.Module, chains: Sequence[Chain], generator: np.random.Generator) -> None:
    """Multiply all units of a chain by one power of two, and divide by it in the layer that sees them.

    Parameters
    ----------
    model : nn.Module
        The network, changed in place.
    chains : sequence of Chain
        Its hidden units.
    generator : numpy.random.Generator
        Source of the powers, from 1/8 to 8 but not 1.

    Raises
    ------
    ModelError
        If no chain is positively homogeneous.
    """
    for chain in _homogeneous(chains):
        power = float(generator.choice([-3, -2, -1, 1, 2, 3]))
        _multiply(model, chain, torch.full((_units(model, chain),), 2.0**power))


def rescale_neurons(model: nn.Module, chains: Sequence[Chain], generator: np.random.Generator) -> None:
    """Multiply every unit by its own power of two, 2^k with probability 2^-(k+1), and divide by it where it is seen.

    Powers of two change no bit of the function. The law has heavy tails on purpose: it makes of any spectrum one that
    looks like a power law.

    Parameters
    ----------
    model : nn.Module
        The network, changed in place.
    chains : sequence of Chain
        Its hidden units.
    generator : numpy.random.Generator
        Source of the powers.

    Raises
    ------
    ModelError
        If no chain is positively homogeneous.
    """
    for chain in _homogeneous(chains):
        powers = generator.geometric(0.5, _units(model, chain)) - 1
        _multiply(model, chain, torch.from_numpy(2.0**powers))


def permute_units(model: nn.Module, chains: Sequence[Chain], generator: np.random.Generator) -> None:
    """Put the units of every chain in another order.

    Parameters
    ----------
    model : nn.Module
        The network, changed in place.
    chains : sequence of Chain
        Its hidden units.
    generator : numpy.random.Generator
        Source of the order.

    Raises
    ------
    ModelError
        If there is no chain.
    """
    for chain in _some(chains):
        order = torch.from_numpy(generator.permutation(_units(model, chain)))
        _index(model, chain, order)


@torch.no_grad()
def fold_normalisation(model: nn.Module, chains: Sequence[Chain], _: np.random.Generator) -> None:
    """Write every batch normalisation that follows a layer at once into the weights of that layer.

    Parameters
    ----------
    model : nn.Module
        The network, changed in place.
    chains : sequence of Chain
        Its hidden units.
    _ : numpy.random.Generator
        Nothing is drawn.

    Raises
    ------
    ModelError
        If there is none.
    """
    folded = [chain for chain in chains if chain.adjacent]
    if not folded:
        raise ModelError("no batch normalisation follows a layer of weights at once")
    for chain in folded:
        layer: Any = model.get_submodule(chain.producer)
        norm: Any = model.get_submodule(chain.norms[0])
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        offset = layer.bias if layer.bias is not None else torch.zeros_like(gain)
        bias = norm.bias + gain * (offset - norm.running_mean)
        layer.weight = nn.Parameter(_broadcast(gain, layer.weight) * layer.weight)
        layer.bias = nn.Parameter(bias)
        model.set_submodule(chain.norms[0], nn.Identity().train(norm.training))


def pad_units(model: nn.Module, chains: Sequence[Chain], generator: np.random.Generator) -> None:
    """Add a quarter more units to every chain, copies of some of its own, which the layer behind does not look at.

    Parameters
    ----------
    model : nn.Module
        The network, changed in place.
    chains : sequence of Chain
        Its hidden units.
    generator : numpy.random.Generator
        Source of the choice of units to copy.

    Raises
    ------
    ModelError
        If there is no chain.
    """
    for chain in _some(chains):
        units = _units(model, chain)
        more = generator.integers(0, units, max(1, units // 4))
        order = torch.from_numpy(np.concatenate([np.arange(units), more]))
        _index(model, chain, order)
        consumer: Any = model.get_submodule(chain.consumer)
        seen = (torch.arange(len(order)) < units).repeat_interleave(consumer.weight.shape[1] // len(order))
        with torch.no_grad():
            consumer.weight.mul_(_broadcast(seen.to(consumer.weight), consumer.weight, 1))


#: By the name that a table gives them.
TRANSFORMATIONS: dict[str, Callable[[nn.Module, Sequence[Chain], np.random.Generator], None]] = {
    "layers rescaled": rescale_layers,
    "neurons rescaled": rescale_neurons,
    "units permuted": permute_units,
    "batch norm folded": fold_normalisation,
    "dead units added": pad_units,
}


def _some(chains: Sequence[Chain]) -> Sequence[Chain]:
    if not chains:
        raise ModelError("no hidden units that two layers of weights alone see")
    return chains


def _homogeneous(chains: Sequence[Chain]) -> list[Chain]:
    found = [chain for chain in chains if chain.homogeneous]
    if not found:
        raise ModelError("no hidden units between two layers of weights that pass ReLU and its like alone")
    return found


def _units(model: nn.Module, chain: Chain) -> int:
    producer: Any = model.get_submodule(chain.producer)
    return len(producer.weight)


def _broadcast(values: Tensor, like: Tensor, axis: int = 0) -> Tensor:
    return values.reshape([-1 if place == axis else 1 for place in range(like.ndim)])


def _block(model: nn.Module, chain: Chain) -> int:
    """Return how many inputs of the consumer belong to one unit: its places, where a convolution is flattened."""
    consumer: Any = model.get_submodule(chain.consumer)
    inputs, units = consumer.weight.shape[1], _units(model, chain)
    if inputs % units:
        raise ModelError(f"{chain.consumer} must see the units of {chain.producer} and no others, got {inputs} inputs")
    return int(inputs // units)


@torch.no_grad()
def _multiply(model: nn.Module, chain: Chain, factors: Tensor) -> None:
    gain: Any = model.get_submodule((chain.producer, *chain.norms)[-1])
    consumer: Any = model.get_submodule(chain.consumer)
    factor = factors.to(gain.weight)
    gain.weight.mul_(_broadcast(factor, gain.weight))
    if gain.bias is not None:
        gain.bias.mul_(factor)
    consumer.weight.div_(_broadcast(factor.repeat_interleave(_block(model, chain)), consumer.weight, 1))


@torch.no_grad()
def _index(model: nn.Module, chain: Chain, order: Tensor) -> None:
    """Take units in another order, or several times."""
    block = _block(model, chain)
    consumer: Any = model.get_submodule(chain.consumer)
    columns = (order[:, None] * block + torch.arange(block)).flatten().to(consumer.weight.device)
    consumer.weight = nn.Parameter(consumer.weight.index_select(1, columns), consumer.weight.requires_grad)
    for name in (chain.producer, *chain.norms):
        layer: Any = model.get_submodule(name)
        for own, value in list(layer._parameters.items()):
            if value is not None:
                layer._parameters[own] = nn.Parameter(
                    value.index_select(0, order.to(value.device)), value.requires_grad
                )
        for own, value in list(layer._buffers.items()):
            if value is not None and value.ndim:
                layer._buffers[own] = value.index_select(0, order.to(value.device))
        _set_sizes(layer, ("out_features", "out_channels", "num_features"), len(order))
    _set_sizes(consumer, ("in_features", "in_channels"), len(columns))


def _set_sizes(layer: nn.Module, names: tuple[str, ...], size: int) -> None:
    for name in names:
        if hasattr(layer, name):
            setattr(layer, name, size)
