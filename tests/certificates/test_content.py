import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.certificates import CertificateError
from genbounds.certificates import content as module
from genbounds.certificates.content import digest, read, write

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TABLES = st.dictionaries(st.text(), FINITE | st.integers() | st.text() | st.none() | st.lists(FINITE), max_size=5)


@given(TABLES)
def test_digest_ignores_order_and_survives_a_round_trip(content):
    reordered = dict(sorted(content.items(), reverse=True))
    assert digest(content) == digest(reordered) == digest(json.loads(json.dumps(content)))


@given(TABLES, FINITE, FINITE)
def test_digest_sees_the_last_bit(content, a, b):
    same = digest(content | {"x": a}) == digest(content | {"x": b})
    assert same == (repr(a) == repr(b))


def test_digest_refuses_infinity():
    with pytest.raises(ValueError, match="Out of range"):
        digest({"x": float("inf")})


def test_write_then_read(tmp_path):
    content = {"b": [0.1, 1e-300, 3], "a": {"ξ": None}}
    write(tmp_path / "c.json", content)
    assert read(tmp_path / "c.json") == content
    assert [file.name for file in tmp_path.iterdir()] == ["c.json"]
    assert (tmp_path / "c.json").read_bytes().isascii()


def test_a_crash_leaves_the_old_file(tmp_path, monkeypatch):
    write(tmp_path / "c.json", {"a": 1})

    def crash(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "c.json", {"a": 2})
    assert read(tmp_path / "c.json") == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["c.json"]


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b'{"a": 1', "is not JSON at line 1"),
        (b"", "is not JSON"),
        (b"\x80\x02}q", "is not text"),
        (b"[1]", "must be one table"),
        (b'{"a": NaN}', "holds NaN"),
        (b'{"a": -Infinity}', "holds -Infinity"),
        (b'{"a": 1e999}', "beyond the range of a float"),
        (b'{"a": 1, "b": 2, "a": 3}', "has the key 'a' twice"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "JSON that no certificate holds"),
        (b'{"a": ' + b"1" * 5000 + b"}", "JSON that no certificate holds"),
    ],
)
def test_what_is_no_certificate_is_refused(tmp_path, raw, sentence):
    file = tmp_path / "c.json"
    file.write_bytes(raw)
    with pytest.raises(CertificateError, match=sentence):
        read(file)


def test_huge_and_missing_files(tmp_path, monkeypatch):
    file = tmp_path / "c.json"
    write(file, {"a": "x" * 100})
    monkeypatch.setattr(module, "MAX_BYTES", 50)
    with pytest.raises(CertificateError, match=r"^c.json has 1\d\d bytes; none is larger than 50"):
        read(file)
    with pytest.raises(CertificateError, match=r"^no.json cannot be read: No such file"):
        read(tmp_path / "no.json")
    monkeypatch.undo()
    with pytest.raises(CertificateError, match="cannot be read: Is a directory"):
        read(tmp_path)
