"""Estimators of mutual information from samples, each with its spread: none of them may stand inside a bound.

What is wrong with each inside an upper bound:

* `plug_in` is biased up by about (number of cells - 1) / (2n) at independence, and down near saturation. Its square
  root, which the bounds take, is biased *down* where a value is seen rarely: see the example there.
* `miller_madow` removes the first of these to leading order, and is no upper bound either.
* `gaussian` is unbiased for Gaussian variables, and about nothing else.
* `nearest_neighbours` (in its own module: it needs scikit-learn) is far too low in many dimensions.

`genbounds.information.information_limits` gives upper limits for the information about a fair mask.
"""

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from genbounds.numerics.checks import Float64, count, unit_interval
from genbounds.numerics.discrete_information import mutual_information
from genbounds.numerics.estimates import Estimate

__all__ = ["gaussian", "miller_madow", "plug_in"]


def normal_interval(value: Float64, standard_error: Float64, level: float) -> tuple[Float64, Float64]:
    """Return the interval of a normal variable around a value.

    Parameters
    ----------
    value, standard_error : float or ndarray
        Centre and standard deviation.
    level : float
        Confidence, in (0, 1).

    Returns
    -------
    tuple of float or ndarray
        Low and high end.
    """
    half = NormalDist().inv_cdf((1 + level) / 2) * standard_error
    return value - half, value + half


def _jackknifed(
    value: Float64, left_out: NDArray[np.float64], weights: NDArray[np.float64], level: float, method: str
) -> Estimate:
    """Return an estimate with the jackknife's standard error; `weights` count observations with equal replicates."""
    n = weights.sum(axis=-1)
    with np.errstate(invalid="ignore"):
        mean = (weights * left_out).sum(axis=-1) / n
        error = np.sqrt((weights * (left_out - mean[..., None]) ** 2).sum(axis=-1) * (n - 1) / n)
    standard_error = np.where(n > 1, error, np.inf)[()]
    return Estimate(
        value, standard_error, normal_interval(value, standard_error, level), level, n.astype(np.int64)[()], method
    )


def _tables(counts: ArrayLike) -> NDArray[np.float64]:
    tables = count("counts", counts, minimum=0, remedy="Count how often each pair of values was seen.")
    if tables.ndim < 2 or np.any(tables.sum(axis=(-2, -1)) == 0):
        raise ValueError(
            f"counts must be tables (..., x, y) with at least one observation each, got shape {tables.shape}"
            f"{'' if tables.ndim < 2 else ' and an empty table'}. Count how often each pair of values was seen."
        )
    return tables


