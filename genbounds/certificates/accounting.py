"""The accounts of a certificate: every example counted once, every part of delta spent once, no choice for free.

Each check yields one sentence for everything that is wrong, and nothing if all is well.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import prod
from typing import Any

from genbounds.certificates.certificate import Certificate
from genbounds.certificates.claim import Claim
from genbounds.certificates.errors import CertificateError
from genbounds.certificates.fields import number, one_of, rows, table, text, whole
from genbounds.certificates.ledger import Ledger
from genbounds.certificates.sample import Sample
from genbounds.theorems import Assumption, catalogue, get

__all__ = [
    "applies",
    "check_code",
    "check_draws",
    "check_holdout",
    "check_ledger",
    "check_posterior",
    "check_prior",
    "check_sample",
    "equal_confidence",
    "is_event",
]

#: ln 2 = 0.69314718055994530941723212145817656..., rounded up.
_LN_2 = Fraction("0.69314718055994530941723212145818")


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
        value, given = scale.get("value"), scale.get("candidates")
        many = table("prior.scale.candidates", given) if isinstance(given, Mapping) else {"": given}
        if not many or (isinstance(value, Mapping) and set(value) != set(many)):
            yield "it has scales for other layers than those with candidates: each layer's scale was chosen from some."
        for layer, of_layer in many.items():
            path, over = ("prior.scale.candidates", "prior scale")
            if layer:
                path, over = f"{path}.{layer}", f"{over} of {layer}"
            candidates = whole(path, of_layer, lowest=1)
            for claim in resting:
                unions = [u for entry in certificate.ledger.entries_of(claim.id) for u in entry.unions]
                paid = max((union.candidates for union in unions if union.over == over), default=1)
                if paid < candidates:
                    yield (
                        f"its scale{f' of {layer}' * bool(layer)} was chosen from {candidates} candidates after "
                        f"seeing the bound's sample, but the ledger pays a union over {paid} prior "
                        f"scale{'s' * (paid > 1)} for the claim {claim.id!r}."
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
    steps = _steps(certificate)
    yield from _check_steps(steps, basis, certificate.sample)
    kl = number("posterior.kl", posterior.get("kl"), lowest=0) if paying else 0.0
    for last in [*steps.values()][-1:]:
        if kl != last["kl"]:
            yield f"its KL divergence is {kl!r}, but that of its last step is {last['kl']!r}."
    for claim in paying:
        said = steps[claim.id]["kl"] if claim.id in steps else kl
        if claim.inputs["kl"] != said:
            yield f"its KL divergence is {said!r}, but the claim {claim.id!r} has {claim.inputs['kl']!r}."
    reference = posterior.get("reference")
    if reference is None:
        yield from (
            f"there is no reference, but the claim {claim.id!r} rests on one that did not see the sample."
            for claim in basis
            if Assumption.REFERENCE_INDEPENDENT_OF_SAMPLE in get(claim.theorem).assumes
        )
    else:
        yield from _seen("posterior.reference", table("posterior.reference", reference), ("prior",), certificate.sample)
    if "bound" in posterior["saw"]:
        for claim in basis:
            about_reference = reference is not None and claim is not basis[-1] and claim.predictor == "deterministic"
            if Assumption.PREDICTOR_INDEPENDENT_OF_SAMPLE in get(claim.theorem).assumes and not about_reference:
                yield (
                    f"it saw the bound's sample, but the claim {claim.id!r} rests on {claim.theorem}, which needs a "
                    "predictor that did not."
                )


def _steps(certificate: Certificate) -> dict[str, dict[str, Any]]:
    """Return the steps of a recursive bound, by claim, in order; none for other bounds."""
    found: dict[str, dict[str, Any]] = {}
    for place, row in enumerate(rows("posterior.steps", (certificate.posterior or {}).get("steps", []))):
        path = f"posterior.steps[{place}]"
        step = table(path, row)
        if (id := text(f"{path}.claim", step.get("claim"))) in found:
            raise CertificateError(f"{path}.claim", f"must be new, but {id!r} is a step before. Leave it out once.")
        found[id] = {
            "chunk": whole(f"{path}.chunk", step.get("chunk"), lowest=1),
            "n": whole(f"{path}.n", step.get("n"), lowest=1),
            "kl": number(f"{path}.kl", step.get("kl"), lowest=0),
        }
    return found


def _check_steps(steps: Mapping[str, Mapping[str, Any]], basis: Sequence[Claim], sample: Sample) -> Iterator[str]:
    """Check that a recursive bound's chunks share out the sample, each step counting its own and all later ones."""
    unlisted = [claim.id for claim in basis if "previous" in claim.inputs and claim.id not in steps]
    yield from (f"the claim {id!r} is a step of a recursive bound, but in no row of the steps." for id in unlisted)
    if not steps:
        return
    # A step's prior is the posterior of the step before, which has seen the earlier chunks and no other.
    left = _bound_count(sample)
    for id, step in steps.items():
        if step["n"] != left:
            yield f"the step {id!r} has n = {step['n']:,}, but its chunk and the later ones are {left:,} examples."
        left -= step["chunk"]
    if left:
        yield f"the chunks of its steps leave {left:,} of the bound's examples over."
    claimed = {claim.id: claim for claim in basis if claim.id in steps}
    if list(claimed) != list(steps):
        yield f"its steps are {', '.join(steps)}, but the headline rests on {', '.join(claimed) or 'none of them'}."
    for earlier, later in pairwise([None, *claimed]):
        if claimed[str(later)].references.get("previous") != earlier:
            before = "no step: it is the first" if earlier is None else f"{earlier!r}, the step before"
            yield f"the step {later!r} must rest on {before}."


