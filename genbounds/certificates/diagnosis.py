"""Which part of a certificate hurts, and what would help: its value with one cost after the other taken away."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, nextafter
from typing import Any

from genbounds.certificates.certificate import Certificate
from genbounds.certificates.claim import Claim, evaluate
from genbounds.theorems import get

__all__ = ["Diagnosis", "diagnose", "observed_risk"]

#: A bound that cannot fail costs nothing; this is as near as a theorem lets delta come.
_NO_CONFIDENCE = nextafter(1.0, 0.0)

#: Arguments that measure how far the predictor is from what was fixed before the sample.
_COMPLEXITIES = {
    "kl": "KL divergence",
    "code_length": "code length",
    "log_ratio": "density ratio",
    "renyi": "Rényi divergence",
}

#: Observed risk and log term where a bound is put together from several, and no one risk comes before the other costs.
_TOGETHER = "observed risk and log terms"

#: What would help, by the part that costs most.
_REMEDIES = {
    "observed risk": "train a predictor that errs less on the bound's own sample",
    _TOGETHER: "train a predictor that errs less on the bound's own sample",
    "Monte Carlo": "make more draws, which costs only time",
    "log term": "give more examples to the bound",
    "confidence": "accept a larger delta, or choose among fewer candidates",
    "KL divergence": "give more data to the prior, so that it lies nearer to the posterior",
    "code length": "find a shorter code",
    "density ratio": "give more data to the prior, so that it lies nearer to the posterior",
    "Rényi divergence": "give more data to the prior, so that it lies nearer to the posterior",
}


@dataclass(frozen=True)
class Diagnosis:
    """Where the value of a certificate comes from.

    Attributes
    ----------
    value : float
        Value of the headline.
    steps : mapping of str to float
        Parts that add up to the value: the observed risk, then what each further cost adds to it (Monte Carlo, log
        term, confidence, KL divergence or code length, as far as the theorem has them). A bound that is put together
        from several begins with observed risk and log terms in one.
    ideal : mapping of str to float
        The value if one thing were different and all else the same.
    advice : str
        One or two sentences.
    """

    value: float
    steps: Mapping[str, float]
    ideal: Mapping[str, float]
    advice: str

    def __str__(self) -> str:
        """Return the parts, the value under other conditions, and the advice."""
        parts = [f"  {amount:+.5f}  {name}" for name, amount in self.steps.items()]
        others = [f"  {value:.5f}  {name}" for name, value in self.ideal.items()]
        return "\n".join([f"{self.value:.5f} is", *parts, "it would be", *others, self.advice])


def observed_risk(claim: Claim) -> float:
    """Return the average that a claim was computed from, rounded up.

    Parameters
    ----------
    claim : Claim
        A claim from errors, values or a risk.

    Returns
    -------
    float
        Errors among trials, the mean of the values, or the risk.
    """
    if "errors" in claim.inputs:
        return _ratio(claim.inputs["errors"], claim.inputs["n" if "n" in claim.inputs else "draws"])
    if "values" in claim.inputs:
        values = claim.inputs["values"]
        return _ratio(fsum(values), len(values))
    return float(claim.inputs["risk"])


def _ratio(part: float, whole: float) -> float:
    return min(nextafter(part / whole, 1.0), 1.0) if part else 0.0


def diagnose(certificate: Certificate) -> Diagnosis:
    """Take the costs of a certificate away one by one.

    Parameters
    ----------
    certificate : Certificate
        A certificate whose headline bounds a risk.

    Returns
    -------
    Diagnosis
        What each part costs, and what would help most.
    """
    *_, headline = basis = certificate.basis
    source = next((claim for claim in basis if claim.id == headline.references.get("risk")), headline)
    drawn = {claim.id for claim in basis if get(claim.theorem).quantity != "risk"}
    paid = next((name for claim in reversed(basis) for name in _COMPLEXITIES if name in claim.inputs), None)

    def exact(claim: Claim) -> float | dict[str, Any]:
        return observed_risk(claim) if claim.id in drawn else {}

    def without_complexity(claim: Claim) -> dict[str, Any]:
        return {name: 0.0 for name in _COMPLEXITIES if name in claim.inputs}

    def certain(claim: Claim) -> float | dict[str, Any]:
        if claim is not headline and claim.id not in drawn and "errors" in claim.inputs:
            return observed_risk(claim)  # near delta = 1 a binomial limit lies far below it
        sure = claim.id not in drawn and "delta" in claim.inputs
        return without_complexity(claim) | ({"delta": _NO_CONFIDENCE} if sure else {})

    def bolder(claim: Claim) -> dict[str, Any]:
        spends = claim.id not in drawn and "delta" in claim.inputs
        return {"delta": min(10 * claim.inputs["delta"], _NO_CONFIDENCE)} if spends else {}

    def faultless(claim: Claim) -> float | dict[str, Any]:
        return 0.0 if claim.id in drawn else {name: 0 for name in ("errors", "risk") if name in claim.inputs}

    def unpaid(claim: Claim) -> dict[str, Any]:
        entry = certificate.ledger.entries_of(claim.id)
        return {"delta": entry[0].budget} if entry and entry[0].candidates > 1 else {}

    value = headline.value
    if "risk" in headline.inputs or "errors" in headline.inputs:
        levels = {"observed risk": observed_risk(source)}
        if drawn:
            levels["Monte Carlo"] = source.value
        if "kl" in headline.inputs or "log_ratio" in headline.inputs:
            levels["log term"] = _revalued(basis, certain)
    else:  # no single risk to start from: what the theorems give for the observed losses, without the other costs
        levels = {_TOGETHER: _revalued(basis, lambda claim: (exact if claim.id in drawn else certain)(claim))}
        if drawn:
            levels["Monte Carlo"] = _revalued(basis, certain)
    levels["confidence"] = _revalued(basis, without_complexity)
    ideal = {}
    if drawn:
        ideal["if the empirical risk were known exactly"] = _revalued(basis, exact)
        ideal["with ten times the draws, their average the same"] = _revalued(
            basis, lambda claim: _more_draws(claim.inputs) if claim.id in drawn else {}
        )
    if paid:
        levels[_COMPLEXITIES[paid]] = value
        ideal[f"without {_COMPLEXITIES[paid]}"] = levels["confidence"]
    if any(entry.candidates > 1 for entry in certificate.ledger.entries):
        ideal["without the ledger's unions"] = _revalued(basis, unpaid)
    ideal["at ten times the delta"] = _revalued(basis, bolder)
    ideal["without errors"] = _revalued(basis, faultless)
    for factor in (2, 10):
        ideal[f"with {factor} times the bound's examples, all else the same"] = _revalued(
            basis,
            lambda claim, factor=factor: {} if claim.id in drawn else _more_examples(claim.inputs, factor),  # type: ignore[misc]
        )
    below = [0.0, *levels.values()]
    steps = {name: level - before for (name, level), before in zip(levels.items(), below, strict=False)}
    return Diagnosis(value, steps, ideal, _advice(value, steps, ideal))


def _revalued(basis: Sequence[Claim], change: Callable[[Claim], float | dict[str, Any]]) -> float:
    """Value of the headline when each claim has other inputs, or is replaced by a number."""
    values: dict[str, float] = {}
    for claim in basis:
        changed = change(claim)
        if isinstance(changed, float):
            values[claim.id] = changed
        else:
            values[claim.id] = evaluate(claim.theorem, {**claim.inputs, **changed}, values)
    return values[basis[-1].id]


def _more_draws(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Ten times the draws with the same average."""
    if "values" in inputs:
        return {"values": inputs["values"] * 10}
    return {name: inputs[name] * 10 for name in ("errors", "draws") if name in inputs}


def _more_examples(inputs: Mapping[str, Any], factor: int) -> dict[str, Any]:
    """`factor` times the examples with the same empirical risk."""
    return {name: inputs[name] * factor for name in ("errors", "n") if name in inputs}


def _advice(value: float, steps: Mapping[str, float], ideal: Mapping[str, float]) -> str:
    first, second, *_ = sorted(steps, key=lambda name: steps[name], reverse=True)
    largest = f"The largest part is the {first} ({steps[first]:.4f} of {value:.4f}): to lower it, {_REMEDIES[first]}."
    if steps[second] >= 0.2 * value:
        return f"{largest} Next is the {second} ({steps[second]:.4f}): {_REMEDIES[second]}."
    tenfold = ideal["with 10 times the bound's examples, all else the same"]
    return f"{largest} Ten times the bound's examples, all else the same, would give {tenfold:.4f}."
