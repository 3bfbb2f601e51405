r"""How far apart two risks can be, given so much information: inverses that supersample bounds rest on, rounded up.

A fair coin decides which of two losses is looked at. What the errors tell of the coin, if they come with probability a
on one side and b on the other, is

    M(a, b) = a ln(2a / (a + b)) + b ln(2b / (a + b)) = (a + b) kl(b / (a + b) || 1/2),

and what is right tells M(1 - a, 1 - b). Every function here is the largest b in [a, 1] at which an expression of that
kind, convex in b and 0 at a, does not exceed the information. It is found by bisection with a lower limit of the
expression: the point returned is proved to lie at or above the inverse, whatever the rounding.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.binary_kl import binary_kl
from genbounds.numerics.checks import Float64, count, nonnegative, unit_interval
from genbounds.numerics.rounding import round_down, round_up

__all__ = ["coin_bias_upper", "jensen_shannon_upper", "leave_one_out_upper", "risk_pair_upper"]

_HALVINGS = 64
#: No expression here exceeds ln 2^53; a subnormal budget loses the relative accuracy that the lower limits count on.
_LARGEST, _SMALLEST = 64.0, 1e-300
#: Twice the relative error of `binary_kl` and of the products after it, tenfold.
_SURE = 1 - 1e-13

_Values = NDArray[np.float64]


def _told(part: _Values, whole: _Values, fair: ArrayLike) -> _Values:
    """Return a lower limit of whole * kl(part / whole || fair), for a part of at least fair * whole."""
    share = np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)
    return whole * binary_kl(np.maximum(round_down(share, 4), fair), fair) * _SURE


def _errors(a: _Values, b: _Values) -> _Values:
    return _told(b, a + b, 0.5)


def _rights(a: _Values, b: _Values) -> _Values:
    return _told(1 - a, (1 - a) + (1 - b), 0.5)


def _largest_root(below: Callable[[_Values, _Values], _Values], a: _Values, step: Float64, budget: _Values) -> Float64:
    """Return a point provably at or above max{b >= a : f(a, b) <= budget}, as a + step is; `below` is a limit of f."""
    low, high = a, np.minimum(round_up(a + step, 1), 1.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = below(a, middle) > budget
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return high[()]


def _arguments(train_risk: ArrayLike, information: ArrayLike) -> tuple[_Values, _Values]:
    information = np.clip(nonnegative("information", information), _SMALLEST, _LARGEST)
    a, budget = np.broadcast_arrays(unit_interval("train_risk", train_risk), information)
    return a, budget


def coin_bias_upper(information: ArrayLike) -> Float64:
    """Return the largest r in [0, 1] with kl((1 + r) / 2 || 1/2) <= information, rounded up.

    Parameters
    ----------
    information : array_like
        Nats, in [0, inf].

    Returns
    -------
    float64 or ndarray
        At or above the inverse, by no more than 1e-12 of it and 1e-14 beside; at most sqrt(2 information), rounded up.

    Raises
    ------
    ValueError
        If an argument is NaN or negative.

    Examples
    --------
    >>> coin_bias_upper([0.75 * np.log(3) - np.log(2), np.log(2)]).round(12).tolist()  # kl(3/4 || 1/2), kl(1 || 1/2)
    [0.5, 1.0]
    """
    none, budget = _arguments(0.0, information)
    return _largest_root(lambda _, r: _told((1 + r) / 2, np.ones(r.shape), 0.5), none, np.sqrt(2 * budget), budget)


def risk_pair_upper(train_risk: ArrayLike, information: ArrayLike) -> Float64:
    """Return the largest b in [a, 1] with max(M(a, b), M(1 - a, 1 - b)) <= information, rounded up.

    The first term is the larger one as long as a + b <= 1.

    Parameters
    ----------
    train_risk : array_like
        a, in [0, 1].
    information : array_like
        Nats, in [0, inf].

    Returns
    -------
    float64 or ndarray
        At or above the inverse, by no more than 1e-12 of b - a and 1e-14 beside.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Examples
    --------
    Without errors on one side, each error on the other tells the coin, which is worth ln 2:

    >>> float(risk_pair_upper(0.0, np.log(2) / 4).round(12))
    0.25
    """
    a, budget = _arguments(train_risk, information)
    # M(a, b) >= (b - a)^2 / (2 (a + b)), which is a quadratic in b - a. Two roots, so that no square underflows.
    step = round_up(budget + np.sqrt(budget) * np.sqrt(budget + 4 * a), 12)
    return _largest_root(lambda a, b: np.maximum(_errors(a, b), _rights(a, b)), a, step, budget)


def jensen_shannon_upper(train_risk: ArrayLike, information: ArrayLike) -> Float64:
    """Return the largest b in [a, 1] whose coin is within so much Jensen-Shannon divergence of a coin a, rounded up.

    The divergence is kl(a || m) / 2 + kl(b || m) / 2 with m = (a + b) / 2, which is the mean of M(a, b) and
    M(1 - a, 1 - b): what one toss tells of the coin that was tossed.

    Parameters
    ----------
    train_risk : array_like
        a, in [0, 1].
    information : array_like
        Nats, in [0, inf].

    Returns
    -------
    float64 or ndarray
        At or above the inverse, by no more than 1e-12 of b - a and 1e-14 beside.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Examples
    --------
    >>> float(jensen_shannon_upper(0.0, 0.1).round(6))
    0.260332
    """
    a, budget = _arguments(train_risk, information)
    step = round_up(2 * (budget + np.sqrt(budget) * np.sqrt(budget + 2 * a)), 12)
    return _largest_root(lambda a, b: (_errors(a, b) + _rights(a, b)) / 2, a, step, budget)


def leave_one_out_upper(train_risk: ArrayLike, information: ArrayLike, n: ArrayLike) -> Float64:
    """Return the largest b in [a, 1] that three expressions allow when one of n + 1 losses is looked at, rounded up.

    With m = (b + n a) / (n + 1) they are kl(b || m), what a loss tells alone, and what the errors tell, and what is
    right: b ln(b / m) + n a ln(a / m), and the same with 1 - a, 1 - b and 1 - m. None may exceed the information. The
    first is largest if many err at once, the second if it is one at most, as where a is 0.

    Parameters
    ----------
    train_risk : array_like
        a, in [0, 1].
    information : array_like
        Nats, in [0, inf].
    n : array_like of int
        At least 1.

    Returns
    -------
    float64 or ndarray
        At or above the inverse, by no more than 1e-12 of b - a and 1e-14 beside.

    Raises
    ------
    ValueError
        If an argument is NaN or outside its range.

    Examples
    --------
    Without errors on the other n, each error tells which one it is, which is worth ln(n + 1):

    >>> float(leave_one_out_upper(0.0, np.log(10) / 4, 9).round(12))
    0.25
    """
    a, budget = _arguments(train_risk, information)
    a, budget, n = np.broadcast_arrays(a, budget, count("n", n))

    def below(a: _Values, b: _Values) -> _Values:
        together = binary_kl(b, np.minimum(round_up((b + n * a) / (n + 1), 4), b)) * _SURE
        errors = _told(b, b + n * a, round_up(1 / (n + 1), 2))
        rights = _told(n * (1 - a), (1 - b) + n * (1 - a), np.minimum(round_up(n / (n + 1), 2), 1.0))
        return np.maximum(together, np.maximum(errors, rights))

    # kl(b || m) >= (b - m)^2 / (2 b) and b - m = (b - a) n / (n + 1).
    scaled = np.square((n + 1) / n) * budget
    step = round_up(scaled + np.sqrt(scaled) * np.sqrt(scaled + 2 * a), 20)
    return _largest_root(below, a, step, budget)
