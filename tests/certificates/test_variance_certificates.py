"""Certificates that rest on two limits from draws, of the risk and of the variance."""

import pytest

from genbounds.certificates import Ledger, LedgerEntry, Union, share, split, state, verify
from genbounds.pac_bayes.variance import SPLIT_PAIR


@pytest.fixture
def certify(build, declared):
    """Issue a certificate by tolstikhin_seldin, its draws counted in the losses given."""

    def issue(loss="0-1", of_variance=SPLIT_PAIR, variance=None):
        delta = 0.04
        for_bound, for_risk, for_variance = split(delta, [2, 1, 1])

        def limit(name, errors, share_of_delta, loss):
            drawn = {"errors": errors, "draws": 4000, "delta": share_of_delta}
            return state("pac_bayes.monte_carlo_binomial", name, drawn, assumptions=declared, loss=loss)

        risk, second = limit("r", 120, for_risk, loss), limit("v", 80, for_variance, of_variance)
        inputs = {"risk": risk, "variance": variance or second, "kl": 4.2, "n": 400, "delta": share(for_bound, 41)}
        bound = state("pac_bayes.tolstikhin_seldin", "risk", inputs, assumptions=declared, loss=loss)
        entries = (
            LedgerEntry("risk", for_bound, (Union("prior scale", 41),)),
            LedgerEntry("r", for_risk),
            *([] if variance else [LedgerEntry("v", for_variance)]),
        )
        claims = (risk, *([] if variance else [second]), bound)
        return build(claims=claims, ledger=Ledger(delta, entries), comparisons=())

    return issue


def refusals(certificate):
    return "\n".join(finding.sentence for finding in verify(certificate).refusals)


def test_both_limits_are_claims(certify):
    assert refusals(certify()) == ""


def test_a_variance_without_its_draws(certify):
    assert "its variance is a plain number, though it was drawn" in refusals(certify(variance=0.02))


def test_a_variance_of_another_event(certify):
    """The probability of an error is no variance, though it would be an upper limit of one."""
    assert f"its variance must be about the loss {SPLIT_PAIR!r}" in refusals(certify(of_variance="0-1"))


def test_the_event_of_another_loss(certify):
    """Split pairs say nothing about the variance of a cross-entropy."""
    assert "its variance counts an event of the 0-1 loss, but the claim is about 'bounded'" in refusals(
        certify("bounded")
    )