def check_draws(certificate: Certificate, claims: Sequence[Claim], compared: bool = False) -> Iterator[str]:
    """Check that draws were made as the Monte-Carlo claims need them, and counted once.

    Parameters
    ----------
    certificate : Certificate
        The certificate.
    claims : sequence of Claim
        The claims in question.
    compared : bool
        Whether they belong to a comparison, which beside one kept network may have draws of its own.

    Yields
    ------
    str
        What is wrong.
    """
    drawn = [
        claim
        for claim in claims
        if Assumption.DRAWS_INDEPENDENT in get(claim.theorem).assumes and claim.predictor != "single draw"
    ]
    draws = certificate.draws
    if compared and drawn and "comparisons" in (draws or {}):
        draws = table("draws.comparisons", draws["comparisons"])  # type: ignore[index]
    if draws is None:
        yield from (f"there are none, but the claim {claim.id!r} counts draws." for claim in drawn)
        return
    scheme = one_of("draws.scheme", draws.get("scheme"), ("one per example", "shared", "single", "exact"))
    if scheme in ("single", "exact"):
        yield from (f"there are none ({scheme}), but the claim {claim.id!r} counts draws." for claim in drawn)
        if scheme == "single" and not compared:
            yield from _check_single(draws, claims)
        return
    steps, bound = _steps(certificate), _bound_count(certificate.sample)
    counts = table("draws.counts", draws["counts"]) if "counts" in draws else {}
    for claim in drawn:
        count = whole("draws.counts" if counts else "draws.count", counts.get(claim.id, draws.get("count")), lowest=1)
        if scheme == "one per example":
            epochs = whole("draws.epochs", draws.get("epochs"), lowest=1)
            counted = {steps[user.id]["n"] if user.id in steps else bound for user in _users(claim, claims)} or {bound}
            for examples in counted:
                if count != epochs * examples:
                    yield (
                        f"{epochs} epochs over {examples:,} examples of the bound are {epochs * examples:,} draws, not "
                        f"{count:,} (claim {claim.id!r})."
                    )
        used = len(claim.inputs["values"]) if "values" in claim.inputs else claim.inputs.get("draws")
        if used != count:
            yield f"{count:,} were made, but the claim {claim.id!r} counts {used}."
        if scheme == "shared" and "errors" in claim.inputs:
            yield f"they are shared by all examples, but the claim {claim.id!r} needs one per example: {claim.theorem}."


def _check_single(draws: Mapping[str, Any], claims: Sequence[Claim]) -> Iterator[str]:
    """Check that one network was drawn, and that its log density ratio is the one in the claims."""
    if whole("draws.count", draws.get("count"), lowest=1) != 1:
        yield f"one network may be drawn, and is then kept; {draws['count']} were."
    for claim in claims:
        if "log_ratio" in claim.inputs and claim.inputs["log_ratio"] != draws.get("log_ratio"):
            yield (
                f"the log ratio of the network drawn is {draws.get('log_ratio')!r}, but the claim {claim.id!r} has "
                f"{claim.inputs['log_ratio']!r}."
            )


