"""Certificates: claims, their ledger and where their numbers came from, in one file that anyone can check again."""

from genbounds.certificates.certificate import SCHEMA, Certificate
from genbounds.certificates.claim import Claim, rests_on, state
from genbounds.certificates.comparison import Comparison
from genbounds.certificates.diagnosis import Diagnosis, diagnose
from genbounds.certificates.errors import CertificateError
from genbounds.certificates.estimate import Estimate
from genbounds.certificates.ledger import Ledger, LedgerEntry, Union, share, split
from genbounds.certificates.sample import ROLES, Role, Sample
from genbounds.certificates.verification import Finding, Verification
from genbounds.certificates.verify import verify

__all__ = [
    "ROLES",
    "SCHEMA",
    "Certificate",
    "CertificateError",
    "Claim",
    "Comparison",
    "Diagnosis",
    "Estimate",
    "Finding",
    "Ledger",
    "LedgerEntry",
    "Role",
    "Sample",
    "Union",
    "Verification",
    "diagnose",
    "rests_on",
    "share",
    "split",
    "state",
    "verify",
]
