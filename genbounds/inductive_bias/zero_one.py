"""Problems whose information of few errors is known exactly: oracles for whatever estimates it.

A linear classifier and a linear teacher (spherical caps), signs of correlated Gaussian outputs (orthants), and counts
of the ways in which hyperplanes divide points. Everything is in nats, computed in logarithms, at thousands of nats as
at one.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import betainc, betaincc, betaln, erfcx, log_ndtr, logsumexp

from genbounds.numerics.binomial import log_binomial_cdf
from genbounds.numerics.checks import Float64, count, finite, unit_interval

__all__ = [
    "cap_information",
    "count_dichotomies",
    "equicorrelated_information",
    "orthant_information",
    "positives_information",
    "separable_information",
]

#: Below this the incomplete beta function is evaluated by its logarithm; change at which its fraction has converged.
_SMALL, _CONVERGED = 1e-250, 1e-15
#: Probabilities of this size are rounding.
_ROUNDING = 1e-15
#: Nats below its maximum from which on an integrand does not count.
_DEEP = 60.0
#: The double exponential rule on (0, 1).
_STEP = 1 / 32
_ABSCISSAE = np.arange(-4.0, 4.0 + _STEP, _STEP)
_NODES = 1 / (1 + np.exp(-np.pi * np.sinh(_ABSCISSAE)))
_WEIGHTS = _STEP * np.pi * np.cosh(_ABSCISSAE) * _NODES * (1 / (1 + np.exp(np.pi * np.sinh(_ABSCISSAE))))


def cap_information(error: ArrayLike, dimension: ArrayLike) -> Float64:
    """Return -ln P(error of a random linear classifier <= error), for a linear teacher and inputs of any direction.

    Weights, and inputs, have spherically symmetric laws in d dimensions; there is no bias. Student and teacher
    disagree on an input with probability angle / pi, so that P is the share of a spherical cap.

    Parameters
    ----------
    error : array_like
        Levels of the 0-1 loss on fresh inputs, in [0, 1].
    dimension : array_like of int
        d, at least 2.

    Returns
    -------
    float64 or ndarray
        Nats: infinite at 0 and zero at 1.

    Raises
    ------
    ValueError
        If a level is outside [0, 1], or d not a whole number of at least 2.

    Notes
    -----
    For e <= 1/2, P = I_x((d - 1) / 2, 1/2) / 2 with x = sin^2(pi e), I the regularised incomplete beta function, and
    beyond one minus that. Where I is next to underflow its continued fraction is taken in logarithms.

    Examples
    --------
    >>> float(cap_information(0.25, 2)), cap_information(0.1, [10, 1000]).round(2).tolist()
    (1.386294361119..., [12.57, 1177.51])
    """
    e, d = np.broadcast_arrays(unit_interval("error", error), count("dimension", dimension, 2))
    cap = math.log(2) - _log_betainc((d - 1) / 2, np.minimum(e, 1 - e))
    return np.where(e <= 0.5, cap, -np.log1p(-np.exp(-cap)))[()]


def orthant_information(correlation: ArrayLike, signs: ArrayLike | None = None) -> np.float64:
    """Return -ln P(all of two or three centred Gaussian outputs have given signs).

    Parameters
    ----------
    correlation : array_like, shape (n, n)
        Correlations of the outputs, n = 1, 2 or 3.
    signs : array_like, shape (n,), optional
        Each 1 or -1; all positive by default.

    Returns
    -------
    float64
        Nats; infinite if the outputs cannot have these signs.

    Raises
    ------
    ValueError
        If there are more outputs, the matrix holds no correlations, or a sign is neither.

    Notes
    -----
    P is the solid angle of a cone over that of the sphere: acos(-rho) / (2 pi) for two outputs, and for three
    1/8 + (the sum of asin rho) / (4 pi). Correlations that are off by rounding change P by as much: below 1e-15 it
    cannot be told from 0.

    Examples
    --------
    >>> [round(math.exp(-orthant_information([[1, rho], [rho, 1]])), 6) for rho in (0.0, 0.5)]
    [0.25, 0.333333]
    """
    matrix = finite("correlation", correlation)
    n = len(matrix) if matrix.ndim == 2 else 0
    if matrix.shape != (n, n) or not 1 <= n <= 3:
        raise ValueError(
            f"correlation must be of shape (n, n) with n from 1 to 3, got {matrix.shape}. For more outputs of one "
            "correlation take equicorrelated_information."
        )
    sign = np.ones(n) if signs is None else finite("signs", signs)
    if sign.shape != (n,) or (np.abs(sign) != 1).any():
        raise ValueError(f"signs must be {n} of 1 and -1, got {signs!r}.")
    rounded = np.abs(np.stack([matrix - matrix.T, (matrix - 1) * np.eye(n)])).max() <= _ROUNDING
    if not rounded or np.linalg.eigvalsh(matrix)[0] < -10 * _ROUNDING:
        raise ValueError(
            "correlation must be symmetric and positive semi-definite with ones on the diagonal, got "
            f"{matrix.tolist()}. Divide a covariance by the standard deviations."
        )
    rho = np.clip(matrix * sign * sign[:, None], -1, 1)[np.triu_indices(n, 1)]  # rounding may leave 1 + 2e-16
    if n == 1:
        share = 0.5
    elif n == 2:
        share = float(np.arccos(-rho[0])) / (2 * math.pi)
    else:
        share = 0.125 + math.fsum(np.arcsin(rho)) / (4 * math.pi)
    return np.float64(-math.log(share) if share > _ROUNDING else math.inf)


def equicorrelated_information(positives: int, outputs: int, correlation: float) -> np.float64:
    """Return -ln P(given k of n centred Gaussian outputs are positive, and the others negative).

    Parameters
    ----------
    positives, outputs : int
        k and n, with 0 <= k <= n and n >= 1. Any k outputs will do: P is that of one pattern of signs.
    correlation : float
        Of each pair of outputs, in [0, 1].

    Returns
    -------
    float64
        Nats; infinite for a correlation of 1 and mixed signs.

    Raises
    ------
    ValueError
        If a number is out of range.

    Notes
    -----
    Given what the outputs share they are independent: P is the mean over z ~ N(0, 1) of Phi(a z)^k Phi(-a z)^(n - k)
    with a = sqrt(rho / (1 - rho)). The integrand is log-concave; it is integrated on both sides of its maximum by the
    double exponential rule [TakahasiMori1974]_, in logarithms. For rho = 1/2, P = k! (n - k)! / (n + 1)!.

    Examples
    --------
    >>> round(math.exp(-equicorrelated_information(1, 5, 0.5)), 6)  # 1! 4! / 6!
    0.033333
    """
    n = int(count("outputs", outputs))
    k = int(count("positives", positives, 0))
    if k > n:
        raise ValueError(f"positives must be at most outputs, got {k} of {n}.")
    rho = float(unit_interval("correlation", correlation, "Negative correlations: orthant_information, up to three."))
    if rho == 1:
        return np.float64(math.log(2) if k in {0, n} else math.inf)
    a = math.sqrt(rho / (1 - rho))

    def log_integrand(z: Any) -> Any:
        return -np.square(z) / 2 + k * log_ndtr(a * z) + (n - k) * log_ndtr(-a * z)

    def slope(z: float) -> float:
        up, down = (math.sqrt(2 / math.pi) / erfcx(-side * a * z / math.sqrt(2)) for side in (1, -1))
        return -z + a * (k * up - (n - k) * down)

    mode = float(brentq(slope, -1 - a * n, 1 + a * n, maxiter=1000))
    top = float(log_integrand(mode))
    # The normal density alone takes the integrand below what counts within this distance.
    reach = math.sqrt(2 * _DEEP) + 1
    parts = []
    for side in (-reach, reach):
        end = float(brentq(lambda z: log_integrand(z) - top + _DEEP, mode, mode + side))
        parts.append(log_integrand(mode + (end - mode) * _NODES) - top + np.log(abs(end - mode) * _WEIGHTS))
    return np.float64(math.log(2 * math.pi) / 2 - top - logsumexp(np.concatenate(parts)))


def positives_information(positives: ArrayLike, inputs: ArrayLike) -> Float64:
    """Return -ln P(a random perceptron is positive on exactly t of the 2^n points of {0, 1}^n).

    The perceptron w . x > 0 has no bias, and its weights a density that does not change with the sign of any of them:
    then t is uniform on 0, ..., 2^n - 1 [Mingard2019]_. The functions are far from uniform: t = 0 is one function.

    Parameters
    ----------
    positives : array_like of int
        t.
    inputs : array_like of int
        n, at least 1.

    Returns
    -------
    float64 or ndarray
        n ln 2; infinite for t = 2^n and more, as the origin is never positive.

    Raises
    ------
    ValueError
        If a number is not whole or out of range.

    Examples
    --------
    >>> positives_information([0, 15, 16], 4).tolist() == [4 * math.log(2), 4 * math.log(2), math.inf]
    True
    """
    t, n = np.broadcast_arrays(count("positives", positives, 0), count("inputs", inputs))
    return np.where(t < np.ldexp(1.0, np.minimum(n, 53).astype(int)), n * math.log(2), np.inf)[()]


def count_dichotomies(points: int, dimension: int) -> int:
    """Return in how many ways hyperplanes through the origin divide points in general position.

    Parameters
    ----------
    points : int
        N, at least 1; any `dimension` of them are linearly independent. For points that are not, it is an upper bound.
    dimension : int
        d, at least 1; one more for hyperplanes with a bias.

    Returns
    -------
    int
        2 (C(N - 1, 0) + ... + C(N - 1, d - 1)) [Cover1965]_, exactly.

    Raises
    ------
    ValueError
        If a number is not a whole number of at least 1.

    Examples
    --------
    >>> count_dichotomies(4, 3)  # four points of a plane, all but the two XORs
    14
    """
    n, d = int(count("points", points)), int(count("dimension", dimension))
    return 2 * sum(math.comb(n - 1, k) for k in range(min(d, n)))


def separable_information(points: ArrayLike, dimension: ArrayLike) -> Float64:
    """Return -ln P(labels by fair coins can be fit by a hyperplane through the origin).

    It is what fitting takes where labels have nothing to do with the inputs: nothing up to d points, ln 2 at 2 d, and
    nearly ln 2 for each further point far beyond.

    Parameters
    ----------
    points : array_like of int
        N, at least 1, in general position.
    dimension : array_like of int
        d, at least 1; one more for hyperplanes with a bias.

    Returns
    -------
    float64 or ndarray
        Nats: -ln of `count_dichotomies` / 2^N, which is P(Bin(N - 1, 1/2) < d) [Cover1965]_.

    Raises
    ------
    ValueError
        If a number is not a whole number of at least 1.

    Examples
    --------
    >>> separable_information([5, 20, 4000], 10).round(3).tolist()
    [0.0, 0.693, 2710.06]
    """
    n, d = np.broadcast_arrays(count("points", points), count("dimension", dimension))
    trials = np.maximum(n - 1, 1)
    return -log_binomial_cdf(np.where(d >= n, trials, d - 1), trials, 0.5) + 0.0


def _log_betainc(a: NDArray[np.float64], e: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln I_x(a, 1/2) for x = sin^2(pi e), e in [0, 1/2]."""
    root, rest = np.sin(np.pi * e), np.square(np.sin(np.pi * (0.5 - e)))  # near 1/2 all is in 1 - x
    plain = np.where(rest < 0.5, betaincc(0.5, a, rest), betainc(a, 0.5, np.square(root)))
    with np.errstate(divide="ignore"):
        values = np.asarray(np.log(plain))
    deep = (plain < _SMALL) & (root > 0)
    a, root = a[deep], root[deep]
    front = 2 * a * np.log(root) + np.log1p(-np.square(root)) / 2 - np.log(a) - betaln(a, 0.5)
    values[deep] = front + np.log(_fraction(a, np.square(root)))
    return values


def _fraction(a: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the continued fraction of I_x(a, 1/2), by Lentz's method; x is well below 1 wherever I is tiny."""
    b, m = 0.5, 0
    upper, lower = np.ones_like(x), 1 / (1 - (a + b) * x / (a + 1))
    total, change = lower, lower
    while (np.abs(change - 1) > _CONVERGED).any():
        m += 1
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            lower, upper = 1 / (1 + term * lower), 1 + term / upper
            change = lower * upper
            total = total * change
    return total
