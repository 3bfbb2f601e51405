"""Architectures side by side: how many nats of bias each brings to the same task, and by how much they differ.

The information that an architecture leaves to be found depends on the task, and a task here is a training set and a
test set. Repeating the measurement on fresh draws of both says how much of a difference is the architectures' own.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from genbounds.numerics import confidence
from genbounds.rare_events.curves import TailCurve

__all__ = ["Comparison", "Difference"]


@dataclass(frozen=True, eq=False)
class Difference:
    """By how many nats one architecture needs more information than another, over levels of the loss.

    Attributes
    ----------
    one, other : str
        Names; positive values say that `one` needs more.
    levels : ndarray, shape (k,)
        Levels of the loss.
    nats : ndarray, shape (k,)
        The difference; NaN where either side is not resolved or infinite.
    low, high : ndarray, shape (k,)
        Ends of its interval.
    confidence : float
        Nominal confidence, for each level by itself.
    method : str
        What the interval covers.
    """

    one: str
    other: str
    levels: NDArray[np.float64]
    nats: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    confidence: float
    method: str

    def to_json(self) -> dict[str, Any]:
        """Return the difference as JSON carries it.

        Returns
        -------
        dict
            Its fields; numbers that are not finite are written as text, which ``float`` reads.
        """
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("levels", "nats", "low", "high"):
            content[name] = [value if math.isfinite(value) else str(value) for value in content[name].tolist()]
        return content


@dataclass(frozen=True, eq=False)
class Comparison:
    """Curves of information of several architectures on the same task, at the same levels of the same loss.

    Parameters
    ----------
    task : str
        The data: what they are, how many train, how many test.
    loss : str
        The loss whose levels these are.
    spaces : mapping of str to str
        For each architecture its hypothesis space, in a sentence.
    curves : mapping of str to tuple of TailCurve
        For each architecture one curve for each draw of the data, in the same order.
    level : float
        Nominal confidence of intervals over draws of the data, in (0, 1).

    Raises
    ------
    ValueError
        If architectures have different numbers of curves, or curves different levels.
    """

    task: str
    loss: str
    spaces: Mapping[str, str]
    curves: Mapping[str, tuple[TailCurve, ...]]
    level: float = 0.95

    def __post_init__(self) -> None:
        confidence("level", self.level)
        if not self.curves or set(self.curves) != set(self.spaces):
            raise ValueError(f"curves must belong to the spaces, got {[*self.curves]} and {[*self.spaces]}.")
        numbers = {name: len(curves) for name, curves in self.curves.items()}
        if len(set(numbers.values())) != 1 or not min(numbers.values()):
            raise ValueError(f"every architecture must have one curve for each draw of the data, got {numbers}.")
        first = self.levels
        for name, curves in self.curves.items():
            if any(not np.array_equal(curve.levels, first) for curve in curves):
                raise ValueError(f"all curves must have the same levels, got others for {name}. Fix them beforehand.")

    @property
    def draws(self) -> int:
        """How often the data were drawn.

        Returns
        -------
        int
            At least 1.
        """
        return len(next(iter(self.curves.values())))

    @property
    def levels(self) -> NDArray[np.float64]:
        """The levels of the loss.

        Returns
        -------
        ndarray, shape (k,)
            Increasing.
        """
        return next(iter(self.curves.values()))[0].levels

    @cached_property
    def averages(self) -> dict[str, TailCurve]:
        """Return the curve of each architecture, on average over draws of the data.

        Returns
        -------
        dict of str to TailCurve
            The curve itself for a single draw. For several an estimate of what the next draw has on average, with
            Student's interval above 0, which takes in the error of each curve; infinite where a draw is, and not
            resolved where a draw is not.
        """
        if self.draws == 1:
            return {name: curves[0] for name, curves in self.curves.items()}
        return {name: self._average(name) for name in self.curves}

    def difference(self, one: str, other: str) -> Difference:
        """Return by how much one architecture needs more information than another.

        Parameters
        ----------
        one, other : str
            Their names.

        Returns
        -------
        Difference
            For several draws of the data, the average of the differences on the same data with Student's interval. For
            one draw, the difference on these data: its interval is the root of the summed squares of the two curves'
            distances to the ends concerned (Zou and Donner 2008).
        """
        first, second = self.averages[one], self.averages[other]
        levels = self.levels
        if self.draws > 1:
            pairs = zip(self.curves[one], self.curves[other], strict=True)
            middle, half = self._interval(np.array([a.nats - b.nats for a, b in pairs]))
            method = f"Student's interval over {self.draws} draws of the data"
            return Difference(one, other, levels, middle, middle - half, middle + half, self.level, method)
        with np.errstate(invalid="ignore"):
            middle = first.nats - second.nats
            low = middle - np.hypot(first.nats - first.low, second.high - second.nats)
            high = middle + np.hypot(first.high - first.nats, second.nats - second.low)
        known = np.isfinite(middle)
        middle, low, high = (np.where(known, values, np.nan) for values in (middle, low, high))
        return Difference(
            one, other, levels, middle, low, high, min(first.confidence, second.confidence), "on these data alone"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON carries it.

        Returns
        -------
        dict
            Task, loss, spaces, and the curves of each architecture.
        """
        curves = {name: [curve.to_json() for curve in curves] for name, curves in self.curves.items()}
        return {
            "task": self.task,
            "loss": self.loss,
            "spaces": dict(self.spaces),
            "curves": curves,
            "level": self.level,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Comparison":
        """Read a comparison back.

        Parameters
        ----------
        content : dict
            What `to_json` returned.

        Returns
        -------
        Comparison
            The comparison, bit for bit.
        """
        curves = {name: tuple(map(TailCurve.from_json, each)) for name, each in content["curves"].items()}
        return cls(**content | {"curves": curves})

    def _average(self, name: str) -> TailCurve:
        curves = self.curves[name]
        values = np.array([curve.nats for curve in curves])
        middle, half = self._interval(values)
        infinite = np.isposinf(values).any(axis=0)
        unknown = np.isnan(middle) & ~infinite
        return TailCurve(
            levels=self.levels,
            nats=np.where(infinite, np.inf, middle),
            standard_error=half / student.ppf((1 + self.level) / 2, self.draws - 1),
            low=np.where(infinite, np.inf, np.where(unknown, 0.0, np.maximum(middle - half, 0.0))),
            high=np.where(infinite | unknown, np.inf, middle + half),
            confidence=self.level,
            kind="estimate",
            method=f"average over {self.draws} draws of the data; each: {curves[0].method}",
            samples=sum(curve.samples for curve in curves),
            warnings=tuple(dict.fromkeys(warning for curve in curves for warning in curve.warnings)),
        )

    def _interval(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and half length of Student's interval over the first axis; NaN where any value is not finite."""
        values = np.where(np.isfinite(values).all(axis=0), values, np.nan)
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        return values.mean(axis=0), student.ppf((1 + self.level) / 2, len(values) - 1) * error
