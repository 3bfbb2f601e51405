"""Several counts of events under one certificate: delta shared among bounds and limits, counts become claims."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from genbounds.certificates import Claim, Ledger, LedgerEntry, split, state
from genbounds.theorems import Assumption

__all__ = ["Budgets", "check_settings", "event_limit", "plain_ledger"]


@dataclass(frozen=True)
class Budgets:
    """What each bound and each Monte Carlo limit may fail with.

    Parameters
    ----------
    delta : float
        The whole.
    bounds, limits : tuple of float
        The parts, in order; they add up to at most the whole.
    """

    delta: float
    bounds: tuple[float, ...]
    limits: tuple[float, ...]

    @classmethod
    def equal(cls, delta: float, monte_carlo_share: float, bounds: int, limits: int) -> "Budgets":
        """Share delta: among bounds equally, and among limits equally.

        Parameters
        ----------
        delta : float
            The whole, in (0, 1).
        monte_carlo_share : float
            Share of all limits together, in (0, 1).
        bounds, limits : int
            How many there are.

        Returns
        -------
        Budgets
            The parts.
        """
        weights = [*[(1 - monte_carlo_share) / bounds] * bounds, *[monte_carlo_share / limits] * limits]
        parts = split(delta, weights)
        return cls(delta, parts[:bounds], parts[bounds:])


def check_settings(*, prior_scale: object, passes: int = 1, monte_carlo_share: float = 0.5) -> None:
    """Refuse what no certificate can be made of, before hours of training.

    Parameters
    ----------
    prior_scale : float or None
        Standard deviation of the prior, if it is given.
    passes : int
        Passes of the Monte Carlo step, if there is one.
    monte_carlo_share : float
        Its share of delta.

    Raises
    ------
    ValueError
        If one of them is out of its range.
    """
    if not isinstance(passes, int) or passes < 1:
        raise ValueError(
            f"passes must be a whole number of at least 1, got {passes!r}. The Monte Carlo step needs draws."
        )
    if not 0 < monte_carlo_share < 1:
        raise ValueError(f"monte_carlo_share must be strictly between 0 and 1, got {monte_carlo_share}. Try 0.2.")
    if prior_scale is not None and not (isinstance(prior_scale, float | int) and 0 < prior_scale < math.inf):
        raise ValueError(f"prior_scale must be positive and finite, got {prior_scale!r}. Try 0.05.")


def event_limit(id: str, events: int, draws: int, delta: float, loss: str, statuses: Mapping[Assumption, str]) -> Claim:
    """State the exact binomial limit on how often an event occurs on the bound's sample.

    Parameters
    ----------
    id : str
        Name of the claim.
    events, draws : int
        How often it occurred, among how many draws.
    delta : float
        Probability with which the limit may fail.
    loss : str
        ``0-1`` for an error, else ``0-1 (the event in words)``.
    statuses : mapping of Assumption to str
        How each assumption stands.

    Returns
    -------
    Claim
        By ``pac_bayes.monte_carlo_binomial``.
    """
    inputs = {"errors": events, "draws": draws, "delta": delta}
    return state("pac_bayes.monte_carlo_binomial", id, inputs, assumptions=statuses, loss=loss)


def plain_ledger(delta: float, claims: tuple[Claim, ...]) -> Ledger:
    """Return the ledger of claims that spend what they were given, without a union.

    Parameters
    ----------
    delta : float
        The whole.
    claims : tuple of Claim
        All claims.

    Returns
    -------
    Ledger
        One entry a claim.
    """
    return Ledger(delta, tuple(LedgerEntry(claim.id, claim.inputs["delta"]) for claim in claims))
