r"""Binomial tails in log space and their inverses (Clopper-Pearson limits), at any level such as exp(-6000).

Both tails are incomplete beta functions. With a = n - k, b = k + 1 and W = p^b (1-p)^a / B(a, b),

    P(Bin(n, p) <= k) = W f(a, b, 1-p)   where (n+1) p >= k + 1,      P(Bin(n, p) > k) = W f(b, a, p)   elsewhere,

f being a continued fraction with positive elements (Didonato and Morris 1992), so that two convergents in a row
enclose it. ln W is taken in Loader's form, -(n+1) kl(b/(n+1), p) and small Stirling corrections, in which nothing
large cancels; differences of ln Gamma would lose ten digits at n = 10^9.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.binary_kl import kl_lower, kl_upper
from genbounds.numerics.checks import Float64, count, log_probability, unit_interval
from genbounds.numerics.deviance import deviance
from genbounds.numerics.double_double import two_product
from genbounds.numerics.rounding import round_down, round_up

__all__ = ["binomial_lower", "binomial_upper", "log_binomial_cdf"]

_BLOCK = 2**15
_HALF_UNIT = 2.0**-53
_CLOSE = 1e-8  # Newton squares this error in its last step
_NEWTON_STEPS = 100  # about six are taken; where p runs out of float64s, the last step proves all the same

#: ln(n! e^n / (n^n sqrt(2 pi n))) for n = 1..15; index 0 is never read.
_STIRLING = np.array(
    [0.0] + [math.log(math.factorial(n) / n**n * math.exp(n) / math.sqrt(2.0 * math.pi * n)) for n in range(1, 16)]
)


class _Tail(NamedTuple):
    """One binomial tail, the one that lies away from the mean.

    Attributes: its logarithm; whether it is P(X <= k) (else P(X > k)); f, so that abs(d log / d p) is
    1 / (p (1-p) f); and a bound on the absolute error of the logarithm and the relative error of f.
    """

    log: NDArray[np.float64]
    is_cdf: NDArray[np.bool_]
    fraction: NDArray[np.float64]
    error: NDArray[np.float64]


def log_binomial_cdf(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> Float64:
    """Return ln P(Bin(n, p) <= k).

    Parameters
    ----------
    k : array_like of int
        Counts, in [0, n].
    n : array_like of int
        Numbers of trials, at least 1.
    p : array_like
        Success probabilities in [0, 1]; all three broadcast.

    Returns
    -------
    float64 or ndarray
        Nats, in [-inf, 0], with a relative error below 1e-12; it takes about 400/z^2 steps z > 1 standard
        deviations from the mean, and sqrt(n)/20 next to it.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    Examples
    --------
    >>> float(log_binomial_cdf(0, 50000, 0.1))  # 50000 ln 0.9
    -5268.02578289131...
    >>> round(float(log_binomial_cdf(1, 2, 0.5)), 12) == round(math.log(0.75), 12)
    True
    """
    k, n = _counts(k, n)
    k, n, p = np.broadcast_arrays(k, n, unit_interval("p", p, "It is a probability."))
    shape = k.shape
    k, n, p = k.ravel(), n.ravel(), p.ravel()
    with np.errstate(divide="ignore"):
        result = np.where(k == n, 0.0, n * np.log1p(-p))  # right where k = n or k = 0 or p = 0 or p = 1
    for block in _blocks((k > 0) & (k < n) & (p > 0.0) & (p < 1.0)):
        result[block] = _log_side(_tail(k[block], n[block], p[block]), cdf=True)[0]
    return (result + 0.0).reshape(shape)[()]  # no negative zero


def binomial_upper(k: ArrayLike, n: ArrayLike, log_level: ArrayLike) -> Float64:
    """Return sup{p : ln P(Bin(n, p) <= k) >= log_level}, rounded up.

    Parameters
    ----------
    k : array_like of int
        Counts (of errors), in [0, n].
    n : array_like of int
        Numbers of trials, at least 1.
    log_level : array_like
        ln of the probability with which the limit may fail, in [-inf, 0]; all three broadcast.

    Returns
    -------
    float64 or ndarray
        Clopper-Pearson upper limits: provably at or above the real number, within a relative 1e-12; 1 where k = n.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    Notes
    -----
    The tail, as a function of p, is an incomplete beta function with parameters of at least 1, hence log-concave: a
    Newton step on its logarithm lands on the outer side of the root from wherever it starts. The last step is taken
    1e-8 nats from the root and carries the error of the logarithm as a margin, in units of 2^-53: 95 (n+1) kl for the
    deviance, 10 abs(l) for each further logarithm l, 26 for each step of the continued fraction (13 roundings in each
    of two recurrences whose terms are all positive) and 40 for the Stirling corrections.

    Examples
    --------
    >>> float(binomial_upper(0, 100, math.log(0.05)))  # 1 - 0.05^(1/100)
    0.029513049607...
    """
    k, n, level = _arguments(k, n, log_level)
    shape = k.shape
    k, n, level = k.ravel(), n.ravel(), level.ravel()
    result = np.where((k == n) | (level == -np.inf), 1.0, 0.0)
    regular = (k < n) & (level > -np.inf) & (level < 0.0)
    closed = regular & (k == 0)  # (1 - p)^n = exp(level)
    result[closed] = np.minimum(round_up(-np.expm1(np.nextafter(level[closed] / n[closed], -np.inf)), 5), 1.0)
    for block in _blocks(regular & ~closed):
        result[block] = _invert(k[block], n[block], level[block], upper=True)
    return result.reshape(shape)[()]


def binomial_lower(k: ArrayLike, n: ArrayLike, log_level: ArrayLike) -> Float64:
    """Return inf{p : ln P(Bin(n, p) >= k) >= log_level}, rounded down.

    Parameters
    ----------
    k : array_like of int
        Counts, in [0, n].
    n : array_like of int
        Numbers of trials, at least 1.
    log_level : array_like
        ln of the probability with which the limit may fail, in [-inf, 0]; all three broadcast.

    Returns
    -------
    float64 or ndarray
        Clopper-Pearson lower limits: provably at or below the real number, within a relative 1e-12 (1e-11 below
        1e-40); 0 where k = 0.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    Notes
    -----
    As `binomial_upper`, of which it is the mirror image.

    Examples
    --------
    >>> float(binomial_lower(100, 100, math.log(0.05)))  # 0.05^(1/100)
    0.970486950392...
    """
    k, n, level = _arguments(k, n, log_level)
    shape = k.shape
    k, n, level = k.ravel(), n.ravel(), level.ravel()
    result = np.where((k == 0) | (level == -np.inf), 0.0, 1.0)
    regular = (k > 0) & (level > -np.inf) & (level < 0.0)
    closed = regular & (k == n)  # p^n = exp(level)
    result[closed] = round_down(np.exp(np.nextafter(level[closed] / n[closed], -np.inf)), 5)
    for block in _blocks(regular & ~closed):
        result[block] = _invert(k[block] - 1.0, n[block], level[block], upper=False)
    return result.reshape(shape)[()]


def _counts(k: ArrayLike, n: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    k, n = np.broadcast_arrays(count("k", k, minimum=0), count("n", n))
    if (k > n).any():
        worst = int(np.argmax(k - n))
        raise ValueError(
            f"k must be at most n, got k = {k.flat[worst]:.0f}, n = {n.flat[worst]:.0f}. "
            "It counts errors among n trials: check the order of the arguments."
        )
    return k, n


def _arguments(k: ArrayLike, n: ArrayLike, log_level: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    k, n = _counts(k, n)
    return tuple(np.broadcast_arrays(k, n, log_probability("log_level", log_level)))


def _blocks(where: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    index = np.flatnonzero(where)
    return np.array_split(index, -(-index.size // _BLOCK)) if index.size else []


def _stirling(n: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln(n! e^n / (n^n sqrt(2 pi n))), to an absolute 1e-15."""
    s = 1.0 / (n * n)
    series = (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s / 1188)))) / n
    return np.where(n < 16.0, _STIRLING[np.minimum(n, 15.0).astype(np.intp)], series)


