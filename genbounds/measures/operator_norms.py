"""Norms of convolutions as the linear maps that they are, not of their flattened kernels."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from genbounds.measures.records import Measure, Refusal
from genbounds.models.guards import ModelError
from genbounds.numerics.lanczos import extreme_eigenvalues

__all__ = ["OperatorNorm", "convolution_norm", "operator_norm_measures"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class OperatorNorm:
    """Largest factor by which a linear map stretches an input.

    Attributes
    ----------
    value : float
        The norm, or what Lanczos iterations found of it: at most the norm but for rounding.
    limit : float
        Not below the norm with probability 1 - 10^-6 over the start of the iterations; up to rounding.
    method : str
        How it was computed.
    """

    value: float
    limit: float
    method: str


@torch.no_grad()
def convolution_norm(layer: nn.Module, shape: tuple[int, ...], *, seed: int = 0) -> OperatorNorm:
    """Compute the operator norm of a convolution on inputs of one shape, bias left out.

    Parameters
    ----------
    layer : Conv1d, Conv2d or Conv3d
        The convolution.
    shape : tuple of int
        Channels and sides of its input.
    seed : int
        Seed of the start vector.

    Returns
    -------
    OperatorNorm
        From the Fourier transform of the kernel where the padding is circular, the stride 1, and the image keeps its
        size: the norm is the largest singular value of the transform's c_out x c_in matrices over all frequencies
        [Sedghi2019]_. Elsewhere from Lanczos iterations on A^T A, A the map itself: float64, and a hundred images of
        memory or so.

    Raises
    ------
    ModelError
        If the layer is no convolution, or the shape does not fit it.

    Examples
    --------
    >>> layer = nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular")
    >>> _ = nn.init.ones_(layer.weight)
    >>> found = convolution_norm(layer, (1, 8))
    >>> round(found.value, 12), found.method
    (3.0, 'Fourier transform of the kernel')
    """
    if not isinstance(layer, _CONVOLUTIONS):
        raise ModelError(f"layer must be Conv1d, Conv2d or Conv3d, got {type(layer).__name__}. Take its matrix's norm.")
    kernel = layer.weight.detach().double()
    sides, axes = shape[1:], tuple(range(2, kernel.ndim))
    if len(sides) != len(axes) or shape[0] != layer.in_channels:
        raise ModelError(f"shape must hold {layer.in_channels} channels and {len(axes)} sides, got {shape}. Check it.")
    places = zip(_padding(layer), kernel.shape[2:], sides, strict=True)
    keeps = all(2 * padding == size - 1 and size <= side for padding, size, side in places)
    plain = layer.groups == 1 and set(layer.stride) == {1} and set(layer.dilation) == {1}
    if layer.padding_mode == "circular" and plain and keeps:
        matrices = torch.fft.fftn(kernel, s=list(sides), dim=list(axes)).movedim((0, 1), (-2, -1))
        value = float(torch.linalg.matrix_norm(matrices, ord=2).max())
        return OperatorNorm(value, value, "Fourier transform of the kernel")
    return _by_lanczos(layer, kernel, shape, seed)


def _padding(layer: Any) -> tuple[int, ...]:
    if isinstance(layer.padding, str):  # "valid" or "same"
        return tuple((size - 1) // 2 * (layer.padding == "same") for size in layer.kernel_size)
    return tuple(layer.padding)


def _by_lanczos(layer: Any, kernel: Tensor, shape: tuple[int, ...], seed: int) -> OperatorNorm:
    """Iterate on A^T A."""
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[kernel.ndim - 2]

    def forward(x: Tensor) -> Tensor:
        padding = layer.padding
        if layer.padding_mode != "zeros":
            x, padding = F.pad(x, layer._reversed_padding_repeated_twice, mode=layer.padding_mode), 0
        return convolve(x, kernel, None, layer.stride, padding, layer.dilation, layer.groups)

    zero = torch.zeros(1, *shape, dtype=torch.float64, device=kernel.device)

    def product(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        x = torch.from_numpy(vector).to(kernel.device).view_as(zero)
        with torch.enable_grad():
            probe = zero.clone().requires_grad_()
            # A linear map's transpose is the gradient of its inner product with a fixed vector.
            (back,) = torch.autograd.grad(forward(probe), probe, forward(x))
        return np.asarray(back.flatten().cpu().numpy(), dtype=np.float64)

    found = extreme_eigenvalues(product, zero.numel(), np.random.default_rng(seed))
    limit = math.sqrt(max(found.limits[1], 0.0))
    return OperatorNorm(math.sqrt(max(found.largest, 0.0)), limit, f"{found.steps} Lanczos steps")


@torch.no_grad()
def operator_norm_measures(model: nn.Module, example: Tensor, *, seed: int = 0) -> Measure | Refusal:
    """Compute the product of the squared operator norms of all linear and convolutional layers, as a logarithm.

    Parameters
    ----------
    model : nn.Module
        Network in evaluation mode.
    example : Tensor, shape (1, ...)
        One input, for the shapes that the convolutions see.
    seed : int
        Seed of the iterations' start vectors.

    Returns
    -------
    Measure or Refusal
        ``log_prod_of_operator_norms``: like ``log_prod_of_spec`` with each convolution's own norm in place of that of
        its flattened kernel, which on images that hold the kernel, padded with zeros or circularly, is smaller by up to
        the square root of the kernel's places. Refused where another layer has weights of two axes or more, runs on
        several shapes, is called by keyword or is all zeros.

    Examples
    --------
    >>> layer = nn.Linear(2, 2, bias=False).eval()
    >>> _ = nn.init.constant_(layer.weight, 0.5)
    >>> operator_norm_measures(layer, torch.ones(1, 2)).value.__round__(12)
    0.0
    """
    shapes: dict[str, list[tuple[int, ...] | None]] = {}
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, (nn.Linear, *_CONVOLUTIONS))}
    held = {id(value) for layer in layers.values() for value in layer.parameters(recurse=False)}
    strange = [name for name, value in model.named_parameters() if value.ndim > 1 and id(value) not in held]
    if strange:
        return Refusal("log_prod_of_operator_norms", f"{strange[0]} is no weight of a linear layer or convolution")
    handles = [
        layer.register_forward_pre_hook(
            lambda _, inputs, name=name: shapes.setdefault(name, []).append(
                tuple(inputs[0].shape[1:]) if inputs else None
            )
        )
        for name, layer in layers.items()
    ]
    try:
        model(example)
    finally:
        for handle in handles:
            handle.remove()
    logs = []
    for name, layer in layers.items():
        seen = set(shapes.get(name, []))
        shape = seen.pop() if len(seen) == 1 else None
        if shape is None:
            return Refusal("log_prod_of_operator_norms", f"{name} must see inputs of one shape, by position")
        if isinstance(layer, nn.Linear):
            norm = float(torch.linalg.matrix_norm(layer.weight.double(), ord=2))
        else:
            norm = convolution_norm(layer, shape, seed=seed).value
        if norm == 0:
            return Refusal("log_prod_of_operator_norms", f"{name} is all zeros, and ln 0 is no number")
        logs.append(2 * math.log(norm))
    return Measure("log_prod_of_operator_norms", math.fsum(logs), "ln prod of squared norms of the maps")
