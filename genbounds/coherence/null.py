r"""What coherence shows where there is none: random signs, and the law for Gaussian gradients.

**Random signs.** Multiply each gradient by an independent fair sign e_i. Then
``E ||sum e_i g_i||^2 = sum ||g_i||^2`` for any vectors, so that the average of ``m alpha_m`` over all 2^m patterns is
exactly 1, and its variance is ``2 sum_{i != j} (g_i . g_j)^2 / (sum ||g_i||^2)^2``. If the gradients are independent
and each has the law of its negative, the observed ``||sum g_i||^2`` is exchangeable with those under random signs, and
its rank among them is a p-value that is exact for any number of examples and of draws. The hypothesis is symmetry,
which is more than an average of zero: for skewed gradients of average zero the test holds for many examples only.

**Gaussian gradients.** For m independent gradients from N(0, s^2 I_d), ``||sum g_i||^2 / m`` and the sum of squares
about the average are independent multiples of chi-squared variables with d and (m - 1) d degrees of freedom, so
``alpha_m`` has exactly the law Beta(d / 2, (m - 1) d / 2). With an average mu the first is noncentral, with
``lambda = m ||mu||^2 / s^2 = m d alpha / (1 - alpha)``. For another covariance C the `effective_dimension`
``(tr C)^2 / tr C^2`` in place of d gives the right mean and, for many examples, the right variance: an approximation.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincc, betaincinv, ncfdtr

from genbounds.coherence.alpha import coherence_value
from genbounds.numerics.checks import Float64, count, finite, nonnegative, positive, unit_interval

__all__ = ["effective_dimension", "gaussian_quantile", "gaussian_tail", "pair_square", "sign_flip_p_value"]

#: Sums of float32 gradients that are equal as real numbers differ by less than this part of their squared norm.
_TIE = 2.0**-18


def sign_flip_p_value(observed: ArrayLike, flipped: ArrayLike) -> Float64:
    """Return the p-value ``(1 + #{k: flipped_k >= observed}) / (K + 1)`` of symmetric gradients.

    Parameters
    ----------
    observed : array_like, shape (...)
        ``||sum g_i||^2``; trailing axes are layers, say, each tested by itself.
    flipped : array_like, shape (K, ...)
        ``||sum e_i g_i||^2`` for K >= 1 independent patterns of fair signs; the same patterns may serve all layers.

    Returns
    -------
    float or ndarray, shape (...)
        In [1 / (K + 1), 1]. A total below the observed one by 4e-6 of it or less counts as equal: where few examples
        have a gradient, or none has a part in common with another, signs change nothing, and rounding must not decide.
        The p-value is at most p with probability at most p if the hypothesis is true, for any m and K. Several
        layers are several tests.

    Raises
    ------
    ValueError
        If there is no pattern, shapes differ or a squared norm is negative.

    Examples
    --------
    >>> float(sign_flip_p_value(9.0, [1.0, 4.0, 16.0]))
    0.5
    """
    total, others = nonnegative("observed", finite("observed", observed)), _patterns(flipped)
    if others.shape[1:] != total.shape:
        raise ValueError(
            f"flipped must have one total for each of observed, got {others.shape} for {total.shape}. Put draws first."
        )
    return (1 + (others >= total * (1 - _TIE)).sum(axis=0)) / (len(others) + 1)


def pair_square(flipped: ArrayLike, squared_sum: ArrayLike, m: ArrayLike) -> Float64:
    """Estimate the average of ``(g_i . g_j)^2`` over pairs of different examples, from sign flips.

    The average of ``||sum e_i g_i||^2`` over signs is known, ``sum ||g_i||^2``, and its variance is twice the sum over
    ordered pairs: no bias over signs. The relative error is about ``sqrt((2 + 12 / d) / K)`` for gradients of average
    zero and `effective_dimension` d.

    Parameters
    ----------
    flipped : array_like, shape (K, ...)
        ``||sum e_i g_i||^2`` for K >= 1 independent patterns of fair signs.
    squared_sum : array_like, shape (...)
        ``sum ||g_i||^2``.
    m : array_like of int
        Examples, >= 2.

    Returns
    -------
    float or ndarray, shape (...)
        Estimate of ``E (g . g')^2`` for independent examples.

    Raises
    ------
    ValueError
        If there is no pattern, a square is negative or there is only one example.
    """
    number, whole = count("m", m, 2), nonnegative("squared_sum", finite("squared_sum", squared_sum))
    return ((_patterns(flipped) - whole) ** 2).mean(axis=0) / (2 * number * (number - 1))


def effective_dimension(second_moment: ArrayLike, pair_square: ArrayLike) -> Float64:
    """Return ``D^2 / E (g . g')^2``, which is ``(tr C)^2 / tr C^2`` for gradients of average zero.

    Parameters
    ----------
    second_moment : array_like
        Average squared norm, >= 0.
    pair_square : array_like
        Average of ``(g_i . g_j)^2`` over pairs of different examples, >= 0.

    Returns
    -------
    float or ndarray
        1 if all gradients lie on a line, d if they are isotropic in d dimensions; infinite if no two of them meet; NaN
        if all are zero. With signal, which counts as one more direction, it is no dimension of the noise.

    Raises
    ------
    ValueError
        If an argument is negative.
    """
    moment, square = finite("second_moment", second_moment), finite("pair_square", pair_square)
    with np.errstate(divide="ignore", invalid="ignore"):
        return nonnegative("second_moment", moment) ** 2 / nonnegative("pair_square", square)


def gaussian_tail(alpha_m: ArrayLike, m: ArrayLike, dimension: ArrayLike, alpha: ArrayLike = 0.0) -> Float64:
    """Return the probability that m Gaussian gradients show a plug-in coherence of at least `alpha_m`.

    Exact for N(mu, s^2 I_d). With the `effective_dimension` in place of d, as for every network, it is an approximation
    that no guarantee comes with.

    Parameters
    ----------
    alpha_m : array_like
        Plug-in coherence, in [0, 1].
    m : array_like of int
        Examples, >= 2.
    dimension : array_like
        d or an effective dimension, > 0.
    alpha : array_like
        True coherence ``||mu||^2 / (||mu||^2 + d s^2)``, in [0, 1); with the default it is a p-value.

    Returns
    -------
    float or ndarray
        Probability. For `alpha` above 0 it is a difference from 1, accurate to about 1e-15 absolutely.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> float(gaussian_tail(0.02, m=100, dimension=20).round(4))
    0.0047
    >>> float(gaussian_tail(0.02, m=100, dimension=20, alpha=0.02).round(2))  # the power of that test
    0.94
    """
    value, number = unit_interval("alpha_m", alpha_m, "Pass the plug-in form."), count("m", m, 2)
    size, true = positive("dimension", dimension), coherence_value("alpha", alpha)
    if ((true < 0) | (true == 1)).any():
        raise ValueError(f"alpha must be in [0, 1), got {true}. Equal gradients have no law to compare with.")
    none, rest = size / 2, (number - 1) * size / 2
    with np.errstate(divide="ignore"):
        ratio = (number - 1) * value / (1 - value)
    shown = 1 - ncfdtr(size, (number - 1) * size, number * size * true / (1 - true), ratio)
    return np.where(true == 0, betaincc(none, rest, value), shown)[()]


def gaussian_quantile(level: ArrayLike, m: ArrayLike, dimension: ArrayLike) -> Float64:
    """Return the plug-in coherence that m Gaussian gradients of average zero exceed with probability 1 - `level`.

    Parameters
    ----------
    level : array_like
        In [0, 1].
    m : array_like of int
        Examples, >= 2.
    dimension : array_like
        d or an effective dimension, > 0.

    Returns
    -------
    float or ndarray
        Quantile of Beta(d / 2, (m - 1) d / 2).

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    chance = unit_interval("level", level, "It is a probability, such as 0.95.")
    size, number = positive("dimension", dimension), count("m", m, 2)
    return betaincinv(size / 2, (number - 1) * size / 2, chance)


def _patterns(flipped: ArrayLike) -> NDArray[np.float64]:
    others = nonnegative("flipped", finite("flipped", flipped))
    if others.ndim == 0 or not len(others):
        raise ValueError(f"flipped must hold at least one draw of signs, got shape {others.shape}. Draw 99, say.")
    return others
