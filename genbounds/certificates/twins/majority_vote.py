"""Twins of the theorems about the majority vote over a posterior."""

from typing import TYPE_CHECKING

from genbounds.certificates.errors import CertificateError
from genbounds.certificates.twins.registry import kl_inverse, kl_upper, log_xi, twin

if TYPE_CHECKING:
    from flint import arb


@twin("pac_bayes.first_order")
def _first_order(value: "arb", gibbs_risk: "arb") -> "arb":
    return value - 2 * gibbs_risk


@twin("pac_bayes.tandem")
def _tandem(value: "arb", tandem_risk: "arb", kl: "arb", n: "arb", delta: "arb") -> "arb":
    return kl_inverse(value / 4, tandem_risk, (2 * kl + log_xi(n) - delta.log()) / n)


@twin("pac_bayes.c_bound")
def _c_bound(value: "arb", risk: "arb", agreement: "arb", kl: "arb", n: "arb", delta: "arb") -> "arb":
    rest = log_xi(n) - (delta / 2).log()
    r, a = kl_upper(risk, (kl + rest) / n), kl_upper(agreement, (2 * kl + rest) / n)
    if 2 * r >= 1:
        return value - 1
    if 4 * r * (1 - r) < 2 * (1 - a):
        raise CertificateError("inputs.agreement", "and the risk are those of no posterior: nothing can be claimed.")
    # Above 1 - (1 - 2r)^2 / (2a - 1), multiplied by its positive denominator.
    excess = (value - 1) * (2 * a - 1) + (1 - 2 * r) ** 2
    return excess if 2 * r < 1 else excess.union(value - 1)
