"""Twins of the PAC-Bayes theorems about several chunks of data."""

from typing import TYPE_CHECKING

from genbounds.certificates.errors import CertificateError
from genbounds.certificates.twins.registry import kl_inverse, kl_upper, log_xi, twin

if TYPE_CHECKING:
    from flint import arb


def _excess(reference: "arb", at_least_0: "arb", at_least_1: "arb") -> "arb":
    """Return max(0, reference - (1 - U_0)) + U_1."""
    shared = reference - (1 - at_least_0)
    return shared.max(shared * 0) + at_least_1


@twin("pac_bayes.recursive_step")
def _recursive_step(
    value: "arb",
    previous: "arb",
    gamma: "arb",
    frequency_1: "arb",
    frequency_2: "arb",
    frequency_3: "arb",
    kl: "arb",
    n: "arb",
    delta: "arb",
) -> "arb":
    c = (kl + log_xi(n) + (3 / delta).log()) / n
    u_1, u_2, u_3 = (kl_upper(frequency, c) for frequency in (frequency_1, frequency_2, frequency_3))
    return value - ((1 - gamma) * u_2 + gamma * _excess(previous, u_1, u_3))


@twin("pac_bayes.informed_excess")
def _informed_excess(
    value: "arb", reference: "arb", frequency_0: "arb", frequency_1: "arb", kl: "arb", n: "arb", delta: "arb"
) -> "arb":
    c = (kl + log_xi(n) + (2 / delta).log()) / n
    return value - _excess(reference, kl_upper(frequency_0, c), kl_upper(frequency_1, c))


@twin("pac_bayes.forward_backward")
def _forward_backward(
    value: "arb", risk: "arb", kl_forward: "arb", kl_backward: "arb", n: "arb", delta: "arb"
) -> "arb":
    if n < 2:
        raise CertificateError("inputs.n", "must be at least 2, for the sample has two halves.")
    first = (n / 2).floor()
    budget = kl_forward + kl_backward + log_xi(first) + log_xi(n - first) - 2 * delta.log()
    return kl_inverse(value, risk, budget / n)
