r"""Correlations along one training, with what they are worth: points in time are no independent draws.

**Why no p-value.** Whatever rises during a training correlates with whatever else rises. The usual p-value takes the
checkpoints for independent pairs; it calls two independent random walks of 30 checkpoints correlated at 5 % in 56 % of
cases (of 4,000). Shifting one series around a circle does not help: n checkpoints have n shifts, so that no p-value
would be below 1/n, and a training is not stationary, which the argument needs. Beside a correlation there is:

**Autocorrelation at lag one**, ``r_1 = sum (x_t - m)(x_(t+1) - m) / sum (x_t - m)^2``, of both series. For few
checkpoints it is too small: a straight line of n points has (n - 3)/n, white noise has -1/n on average. To first order
its bias is ``-(1 + 4 rho)/n`` [Kendall1954].

**Effective number of checkpoints** [Bartlett1935]. If x and y are independent and stationary, with known means and
autocorrelations ``rho_x^k`` and ``rho_y^k`` at lag k, the average of their products has exactly the variance that
``n_eff`` independent pairs would give, with q the product of rho_x and rho_y:

    ``n_eff = n / (1 + 2 sum_(k=1)^(n-1) (1 - k/n) q^k)``.

Here rho is ``r_1 + (1 + 4 r_1)/n``, which takes back the bias to first order, and is held in [0, 1]: q = 0 gives n,
q = 1 gives 1. *What it is worth:* it shows how far n is from the number of things seen. Means and autocorrelations are
estimated from the same few points, and a training that goes somewhere is not stationary. For independent series of 10
and of 30 points, ``|r| sqrt(n_eff)`` was above 1.96 in 5.0 and 4.3 % of 1,500 cases for white noise, in 1.7 and 1.5 %
for autocorrelation 0.8, in 1.1 and 0.3 % for random walks: measured there, proved nowhere, and no test is built on it.

**Correlation of the changes** from each checkpoint to the next. It is what two series share beyond a common direction:
two straight lines with independent noise correlate, their changes do not, and changes of independent random walks are
independent. Errors of measurement, which changes double, pull it towards 0 or below.

**Partial correlation** given step and entropy: the correlation of what is left of x and y after least squares on the
covariates and a constant. It takes out what is linear in them, nothing else: the curve that both follow may be bent. At
least three checkpoints more than covariates are needed, so that one degree of freedom is left.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import finite
from genbounds.numerics.restoring import number_or_none, restored

__all__ = ["CAVEATS", "Correlation", "correlation", "effective_points", "lag_one", "partial_correlation"]

#: What a reader must know, whatever the numbers are.
CAVEATS = (
    "Checkpoints of one training are no independent draws, so there is no p-value: any two quantities that rise "
    "together correlate, as the number of steps would.",
    "The effective number of checkpoints is an estimate from the same few points; where it is far below the number of "
    "checkpoints, the correlation rests on about that many things seen.",
    "The partial correlation takes out what is linear in its covariates, no more; the correlation of changes is what "
    "is left without a common direction.",
)
#: A spread below this part of the largest value is rounding.
_ROUNDING = 1e-12
_FEWEST = 3

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """How a quantity went with another along the checkpoints of one training.

    Attributes
    ----------
    points : int
        Checkpoints behind it, at least 3.
    pearson, spearman : float
        Correlations of values and of ranks (of ties: the average rank); NaN where a series is constant.
    lag_one : tuple of float
        Autocorrelation at lag one of the quantity and of the other, as it is: for few checkpoints too small.
    effective_points : float
        Effective number of checkpoints, from 1 to `points`; see the module for what it is worth.
    changes : float
        Pearson correlation of the changes from checkpoint to checkpoint; NaN for fewer than 4 checkpoints.
    partial : float
        Partial correlation given the covariates; NaN where they leave nothing, or too few checkpoints.
    covariates : tuple of str
        Their names.
    notes : tuple of str
        Why a number is NaN.
    """

    points: int
    pearson: float
    spearman: float
    lag_one: tuple[float, float]
    effective_points: float
    changes: float
    partial: float
    covariates: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON carries them.

        Returns
        -------
        dict
            None for NaN.
        """
        numbers = {name: number_or_none(value) for name, value in asdict(self).items() if isinstance(value, float)}
        return asdict(self) | numbers | {"lag_one": [number_or_none(value) for value in self.lag_one]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Correlation":
        """Read what `to_json` wrote.

        Parameters
        ----------
        values : mapping
            What `to_json` returned, through a file or not.

        Returns
        -------
        Correlation
            With the same numbers.
        """
        return restored(cls, values)

    def __str__(self) -> str:
        given = f", given {' and '.join(self.covariates)} {self.partial:+.2f}" if self.covariates else ""
        return (
            f"Pearson {self.pearson:+.2f}, Spearman {self.spearman:+.2f}{given}, of changes {self.changes:+.2f} "
            f"({self.points} checkpoints, effectively {self.effective_points:.1f})"
        )


def correlation(x: ArrayLike, y: ArrayLike, covariates: Mapping[str, ArrayLike] | None = None) -> Correlation:
    """Correlate two series along the checkpoints of one training.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        The quantity and what it is compared with, such as accuracy, in the order of checkpoints; n >= 3.
    covariates : mapping of str to array_like of shape (n,), optional
        What to hold fixed in the partial correlation, such as step and entropy.

    Returns
    -------
    Correlation
        With what it is worth.

    Raises
    ------
    ValueError
        If there are fewer than 3 checkpoints, lengths differ, or a value is NaN or infinite.

    Examples
    --------
    >>> print(correlation([5.0, 4.0, 4.0, 2.0, 1.0], [0.1, 0.2, 0.4, 0.5, 0.9], {"step": [0, 1, 2, 3, 4]}))
    Pearson -0.94, Spearman -0.97, given step -0.14, of changes +0.29 (5 checkpoints, effectively 1.9)
    """
    given = {name: _series(name, values) for name, values in (covariates or {}).items()}
    one, two = _pair(x, y, given)
    n = len(one)
    if n < _FEWEST:
        raise ValueError(
            f"x must be of at least {_FEWEST} checkpoints, got {n}. Two points lie on a line, whatever they are: "
            "measure more checkpoints."
        )
    notes = [f"{name} is constant" for name, values in (("x", one), ("y", two)) if not _varies(values)]
    changes, partial = math.nan, math.nan
    if n > _FEWEST:
        changes = _pearson(np.diff(one), np.diff(two))
        if not notes and math.isnan(changes):
            notes.append("correlation of changes: the changes of one series are all the same")
    else:
        notes.append(f"correlation of changes: {n} checkpoints have {n - 1} changes")
    if given:
        partial, reason = _partial(one, two, np.column_stack(list(given.values())))
        notes += [f"partial correlation: {reason}"] if reason else []
    return Correlation(
        points=n,
        pearson=_pearson(one, two),
        spearman=_pearson(_ranks(one), _ranks(two)),
        lag_one=(lag_one(one), lag_one(two)),
        effective_points=effective_points(one, two),
        changes=changes,
        partial=partial,
        covariates=tuple(given),
        notes=tuple(notes),
    )


def lag_one(x: ArrayLike) -> float:
    """Return the autocorrelation at lag one.

    Parameters
    ----------
    x : array_like, shape (n,)
        Values in their order.

    Returns
    -------
    float
        In (-1, 1); NaN if they are constant.

    Examples
    --------
    >>> lag_one([1, 2, 3, 4])  # a straight line: (n - 3)/n
    0.25
    """
    values = _series("x", x)
    if not _varies(values):
        return math.nan
    centred = _centred(values)
    return float(centred[1:] @ centred[:-1] / (centred @ centred))


def effective_points(x: ArrayLike, y: ArrayLike) -> float:
    """Estimate how many independent pairs would tell as much as the checkpoints; see the module.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Two series.

    Returns
    -------
    float
        From 1 to n; NaN if a series is constant.

    Raises
    ------
    ValueError
        If lengths differ, or a value is NaN or infinite.

    Examples
    --------
    >>> effective_points(range(10), range(10))
    1.0
    """
    series = _pair(x, y, {})
    n = len(series[0])
    lags = [lag_one(each) for each in series]
    if any(map(math.isnan, lags)):
        return math.nan
    one, two = (min(max(lag + (1 + 4 * lag) / n, 0.0), 1.0) for lag in lags)
    k = np.arange(1, n)
    return float(n / (1 + 2 * ((1 - k / n) * (one * two) ** k).sum()))


def partial_correlation(x: ArrayLike, y: ArrayLike, covariates: ArrayLike) -> float:
    """Return the correlation of what least squares on the covariates and a constant leave of x and y.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Two series.
    covariates : array_like, shape (n, c)
        What to hold fixed; n >= c + 3.

    Returns
    -------
    float
        In [-1, 1]; NaN if there are too few points or the covariates explain x or y wholly.

    Raises
    ------
    ValueError
        If shapes disagree, or a value is NaN or infinite.

    Examples
    --------
    >>> round(partial_correlation([1, 2, 3, 5, 4], [2, 1, 3, 4, 5], [[1], [2], [3], [4], [5]]), 12)
    -0.052631578947
    """
    given = finite("covariates", covariates)
    if given.ndim != 2:
        raise ValueError(
            f"covariates must have a row for each checkpoint and a column for each covariate, got shape {given.shape}. "
            "Stack them as columns."
        )
    return _partial(*_pair(x, y, {"covariates": given}), given)[0]


def _partial(x: Vector, y: Vector, given: Vector) -> tuple[float, str]:
    """Return the partial correlation, or NaN and why."""
    n, c = given.shape
    if n < c + _FEWEST:
        return math.nan, f"{c} covariates need at least {c + _FEWEST} checkpoints, got {n}"
    # Columns of length 1: a step of 1e6 beside an entropy of 1e-3 must not decide what counts as rounding.
    columns = np.column_stack([_centred(column) for column in given.T])
    lengths = np.linalg.norm(columns, axis=0)
    varying = np.array([_varies(column) for column in given.T])
    basis, weights, _ = np.linalg.svd(columns[:, varying] / lengths[varying], full_matrices=False)
    basis = basis[:, weights > _ROUNDING * n]
    left = []
    for values in (x, y):
        centred = _centred(values)
        rest = centred - basis @ (basis.T @ centred)
        rest -= basis @ (basis.T @ rest)  # once more: the first time leaves what rounding left
        if not _varies(values) or np.linalg.norm(rest) <= 1e-8 * np.linalg.norm(centred):
            return math.nan, "the covariates explain one series wholly"
        left.append(rest / np.linalg.norm(rest))
    return _held(float(left[0] @ left[1])), ""


def _series(name: str, values: ArrayLike) -> Vector:
    found = finite(name, values, "Leave out the checkpoints where it is not defined.")
    if found.ndim != 1:
        raise ValueError(f"{name} must be one number for each checkpoint, got shape {found.shape}. Flatten it.")
    return found


def _pair(x: ArrayLike, y: ArrayLike, given: Mapping[str, Vector]) -> tuple[Vector, Vector]:
    """Return two series, which are as long as each other and as the covariates."""
    one, two = _series("x", x), _series("y", y)
    lengths = {name: len(values) for name, values in ({"x": one, "y": two} | dict(given)).items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"x, y and covariates must have a value for each checkpoint, got {lengths}. Leave none out.")
    return one, two


def _varies(values: Vector) -> bool:
    """Whether a series has any spread beyond rounding."""
    return len(values) > 0 and bool(np.ptp(values) > _ROUNDING * np.abs(values).max())


def _centred(values: Vector) -> Vector:
    """Deviations from the average, in units of the largest value, so that no square is lost."""
    scaled = values / (np.abs(values).max() or 1.0)
    return scaled - scaled.mean()


def _pearson(x: Vector, y: Vector) -> float:
    if not (_varies(x) and _varies(y)):
        return math.nan
    one, two = _centred(x), _centred(y)
    return _held(float(one @ two / (np.linalg.norm(one) * np.linalg.norm(two))))


def _held(value: float) -> float:
    """Cauchy and Schwarz hold up to rounding; a correlation stays in [-1, 1]."""
    return min(max(value, -1.0), 1.0)


def _ranks(values: Vector) -> Vector:
    """Ranks from 1, the average rank for ties."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]
