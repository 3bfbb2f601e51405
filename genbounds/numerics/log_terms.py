r"""Logarithmic terms of the PAC-Bayes-kl theorems: ln xi(n), ln(2 sqrt n) above it, and ln kt(n) for all n at once.

xi(n) = sum_k C(n, k) (k/n)^k (1 - k/n)^(n-k) is the largest value over p of E exp(n kl(K/n, p)) for K ~ Bin(n, p)
(Maurer 2004; the expectation does not depend on p in (0, 1)). kt(n) = 4^n / C(2n, n) is what a gambler who does not
know the best constant bet in advance loses at most (Krichevsky and Trofimov 1981).
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics.checks import Float64, count
from genbounds.numerics.rounding import round_up

__all__ = ["log_kt", "log_two_sqrt", "log_xi", "xi"]

_SUMMED_UP_TO = 10**6
#: 4^n / C(2n, n) for n = 0, ..., 63, each correctly rounded.
_KT = np.array([4**n / math.comb(2 * n, n) for n in range(64)])


def xi(n: ArrayLike) -> Float64:
    """Return xi(n) = sum_k C(n, k) (k/n)^k (1 - k/n)^(n-k), rounded up.

    Parameters
    ----------
    n : array_like of int
        Numbers of examples, at least 1.

    Returns
    -------
    float64 or ndarray
        At or above xi(n), by a relative 3e-16 (sqrt(n) + 5) up to n = 10^6 and 3e-15 beyond. xi(n) lies between
        sqrt(n) and 2 sqrt(n).

    Raises
    ------
    ValueError
        If `n` is not a whole number of at least 1.

    Notes
    -----
    xi(n) = 1 + Q(n) with Ramanujan's Q(n) = 1 + (1 - 1/n) + (1 - 1/n)(1 - 2/n) + ...: the k-th summand is
    n! / ((n-k)! n^k), and expanding n! e^n / n^n in the two ways below gives the identity.

    Up to n = 10^6 the first 9 sqrt(n) products are summed; those left out are below a geometric series, which is
    added. The k-th product carries 2k roundings and the sum over k of k times the k-th product is n, so the products'
    relative error is at most 2 n / Q(n) < 1.7 sqrt(n) + 2 units of 2^-53; NumPy's pairwise sum of at most 9000 summands
    adds fewer than 27. The result is raised by as much.

    Beyond, e^n/2 = sum_{k<n} n^k/k! + theta(n) n^n/n! with theta(n) = 1/3 + 4/(135 (n + k(n))) and
    2/21 <= k(n) <= 8/45 (Flajolet, Grabner, Kirschenhofer, Prodinger 1995, who proved Ramanujan's assertion) gives
    Q(n) = n! e^n / (2 n^n) - theta(n), and Robbins' n! <= sqrt(2 pi n) (n/e)^n e^(1/(12 n)) gives
    xi(n) <= sqrt(pi n / 2) e^(1/(12 n)) + 2/3 - 4/(135 (n + 8/45)), a relative 1e-17 / n above xi(n).

    Examples
    --------
    >>> float(xi(1)), float(xi(2))  # 2 and 1 + 1/2 + 1
    (2.000000000000..., 2.500000000000...)
    """
    n = count("n", n)
    distinct, inverse = np.unique(n, return_inverse=True)
    values = np.array([_summed(int(m)) if m <= _SUMMED_UP_TO else _closed_form(m) for m in distinct], dtype=np.float64)
    return values[inverse].reshape(n.shape)[()]


def _summed(n: int) -> float:
    length = min(n, math.ceil(9.0 * math.sqrt(n)))
    products = np.cumprod((n - np.arange(length)) / n)
    rest = products[-1] * (n / length - 1.0)  # the ratios that follow are at most 1 - length/n
    half_units = 1.7 * math.sqrt(n) + min(length, 27) + 3.0
    return float(round_up(1.0 + (np.sum(products) + rest), math.ceil(half_units / 2.0)))


def _closed_form(n: float) -> float:
    leading = math.sqrt(math.pi * n / 2.0) * math.exp(1.0 / (12.0 * n))
    return float(round_up(leading + (2.0 / 3.0 - 4.0 / (135.0 * (n + 8.0 / 45.0))), 8))


def log_xi(n: ArrayLike) -> Float64:
    """Return ln xi(n), rounded up: the log term of Maurer's theorem without its last inequality.

    Parameters
    ----------
    n : array_like of int
        Numbers of examples, at least 1.

    Returns
    -------
    float64 or ndarray
        Nats; about ln(n)/2 + 0.23, never above `log_two_sqrt`, and below it by up to 0.47.

    Raises
    ------
    ValueError
        If `n` is not a whole number of at least 1.

    Examples
    --------
    >>> float(log_xi(1))  # ln 2
    0.69314718055994...
    """
    return np.minimum(round_up(np.log(xi(n)), 5), log_two_sqrt(n))  # equal at n = 1


def log_two_sqrt(n: ArrayLike) -> Float64:
    """Return ln(2 sqrt(n)), rounded up.

    Parameters
    ----------
    n : array_like of int
        Numbers of examples, at least 1.

    Returns
    -------
    float64 or ndarray
        Nats.

    Raises
    ------
    ValueError
        If `n` is not a whole number of at least 1.

    Examples
    --------
    >>> float(log_two_sqrt(25))  # ln 10
    2.30258509299404...
    """
    return round_up(math.log(2.0) + 0.5 * np.log(count("n", n)), 5)


def log_kt(n: ArrayLike) -> Float64:
    """Return ln kt(n), kt(n) = 4^n / C(2n, n) = sqrt(pi) Gamma(n + 1) / Gamma(n + 1/2), rounded up.

    It is the regret of the Krichevsky-Trofimov mixture: for 0 <= k <= n, max_b b^k (1-b)^(n-k) is at most kt(n) times
    its mean over b ~ Beta(1/2, 1/2), with equality at k = 0 and k = n.

    Parameters
    ----------
    n : array_like of int
        Numbers of examples, at least 1.

    Returns
    -------
    float64 or ndarray
        Nats; about ln(pi n) / 2, between `log_xi` and `log_two_sqrt`.

    Raises
    ------
    ValueError
        If `n` is not a whole number of at least 1.

    Notes
    -----
    Regret: up to a constant, the logarithm of the ratio is g(k) + g(n - k) with g(k) = k ln k - ln Gamma(k + 1/2), and
    g'' = 1/k - psi'(k + 1/2) > 0, for psi'(k + 1/2) is the integral of e^(-k t) (t/2) / sinh(t/2) and that of e^(-k t)
    is 1/k. A convex function that is symmetric in k and n - k is largest at the ends.

    Value: by Malmsten's formula ln(Gamma(n + 1) / Gamma(n + 1/2)) - ln(n)/2 is the integral of
    e^(-n t) tanh(t/4) / (2 t). The series of tanh, as a sum of geometric ones, lies alternately above and below, and so
    does ln kt(n) ~ ln(pi n)/2 + 1/(8 n) - 1/(192 n^3) + 1/(640 n^5) - ..., of which these terms are taken from n = 64
    on, above by less than 17 / (14336 n^7) < 3e-16.

    Examples
    --------
    >>> float(log_kt(1)), float(log_kt(2))  # ln 2 and ln(16/6)
    (0.69314718055994..., 0.98082925301172...)
    """
    n = count("n", n)
    small = np.log(_KT[np.minimum(n, 63).astype(int)])
    inverse = 1.0 / n
    square = inverse * inverse
    large = 0.5 * np.log(math.pi * n) + inverse * (1 / 8 - square * (1 / 192 - square / 640))
    return np.minimum(round_up(np.where(n < 64, small, large)[()], 8), log_two_sqrt(n))  # equal at n = 1
