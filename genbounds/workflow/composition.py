"""Counts become claims: the headline with its Monte Carlo step, the comparison beside it, estimates, notes."""

import math
from collections.abc import Mapping

from numpy.typing import ArrayLike

from genbounds.certificates import Claim, Comparison, Estimate, Ledger, LedgerEntry, Union, share, split, state
from genbounds.models.splits import Roles, repeated_examples
from genbounds.numerics import binomial_lower, binomial_upper
from genbounds.theorems import Assumption, get
from genbounds.workflow.evaluation import SCHEMES

__all__ = ["HEADLINE", "error_estimate", "gibbs_argument", "holdout_comparison", "repetition_notes", "scale_unions"]

#: Id of the claim that may be quoted.
HEADLINE = "risk"


def gibbs_argument(
    theorem: str,
    errors: list[int],
    n: int,
    kl: float,
    *,
    scheme: str,
    delta: float,
    monte_carlo_share: float,
    candidates: int | Mapping[str, int],
    statuses: Mapping[Assumption, str],
    unions: tuple[Union, ...] = (),
) -> tuple[tuple[Claim, ...], Ledger]:
    """State a bound on the risk of a Gibbs predictor or a vote, and the limit on the empirical risk that it rests on.

    Parameters
    ----------
    theorem : str
        A theorem of the catalogue that takes (risk, kl, n, delta), or in place of the risk that of another event.
    errors : list of int
        Errors, or such events, of each Monte Carlo pass over the bound's sample.
    n : int
        Examples in the bound's sample.
    kl : float
        KL(Q || P) in nats.
    scheme : {"one per example", "shared"}
        What a pass was.
    delta : float
        To be spent on both.
    monte_carlo_share : float
        Share of the Monte Carlo step, in (0, 1).
    candidates : int, or mapping of str to int
        Prior scales to choose from after seeing the sample, for all parameters or layer by layer; the union over them,
        or over all their combinations, is paid.
    statuses : mapping of Assumption to str
        How each assumption stands.
    unions : tuple of Union
        Other choices after seeing the sample and the draws, which both claims pay.

    Returns
    -------
    claims : tuple of Claim
        The limit on the empirical risk, and the headline.
    ledger : Ledger
        What they spend.

    Raises
    ------
    ValueError
        If the theorem takes other numbers, or delta or its share is impossible.
    """
    arguments, limits = get(theorem).arguments, get(theorem).limits
    counted, *rest = arguments
    if counted not in limits or rest != ["kl", "n", "delta"]:
        raise ValueError(
            f"theorem must take risk, kl, n and delta, got {theorem!r} with {', '.join(arguments)}. "
            "Choose pac_bayes.seeger_xi or pac_bayes.maurer."
        )
    if not 0 < monte_carlo_share < 1:
        raise ValueError(f"monte_carlo_share must be strictly between 0 and 1, got {monte_carlo_share}. Try 0.2.")
    for_bound, for_draws = split(delta, [1 - monte_carlo_share, monte_carlo_share])
    loss, own = limits[counted].loss or "0-1", share(for_draws, math.prod(union.candidates for union in unions))
    if scheme == SCHEMES[0]:
        draws = {"errors": sum(errors), "draws": n * len(errors), "delta": own}
        limit = state("pac_bayes.monte_carlo_binomial", "gibbs-sample-risk", draws, assumptions=statuses, loss=loss)
    else:
        # A quotient may have been rounded down: step to the next float.
        values = [math.nextafter(count / n, 1.0) if count else 0.0 for count in errors]
        limit = state(
            "pac_bayes.monte_carlo_betting",
            "gibbs-sample-risk",
            {"values": values, "delta": own},
            assumptions=statuses,
            loss=loss,
        )
    choices = (*scale_unions(candidates), *unions)
    each = share(for_bound, math.prod(union.candidates for union in choices))
    headline = state(theorem, HEADLINE, {counted: limit, "kl": kl, "n": n, "delta": each}, assumptions=statuses)
    ledger = Ledger(delta, (LedgerEntry(HEADLINE, for_bound, choices), LedgerEntry(limit.id, for_draws, unions)))
    return (limit, headline), ledger


def scale_unions(candidates: int | Mapping[str, int]) -> tuple[Union, ...]:
    """Return what is paid for choosing prior scales after seeing the sample.

    Parameters
    ----------
    candidates : int, or mapping of str to int
        How many scales for all parameters, or how many for each layer.

    Returns
    -------
    tuple of Union
        One for each choice among several.
    """
    many = candidates if isinstance(candidates, Mapping) else {"": candidates}
    named = {f"prior scale of {layer}" if layer else "prior scale": count for layer, count in many.items()}
    return tuple(Union(over, count) for over, count in named.items() if count > 1)


def holdout_comparison(errors: int, n: int, delta: float, what: str, statuses: Mapping[Assumption, str]) -> Comparison:
    """State the exact binomial bound that holding data out would have given.

    Parameters
    ----------
    errors : int
        Errors of a network that did not see the examples.
    n : int
        Examples.
    delta : float
        Confidence: the whole of the certificate's.
    what : str
        Which network, which data.
    statuses : mapping of Assumption to str
        How each assumption stands.

    Returns
    -------
    Comparison
        Named ``holdout``.
    """
    inputs = {"errors": errors, "n": n, "delta": delta}
    claim = state("pac_bayes.clopper_pearson", "holdout-risk", inputs, assumptions=statuses)
    return Comparison("holdout", what, (claim,), claim.id, Ledger(delta, (LedgerEntry(claim.id, delta),)))


def error_estimate(id: str, what: str, errors: int, n: int, level: float = 0.95) -> Estimate:
    """Return an error rate on test data with its exact two-sided binomial interval.

    Parameters
    ----------
    id : str
        Name.
    what : str
        What was measured.
    errors, n : int
        Errors among n independent test examples.
    level : float
        Confidence of the interval.

    Returns
    -------
    Estimate
        An estimate, not a bound of the certificate.
    """
    tail = math.log((1 - level) / 2)
    interval = (float(binomial_lower(errors, n, tail)), float(binomial_upper(errors, n, tail)))
    return Estimate(id, what, errors / n, interval, level, n)


def repetition_notes(hashes: ArrayLike, roles: Roles) -> tuple[str, ...]:
    """Name the copies of examples across or within roles: the i.i.d. assumption should expect as many and no more.

    Parameters
    ----------
    hashes : array_like, shape (n,)
        One content hash for each example.
    roles : Roles
        Roles of the same examples.

    Returns
    -------
    tuple of str
        A sentence for each pair of roles that has any and touches the bound's sample.
    """
    found = repeated_examples(hashes, roles)
    return tuple(
        f"{count} examples of the role {second!r} "
        + ("repeat another of it." if first == second else f"also occur, as copies, in the role {first!r}.")
        for (first, second), count in found.items()
        if "bound" in (first, second)
    )
