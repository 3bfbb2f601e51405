"""Twins of the limits on an empirical risk from draws."""

from math import prod
from typing import TYPE_CHECKING

from genbounds.certificates.twins.registry import binomial, kl_inverse, twin

if TYPE_CHECKING:
    from flint import arb


@twin("pac_bayes.monte_carlo_binomial")
def _monte_carlo_binomial(value: "arb", errors: "arb", draws: "arb", delta: "arb") -> "arb":
    return binomial(value, errors, draws, delta.log()).min(value * draws - (errors + 1))


@twin("pac_bayes.monte_carlo_kl")
def _monte_carlo_kl(value: "arb", risk: "arb", draws: "arb", delta: "arb") -> "arb":
    return kl_inverse(value, risk, -delta.log() / draws)


@twin("pac_bayes.monte_carlo_betting")
def _monte_carlo_betting(value: "arb", values: list[tuple["arb", int]], delta: "arb") -> "arb":
    # The bets are 1, 1/2, 1/4, ..., the last one the first that is at most 1 / sqrt(m).
    m = sum(times for _, times in values)
    bets = [value * 0 + 1]
    while 4 ** (len(bets) - 1) < m:
        bets.append(bets[-1] / 2)
    odds = [((value - x) / (1 - value), times) for x, times in values]
    wealth = sum((prod((1 + bet * odd) ** times for odd, times in odds) for bet in bets), value * 0) / len(bets)
    return wealth - 1 / delta
