"""An estimate with the standard error that leaving out one example at a time gives."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from genbounds.numerics.checks import confidence
from genbounds.numerics.restoring import number_or_none

__all__ = ["Jackknifed", "jackknife"]


@dataclass(frozen=True)
class Jackknifed:
    """A quantity inferred from a sample, with its spread; no bound on either side.

    Parameters
    ----------
    value : float
        The estimate; NaN where it is not defined.
    standard_error : float
        By the jackknife over examples; NaN where a sample has too few examples.
    level : float
        Nominal confidence of the interval.
    """

    value: float
    standard_error: float
    level: float

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the normal confidence interval."""
        reach = float(ndtri((1 + self.level) / 2)) * self.standard_error
        return self.value - reach, self.value + reach

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "not defined"
        low, high = self.interval
        return f"{self.value:.4g}" if math.isnan(low) else f"{self.value:.4g} [{low:.4g}, {high:.4g}]"

    def to_json(self) -> dict[str, Any]:
        """Return the fields and the interval for a JSON file; what is not defined as None.

        Returns
        -------
        dict
            Numbers and None.
        """
        numbers = {"value": self.value, "standard_error": self.standard_error, "level": self.level}
        low, high = self.interval
        return {name: number_or_none(value) for name, value in {**numbers, "low": low, "high": high}.items()}


def jackknife(value: float, *left_out: ArrayLike, level: float = 0.95) -> Jackknifed:
    """Attach a standard error to an estimate from its values with each example left out in turn [EfronStein1981].

    ``sum over samples of (k - 1)/k sum_i (theta_(-i) - average)^2``, for independent samples of k examples each. For
    one sample it is on average at least (k - 1)/k of the variance of the estimate from k - 1 examples, with equality
    for a mean. For an average over pairs that does not depend on either example alone to first order, as where there is
    no signal, it is about twice the variance.

    Parameters
    ----------
    value : float
        The estimate from all examples.
    *left_out : array_like, shape (k,)
        For each independent sample, the estimate without its i-th example.
    level : float
        Nominal confidence of the interval, in (0, 1).

    Returns
    -------
    Jackknifed
        NaN as standard error where a sample has a single example, or an estimate without one is not defined.

    Raises
    ------
    ValueError
        If the level is out of range.

    Examples
    --------
    >>> values = np.array([1.0, 2.0, 6.0])
    >>> mean = jackknife(values.mean(), (values.sum() - values) / 2)
    >>> round(mean.standard_error, 12) == round(float(values.std(ddof=1) / np.sqrt(3)), 12)
    True
    """
    variance = 0.0
    for sample in left_out:
        without = np.asarray(sample, dtype=np.float64)
        spread = np.square(without - without.mean()).mean() * (len(without) - 1)
        variance += spread if len(without) > 1 else math.nan
    return Jackknifed(float(value), math.sqrt(variance), float(confidence("level", level)))
