"""A three-parameter learning curve: how the measured error falls with the number of examples.

The fit is an extrapolation of measured errors. It proves nothing and is never called a bound.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtri, stdtrit

from genbounds.numerics.checks import confidence, count, unit_interval

__all__ = ["Interval", "LearningCurve", "fit_learning_curve"]

_Array = NDArray[np.float64]
#: Search grid of the exponent b, in its logarithm; a slower decay than 1e-3 is flat on any data a person can collect.
_LOG_EXPONENTS = np.linspace(math.log(1e-3), math.log(8.0), 240)
#: Keeps a quotient finite where the data say nothing about its numerator either.
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Interval:
    """A fitted number with its profile-likelihood confidence interval.

    Attributes
    ----------
    value : float
        Least-squares value.
    low, high : float
        Ends of the interval; infinite where the data set no limit.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """The fitted law err(n) = a n^(-b) + c: an estimate, never a bound.

    Attributes
    ----------
    a, b, c : Interval
        Scale, exponent and the error left with unlimited data.
    level : float
        Confidence of every interval, such as 0.95.
    sizes, errors, standard_errors : ndarray
        What was fitted, shape (m,).
    misfit : float
        Weighted residual sum of squares over its m - 3 degrees of freedom. Well above 1, the errors
        scatter more than their standard errors say, and the intervals have been widened for it.
    threshold : float
        Deviance up to which the intervals reach.
    """

    a: Interval
    b: Interval
    c: Interval
    level: float
    sizes: _Array
    errors: _Array
    standard_errors: _Array
    misfit: float
    threshold: float

    def __call__(self, n: ArrayLike) -> _Array:
        """Return the fitted error at sample sizes `n`.

        Parameters
        ----------
        n : array_like
            Numbers of examples, at least 1.

        Returns
        -------
        ndarray
            a n^(-b) + c, of the shape of `n`.
        """
        n = count("n", n)
        return np.asarray(self.a.value * n**-self.b.value + self.c.value)

    def predict(self, n: float) -> Interval:
        """Return the fitted error at `n` examples with its profile-likelihood interval.

        The interval is for the curve, not for one more measurement, and holds only as far as the law does.

        Parameters
        ----------
        n : float
            Number of examples, at least 1.

        Returns
        -------
        Interval
            Extrapolated error.
        """
        size = float(count("n", n))
        problem = _Problem(self.sizes, self.errors, self.standard_errors)
        return _profile(problem.given_value(size), float(self(size)), self.threshold)

    def __str__(self) -> str:
        def show(name: str, fitted: Interval) -> str:
            return f"{name} = {fitted.value:.4g} [{fitted.low:.4g}, {fitted.high:.4g}]"

        parts = ", ".join(show(name, getattr(self, name)) for name in "abc")
        return f"Extrapolation, not a bound: err(n) = a n^(-b) + c with {parts} ({self.level:.0%} intervals)."


