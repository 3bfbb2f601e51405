"""Bits per token with a floor under every probability: a loss of known range, rescaled to [0, 1] and back.

A language model that gives the next token probability p loses -log2(p) bits, which no bound can handle: it has no
largest value. The smoothed predictor mixes the model with the uniform distribution over a vocabulary of V tokens and
gives it (1 - alpha) p + alpha / V instead. Its bits lie between -log2(1 - alpha + alpha / V) and log2(V / alpha); so
does their average over a document. alpha belongs to the predictor: chosen after seeing the sample among k values fixed
before, it is part of the code and costs ln(k) nats of code length.
"""

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics import Float64, confidence, count, log_probability, round_up, unit_interval

__all__ = ["bits_per_token", "smoothed_loss", "smoothed_loss_range"]

#: More than a logarithm of a float64 mixture is wrong by: a dozen roundings of numbers below 1100.
_MARGIN = 2.0**-38


def smoothed_loss_range(vocabulary: ArrayLike, alpha: ArrayLike) -> tuple[Float64, Float64]:
    """Return the smallest and the largest bits per token of a smoothed language model.

    Parameters
    ----------
    vocabulary : array_like of int
        V, the number of tokens, at least 2.
    alpha : array_like
        Share of the uniform distribution, in (0, 1).

    Returns
    -------
    low, high : float64 or ndarray
        -log2(1 - alpha + alpha / V), rounded down, and log2(V / alpha), rounded up. Their difference is
        Delta = log2(1 + (1 - alpha) V / alpha).

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Examples
    --------
    A probability between 1/4 and 3/4 for one of two tokens:

    >>> low, high = smoothed_loss_range(2, 0.5)
    >>> f"{low:.10f}", f"{high:.10f}"
    ('0.4150374993', '2.0000000000')
    """
    vocabulary = count("vocabulary", vocabulary, minimum=2, remedy="With one token there is nothing to predict.")
    alpha = confidence("alpha", alpha, "It is the share of the uniform distribution, such as 1e-4.")
    low = -np.log2((1 - alpha) + alpha / vocabulary) - _MARGIN
    return np.maximum(low, 0.0)[()], round_up(np.log2(vocabulary) - np.log2(alpha), 9)


def smoothed_loss(log_probabilities: ArrayLike, vocabulary: ArrayLike, alpha: ArrayLike) -> Float64:
    """Return the bits of single tokens, smoothed and rescaled to [0, 1].

    Parameters
    ----------
    log_probabilities : array_like
        ln p of the tokens that came, under the model, in [-inf, 0].
    vocabulary : array_like of int
        V, the number of tokens, at least 2.
    alpha : array_like
        Share of the uniform distribution, in (0, 1).

    Returns
    -------
    float64 or ndarray
        (-log2((1 - alpha) p + alpha / V) - low) / (high - low), rounded up, with `smoothed_loss_range`. The loss of a
        document is the average over its tokens.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Examples
    --------
    A token that was sure, one to which the model gave no chance, and one of probability 1/2 out of two:

    >>> smoothed_loss(np.log([1.0, 0.5]), 2, 0.5).round(10).tolist(), float(smoothed_loss(-np.inf, 2, 0.5))
    ([0.0, 0.3690702464], 1.0)
    """
    low, high = smoothed_loss_range(vocabulary, alpha)
    model = np.log1p(-np.asarray(alpha, np.float64)) + log_probability("log_probabilities", log_probabilities)
    bits = -np.logaddexp(model, np.log(alpha) - np.log(vocabulary)) / np.log(2)
    return np.minimum((bits + _MARGIN - low) / (high - low), 1.0)


def bits_per_token(loss: ArrayLike, vocabulary: ArrayLike, alpha: ArrayLike) -> Float64:
    """Return a rescaled loss, or a bound on its mean, in bits per token again.

    Parameters
    ----------
    loss : array_like
        In [0, 1].
    vocabulary : array_like of int
        V, the number of tokens, at least 2.
    alpha : array_like
        Share of the uniform distribution, in (0, 1).

    Returns
    -------
    float64 or ndarray
        low + (high - low) * loss, rounded up, with `smoothed_loss_range`.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Examples
    --------
    >>> f"{bits_per_token(1.0, 2, 0.5):.10f}"
    '2.0000000000'
    """
    low, high = smoothed_loss_range(vocabulary, alpha)
    return round_up(low + (high - low) * unit_interval("loss", loss), 3)
