"""Certificates of deterministic networks by their margins: no prior, no draws, and vacuous said aloud."""

import dataclasses

import pytest

from genbounds.certificates import Ledger, LedgerEntry, state, verify

NONE = {"prior": None, "posterior": None, "draws": None, "comparisons": (), "digest": ""}


@pytest.fixture
def by_margins(certificate, declared):
    def make(norms, margin):
        n = certificate.sample.roles["bound"].count
        inputs = {"spectral_norms": norms, "frobenius_norms": norms, "margin": margin, "input_norm": 1.0, "width": 2}
        inputs |= {"margin_risk": 0.01, "n": n, "delta": 0.05}
        claim = state("pac_bayes.neyshabur_spectral", "risk", inputs, assumptions=declared)
        ledger = Ledger(0.05, (LedgerEntry("risk", 0.05),))
        return dataclasses.replace(certificate, claims=(claim,), ledger=ledger, **NONE)

    return make


def test_a_shallow_network_with_large_margins(by_margins):
    certificate = by_margins([1.0], 1.2)
    assert certificate.value < 0.25
    assert verify(certificate).ok, str(verify(certificate))
    assert "vacuous" not in str(certificate).lower()


def test_a_deep_one_is_vacuous_and_says_so(by_margins):
    certificate = by_margins([4.0, 5.0, 6.0], 0.5)
    assert certificate.value == 1.0
    assert verify(certificate).ok
    assert "vacuous" in str(certificate).lower()


def test_margins_that_the_value_does_not_come_from(by_margins):
    honest, flattering = by_margins([1.0], 1.0), by_margins([1.0], 1.3)
    assert flattering.value < honest.value
    claim = dataclasses.replace(honest.claims[0], value=flattering.value)
    forged = dataclasses.replace(honest, claims=(claim,), digest="")
    (refusal,) = verify(forged).refusals
    assert refusal.where == "risk"
