r"""Two numbers say how far the gradients of single examples agree, and a family of scalars follows from them.

For one example drawn at fixed weights let ``g`` be the gradient of its loss (no regulariser), ``G = E g`` and

* signal ``S = ||G||^2``,
* noise ``V = tr Cov(g)``,
* second moment ``D = E ||g||^2 = S + V``,
* coherence ``alpha = E[g . g'] / E[g . g] = S / D`` for independent g, g' [ChatterjeeZielinski2022].

Coherence, noise scale, diversity, the one-step generalization ratio and the norm test are functions of alpha and of a
number of examples: whoever reports two of them reports one number twice. All functions here are exact identities in
float64 and broadcast. Where no example has a gradient (D = 0) coherence is undefined and the functions return NaN.

An unbiased estimate of a coherence that is 0 is negative half of the time. It keeps its sign: cut off at 0 it would no
longer average to the truth.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import Float64, count, finite, nonnegative, unit_interval

__all__ = [
    "coherence",
    "coherence_value",
    "combined_coherence",
    "expected_plug_in",
    "layer_fractions",
    "plug_in",
    "two_batches",
    "unbiased",
    "unbiased_coherence",
    "with_zero_gradients",
]

#: Relative rounding that squared norms of a float32 (bfloat16) model's gradients may carry, formed in two ways.
ROUNDING = 2.0**-7
#: What to do about a plug-in coherence out of range.
PLUG_IN = "The plug-in coherence ||gbar||^2 / mean ||g_i||^2 is wanted, not its unbiased estimate."


def plug_in(squared_mean: ArrayLike, second_moment: ArrayLike) -> tuple[Float64, Float64]:
    """Return signal and noise of the examples themselves, taken as the whole population.

    Parameters
    ----------
    squared_mean : array_like
        ``||gbar||^2``, squared norm of the average gradient, >= 0.
    second_moment : array_like
        Average of ``||g_i||^2``, >= `squared_mean` but for rounding.

    Returns
    -------
    signal : float or ndarray
        ``||gbar||^2``.
    noise : float or ndarray
        Average of ``||g_i - gbar||^2``; 0 where rounding left it below.

    Raises
    ------
    ValueError
        If the average gradient is longer than Jensen's inequality allows, by more than rounding.
    """
    signal, moment = _squares(squared_mean, second_moment)
    return signal, moment - signal


def unbiased(squared_mean: ArrayLike, second_moment: ArrayLike, m: ArrayLike) -> tuple[Float64, Float64]:
    """Estimate signal and noise of the population from m independent examples, each without bias.

    The signal is the U-statistic ``mean over i != j of g_i . g_j = (m ||gbar||^2 - D) / (m - 1)``; the noise
    ``m (D - ||gbar||^2) / (m - 1)`` is the unbiased variance. They add up to the average squared norm D.

    Parameters
    ----------
    squared_mean : array_like
        ``||gbar||^2``, squared norm of the average gradient, >= 0.
    second_moment : array_like
        Average of ``||g_i||^2``, >= `squared_mean` but for rounding.
    m : array_like of int
        Examples, >= 2.

    Returns
    -------
    signal : float or ndarray
        Estimate of ``||G||^2``; may be negative.
    noise : float or ndarray
        Estimate of ``tr Cov(g)``, >= 0.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> [float(value) for value in unbiased(squared_mean=0.5, second_moment=0.5 + 4.5, m=10)]
    [0.0, 5.0]
    """
    number = count("m", m, 2, "One example shows no spread.")
    signal, moment = _squares(squared_mean, second_moment)
    share = (moment - signal) / (number - 1)  # V / m; in this order nothing overflows that is a number
    return signal - share, moment - signal + share


def two_batches(
    small: ArrayLike, large: ArrayLike, small_squared: ArrayLike, large_squared: ArrayLike
) -> tuple[Float64, Float64]:
    """Estimate signal and noise from gradients of batches of two sizes, without any example's own gradient.

    From ``E ||G_b||^2 = S + V / b`` for batches of b independent examples at fixed weights [McCandlish2018]. With
    b = 1 and one batch of all examples it is `unbiased`. Each is without bias; the spread is large unless many batches
    are averaged, and the noise may come out negative.

    Parameters
    ----------
    small, large : array_like of int
        Batch sizes, 1 <= small < large.
    small_squared, large_squared : array_like
        Squared norms of the batches' average gradients, each averaged over its batches, >= 0.

    Returns
    -------
    signal : float or ndarray
        Estimate of ``||G||^2``.
    noise : float or ndarray
        Estimate of ``tr Cov(g)``.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    few, many = count("small", small), count("large", large)
    if (few >= many).any():
        raise ValueError(f"large must be above small, got {many} and {few}. Take batches of two sizes.")
    of_few, of_many = nonnegative("small_squared", small_squared), nonnegative("large_squared", large_squared)
    signal = (many * of_many - few * of_few) / (many - few)
    return signal, (of_few - of_many) / (1 / few - 1 / many)


def coherence(signal: ArrayLike, noise: ArrayLike) -> Float64:
    """Return ``alpha = S / (S + V)``: of a first-order step's effect, the part that all examples share.

    It is 1 if all gradients are equal, 0 if their average is 0, ``1 / m`` in a sample of m orthogonal gradients of any
    lengths, and unchanged when all gradients are scaled together. Adding a vector c to every gradient, as weight
    decay in the loss does, gives ``||G + c||^2 / (||G + c||^2 + V)``, which says nothing about examples.

    Parameters
    ----------
    signal : array_like
        ``||G||^2``, or an estimate, which may be negative.
    noise : array_like
        ``tr Cov(g)``, >= 0.

    Returns
    -------
    float or ndarray
        At most 1; NaN where both are 0.

    Raises
    ------
    ValueError
        If the noise is negative, or a negative signal is not below it in size.

    Examples
    --------
    >>> float(coherence(1.0, 3.0))
    0.25
    """
    part, spread = finite("signal", signal), nonnegative("noise", noise)
    if (part + spread < 0).any():
        raise ValueError(
            f"signal + noise must be non-negative, got {part} + {spread}. It is an average of squared norms."
        )
    with np.errstate(invalid="ignore"):
        return part / (part + spread)


