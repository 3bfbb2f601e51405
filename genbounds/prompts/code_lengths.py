"""Code lengths of prompts in nats, rounded up: a length, then one token after the other."""

from collections.abc import Iterable
from math import fsum, inf

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics import Float64, count, round_up

__all__ = ["length_cost", "token_costs", "total_cost", "uniform_code_length"]


def length_cost(longest: int) -> float:
    """Return what saying the length of a prompt costs: uniform over 0, ..., `longest` tokens.

    Parameters
    ----------
    longest : int
        Most tokens a prompt may have, at least 1.

    Returns
    -------
    float
        ln(longest + 1) in nats, rounded up.
    """
    return float(round_up(np.log(count("longest", longest) + 1), 4))


def token_costs(logits: ArrayLike, allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return what each token costs next: -ln of the softmax over the allowed tokens.

    Parameters
    ----------
    logits : array_like, shape (vocabulary,)
        What the model gives, in any floating-point type; -inf for tokens that it excludes itself.
    allowed : ndarray of bool, shape (vocabulary,)
        Tokens that a prompt may contain; the others get no probability, and the rest is renormalised.

    Returns
    -------
    ndarray of float64, shape (vocabulary,)
        Costs in nats, rounded up; infinite for tokens without probability. exp(-cost) adds up to at most 1.

    Raises
    ------
    ValueError
        If a logit is NaN or +inf, or no token has any probability.

    Notes
    -----
    The softmax of the given numbers, taken as exact reals, adds up to 1 exactly; only its evaluation rounds. With d a
    logit less the largest, exp(d) has a relative error of at most (4 + |d|) units, and weighted by the softmax |d| is
    at most ln(vocabulary), below 14; their sum is exact (fsum), its logarithm and the difference with d add less than
    8 units of 1 + cost. 64 units of 2^-52 of 1 + cost cover it all.

    Examples
    --------
    >>> costs = token_costs([0.0, 0.0, 5.0], np.array([True, True, False]))
    >>> f"{costs[0]:.12f}", costs[2]  # one of two tokens: ln 2
    ('0.693147180560', np.float64(inf))
    """
    values = np.where(allowed, np.asarray(logits, dtype=np.float64), -inf)
    largest = values.max(initial=-inf)
    if not np.abs(largest) < inf:  # NaN wins every maximum
        raise ValueError(
            f"logits must be numbers below infinity, with one allowed token among them, got {largest} as the largest. "
            "Evaluate the model in float32."
        )
    below = largest - values
    costs = below + np.log(fsum(np.exp(-below)))
    return costs + 64 * np.finfo(np.float64).eps * (1 + costs)


def total_cost(costs: Iterable[float]) -> float:
    """Add up costs.

    Parameters
    ----------
    costs : iterable of float
        Non-negative numbers, in nats.

    Returns
    -------
    float
        Their sum, rounded up; 0 if there are none.
    """
    return float(np.nextafter(total, inf)) if (total := fsum(costs)) else 0.0


def uniform_code_length(tokens: ArrayLike, vocabulary: int, longest: int) -> Float64:
    """Return the code length of a prompt for which all tokens are alike.

    Parameters
    ----------
    tokens : array_like of int
        How many tokens the prompt has, from 0 to `longest`.
    vocabulary : int
        How many tokens there are to choose from.
    longest : int
        Most tokens a prompt may have; the length is uniform over 0, ..., `longest`.

    Returns
    -------
    float64 or ndarray
        ln(longest + 1) + tokens ln(vocabulary) in nats, rounded up.

    Raises
    ------
    ValueError
        If a prompt is longer than the longest.

    Examples
    --------
    >>> round(float(uniform_code_length(77, 49408, 77) - length_cost(77)), 3)
    832.206
    """
    tokens = count("tokens", tokens, minimum=0)
    if (tokens > longest).any():
        raise ValueError(f"tokens must be at most longest = {longest}, got {tokens.max():g}. Allow longer prompts.")
    return round_up(length_cost(longest) + tokens * np.log(count("vocabulary", vocabulary)), 7)