class _Problem:
    """Weighted least squares of err(n) = a n^(-b) + c, linear in (a, c) once b is given.

    Eliminating (a, c) in closed form leaves a search in one variable, with no starting point to choose
    and no local minimum to fall into.
    """

    def __init__(self, sizes: _Array, errors: _Array, standard_errors: _Array) -> None:
        self.errors = errors
        self.weights = standard_errors**-2.0
        self.freedom = len(sizes) - 3
        # n / (geometric mean of n), so that a and c have columns of similar length
        self.centre = float(np.exp(np.mean(np.log(sizes))))
        self.relative = sizes / self.centre

    def _sum(self, values: _Array) -> _Array:
        return np.asarray(np.sum(self.weights * values, axis=-1))

    def _deviance(self, fitted: _Array) -> _Array:
        return self._sum((self.errors - fitted) ** 2)

    def powers(self, b: _Array) -> _Array:
        """Return (n / centre)^(-b), shape b.shape + (m,)."""
        return self.relative ** -np.asarray(b)[..., None]

    def best(self, b: _Array) -> tuple[_Array, _Array, _Array]:
        """Return the non-negative least-squares (a', c) and the deviance; a' multiplies (n / centre)^(-b)."""
        u, y = self.powers(b), self.errors
        uu, u1, ones = self._sum(u * u), self._sum(u), self._sum(np.ones_like(u))
        uy, y1 = self._sum(u * y), self._sum(y + np.zeros_like(u))
        determinant = np.maximum(uu * ones - u1 * u1, _TINY)
        a, c = (uy * ones - u1 * y1) / determinant, (uu * y1 - u1 * uy) / determinant
        a, c = np.where(c < 0, uy / uu, a), np.maximum(c, 0.0)
        a, c = np.maximum(a, 0.0), np.where(a < 0, y1 / ones, c)
        return a, c, self._deviance(a[..., None] * u + c[..., None])

    def given_scale(self, a: float, b: _Array) -> _Array:
        """Return the deviance at scale a (of the uncentred law) and exponent b, c eliminated."""
        fitted = a * self.centre ** -b[..., None] * self.powers(b)
        c = np.maximum(self._sum(self.errors - fitted) / self._sum(np.ones_like(fitted)), 0.0)
        return self._deviance(fitted + c[..., None])

    def given_floor(self, c: float, b: _Array) -> _Array:
        """Return the deviance at remaining error c and exponent b, a eliminated."""
        u = self.powers(b)
        a = np.maximum(self._sum(u * (self.errors - c)) / self._sum(u * u), 0.0)
        return self._deviance(a[..., None] * u + c)

    def given_value(self, size: float) -> Callable[[float, _Array], _Array]:
        """Return the deviance as a function of the error at `size` and the exponent b, c eliminated."""

        # err(n) = e u + c (1 - u) with u = (n / size)^(-b): the law written in its value e at `size`
        def deviance(value: float, b: _Array) -> _Array:
            u = self.powers(b) * (size / self.centre) ** b[..., None]
            c = self._sum((1 - u) * (self.errors - value * u)) / np.maximum(self._sum((1 - u) ** 2), _TINY)
            c = np.clip(c, 0.0, value)[..., None]
            return self._deviance(value * u + c * (1 - u))

        return deviance


def _minimise(deviance: Callable[[_Array], _Array]) -> tuple[float, float]:
    """Return the exponent with the least deviance, and that deviance: a grid, then Brent in its best cell."""
    on_grid = deviance(np.exp(_LOG_EXPONENTS))
    cell = int(np.argmin(on_grid))
    low, high = max(cell - 1, 0), min(cell + 1, len(_LOG_EXPONENTS) - 1)
    refined = minimize_scalar(
        lambda t: float(deviance(np.exp(np.array([t])))[0]),
        bounds=(_LOG_EXPONENTS[low], _LOG_EXPONENTS[high]),
        method="bounded",
        options={"xatol": 1e-10},
    )
    if refined.fun < on_grid[cell]:
        return float(np.exp(refined.x)), float(refined.fun)
    return float(np.exp(_LOG_EXPONENTS[cell])), float(on_grid[cell])


def _profile(deviance: Callable[[float, _Array], _Array], value: float, threshold: float) -> Interval:
    """Return the values of one non-negative parameter whose profile deviance stays below `threshold`."""

    def excess(candidate: float) -> float:
        return _minimise(lambda b: deviance(candidate, b))[1] - threshold

    # The optimum itself may sit on the threshold when the fit is perfect: the interval is then a point.
    low = 0.0 if excess(0.0) <= 0 else float(brentq(excess, 0.0, value)) if excess(value) < 0 else value
    high, step = value, max(value, 1e-6)
    while excess(high + step) < 0:
        step *= 2
        if step > 1e15:
            return Interval(value, low, math.inf)
    if excess(high) < 0:
        high = float(brentq(excess, high, high + step))
    return Interval(value, low, high)


