import dataclasses

import numpy as np
import pytest

from genbounds.certificates import CertificateError, Claim, rests_on, state
from genbounds.certificates.claim import evaluate
from genbounds.pac_bayes import catoni, maurer, monte_carlo_betting, monte_carlo_binomial
from genbounds.theorems import Assumption, Grid, get
from genbounds.theorems.theorem import REGISTERED


@pytest.fixture
def limit(declared):
    return state(
        "pac_bayes.monte_carlo_binomial", "limit", {"errors": 5, "draws": 300, "delta": 0.01}, assumptions=declared
    )


def test_value_is_the_theorems(declared, limit):
    assert limit.value == float(monte_carlo_binomial(5, 300, 0.01))
    claim = state("maurer", "risk", {"risk": limit, "kl": 3.0, "n": 100, "delta": 0.02}, assumptions=declared)
    assert claim.value == float(maurer(limit.value, 3.0, 100, 0.02))
    assert claim.theorem == "pac_bayes.maurer"
    assert claim.inputs["risk"] == {"claim": "limit"}
    assert (claim.predictor, claim.quantity) == ("gibbs", "risk")
    assert set(claim.assumptions) == {assumption.name for assumption in get("maurer").assumes}


def test_grids_and_lists_of_values(declared):
    grid = Grid([1.0, 2.0], weights=[3, 1])
    claim = state("catoni", "risk", {"risk": 0.1, "kl": 3, "n": 100, "delta": 0.02, "C": grid}, assumptions=declared)
    assert claim.value == float(catoni(0.1, 3, 100, 0.02, grid))
    assert claim.inputs["C"] == {"grid": [1.0, 2.0], "weights": [3.0, 1.0]}
    values = np.array([0.1, 0.12, 0.11])
    shared = state("monte_carlo_betting", "limit", {"values": values, "delta": 0.1}, assumptions=declared)
    assert shared.value == float(monte_carlo_betting(values, 0.1))
    for made in (claim, shared):
        assert Claim.from_json(made.to_json()) == made
        assert evaluate(made.theorem, made.inputs, {}) == made.value


@pytest.mark.parametrize(
    ("theorem", "inputs", "sentence"),
    [
        ("pac_bayes.maurrer", {}, "theorem is not in the catalogue: .*Did you mean pac_bayes.maurer"),
        ("maurer", {"risk": 0.1}, "inputs must be risk, kl, n, delta for pac_bayes.maurer, got risk"),
        (
            "maurer",
            {"risk": 0.1, "kl": -1.0, "n": 10, "delta": 0.1},
            "inputs are refused by pac_bayes.maurer: kl must be",
        ),
        ("maurer", {"risk": [0.1], "kl": 1.0, "n": 10, "delta": 0.1}, "inputs.risk must be a finite number"),
        (
            "maurer",
            {"risk": 0.1, "kl": float("inf"), "n": 10, "delta": 0.1},
            "inputs.kl must be a finite number, got inf",
        ),
        (
            "catoni",
            {"risk": 0.1, "kl": 1.0, "n": 10, "delta": 0.1, "C": [1.0, 2.0]},
            "inputs.C must be a finite number",
        ),
        ("monte_carlo_betting", {"values": [], "delta": 0.1}, "inputs.values must be a list with at least one number"),
        ("monte_carlo_betting", {"values": [0.1, None], "delta": 0.1}, r"inputs.values\[1\] must be a finite number"),
    ],
)
def test_what_cannot_be_stated(declared, theorem, inputs, sentence):
    with pytest.raises(CertificateError, match=sentence):
        state(theorem, "x", inputs, assumptions=declared)


def test_what_holds_on_average_is_no_claim_about_one_run(declared, monkeypatch):
    average = dataclasses.replace(get("maurer"), kind="expectation", averages_over="samples")
    monkeypatch.setitem(REGISTERED, "pac_bayes.maurer", average)
    inputs = {"risk": 0.1, "kl": 1.0, "n": 10, "delta": 0.1}
    for refused in (
        lambda: state("maurer", "x", inputs, assumptions=declared),
        lambda: evaluate("pac_bayes.maurer", inputs, {}),
    ):
        with pytest.raises(CertificateError, match="maurer holds on average over samples: it says nothing about one"):
            refused()


def test_only_a_risk_may_be_a_claim(declared, limit):
    with pytest.raises(CertificateError, match=r"inputs.kl must be a finite number, got"):
        state("maurer", "x", {"risk": 0.1, "kl": limit, "n": 10, "delta": 0.1}, assumptions=declared)


def test_every_assumption_is_spoken_of(declared):
    silent = {assumption: status for assumption, status in declared.items() if assumption is not Assumption.IID}
    with pytest.raises(CertificateError, match=r"claim 'x'.assumptions must say how IID stands"):
        state("maurer", "x", {"risk": 0.1, "kl": 1.0, "n": 10, "delta": 0.1}, assumptions=silent)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"id": ""}, "id must be a text"),
        ({"value": float("nan")}, "value must be a finite number"),
        ({"value": "0.1"}, "value must be a finite number, got '0.1'"),
        ({"predictor": "mean"}, "predictor must be one of 'gibbs'"),
        ({"assumptions": {"LUCK": "checked"}}, "assumptions.LUCK is not an assumption. There are IID"),
        ({"assumptions": {"IID": "surely"}}, "assumptions.IID must be one of 'checked'"),
        ({"inputs": {"errors": 5, "draws": 300}}, "inputs must be errors, draws, delta"),
        ({"inputs": {"errors": 5, "draws": 300, "delta": {"claim": "x"}}}, "inputs.delta must be a finite number"),
        ({"theorem": "pac_bayes.magic"}, "theorem is not in the catalogue"),
    ],
)
def test_fields_are_checked(limit, change, sentence):
    with pytest.raises(CertificateError, match=sentence):
        dataclasses.replace(limit, **change)


def chain(limit, *links):
    """Make claims a, b, ... each with its risk from the claim named beside it."""
    base = {"kl": 1.0, "n": 10, "delta": 0.1}
    made = dataclasses.replace(limit, theorem="pac_bayes.maurer", inputs={"risk": 0.1, **base})
    return [
        dataclasses.replace(made, id=id, inputs={"risk": {"claim": target} if target else 0.1, **base})
        for id, target in links
    ]


def test_order_is_that_of_the_argument(limit):
    claims = chain(limit, ("d", "c"), ("b", "a"), ("c", "a"), ("a", None))
    assert [claim.id for claim in rests_on(claims, "d")] == ["a", "c", "d"]
    assert [claim.id for claim in rests_on(claims, "a")] == ["a"]


def test_a_long_chain_does_not_exhaust_the_stack(limit):
    claims = chain(limit, *((str(i), str(i - 1) if i else None) for i in range(3000)))
    assert len(rests_on(claims, "2999")) == 3000


@pytest.mark.parametrize(
    ("links", "sentence"),
    [
        (
            (("a", None), ("b", "c")),
            r"claims\[1\].inputs.risk of the claim 'b' refers to the claim 'c', which does not exist",
        ),
        ((("a", "b"), ("b", "a")), "claims rest on themselves: [ab] -> [ab] -> [ab]"),
        ((("a", "a"),), "claims rest on themselves: a -> a"),
        ((("a", None), ("a", None)), r"claims\[1\].id must be new, but 'a' is taken"),
        ((("b", None),), "headline refers to the claim 'a', which does not exist"),
    ],
)
def test_claims_that_do_not_hang_together(limit, links, sentence):
    with pytest.raises(CertificateError, match=f"^{sentence}"):
        rests_on(chain(limit, *links), "a")
