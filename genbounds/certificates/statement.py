"""What a certificate says, in sentences one may print, and its numbers in one row."""

from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal
from typing import Any

from genbounds.certificates.certificate import Certificate
from genbounds.certificates.claim import STATUSES, Claim
from genbounds.certificates.diagnosis import diagnose, observed_risk
from genbounds.theorems import PREDICTORS, Assumption, get

__all__ = ["about", "printed", "probability", "statement", "summary"]

#: What a bound for one kind of predictor does not say.
_NOT_SAID = {
    "gibbs": "It does not speak of the network with the posterior's mean weights.",
    "single draw": "It speaks of the one network that was drawn, and of no other draw.",
    "deterministic": "It speaks of the one network that was evaluated, and of no other.",
    "majority vote": "It does not speak of a single network drawn from the posterior, nor of its mean.",
    "algorithm average": "It does not speak of any one run of the algorithm.",
}


def printed(value: float, digits: int = 3) -> str:
    """Show an upper bound, rounded up.

    Parameters
    ----------
    value : float
        The bound.
    digits : int
        Significant digits.

    Returns
    -------
    str
        The smallest decimal of that many digits that is at least the value.

    Examples
    --------
    >>> printed(0.014810001), printed(0.25), printed(1.0)
    ('0.0149', '0.25', '1')
    """
    exact = Decimal(value)
    if not exact:
        return "0"
    unit = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    return f"{exact.quantize(unit, rounding=ROUND_CEILING).normalize():f}"


def probability(delta: float) -> str:
    """Show the confidence 1 - delta without round-off.

    Parameters
    ----------
    delta : float
        Probability of failure.

    Returns
    -------
    str
        The exact decimal, or the difference where that would be long.

    Examples
    --------
    >>> probability(0.035), probability(1e-30)
    ('0.965', '1 - 1e-30')
    """
    # Decimal subtracts with 28 digits: a smaller delta would be lost, and the sentence false.
    return str(Decimal(1) - Decimal(repr(delta))) if delta > 1e-9 else f"1 - {delta!r}"


def _in_words(names: list[str]) -> str:
    return ", ".join(name.lower().replace("_", " ") for name in names)


def about(claim: Claim) -> str:
    """Say what a claim limits.

    Parameters
    ----------
    claim : Claim
        A claim.

    Returns
    -------
    str
        Quantity and predictor, and the loss where it is not the 0-1 loss: another one, or the event that was counted.
    """
    return f"{claim.quantity}, {claim.predictor}" + (f", {claim.loss}" if claim.loss != "0-1" else "")


def chance(certificate: Certificate) -> float | None:
    """Return the risk of guessing uniformly, in the 0-1 loss.

    Parameters
    ----------
    certificate : Certificate
        Its ``model["classes"]`` is used.

    Returns
    -------
    float or None
        1 - 1 / classes; None if the classes are not known or the loss is another one.
    """
    classes = certificate.model.get("classes")
    if certificate.basis[-1].loss != "0-1" or not isinstance(classes, int) or classes < 2:
        return None
    return 1 - 1 / classes


def examples(certificate: Certificate) -> int:
    """Return how many examples the headline rests on.

    Parameters
    ----------
    certificate : Certificate
        A certificate.

    Returns
    -------
    int
        The largest n among the headline and the claims it rests on.
    """
    return max(claim.inputs["n"] for claim in certificate.basis if "n" in claim.inputs)


def _drawn(certificate: Certificate) -> str:
    """Say what else is random than the sample."""
    draws = certificate.draws or {}
    if draws.get("scheme") == "single":
        return " and of the one network"
    counts = draws.get("counts", {"": draws.get("count")}).values()
    if len(certificate.basis) > 1 and all(isinstance(count, int) for count in counts):
        many = f"{max(counts):,} Monte-Carlo draws"
        return f" and of at most {many} for each claim" if len(set(counts)) > 1 else f" and of {many}"
    return ""


def _amount(length: float) -> str:
    """Show whole bits, or nats rounded up."""
    return f"{length:,}" if isinstance(length, int) else printed(length, 4)


