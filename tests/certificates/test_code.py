"""A predictor chosen by its code: every bit stands in the certificate, and every bit is paid for."""

import dataclasses
import math

import numpy as np
import pytest

from genbounds.certificates import Certificate, CertificateError, Ledger, LedgerEntry, Sample, state, verify
from genbounds.theorems import Assumption

DECLARED = dict.fromkeys(Assumption, "declared")
PARTS = {"header": 21, "codebook": 64, "symbols": 915}


def coded(bits=1000, parts=None, code_length=None, n=60_000, errors=1200, **changes):
    length = math.nextafter(bits * math.log(2), math.inf) if code_length is None else code_length
    inputs = {"errors": errors, "code_length": length, "n": n, "delta": 0.05}
    claim = state("pac_bayes.occam_binomial", "risk", inputs, assumptions=DECLARED)
    given = {
        "headline": "risk",
        "claims": (claim,),
        "ledger": Ledger(0.05, (LedgerEntry("risk", 0.05),)),
        "sample": Sample.of(n, {"bound": np.arange(n)}, {"bound": "0" * 64}),
        "model": {"name": "examples:mlp", "classes": 10},
        "prior": None,
        "posterior": None,
        "draws": None,
        "code": {"parts": PARTS if parts is None else parts, "bits": bits, "sha256": "1" * 64},
    }
    return Certificate(**given | changes)


def refused(certificate, where="code"):
    return [finding.sentence for finding in verify(certificate).refusals if finding.where == where]


def test_a_code_is_accepted_and_told():
    certificate = coded()
    assert verify(certificate).ok, str(verify(certificate))
    assert "its code of 1,000 bits decodes to: header 21, codebook 64, symbols 915." in str(certificate)
    assert "deterministic predictor" in str(certificate)


def test_it_survives_its_file(tmp_path):
    certificate = coded()
    certificate.save(tmp_path / "certificate.json")
    assert Certificate.load(tmp_path / "certificate.json") == certificate
    assert verify(tmp_path / "certificate.json").ok


def test_certificates_without_a_code_keep_their_layout(certificate):
    assert "code" not in certificate.to_json()


@pytest.mark.parametrize("missing", [1, 21])
def test_bits_that_no_part_has(missing):
    parts = PARTS | {"header": PARTS["header"] - missing}
    assert refused(coded(parts=parts)) == [f"its parts add up to {1000 - missing} bits, not 1,000."]


def test_a_negative_part_pays_nothing():
    (sentence,) = refused(coded(parts=PARTS | {"credit": -2, "symbols": 917}))
    assert "code.parts.credit" in sentence


def test_a_bit_that_is_not_paid():
    (sentence,) = refused(coded(code_length=math.nextafter(1000 * math.log(2), 0)))
    assert "more than the claim 'risk' pays" in sentence


def test_half_a_bit_is_none():
    (sentence,) = refused(coded(bits=999.5, code_length=700.0))
    assert "code.bits" in sentence


def test_a_code_needs_a_theorem_that_pays_for_it(certificate):
    decorated = dataclasses.replace(certificate, code={"parts": {}, "bits": 0, "sha256": "1" * 64}, digest="")
    assert refused(decorated) == ["there is a code, but the headline rests on no theorem that pays for one."]


def test_a_code_is_a_table():
    with pytest.raises(CertificateError, match="code must be a table"):
        coded(code=[1, 2])


def in_nats(nats=42.5, parts=None, code_length=42.5, **changes):
    code = {"nats": nats, "parts": parts or {"science": 30.25, "games": 12.25}, "sha256": "1" * 64}
    return coded(code=code | changes, code_length=code_length)


def test_nats_are_accepted_and_told():
    assert verify(in_nats()).ok, str(verify(in_nats()))
    assert verify(in_nats(code_length=50.0)).ok  # to pay more is no lie
    assert "its code of 42.5 nats decodes to: science 30.25, games 12.25." in str(in_nats())


@pytest.mark.parametrize(
    ("forged", "complaint"),
    [
        ({"code_length": math.nextafter(42.5, 0)}, "42.5 nats are more than the claim 'risk' pays."),
        ({"nats": 12.25, "code_length": 12.25}, "its parts add up to 42.5 nats, not 12.25."),
        ({"parts": {"science": 30.25, "games": math.nextafter(12.25, 13)}}, "its parts add up to 42.5"),
        ({"parts": {"science": 62.5, "games": -20.0}}, "code.parts.games must be a number of at least 0"),
        ({"bits": 3}, "it is in bits or in nats, not in both."),
    ],
)
def test_nats_that_are_not_paid(forged, complaint):
    (sentence,) = refused(in_nats(**forged))
    assert complaint in sentence


def test_a_theorem_that_pays_for_a_code_needs_one():
    """Without the table nothing says what the length is made of, and any would do."""
    (sentence,) = refused(coded(code=None, code_length=0.5), where="risk")
    assert sentence == "pac_bayes.occam_binomial pays for a code, and the certificate has none."
