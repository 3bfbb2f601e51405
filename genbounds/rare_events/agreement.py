"""Whether two samplers agree, level by level, and what may be quoted where they do and where they do not.

Two samplers fail in different ways: one that walks at random freezes, one that follows gradients stays in the region
it was led into. Each reports errors that do not know of it. That both err in the same way is less likely, and where
they differ by more than their errors allow neither is to be believed.

**The rule.** A curve resolves a level where its standard error is at most one nat or a tenth of the value, and both
ends of its interval are finite. Two curves *agree* at a level that both resolve where their intervals meet, and
*disagree* where the intervals do not meet, resolved or not; otherwise the level is *undecided*. For k levels the arms
of the intervals are first stretched by the ratio of normal quantiles at 1 - a / (2 k) and 1 - a / 2, with
a = 1 - confidence, so that a flag at any of them is about as rare as at a single one. Where both intervals are honest
that has a probability of at most 2 a; of much less where the errors are alike. Samplers that miss the same region
agree, and are wrong: no rule sees that.

**The combination**, where they agree, weighs values by their inverse squared errors; its error is scaled up by the
difference in units of its error, where that is above 1, and its interval has the wider of the curves' ratios of arm to
error. Elsewhere no value is given, and the interval is from the lower to the upper end of both.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from genbounds.rare_events.curves import ConditionalTail, TailCurve

__all__ = ["Agreement", "ConditionalAgreement", "agreement", "conditional_agreement"]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Two curves at the same levels, and what they say together.

    Parameters
    ----------
    first, second : TailCurve
        The curves.
    z : ndarray, shape (k,)
        Their difference over its standard error; NaN where one is not resolved, infinite where both claim certainty of
        different values.
    verdicts : tuple of str
        "agree", "disagree" or "undecided", for each level.
    combined : TailCurve
        What both say: a value where they agree, elsewhere the interval from the lower to the upper end of both.

    Examples
    --------
    >>> def curve(nats, error):
    ...     arms = 2.4 * np.array(error)
    ...     return TailCurve([0.1, 0.2], nats, error, nats - arms, nats + arms, 0.95, "estimate", "a sampler")
    >>> print(agreement(curve(np.array([60.0, 8.0]), [1.0, 0.1]), curve(np.array([70.0, 8.1]), [1.0, 0.1])))
    level  first          second         z     together
    0.1    60.00 ± 1.00   70.00 ± 1.00   -7.1  DISAGREE: 57.60 to 72.40
    0.2    8.00 ± 0.10    8.10 ± 0.10    -0.7  8.05 ± 0.07
    THE SAMPLERS DISAGREE at the level 0.1: no value there is to be quoted. Run them longer, or find a better one.
    """

    first: TailCurve
    second: TailCurve
    z: NDArray[np.float64]
    verdicts: tuple[str, ...]
    combined: TailCurve

    @property
    def agrees(self) -> NDArray[np.bool_]:
        """Where the curves agree.

        Returns
        -------
        ndarray of bool, shape (k,)
            For each level.
        """
        return np.array([verdict == "agree" for verdict in self.verdicts])

    @property
    def flag(self) -> bool:
        """Whether the curves disagree anywhere.

        Returns
        -------
        bool
            True is the alarm.
        """
        return "disagree" in self.verdicts

    def __str__(self) -> str:
        rows = [("level", "first", "second", "z", "together")]
        for number, (level, z, verdict) in enumerate(zip(self.combined.levels, self.z, self.verdicts, strict=True)):
            ends = f"{self.combined.low[number]:.2f} to {self.combined.high[number]:.2f}"
            together = _shown(self.combined, number) if verdict == "agree" else f"{verdict.upper()}: {ends}"
            ours, theirs = _shown(self.first, number), _shown(self.second, number)
            rows.append((f"{level:g}", ours, theirs, "" if np.isnan(z) else f"{z:.1f}", together))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, *self.combined.warnings[:1]] if self.flag else lines)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            Both curves, and what follows from them for a reader's convenience.
        """
        return {
            "first": self.first.to_json(),
            "second": self.second.to_json(),
            "verdicts": list(self.verdicts),
            "combined": self.combined.to_json(),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Agreement":
        """Read a record back; the comparison is made anew.

        Parameters
        ----------
        content : dict
            What `to_json` returned.

        Returns
        -------
        Agreement
            The record.
        """
        return agreement(TailCurve.from_json(content["first"]), TailCurve.from_json(content["second"]))


@dataclass(frozen=True, eq=False)
class ConditionalAgreement:
    """Two samplers on a condition, on a loss given it, and on both together.

    The tail, a difference of the other two, is undecided wherever one of these is not agreed upon.

    Parameters
    ----------
    condition, tail, joint : Agreement
        As in `ConditionalTail`.
    """

    condition: Agreement
    tail: Agreement
    joint: Agreement

    @property
    def flag(self) -> bool:
        """Whether the samplers disagree anywhere.

        Returns
        -------
        bool
            True is the alarm.
        """
        return self.condition.flag or self.tail.flag or self.joint.flag

    def __str__(self) -> str:
        return "\n".join(f"{field.name}\n{getattr(self, field.name)}" for field in fields(self))

    def to_json(self) -> dict[str, Any]:
        """Return the three records as JSON carries them.

        Returns
        -------
        dict
            By name.
        """
        return {field.name: getattr(self, field.name).to_json() for field in fields(self)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "ConditionalAgreement":
        """Read the records back.

        Parameters
        ----------
        content : dict
            What `to_json` returned.

        Returns
        -------
        ConditionalAgreement
            The records.
        """
        sides = (
            ConditionalTail(*(TailCurve.from_json(content[field.name][side]) for field in fields(cls)))
            for side in ("first", "second")
        )
        return conditional_agreement(*sides)


def agreement(first: TailCurve, second: TailCurve, doubted: NDArray[np.bool_] | None = None) -> Agreement:
    """Compare two curves by the rule above.

    Parameters
    ----------
    first, second : TailCurve
        At the same levels; one may be exact.
    doubted : ndarray of bool, shape (k,), optional
        Levels that are undecided at best, for a reason that lies elsewhere.

    Returns
    -------
    Agreement
        The comparison.

    Raises
    ------
    ValueError
        If the levels differ.
    """
    if not np.array_equal(first.levels, second.levels):
        raise ValueError(f"curves must have the same levels, got {first.levels} and {second.levels}. Ask for the same.")
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = np.where(first.nats == second.nats, 0.0, first.nats - second.nats)
        z = np.where(gap == 0, 0.0, gap / np.hypot(first.standard_error, second.standard_error))
    ends = [_stretched(curve) for curve in (first, second)]
    apart = np.maximum(ends[0][0], ends[1][0]) > np.minimum(ends[0][1], ends[1][1])
    known = _resolved(first) & _resolved(second)
    if doubted is not None:
        known &= ~doubted
    verdicts = tuple(np.where(apart, "disagree", np.where(known, "agree", "undecided")).tolist())
    return Agreement(first, second, z, verdicts, _combined(first, second, verdicts))


def conditional_agreement(first: ConditionalTail, second: ConditionalTail) -> ConditionalAgreement:
    """Compare the curves of two samplers for a condition and what lies beyond it.

    Parameters
    ----------
    first, second : ConditionalTail
        At the same levels.

    Returns
    -------
    ConditionalAgreement
        The comparisons.
    """
    condition = agreement(first.condition, second.condition)
    joint = agreement(first.joint, second.joint)
    doubted = ~joint.agrees | ~condition.agrees
    return ConditionalAgreement(condition, agreement(first.tail, second.tail, doubted), joint)


def _resolved(curve: TailCurve) -> NDArray[np.bool_]:
    """Return where a curve has a value that a comparison can lean on; infinity counts where it is certain."""
    with np.errstate(invalid="ignore"):
        sharp = curve.standard_error <= np.maximum(1.0, curve.nats / 10)
    ends = np.isfinite(curve.high) | (curve.standard_error == 0)
    return np.asarray(sharp & ends & ~np.isnan(curve.nats))


def _shown(curve: TailCurve, number: int) -> str:
    if np.isnan(curve.nats[number]):
        return f"at least {curve.low[number]:.2f}"
    error = curve.standard_error[number]
    return f"{curve.nats[number]:.2f} ± {'?' if np.isnan(error) else f'{error:.2f}'}"


def _stretched(curve: TailCurve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of the intervals for all levels at once."""
    if curve.confidence == 1:
        return curve.low, curve.high
    half = (1 - curve.confidence) / 2
    factor = ndtri(1 - half / len(curve.levels)) / ndtri(1 - half)
    middle = np.where(np.isfinite(curve.nats), curve.nats, curve.low)
    return middle - factor * (middle - curve.low), middle + factor * (curve.high - middle)


