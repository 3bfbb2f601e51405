"""Hidden units of a network, found in its graph: which layer makes them, which layers see them, and what is between."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.nn import functional as F

from genbounds.models.guards import ModelError

__all__ = ["Chain", "find_chains"]

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
#: Act on each unit by itself, and f(c x) = c f(x) for c > 0.
_HOMOGENEOUS = (
    *(nn.ReLU, nn.LeakyReLU, nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    *(F.relu, F.leaky_relu, F.dropout, F.max_pool1d, F.max_pool2d, F.avg_pool1d, F.avg_pool2d),
    *(F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, torch.relu, torch.flatten, torch.mean),
    *("relu", "flatten", "view", "reshape", "contiguous", "mean"),
)
#: Act on each unit by itself.
_UNITWISE = (
    *(nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.SELU, nn.CELU, nn.Softplus, nn.Mish, nn.ReLU6, nn.Hardtanh),
    *(torch.tanh, torch.sigmoid, F.gelu, F.silu, F.elu, F.softplus, F.mish, F.relu6, "tanh", "sigmoid"),
)


@dataclass(frozen=True)
class Chain:
    """Hidden units between two layers of weights, seen by nobody else.

    Attributes
    ----------
    producer : str
        Linear or convolution whose outputs they are.
    norms : tuple of str
        Batch normalisations that they pass.
    adjacent : bool
        Whether the first of them follows the producer at once, so that both are one linear map.
    consumer : str
        Linear or convolution whose inputs they are.
    homogeneous : bool
        Whether everything after the last layer that holds a gain for each unit is positively homogeneous: units may
        then be multiplied by positive numbers there, and divided in the consumer.
    """

    producer: str
    norms: tuple[str, ...]
    adjacent: bool
    consumer: str
    homogeneous: bool


def find_chains(model: nn.Module) -> tuple[Chain, ...]:
    """Find the hidden units of a network that may be permuted, and those that may be rescaled.

    Parameters
    ----------
    model : nn.Module
        A network that torch.fx can trace: no control flow that depends on values.

    Returns
    -------
    tuple of Chain
        In the order of computation. Layers that run twice, share weights or are grouped are in none.

    Raises
    ------
    ModelError
        If the network cannot be traced.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> find_chains(model)
    (Chain(producer='0', norms=(), adjacent=False, consumer='2', homogeneous=True),)
    """
    try:
        graph = fx.Tracer().trace(model)
    except Exception as error:  # whatever the network's own code raises on a proxy
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"the network must be one that torch.fx can trace, got: {first}") from error
    layers = dict(model.named_modules())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    owners = Counter(id(value) for _, value in model.named_parameters(remove_duplicate=False))

    def own(node: fx.Node, kinds: tuple[type, ...]) -> bool:
        """Say whether a node is a layer of a kind that runs once and whose weights are plain and its own."""
        layer = layers.get(str(node.target)) if node.op == "call_module" else None
        if (
            type(layer) not in kinds
            or layer is None
            or calls[node.target] > 1
            or layer._parameters.get("weight") is None
        ):
            return False
        return getattr(layer, "groups", 1) == 1 and all(owners[id(value)] == 1 for value in layer.parameters())

    return tuple(chain for node in graph.nodes if own(node, _LAYERS) for chain in _follow(node, layers, own))


def _follow(
    start: fx.Node, layers: dict[str, nn.Module], own: Callable[[fx.Node, tuple[type, ...]], bool]
) -> Iterator[Chain]:
    """Follow a layer's outputs as long as one node alone sees them."""
    norms: list[str] = []
    node, homogeneous, adjacent = start, True, False
    while len(node.users) == 1:
        before, (node,) = node, node.users
        if not node.args or node.args[0] is not before:
            return
        acting = type(layers.get(str(node.target))) if node.op == "call_module" else node.target
        if own(node, _LAYERS):
            yield Chain(str(start.target), tuple(norms), adjacent, str(node.target), homogeneous)
            return
        if own(node, _NORMS) and getattr(layers[str(node.target)], "running_mean", None) is not None:
            adjacent = adjacent or before is start
            norms.append(str(node.target))
            homogeneous = True
        elif acting in _UNITWISE:
            homogeneous = False
        elif acting not in _HOMOGENEOUS:
            return
