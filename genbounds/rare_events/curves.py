"""Curves of information: -ln P(loss <= level) over levels of a loss, with what is known of each value."""

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics import binomial_lower, confidence, count, round_up
from genbounds.numerics.estimates import UpperLimit

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["ConditionalTail", "TailCurve"]

_ARRAYS = ("levels", "nats", "standard_error", "low", "high")


@dataclass(frozen=True, eq=False)
class TailCurve:
    """The information -ln P(loss <= level) in nats, over levels of the loss.

    Parameters
    ----------
    levels : ndarray, shape (k,)
        Thresholds of the loss, strictly increasing.
    nats : ndarray, shape (k,)
        -ln P(loss <= level). Infinity: the probability is zero. NaN: not resolved, and only the interval is known.
    standard_error : ndarray, shape (k,)
        Of ``nats``; 0 where it is exact, NaN where it is not known.
    low, high : ndarray, shape (k,)
        Ends of the interval for each level by itself; ``high`` may be infinite.
    confidence : float
        Of the intervals, in (0, 1]. 1: the value is enclosed for certain, up to what ``method`` says.
    kind : {"exact", "estimate"}
        Whether the law of the loss is known and evaluated, or only sampled.
    method : str
        How the values came about.
    samples : int
        Draws or evaluations of the loss behind them.
    counts : ndarray of int64, shape (k,), optional
        How many of ``samples`` independent draws were at or below each level, where that is how the values came about.
    unbiased : bool
        Whether exp(-nats) is an unbiased estimate of the probability: it is not negative and its mean is the
        probability, at any number of samples.
    warnings : tuple of str
        What a reader has to know before quoting the values.

    Raises
    ------
    ValueError
        If shapes differ, levels do not increase, or a value lies outside its interval.

    Examples
    --------
    >>> curve = TailCurve(
    ...     levels=np.array([0.5, 1.0]),
    ...     nats=np.log([4.0, 2.0]),
    ...     standard_error=np.zeros(2),
    ...     low=np.log([4.0, 2.0]),
    ...     high=np.log([4.0, 2.0]),
    ...     confidence=1.0,
    ...     kind="exact",
    ...     method="closed form",
    ... )
    >>> curve.bits.tolist()
    [2.0, 1.0]
    """

    levels: NDArray[np.float64]
    nats: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    confidence: float
    kind: Literal["exact", "estimate"]
    method: str
    samples: int = 0
    counts: NDArray[np.int64] | None = None
    unbiased: bool = False
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in _ARRAYS:
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        if self.counts is not None:
            counts = count("counts", self.counts, 0, "They are of draws.").astype(np.int64)
            if (counts > self.samples).any() or (np.diff(counts) < 0).any():
                raise ValueError(
                    f"counts must rise with the level, to at most samples = {self.samples}, got {counts}. Count draws "
                    "at or below each level."
                )
            object.__setattr__(self, "counts", counts)
        shapes = {np.shape(getattr(self, name)) for name in (*_ARRAYS, "counts") if getattr(self, name) is not None}
        if len(shapes) != 1 or self.levels.ndim != 1 or not self.levels.size:
            raise ValueError(f"levels and all that stands beside them must be lists of one length, got {shapes}.")
        if not np.isfinite(self.levels).all() or (np.diff(self.levels) <= 0).any():
            raise ValueError(f"levels must be finite and increase, got {self.levels}. Sort them, each once.")
        if self.kind not in {"exact", "estimate"}:
            raise ValueError(f"kind must be 'exact' or 'estimate', got {self.kind!r}.")
        if not 0 < self.confidence <= 1:
            raise ValueError(f"confidence must be in (0, 1], got {self.confidence}.")
        if np.isnan(self.low).any() or np.isnan(self.high).any():
            raise ValueError("low and high must be numbers, got NaN. Where nothing is known they are 0 and infinity.")
        if ((self.nats < self.low) | (self.nats > self.high) | (self.low > self.high)).any():
            raise ValueError(f"nats must lie within low and high, got {self.nats} in {self.low} to {self.high}.")
        if (self.standard_error < 0).any():
            raise ValueError(f"standard_error must be non-negative, got {self.standard_error}.")
        if self.confidence == 1 and (self.high < 0).any():
            raise ValueError(f"high must be non-negative where it is certain, got {self.high}. -ln P is.")

    @property
    def bits(self) -> NDArray[np.float64]:
        """The information in bits.

        Returns
        -------
        ndarray, shape (k,)
            ``nats / ln 2``.
        """
        return self.nats / math.log(2)

    def upper_limit(self, delta: float) -> UpperLimit:
        """Return upper limits of the information, for all levels at once, that a theorem may be given.

        Counts give Clopper and Pearson's limits. An unbiased estimate X of a probability p gives one by Markov's
        inequality, P(X >= k p / delta) <= delta / k: -ln p is at most nats + ln(k / delta), at any number of samples
        and however the estimate spreads. As -ln p is never below 0, no limit is: an estimate X above k / delta is one
        of the failures. Both count on draws that are what they are taken for; rounding within the sampler is not
        covered.

        Parameters
        ----------
        delta : float
            Probability over the samples with which any of the limits may fail, in (0, 1).

        Returns
        -------
        UpperLimit
            One limit for each level; infinite where nothing was seen.

        Raises
        ------
        ValueError
            If delta is outside (0, 1), or the values are neither certain nor counted nor unbiased.
        """
        share = float(confidence("delta", delta)) / len(self.levels)
        if self.confidence == 1:
            return UpperLimit(self.high, delta, f"certain: {self.method}")
        if self.counts is not None:
            lower = binomial_lower(self.counts, self.samples, math.log(share))
            with np.errstate(divide="ignore"):
                return UpperLimit(
                    round_up(-np.log(lower), 4), delta, "Clopper and Pearson's limits, a union over levels"
                )
        if self.unbiased:
            resolved = np.where(np.isnan(self.nats), np.inf, self.nats)
            limit = np.maximum(round_up(resolved - math.log(share), 4), 0.0)
            return UpperLimit(limit, delta, "Markov's inequality for an unbiased estimate, a union")
        raise ValueError(
            f"a curve must be certain, counted or unbiased to give a limit, got one by {self.method}. Sample with "
            "annealed importance sampling, or with subset simulation at fixed levels."
        )

    def to_json(self) -> dict[str, Any]:
        """Return the curve as JSON carries it.

        Returns
        -------
        dict
            Its fields; numbers that are not finite are written as text ("inf", "nan"), which ``float`` reads.
        """
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in _ARRAYS:
            content[name] = [value if math.isfinite(value) else str(value) for value in content[name].tolist()]
        content["counts"] = None if self.counts is None else self.counts.tolist()
        return content | {"warnings": list(self.warnings)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "TailCurve":
        """Read a curve back.

        Parameters
        ----------
        content : dict
            What `to_json` returned.

        Returns
        -------
        TailCurve
            The curve, bit for bit.
        """
        arrays = {name: np.array([float(value) for value in content[name]]) for name in _ARRAYS}
        return cls(**content | arrays | {"warnings": tuple(content["warnings"])})

    def to_frame(self) -> "DataFrame":
        """Return the curve as a table with one row for each level.

        Returns
        -------
        DataFrame
            Levels, nats, bits, standard errors, interval, kind and method.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise ImportError("TailCurve.to_frame needs pandas. Run: pip install 'genbounds[frame]'") from error
        columns = {name: getattr(self, name) for name in _ARRAYS} | {"bits": self.bits}
        return DataFrame(columns).assign(confidence=self.confidence, kind=self.kind, method=self.method)


@dataclass(frozen=True, eq=False)
class ConditionalTail:
    """The information of a condition, of a loss given the condition, and of both together.

    Parameters
    ----------
    condition : TailCurve
        -ln P(condition), at one level of the loss that it is about.
    tail : TailCurve
        -ln P(loss <= level | condition).
    joint : TailCurve
        -ln P(loss <= level and condition), at the same levels.

    Raises
    ------
    ValueError
        If the condition has several levels, or tail and joint have different ones.
    """

    condition: TailCurve
    tail: TailCurve
    joint: TailCurve

    def __post_init__(self) -> None:
        if len(self.condition.levels) != 1:
            raise ValueError(f"condition must have one level, got {len(self.condition.levels)}.")
        if not np.array_equal(self.tail.levels, self.joint.levels):
            raise ValueError(f"tail and joint must have the same levels, got {self.tail.levels}, {self.joint.levels}.")

    def to_json(self) -> dict[str, Any]:
        """Return the three curves as JSON carries them.

        Returns
        -------
        dict
            Their fields by name.
        """
        return {field.name: getattr(self, field.name).to_json() for field in fields(self)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "ConditionalTail":
        """Read the curves back.

        Parameters
        ----------
        content : dict
            What `to_json` returned.

        Returns
        -------
        ConditionalTail
            The curves, bit for bit.
        """
        return cls(**{field.name: TailCurve.from_json(content[field.name]) for field in fields(cls)})
