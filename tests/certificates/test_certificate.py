import copy
import dataclasses
import json
import os
import pickle
import subprocess
import sys

import pytest

from genbounds.certificates import SCHEMA, Certificate, CertificateError, Comparison, Estimate
from genbounds.certificates.content import digest


def test_round_trip_to_the_last_bit(certificate, tmp_path):
    certificate.save(tmp_path / "certificate.json")
    again = Certificate.load(tmp_path / "certificate.json")
    assert again == certificate
    assert again.digest == certificate.digest == digest(certificate.to_json())
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "certificate.json").read_bytes()
    assert pickle.loads(pickle.dumps(certificate)) == certificate


def test_layout_of_the_file(certificate):
    content = certificate.to_json()
    assert content["schema"] == SCHEMA
    assert list(content)[:3] == ["schema", "headline", "claims"]
    assert list(content)[-1] == "digest"
    content["model"]["factory"] = "another"
    assert certificate.model["factory"] == "examples:mlp"


def test_replacing_needs_a_new_digest(certificate):
    kept = dataclasses.replace(certificate, notes=())
    assert kept.digest == certificate.digest != digest(kept.to_json())
    fresh = dataclasses.replace(certificate, notes=(), digest="")
    assert fresh.digest == digest(fresh.to_json())


def test_properties(certificate):
    assert certificate.value == certificate.claims[1].value
    assert [claim.id for claim in certificate.basis] == ["gibbs-sample-risk", "risk"]
    assert certificate.holdout.value == certificate.comparisons[0].claims[0].value
    assert set(certificate.assumptions.values()) == {"declared"}
    worse = [
        dataclasses.replace(claim, assumptions={**claim.assumptions, "LOSS_IN_UNIT_INTERVAL": status})
        for claim, status in zip(certificate.claims, ("unknown", "checked"), strict=True)
    ]
    stands = dataclasses.replace(certificate, claims=worse, digest="").assumptions
    assert {assumption.name: status for assumption, status in stands.items()}["LOSS_IN_UNIT_INTERVAL"] == "unknown"


def edits(content, path, value):
    *way, last = path
    for key in way:
        content = content[key]
    if value is ...:
        del content[last]
    else:
        content[last] = value


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (
            ("schema",),
            "genbounds.certificate/2",
            "schema must be 'genbounds.certificate/1', got .* with the version of genbounds",
        ),
        (("schema",), ..., "schema must be"),
        (("digest",), ..., "digest must be a text"),
        (("ledger",), ..., "ledger is missing"),
        (("extra",), 1, "extra is not a known key"),
        (("headline",), "nobody", "headline refers to the claim 'nobody'"),
        (
            ("headline",),
            "gibbs-sample-risk",
            "headline is the claim .* bounds the empirical Gibbs risk .* and not the risk",
        ),
        (("claims",), {}, "claims must be a list"),
        (("claims", 0), 3, r"claims\[0\] must be a table"),
        (("claims", 1, "value"), None, r"claims\[1\].value must be a finite number, got None"),
        (("claims", 1, "value"), "0.1", r"claims\[1\].value must be a finite number, got '0.1'"),
        (("claims", 1, "inputs", "n"), [400], r"claims\[1\].inputs.n must be a number of at least 1, got \[400\]"),
        (("claims", 0, "inputs", "draws"), 0, r"claims\[0\].inputs.draws must be a number of at least 1, got 0"),
        (("claims", 1, "theorem"), "pac_bayes.magic", r"claims\[1\].theorem is not in the catalogue"),
        (("claims", 1, "predictor"), ..., r"claims\[1\].predictor is missing"),
        (("claims", 1, "inputs", "risk", "claim"), "risk", "claims rest on themselves"),
        (
            ("claims", 1, "inputs", "risk", "claim"),
            "x",
            r"claims\[1\].inputs.risk of the claim 'risk' refers to the claim 'x'",
        ),
        (
            ("ledger", "entries", 0, "unions", 0, "candidates"),
            2.5,
            r"ledger.entries\[0\].unions\[0\].candidates must be a whole",
        ),
        (("sample", "roles", "bound", "indices"), "AAAA", "sample.roles.bound.indices must be a bitmap"),
        (("sample", "roles", "train"), {}, "sample.roles.train.count is missing"),
        (("sample", "examples"), 10**6, "sample.roles.prior.indices must hold one bit for each of the 1,000,000"),
        (("prior",), "zero", "prior must be a table"),
        (("model",), None, "model must be a table"),
        (("comparisons", 0, "claims", 0, "value"), True, r"comparisons\[0\].claims\[0\].value must be a finite number"),
        (("estimates", 0, "interval"), [0.2, 0.1], r"estimates\[0\].interval must be two ends with the value"),
        (("estimates", 0, "n"), 0, r"estimates\[0\].n must be a whole number of at least 1"),
        (("notes", 0), 7, r"notes\[0\] must be a text"),
        (("versions", "torch"), 2, r"versions.torch must be a text"),
    ],
)
def test_errors_name_the_place(certificate, path, value, sentence):
    content = copy.deepcopy(certificate.to_json())
    edits(content, path, value)
    with pytest.raises(CertificateError, match=f"^{sentence}"):
        Certificate.from_json(content)


def test_a_risk_is_no_empirical_risk(certificate):
    content = certificate.to_json()
    other = json.loads(json.dumps(content["claims"][1]))
    other["id"] = "other"
    other["inputs"]["risk"] = {"claim": "risk"}
    content["claims"].append(other)
    with pytest.raises(
        CertificateError,
        match=r"claims\[2\].inputs.risk .* is the empirical Gibbs risk .* the claim 'risk' bounds the risk",
    ):
        Certificate.from_json(content)


def test_constructor_wants_records(certificate):
    for change, sentence in (
        ({"ledger": {}}, "ledger must be a Ledger"),
        ({"sample": {}}, "sample must be a Sample"),
        ({"claims": [{}]}, r"claims\[0\] must be a Claim"),
        ({"comparisons": certificate.comparisons * 2}, "must have ids of their own"),
        ({"digest": 3}, "digest must be a text"),
    ):
        with pytest.raises(CertificateError, match=sentence):
            dataclasses.replace(certificate, **change)


def test_parts_survive_alone(certificate):
    (comparison,), (estimate,) = certificate.comparisons, certificate.estimates
    assert Comparison.from_json(comparison.to_json()) == comparison
    assert Estimate.from_json(estimate.to_json()) == estimate
    with pytest.raises(CertificateError, match="level must be strictly between"):
        dataclasses.replace(estimate, level=95)


def test_verifying_loads_nothing_heavy():
    code = (
        "import sys, genbounds.certificates\n"
        "heavy = ('torch', 'scipy.stats', 'matplotlib', 'sklearn', 'sympy', 'flint')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert loaded.stdout.strip() == "[]"
