"""Upper bounds of the Lipschitz constants of layers, in the Euclidean norm of their flattened inputs and outputs.

Constants are rigorous: a spectral norm is computed where the matrix is small enough, and bounded by a rigorous
inequality where it is not; a module that is not known here has no constant until the caller declares one.
"""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from genbounds.models.guards import ModelError

__all__ = ["lipschitz_constant"]

#: Entries of the largest matrices, the operator and the identity on its inputs, that are written out for its norm.
_ENTRIES = 2**22
#: Relative rounding allowed to a norm in float64, for each row of the smaller Gram matrix.
_UNIT = 2.0**-49

_IDENTITIES = (nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_LINEAR = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_MAXIMA = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
#: Largest slopes of activations; those of GELU are at sqrt 2 and at 1.4189, that of SiLU at 2.3994, all rounded up.
_SLOPES: dict[type[nn.Module], Callable[[Any], float]] = {
    nn.ReLU: lambda _: 1.0,
    nn.ReLU6: lambda _: 1.0,
    nn.Hardtanh: lambda _: 1.0,
    nn.Tanh: lambda _: 1.0,
    nn.Softsign: lambda _: 1.0,
    nn.LogSigmoid: lambda _: 1.0,
    nn.CELU: lambda _: 1.0,
    nn.Sigmoid: lambda _: 0.25,
    nn.Softmax: lambda _: 0.5,
    nn.Hardswish: lambda _: 1.5,
    nn.SELU: lambda _: 1.7581,
    nn.SiLU: lambda _: 1.09984,
    nn.GELU: lambda layer: 1.12891 if layer.approximate == "none" else 1.12900,
    nn.ELU: lambda layer: max(1.0, abs(layer.alpha)),
    nn.LeakyReLU: lambda layer: max(1.0, abs(layer.negative_slope)),
    nn.PReLU: lambda layer: max(1.0, float(layer.weight.detach().abs().max())),
}


def lipschitz_constant(
    layer: nn.Module, shape: tuple[int, ...], declared: Mapping[str, float] | None = None, name: str = ""
) -> float:
    """Return an upper bound of a layer's Lipschitz constant.

    Parameters
    ----------
    layer : nn.Module
        A layer in evaluation mode: linear, convolution, pooling, batch normalisation, dropout (which is off), a known
        activation, or an ``nn.Sequential`` of such layers, whose constants multiply.
    shape : tuple of int
        Shape of one input, without the batch.
    declared : mapping of str to float, optional
        Constants of layers that are not known here, by their full names, non-negative; infinity if there is none.
    name : str
        The layer's full name.

    Returns
    -------
    float
        The spectral norm of an ``nn.Linear``, and of a convolution or average pooling whose matrix is small (up to 2048
        inputs), rounded up. For larger ones sqrt(|A|_1 |A|_inf), the geometric mean of the largest absolute column and
        row sums, which is never below it; padding, stride and dilation are counted. For max pooling the root of the
        number of windows that share an input. For the rest the largest slope.

    Raises
    ------
    ModelError
        If the module is not known and nothing is declared for it.

    Examples
    --------
    >>> from torch import nn
    >>> layer = nn.Linear(2, 2, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
    >>> round(lipschitz_constant(nn.Sequential(layer, nn.Tanh(), nn.Sigmoid()), (2,)), 12)
    0.75
    """
    if declared and name in declared:
        if not declared[name] >= 0:
            raise ModelError(f"lipschitz of {name} must be non-negative, got {declared[name]!r}. Declare a constant.")
        return float(declared[name])
    if type(layer) is nn.Sequential:
        constant = 1.0
        for child_name, child in layer.named_children():
            constant *= lipschitz_constant(child, shape, declared, f"{name}.{child_name}" if name else child_name)
            shape = _image(child, shape)
        return constant
    if isinstance(layer, _IDENTITIES):
        return 1.0
    if type(layer) in _SLOPES:
        return _SLOPES[type(layer)](layer)
    if isinstance(layer, nn.Linear):
        return _spectral_norm(layer.weight.detach().to("cpu", torch.float64))
    if isinstance(layer, _LINEAR):
        return _operator_norm(layer, shape)
    if isinstance(layer, _MAXIMA):
        return math.sqrt(_overlap(layer, len(shape) - 1))
    if isinstance(layer, _NORMS) and layer.running_var is not None:
        scale = torch.rsqrt(layer.running_var.double() + layer.eps)
        return float((scale if layer.weight is None else scale * layer.weight.detach().double().abs()).max()) * (
            1 + _UNIT
        )
    raise ModelError(
        f"lipschitz must have a constant for {name or 'the model'}, got none for a {type(layer).__name__}. Declare "
        "one, or math.inf for distances without limits: lipschitz={'name': constant}; or name layers around it."
    )


def _image(layer: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of one output."""
    tensor = next((t for t in (*layer.parameters(), *layer.buffers()) if t.is_floating_point()), torch.zeros(0))
    with torch.no_grad():
        return tuple(layer(torch.zeros((1, *shape), dtype=tensor.dtype, device=tensor.device)).shape[1:])


def _spectral_norm(matrix: Tensor) -> float:
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    largest = max(float(torch.linalg.eigvalsh(gram)[-1]), 0.0)
    return math.sqrt(largest) * (1 + sum(matrix.shape) * _UNIT)


def _operator_norm(layer: nn.Module, shape: tuple[int, ...]) -> float:
    """Bound the norm of a layer that is linear up to its bias, which is left out."""
    linear = deepcopy(layer).to("cpu", torch.float64)
    for parameter in linear.parameters():
        parameter.requires_grad_(False)
    if getattr(linear, "bias", None) is not None:
        linear.register_parameter("bias", None)
    inputs = math.prod(shape)
    if inputs * max(inputs, math.prod(_image(linear, shape))) <= _ENTRIES:
        return _spectral_norm(linear(torch.eye(inputs, dtype=torch.float64).reshape(-1, *shape)).reshape(inputs, -1))
    for parameter in linear.parameters():
        parameter.abs_()
    with torch.enable_grad():
        ones = torch.ones((1, *shape), dtype=torch.float64, requires_grad=True)
        rows = linear(ones)
        (columns,) = torch.autograd.grad(rows.sum(), ones)
    return math.sqrt(float(rows.detach().max()) * float(columns.max())) * (1 + 2.0**-30)


def _overlap(layer: Any, axes: int) -> int:
    """Return in how many windows of a pooling one input may lie, at most."""

    def spread(value: int | tuple[int, ...]) -> tuple[int, ...]:
        return value if isinstance(value, tuple) else (value,) * axes

    sizes = zip(spread(layer.kernel_size), spread(layer.stride), spread(layer.dilation), strict=True)
    # Of the taps k dilation, those that meet an input from windows at multiples of the stride agree modulo the stride.
    return math.prod(-(-size // (stride // math.gcd(stride, dilation))) for size, stride, dilation in sizes)
