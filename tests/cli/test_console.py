"""Streams: JSON is one document, what to type is what works."""

import json
import sys

import pytest

from genbounds.cli.console import program, show_json


def test_json_is_one_document_with_letters_as_they_are(capsys):
    show_json({"δ": 0.035, "n": [1, 2]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"δ": 0.035, "n": [1, 2]}
    assert "δ" in out


def test_json_has_no_infinity():
    with pytest.raises(ValueError, match="not JSON compliant"):
        show_json({"high": float("inf")})


def test_what_to_type(monkeypatch, tmp_path):
    script = tmp_path / "bin" / "genbounds"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script), "demo"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program() == str(script)
    monkeypatch.setenv("PATH", str(script.parent))
    assert program() == "genbounds"
    monkeypatch.setattr(sys, "argv", ["__main__.py", "demo"])
    assert program() == "genbounds"
