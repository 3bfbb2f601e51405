"""Parameters of theorems, typed by when they may be chosen: before the sample, from a paid grid, or freely.

A theorem that holds for one fixed parameter does not hold for the parameter that makes its number smallest. How
a parameter may be chosen is therefore part of the theorem, and stands in its signature's metadata:

* `Free`: the theorem holds for all values at once; optimise it on the sample as you like.
* `Fixed`: the theorem holds for one value that was fixed before the sample. A `Grid` may be passed in its place.
* `Grid`: finitely many values fixed before the sample; the theorem is applied to each at its share of delta, and
  the smallest result is a bound. That union is paid inside the theorem.

No function can see whether a number that it is given was fixed in advance. This is why a theorem with a `Fixed`
parameter lists ``Assumption.PARAMETER_FIXED_BEFORE_SAMPLE``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum, isfinite, log, nextafter
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Fixed", "Free", "Grid", "Parameter"]


@dataclass(frozen=True)
class Parameter:
    """A theorem's own parameter and the open interval it lives in; use `Fixed` or `Free`.

    Parameters
    ----------
    name : str
        Name of the function's argument.
    low, high : float
        The value lies strictly between them.
    meaning : str
        What the parameter trades, in one sentence.
    """

    name: str
    low: float
    high: float
    meaning: str

    kind: ClassVar[str] = ""
    rule: ClassVar[str] = ""

    def check(self, value: ArrayLike) -> NDArray[np.float64]:
        """Return `value` as float64, strictly inside the interval.

        Parameters
        ----------
        value : array_like
            Values of the parameter.

        Returns
        -------
        ndarray
            The values in float64.

        Raises
        ------
        ValueError
            If a value is not a real number, NaN, or outside the interval.
        """
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" or not np.all((array > self.low) & (array < self.high)):
            raise ValueError(
                f"{self.name} must be strictly between {self.low:g} and {self.high:g}, got {value!r}. "
                f"{self.name} is {self.rule}."
            )
        return array.astype(np.float64)


@dataclass(frozen=True)
class Fixed(Parameter):
    """A parameter that must be fixed before the sample is seen; a `Grid` in its place pays its union."""

    kind: ClassVar[str] = "fixed"
    rule: ClassVar[str] = "fixed before the sample is seen, or a Grid of such values whose union is paid"


@dataclass(frozen=True)
class Free(Parameter):
    """A parameter for all values of which the theorem holds at once: choose it after seeing the sample."""

    kind: ClassVar[str] = "free"
    rule: ClassVar[str] = "free: the theorem holds for all its values at once"


@dataclass(frozen=True)
class Grid:
    """Candidate values of a `Fixed` parameter, listed before the sample is seen, each with its share of delta.

    With shares w_1, ..., w_k that add up to 1, value i is tried at confidence delta * w_i; by the union bound all
    k results are bounds at once with probability at least 1 - delta, so the smallest is one. As
    ln(1 / (delta w)) = ln(1 / delta) + ln(1 / w), a value's share costs ln(1 / w) nats on top of the KL
    divergence: ln k for equal shares.

    Parameters
    ----------
    values : iterable of float
        The candidates, at least one.
    weights : iterable of float, optional
        Positive relative shares, one a candidate; they are divided by their sum. Equal shares by default.

    Raises
    ------
    ValueError
        If there is no value, one of them is not finite, or the weights are not positive, one a value and of finite sum.

    Examples
    --------
    >>> Grid([0.5, 1.0, 2.0, 4.0]).costs.round(4).tolist()  # ln 4 nats each
    [1.3863, 1.3863, 1.3863, 1.3863]
    >>> Grid([1.0, 2.0], weights=[3, 1]).costs.round(4).tolist()  # ln(4/3) and ln 4
    [0.2877, 1.3863]
    """

    values: tuple[float, ...]
    weights: tuple[float, ...]

    def __init__(self, values: Iterable[float], weights: Iterable[float] | None = None) -> None:
        candidates = tuple(float(value) for value in values)
        shares = (1.0,) * len(candidates) if weights is None else tuple(float(weight) for weight in weights)
        if not candidates or not all(map(isfinite, candidates)):
            raise ValueError(
                f"values must be a non-empty list of finite numbers, got {candidates}. List the candidates."
            )
        if len(shares) != len(candidates) or not (min(shares) > 0 and isfinite(sum(shares))):
            raise ValueError(
                f"weights must be {len(candidates)} positive numbers with a finite sum, one a value, got {shares}. "
                "Leave them out for equal shares."
            )
        object.__setattr__(self, "values", candidates)
        object.__setattr__(self, "weights", shares)

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.values)

    @property
    def costs(self) -> NDArray[np.float64]:
        """Nats to add to the KL divergence for each value, ln(1 / share), rounded up."""
        if len(self) == 1:
            return np.zeros(1)  # a single candidate has all of delta
        total = nextafter(fsum(self.weights), float("inf"))

        def cost(weight: float) -> float:
            share_inverse = nextafter(total / weight, float("inf"))
            # libm's log is within one unit of its last place.
            return nextafter(log(share_inverse) * (1 + 2**-51), float("inf"))

        return np.array([cost(weight) for weight in self.weights])
