import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.certificates import Ledger, LedgerEntry, diagnose, state
from genbounds.certificates.diagnosis import observed_risk
from genbounds.pac_bayes import seeger_xi


@given(errors=st.integers(0, 4000), kl=st.floats(0, 5000), candidates=st.integers(1, 50))
@settings(max_examples=25)
def test_parts_add_up(build, errors, kl, candidates):
    made = build(errors=errors, kl=kl, candidates=candidates)
    diagnosis = diagnose(made)
    assert list(diagnosis.steps) == ["observed risk", "Monte Carlo", "log term", "confidence", "KL divergence"]
    assert sum(diagnosis.steps.values()) == pytest.approx(made.value, rel=1e-12)
    assert min(diagnosis.steps.values()) >= 0
    assert max(diagnosis.ideal.values()) <= made.value


def test_parts_are_what_they_say(certificate):
    limit, headline = certificate.claims
    diagnosis = diagnose(certificate)
    n, delta = 400, headline.inputs["delta"]
    assert diagnosis.steps["observed risk"] == pytest.approx(120 / 4000)
    assert diagnosis.steps["Monte Carlo"] == pytest.approx(limit.value - 120 / 4000)
    without_confidence = seeger_xi(limit.value, 0.0, n, 1 - 2**-53)
    assert diagnosis.steps["log term"] == pytest.approx(without_confidence - limit.value)
    assert diagnosis.steps["KL divergence"] == pytest.approx(headline.value - seeger_xi(limit.value, 0.0, n, delta))
    ideal = diagnosis.ideal
    assert ideal["without KL divergence"] == seeger_xi(limit.value, 0.0, n, delta)
    assert ideal["if the empirical risk were known exactly"] == seeger_xi(observed_risk(limit), 4.2, n, delta)
    assert ideal["with 10 times the bound's examples, all else the same"] == seeger_xi(limit.value, 4.2, 10 * n, delta)
    assert ideal["without errors"] == seeger_xi(0.0, 4.2, n, delta)
    assert ideal["without the ledger's unions"] == seeger_xi(limit.value, 4.2, n, certificate.ledger.entries[0].budget)
    assert ideal["with ten times the draws, their average the same"] < headline.value


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"kl": 900.0}, "The largest part is the KL divergence"),
        ({"kl": 0.0, "errors": 2000}, "The largest part is the observed risk"),
        (
            {"kl": 0.0, "errors": 0, "epochs": 1, "bound": 20, "delta": 1e-3, "held_out_errors": 1},
            "The largest part is the Monte Carlo",
        ),
        ({"kl": 0.0, "errors": 0, "epochs": 1000, "delta": 1e-9}, "The largest part is the confidence"),
    ],
)
def test_advice_follows_the_numbers(build, changes, first):
    diagnosis = diagnose(build(**changes))
    assert diagnosis.advice.startswith(first), str(diagnosis)
    assert diagnosis.advice in str(diagnosis)


def test_shared_draws(build):
    diagnosis = diagnose(build(values=[0.03, 0.04] * 20))
    assert diagnosis.steps["observed risk"] == pytest.approx(0.035)
    assert diagnosis.ideal["with ten times the draws, their average the same"] < diagnosis.value


@pytest.mark.parametrize(
    ("theorem", "inputs", "parts"),
    [
        ("occam_binomial", {"errors": 12, "code_length": 40.0}, ["observed risk", "confidence", "code length"]),
        ("occam_kl", {"risk": 0.03, "code_length": 40.0}, ["observed risk", "confidence", "code length"]),
        ("clopper_pearson", {"errors": 12}, ["observed risk", "confidence"]),
    ],
)
def test_single_predictors(certificate, declared, theorem, inputs, parts):
    claim = state(f"pac_bayes.{theorem}", "risk", inputs | {"n": 400, "delta": 0.035}, assumptions=declared)
    ledger = Ledger(0.035, (LedgerEntry("risk", 0.035),))
    made = dataclasses.replace(
        certificate, claims=(claim,), ledger=ledger, posterior=None, prior=None, draws=None, digest=""
    )
    diagnosis = diagnose(made)
    assert list(diagnosis.steps) == parts
    assert sum(diagnosis.steps.values()) == pytest.approx(made.value, rel=1e-12)
    assert diagnosis.steps["observed risk"] == pytest.approx(0.03)
    assert diagnosis.ideal["without errors"] < made.value
    assert str(made)