def _profile_exponent(problem: _Problem, value: float, threshold: float) -> Interval:
    def excess(b: _Array) -> _Array:
        return problem.best(b)[2] - threshold

    def crossing(inside: float, outside: float) -> float:
        if float(excess(np.array([inside]))[0]) >= 0:  # a perfect fit: the interval is a point
            return inside
        return float(brentq(lambda b: float(excess(np.array([b]))[0]), inside, outside))

    # The optimum is a node of its own: the interval may be narrower than a cell of the grid.
    nodes = np.sort(np.append(np.exp(_LOG_EXPONENTS), value))
    inside = np.flatnonzero((excess(nodes) <= 0) | (nodes == value))
    first, last = int(inside[0]), int(inside[-1])
    low = 0.0 if first == 0 else crossing(float(nodes[first]), float(nodes[first - 1]))
    high = math.inf if last == len(nodes) - 1 else crossing(float(nodes[last]), float(nodes[last + 1]))
    return Interval(value, low, high)


def fit_learning_curve(
    sizes: ArrayLike, errors: ArrayLike, standard_errors: ArrayLike | None = None, level: float = 0.95
) -> LearningCurve:
    """Fit err(n) = a n^(-b) + c with a, b, c >= 0 by weighted non-linear least squares.

    The intervals are profile-likelihood intervals: all values of a parameter for which the other two can be
    chosen so that the weighted residual sum of squares stays within the chi-squared quantile of its minimum,
    or within Student's quantile of the scatter about the law, whichever is wider.

    Parameters
    ----------
    sizes : array_like
        Numbers of training examples, shape (m,), at least four different ones.
    errors : array_like
        Measured errors in [0, 1], shape (m,).
    standard_errors : array_like, optional
        Standard error of each measured error, positive, shape (m,). Without them all errors weigh the same and
        only the scatter about the law sets the intervals.
    level : float
        Confidence of the intervals, in (0, 1).

    Returns
    -------
    LearningCurve
        The fit. It is an estimate and an extrapolation, never a bound.

    Raises
    ------
    ValueError
        If there are fewer than four different sizes, shapes differ, or a value is out of range.

    Notes
    -----
    For a given b the law is linear in (a, c), which are eliminated in closed form; the remaining search has one
    variable, so there is no starting point and no local minimum to fall into.

    Examples
    --------
    >>> n = [100, 300, 1000, 3000, 10000]
    >>> fit = fit_learning_curve(n, [0.5 * m**-0.4 + 0.02 for m in n], [0.002] * 5)
    >>> round(fit.b.value, 3), round(fit.c.value, 3)
    (0.4, 0.02)
    """
    level = float(confidence("level", level))
    n = np.atleast_1d(count("sizes", sizes))
    error = np.atleast_1d(unit_interval("errors", errors))
    weighted = standard_errors is not None
    deviation = np.atleast_1d(np.ones(len(n)) if standard_errors is None else np.asarray(standard_errors, np.float64))
    if not n.shape == error.shape == deviation.shape or n.ndim != 1:
        raise ValueError(
            f"sizes, errors and standard_errors must be lists of one length, got shapes {n.shape}, {error.shape} "
            f"and {deviation.shape}. Give one error for each size."
        )
    if not (np.isfinite(deviation) & (deviation > 0)).all():
        raise ValueError(
            f"standard_errors must be positive and finite, got {deviation.tolist()}. Where no error was seen, "
            "take a quarter of the width of a 95 % interval."
        )
    if len(np.unique(n)) < 4:
        raise ValueError(
            f"sizes must be at least four different numbers for three parameters, got {np.unique(n).tolist()}. "
            "Measure the error at more training-set sizes."
        )
    problem = _Problem(n, error, deviation)
    b, deviance = _minimise(lambda exponents: problem.best(exponents)[2])
    scaled, c, _ = (float(value[0]) for value in problem.best(np.array([b])))
    a = scaled * problem.centre**b

    scatter = deviance / problem.freedom
    reach = float(stdtrit(problem.freedom, (1 + level) / 2)) ** 2 * scatter
    if weighted:
        reach = max(reach, float(ndtri((1 + level) / 2)) ** 2)
    threshold = deviance + reach
    return LearningCurve(
        a=_profile(problem.given_scale, a, threshold),
        b=_profile_exponent(problem, b, threshold),
        c=_profile(problem.given_floor, c, threshold),
        level=level,
        sizes=n,
        errors=error,
        standard_errors=deviation,
        misfit=scatter,
        threshold=threshold,
    )
