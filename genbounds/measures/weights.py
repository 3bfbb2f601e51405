"""The weight matrices of a network, layer by layer, as the norms and spectra of this room read them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from genbounds.models.guards import ModelError

__all__ = ["WeightLayer", "weight_layers"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
#: Matrices that stand below each other in one weight of a recurrent layer.
_GATES = {"LSTM": 4, "LSTMCell": 4, "GRU": 3, "GRUCell": 3, "RNN": 1, "RNNCell": 1}


@dataclass(frozen=True)
class WeightLayer:
    """One weight matrix.

    Attributes
    ----------
    name : str
        Of the weight in the network's state dict, with its part where one weight holds several matrices.
    kind : str
        Class of the layer; "?" where only a state dict is known.
    matrix : Tensor, shape (outputs, inputs * places)
        float64, detached, on the weight's device. Kernels are flattened: an operator norm of this matrix is not that of
        the convolution (`convolution_norm`), which with zero padding may be larger by up to the square root of
        `places`.
    places : int
        Positions of a kernel, 1 for matrices.
    """

    name: str
    kind: str
    matrix: Tensor
    places: int = 1


def weight_layers(source: nn.Module | Mapping[str, Tensor]) -> Iterator[WeightLayer]:
    """Read the weight matrices of a network, one at a time; biases and normalisation layers have none.

    Parameters
    ----------
    source : nn.Module or mapping of str to Tensor
        A network, or the state dict of one. From a module: Linear, Conv1d to Conv3d, transposed convolutions,
        Embedding, the three projections of MultiheadAttention, each gate of RNN, LSTM and GRU; parametrised weights as
        they act, a tied weight once. From a state dict: every floating-point tensor of two axes or more, its first
        axis taken as the outputs, which is wrong for transposed convolutions, and gates and projections unseparated.

    Yields
    ------
    WeightLayer
        In the order of definition.

    Raises
    ------
    ModelError
        If a weight is not finite, or there is none.

    Examples
    --------
    >>> [(layer.name, tuple(layer.matrix.shape)) for layer in weight_layers(nn.LSTM(3, 5))][:2]
    [('weight_ih_l0[0]', (5, 3)), ('weight_ih_l0[1]', (5, 3))]
    """
    found = False
    for name, kind, matrix, places in _of_module(source) if isinstance(source, nn.Module) else _of_state(source):
        values = matrix.detach().double()
        if not bool(values.isfinite().all()):
            raise ModelError(f"weights must be finite, got NaN or infinity in {name}. Take an earlier checkpoint.")
        found = True
        yield WeightLayer(name, kind, values, places)
    if not found:
        raise ModelError("source must hold a weight matrix, got none. Pass the network, or its state dict.")


def _of_state(state: Mapping[str, Tensor]) -> Iterator[tuple[str, str, Tensor, int]]:
    for name, weight in state.items():
        if isinstance(weight, Tensor) and weight.is_floating_point() and weight.ndim > 1:
            yield name, "?", weight.flatten(1), weight.shape[2:].numel()


def _of_module(model: nn.Module) -> Iterator[tuple[str, str, Tensor, int]]:
    seen: set[int] = set()
    for prefix, layer in model.named_modules():
        for own, matrices, places in _matrices(layer):
            raw = layer._parameters.get(own)
            if raw is not None and id(raw) in seen:
                continue
            seen.add(id(raw))
            name = f"{prefix}.{own}" if prefix else own
            for part, matrix in enumerate(matrices):
                yield (name if len(matrices) == 1 else f"{name}[{part}]"), type(layer).__name__, matrix, places


def _matrices(layer: Any) -> Iterator[tuple[str, tuple[Tensor, ...], int]]:
    """Yield a layer's weights by name, each as its matrices."""
    if isinstance(layer, nn.Linear | nn.Embedding):
        yield "weight", (layer.weight,), 1
    elif isinstance(layer, _CONVOLUTIONS):
        yield "weight", (layer.weight.flatten(1),), layer.weight.shape[2:].numel()
    elif isinstance(layer, _TRANSPOSED):
        # Stored as (inputs, outputs of a group, kernel): inputs of a group to its outputs, the groups below each other.
        weight = layer.weight.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)
        yield "weight", (weight.flatten(1),), layer.weight.shape[2:].numel()
    elif isinstance(layer, nn.MultiheadAttention):
        if layer.in_proj_weight is not None:
            yield "in_proj_weight", layer.in_proj_weight.chunk(3), 1
        else:
            for own in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
                yield own, (getattr(layer, own),), 1
    elif type(layer).__name__ in _GATES and isinstance(layer, nn.RNNBase | nn.RNNCellBase):
        for own in [own for own, _ in layer.named_parameters(recurse=False) if own.startswith("weight")]:
            gates = 1 if own.startswith("weight_hr") else _GATES[type(layer).__name__]
            yield own, getattr(layer, own).chunk(gates), 1
