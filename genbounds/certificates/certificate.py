"""The certificate: claims, their ledger, and everything a sceptic needs to know about where the numbers came from."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genbounds.certificates import content as files
from genbounds.certificates.claim import STATUSES, Claim, rests_on
from genbounds.certificates.comparison import Comparison, check_argument, read_argument
from genbounds.certificates.errors import CertificateError, at
from genbounds.certificates.estimate import Estimate
from genbounds.certificates.fields import plain, rows, table, text
from genbounds.certificates.ledger import Ledger
from genbounds.certificates.records import keys_of, read_rows, records
from genbounds.certificates.sample import Sample
from genbounds.theorems import Assumption

__all__ = ["SCHEMA", "Certificate"]

#: Version of the layout of the file. Another layout gets another number.
SCHEMA = "genbounds.certificate/1"


@dataclass(frozen=True)
class Certificate:
    """What is claimed about a predictor, and everything needed to check it without the predictor.

    ``str(certificate)`` is the statement that may be printed. Loading does not verify; `genbounds.verify` does.
    The tables `model`, `prior`, `posterior`, `draws` and `versions` are kept as they are given; of their keys,
    `verify` uses those listed here.

    Attributes
    ----------
    headline : str
        Id of the claim that may be quoted.
    claims : tuple of Claim
        The claims.
    ledger : Ledger
        Where each part of delta went.
    sample : Sample
        The examples and their roles.
    model : mapping
        The network, and the state that is not random. ``classes``, if present, is the number of classes.
    prior : mapping or None
        ``saw``: roles that shaped it. ``kind``: ``learnt`` needs the role prior. ``scale``, if present:
        ``chosen`` (``fixed``, ``grid`` or ``prior data``) and, for a grid, ``candidates``: a number, or one by layer.
    posterior : mapping or None
        ``saw``: roles that shaped it. ``kl``: KL(Q || P) in nats. For a recursive bound ``steps``: for each step the
        ``claim``, the ``chunk`` of new examples, ``n`` (its chunk and all later ones) and ``kl`` to the step before.
        For a bound on an excess loss ``reference``: ``saw``, the roles that shaped the reference predictor.
    draws : mapping or None
        ``scheme`` (``one per example``, ``shared``, ``single`` for one network that is then kept, or ``exact`` where
        no draw was needed), ``count``, or ``counts`` by claim where claims count different draws, and ``epochs`` for
        one per example. For ``single`` also ``log_ratio`` at that network, and ``comparisons``, such a table for the
        draws that only comparisons rest on.
    comparisons : tuple of Comparison
        Other bounds on the same data; ``holdout`` is the one that a reader should see.
    estimates : tuple of Estimate
        Measurements that prove nothing.
    notes : tuple of str
        Sentences that a reader must know.
    versions : mapping of str to str
        Software that made it.
    code : mapping or None
        For a predictor chosen by its code: its length, ``bits``, whole, or ``nats``, ``parts``, from what was coded to
        its part of that length, and ``sha256`` of the message.
    digest : str
        Digest that the file carried; computed for a new certificate. ``dataclasses.replace`` must be given
        ``digest=""`` to have it computed anew.
    """

    headline: str
    claims: tuple[Claim, ...]
    ledger: Ledger
    sample: Sample
    model: Mapping[str, Any]
    prior: Mapping[str, Any] | None
    posterior: Mapping[str, Any] | None
    draws: Mapping[str, Any] | None
    comparisons: tuple[Comparison, ...] = ()
    estimates: tuple[Estimate, ...] = ()
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, Any] | None = None
    digest: str = ""

    def __post_init__(self) -> None:
        check_argument(self)
        if not isinstance(self.sample, Sample):
            raise CertificateError("sample", f"must be a Sample, got a {type(self.sample).__name__}.")
        for name in ("model", "prior", "posterior", "draws", "versions", "code"):
            given = getattr(self, name)
            if given is not None or name in {"model", "versions"}:
                object.__setattr__(self, name, table(name, given))
        object.__setattr__(self, "comparisons", records("comparisons", self.comparisons, Comparison))
        object.__setattr__(self, "estimates", records("estimates", self.estimates, Estimate))
        notes = tuple(text(f"notes[{place}]", note) for place, note in enumerate(rows("notes", self.notes)))
        object.__setattr__(self, "notes", notes)
        for named in (self.comparisons, self.estimates):
            ids = [record.id for record in named]
            if len(set(ids)) < len(ids):
                raise CertificateError("comparisons and estimates", f"must have ids of their own, got {ids}.")
        for name, version in self.versions.items():
            text(f"versions.{name}", version)
        if self.digest:
            text("digest", self.digest)
        else:
            object.__setattr__(self, "digest", files.digest(self.to_json()))

    @property
    def value(self) -> float:
        """Value of the headline."""
        return self.basis[-1].value

    @property
    def basis(self) -> tuple[Claim, ...]:
        """The headline, last, and the claims it rests on."""
        return rests_on(self.claims, self.headline)

    @property
    def assumptions(self) -> dict[Assumption, str]:
        """How each assumption behind the headline stands, the worst where two claims differ; the worst first."""
        found = {
            assumption: [
                claim.assumptions[assumption.name] for claim in self.basis if assumption.name in claim.assumptions
            ]
            for assumption in Assumption
        }
        states = {assumption: max(each, key=STATUSES.index) for assumption, each in found.items() if each}
        return dict(sorted(states.items(), key=lambda pair: -STATUSES.index(pair[1])))

    @property
    def holdout(self) -> Comparison | None:
        """The comparison named ``holdout``, if there is one."""
        return next((comparison for comparison in self.comparisons if comparison.id == "holdout"), None)

    def __str__(self) -> str:
        """Return the statement that may be printed."""
        from genbounds.certificates.statement import statement

        return statement(self)

    def summary(self) -> dict[str, Any]:
        """Return the numbers of a row in a table.

        Returns
        -------
        dict
            See `genbounds.certificates.statement.summary`.
        """
        from genbounds.certificates.statement import summary

        return summary(self)

    def to_json(self) -> dict[str, Any]:
        """Return the certificate as JSON carries it.

        Returns
        -------
        dict
            Its fields after ``schema``, ``digest`` last.
        """
        argument = {
            "claims": [claim.to_json() for claim in self.claims],
            "ledger": self.ledger.to_json(),
            "sample": self.sample.to_json(),
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
            "estimates": [estimate.to_json() for estimate in self.estimates],
            "notes": list(self.notes),
        }
        content = {"schema": SCHEMA} | plain("", vars(self) | argument)
        if self.code is None:  # files written before there were codes keep their digest
            del content["code"]
        return content

    @classmethod
    def from_json(cls, content: Any) -> "Certificate":
        """Read a certificate.

        Parameters
        ----------
        content : object
            What `to_json` returned.

        Returns
        -------
        Certificate
            The certificate, not verified.

        Raises
        ------
        CertificateError
            If the schema is another one, a key is missing or unknown, or a field is not what it must be.
        """
        content = table("", content)
        schema = content.pop("schema", None)
        if schema != SCHEMA:
            raise CertificateError(
                "schema", f"must be {SCHEMA!r}, got {schema!r}. Read it with the version of genbounds that wrote it."
            )
        text("digest", content.get("digest"))
        parts = read_argument(keys_of(cls, content))
        with at("sample"):
            parts["sample"] = Sample.from_json(parts["sample"])
        for name, record in (("comparisons", Comparison), ("estimates", Estimate)):
            parts[name] = read_rows(record, name, parts.get(name, ()))
        return cls(**parts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the certificate in one step.

        Parameters
        ----------
        path : path
            File to write, usually ``certificate.json``.
        """
        files.write(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Certificate":
        """Read a certificate from a file, without verifying it.

        Parameters
        ----------
        path : path
            File that `save` wrote.

        Returns
        -------
        Certificate
            The certificate.
        """
        return cls.from_json(files.read(path))
