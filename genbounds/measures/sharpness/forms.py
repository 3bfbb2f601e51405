r"""The measures of [Jiang2020]_ that are made of a radius of tolerated perturbation: eqs. 48 to 53 and 56 to 61.

Two radii say how far weights may be moved before the training accuracy falls by a tenth: sigma, the standard deviation
of random noise (`noise_radius`), and alpha, the size of the worst move (`ascent_radius`); primes mark the forms in
which the move of weight i is scaled by its modulus. The published reference code passed sigma^2 where a standard
deviation is expected; here sigma is one.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.measures.records import Measure
from genbounds.numerics.checks import confidence, count, finite, positive

__all__ = ["EPSILON", "flatness_forms", "sharpness_forms"]

#: Standard deviation of the noise on a weight of 0 in the forms scaled by magnitude.
EPSILON = 1e-3


def flatness_forms(
    weights: ArrayLike, n: int, sigma: float, sigma_prime: float, initial: ArrayLike | None = None
) -> tuple[Measure, ...]:
    r"""Compute eqs. 48, 49, 53, 56, 57 and 61 from the radii of random noise.

    Parameters
    ----------
    weights : array_like, shape (P,)
        Weights w after training.
    n : int
        Training examples, m of the paper.
    sigma : float
        Standard deviation of isotropic noise at which the mean training accuracy has fallen by a tenth.
    sigma_prime : float
        The same for noise of variance sigma'^2 w_i^2 + epsilon^2 on weight i, epsilon = 0.001.
    initial : array_like, shape (P,), optional
        Weights w0 before training; without them the forms that need them are missing.

    Returns
    -------
    tuple of Measure
        ``pac_bayes_orig`` (49), |w|^2 / (4 sigma^2) + ln(n / sigma) + 10, and ``pac_bayes_init`` (48) with |w - w0|^2;
        ``pac_bayes_flatness`` (53), 1 / sigma^2; ``pac_bayes_mag_orig`` (57),
        (1/4) sum_i ln((epsilon^2 + (sigma'^2 + 1) |w|^2 / P) / (epsilon^2 + sigma'^2 (w_i - w0_i)^2)) + ln(n / sigma')
        + 10, with w_i in place of w_i - w0_i where no initial weights are given, and ``pac_bayes_mag_init`` (56) with
        |w - w0|^2 above; ``pac_bayes_mag_flatness`` (61), 1 / sigma'^2.

    Raises
    ------
    ValueError
        If a radius is not positive, or shapes differ.

    Examples
    --------
    >>> found = {each.name: each.value for each in flatness_forms([1.0, 1.0], 100, 0.5, 0.5)}
    >>> round(found["pac_bayes_orig"], 4), found["pac_bayes_flatness"]
    (17.2983, 4.0)
    """
    w, moved = _weights(weights, initial)
    m = float(count("n", n))
    s, s_prime = float(positive("sigma", sigma)), float(positive("sigma_prime", sigma_prime))
    last, last_prime = math.log(m / s) + 10, math.log(m / s_prime) + 10

    def magnitude(squares: float) -> float:
        above = EPSILON**2 + (s_prime**2 + 1) * squares / len(w)
        below = EPSILON**2 + s_prime**2 * np.square(w if moved is None else moved)
        return float(np.log(above / below).sum() / 4) + last_prime

    whole = float(w @ w)
    found = [
        Measure("pac_bayes_orig", whole / (4 * s**2) + last, "49"),
        Measure("pac_bayes_flatness", s**-2, "53"),
        Measure("pac_bayes_mag_orig", magnitude(whole), "57"),
        Measure("pac_bayes_mag_flatness", s_prime**-2, "61"),
    ]
    if moved is not None:
        distance = float(moved @ moved)
        found.append(Measure("pac_bayes_init", distance / (4 * s**2) + last, "48"))
        found.append(Measure("pac_bayes_mag_init", magnitude(distance), "56"))
    return tuple(found)


def sharpness_forms(
    weights: ArrayLike,
    n: int,
    alpha: float,
    alpha_prime: float,
    initial: ArrayLike | None = None,
    *,
    delta: float = 0.05,
) -> tuple[Measure, ...]:
    r"""Compute eqs. 50 to 52 and 58 to 60 from the radii of the worst moves.

    Parameters
    ----------
    weights : array_like, shape (P,)
        Weights w after training.
    n : int
        Training examples, m of the paper.
    alpha : float
        Size of the move of every weight at which the worst training accuracy has fallen by a tenth.
    alpha_prime : float
        The same for moves of at most alpha' |w_i| + epsilon of weight i.
    initial : array_like, shape (P,), optional
        Weights w0 before training; without them the forms that need them are missing.
    delta : float
        The delta of eqs. 58 and 59, a constant of the formula: nothing here holds with a probability.

    Returns
    -------
    tuple of Measure
        ``sharpness_orig`` (51), |w|^2 ln(2 P) / (4 alpha^2) + ln(n / alpha) + 10, where some print ln(n / sigma), and
        ``sharpness_init`` (50) with |w - w0|^2; ``sharpness_flatness`` (52), 1 / alpha^2; ``sharpness_mag_orig`` (59)
        and ``sharpness_mag_init`` (58), eqs. 57 and 56 with alpha'^2 + 4 ln(2 P / delta) in place of sigma'^2 + 1 and
        alpha' of sigma' elsewhere; ``sharpness_mag_flatness`` (60), 1 / alpha'^2.

    Raises
    ------
    ValueError
        If a radius is not positive, delta is outside (0, 1), or shapes differ.

    Examples
    --------
    >>> found = {each.name: each.value for each in sharpness_forms([1.0, 1.0], 100, 0.5, 0.5)}
    >>> round(found["sharpness_orig"], 4)
    18.0709
    """
    w, moved = _weights(weights, initial)
    m, risk = float(count("n", n)), float(confidence("delta", delta))
    a, a_prime = float(positive("alpha", alpha)), float(positive("alpha_prime", alpha_prime))
    last, last_prime = math.log(m / a) + 10, math.log(m / a_prime) + 10
    price = math.log(2 * len(w)) / (4 * a**2)

    def magnitude(squares: float) -> float:
        above = EPSILON**2 + (a_prime**2 + 4 * math.log(2 * len(w) / risk)) * squares / len(w)
        below = EPSILON**2 + a_prime**2 * np.square(w if moved is None else moved)
        return float(np.log(above / below).sum() / 4) + last_prime

    whole = float(w @ w)
    found = [
        Measure("sharpness_orig", whole * price + last, "51"),
        Measure("sharpness_flatness", a**-2, "52"),
        Measure("sharpness_mag_orig", magnitude(whole), "59"),
        Measure("sharpness_mag_flatness", a_prime**-2, "60"),
    ]
    if moved is not None:
        distance = float(moved @ moved)
        found.append(Measure("sharpness_init", distance * price + last, "50"))
        found.append(Measure("sharpness_mag_init", magnitude(distance), "58"))
    return tuple(found)


def _weights(weights: ArrayLike, initial: ArrayLike | None) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    w = finite("weights", weights).ravel()
    if not len(w):
        raise ValueError("weights must hold at least one, got none. Pass all of the network's.")
    if initial is None:
        return w, None
    before = finite("initial", initial).ravel()
    if before.shape != w.shape:
        raise ValueError(f"initial must hold {len(w)} weights, got {len(before)}. Take the same network's.")
    return w, w - before
