"""Tables for a terminal: the numbers that a reader needs are there, and bounds are rounded up."""

import dataclasses
import io

import pytest
from rich.console import Console

from genbounds.certificates import verify
from genbounds.report.curve import points
from genbounds.report.text import (
    certificate_text,
    curve_table,
    verification_text,
)
from genbounds.theorems import Assumption


def printed_on(width, renderable):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()


def flat(text):
    return " ".join(text.replace("│", " ").split())


def test_a_certificate_in_full(issue_certificate):
    certificate = issue_certificate(notes=["Two examples [of many] stand in two roles."])
    text = flat(printed_on(120, certificate_text(certificate)))
    assert "risk ≤ 0.0356 with probability at least 0.965 (0-1 loss)" in text
    assert 0.0356 >= certificate.value > 0.0355
    assert "draw a predictor from the posterior Q afresh for every input" in text
    for part in ("observed risk", "Monte Carlo", "KL divergence", "confidence"):
        assert part in text
    assert "The largest part is the KL divergence" in text
    assert "holdout: The prior's network on the bound's sample. 0.0151 bound certificate / this = 2.3" in text
    assert "test error: Gibbs error on test data. 0.014 estimate 95% interval" in text
    assert "n = 1,000" in text
    assert "risk 0.025 41 × prior scale" in text
    assert "gibbs-sample-risk 0.01 itself alone" in text
    assert "Where δ = 0.035 went" in text
    assert f"declared {Assumption.IID.value}" in text
    assert "Note: Two examples [of many] stand in two roles." in text
    assert "acuous" not in text


def test_a_vacuous_certificate_says_so_first(issue_certificate):
    certificate = issue_certificate(200, errors=1900, kl=300.0, held_out=150)
    text = flat(printed_on(120, certificate_text(certificate)))
    assert text.index("Vacuous: not below 1. It proves nothing.") < text.index("Where the number comes from")


def test_no_better_than_guessing_is_vacuous_too(issue_certificate):
    certificate = issue_certificate(3000, errors=26500, kl=30.0, held_out=2600)
    assert 0.9 < certificate.value < 1
    assert "Vacuous: not below 0.9, the risk of guessing." in flat(printed_on(120, certificate_text(certificate)))


def test_the_worst_state_of_an_assumption_counts(issue_certificate):
    certificate = issue_certificate()
    limit, headline = certificate.claims
    assert headline.assumptions["IID"] == "declared"
    doubtful = dataclasses.replace(limit, assumptions={**limit.assumptions, "IID": "unknown"})
    states = list(dataclasses.replace(certificate, claims=(doubtful, headline), digest="").assumptions.items())
    assert states[0] == (Assumption.IID, "unknown")
    assert [state for _, state in states[1:]] == sorted((state for _, state in states[1:]), reverse=True)


def test_an_accepted_certificate(issue_certificate):
    verification = verify(issue_certificate())
    text = printed_on(120, verification_text(verification))
    assert f"The certificate holds: {len(verification.findings)} of its parts were checked." in text
    assert len(verification.findings) > 10
    assert "REFUSED" not in text


def test_a_refused_certificate_names_what_fails(issue_certificate):
    certificate = issue_certificate()
    limit, headline = certificate.claims
    forged = dataclasses.replace(headline, value=headline.value / 2)
    text = flat(
        printed_on(120, verification_text(verify(dataclasses.replace(certificate, claims=(limit, forged), digest=""))))
    )
    assert "REFUSED risk the value" in text
    assert "is not proved" in text
    assert "Refused. What fails: risk." in text


@pytest.mark.parametrize("width", [60, 120])
def test_a_narrow_terminal_loses_no_number(issue_certificate, width):
    text = printed_on(width, certificate_text(issue_certificate()))
    assert all(len(line) <= width for line in text.splitlines())
    assert "0.0356" in text
    assert "…" not in text


def test_the_points_of_a_curve(issue_certificate):
    certificates = [issue_certificate(n) for n in (3000, 6000)]
    certificates[1] = dataclasses.replace(certificates[1], estimates=(), comparisons=(), digest="")
    lines = [line.split() for line in printed_on(120, curve_table(points(certificates), "n")).splitlines()]
    assert ["3,000", "0.0356", "0.0151", "0.0384", "0.014", "[0.00625,", "0.0217]"] in lines
    assert any(line[:1] == ["6,000"] and len(line) == 2 for line in lines)


def test_a_limit_on_an_event_says_which(issue_certificate):
    certificate = issue_certificate()
    limit, headline = certificate.claims
    pairs = dataclasses.replace(limit, loss="0-1 (both of two draws err)")
    text = flat(
        printed_on(160, certificate_text(dataclasses.replace(certificate, claims=(pairs, headline), digest="")))
    )
    assert "empirical Gibbs risk on the bound sample, gibbs, 0-1 (both of two draws err)" in text
    assert text.count("0-1 (") == 1
