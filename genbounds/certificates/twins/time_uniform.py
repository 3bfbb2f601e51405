"""Twins of the bounds that hold for all n at once."""

from typing import TYPE_CHECKING

from genbounds.certificates.errors import CertificateError
from genbounds.certificates.twins.registry import kl_inverse, twin
from genbounds.certificates.twins.split_kl import steps

if TYPE_CHECKING:
    from flint import arb


def _c(kl: "arb", n: "arb", delta: "arb") -> "arb":
    """Return (KL + ln(sqrt(pi) Gamma(n + 1) / Gamma(n + 1/2)) - ln delta) / n."""
    log_pi = ((n * 0 + 1).atan() * 4).log()
    return (kl + log_pi / 2 + (n + 1).lgamma() - (n + 0.5).lgamma() - delta.log()) / n


@twin("pac_bayes.coin_betting_kl")
def _coin_betting_kl(value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb") -> "arb":
    return kl_inverse(value, risk, _c(kl, n, delta))


@twin("pac_bayes.coin_betting")
def _coin_betting(
    value: "arb", frequencies: list["arb"], levels: list["arb"], kl: "arb", n: "arb", delta: "arb"
) -> "arb":
    parts = steps(frequencies, levels)
    span = levels[-1] - levels[0]
    target = (value - levels[0]) / span
    points = [(level - levels[0]) / span for level in levels]
    # Frequencies cannot increase; what remains between two of them is the share of a level.
    tails = [value * 0 + 1]
    for _, frequency in parts:
        tails.append(tails[-1].min(frequency))
    shares = [tail - after for tail, after in zip(tails, [*tails[1:], value * 0], strict=True)]
    if target >= 1:
        return target - 1
    average = sum((share * point for share, point in zip(shares, points, strict=True)), value * 0)
    if not target > average:
        return target - average - 1

    def slope(g: "arb") -> "arb":
        earned = [share * point / (1 - g * point) for share, point in zip(shares, points, strict=True)]
        return target / (1 - g * target) - sum(earned, value * 0)

    # The wealth of a gambler against the value `target` rises with the share g that is bet, then falls.
    low, high = value * 0, value * 0 + 1
    while True:
        middle = ((low + high) / 2).mid()
        if not low < middle < high:
            break
        rising = slope(middle)
        if rising > 0:
            low = middle
        elif rising < 0:
            high = middle
        else:
            break
    wealth = -(1 - middle * target).log()
    for share, point in zip(shares, points, strict=True):
        wealth += share * (1 - middle * point).log()
    return wealth - _c(kl, n, delta)


@twin("pac_bayes.time_uniform_hoeffding")
def _time_uniform_hoeffding(
    value: "arb", risk: "arb", kl: "arb", n: "arb", delta: "arb", weight_sum: "arb", weight_squares: "arb"
) -> "arb":
    if weight_sum**2 / n > weight_squares * (1 + 1e-9):
        raise CertificateError("inputs.weight_squares", "must be at least weight_sum^2 / n.")
    return value - (risk + (kl - delta.log() + weight_squares / 8) / weight_sum)
