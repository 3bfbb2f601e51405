r"""What a private algorithm can tell about its sample, for bounds by mutual information and by leakage.

An algorithm is epsilon-differentially private if for any two samples that differ in one example the probability of
every set of outputs changes by a factor of at most exp(epsilon). This holds for all samples, whatever the distribution
of the data, and is proved from the algorithm: these upper bounds need no estimate and no run. (With (epsilon,
delta)-privacy both quantities may be infinite: an output that names the sample with probability delta tells
everything.)
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, count, nonnegative, round_up
from genbounds.numerics.deviance import deviance

__all__ = ["private_information", "private_leakage"]


def private_leakage(epsilon: ArrayLike, n: ArrayLike) -> Float64:
    """Return an upper bound on the maximal leakage from a sample to the output of a private algorithm, n epsilon.

    Parameters
    ----------
    epsilon : array_like
        Privacy parameter when one example is exchanged, in nats, in [0, inf].
    n : array_like of int
        Examples in a sample, at least 1.

    Returns
    -------
    float64 or ndarray
        Nats, rounded up.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    Any two samples are n exchanges apart, so P(w|s) <= exp(n epsilon) P(w|s') for all s and s', and averaged over s',
    max_s P(w|s) <= exp(n epsilon) P(w); the sum over w is at most exp(n epsilon).

    Examples
    --------
    >>> float(private_leakage(0.01, 1000).round(12))
    10.0
    """
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        return round_up(nonnegative("epsilon", epsilon, "It is a number of nats.") * count("n", n), 1)


def private_information(epsilon: ArrayLike, n: ArrayLike) -> Float64:
    """Return an upper bound on I(S;W) for a private algorithm, n (D - 1 - ln D) with D = epsilon / (1 - exp(-epsilon)).

    Parameters
    ----------
    epsilon : array_like
        Privacy parameter when one example is exchanged, in nats, in [0, inf].
    n : array_like of int
        Examples in a sample, at least 1; they are independent.

    Returns
    -------
    float64 or ndarray
        Nats, rounded up: at most n epsilon^2 / 8, and at most n epsilon.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    For independent examples I(S;W) is at most the sum of I(W;Z_i | the others). Given the others, and for each w, the
    ratio u = P(w|z) / P(w) has mean 1 over z, and its largest value is at most exp(epsilon) times its smallest, a.
    u ln u lies below its chord between these two, and at mean 1 the chord is ln a + D (1 - a); the worst a is 1 / D.
    I(W;Z_i | the others) is the average of u ln u over z and w.

    Each I(W;Z_i) is at most D - 1 - ln D too, so that `bu_zou_veeravalli` and `xu_raginsky` give the same: a gap of at
    most epsilon / 4 for losses in [0, 1] and small epsilon. Bounding the divergence of the outputs for two samples
    instead, as is often done, gives epsilon tanh(epsilon / 2): four times as much.

    Examples
    --------
    >>> f"{private_information(0.1, 1000):.6f}"  # a little below 1000 * 0.1^2 / 8
    '1.249826'
    """
    epsilon, n = np.broadcast_arrays(nonnegative("epsilon", epsilon, "It is a number of nats."), count("n", n))
    shape, epsilon = epsilon.shape, np.atleast_1d(epsilon)
    share = -np.expm1(-epsilon)  # 1 - exp(-epsilon)
    one = np.ones_like(epsilon)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # to infinity, an upper bound
        # D - 1 is (epsilon - share) / share; for small epsilon the numerator cancels, unless it is taken for a deviance
        excess = np.where(epsilon > 1, epsilon / share - 1, deviance(one, 1 - share, -share) / share)
        nats = n * deviance(one, 1 + excess, excess)
        # below 1e-7 the bound epsilon^2 / 8 is as good, and does not underflow
        nats = np.where(epsilon < 1e-7, n * epsilon * (epsilon / 8), np.where(np.isinf(epsilon), np.inf, nats))
        # each deviance is right to 1e-14, and the second about squares what the first left
        return np.reshape(round_up(nats, 512), shape)[()]
