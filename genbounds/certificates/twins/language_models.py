"""Twins of the theorems about a language model that was chosen by its code length."""

from typing import TYPE_CHECKING

from genbounds.certificates.twins.registry import kl_inverse, kl_upper, twin

if TYPE_CHECKING:
    from flint import arb


def _budgets(code_length: "arb", documents: "arb", subsample: "arb", delta: "arb") -> tuple["arb", "arb"]:
    """Return nats a document of the sample and of the subsample; delta is shared as k : m."""
    both = documents + subsample
    of_sample = (code_length - (delta * subsample / both).log()) / documents
    return of_sample, -(delta * documents / both).log() / subsample


@twin("pac_bayes.subsampled_occam")
def _subsampled_occam(
    value: "arb", subsample_risk: "arb", code_length: "arb", documents: "arb", subsample: "arb", delta: "arb"
) -> "arb":
    whole, part = _budgets(code_length, documents, subsample, delta)
    q = kl_upper(subsample_risk, part)
    # The outer inverse grows with q: at the ends of its ball, which are exact, both have a sign.
    return kl_inverse(value, q.lower().max(q * 0), whole).union(kl_inverse(value, q.upper(), whole))


@twin("pac_bayes.subsampled_occam_hoeffding")
def _subsampled_occam_hoeffding(
    value: "arb", subsample_risk: "arb", code_length: "arb", documents: "arb", subsample: "arb", delta: "arb"
) -> "arb":
    whole, part = _budgets(code_length, documents, subsample, delta)
    return value - (subsample_risk + (part / 2).sqrt() + (whole / 2).sqrt())


@twin("pac_bayes.token_level")
def _token_level(value: "arb", risk: "arb", code_length: "arb", tokens: "arb", delta: "arb") -> "arb":
    return value - (risk + ((code_length - delta.log()) / (2 * tokens)).sqrt())


@twin("pac_bayes.token_level_kl")
def _token_level_kl(value: "arb", risk: "arb", code_length: "arb", tokens: "arb", delta: "arb") -> "arb":
    # A product of two floats is exact from 106 bits on, and so is its ceiling.
    return kl_inverse(value, (risk * tokens).ceil() / tokens, (code_length + (tokens / delta).log()) / tokens)