def _users(claim: Claim, claims: Sequence[Claim]) -> Iterator[Claim]:
    return (other for other in claims if claim.id in other.references.values())


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
    if Assumption.ZERO_ONE_LOSS in theorem.assumes and not is_event(claim.loss):
        yield f"{theorem.name} needs the 0-1 loss, got {claim.loss!r}."
    events = {limit.loss for other in catalogue().values() for limit in other.limits.values()} - {"0-1"}
    if theorem.quantity == "risk" and claim.loss in events:
        yield f"its loss {claim.loss!r} is no risk of a predictor, but an event that is counted on the way to one."
    if Assumption.PREFIX_FREE_CODE in theorem.assumes and certificate.code is None and not compared:
        yield f"{theorem.name} pays for a code, and the certificate has none."
    bound = _bound_count(certificate.sample)
    steps = _steps(certificate)
    # Who would have held data out without a prior had to train on a part of the same examples.
    held_out = compared and Assumption.PREDICTOR_INDEPENDENT_OF_SAMPLE in theorem.assumes
    if "n" in claim.inputs and claim.id not in steps:
        if claim.inputs["n"] > bound if held_out else claim.inputs["n"] != bound:
            yield f"n is {claim.inputs['n']}, but the role bound has {bound:,} examples."
    elif claim.id in steps and claim.inputs.get("n") != steps[claim.id]["n"]:
        yield f"n is {claim.inputs.get('n')}, but the step has {steps[claim.id]['n']:,} examples."
    yield from _limits(claim, certificate, claims)
    drawn_once = (certificate.draws or {}).get("scheme") == "single"
    if claim.predictor == "single draw" and not drawn_once:
        yield f"{theorem.name} is about one network that was drawn once, but draws.scheme is not 'single'."


def _limits(claim: Claim, certificate: Certificate, claims: Sequence[Claim]) -> Iterator[str]:
    """Check the arguments that limits of other quantities stand for: each is a claim of its own, or was computed."""
    for argument, limit in get(claim.theorem).limits.items():
        if argument in claim.references:
            target = next(other for other in claims if other.id == claim.references[argument])
            if target.loss != (limit.loss or claim.loss):
                yield (
                    f"its {argument} must be about the loss {limit.loss or claim.loss!r}, but the claim "
                    f"{target.id!r} is about {target.loss!r}."
                )
            elif is_event(limit.loss) and not is_event(claim.loss):
                yield f"its {argument} counts an event of the 0-1 loss, but the claim is about {claim.loss!r}."
        elif limit.quantity == "risk":
            yield f"its {argument} is a plain number, but must be the value of a claim that bounds a risk."
        elif (certificate.draws or {}).get("scheme") != "exact":
            yield f"its {argument} is a plain number, though it was drawn: the Monte-Carlo step is missing."


def is_event(loss: str) -> bool:
    """Tell whether a loss is 0 or 1: an error, or another event of which the words say which.

    Parameters
    ----------
    loss : str
        A claim's loss, such as ``0-1`` or ``0-1 (both of two draws err)``.

    Returns
    -------
    bool
        Whether it counts an event.
    """
    return loss == "0-1" or (loss.startswith("0-1 (") and loss.endswith(")"))


def check_code(certificate: Certificate, basis: Sequence[Claim]) -> Iterator[str]:
    """Check that every bit or nat of a predictor's code is paid for.

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
    coded = [claim for claim in basis if Assumption.PREFIX_FREE_CODE in get(claim.theorem).assumes]
    if certificate.code is None:
        return
    parts = table("code.parts", certificate.code.get("parts"))
    if "nats" in certificate.code:
        nats = Fraction(number("code.nats", certificate.code["nats"], lowest=0))
        total = sum(Fraction(number(f"code.parts.{name}", part, lowest=0)) for name, part in parts.items())
        length = f"{float(nats)!r} nats are"
        if total > nats:
            yield f"its parts add up to {float(total)!r} nats, not {float(nats)!r}."
        if "bits" in certificate.code:
            yield "it is in bits or in nats, not in both."
    else:
        bits = whole("code.bits", certificate.code.get("bits"))
        nats = bits * _LN_2
        length = f"{bits:,} bits are {float(nats)!r} nats,"
        if (whole_total := sum(whole(f"code.parts.{name}", part) for name, part in parts.items())) != bits:
            yield f"its parts add up to {whole_total:,} bits, not {bits:,}."
    if not coded:
        yield "there is a code, but the headline rests on no theorem that pays for one."
    for claim in coded:
        if Fraction(claim.inputs["code_length"]) < nats:
            yield f"{length} more than the claim {claim.id!r} pays."


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


def check_holdout(claim: Claim, loss: str) -> Iterator[str]:
    """Check that a comparison named ``holdout``, of which the statement speaks, is one.

    Parameters
    ----------
    claim : Claim
        Its headline.
    loss : str
        Loss of the certificate's headline, with which it is compared.

    Yields
    ------
    str
        What is wrong.
    """
    if Assumption.PREDICTOR_INDEPENDENT_OF_SAMPLE not in get(claim.theorem).assumes:
        yield f"it is named holdout, but {claim.theorem} is no theorem about a predictor that did not see the sample."
    if claim.loss != loss:
        yield f"it is about the loss {claim.loss!r}, but the certificate is about {loss!r}."


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
