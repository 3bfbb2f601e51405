"""Comparisons: other bounds at the same confidence on the same data, and what they share with a certificate."""

from dataclasses import dataclass
from typing import Any

from genbounds.certificates.claim import Claim, rests_on
from genbounds.certificates.errors import CertificateError, at
from genbounds.certificates.fields import text
from genbounds.certificates.ledger import Ledger
from genbounds.certificates.records import keys_of, read_rows, records
from genbounds.theorems import get

__all__ = ["Comparison", "check_argument", "read_argument"]


def check_argument(record: Any) -> None:
    """Check the three parts of an argument: claims, which of them may be quoted, and what they spend.

    Parameters
    ----------
    record : Certificate or Comparison
        Anything with ``claims``, ``headline`` and ``ledger``; its claims become a tuple.

    Raises
    ------
    CertificateError
        If one of the three is not what it must be, or the claims do not hang together (see `rests_on`).
    """
    text("headline", record.headline)
    object.__setattr__(record, "claims", records("claims", record.claims, Claim))
    if not isinstance(record.ledger, Ledger):
        raise CertificateError("ledger", f"must be a Ledger, got a {type(record.ledger).__name__}.")
    quoted = rests_on(record.claims, record.headline)[-1]
    if get(quoted.theorem).quantity != "risk":
        raise CertificateError(
            "headline", f"is the claim {quoted.id!r}, which bounds the {quoted.quantity} and not the risk."
        )
    targets = {claim.id: claim for claim in record.claims}
    for place, claim in enumerate(record.claims):
        for argument, target in claim.references.items():
            limit, source = get(claim.theorem).limits[argument], get(targets[target].theorem)
            if (source.quantity, source.predictor) != (limit.quantity, limit.predictor):
                raise CertificateError(
                    f"claims[{place}].inputs.{argument}",
                    f"of the claim {claim.id!r} is the {limit.quantity} of the {limit.predictor} predictor, but the "
                    f"claim {target!r} bounds the {source.quantity} of the {source.predictor} predictor.",
                )


def read_argument(parts: dict[str, Any]) -> dict[str, Any]:
    """Read claims and ledger from the fields of a certificate or a comparison.

    Parameters
    ----------
    parts : dict
        All its fields, as JSON carries them.

    Returns
    -------
    dict
        The same, with ``claims`` and ``ledger`` as records.
    """
    with at("ledger"):
        ledger = Ledger.from_json(parts["ledger"])
    return parts | {"claims": read_rows(Claim, "claims", parts["claims"]), "ledger": ledger}


@dataclass(frozen=True)
class Comparison:
    """Another bound at the same confidence on the same data, for scale: its own claims and its own ledger.

    Attributes
    ----------
    id : str
        Name, such as ``holdout`` (the exact binomial bound) or ``posterior = prior``.
    what : str
        One sentence: what predictor, what bound, what data.
    claims : tuple of Claim
        The claims.
    headline : str
        Id of the claim to compare with.
    ledger : Ledger
        What they spend.
    """

    id: str
    what: str
    claims: tuple[Claim, ...]
    headline: str
    ledger: Ledger

    def __post_init__(self) -> None:
        text("id", self.id)
        text("what", self.what)
        check_argument(self)

    @property
    def value(self) -> float:
        """Value of the headline."""
        return rests_on(self.claims, self.headline)[-1].value

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON carries it.

        Returns
        -------
        dict
            Its fields.
        """
        return vars(self) | {"claims": [claim.to_json() for claim in self.claims], "ledger": self.ledger.to_json()}

    @classmethod
    def from_json(cls, content: Any) -> "Comparison":
        """Read a comparison.

        Parameters
        ----------
        content : object
            What `to_json` returned.

        Returns
        -------
        Comparison
            The comparison.
        """
        return cls(**read_argument(keys_of(cls, content)))
