"""Covariances of networks with rectified linear units in the limit of infinite width.

Weights are N(0, weight_variance / fan_in), biases N(0, bias_variance), all independent. As the hidden layers grow, an
output of a random network becomes a Gaussian process [Lee2018]_, and training by gradient descent from there stays
linear in the weights [Jacot2018]_. Outputs are independent with the same kernel.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from genbounds.inductive_bias.gaussian.kernels import linear_kernel
from genbounds.numerics.checks import count, finite, nonnegative

__all__ = ["convolutional_kernel", "network_kernel", "tangent_kernel"]

#: Float64 numbers in an array of a chunk: small enough for a processor's cache.
_NUMBERS = 2**17
#: Sines of angles whose square is below this are rounding: the inputs are taken for parallel.
_PARALLEL = 64 * 2.0**-52


def network_kernel(
    inputs: ArrayLike, *, depth: int, weight_variance: float = 2.0, bias_variance: float = 0.0
) -> NDArray[np.float64]:
    """Return the covariance of the output of an infinitely wide fully connected random network.

    Parameters
    ----------
    inputs : array_like, shape (n, ...)
        Inputs, flattened to vectors.
    depth : int
        Hidden layers of rectified linear units, at least 0 (a linear model).
    weight_variance : float
        Variance of a weight times the number of inputs of its layer. With 2 a hidden layer keeps the scale.
    bias_variance : float
        Variance of a bias.

    Returns
    -------
    ndarray, shape (n, n)
        Covariances of the output, in the units of the output squared.

    Raises
    ------
    ValueError
        If an input is not finite, a variance negative, or the depth not a whole number of at least 0.

    Notes
    -----
    From K_0 = bias + weight x . x' / d each layer gives K_{l+1} = bias + weight E[relu(u) relu(v)] for
    (u, v) ~ N(0, K_l), and E[relu(u) relu(v)] = (sin t + (pi - t) cos t) sqrt(K_l(x, x) K_l(x', x')) / (2 pi) with t
    the angle of u and v [ChoSaul2009]_.

    Examples
    --------
    >>> network_kernel([[1.0, 0.0], [0.0, 1.0]], depth=1).round(4).tolist()  # orthogonal inputs: 1 / pi
    [[1.0, 0.3183], [0.3183, 1.0]]
    """
    kernel = _first(inputs, weight_variance, bias_variance)
    for _ in range(int(count("depth", depth, 0))):
        kernel = bias_variance + weight_variance * _outer_moments(kernel)[0]
    return kernel


def tangent_kernel(
    inputs: ArrayLike, *, depth: int, weight_variance: float = 2.0, bias_variance: float = 0.0
) -> NDArray[np.float64]:
    """Return the neural tangent kernel of an infinitely wide fully connected network.

    It is the inner product of the output's gradients with respect to parameters that are standard normal: weights
    enter as sqrt(weight_variance / fan_in) w, biases as sqrt(bias_variance) b, and each layer is trained. As a
    covariance it describes linearised networks whose parameters move by N(0, I).

    Parameters
    ----------
    inputs : array_like, shape (n, ...)
        Inputs, flattened to vectors.
    depth : int
        Hidden layers of rectified linear units, at least 0 (a linear model).
    weight_variance, bias_variance : float
        As in `network_kernel`.

    Returns
    -------
    ndarray, shape (n, n)
        The kernel.

    Raises
    ------
    ValueError
        If an input is not finite, a variance negative, or the depth not a whole number of at least 0.

    Notes
    -----
    T_0 = K_0 and T_{l+1} = K_{l+1} + weight T_l P(u > 0, v > 0) with (u, v) as in `network_kernel`, and
    P(u > 0, v > 0) = (pi - t) / (2 pi) [Jacot2018]_. The kernel has a kink where inputs are parallel: an angle below
    1e-7, which cannot be told from rounding, counts as 0.

    Examples
    --------
    >>> tangent_kernel([[1.0, 0.0], [0.0, 1.0]], depth=1).round(4).tolist()
    [[2.0, 0.3183], [0.3183, 2.0]]
    """
    kernel = tangent = _first(inputs, weight_variance, bias_variance)
    for _ in range(int(count("depth", depth, 0))):
        products, both = _outer_moments(kernel)
        kernel = bias_variance + weight_variance * products
        tangent = kernel + weight_variance * tangent * both
    return tangent


def convolutional_kernel(
    images: ArrayLike,
    *,
    strides: Sequence[int],
    width: int = 3,
    pooling: bool = False,
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
) -> NDArray[np.float64]:
    """Return the covariance of the output of a random convolutional network with infinitely many channels.

    Each hidden layer is a convolution with zeros around the image (``width // 2`` on each side) and rectified linear
    units; a linear layer reads out all pixels, or their mean.

    Parameters
    ----------
    images : array_like, shape (n, channels, height, width)
        Inputs.
    strides : sequence of int
        Stride of each convolution: as many hidden layers as there are strides.
    width : int
        Side of the filters, odd.
    pooling : bool
        Read out the mean over all pixels of a channel (translation counts for little), instead of each pixel with
        weights of its own (filters are shared, but not what is made of them).
    weight_variance, bias_variance : float
        As in `network_kernel`; the fan-in of a convolution is channels times the pixels of its filter.

    Returns
    -------
    ndarray, shape (n, n)
        Covariances of the output.

    Raises
    ------
    ValueError
        If a shape or a setting is out of range, or an image not finite.

    Notes
    -----
    A convolution maps the covariance K(p, p') of pixels p of one image and p' of another to
    bias + weight mean_o K(p + o, p' + o), o over the filter [Novak2019]_; rectified linear units act as in
    `network_kernel`. Without pooling only p = p' is needed, n^2 pixels in all; with it all pairs of pixels,
    n^2 pixels^2: an image of 7 x 7 costs what one of 49 x 49 does without. Both are streamed over pairs of images.

    Examples
    --------
    >>> image = np.ones((1, 1, 1, 1))  # of nine pixels of the filter one is inside the image
    >>> convolutional_kernel(image, strides=[1]).round(4).tolist()
    [[0.2222]]
    """
    x = finite("images", images, "Leave out images that are not numbers.")
    if x.ndim != 4 or not x.size:
        raise ValueError(
            f"images must be of shape (n, channels, height, width), got {x.shape}. Add axes by x[:, None]."
        )
    steps = count("strides", list(strides), 1, "Use 1 to keep the size.").astype(int).tolist()
    if not steps:
        raise ValueError("strides must name at least one layer, got none. Take network_kernel for depth 0.")
    side = int(count("width", width, 1))
    if side % 2 == 0:
        raise ValueError(f"width must be odd, got {side}. Take {side + 1}.")
    weight = float(nonnegative("weight_variance", weight_variance))
    bias = float(nonnegative("bias_variance", bias_variance))

    patches = _patches(x, side, steps[0])
    variances = [bias + weight * np.square(patches).mean(axis=-1)]
    for step in steps[1:]:
        variances.append(bias + weight * _filtered(variances[-1] / 2, side, step, pairs=False))

    # Axes of a covariance: a pair of images, then one pixel (row, column), or one of each image.
    subscripts = "bhwq,buvq->bhwuv" if pooling else "bhwq,bhwq->bhw"
    left, right = np.triu_indices(len(x))
    pixels = patches.shape[1] * patches.shape[2]
    chunk = max(1, _NUMBERS // (pixels**2 if pooling else pixels))
    values = np.empty(len(left))
    for start in range(0, len(left), chunk):
        part = slice(start, start + chunk)
        i, j = left[part], right[part]
        inner = np.einsum(subscripts, patches[i], patches[j], optimize=True)
        covariance = bias + weight / patches.shape[-1] * inner
        for number, variance in enumerate(variances):
            if number:
                covariance = bias + weight * _filtered(covariance, side, steps[number], pairs=pooling)
            first, second = variance[i], variance[j]
            if pooling:
                first, second = first[:, :, :, None, None], second[:, None, None]
            covariance = _product_moment(covariance, first, second)
        values[part] = bias + weight * covariance.reshape(len(i), -1).mean(axis=1)
    kernel = np.empty((len(x), len(x)))
    kernel[left, right] = kernel[right, left] = values
    return kernel


def _first(inputs: ArrayLike, weight_variance: float, bias_variance: float) -> NDArray[np.float64]:
    """Return the covariance of the first layer's pre-activations."""
    dimension = max(1, math.prod(np.shape(inputs)[1:]))
    return linear_kernel(inputs, weight_variance=weight_variance / dimension, bias_variance=bias_variance)


def _product_moment(
    covariance: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return E[relu(u) relu(v)] for centred Gaussians with this covariance and these variances, without a division."""
    # sqrt(k k') sin t; rounding may leave the square of parallel inputs slightly below 0.
    sine = first * second
    sine -= np.square(covariance)
    np.maximum(sine, 0.0, out=sine)
    np.sqrt(sine, out=sine)
    angle = np.arctan2(sine, covariance)
    np.subtract(np.pi, angle, out=angle)
    angle *= covariance
    angle += sine
    angle /= 2 * np.pi
    return angle


def _outer_moments(kernel: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return E[relu(u) relu(v)] and P(u > 0, v > 0) for all pairs of inputs."""
    variance = kernel.diagonal()
    products = _product_moment(kernel, variance[:, None], variance)
    scale = variance[:, None] * variance
    square = scale - np.square(kernel)
    sine = np.sqrt(np.where(square > _PARALLEL * scale, square, 0.0))
    return products, (np.pi - np.arctan2(sine, kernel)) / (2 * np.pi)


def _patches(images: NDArray[np.float64], side: int, stride: int) -> NDArray[np.float64]:
    """Return what each filter position sees: (n, height, width, channels x side x side)."""
    half = side // 2
    padded = np.pad(images, ((0, 0), (0, 0), (half, half), (half, half)))
    windows = sliding_window_view(padded, (side, side), axis=(2, 3))[:, :, ::stride, ::stride]
    windows = windows.transpose(0, 2, 3, 1, 4, 5)
    return np.ascontiguousarray(windows.reshape(*windows.shape[:3], -1))


def _filtered(values: NDArray[np.float64], side: int, stride: int, *, pairs: bool) -> NDArray[np.float64]:
    """Return the mean over the filter of K(p + o, p' + o), zeros around; rows first, then columns."""
    half = side // 2
    for axes in ((1, 3), (2, 4)) if pairs else ((1,), (2,)):
        padding = [(half, half) if axis in axes else (0, 0) for axis in range(values.ndim)]
        padded = np.pad(values, padding)
        total: NDArray[np.float64] | float = 0.0
        for offset in range(side):
            window = [slice(None)] * values.ndim
            for axis in axes:
                window[axis] = slice(offset, offset + values.shape[axis], stride)
            total = total + padded[tuple(window)]
        values = np.asarray(total)
    return values / side**2