def unbiased_coherence(alpha_m: ArrayLike, m: ArrayLike) -> Float64:
    """Return ``(m alpha_m - 1) / (m - 1)``, the ratio of the two unbiased estimates.

    Numerator and denominator are without bias. Their ratio keeps one of about
    ``(alpha Var ||g||^2 - 2 Cov(g . G, ||g||^2)) / (m D^2)``: none for gradients of equal length, and none, up to
    O(1 / m^2), where there is no signal. That of the plug-in form is larger by ``(1 - alpha) / m``.

    Parameters
    ----------
    alpha_m : array_like
        Coherence of the m examples themselves, in [0, 1].
    m : array_like of int
        Examples, >= 2.

    Returns
    -------
    float or ndarray
        In [-1 / (m - 1), 1].

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    number = count("m", m, 2, "One example shows no spread.")
    return (number * unit_interval("alpha_m", alpha_m, PLUG_IN) - 1) / (number - 1)


def expected_plug_in(alpha: ArrayLike, m: ArrayLike) -> Float64:
    """Return ``alpha + (1 - alpha) / m``, what the plug-in coherence of m independent examples shows for `alpha`.

    Exactly ``E ||gbar||^2 / E ||g||^2``. The inverse of `unbiased_coherence`. For this difference alone, plug-in
    coherences of samples of different sizes cannot be compared.

    Parameters
    ----------
    alpha : array_like
        Coherence of the population, at most 1.
    m : array_like of int
        Examples, >= 1.

    Returns
    -------
    float or ndarray
        At least `alpha`.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    whole = coherence_value("alpha", alpha)
    return whole + (1 - whole) / count("m", m)


def layer_fractions(second_moments: ArrayLike) -> NDArray[np.float64]:
    """Return ``f_l = D_l / sum D_l``, each layer's share of the average squared norm.

    Parameters
    ----------
    second_moments : array_like, shape (..., layers)
        ``E ||g_l||^2`` of each layer, >= 0.

    Returns
    -------
    ndarray, shape (..., layers)
        Shares that add up to 1; NaN where all are 0.

    Raises
    ------
    ValueError
        If one is negative or NaN.
    """
    moments = nonnegative("second_moments", second_moments)
    with np.errstate(invalid="ignore"):
        return moments / moments.sum(axis=-1, keepdims=True)


def combined_coherence(alphas: ArrayLike, fractions: ArrayLike) -> Float64:
    """Return ``alpha = sum f_l alpha_l``, the whole from its layers (any blocks of coordinates).

    Parameters
    ----------
    alphas : array_like, shape (..., layers)
        Coherence of each layer; what stands where the fraction is 0 does not matter and may be NaN.
    fractions : array_like, shape (..., layers)
        Shares of the average squared norm, in [0, 1], adding up to 1.

    Returns
    -------
    float or ndarray
        Coherence of all together.

    Raises
    ------
    ValueError
        If the fractions do not add up to 1, or a layer that has one has no coherence.
    """
    shares = unit_interval("fractions", fractions, "Take them from layer_fractions.")
    if not np.allclose(shares.sum(axis=-1), 1, rtol=0, atol=1e-9):
        raise ValueError(
            f"fractions must add up to 1, got {shares.sum(axis=-1)}. Take them from layer_fractions, all layers."
        )
    counted = np.where(shares > 0, np.asarray(alphas, dtype=np.float64), 0.0)
    return (shares * coherence_value("alphas", counted)).sum(axis=-1)


def with_zero_gradients(alpha: ArrayLike, share: ArrayLike) -> Float64:
    """Return ``p alpha``, the coherence once examples without gradient are mixed in: fitted examples lower it.

    Parameters
    ----------
    alpha : array_like
        Coherence of the examples that have a gradient, at most 1.
    share : array_like
        Their share p of all examples, in [0, 1].

    Returns
    -------
    float or ndarray
        Coherence of all examples.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    return coherence_value("alpha", alpha) * unit_interval("share", share, "It is a share of the examples.")


def coherence_value(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return a coherence, or an unbiased estimate of one, as float64: a check shared by the formulas of this room.

    Parameters
    ----------
    name : str
        Argument's name, for the error.
    value : array_like
        Values to check.

    Returns
    -------
    ndarray
        The values, in [-1, 1].

    Raises
    ------
    ValueError
        If one is outside.
    """
    array = finite(name, value)
    if (np.abs(array) > 1).any():
        raise ValueError(f"{name} must be at most 1, and at least -1 as an estimate, got {array}. Pass S / (S + V).")
    return array


def _squares(squared_mean: ArrayLike, second_moment: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both, finite, the first at most the second: an excess within rounding is taken off."""
    moment = nonnegative("second_moment", finite("second_moment", second_moment))
    mean = nonnegative("squared_mean", finite("squared_mean", squared_mean))
    if (mean > moment * (1 + ROUNDING)).any():
        raise ValueError(
            f"squared_mean must be at most second_moment, got {mean} and {moment}. Both must come from "
            "the same examples, at the same weights."
        )
    return np.minimum(mean, moment), moment
