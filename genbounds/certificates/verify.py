"""Verify a certificate without its model: digest, layout, roles, accounts, and every value anew in ball arithmetic.

Three lines of defence. An edit that leaves the digest alone is noticed by the digest. A forged value, confidence,
count, union or role with a fresh digest contradicts the arithmetic, the ledger or the sample, and is refused here.
Forged *statistics* with everything recomputed from them (an error count, a KL divergence, a fingerprint, what a
prior is said to have seen) contradict nothing in the file: only measuring them again finds them, and what that
finds is added by `Verification.extended`.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from genbounds.certificates import accounting
from genbounds.certificates.balls import is_above, slack
from genbounds.certificates.certificate import Certificate
from genbounds.certificates.claim import Claim, rests_on
from genbounds.certificates.comparison import Comparison
from genbounds.certificates.content import digest, read
from genbounds.certificates.errors import CertificateError
from genbounds.certificates.verification import Finding, Verification

__all__ = ["verify"]


def verify(certificate: str | os.PathLike[str] | Certificate) -> Verification:
    """Verify a certificate.

    Parameters
    ----------
    certificate : path or Certificate
        A file, or a certificate in memory.

    Returns
    -------
    Verification
        Everything that was checked. A file that is not a certificate at all (truncated, another schema, a key
        missing) is a finding too.

    Raises
    ------
    CertificateError
        If there is no such file.
    ImportError
        If python-flint is not installed.
    """
    if isinstance(certificate, Certificate):
        return Verification((_digest(certificate.to_json()), *_findings(certificate)))
    if not os.path.isfile(certificate):
        raise CertificateError(os.path.basename(certificate), "is not there. Check the path.")
    try:
        content = read(certificate)
    except CertificateError as error:
        return Verification((Finding("file", False, f"{error}"),))
    noticed = _digest(content)
    try:
        read_back = Certificate.from_json(content)
    except CertificateError as error:
        return Verification((noticed, Finding("layout", False, f"{error}")))
    return Verification((
        noticed,
        Finding("layout", True, "every key is there, none is unknown."),
        *_findings(read_back),
    ))


def _digest(content: dict[str, Any]) -> Finding:
    expected = digest(content)
    if content.get("digest") == expected:
        return Finding("digest", True, "the content is what was digested.")
    return Finding("digest", False, f"the content was edited: its digest is {expected[:19]}..., another is recorded.")


def _found(where: str, holds: str, complaints: Callable[[], Iterable[str]]) -> list[Finding]:
    """Turn complaints into findings; none is a finding too."""
    try:
        sentences = list(complaints())
    except CertificateError as error:
        sentences = [str(error)]
    return [Finding(where, False, sentence) for sentence in sentences] or [Finding(where, True, holds)]


def _findings(certificate: Certificate) -> Iterator[Finding]:
    basis, ledger = certificate.basis, certificate.ledger
    yield from _found(
        "sample",
        "no example has two roles, and they are counted right.",
        lambda: accounting.check_sample(certificate.sample),
    )
    yield from _found(
        "prior",
        "it is said to have seen none of the bound's sample, and choices are paid.",
        lambda: accounting.check_prior(certificate, basis),
    )
    yield from _found(
        "posterior",
        "its KL divergence is the one in the claims.",
        lambda: accounting.check_posterior(certificate, basis),
    )
    yield from _found(
        "draws", "they are counted once.", lambda: accounting.check_draws(certificate, certificate.claims)
    )
    if certificate.code is not None:
        yield from _found("code", "all of its length is paid for.", lambda: accounting.check_code(certificate, basis))
    yield from _argument("", certificate, certificate)
    yield from _found(
        "ledger",
        f"the parts add up to at most delta = {ledger.delta!r}.",
        lambda: accounting.check_ledger(ledger, certificate.claims, basis),
    )
    for comparison in certificate.comparisons:
        yield from _comparison(certificate, comparison)


def _comparison(certificate: Certificate, comparison: Comparison) -> Iterator[Finding]:
    basis = rests_on(comparison.claims, comparison.headline)
    yield from _argument(f"{comparison.id}: ", certificate, comparison)

    def accounts() -> Iterator[str]:
        if comparison.id == "holdout":
            yield from accounting.check_holdout(basis[-1], certificate.basis[-1].loss)
        yield from accounting.check_draws(certificate, comparison.claims, compared=True)
        yield from accounting.check_ledger(comparison.ledger, comparison.claims, basis)
        yield from accounting.equal_confidence(comparison.ledger, basis, certificate.ledger.delta)

    yield from _found(f"{comparison.id}: ledger", "it is at equal confidence, and adds up.", accounts)


def _argument(prefix: str, certificate: Certificate, argument: Certificate | Comparison) -> Iterator[Finding]:
    values = {claim.id: claim.value for claim in argument.claims}
    for claim in argument.claims:
        yield from _found(
            f"{prefix}{claim.id}",
            f"{claim.theorem} is about this, and its conditions are spoken of.",
            lambda claim=claim: accounting.applies(claim, certificate, argument.claims, argument is not certificate),  # type: ignore[misc]
        )
        try:
            yield _arithmetic(f"{prefix}{claim.id}", claim, values)
        except CertificateError as error:
            yield Finding(f"{prefix}{claim.id}", False, str(error))


def _arithmetic(where: str, claim: Claim, values: dict[str, float]) -> Finding:
    inputs = {
        name: values[claim.references[name]] if name in claim.references else given
        for name, given in claim.inputs.items()
    }
    above = is_above(claim.theorem, inputs, claim.value)
    if above is None:
        return Finding(where, False, f"the value {claim.value!r} is too close to the bound to be told from it.")
    if not above:
        return Finding(
            where,
            False,
            f"the value {claim.value!r} is below what {claim.theorem} gives for these inputs: it is not proved.",
        )
    spare = slack(claim.theorem, inputs, claim.value)
    return Finding(
        where,
        True,
        f"the value {claim.value!r} is proved by ball arithmetic, and at most {spare:.0e} of it is slack.",
        spare,
    )
