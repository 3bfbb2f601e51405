"""The accounts of a certificate: every example counted once, every part of delta spent once, no choice for free.

Each check yields one sentence for everything that is wrong, and nothing if all is well.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import prod
from typing import Any

from genbounds.certificates.certificate import Certificate
from genbounds.certificates.claim import Claim
from genbounds.certificates.fields import number, one_of, rows, table, text, whole
from genbounds.certificates.ledger import Ledger
from genbounds.certificates.sample import Sample
from genbounds.theorems import Assumption, get

__all__ = [
    "applies",
    "check_draws",
    "check_holdout",
    "check_ledger",
    "check_posterior",
    "check_prior",
    "check_sample",
    "equal_confidence",
]


def check_sample(sample: Sample) -> Iterator[str]:
    """Check that no example has two roles and that roles are as large as they say.

    Parameters
    ----------
    sample : Sample
        The examples and their roles.

    Yields
    ------
    str
        What is wrong.
    """
    for name, role in sample.roles.items():
        marked = int(role.members(sample.examples).sum())
        if marked != role.count:
            yield f"the role {name} is said to have {role.count:,} examples, but {marked:,} are marked."
    for first, second, shared in sample.overlaps():
        yield (f"the roles {first} and {second} overlap: {shared.size:,} in both, the first is number {shared[0]}.")


def _seen(section: str, origin: Mapping[str, Any], allowed: Sequence[str], sample: Sample) -> Iterator[str]:
    for role in rows(f"{section}.saw", origin.get("saw")):
        if text(f"{section}.saw", role) not in allowed:
            yield f"the {section} saw examples of the role {role!r}; it may only see {' and '.join(allowed)}."
        elif role not in sample.roles or not sample.roles[role].count:
            yield f"the {section} saw the role {role!r}, which no example has."


def check_prior(certificate: Certificate, basis: Sequence[Claim]) -> Iterator[str]:
    """Check what shaped the prior, and that choices among priors are paid for.

    Parameters
    ----------
    certificate : Certificate
        The certificate.
    basis : sequence of Claim
        The headline and what it rests on.

    Yields
    ------
    str
        What is wrong.
    """
    resting = [claim for claim in basis if Assumption.PRIOR_INDEPENDENT_OF_SAMPLE in get(claim.theorem).assumes]
    prior = certificate.prior
    if prior is None:
        yield from (f"there is none, but the claim {claim.id!r} rests on one." for claim in resting)
        return
    yield from _seen("prior", prior, ("prior", "selection"), certificate.sample)
    learnt = {"prior", "selection"} & set(prior["saw"])
    if text("prior.kind", prior.get("kind")) == "learnt" and not learnt:
        yield "it is learnt, but is said to have seen no example."
    if prior.get("scale") is None:
        return
    scale = table("prior.scale", prior["scale"])
    chosen = one_of("prior.scale.chosen", scale.get("chosen"), ("fixed", "grid", "prior data"))
    if chosen == "prior data" and not learnt:
        yield "its scale was chosen on the prior's data, but it is said to have seen none."
    if chosen == "grid":
        candidates = whole("prior.scale.candidates", scale.get("candidates"), lowest=1)
        for claim in resting:
            unions = [u for entry in certificate.ledger.entries_of(claim.id) for u in entry.unions]
            paid = max((union.candidates for union in unions if union.over == "prior scale"), default=1)
            if paid < candidates:
                yield (
                    f"its scale was chosen from {candidates} candidates after seeing the bound's sample, "
                    f"but the ledger pays a union over {paid} prior scale{'s' * (paid > 1)} for the claim {claim.id!r}."
                )


def check_posterior(certificate: Certificate, basis: Sequence[Claim]) -> Iterator[str]:
    """Check what shaped the posterior, and that its KL divergence is the one in the claims.

    Parameters
    ----------
    certificate : Certificate
        The certificate.
    basis : sequence of Claim
        The headline and what it rests on.

    Yields
    ------
    str
        What is wrong.
    """
    posterior = certificate.posterior
    paying = [claim for claim in basis if "kl" in claim.inputs]
    if posterior is None:
        yield from (f"there is none, but the claim {claim.id!r} has a KL divergence." for claim in paying)
        return
    yield from _seen("posterior", posterior, ("prior", "selection", "bound"), certificate.sample)
    kl = number("posterior.kl", posterior.get("kl"), lowest=0)
    for claim in paying:
        if claim.inputs["kl"] != kl:
            yield f"its KL divergence is {kl!r}, but the claim {claim.id!r} has {claim.inputs['kl']!r}."
    if "bound" in posterior["saw"]:
        for claim in basis:
            if Assumption.PREDICTOR_INDEPENDENT_OF_SAMPLE in get(claim.theorem).assumes:
                yield (
                    f"it saw the bound's sample, but the claim {claim.id!r} rests on {claim.theorem}, which needs a "
                    "predictor that did not."
                )


def check_draws(certificate: Certificate, claims: Sequence[Claim]) -> Iterator[str]:
    """Check that draws were made as the Monte-Carlo claims need them, and counted once.

    Parameters
    ----------
    certificate : Certificate
        The certificate.
    claims : sequence of Claim
        The claims in question.

    Yields
    ------
    str
        What is wrong.
    """
    drawn = [claim for claim in claims if Assumption.DRAWS_INDEPENDENT in get(claim.theorem).assumes]
    draws = certificate.draws
    if draws is None:
        yield from (f"there are none, but the claim {claim.id!r} counts draws." for claim in drawn)
        return
    scheme = one_of("draws.scheme", draws.get("scheme"), ("one per example", "shared", "exact"))
    if scheme == "exact":
        yield from (f"there are none (exact), but the claim {claim.id!r} counts draws." for claim in drawn)
        return
    count = whole("draws.count", draws.get("count"), lowest=1)
    if scheme == "one per example":
        epochs = whole("draws.epochs", draws.get("epochs"), lowest=1)
        bound = _bound_count(certificate.sample)
        if count != epochs * bound:
            yield f"{epochs} epochs over {bound:,} examples of the bound are {epochs * bound:,} draws, not {count:,}."
    for claim in drawn:
        used = len(claim.inputs["values"]) if "values" in claim.inputs else claim.inputs.get("draws")
        if used != count:
            yield f"{count:,} were made, but the claim {claim.id!r} counts {used}."
        if scheme == "shared" and "errors" in claim.inputs:
            yield f"they are shared by all examples, but the claim {claim.id!r} needs one per example: {claim.theorem}."


def _bound_count(sample: Sample) -> int:
    return sample.roles["bound"].count if "bound" in sample.roles else 0


def applies(claim: Claim, certificate: Certificate, claims: Sequence[Claim], compared: bool) -> Iterator[str]:
    """Check that a theorem speaks about what its claim speaks about, and that its conditions are spoken of.

    Parameters
    ----------
    claim : Claim
        The claim.
    certificate : Certificate
        The certificate.
    claims : sequence of Claim
        The claims that it may refer to.
    compared : bool
        Whether it belongs to a comparison.

    Yields
    ------
    str
        What is wrong.
    """
    theorem = get(claim.theorem)
    for field in ("predictor", "quantity"):
        said, stated = getattr(claim, field), getattr(theorem, field)
        if said != stated:
            yield f"its {field} is said to be {said!r}, but {theorem.name} is about {stated!r}."
    for assumption in theorem.assumes:
        status = claim.assumptions.get(assumption.name)
        if status is None:
            yield f"{theorem.name} assumes {assumption.name}, of which the claim does not speak."
        elif status == "violated":
            yield f"{assumption.name} is violated, so {theorem.name} does not apply."
    if Assumption.ZERO_ONE_LOSS in theorem.assumes and claim.loss != "0-1":
        yield f"{theorem.name} needs the 0-1 loss, got {claim.loss!r}."
    bound = _bound_count(certificate.sample)
    # Who would have held data out without a prior had to train on a part of the same examples.
    held_out = compared and Assumption.PREDICTOR_INDEPENDENT_OF_SAMPLE in theorem.assumes
    if "n" in claim.inputs and (claim.inputs["n"] > bound if held_out else claim.inputs["n"] != bound):
        yield f"n is {claim.inputs['n']}, but the role bound has {bound:,} examples."
    if claim.predictor == "gibbs" and theorem.quantity == "risk" and "risk" in claim.inputs:
        # An empirical Gibbs risk is either exact or limited by a claim of its own.
        if "risk" in claim.references:
            target = next(other for other in claims if other.id == claim.references["risk"])
            if target.loss != claim.loss:
                yield f"its loss is {claim.loss!r}, that of its empirical risk {target.loss!r}."
        elif (certificate.draws or {}).get("scheme") != "exact":
            yield "its empirical risk is a plain number, though it was drawn: the Monte-Carlo step is missing."


def check_ledger(ledger: Ledger, claims: Sequence[Claim], basis: Sequence[Claim]) -> Iterator[str]:
    """Check that the parts of delta add up, in exact arithmetic.

    Parameters
    ----------
    ledger : Ledger
        What may be spent.
    claims : sequence of Claim
        All claims.
    basis : sequence of Claim
        The headline and what it rests on.

    Yields
    ------
    str
        What is wrong.
    """
    if ledger.spent > Fraction(ledger.delta):
        yield f"the budgets add up to {float(ledger.spent)!r}, more than delta = {ledger.delta!r}."
    known = {claim.id for claim in claims}
    yield from (
        f"there is an entry for {entry.claim!r}, which is no claim."
        for entry in ledger.entries
        if entry.claim not in known
    )
    for claim in (claim for claim in basis if "delta" in claim.inputs):
        entries = ledger.entries_of(claim.id)
        if len(entries) != 1:
            yield f"the claim {claim.id!r} must have one entry, and has {len(entries) or 'none'}."
            continue
        delta = claim.inputs["delta"]
        if Fraction(delta) * entries[0].candidates > Fraction(entries[0].budget):
            unions = "".join(f" / {union.candidates} ({union.over})" for union in entries[0].unions)
            yield f"the claim {claim.id!r} spends {delta!r}, more than its budget {entries[0].budget!r}{unions}."


def check_holdout(claim: Claim) -> Iterator[str]:
    """Check that a comparison named ``holdout``, of which the statement speaks, is one.

    Parameters
    ----------
    claim : Claim
        Its headline.

    Yields
    ------
    str
        What is wrong.
    """
    if Assumption.PREDICTOR_INDEPENDENT_OF_SAMPLE not in get(claim.theorem).assumes:
        yield f"it is named holdout, but {claim.theorem} is no theorem about a predictor that did not see the sample."


def equal_confidence(ledger: Ledger, basis: Sequence[Claim], delta: float) -> Iterator[str]:
    """Check that a comparison spends the whole delta of the certificate, lest it look weaker than it is.

    Parameters
    ----------
    ledger : Ledger
        The comparison's.
    basis : sequence of Claim
        Its headline and what that rests on.
    delta : float
        The certificate's.

    Yields
    ------
    str
        What is wrong.
    """
    spent = Fraction(0)
    for claim in basis:
        # Who holds data out chooses nothing by them: a union would only make that bound look weak.
        held_out = Assumption.PREDICTOR_INDEPENDENT_OF_SAMPLE in get(claim.theorem).assumes
        candidates = 1 if held_out else prod(entry.candidates for entry in ledger.entries_of(claim.id))
        spent += candidates * Fraction(claim.inputs.get("delta", 0))
    if ledger.delta != delta or spent < Fraction(delta) * Fraction(1 - 1e-9):
        part = float(min(spent, Fraction(1)))
        yield f"it is not at equal confidence: it spends {part!r} of the certificate's delta = {delta!r}."
