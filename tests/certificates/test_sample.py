import base64
import dataclasses
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbounds.certificates import CertificateError, Role, Sample

A, B = "a" * 64, "b" * 64


@st.composite
def assignments(draw):
    examples = draw(st.integers(1, 200))
    codes = np.array(draw(st.lists(st.integers(0, 4), min_size=examples, max_size=examples)))
    return examples, {role: np.flatnonzero(codes == code) for code, role in enumerate(("prior", "bound", "test"), 1)}


@given(assignments())
def test_indices_survive(given_roles):
    examples, indices = given_roles
    sample = Sample.of(examples, {role: found[::-1] for role, found in indices.items()}, dict.fromkeys(indices, A))
    again = Sample.from_json(sample.to_json())
    assert again == sample
    for role, expected in indices.items():
        assert again.indices(role).tolist() == expected.tolist()
        assert again.roles[role].count == len(expected)
    assert again.overlaps() == []


def test_overlap_is_refused_when_built_and_found_when_read():
    with pytest.raises(CertificateError, match=r"roles.bound shares 2 examples with prior \(the first is 3\)"):
        Sample.of(9, {"prior": [0, 3, 4], "bound": [3, 4, 5]}, {"prior": A, "bound": B})
    one = Sample.of(9, {"prior": [0, 3, 4]}, {"prior": A}).roles["prior"]
    other = Sample.of(9, {"bound": [3, 4, 5]}, {"bound": B}).roles["bound"]
    ((first, second, shared),) = Sample(9, {"prior": one, "bound": other}).overlaps()
    assert (first, second, shared.tolist()) == ("prior", "bound", [3, 4])


@pytest.mark.parametrize(
    ("indices", "sentence"),
    [
        ([0, 9], "has the index 9, outside 0 to 8"),
        ([-1], "has the index -1"),
        ([1, 2, 1], "has an index twice"),
        ([0.5], "needs a one-dimensional array of whole numbers, got float64"),
        ([[1, 2]], "needs a one-dimensional array"),
        ([True, False], "got bool"),
    ],
)
def test_wrong_indices(indices, sentence):
    with pytest.raises(CertificateError, match=sentence):
        Sample.of(9, {"bound": indices}, {"bound": A})


def test_names_and_fingerprints():
    with pytest.raises(CertificateError, match=r"roles.train is not a role"):
        Sample.of(9, {"train": [1]}, {"train": A})
    with pytest.raises(CertificateError, match=r"roles.bound has no fingerprint"):
        Sample.of(9, {"bound": [1]}, {})
    with pytest.raises(CertificateError, match=r"roles.bound.content_sha256 must be 64 hexadecimal digits"):
        Sample.of(9, {"bound": [1]}, {"bound": "A" * 64})
    with pytest.raises(CertificateError, match="examples must be at most"):
        Sample(2**40, {})
    with pytest.raises(CertificateError, match="must be a Role"):
        Sample(9, {"bound": [1]})
    with pytest.raises(CertificateError, match="roles must be a table"):
        Sample(9, [1])


def encoded(raw: bytes) -> str:
    return base64.b64encode(zlib.compress(raw)).decode()


@pytest.mark.parametrize(
    ("indices", "sentence"),
    [
        ("not base64!", "damaged"),
        (base64.b64encode(b"not zlib").decode(), "damaged"),
        (encoded(b"\x80")[:-8], "damaged|one bit"),
        (encoded(b"\x80"), "one bit for each of the 9 examples"),
        (encoded(b"\x80\x00\x00"), "one bit for each of the 9 examples"),
        (encoded(bytes(10**7)), "one bit for each of the 9 examples"),
        (base64.b64encode(zlib.compress(b"\x80\x00") + b"more").decode(), "one bit for each"),
        (encoded(b"\x80\x40"), "marks examples beyond the last"),
    ],
)
def test_damaged_bitmaps(indices, sentence):
    with pytest.raises(CertificateError, match=rf"^roles.bound.indices .*({sentence})"):
        Sample(9, {"bound": Role(1, indices, A)})


def test_a_large_sample_is_small_on_disk():
    order = np.random.default_rng(0).permutation(60_000)
    sample = Sample.of(60_000, {"prior": order[:30_000], "bound": order[30_000:]}, {"prior": A, "bound": B})
    assert len(sample.roles["bound"].indices) < 10_100
    assert dataclasses.replace(sample) == sample
