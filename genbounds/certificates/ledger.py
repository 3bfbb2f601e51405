"""The ledger: where each part of delta went."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import nextafter, prod
from typing import Any

from genbounds.certificates.errors import CertificateError
from genbounds.certificates.fields import number, probability, text, whole
from genbounds.certificates.records import keys_of, read_rows, records

__all__ = ["Ledger", "LedgerEntry", "Union", "share", "split"]


def _round_down(value: Fraction) -> float:
    nearest = float(value)
    return nextafter(nearest, 0.0) if Fraction(nearest) > value else nearest


def share(budget: float, candidates: int) -> float:
    """Delta left for each of several candidates that share a budget.

    Parameters
    ----------
    budget : float
        In (0, 1).
    candidates : int
        How many had a claim on it before the sample was seen (the product, for a product grid).

    Returns
    -------
    float
        The largest float that is at most budget / candidates, exactly.

    Examples
    --------
    >>> share(0.1, 4)
    0.025
    """
    return _round_down(Fraction(probability("budget", budget)) / whole("candidates", candidates, lowest=1))


def split(delta: float, weights: Sequence[float]) -> tuple[float, ...]:
    """Split delta into budgets whose exact sum does not exceed it.

    Parameters
    ----------
    delta : float
        In (0, 1).
    weights : sequence of float
        Positive; only their ratios matter.

    Returns
    -------
    tuple of float
        One budget for each weight, rounded down.

    Raises
    ------
    CertificateError
        If a weight is not a positive number.

    Examples
    --------
    >>> split(0.04, [3, 1])
    (0.03, 0.01)
    """
    exact = [Fraction(number("weights", weight)) for weight in weights]
    if not exact or min(exact) <= 0:
        raise CertificateError("weights", f"must be positive numbers, got {list(weights)!r:.60}.")
    whole_delta = Fraction(probability("delta", delta))
    return tuple(_round_down(whole_delta * weight / sum(exact)) for weight in exact)


@dataclass(frozen=True)
class Union:
    """A choice made after seeing the sample, among candidates fixed before it.

    Attributes
    ----------
    over : str
        What was chosen, such as ``prior scale``.
    candidates : int
        Among how many.
    """

    over: str
    candidates: int

    def __post_init__(self) -> None:
        text("over", self.over)
        object.__setattr__(self, "candidates", whole("candidates", self.candidates, lowest=1))

    @classmethod
    def from_json(cls, content: Any) -> "Union":
        """Read a union.

        Parameters
        ----------
        content : object
            What stands in its place in the file.

        Returns
        -------
        Union
            The union.
        """
        return cls(**keys_of(cls, content))


@dataclass(frozen=True)
class LedgerEntry:
    """What one claim may spend.

    Attributes
    ----------
    claim : str
        Id of the claim.
    budget : float
        In (0, 1): the part of the whole delta that goes to it.
    unions : tuple of Union
        Choices that share the budget: the claim's own delta is at most budget / product of candidates.
    """

    claim: str
    budget: float
    unions: tuple[Union, ...] = ()

    def __post_init__(self) -> None:
        text("claim", self.claim)
        object.__setattr__(self, "budget", probability("budget", self.budget))
        object.__setattr__(self, "unions", records("unions", self.unions, Union))

    @classmethod
    def from_json(cls, content: Any) -> "LedgerEntry":
        """Read an entry.

        Parameters
        ----------
        content : object
            What stands in its place in the file.

        Returns
        -------
        LedgerEntry
            The entry.
        """
        content = keys_of(cls, content)
        return cls(**content | {"unions": read_rows(Union, "unions", content.get("unions", ()))})

    @property
    def candidates(self) -> int:
        """Product of the unions' candidates."""
        return prod(union.candidates for union in self.unions)


@dataclass(frozen=True)
class Ledger:
    """Delta and its parts.

    Attributes
    ----------
    delta : float
        In (0, 1): probability that anything in the certificate's headline fails.
    entries : tuple of LedgerEntry
        One for each claim that spends some of it.
    """

    delta: float
    entries: tuple[LedgerEntry, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", probability("delta", self.delta))
        object.__setattr__(self, "entries", records("entries", self.entries, LedgerEntry))

    @property
    def spent(self) -> Fraction:
        """Sum of the budgets, exactly."""
        return sum((Fraction(entry.budget) for entry in self.entries), Fraction(0))

    def entries_of(self, claim: str) -> tuple[LedgerEntry, ...]:
        """Find what a claim may spend.

        Parameters
        ----------
        claim : str
            Id of the claim.

        Returns
        -------
        tuple of LedgerEntry
            Its entries: one in a sound ledger.
        """
        return tuple(entry for entry in self.entries if entry.claim == claim)

    def to_json(self) -> dict[str, Any]:
        """Return the ledger as JSON carries it.

        Returns
        -------
        dict
            ``delta`` and ``entries``.
        """
        entries = [vars(entry) | {"unions": [vars(union).copy() for union in entry.unions]} for entry in self.entries]
        return {"delta": self.delta, "entries": entries}

    @classmethod
    def from_json(cls, content: Any) -> "Ledger":
        """Read a ledger.

        Parameters
        ----------
        content : object
            What `to_json` returned.

        Returns
        -------
        Ledger
            The ledger; whether it adds up is for `verify` to say.
        """
        content = keys_of(cls, content)
        return cls(content["delta"], read_rows(LedgerEntry, "entries", content["entries"]))