def _lines(certificate: Certificate) -> Iterator[str]:
    basis = certificate.basis
    headline = basis[-1]
    theorem = get(headline.theorem)
    value, bound = headline.value, printed(headline.value)
    covered = headline.predictor.replace("gibbs", "Gibbs")
    guess = chance(certificate)
    if value >= 1:
        yield f"VACUOUS: the bound is {bound}, and no risk is larger than 1. Nothing is proved."
    elif guess is not None and value >= guess:
        yield f"VACUOUS: the bound {bound} is not below {guess:.3g}, the risk of guessing uniformly. Nothing is proved."
    confidence = probability(certificate.ledger.delta)
    new = (
        "a new example"
        if Assumption.INDEPENDENT_SAMPLE not in theorem.assumes
        else ("average over the distributions of the bound's examples")
    )
    yield (
        f"With probability at least {confidence}, the {theorem.quantity} (expected {headline.loss} loss on {new}) of "
        f"the {covered} predictor is at most {bound}."
    )
    vote = ""
    if headline.predictor == "gibbs" and headline.loss == "0-1":
        # Where the vote errs, at least half of the posterior does.
        doubled = printed(2 * value) if value < 0.5 else "no limit here"
        vote = f" The majority vote over the posterior errs at most twice as often: {doubled}."
    yield f"The {covered} predictor: {PREDICTORS[headline.predictor]}. {_NOT_SAID[headline.predictor]}{vote}"
    drawn = _drawn(certificate)
    kl = next((f", KL(Q||P) = {claim.inputs['kl']:.5g} nats" for claim in reversed(basis) if "kl" in claim.inputs), "")
    if "log_ratio" in headline.inputs:
        kl = f", ln(dQ/dP)(h) = {headline.inputs['log_ratio']:.5g} nats"
    yield f"The probability is over the draw of the {examples(certificate):,} examples of the bound{drawn}."
    if certificate.code is not None:
        unit = "nats" if "nats" in certificate.code else "bits"
        parts = ", ".join(f"{name} {_amount(length)}" for name, length in certificate.code["parts"].items())
        yield f"The predictor is what its code of {_amount(certificate.code[unit])} {unit} decodes to: {parts}."
    yield f"By {theorem.name} ({theorem.reference}, {theorem.locator}): {theorem.formula}{kl}."
    if (certificate.draws or {}).get("scheme") == "exact":
        yield "The empirical risk in it is stated as exact: no Monte-Carlo step, and nothing paid for one."
    for status in STATUSES:
        names = [assumption.name for assumption, stands in certificate.assumptions.items() if stands == status]
        if names:
            yield f"Assumptions {status}{', not checked' if status == 'declared' else ''}: {_in_words(names)}."
    if certificate.holdout is not None:
        held = certificate.holdout.value
        verdict = (
            "It is lower: simply holding these examples out of training proves more."
            if held < value
            else "The certificate's is lower."
            if held > value
            else "They are equal."
        )
        yield f"Holdout bound at the same confidence, {printed(held)}: {certificate.holdout.what} {verdict}"
    diagnosis = diagnose(certificate)
    parts = ", ".join(f"{name} {amount:.4f}" for name, amount in diagnosis.steps.items())
    yield f"The value is the sum of {parts}. {diagnosis.advice}"
    yield from certificate.notes


def statement(certificate: Certificate) -> str:
    """Return the sentences that a paper may print.

    Parameters
    ----------
    certificate : Certificate
        A certificate; whether it holds is for `verify` to say.

    Returns
    -------
    str
        One paragraph a line: the bound (rounded up), the predictor covered and what is not, the probability, the
        theorem, the assumptions, the holdout bound, where the value comes from, and the notes. A bound that proves
        nothing says so first.
    """
    return "\n".join(_lines(certificate))


def summary(certificate: Certificate) -> dict[str, Any]:
    """Return the numbers of a row in a table.

    Parameters
    ----------
    certificate : Certificate
        A certificate.

    Returns
    -------
    dict
        ``value``, ``vacuous``, ``delta``, ``n``, ``kl`` and ``draws`` (None where there is none), ``risk`` (observed)
        and ``risk_limit`` (with the Monte-Carlo error), ``predictor``, ``theorem``, ``parameters`` of the model,
        ``ratio`` to the holdout bound, and one entry for each comparison and each estimate, under its id.
    """
    basis = certificate.basis
    headline = basis[-1]
    source = next((claim for claim in basis if claim.id == headline.references.get("risk")), headline)
    guess = chance(certificate)
    # A bound put together from several has no single empirical risk.
    observed = observed_risk(source) if {"errors", "values", "risk"} & set(source.inputs) else None
    row = {
        "value": headline.value,
        "vacuous": headline.value >= (1 if guess is None else guess),
        "delta": certificate.ledger.delta,
        "n": examples(certificate),
        "kl": headline.inputs.get("kl"),
        "risk": observed,
        "risk_limit": source.value if source is not headline else observed,
        "draws": (certificate.draws or {}).get("count"),
        "predictor": headline.predictor,
        "theorem": headline.theorem,
        "parameters": certificate.model.get("parameters"),
        "ratio": headline.value / certificate.holdout.value if certificate.holdout else None,
    }
    others = {comparison.id: comparison.value for comparison in certificate.comparisons}
    return row | others | {estimate.id: estimate.value for estimate in certificate.estimates}
