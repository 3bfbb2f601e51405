"""Twins of the PAC-Bayes theorems about the Gibbs predictor."""

from typing import TYPE_CHECKING, Any

from genbounds.certificates.twins.registry import kl_inverse, log_xi, on_grid, twin

if TYPE_CHECKING:
    from flint import arb


def _c(kl: "arb", n: "arb", delta: "arb") -> "arb":
    """Return the budget that five bounds share, (KL + ln(2 sqrt(n) / delta)) / n."""
    return (kl + (2 * n.sqrt() / delta).log()) / n


@twin("pac_bayes.maurer")
def _maurer(value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb") -> "arb":
    return kl_inverse(value, risk, _c(kl, n, delta))


@twin("pac_bayes.seeger_xi")
def _seeger_xi(value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb") -> "arb":
    return kl_inverse(value, risk, (kl + log_xi(n) - delta.log()) / n)


@twin("pac_bayes.mcallester")
def _mcallester(value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb") -> "arb":
    return value - (risk + (_c(kl, n, delta) / 2).sqrt())


@twin("pac_bayes.quadratic")
def _quadratic(value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb") -> "arb":
    half = _c(kl, n, delta) / 2
    return value - ((risk + half).sqrt() + half.sqrt()) ** 2


@twin("pac_bayes.tolstikhin")
def _tolstikhin(value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb") -> "arb":
    c = _c(kl, n, delta)
    return value - (risk + (2 * risk * c).sqrt() + 2 * c)


@twin("pac_bayes.thiemann")
def _thiemann(value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb", lam: "arb") -> "arb":
    return value - (risk + _c(kl, n, delta) / lam) / (1 - lam / 2)


@twin("pac_bayes.catoni")
def _catoni(value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb", C: Any) -> "arb":
    def excess(c: "arb", share: "arb") -> "arb":
        exponent = c * risk + (kl - (delta * share).log()) / n
        return value - (-exponent).expm1() / (-c).expm1()

    return on_grid(C, excess)
