"""Twins of the theorems about the gap of the one output that an algorithm gave, by information."""

from typing import TYPE_CHECKING

from genbounds.certificates.twins.registry import kl, twin

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