def _information(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    total = tables.sum(axis=(-2, -1), keepdims=True)
    nothing = np.full(tables.shape, 1 / np.prod(tables.shape[-2:]))  # left after the only observation: no information
    return np.asarray(mutual_information(np.divide(tables, total, out=nothing, where=total > 0)))


def _correction(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Miller and Madow's correction: half the difference of degrees of freedom over n."""
    rows, columns = (np.any(tables > 0, axis=axis).sum(axis=-1) for axis in (-1, -2))
    cells = (tables > 0).sum(axis=(-2, -1))
    return (rows + columns - cells - 1) / (2 * np.maximum(tables.sum(axis=(-2, -1)), 1.0))


def _from_tables(counts: ArrayLike, corrected: bool, level: float, method: str) -> Estimate:
    level = float(unit_interval("level", level, "It is a confidence such as 0.95."))
    tables = _tables(counts)
    rows, columns = tables.shape[-2:]
    cells = np.eye(rows * columns).reshape(-1, rows, columns)
    # One table for each cell an observation may be left out from; a cell that holds none counts for nothing below.
    replicates = np.maximum(tables[..., None, :, :] - cells, 0.0)
    value, left_out = _information(tables), _information(replicates)
    if corrected:
        value, left_out = value + _correction(tables), left_out + _correction(replicates)
    return _jackknifed(value[()], left_out, tables.reshape(*tables.shape[:-2], -1), level, method)


def plug_in(counts: ArrayLike, level: float = 0.95) -> Estimate:
    """Estimate mutual information by that of the observed frequencies.

    Parameters
    ----------
    counts : array_like of int, shape (..., x, y)
        How often each pair of values was seen, one table or a batch of them.
    level : float
        Confidence of the interval.

    Returns
    -------
    Estimate
        Nats, with the jackknife's standard error over observations.

    Raises
    ------
    ValueError
        If a count is no whole number, or a table is empty.

    Examples
    --------
    Rare flips are underestimated: where a prediction is 1 with probability 0.9 for mask 0 and 1 for mask 1, the truth
    is I = 0.0359 and sqrt(2 I) = 0.268. In ten trainings, five for each mask, no flip is seen with probability
    0.9^5 = 0.59, and the estimate is 0 with a standard error of 0:

    >>> estimate = plug_in([[0, 5], [0, 5]])
    >>> float(estimate.value), float(estimate.standard_error)
    (0.0, 0.0)
    """
    return _from_tables(counts, corrected=False, level=level, method="plug-in, jackknife")


def miller_madow(counts: ArrayLike, level: float = 0.95) -> Estimate:
    """Estimate mutual information by the plug-in less its bias to leading order (Miller and Madow).

    Parameters
    ----------
    counts : array_like of int, shape (..., x, y)
        How often each pair of values was seen, one table or a batch of them.
    level : float
        Confidence of the interval.

    Returns
    -------
    Estimate
        Nats, with the jackknife's standard error over observations; it may be negative.

    Raises
    ------
    ValueError
        If a count is no whole number, or a table is empty.

    Notes
    -----
    The plug-in entropy of a variable with K values in n observations is too low by about (K - 1) / (2n), whence
    I + (K_x + K_y - K_xy - 1) / (2n), with the numbers of values that were seen.

    Examples
    --------
    >>> float(miller_madow([[5, 5], [5, 5]]).value)  # 0 + (2 + 2 - 4 - 1) / 40
    -0.025
    """
    return _from_tables(counts, corrected=True, level=level, method="Miller-Madow, jackknife")


def sample_table(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return observations of a real vector, checked, one a row.

    Parameters
    ----------
    name : str
        Argument's name, for the error.
    values : array_like, shape (n,) or (n, d)
        Observations.

    Returns
    -------
    ndarray, shape (n, d)
        In float64.

    Raises
    ------
    ValueError
        If a value is not finite or the shape is another.
    """
    table = np.asarray(values, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError(
            f"{name} must be finite observations, one a row, got shape {table.shape}"
            f"{' with a value that is not finite' if table.size and not np.isfinite(table).all() else ''}. "
            "Drop rows with missing values."
        )
    return table


def gaussian(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Estimate:
    """Estimate mutual information from sample covariances, for jointly Gaussian variables.

    Parameters
    ----------
    x, y : array_like, shape (n,) or (n, d)
        Paired observations.
    level : float
        Confidence of the interval.

    Returns
    -------
    Estimate
        Nats, with the jackknife's standard error. For independent, jointly Gaussian rows its mean is the mutual
        information exactly; it may be negative.

    Raises
    ------
    ValueError
        If the observations do not match, are too few, or a covariance is singular.

    Notes
    -----
    With A the scatter matrix of n Gaussian observations of dimension d, of covariance C,
    ln det A - ln det C is a sum of d independent logarithms of chi-square variables with n - 1, ..., n - d degrees of
    freedom, whose means are digamma((n - j) / 2) + ln 2. Half of the signed sum of three of these is the bias, taken
    off exactly.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal(2000)
    >>> estimate = gaussian(x, 0.6 * x + 0.8 * rng.standard_normal(2000))  # -ln(1 - 0.36) / 2 = 0.2231
    >>> bool(abs(estimate.value - 0.2231) < 2 * estimate.standard_error)
    True
    """
    level = float(unit_interval("level", level, "It is a confidence such as 0.95."))
    x, y = sample_table("x", x), sample_table("y", y)
    n = len(x)
    if len(y) != n:
        raise ValueError(f"y must have {n} rows, as x, got {len(y)}. Pass the observations in pairs.")
    if n < x.shape[1] + y.shape[1] + 3:
        wanted = x.shape[1] + y.shape[1] + 3
        raise ValueError(
            f"x must have at least {wanted} rows for {wanted - 3} dimensions in all, got {n}. Use more observations."
        )
    value: np.float64 = np.float64(0.0)
    left_out = np.zeros(n)
    for sign, block in ((0.5, x), (0.5, y), (-0.5, np.hstack([x, y]))):
        d = block.shape[1]
        centred = block - block.mean(axis=0)
        # Leverages from an orthogonal basis; leaving row i out multiplies det A by 1 - h_i n / (n - 1).
        left, scales, _ = np.linalg.svd(centred, full_matrices=False)
        shrink = 1.0 - np.square(left).sum(axis=1) * n / (n - 1)
        if scales[-1] <= scales[0] * n * 2.0**-52 or shrink.min() <= 1e-12:
            raise ValueError(
                "x and y must have covariances of full rank, also without any one row, got a singular one. "
                "Leave out columns that repeat others."
            )
        log_determinant = 2.0 * np.log(scales).sum()
        bias = [(digamma((m - np.arange(1, d + 1)) / 2) + np.log(2.0)).sum() for m in (n, n - 1)]
        value = value + sign * (log_determinant - bias[0])
        left_out += sign * (log_determinant + np.log(shrink) - bias[1])
    return _jackknifed(value, left_out, np.ones(n), level, "Gaussian log-determinant, jackknife")
