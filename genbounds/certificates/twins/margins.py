"""Twins of the margin bounds."""

from typing import TYPE_CHECKING

from genbounds.certificates.errors import CertificateError
from genbounds.certificates.twins.registry import kl_inverse, log_xi, twin

if TYPE_CHECKING:
    from flint import arb


def _paired(spectral: list["arb"], other: list["arb"], name: str) -> list[tuple["arb", "arb"]]:
    if len(other) != len(spectral):
        raise CertificateError(f"inputs.{name}", f"must have one entry a layer, {len(spectral)} of them.")
    return list(zip(spectral, other, strict=True))


def _step(number: "arb") -> "arb":
    """Return the place of a number on the grid e^(j / 64), j = 1, 2, ..., or that of the next one above."""
    # e^(j / 64) is transcendental and the numbers are algebraic: precision enough decides which whole number is next.
    return (64 * number.log()).ceil().max(0 * number + 1)


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
    two, reach, ranks, layers = 0 * n + 2, input_norm / margin, 0 * n, len(spectral_norms)
    for spectral, frobenius in _paired(spectral_norms, frobenius_norms, "frobenius_norms"):
        reach *= spectral
        ranks += (frobenius / spectral) ** 2
    step = _step(two.sqrt() * reach)
    radius = (1 + (-step / 64).exp() / 2).root(layers) - 1
    noise = 2 * width.sqrt() + (2 * two.log()).sqrt()
    divergence = ranks * (noise / radius) ** 2 / 2
    budget = divergence + layers * two.log() + (step * (step + 1)).log() + log_xi(n) - delta.log()
    return kl_inverse(value, margin_risk, budget / n)


@twin("pac_bayes.bartlett_spectral")
def _bartlett_spectral(
    value: "arb",
    margin_risk: "arb",
    spectral_norms: list["arb"],
    row_norm_sums: list["arb"],
    margin: "arb",
    input_norm: "arb",
    width: "arb",
    n: "arb",
    delta: "arb",
) -> "arb":
    two, reach, spread, cost = 0 * n + 2, input_norm / margin, 0 * n, -delta.log()
    for spectral, row_norms in _paired(spectral_norms, row_norm_sums, "row_norm_sums"):
        reach *= spectral
        step = _step(row_norms / spectral)
        spread += (step / 96).exp()
        cost += (step * (step + 1)).log()
    step = _step(two.sqrt() * reach)
    cost += (step * (step + 1)).log()
    slope = 15 * spread ** (two - 0.5) * ((2 * width**2).log() / n).sqrt() * (step / 64).exp() / two.sqrt()
    best, *rest = (slope * level + two ** (-level) for level in range(1, 60))
    for chain in rest:
        best = best.min(chain)
    return value - (margin_risk + best + (cost / (2 * n)).sqrt())


@twin("pac_bayes.golowich_frobenius")
def _golowich_frobenius(
    value: "arb",
    margin_risk: "arb",
    layer_norms: list["arb"],
    margin: "arb",
    input_norm: "arb",
    classes: "arb",
    n: "arb",
    delta: "arb",
) -> "arb":
    two, reach = 0 * n + 2, input_norm / margin
    for norm in layer_norms:
        reach *= norm
    step = _step(reach)
    exponent = (len(layer_norms) - 1) * two.log() + classes.log()
    average = 4 * (step / 64).exp() * (1 + (2 * exponent).sqrt()) / n.sqrt()
    return value - (margin_risk + average + (((step * (step + 1)).log() - delta.log()) / (2 * n)).sqrt())
