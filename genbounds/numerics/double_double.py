"""Numbers carried as unevaluated sums of two float64s, for the one step that must decide on which side a root lies.

Only IEEE additions, products and divisions enter, so the error bounds below hold whatever the quality of the
platform's mathematical library.
"""

from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.checks import Float64

__all__ = ["LOG_RATIO_ERROR", "log_ratio", "two_product", "two_sum"]

#: Relative error of `log_ratio`; the terms cut off and the rounding of the cubic term stay below 2^-71.
LOG_RATIO_ERROR = 2.0**-69

_ZERO = np.float64(0.0)
_SPLITTER = 2.0**27 + 1.0
_CELLS = 1024
_FIRST, _LAST = 724, 1448  # 1024 sqrt(1/2), 1024 sqrt(2)


def _log_constants() -> tuple[NDArray[np.float64], NDArray[np.float64], float, float]:
    """Tabulate ln(i/1024) for i/1024 in [sqrt(1/2), sqrt(2)], and ln 2, by integer arithmetic with 160 bits."""
    one = 1 << 160

    def step(i: int) -> int:  # ln((i+1)/i) = 2 artanh(1/(2i+1))
        power, square, total, k = one // (2 * i + 1), (2 * i + 1) ** 2, 0, 1
        while power:
            total += power // k
            power //= square
            k += 2
        return 2 * total

    logs = [0, *accumulate(step(i) for i in range(_FIRST, _LAST))]
    logs = [log - logs[_CELLS - _FIRST] for log in logs]
    high = [log / one for log in logs]
    low = [(log - int(h * 2.0**80) * 2**80) / one for log, h in zip(logs, high, strict=True)]
    ln2 = step(1)
    ln2_head = ln2 >> 118 << 118  # 42 bits: its product with an exponent is exact
    return np.array(high), np.array(low), ln2_head / one, (ln2 - ln2_head) / one


_LOG_HIGH, _LOG_LOW, _LN2_HIGH, _LN2_LOW = _log_constants()


def two_sum(a: Float64, b: Float64) -> tuple[Float64, Float64]:
    """Return the rounded sum of `a` and `b` and its exact error (Knuth).

    Parameters
    ----------
    a, b : float64 or ndarray
        Summands.

    Returns
    -------
    tuple of ndarray
        High and low part; their sum is exactly ``a + b``.
    """
    total = a + b
    shadow = total - a
    return total, (a - (total - shadow)) + (b - shadow)


def two_product(a: Float64, b: Float64) -> tuple[Float64, Float64]:
    """Return the rounded product of `a` and `b` and its exact error (Dekker, Veltkamp).

    Parameters
    ----------
    a, b : float64 or ndarray
        Factors below 2^996, with a product above 2^-960 (or 0).

    Returns
    -------
    tuple of ndarray
        High and low part; their sum is exactly ``a * b``.
    """
    product = a * b
    t = _SPLITTER * a
    a_high = t - (t - a)
    a_low = a - a_high
    t = _SPLITTER * b
    b_high = t - (t - b)
    b_low = b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def log_ratio(a: Float64, b: Float64, a_low: Float64 = _ZERO, b_low: Float64 = _ZERO) -> tuple[Float64, Float64]:
    """Return ln((a + a_low) / (b + b_low)) in double-double.

    Parameters
    ----------
    a, b : float64 or ndarray
        Positive leading parts, subnormal numbers included.
    a_low, b_low : float64 or ndarray
        Trailing parts, at most half a unit in the last place of the leading ones.

    Returns
    -------
    tuple of ndarray
        High and low part, with a relative error of at most `LOG_RATIO_ERROR` also where the ratio is next to 1.

    Notes
    -----
    With the ratio written as 2^k m, m in [sqrt(1/2), sqrt(2)], and c = i/1024 the nearest table point,
    ln = k ln 2 + ln c + log1p(r), r = (a - c b) / (c b). The numerator is exact in double-double (c has eleven
    bits), so r keeps its relative accuracy as a/b tends to 1; abs(r) < 2^-10.4 needs only five terms of the
    series in float64 after r - r^2/2.
    """
    a, a_exponent = np.frexp(a)
    b, b_exponent = np.frexp(b)
    b_exponent = b_exponent - 1  # mantissas in [1, 2)
    b = 2.0 * b
    ratio = 2.0 * a / b
    k = a_exponent - 1 - b_exponent + (ratio > np.sqrt(2.0)) - (ratio < np.sqrt(0.5))
    a = np.ldexp(a, a_exponent - b_exponent - k)
    a_low = np.ldexp(a_low, -b_exponent - k)
    b_low = np.ldexp(b_low, -b_exponent)

    cell = np.rint(_CELLS * (a / b))
    c = cell / _CELLS
    t = _SPLITTER * b
    b_head = t - (t - b)
    head, tail = c * b_head, c * (b - b_head)  # both exact
    high, low = two_sum(a - head, -tail)
    low_high, low_low = two_sum(a_low, -c * b_low)
    high, error = two_sum(high, low_high)
    low = low + (error + low_low)
    divisor = head + tail
    divisor_low = (head - divisor) + tail + c * b_low

    r = high / divisor
    product, error = two_product(r, divisor)
    r_low = (((high - product) - error) + (low - r * divisor_low)) / divisor
    square, error = two_product(r, r)
    cubic = r * square * (1 / 3 - r * (1 / 4 - r * (1 / 5 - r * (1 / 6 - r / 7))))
    high, low = two_sum(r, -0.5 * square)
    low = low + ((r_low - (0.5 * error + r * r_low)) + cubic)

    index = cell.astype(np.intp) - _FIRST
    table, error = two_sum(k * _LN2_HIGH, _LOG_HIGH[index])
    low = low + (error + (_LOG_LOW[index] + k * _LN2_LOW))
    high, error = two_sum(table, high)
    return two_sum(high, low + error)
