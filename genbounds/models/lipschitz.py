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
from torch.nn.utils import parametrize

from genbounds.models.guards import ModelError

__all__ = ["lipschitz_constant"]

#: Entries of the largest matrices, the operator and the identity on its inputs, that are written out for its norm.
_ENTRIES = 2**22
#: Relative rounding allowed to a result in float64; to a Gram matrix and its eigenvalues, for each row and column and
#: in units of its trace, which is never below its norm.
_UNIT = 2.0**-49

_IDENTITIES = (nn.Identity, nn.Flatten, nn.Unflatten)
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_LINEAR = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_MAXIMA = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
#: Largest slopes of activations; those of GELU are at sqrt 2 and at 1.4185, that of SiLU at 2.3994, all rounded up.
_SLOPES: dict[type[nn.Module], Callable[[Any], float]] = {
    nn.ReLU: lambda _: 1.0,
    nn.ReLU6: lambda _: 1.0,
    nn.Hardtanh: lambda _: 1.0,
    nn.Tanh: lambda _: 1.0,
    nn.Softsign: lambda _: 1.0,
    nn.LogSigmoid: lambda _: 1.0,
    nn.CELU: lambda layer: 1.0 if layer.alpha > 0 else math.inf,
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
        inputs), rounded up; weights that are made of others, as `torch.nn.utils.parametrizations` do, are taken as they
        come out. For larger ones sqrt(|A|_1 |A|_inf), the geometric mean of the largest absolute column and
        row sums, which is never below it; padding, stride and dilation are counted. For max pooling the root of the
        number of windows that share an input. For the rest the largest slope.

    Raises
    ------
    ModelError
        If nothing is declared for the module, and it is not known (a subclass with a `forward` of its own is not), is
        dropout or batch normalisation in training mode, or has weights that are not finite.

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
        return constant * (1 + len(layer) * 2.0**-52)
    known = _known(layer, shape)
    if known is None:
        raise ModelError(
            f"lipschitz must have a constant for {name or 'the model'}, got none for a {type(layer).__name__}. Declare "
            "one, or math.inf for distances without limits: lipschitz={'name': constant}; or name layers around it."
        )
    if math.isnan(known):
        raise ModelError(f"weights must be finite, got others in {name or 'the model'}. Train it again.")
    return known


def _known(layer: Any, shape: tuple[int, ...]) -> float | None:
    """Return the constant of a single layer; None if it is not known."""

    def is_one_of(*kinds: type[nn.Module]) -> bool:
        # Subclasses pass that compute the same, such as parametrised layers; a `forward` of their own may do anything.
        return any(isinstance(layer, kind) and type(layer).forward is kind.forward for kind in kinds)

    if type(layer) in _SLOPES:
        return _SLOPES[type(layer)](layer)
    if is_one_of(*_IDENTITIES) or (is_one_of(*_DROPOUTS) and not layer.training):
        return 1.0
    if is_one_of(nn.Linear):
        return _spectral_norm(layer.weight.detach().to("cpu", torch.float64))
    if is_one_of(*_LINEAR):
        return _operator_norm(layer, shape)
    if is_one_of(*_MAXIMA):
        return math.sqrt(_overlap(layer, len(shape) - 1)) * (1 + _UNIT)
    if is_one_of(*_NORMS) and not layer.training and layer.running_var is not None:
        scale = torch.rsqrt(layer.running_var.double() + layer.eps)
        weighed = scale if layer.weight is None else scale * layer.weight.detach().double().abs()
        return float(weighed.max()) * (1 + _UNIT)
    return None


def _image(layer: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of one output."""
    tensor = next((t for t in (*layer.parameters(), *layer.buffers()) if t.is_floating_point()), torch.zeros(0))
    with torch.no_grad():
        return tuple(layer(torch.zeros((1, *shape), dtype=tensor.dtype, device=tensor.device)).shape[1:])


def _spectral_norm(matrix: Tensor) -> float:
    size = float(matrix.abs().max())
    if size == 0 or not math.isfinite(size):
        return size if size == 0 else math.nan
    scaled = matrix / size  # so that squares neither overflow nor underflow
    gram = scaled @ scaled.T if matrix.shape[0] <= matrix.shape[1] else scaled.T @ scaled
    largest = float(torch.linalg.eigvalsh(gram)[-1]) + float(gram.trace()) * sum(matrix.shape) * _UNIT
    return size * math.sqrt(largest) * (1 + _UNIT)


def _operator_norm(layer: nn.Module, shape: tuple[int, ...]) -> float:
    """Bound the norm of a layer that is linear up to its bias, which is left out."""
    linear = deepcopy(layer)
    for name in list(getattr(linear, "parametrizations", ())):
        parametrize.remove_parametrizations(linear, name)  # leaves the parameter that comes out of them
    linear = linear.to("cpu", torch.float64)
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
