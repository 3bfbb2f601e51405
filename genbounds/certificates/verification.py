"""What verifying gives: findings, each about one claim or section, and the verdict."""

from dataclasses import dataclass
from typing import Any

__all__ = ["Finding", "Verification"]


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes
    ----------
    where : str
        Id of a claim, ``<comparison>: <claim>``, or a section of the certificate such as ``ledger``.
    ok : bool
        Whether it holds.
    sentence : str
        What was found.
    slack : float or None
        For the arithmetic of a claim: the part of its value by which it could be lowered (an upper limit of it).
    """

    where: str
    ok: bool
    sentence: str
    slack: float | None = None

    def __str__(self) -> str:
        """Return one line."""
        return f"{'ok     ' if self.ok else 'REFUSED'} {self.where}: {self.sentence}"


@dataclass(frozen=True)
class Verification:
    """All findings about a certificate.

    Attributes
    ----------
    findings : tuple of Finding
        In the order in which they were made.
    """

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that was checked holds."""
        return all(finding.ok for finding in self.findings)

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """Findings that do not hold."""
        return tuple(finding for finding in self.findings if not finding.ok)

    def extended(self, *findings: Finding) -> "Verification":
        """Add findings, such as those of measuring the statistics again.

        Parameters
        ----------
        *findings : Finding
            What else was checked.

        Returns
        -------
        Verification
            The old findings and the new.
        """
        return Verification(self.findings + findings)

    def to_json(self) -> dict[str, Any]:
        """Return the verdict for machines.

        Returns
        -------
        dict
            ``ok`` and ``findings``.
        """
        return {"ok": self.ok, "findings": [vars(finding).copy() for finding in self.findings]}

    def __str__(self) -> str:
        """Return one line for each finding, and the verdict."""
        wrong = len(self.refusals)
        verdict = "The certificate holds." if self.ok else f"The certificate is refused: {wrong} of its parts fail."
        return "\n".join([*map(str, self.findings), verdict])
