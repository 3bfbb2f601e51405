"""``genbounds demo``, on few digits."""

import functools
import json
import re

import pytest

from genbounds.certificates import verify
from genbounds.cli.app import OK

pytest.importorskip("sklearn", reason="the demo certifies scikit-learn's digits")


@pytest.fixture
def few_digits(monkeypatch):
    from genbounds.workflow import demo

    monkeypatch.setattr(demo, "demonstrate", functools.partial(demo.demonstrate, examples=300))


def test_what_the_demo_leaves(run, few_digits, tmp_path):
    out = tmp_path / "demo"
    code, text, err = run("demo", "--out", out)
    assert (code, err) == (OK, "")
    assert "risk ≤ 0." in text
    assert "The certificate holds" in text
    table = text[text.index("test error  ") :].splitlines()
    assert [line.split()[0] for line in table if re.match(r" +\d+ ", line)] == ["10", "20", "40", "80", "150"]
    for name in ("posterior.safetensors", "prior.safetensors", "curve.png"):
        assert (out / name).stat().st_size > 1000
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "Verified:" in page
    for certificate in (out / "certificate.json", *sorted(out.glob("part-*/certificate.json"))):
        assert verify(certificate).ok

    before = (out / "certificate.json").read_bytes()
    code, text, err = run("demo", "--out", out, "--json")
    assert (code, err) == (OK, "")
    assert json.loads(text) == json.loads(before)
    assert (out / "certificate.json").read_bytes() == before


def test_the_demo_can_be_measured_again(run, few_digits, tmp_path):
    from genbounds.workflow.demo import NETWORK

    run("demo", "--out", tmp_path)
    code, text, _ = run("verify", tmp_path / "certificate.json", "--model", NETWORK, "--data", "digits")
    assert code == OK
    assert "error count" in text
