"""Twins of the theorems about one given predictor."""

from typing import TYPE_CHECKING

from genbounds.certificates.twins.registry import binomial, kl_inverse, twin

if TYPE_CHECKING:
    from flint import arb


@twin("pac_bayes.clopper_pearson")
def _clopper_pearson(value: "arb", errors: "arb", n: "arb", delta: "arb") -> "arb":
    return binomial(value, errors, n, delta.log())


@twin("pac_bayes.test_set_kl")
def _test_set_kl(value: "arb", risk: "arb", n: "arb", delta: "arb") -> "arb":
    return kl_inverse(value, risk, -delta.log() / n)


@twin("pac_bayes.occam_kl")
def _occam_kl(value: "arb", risk: "arb", code_length: "arb", n: "arb", delta: "arb") -> "arb":
    return kl_inverse(value, risk, (code_length - delta.log()) / n)


@twin("pac_bayes.occam_binomial")
def _occam_binomial(value: "arb", errors: "arb", code_length: "arb", n: "arb", delta: "arb") -> "arb":
    return binomial(value, errors, n, delta.log() - code_length)
