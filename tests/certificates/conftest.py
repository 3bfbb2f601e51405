"""Builds certificates as the workflow does: a learnt prior, draws one per example, a holdout bound beside it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from genbounds.certificates import (
    Certificate,
    Claim,
    Comparison,
    Estimate,
    Ledger,
    LedgerEntry,
    Sample,
    Union,
    share,
    split,
    state,
)
from genbounds.theorems import Assumption, get

DECLARED = dict.fromkeys(Assumption, "declared")


def build(
    *,
    prior: int = 300,
    bound: int = 400,
    test: int = 100,
    errors: int = 120,
    epochs: int = 10,
    kl: float = 4.2,
    delta: float = 0.035,
    candidates: int = 41,
    theorem: str = "pac_bayes.seeger_xi",
    extra: dict[str, Any] | None = None,
    held_out_errors: int = 8,
    values: list[float] | None = None,
    **changes: Any,
) -> Certificate:
    for_bound, for_draws = split(delta, [5, 2])
    if values is None:
        count = epochs * bound
        drawn = {"errors": errors, "draws": count, "delta": for_draws}
        limit = state("pac_bayes.monte_carlo_binomial", "gibbs-sample-risk", drawn, assumptions=DECLARED)
        draws = {"scheme": "one per example", "epochs": epochs, "seed": 7, "count": count, "block": 256}
    else:
        drawn = {"values": values, "delta": for_draws}
        limit = state("pac_bayes.monte_carlo_betting", "gibbs-sample-risk", drawn, assumptions=DECLARED)
        draws = {"scheme": "shared", "seed": 7, "count": len(values)}
    inputs: dict[str, Any] = {"risk": limit, "n": bound, "delta": share(for_bound, candidates)}
    if "kl" in get(theorem).arguments:
        inputs["kl"] = kl
    headline = state(theorem, "risk", inputs | (extra or {}), assumptions=DECLARED)
    unions = (Union("prior scale", candidates),) if candidates > 1 else ()
    held_out = state(
        "pac_bayes.clopper_pearson",
        "holdout-risk",
        {"errors": held_out_errors, "n": bound, "delta": delta},
        assumptions=DECLARED,
    )
    order = np.random.default_rng(5).permutation(prior + bound + test)
    indices = {"prior": order[:prior], "bound": order[prior : prior + bound], "test": order[prior + bound :]}
    parts: dict[str, Any] = {
        "headline": "risk",
        "claims": (limit, headline),
        "ledger": Ledger(delta, (LedgerEntry("risk", for_bound, unions), LedgerEntry(limit.id, for_draws))),
        "sample": Sample.of(
            prior + bound + test, indices, {role: f"{place}" * 64 for place, role in enumerate(indices)}
        ),
        "model": {"factory": "examples:mlp", "checkpoint_sha256": "a" * 64, "parameters": 1199210, "classes": 10},
        "prior": {
            "kind": "learnt",
            "sha256": "b" * 64,
            "saw": ["prior"],
            "scale": {"value": 0.03, "chosen": "grid" if candidates > 1 else "fixed", "candidates": candidates},
        },
        "posterior": {"family": "diagonal gaussian", "sha256": "c" * 64, "saw": ["prior", "bound"], "kl": kl},
        "draws": draws,
        "comparisons": (
            Comparison(
                "holdout",
                "The network learnt on the prior's examples, tested on the bound's.",
                (held_out,),
                "holdout-risk",
                Ledger(delta, (LedgerEntry("holdout-risk", delta),)),
            ),
        ),
        "estimates": (Estimate("test error", "Gibbs error on test data.", 0.03, (0.01, 0.08), 0.95, test),),
        "notes": ("Two examples of the bound also occur in the prior's part.",),
        "versions": {"genbounds": "0.1.0"},
    }
    return Certificate(**parts | changes)


@pytest.fixture(name="build", scope="session")
def build_fixture() -> Callable[..., Certificate]:
    return build


@pytest.fixture(scope="session")
def declared() -> dict[Assumption, str]:
    return DECLARED


@pytest.fixture(scope="session")
def certificate() -> Certificate:
    return build()


@pytest.fixture(scope="session")
def restated() -> Callable[..., Claim]:
    """State a claim of a certificate anew with other inputs, as a forger with the program at hand would."""

    def restate(claim: Claim, theorem: str | None = None, **inputs: Any) -> Claim:
        return state(theorem or claim.theorem, claim.id, {**claim.inputs, **inputs}, assumptions=DECLARED)

    return restate
