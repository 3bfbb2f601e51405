import dataclasses
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.certificates import Ledger, LedgerEntry, state, verify
from genbounds.certificates.statement import chance, printed, probability
from genbounds.theorems import get


@given(st.floats(1e-9, 1), st.integers(1, 6))
def test_printed_is_above_and_near(value, digits):
    shown = printed(value, digits)
    assert (
        Fraction(value)
        <= Fraction(shown)
        <= Fraction(value) * (1 + Fraction(10) ** (1 - digits)) * (1 + Fraction(1, 10**12))
    )
    assert len(shown.replace(".", "").lstrip("0")) <= digits


def test_printed_examples():
    assert [printed(x) for x in (0.0, 0.1234, 0.9999, 1.0, 0.5, 1e-7)] == [
        "0",
        "0.124",
        "1",
        "1",
        "0.5",
        "0.000000100"[:9],
    ]


def test_statement_says_what_a_paper_needs(certificate):
    text = str(certificate)
    bound = printed(certificate.value)
    assert text.startswith(
        "With probability at least 0.965, the risk (expected 0-1 loss on a new example) of the Gibbs predictor "
        f"is at most {bound}."
    )
    for part in (
        "The Gibbs predictor: draw a predictor from the posterior Q afresh for every input",
        "It does not speak of the network with the posterior's mean weights.",
        f"at most twice as often: {printed(2 * certificate.value)}.",
        "the draw of the 400 examples of the bound and of 4,000 Monte-Carlo draws",
        f"By pac_bayes.seeger_xi ({get('seeger_xi').reference}, ",
        "KL(Q||P) = 4.2 nats",
        "Assumptions declared, not checked: iid",
        "Holdout bound at the same confidence, ",
        "Two examples of the bound also occur in the prior's part.",
        "The value is the sum of observed risk ",
    ):
        assert part in text, part
    assert "VACUOUS" not in text


@pytest.mark.parametrize(
    ("delta", "confidence"), [(0.5, "0.5"), (1e-9, "1 - 1e-09"), (1e-30, "1 - 1e-30"), (1.25e-8, "0.9999999875")]
)
def test_the_confidence_is_never_rounded_to_certainty(build, delta, confidence):
    assert f"With probability at least {confidence}, the" in str(build(delta=delta))


def test_without_one_distribution_there_is_no_new_example(certificate, declared):
    inputs = {"risk": 0.02, "n": 400, "delta": 0.035}
    claim = state("pac_bayes.test_set_kl", "risk", inputs, assumptions=declared)
    ledger = Ledger(0.035, (LedgerEntry("risk", 0.035),))
    nothing = {"prior": None, "posterior": None, "draws": None}
    made = dataclasses.replace(certificate, claims=(claim,), ledger=ledger, **nothing, digest="")
    assert verify(made).ok, str(verify(made))
    assert "expected 0-1 loss on average over the distributions of the bound's examples" in str(made)
    assert "exact" not in str(made)


def test_the_holdout_bound_is_told_plainly(build):
    assert "It is lower: simply holding these examples out of training proves more." in str(build(held_out_errors=0))
    assert "The certificate's is lower." in str(build(held_out_errors=200))
    assert "Holdout" not in str(build(comparisons=()))


@pytest.mark.parametrize(
    ("kl", "classes", "word"), [(1e6, 10, "no risk is larger than 1"), (700.0, 10, ""), (700.0, 4, "guessing")]
)
def test_vacuous_is_loud(build, kl, classes, word):
    made = build(kl=kl, model={"classes": classes})
    first = str(made).splitlines()[0]
    assert first.startswith("VACUOUS") == bool(word)
    assert word in first
    assert made.summary()["vacuous"] is bool(word)


def test_what_is_said_of_the_vote(build, certificate):
    assert "errs at most twice as often: no limit here." in str(build(errors=2400))
    limit, headline = certificate.claims
    other = dataclasses.replace(certificate, claims=(limit, dataclasses.replace(headline, loss="clipped")), digest="")
    assert "majority vote" not in str(other)


@pytest.mark.parametrize(
    ("delta", "shown"),
    [
        (0.035, "0.965"),
        (0.05, "0.95"),
        (1e-6, "0.999999"),
        (0.1 + 0.2, "0.69999999999999996"),
        (1e-30, "1 - 1e-30"),  # never a probability of 1
    ],
)
def test_confidence_is_shown_without_round_off(delta, shown):
    assert probability(delta) == shown


def test_draws_of_several_claims_are_not_counted_as_one(build):
    several = build(draws={"scheme": "one per example", "counts": {"a": 4000, "b": 2000}, "epochs": 10})
    assert "and of at most 4,000 Monte-Carlo draws for each claim." in str(several)
    assert "and of 4,000 Monte-Carlo draws." in str(build())


def test_chance(build):
    assert chance(build()) == pytest.approx(0.9)
    assert chance(build(model={})) is None
    assert chance(build(model={"classes": "ten"})) is None


def test_other_statuses_are_told(certificate):
    headline = certificate.claims[1]
    unsure = dataclasses.replace(headline, assumptions={**headline.assumptions, "IID": "unknown"})
    text = str(dataclasses.replace(certificate, claims=(certificate.claims[0], unsure), digest=""))
    assert "Assumptions unknown: iid." in text


def test_summary_is_flat(certificate):
    row = certificate.summary()
    assert row["value"] == certificate.value
    assert (row["delta"], row["n"], row["kl"], row["draws"]) == (0.035, 400, 4.2, 4000)
    assert row["risk"] == pytest.approx(0.03)
    assert row["risk"] < row["risk_limit"] == certificate.claims[0].value
    assert row["ratio"] == certificate.value / row["holdout"]
    assert row["test error"] == 0.03
    assert row["parameters"] == 1199210
    assert all(value is None or isinstance(value, bool | int | float | str) for value in row.values())
