"""Estimates: quantities inferred from a sample, which prove nothing."""

from dataclasses import dataclass
from typing import Any

from genbounds.certificates.errors import CertificateError
from genbounds.certificates.fields import number, probability, rows, text, whole
from genbounds.certificates.records import keys_of

__all__ = ["Estimate"]


@dataclass(frozen=True)
class Estimate:
    """A quantity inferred from a sample, with its interval; never a bound, and not re-derived by `verify`.

    Attributes
    ----------
    id : str
        Name, such as ``test error``.
    what : str
        One sentence: what was measured, and on what.
    value : float
        The estimate.
    interval : tuple of float
        Low and high end of a confidence interval.
    level : float
        Confidence of the interval, in (0, 1).
    n : int
        Examples or draws behind it.
    """

    id: str
    what: str
    value: float
    interval: tuple[float, float]
    level: float
    n: int

    def __post_init__(self) -> None:
        text("id", self.id)
        text("what", self.what)
        object.__setattr__(self, "value", number("value", self.value))
        ends = tuple(number(f"interval[{place}]", end) for place, end in enumerate(rows("interval", self.interval)))
        if len(ends) != 2 or not ends[0] <= self.value <= ends[1]:
            raise CertificateError(
                "interval", f"must be two ends with the value {self.value} between them, got {ends}."
            )
        object.__setattr__(self, "interval", ends)
        object.__setattr__(self, "level", probability("level", self.level))
        object.__setattr__(self, "n", whole("n", self.n, lowest=1))

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as JSON carries it.

        Returns
        -------
        dict
            Its fields.
        """
        return vars(self) | {"interval": list(self.interval)}

    @classmethod
    def from_json(cls, content: Any) -> "Estimate":
        """Read an estimate.

        Parameters
        ----------
        content : object
            What `to_json` returned.

        Returns
        -------
        Estimate
            The estimate.
        """
        return cls(**keys_of(cls, content))
