r"""The chain rule of inductive bias: what fitting the data takes, what generalising takes beyond it, and both together.

For a hypothesis h drawn from a law that has not seen the data,

    ``-ln P(train ok and test ok) = -ln P(train ok) + -ln P(test ok | train ok)``,
    ``I_total(eps)                = I_train          + I_gen(eps)``,

with "train ok": train loss <= eps_train, and "test ok": test loss <= eps.

* **I_train** is the information in the data: how many nats a learner takes from the training set when it keeps the
  hypotheses that fit. It is also the complexity in the PAC-Bayes bound for the prior restricted to them.
* **I_gen** is what the data do not say: the bias that has to be built into the learner for a hypothesis that fits to
  generalise, the inductive-bias complexity of [Boopathy2023] and [Boopathy2024]. The better the space suits the task,
  the smaller.
* **I_total** is what it takes to pick a good hypothesis knowing nothing of the task. It compares spaces; I_gen alone
  rewards a space in which hardly anything fits but what does generalises.

Each is a property of a task, a law of hypotheses and the levels, not of one trained network.
"""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from genbounds.rare_events.curves import ConditionalTail, TailCurve

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["InductiveBias", "chained"]

_CURVES = ("train", "generalisation", "total")
#: Relative error of values that are the same but for rounding, by whatever way they were computed.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class InductiveBias:
    """I_train, I_gen and their sum, over levels of the test loss.

    Parameters
    ----------
    train : TailCurve
        I_train = -ln P(train loss <= eps_train), at that one level.
    generalisation : TailCurve
        I_gen = -ln P(test loss <= eps | train loss <= eps_train), over levels eps.
    total : TailCurve
        -ln P(both), at the same levels. See `chained` where it is not at hand.
    hypotheses : str
        The law of the hypotheses, in a sentence.
    train_loss, test_loss : str
        The losses that the levels are of.

    Raises
    ------
    ValueError
        If the train curve has several levels, the others have different ones, or values that are certain do not add up.

    Examples
    --------
    >>> from genbounds.rare_events.counting import counted_conditional_tail
    >>> train = np.array([0.0, 0.0, 0.5, 0.0, 1.0, 0.0, 0.5, 0.0])
    >>> test = np.array([0.1, 0.3, 0.4, 0.2, 0.9, 0.1, 0.1, 0.6])
    >>> tail = counted_conditional_tail(train, test, 0.0, [0.1, 0.5])
    >>> bias = InductiveBias.of(tail, hypotheses="eight networks", train_loss="0-1 loss", test_loss="0-1 loss")
    >>> bias.train.nats.round(3).tolist(), bias.generalisation.nats.round(3).tolist()
    ([0.47], [0.916, 0.223])
    >>> bias.total.nats.round(3).tolist()  # 2 of 8, 4 of 8
    [1.386, 0.693]
    """

    train: TailCurve
    generalisation: TailCurve
    total: TailCurve
    hypotheses: str
    train_loss: str
    test_loss: str

    def __post_init__(self) -> None:
        ConditionalTail(self.train, self.generalisation, self.total)  # refuses levels that do not belong together
        if all(curve.confidence == 1 for curve in self._curves) and not self.consistent.all():
            place = int(np.flatnonzero(~self.consistent)[0])
            raise ValueError(
                "total must be train + generalisation where all three are certain, got a difference of "
                f"{self.gap[place]:.3g} nats at level {self.levels[place]:.6g}. Check that all three are of the "
                "same law, losses and train level."
            )

    @classmethod
    def of(cls, tail: ConditionalTail, *, hypotheses: str, train_loss: str, test_loss: str) -> "InductiveBias":
        """Take the curves of a sampler, of counts or of an exact computation.

        Parameters
        ----------
        tail : ConditionalTail
            Its condition is about the train loss.
        hypotheses : str
            The law of the hypotheses, in a sentence.
        train_loss, test_loss : str
            The losses that the levels are of.

        Returns
        -------
        InductiveBias
            The record.
        """
        return cls(tail.condition, tail.tail, tail.joint, hypotheses, train_loss, test_loss)

    @property
    def levels(self) -> NDArray[np.float64]:
        """Levels eps of the test loss.

        Returns
        -------
        ndarray, shape (k,)
            Increasing.
        """
        return self.generalisation.levels

    @property
    def gap(self) -> NDArray[np.float64]:
        """Total - (train + generalisation): 0 but for rounding and the errors of estimates.

        Returns
        -------
        ndarray, shape (k,)
            In nats; NaN where a part is not resolved or infinite.
        """
        with np.errstate(invalid="ignore"):
            return self.total.nats - (self.train.nats + self.generalisation.nats)

    @property
    def consistent(self) -> NDArray[np.bool_]:
        """Whether the interval of the total meets the sum of the other two intervals.

        Returns
        -------
        ndarray of bool, shape (k,)
            False says that one of three is wrong: estimates that failed, or curves of different laws.
        """
        low, high = self.train.low + self.generalisation.low, self.train.high + self.generalisation.high
        slack = _ROUNDING * np.maximum(1.0, np.where(np.isfinite(self.total.low), self.total.low, 1.0))
        return (self.total.low <= high + slack) & (low <= self.total.high + slack)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader has to know: the warnings of the curves, and whether they add up.

        Returns
        -------
        tuple of str
            Each once, with the curve that it is about.
        """
        of_curves = tuple(
            f"{name}: {warning}"
            for name, curve in zip(_CURVES, self._curves, strict=True)
            for warning in curve.warnings
        )
        wrong = self.levels[~self.consistent]
        if not len(wrong):
            return of_curves
        shown = ", ".join(f"{level:.4g}" for level in wrong)
        return (*of_curves, f"train + generalisation and total exclude each other at {shown}: one of them is wrong.")

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            The three curves, the law and the losses.
        """
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        return content | {name: content[name].to_json() for name in _CURVES}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "InductiveBias":
        """Read a record back.

        Parameters
        ----------
        content : dict
            What `to_json` returned.

        Returns
        -------
        InductiveBias
            The record, bit for bit.
        """
        return cls(**content | {name: TailCurve.from_json(content[name]) for name in _CURVES})

    def to_frame(self) -> "DataFrame":
        """Return the three curves as one table, which needs pandas.

        Returns
        -------
        DataFrame
            The columns of `TailCurve.to_frame`, after "part": train, generalisation or total.
        """
        frames = {name: curve.to_frame() for name, curve in zip(_CURVES, self._curves, strict=True)}
        from pandas import concat

        return concat(frames, names=["part", None]).reset_index(level="part").reset_index(drop=True)

    @property
    def _curves(self) -> tuple[TailCurve, TailCurve, TailCurve]:
        return self.train, self.generalisation, self.total