def _combined(first: TailCurve, second: TailCurve, verdicts: tuple[str, ...]) -> TailCurve:
    curves = first, second
    values, errors = (np.array([getattr(curve, name) for curve in curves]) for name in ("nats", "standard_error"))
    lows, highs = (np.array([getattr(curve, name) for curve in curves]) for name in ("low", "high"))
    nats, error = np.full(len(verdicts), np.nan), np.full(len(verdicts), np.nan)
    low, high = lows.min(axis=0), highs.max(axis=0)
    for level in np.flatnonzero([verdict == "agree" for verdict in verdicts]):
        best = int(np.argmin(errors[:, level]))
        if not errors[best, level]:  # certain: the other one adds nothing to it
            nats[level], error[level] = values[best, level], errors[best, level]
            low[level], high[level] = lows[best, level], highs[best, level]
            continue
        shares = (errors[best, level] / errors[:, level]) ** 2
        shares /= shares.sum()
        nats[level] = shares @ values[:, level]
        apart = abs(values[0, level] - values[1, level]) / np.hypot(*errors[:, level])
        error[level] = max(1.0, apart) * np.sqrt(shares @ (shares * errors[:, level] ** 2))
        arms = np.concatenate([values[:, level] - lows[:, level], highs[:, level] - values[:, level]])
        reach = (arms / np.tile(errors[:, level], 2)).max() * error[level]
        low[level], high[level] = max(0.0, nats[level] - reach), nats[level] + reach
    warnings = [f"{curve.method.partition(',')[0]}: {warning}" for curve in curves for warning in curve.warnings]
    where = [f"{level:g}" for level, verdict in zip(first.levels, verdicts, strict=True) if verdict == "disagree"]
    if where:
        warnings.insert(
            0,
            f"THE SAMPLERS DISAGREE at the level{'s' if len(where) > 1 else ''} {', '.join(where)}: no value there is "
            "to be quoted. Run them longer, or find a better one.",
        )
    return TailCurve(
        levels=first.levels,
        nats=nats,
        standard_error=error,
        low=low,
        high=high,
        confidence=min(first.confidence, second.confidence),
        kind="estimate",
        method=f"two samplers where they agree: {first.method}; {second.method}",
        samples=first.samples + second.samples,
        warnings=tuple(warnings),
    )