def _tail(k: NDArray[np.float64], n: NDArray[np.float64], p: NDArray[np.float64]) -> _Tail:
    """Return the tail of Bin(n, p), 0 <= k < n, 0 < p < 1, that lies away from the mean."""
    a, b, total = n - k, k + 1.0, n + 1.0
    expected, low = two_product(total, p)
    excess = (expected - b) + low  # (n+1) p - (k+1)
    distance = deviance(b, np.asarray(expected), excess) + deviance(a, total * (1.0 - p), -excess)
    log_spread = 0.5 * np.log(a / total * b / (2.0 * math.pi))
    is_cdf = excess >= 0.0
    fraction, steps = _fraction(
        np.where(is_cdf, a, b), np.where(is_cdf, b, a), np.where(is_cdf, 1.0 - p, p), np.abs(excess)
    )
    log_fraction = np.log(fraction)
    log = log_fraction + (log_spread - distance) + (_stirling(total) - _stirling(a) - _stirling(b))
    error = 95.0 * distance + 10.0 * (np.abs(log_spread) + np.abs(log_fraction)) + 40.0 + 26.0 * steps
    return _Tail(log, is_cdf, fraction, _HALF_UNIT * error)


def _fraction(
    a: NDArray[np.float64], b: NDArray[np.float64], x: NDArray[np.float64], gap: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return f = I_x(a, b) B(a, b) / (x^a (1-x)^b) and the number of steps taken, for gap = a - (a+b) x >= 0."""
    # 1/f = beta_0 + alpha_1 / (beta_1 + alpha_2 / (beta_2 + ...)); each entry stops on its own and does not depend on
    # its neighbours.
    result, steps = np.empty_like(a), np.empty_like(a)
    active = np.arange(a.size)
    numerator_before, denominator_before = np.zeros_like(a), np.ones_like(a)
    numerator, denominator = np.ones_like(a), a / (a + 1.0) * (gap + 1.0)
    convergent = numerator / denominator
    m = 0.0
    while active.size:
        m += 1.0
        alpha = (a + (m - 1.0)) * (a + b + (m - 1.0)) * (m * (b - m)) * (x / (a + (2.0 * m - 1.0))) ** 2
        beta = (
            m + m * (b - m) * x / (a + (2.0 * m - 1.0)) + (a + m) / (a + (2.0 * m + 1.0)) * (gap + 1.0 + m * (2.0 - x))
        )
        last = alpha <= 0.0  # m = b: the fraction ends before this step
        next_numerator = beta * numerator + alpha * numerator_before
        next_denominator = beta * denominator + alpha * denominator_before
        scale = 1.0 / next_denominator
        numerator_before, denominator_before = numerator * scale, denominator * scale
        numerator, denominator = next_numerator * scale, next_denominator * scale
        previous, convergent = convergent, np.where(last, convergent, numerator / denominator)
        done = last | (np.abs(convergent - previous) <= 2.0 * _HALF_UNIT * convergent)
        if done.any():
            result[active[done]], steps[active[done]] = convergent[done], m
            keep = ~done
            active, a, b, x, gap = active[keep], a[keep], b[keep], x[keep], gap[keep]
            numerator, denominator, convergent = numerator[keep], denominator[keep], convergent[keep]
            numerator_before, denominator_before = numerator_before[keep], denominator_before[keep]
    return result, steps


def _log_side(
    tail: _Tail, cdf: bool | NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return ln P(X <= k) (or ln P(X > k)), f for its slope, and its error, from whichever tail was summed."""
    same = tail.is_cdf == cdf
    probability = np.exp(tail.log)
    odds = probability / (1.0 - probability)
    with np.errstate(divide="ignore", over="ignore"):
        fraction = np.where(same, tail.fraction, tail.fraction / odds)
    log = np.where(same, tail.log, np.log1p(-probability))
    error = np.where(same, tail.error, odds * tail.error + 8.0 * _HALF_UNIT * np.abs(log) + 1e-322)
    return log, fraction, error


def _invert(
    k: NDArray[np.float64], n: NDArray[np.float64], level: NDArray[np.float64], upper: bool
) -> NDArray[np.float64]:
    """Solve ln P(X <= k) = level (upper) or ln P(X > k) = level for p, and round outward; 0 <= k < n."""
    # Above ln(1/2) the other tail is the one whose logarithm is well scaled.
    swapped = level > -math.log(2.0)
    cdf = ~swapped if upper else swapped
    target = np.where(swapped, np.log(-np.expm1(level)), level)
    p = np.where(cdf, kl_upper(k / n, -target / n), kl_lower((k + 1.0) / n, -target / n))  # Chernoff
    p = np.clip(p, 5e-324, 1.0 - 2.0**-53)
    active = np.arange(p.size)
    for _ in range(_NEWTON_STEPS):
        log, fraction, error = _log_side(_tail(k[active], n[active], p[active]), cdf[active])
        gap = log - target[active]
        here = p[active]
        step = np.where(cdf[active], gap, -gap) * fraction * (1.0 - here) * here
        moved = np.clip(here + step, 0.5 * here, 0.5 * (1.0 + here))
        moved = np.clip(moved, 5e-324, 1.0 - 2.0**-53)
        p[active] = moved
        active = active[(np.abs(gap) > np.maximum(_CLOSE, error)) & (moved != here)]
        if not active.size:
            break

    tail = _tail(k, n, p)
    log, fraction, error = _log_side(tail, upper)
    step = (log - level) * fraction * (1.0 - p)
    slope_error = 4.0 * tail.error + 16.0 * _HALF_UNIT  # the tail is below 0.64, so its odds err by 3 times as much
    margin = error * fraction * (1.0 - p) + slope_error * np.abs(step)
    outward = np.nextafter((step + margin) * p, np.inf)
    if upper:
        return np.minimum(np.nextafter(p + outward, np.inf), 1.0)
    return np.maximum(np.nextafter(p - outward, -np.inf), 0.0)
