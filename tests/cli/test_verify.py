"""``genbounds verify``: what is forged is refused with exit code 3 and a sentence that names the claim."""

import json
import re

import pytest

from genbounds.certificates.content import digest
from genbounds.cli.app import OK, REFUSED, USAGE_ERROR


def forge(path, change):
    """Change a certificate as a careful forger does: with a fresh digest."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    content["digest"] = digest(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def set_value(content):
    content["claims"][1]["value"] = 0.02


def set_delta(content):
    content["claims"][1]["inputs"]["delta"] *= 2


def set_n(content):
    content["claims"][1]["inputs"]["n"] *= 2


def drop_union(content):
    content["ledger"]["entries"][0]["unions"] = []


def overlap(content):
    roles = content["sample"]["roles"]
    roles["bound"]["indices"] = roles["prior"]["indices"]


def test_a_true_certificate(run, certificate_file):
    code, out, err = run("verify", certificate_file)
    assert (code, err) == (OK, "")
    assert re.search(r"The certificate holds: \d\d of its parts were checked\.", out)


@pytest.mark.parametrize(
    ("change", "where", "why"),
    [
        (set_value, "risk", "is below what pac_bayes.seeger_xi gives"),
        (set_delta, "ledger", "more than"),
        (set_n, "risk", "3,000"),
        (drop_union, "prior", "41"),
        (overlap, "sample", "the roles prior and bound overlap"),
    ],
)
def test_a_forged_certificate_is_refused_and_says_why(run, certificate_file, change, where, why):
    forge(certificate_file, change)
    code, out, err = run("verify", certificate_file)
    text = " ".join(out.split())
    assert (code, err) == (REFUSED, "")
    assert f"REFUSED {where} " in text
    assert why in text[text.index("REFUSED") :]
    verdict = text[text.index("Refused. What fails:") :]
    assert where in verdict


def test_a_single_digit_is_noticed(run, certificate_file):
    content = certificate_file.read_text(encoding="utf-8")
    certificate_file.write_text(content.replace('"seed": 7', '"seed": 8'), encoding="utf-8")
    code, out, _ = run("verify", certificate_file)
    assert code == REFUSED
    assert "Refused. What fails: digest." in out


def test_for_machines(run, certificate_file):
    code, out, err = run("verify", certificate_file, "--json")
    accepted = json.loads(out)
    assert (code, err, accepted["ok"]) == (OK, "", True)
    forge(certificate_file, set_value)
    code, out, err = run("verify", certificate_file, "--json")
    refused = json.loads(out)
    assert (code, err, refused["ok"]) == (REFUSED, "", False)
    assert {finding["where"] for finding in refused["findings"] if not finding["ok"]} == {"risk"}


def test_what_is_no_certificate(run, tmp_path):
    path = tmp_path / "other.json"
    path.write_text("{}", encoding="utf-8")
    assert run("verify", path)[0] == REFUSED
    path.write_bytes(b"\x00\xff")
    assert run("verify", path)[0] == REFUSED
    code, out, err = run("verify", tmp_path / "missing.json")
    assert (code, out) == (USAGE_ERROR, "")
    assert "missing.json is not there" in err


@pytest.mark.parametrize("option", ["--model", "--data"])
def test_measuring_again_needs_model_and_data(run, certificate_file, option):
    code, _, err = run("verify", certificate_file, option, "digits")
    assert code == USAGE_ERROR
    assert "must be given together" in err
