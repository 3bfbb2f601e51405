"""The path norm: the squared products of weights along all paths from inputs to outputs, summed in one pass."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbounds.measures.records import Measure, Refusal
from genbounds.numerics.checks import finite

__all__ = ["path_norm"]

_CONVOLUTIONS = {nn.Conv1d: F.conv1d, nn.Conv2d: F.conv2d, nn.Conv3d: F.conv3d}
#: Layers through which a path goes unchanged.
_PLAIN = (nn.ReLU, nn.Identity, nn.Dropout, nn.Flatten, nn.Unflatten)


@torch.no_grad()
def path_norm(model: nn.Module, shape: tuple[int, ...]) -> Measure | Refusal:
    """Sum the squared products of weights over all paths of a ReLU network [Jiang2020]_, eq. 43.

    Parameters
    ----------
    model : nn.Module
        A Sequential, nested or not, of Linear, Conv1d to Conv3d with zero padding, ReLU, Flatten, Unflatten, Identity
        and Dropout: there the number is what it is named after. Everything else is refused, attention and
        normalisation among it.
    shape : tuple of int
        Shape of one input.

    Returns
    -------
    Measure or Refusal
        Sum over the outputs of a pass of ones through the squared weights, biases left out: the sum over paths. It
        does not change when a neuron's incoming weights are multiplied and its outgoing ones divided by one number.

    Raises
    ------
    ValueError
        If the sum overflows.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> _ = nn.init.constant_(layer.weight, 3.0)
    >>> path_norm(layer, (2,)).value
    18.0
    """
    layers = list(_flattened(model))
    unknown = [layer for layer in layers if type(layer) not in {nn.Linear, *_CONVOLUTIONS, *_PLAIN}]
    unknown += [layer for layer in layers if type(layer) in _CONVOLUTIONS and layer.padding_mode != "zeros"]
    if unknown:
        return Refusal("path_norm", f"no rule for paths through {type(unknown[0]).__name__}")
    values = torch.ones(1, *shape, dtype=torch.float64, device=next(model.parameters()).device)
    for layer in layers:
        values = _step(layer, values)
    finite("path_norm", float(values.sum()), "The weights are too large to be squared in float64.")
    return Measure("path_norm", float(values.sum()), "43")


def _flattened(model: nn.Module) -> Iterator[nn.Module]:
    if type(model) is nn.Sequential:
        for layer in model:
            yield from _flattened(layer)
    else:
        yield model


def _step(layer: nn.Module, values: Tensor) -> Tensor:
    """Send the sums over paths through one layer: ReLU keeps what is positive, and dropout does not act."""
    if isinstance(layer, nn.Linear):
        return F.linear(values, layer.weight.double().square())
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        squared, convolve = layer.weight.double().square(), _CONVOLUTIONS[type(layer)]
        return convolve(values, squared, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    return layer(values) if isinstance(layer, nn.Flatten | nn.Unflatten) else values
