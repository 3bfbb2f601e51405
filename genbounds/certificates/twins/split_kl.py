"""Twins of the bounds that split a loss into parts."""

from itertools import pairwise
from typing import TYPE_CHECKING

from genbounds.certificates.errors import CertificateError
from genbounds.certificates.twins.registry import kl_upper, log_xi, twin

if TYPE_CHECKING:
    from flint import arb

__all__ = ["steps"]


@twin("pac_bayes.split_kl")
def _split_kl(
    value: "arb", excess_above: "arb", shortfall_below: "arb", kl: "arb", n: "arb", delta: "arb", mu: "arb"
) -> "arb":
    one = value * 0 + 1
    c = (kl + log_xi(n) + (2 / delta).log()) / n
    above = kl_upper((excess_above / (1 - mu)).min(one), c)
    below = 1 - kl_upper(1 - (shortfall_below / mu).min(one), c)
    return value - (mu + (1 - mu) * above - mu * below)


def steps(frequencies: list["arb"], levels: list["arb"]) -> list[tuple["arb", "arb"]]:
    """Return the steps between levels, each with how often the loss is above it.

    Parameters
    ----------
    frequencies : list of arb
        One for each level but the lowest.
    levels : list of arb
        In increasing order.

    Returns
    -------
    list of tuple of arb
        (height, frequency) pairs.

    Raises
    ------
    CertificateError
        If the numbers do not match, or the levels do not increase.
    """
    heights = [high - low for low, high in pairwise(levels)]
    if len(heights) != len(frequencies) or not heights:
        raise CertificateError("inputs.frequencies", "must have one entry for each level but the lowest.")
    if not all(height > 0 for height in heights):
        raise CertificateError("inputs.levels", "must increase.")
    return list(zip(heights, frequencies, strict=True))


@twin("pac_bayes.split_kl_discrete")
def _split_kl_discrete(
    value: "arb", frequencies: list["arb"], levels: list["arb"], kl: "arb", n: "arb", delta: "arb"
) -> "arb":
    c = (kl + log_xi(n) + (len(frequencies) / delta).log()) / n
    parts = [height * kl_upper(frequency, c) for height, frequency in steps(frequencies, levels)]
    return value - sum(parts, levels[0])
