"""How much information survives a noisy layer: strong data processing (SDPI) coefficients, rounded up.

A layer that passes its input through a noisy channel K contracts relative entropy, KL(PK || QK) <= eta KL(P || Q) for
all laws P, Q of its input, with an eta in [0, 1] that depends on the noise alone. Steps without noise in front of it
change nothing, and the coefficients of layers in a row multiply (`composed_contraction`). What is proved with them
holds for a network whose noise is *on* when its risk is measured: `genbounds.information.contracted_information`.

Here are the coefficients of the noise that networks have; `channel_contraction` takes any finite table instead, and
`dobrushin_coefficient` is its larger sibling for the total variation.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics import Float64, count, nonnegative, round_up, unit_interval
from genbounds.numerics.channels import channel_contraction, dobrushin_coefficient

__all__ = [
    "channel_contraction",
    "composed_contraction",
    "dobrushin_coefficient",
    "dropout_contraction",
    "gaussian_input_contraction",
    "gaussian_noise_contraction",
]

#: Beyond this ratio of half the diameter to the noise the coefficient is above 1 - 2^-53.
_SATURATED = 9.0
#: How far the sum goes beyond the centre of the normal density: what is left out is below 1e-29 of the whole.
_REACH = 12.0


def _signal_kept(ratio: float) -> float:
    """Return an upper bound of E tanh^2(r (r + N)) for a standard normal N."""
    if ratio >= _SATURATED:
        return 1.0
    # A step in which the trapezoidal rule has a relative error below 1e-20: see `gaussian_noise_contraction`.
    step = 2.0 ** math.floor(math.log2(min(0.25, math.pi**2 / (104 * ratio)))) if ratio > 0 else 0.25
    x = step * np.arange(math.floor(-_REACH / step), math.ceil((ratio + _REACH) / step) + 1)
    squares = np.square(x - ratio)
    tangents = np.square(np.tanh(ratio * x) / ratio) if ratio > 0 else np.square(x)  # over r^2: it does not underflow
    terms = tangents * np.exp(-squares / 2)
    total, error = math.fsum(terms), 2.0**-52 * math.fsum(terms * (squares + 28))
    return (total + error) * step / math.sqrt(2 * math.pi) * ratio * ratio


def gaussian_noise_contraction(diameter: ArrayLike, scale: ArrayLike) -> Float64:
    """Return the KL contraction coefficient of independent Gaussian noise on inputs from a bounded set.

    Parameters
    ----------
    diameter : array_like
        Largest Euclidean distance of two inputs, in [0, inf]: 2 sqrt(d) after d tanh units, whose range is [-1, 1].
        Infinity, the only safe value for unbounded units such as ReLU, gives 1. A limit on their power is not enough.
    scale : array_like
        Standard deviation of the noise on each coordinate, in [0, inf).

    Returns
    -------
    float64 or ndarray
        E tanh^2(r (r + N)) with N standard normal and r = diameter / (2 scale), rounded up, in [0, 1]. It is the
        smallest coefficient if two inputs are `diameter` apart, an upper bound otherwise.

    Raises
    ------
    ValueError
        If an argument is NaN or negative, or the scale is infinite.

    Notes
    -----
    Two inputs are enough (Ordentlich and Polyanskiy 2022; laws on a continuous set are limits of laws on finite ones,
    along which relative entropy can only drop), and only their distance matters: the coefficient is the largest
    f(beta) = 1 - int p q / (beta p + (1-beta) q) of p = N(r, 1) and q = N(-r, 1). As f is concave, and symmetric about
    1/2 because p and q are mirror images, it is largest at 1/2, and f(1/2) = E tanh^2(r (r + N)).
    It grows with r: scaling by c < 1 and adding noise of variance 1 - c^2 turns the pair at r into the pair at c r.

    It is below both 1 - exp(-r^2) and Dobrushin's 1 - 2 Q(r) = erf(r / sqrt 2), the latter three times as large at
    r = 0.3.

    Numerics: tanh^2(r x) phi(x - r) is analytic for |Im x| < pi / (2r), and its integral over the line at height b
    is at most exp(b^2/2) / cos(rb) * (f + sin^2(rb)). With a = pi / (4r) or 8 pi, if that is less, the trapezoidal
    rule of step h is off by at most twice that at b = a, over exp(2 pi a / h) - 1; the step makes it 1e-20 of the
    result.

    Examples
    --------
    >>> [round(float(gaussian_noise_contraction(2 * r, 1.0)), 5) for r in (0.3, 1.0, 3.0)]
    [0.0829, 0.5504, 0.99585]
    >>> float(gaussian_noise_contraction(np.inf, 1.0))
    1.0
    """
    diameter, scale = nonnegative("diameter", diameter), nonnegative("scale", scale)
    if np.isinf(scale).any():
        raise ValueError("scale must be finite, got inf. Give the standard deviation of the noise.")
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(diameter > 0, np.nextafter(diameter / (2 * scale), np.inf), 0.0)
    kept = np.reshape([_signal_kept(float(each)) for each in ratio.ravel()], ratio.shape)
    return np.where(diameter > 0, np.minimum(round_up(kept, 6), 1.0), 0.0)[()]


def gaussian_input_contraction(signal_variance: ArrayLike, noise_variance: ArrayLike) -> Float64:
    """Return the KL contraction coefficient of Gaussian noise at a Gaussian input: it depends on that input's law.

    If X is Gaussian and its channel adds independent Gaussian noise, I(U;Y) <= rho^2 I(U;X) for every U that reaches Y
    through X alone, and KL(PK || QK) <= rho^2 KL(P || Q) for every P, provided that *Q is the law of X*.

    Parameters
    ----------
    signal_variance : array_like
        Variance of X, in [0, inf); the largest eigenvalue of the covariance if X is a vector.
    noise_variance : array_like
        Variance of the noise on each coordinate, in [0, inf).

    Returns
    -------
    float64 or ndarray
        The squared correlation rho^2 of X and Y, rounded up, in [0, 1].

    Raises
    ------
    ValueError
        If an argument is NaN, negative or infinite.

    Notes
    -----
    In `contracted_information` Q is the law of the representation of a *test* input given its label and the weights:
    this coefficient may be used there only where that law is Gaussian for all weights. For inputs of any law and
    unlimited size the coefficient of the same noise is 1 (`gaussian_noise_contraction`).

    Examples
    --------
    >>> gaussian_input_contraction([0.5, 1.0, 4.0], 1.0).round(12).tolist()
    [0.333333333333, 0.5, 0.8]
    """
    signal = nonnegative("signal_variance", signal_variance)
    noise = nonnegative("noise_variance", noise_variance)
    if np.isinf(signal).any() or np.isinf(noise).any():
        raise ValueError("signal_variance and noise_variance must be finite, got inf. Give variances.")
    some = signal > 0
    with np.errstate(over="ignore"):
        kept = round_up(1 / (1 + noise / np.where(some, signal, 1.0)), 3)
    return np.where(some, np.minimum(kept, 1.0), 0.0)[()]


def dropout_contraction(rate: ArrayLike, parts: ArrayLike) -> Float64:
    """Return the KL contraction coefficient of Dropout and DropConnect: the chance that anything gets through.

    Parameters
    ----------
    rate : array_like
        Probability with which each part is set to 0, independently of the others, in [0, 1].
    parts : array_like of int
        How many there are: the d units of a layer under Dropout (its channels, if whole channels are dropped), the k m
        weights from k inputs to m outputs under DropConnect.

    Returns
    -------
    float64 or ndarray
        1 - rate^parts, rounded up. It is near 1 for any wide layer: at rate 1/2 and 20 units 1 - 1e-6.

    Raises
    ------
    ValueError
        If the rate is NaN or outside [0, 1], or `parts` is no positive whole number.

    Notes
    -----
    With probability rate^parts all is dropped and the output says nothing about the input; as KL is convex in a pair
    of laws, no more than the rest of it survives. Dropout attains it with two inputs that differ in every unit and
    have no 0 in any: unless all is dropped, they never give the same output. So does DropConnect at generic weights.

    Examples
    --------
    >>> dropout_contraction([0.3, 0.5], [2, 3]).round(12).tolist()
    [0.91, 0.875]
    >>> float(dropout_contraction(0.7, 2 * 2).round(12))  # DropConnect between two layers of two units
    0.7599
    """
    rate, parts = unit_interval("rate", rate, "It is a probability."), count("parts", parts)
    with np.errstate(divide="ignore"):
        kept = -np.expm1(parts * np.log(rate))
    return np.minimum(np.where(kept > 0, round_up(kept, 10), 0.0), 1.0)[()]


def composed_contraction(contractions: ArrayLike) -> Float64:
    """Return the contraction coefficient of layers in a row, each with noise of its own: the product.

    Parameters
    ----------
    contractions : array_like, shape (..., layers)
        A coefficient for each noisy layer, in [0, 1]; layers without noise have 1.

    Returns
    -------
    float64 or ndarray, shape (...)
        Their product, rounded up.

    Raises
    ------
    ValueError
        If a coefficient is NaN or outside [0, 1].

    Examples
    --------
    >>> float(composed_contraction([0.5, 0.5, 0.5]).round(12))
    0.125
    """
    factors: NDArray[np.float64] = np.atleast_1d(unit_interval("contractions", contractions, "Pass coefficients."))
    product = factors.prod(axis=-1)
    return np.minimum(np.where((factors > 0).all(axis=-1), round_up(product, factors.shape[-1]), 0.0), 1.0)[()]
