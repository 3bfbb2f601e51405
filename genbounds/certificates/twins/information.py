"""Twins of the theorems by information that hold with high probability, for the one output that came out."""

from typing import TYPE_CHECKING

from genbounds.certificates.twins.registry import kl, log_xi, twin

if TYPE_CHECKING:
    from flint import arb


@twin("information.xu_raginsky_tail")
def _xu_raginsky_tail(value: "arb", mutual_information: "arb", n: "arb", delta: "arb") -> "arb":
    # A gap of `value` has at most this probability where sample and output are independent.
    independent = 2 * (-2 * n * value**2).exp()
    if value < 0 or independent >= delta:
        return value - 1
    return kl(delta, independent) - mutual_information


@twin("information.issa")
def _issa(value: "arb", leakage: "arb", n: "arb", delta: "arb") -> "arb":
    return value - ((leakage + (2 / delta).log()) / (2 * n)).sqrt()


@twin("information.esposito")
def _esposito(value: "arb", sibson: "arb", n: "arb", delta: "arb", alpha: "arb") -> "arb":
    cost = alpha / (alpha - 1) * -delta.log()
    return value - ((sibson + (0 * n + 2).log() + cost) / (2 * n)).sqrt()


def _told(a: "arb", b: "arb") -> "arb":
    """Return a ln(2a / (a + b)) + b ln(2b / (a + b)); 0 ln 0 = 0."""
    return sum((x * (2 * x / (a + b)).log() for x in (a, b) if x > 0), 0 * a)


@twin("information.almost_exchangeable")
def _almost_exchangeable(value: "arb", train_risk: "arb", supersample_kl: "arb", n: "arb", delta: "arb") -> "arb":
    if value < train_risk:
        return value - 1
    told = _told(train_risk, value).max(_told(1 - train_risk, 1 - value))
    return told - (supersample_kl + log_xi(n) - delta.log()) / n