def chained(train: TailCurve, generalisation: TailCurve) -> TailCurve:
    """Return the curve of the total by the chain rule, where it was not computed by itself.

    Parameters
    ----------
    train : TailCurve
        I_train, at one level.
    generalisation : TailCurve
        I_gen over levels, with an error independent of that of I_train.

    Returns
    -------
    TailCurve
        The sums. Intervals that are certain add up; others by the root of the summed squares of the distances to their
        ends [ZouDonner2008], without an end where a part has none or no value.

    Raises
    ------
    ValueError
        If the train curve has several levels.

    Examples
    --------
    >>> from genbounds.rare_events.counting import counted_tail
    >>> draws = np.arange(100) / 100
    >>> total = chained(counted_tail(draws, [0.49]), counted_tail(draws, [0.09, 0.19]))
    >>> total.nats.round(3).tolist(), total.low.round(2).tolist(), total.high.round(2).tolist()
    ([2.996, 2.303], [2.4, 1.88], [3.74, 2.81])
    """
    if len(train.levels) != 1:
        raise ValueError(f"train must have one level, got {len(train.levels)}. Take the level that counts as fitting.")
    parts = (train, generalisation)
    nats = train.nats + generalisation.nats
    certain = all(curve.confidence == 1 for curve in parts)
    if certain:
        low = np.maximum(np.nextafter(train.low + generalisation.low, -np.inf), 0.0)
        high = np.nextafter(train.high + generalisation.high, np.inf)
    else:
        with np.errstate(invalid="ignore"):
            low = nats - np.hypot(train.nats - train.low, generalisation.nats - generalisation.low)
            high = nats + np.hypot(train.high - train.nats, generalisation.high - generalisation.nats)
        # Without a value there is only what the ends say; an infinite sum has no distance to its ends.
        unknown = np.isnan(low) | np.isnan(high)
        low = np.where(unknown, train.low + generalisation.low, low)
        high = np.where(unknown, train.high + generalisation.high, high)
    kind: Literal["exact", "estimate"] = "exact" if all(curve.kind == "exact" for curve in parts) else "estimate"
    return TailCurve(
        levels=generalisation.levels,
        nats=nats,
        standard_error=np.hypot(train.standard_error, generalisation.standard_error),
        low=low,
        high=high,
        confidence=min(curve.confidence for curve in parts),
        kind=kind,
        method=f"chain rule: {train.method}; {generalisation.method}",
        samples=sum(curve.samples for curve in parts),
        unbiased=all(curve.unbiased for curve in parts),
        warnings=tuple(dict.fromkeys(warning for curve in parts for warning in curve.warnings)),
    )
