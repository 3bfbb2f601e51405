import numpy as np
import pytest

from genbounds.certificates.errors import CertificateError, at
from genbounds.certificates.fields import number, one_of, plain, probability, rows, table, text, whole
from genbounds.certificates.ledger import Union
from genbounds.certificates.records import keys_of, records


@pytest.mark.parametrize(
    ("check", "value", "wanted"),
    [
        (text, "", "must be a text"),
        (text, 3, "must be a text"),
        (number, "0.1", "must be a finite number, got '0.1'"),
        (number, True, "must be a finite number"),
        (number, float("nan"), "must be a finite number, got nan"),
        (number, float("inf"), "must be a finite number, got inf"),
        (probability, 0.0, "strictly between 0 and 1"),
        (probability, 1, "strictly between 0 and 1"),
        (whole, 3.0, "must be a whole number of at least 0, got 3.0"),
        (whole, -1, "must be a whole number of at least 0"),
        (whole, False, "must be a whole number"),
        (table, [1], "must be a table"),
        (table, {1: 2}, "must have texts as keys"),
        (rows, {"a": 1}, "must be a list"),
        (plain, {1, 2}, "JSON can carry, got a set"),
        (plain, 2**70, "must fit in 64 bits"),
    ],
)
def test_wrong_values_are_named(check, value, wanted):
    with pytest.raises(CertificateError, match=r"^here ") as caught:
        check("here", value)
    assert wanted in str(caught.value)


def test_range_is_part_of_the_sentence():
    with pytest.raises(CertificateError, match="a number of at least 0 and at most 1, got 2"):
        number("x", 2, lowest=0, highest=1)


def test_words_are_listed():
    with pytest.raises(CertificateError, match="must be one of 'a', 'b', got 'c'"):
        one_of("x", "c", ("a", "b"))


def test_numpy_becomes_plain():
    content = {"scalar": np.float64(0.1), "count": np.int64(3), "array": np.array([1.0, 2.0]), "nested": ({"x": None},)}
    assert plain("", content) == {"scalar": 0.1, "count": 3, "array": [1.0, 2.0], "nested": [{"x": None}]}
    assert type(plain("", np.float64(0.1))) is float


def test_path_of_a_nested_value_is_whole():
    with pytest.raises(CertificateError, match=r"^draws\.values\[1\]\.x must be a finite number, got inf"):
        table("draws", {"values": [1, {"x": float("inf")}]})


def test_places_are_joined():
    with (
        pytest.raises(CertificateError, match=r"^ledger\.unions\[0\]\.over must be a text") as caught,
        at("ledger"),
        at("unions[0]"),
    ):
        Union("", 3)
    assert caught.value.path == "ledger.unions[0].over"


def test_missing_and_unknown_keys():
    with pytest.raises(CertificateError, match=r"^candidates is missing"):
        keys_of(Union, {"over": "x"})
    with pytest.raises(CertificateError, match=r"^paid is not a known key. Known here: over, candidates"):
        keys_of(Union, {"over": "x", "candidates": 2, "paid": True})
    with pytest.raises(CertificateError, match="must be a table"):
        keys_of(Union, "x")


def test_records_are_of_their_kind():
    with pytest.raises(CertificateError, match=r"^unions\[1\] must be a Union, got 'x'"):
        records("unions", [Union("x", 2), "x"], Union)
