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
    """Return an upper bound on I(S;W) for a private algorithm, n epsilon tanh(epsilon / 2).

    Parameters
    ----------
    epsilon : array_like
        Privacy parameter when one example is exchanged, in nats, in [0, inf].
    n : array_like of int
        Examples in a sample, at least 1; they are independent.

    Returns
    -------
    float64 or ndarray
        Nats, rounded up: at most n epsilon^2 / 2, and at most n epsilon.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Notes
    -----
    For independent examples I(S;W) is at most the sum of I(W;Z_i | the others), and each of these is an average of
    KL(P_{W|S} || P_{W|S'}) over an exchange of example i, at most (convexity). If two laws have density ratios between
    exp(-epsilon) and exp(epsilon), their divergence is largest when only these two values occur: for u = dP/dQ, the
    function u ln u lies below its chord, and E_Q u = 1 gives the chord's value epsilon (exp(epsilon) - 1) /
    (exp(epsilon) + 1).

    Each I(W;Z_i) is at most epsilon tanh(epsilon / 2) too, so that `bu_zou_veeravalli` and `xu_raginsky` give the same:
    a gap of at most epsilon / 2 for losses in [0, 1] and small epsilon.

    Examples
    --------
    >>> f"{private_information(0.1, 1000):.6f}"  # a little below 1000 * 0.1^2 / 2
    '4.995837'
    """
    epsilon = nonnegative("epsilon", epsilon, "It is a number of nats.")
    with np.errstate(over="ignore"):  # to infinity, an upper bound
        return round_up(count("n", n) * epsilon * np.tanh(epsilon / 2), 6)
