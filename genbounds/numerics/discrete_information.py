"""How much two discrete variables tell about each other, from their joint law, in nats.

Every relative entropy is summed as a ln(a/b) + b - a, whose terms are non-negative: nothing cancels, so that what is
next to independent comes out next to zero, and never below it.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import Float64, unit_interval
from genbounds.numerics.deviance import deviance

__all__ = [
    "lautum_information",
    "maximal_leakage",
    "mutual_information",
    "sibson_information",
    "total_variation_from_product",
]


def _joint_and_product(joint: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    joint = unit_interval("joint", joint, "Pass probabilities.")
    sums = joint.sum(axis=(-2, -1)) if joint.ndim > 1 else np.nan
    if not np.all(np.abs(sums - 1) <= 1e-9):
        raise ValueError(
            f"joint must be tables (..., x, y) that add up to 1, got shape {joint.shape} with a sum of "
            f"{np.ravel(sums)[np.argmax(np.abs(np.ravel(sums) - 1))].item()!r}. Divide counts by their number."
        )
    return joint, joint.sum(axis=-1, keepdims=True) * joint.sum(axis=-2, keepdims=True)


def _channel(values: ArrayLike) -> NDArray[np.float64]:
    channel = unit_interval("channel", values, "Pass probabilities.")
    sums = channel.sum(axis=-1)
    if np.any(np.abs(sums - 1) > 1e-9):
        worst = sums.ravel()[np.argmax(np.abs(sums - 1))]
        raise ValueError(f"channel must be rows that add up to 1, got the sum {worst!r}. Give P(y|x) for every x.")
    return channel


def mutual_information(joint: ArrayLike) -> Float64:
    """Return I(X;Y), the relative entropy of a joint law to the product of its marginals.

    Parameters
    ----------
    joint : array_like, shape (..., x, y)
        Joint laws: non-negative numbers that add up to 1.

    Returns
    -------
    float or ndarray, shape (...)
        Mutual information in nats, at least 0, with an absolute error of about 1e-16.

    Raises
    ------
    ValueError
        If a number is no probability, or the numbers of a table do not add up to 1.

    Examples
    --------
    >>> float(mutual_information([[0.5, 0.0], [0.0, 0.5]]).round(12))  # ln 2
    0.69314718056
    """
    joint, product = _joint_and_product(joint)
    return deviance(joint, product, product - joint).sum(axis=(-2, -1))


def lautum_information(joint: ArrayLike) -> Float64:
    """Return the relative entropy of the product of the marginals to a joint law: "mutual" read backwards.

    Parameters
    ----------
    joint : array_like, shape (..., x, y)
        Joint laws: non-negative numbers that add up to 1.

    Returns
    -------
    float or ndarray, shape (...)
        Lautum information in nats, at least 0; infinite where something impossible is possible for each part alone.

    Raises
    ------
    ValueError
        If a number is no probability, or the numbers of a table do not add up to 1.

    Examples
    --------
    >>> float(lautum_information([[0.375, 0.125], [0.125, 0.375]]).round(12))  # -ln(3/4)/2
    0.143841036226
    """
    joint, product = _joint_and_product(joint)
    return deviance(product, joint, joint - product).sum(axis=(-2, -1))


def total_variation_from_product(joint: ArrayLike) -> Float64:
    """Return the total variation between a joint law and the product of its marginals.

    Parameters
    ----------
    joint : array_like, shape (..., x, y)
        Joint laws: non-negative numbers that add up to 1.

    Returns
    -------
    float or ndarray, shape (...)
        Total variation, in [0, 1].

    Raises
    ------
    ValueError
        If a number is no probability, or the numbers of a table do not add up to 1.

    Examples
    --------
    >>> float(total_variation_from_product([[0.5, 0.0], [0.0, 0.5]]))
    0.5
    """
    joint, product = _joint_and_product(joint)
    return np.abs(joint - product).sum(axis=(-2, -1)) / 2


def maximal_leakage(channel: ArrayLike) -> Float64:
    """Return the maximal leakage of a channel, ln sum_y max_x P(y|x).

    Parameters
    ----------
    channel : array_like, shape (..., x, y)
        P(y|x) for every x of positive probability: rows that add up to 1.

    Returns
    -------
    float or ndarray, shape (...)
        Leakage in nats, at least 0.

    Raises
    ------
    ValueError
        If a row does not add up to 1.

    Examples
    --------
    >>> float(maximal_leakage([[1.0, 0.0], [0.0, 1.0]]).round(12))  # ln 2
    0.69314718056
    """
    # The sum is at least that of any row, which is 1: what it falls short of that is rounding.
    return np.log(np.maximum(_channel(channel).max(axis=-2).sum(axis=-1), 1.0))


def sibson_information(weights: ArrayLike, channel: ArrayLike, alpha: float) -> Float64:
    """Return Sibson's information of order alpha, between mutual information (alpha to 1) and leakage (alpha to inf).

    It is alpha / (alpha - 1) times ln sum_y (sum_x P(x) P(y|x)^alpha)^(1/alpha).

    Parameters
    ----------
    weights : array_like, shape (..., x)
        Positive probabilities of x.
    channel : array_like, shape (..., x, y)
        P(y|x): rows that add up to 1.
    alpha : float
        Order, above 1; infinity gives the maximal leakage.

    Returns
    -------
    float or ndarray, shape (...)
        Information in nats, at least 0, with a rounding error of about 1e-16 alpha / (alpha - 1).

    Raises
    ------
    ValueError
        If alpha is not above 1, or a row does not add up to 1.

    Examples
    --------
    >>> float(sibson_information([0.5, 0.5], [[1.0, 0.0], [0.0, 1.0]], 2.0).round(12))  # ln 2
    0.69314718056
    """
    if not alpha > 1:
        raise ValueError(f"alpha must be above 1, got {alpha!r}. Use mutual_information for 1.")
    if np.isinf(alpha):
        return maximal_leakage(channel)
    weights = unit_interval("weights", weights, "Pass probabilities.")[..., None]
    channel = _channel(channel)
    largest = channel.max(axis=-2, keepdims=True)  # taken out, so that no power underflows
    relative = channel / np.where(largest > 0, largest, 1.0)
    norms = largest[..., 0, :] * (weights * relative**alpha).sum(axis=-2) ** (1 / alpha)
    # A norm of order alpha is at least the mean, and the means add up to 1: what falls short of that is rounding.
    return alpha / (alpha - 1) * np.log(np.maximum(norms.sum(axis=-1), 1.0))
