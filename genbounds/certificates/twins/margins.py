"""Twins of the margin bounds."""

from typing import TYPE_CHECKING

from genbounds.certificates.errors import CertificateError
from genbounds.certificates.twins.registry import kl_inverse, log_xi, twin

if TYPE_CHECKING:
    from flint import arb


@twin("pac_bayes.neyshabur_spectral")
def _neyshabur_spectral(
    value: "arb",
    margin_risk: "arb",
    spectral_norms: list["arb"],
    frobenius_norms: list["arb"],
    margin: "arb",
    input_norm: "arb",
    width: "arb",
    n: "arb",
    delta: "arb",
) -> "arb":
    layers = len(spectral_norms)
    if len(frobenius_norms) != layers:
        raise CertificateError("inputs.frobenius_norms", f"must have one entry a layer, {layers} of them.")
    two, reach, ranks = 0 * n + 2, input_norm / margin, 0 * n
    for spectral, frobenius in zip(spectral_norms, frobenius_norms, strict=True):
        reach *= spectral
        ranks += (frobenius / spectral) ** 2
    # e^(j / 64) is transcendental and the reach algebraic: precision enough decides which whole number is next.
    step = (64 * (two.sqrt() * reach).log()).ceil().max(two - 1)
    radius = (1 + (-step / 64).exp() / 2).root(layers) - 1
    noise = 2 * width.sqrt() + (2 * two.log()).sqrt()
    divergence = ranks * (noise / radius) ** 2 / 2
    budget = divergence + layers * two.log() + (step * (step + 1)).log() + log_xi(n) - delta.log()
    return kl_inverse(value, margin_risk, budget / n)
