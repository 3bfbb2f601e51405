"""Twins of the theorems about one predictor drawn from a posterior."""

from typing import TYPE_CHECKING, Any

from genbounds.certificates.errors import CertificateError
from genbounds.certificates.twins.registry import kl_inverse, log_xi, on_grid, twin

if TYPE_CHECKING:
    from flint import arb


def _printable(side: "arb") -> "arb":
    """Return a right-hand side, which belongs to a draw of the excluded event if it is negative."""
    if side < 0:
        raise CertificateError("inputs.log_ratio", "is in the event that the theorem excludes: nothing can be claimed.")
    return side


@twin("pac_bayes.rivasplata")
def _rivasplata(value: "arb", risk: "arb", log_ratio: "arb", n: "arb", delta: "arb") -> "arb":
    return kl_inverse(value, risk, _printable((log_ratio + log_xi(n) - delta.log()) / n))


@twin("pac_bayes.viallard")
def _viallard(value: "arb", risk: "arb", renyi: "arb", n: "arb", delta: "arb") -> "arb":
    return kl_inverse(value, risk, (renyi + log_xi(n) - (delta * delta).log()) / n)


@twin("pac_bayes.blanchard_fleuret")
def _blanchard_fleuret(value: "arb", risk: "arb", log_ratio: "arb", n: "arb", delta: "arb", b: Any) -> "arb":
    ratio = log_ratio.max(log_ratio * 0)
    return on_grid(
        b, lambda b, share: kl_inverse(value, risk, ((b + 1) / b * ratio + ((b + 1) / (delta * share)).log()) / n)
    )


@twin("pac_bayes.catoni_single_draw")
def _catoni_single_draw(value: "arb", risk: "arb", log_ratio: "arb", n: "arb", delta: "arb", C: Any) -> "arb":
    def excess(c: "arb", share: "arb") -> "arb":
        exponent = _printable(c * risk + (log_ratio - (delta * share).log()) / n)
        return value - (-exponent).expm1() / (-c).expm1()

    return on_grid(C, excess)
