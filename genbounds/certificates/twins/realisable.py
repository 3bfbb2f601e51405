"""Twins of the theorems about predictors that fit the whole sample."""

from typing import TYPE_CHECKING

from genbounds.certificates.twins.registry import twin

if TYPE_CHECKING:
    from flint import arb


def _excess(value: "arb", information: "arb", n: "arb", delta: "arb") -> "arb":
    """Return what fitting n examples by chance would take beyond the information and ln(1 / delta)."""
    return -n * (1 - value).log() - information + delta.log()


@twin("pac_bayes.realisable")
def _realisable(value: "arb", kl: "arb", n: "arb", delta: "arb") -> "arb":
    return _excess(value, kl, n, delta)


@twin("pac_bayes.realisable_draw")
def _realisable_draw(value: "arb", information: "arb", n: "arb", delta: "arb") -> "arb":
    return _excess(value, information, n, delta)
