"""Archives: the same bytes for the same content, and every changed bit is noticed."""

import json
import zipfile

import numpy as np
import pytest

from genbounds.sweeps import ArchiveError, read_archive, write_archive

VALUES = {"words": ["a", "é"], "number": 0.1}
ARRAYS = {
    "x": np.arange(6).reshape(2, 3),
    "empty": np.zeros((0, 2)),
    "bits": np.array([True, False]),
    "point": np.array(2.5),
}


def test_what_goes_in_comes_out(tmp_path):
    write_archive(tmp_path / "a.npz", VALUES, ARRAYS)
    values, arrays = read_archive(tmp_path / "a.npz")
    assert values == VALUES
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_numpy_alone_can_read_it(tmp_path):
    write_archive(tmp_path / "a.npz", VALUES, ARRAYS)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert json.loads(bytes(archive["header"]))["number"] == 0.1
        assert archive["x"].sum() == 15


def test_equal_content_gives_equal_bytes(tmp_path):
    write_archive(tmp_path / "a.npz", VALUES, ARRAYS)
    write_archive(tmp_path / "b.npz", dict(reversed(VALUES.items())), dict(reversed(ARRAYS.items())))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_every_damaged_byte_is_noticed_or_harmless(tmp_path):
    """Harmless are bytes that carry no content, such as a time stamp in the zip's directory."""
    write_archive(tmp_path / "a.npz", VALUES, ARRAYS)
    whole = (tmp_path / "a.npz").read_bytes()
    noticed = 0
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        (tmp_path / "b.npz").write_bytes(damaged)
        try:
            values, arrays = read_archive(tmp_path / "b.npz")
        except ArchiveError:
            noticed += 1
        else:
            assert values == VALUES
            assert all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)
    assert noticed > len(whole) / 2


def test_an_edit_that_keeps_the_zip_sound_is_noticed(tmp_path):
    write_archive(tmp_path / "a.npz", VALUES, ARRAYS)
    with np.load(tmp_path / "a.npz") as archive:
        entries = {name: archive[name] for name in archive.files}
    for name, value in {"x": entries["x"] + 1, "more": np.ones(2), "bits": entries["bits"].astype(np.int8)}.items():
        np.savez(tmp_path / "b.npz", **entries | {name: value})
        with pytest.raises(ArchiveError, match="content that its fingerprint says"):
            read_archive(tmp_path / "b.npz")
    header = json.loads(bytes(entries["header"])) | {"number": 0.2}
    np.savez(tmp_path / "b.npz", **entries | {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)})
    with pytest.raises(ArchiveError, match="content that its fingerprint says"):
        read_archive(tmp_path / "b.npz")


def test_nothing_is_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", header=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ArchiveError, match=r"damaged one \(ValueError\)"):
        read_archive(tmp_path / "a.npz")


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(2))
    np.save(tmp_path / "b.npy", np.ones(2))
    (tmp_path / "c.npz").write_bytes(b"")
    (tmp_path / "d.npz").write_text("no archive", encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "e.npz", "w") as archive:
        archive.writestr("header.npy", "no array")
    for path in tmp_path.iterdir():
        with pytest.raises(ArchiveError, match="must be an archive written by genbounds") as caught:
            read_archive(path)
        assert "pickle" not in str(caught.value)  # NumPy advises to load such files unsafely
    with pytest.raises(FileNotFoundError):
        read_archive(tmp_path / "none.npz")


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    for values, arrays in (
        ({"sha256": "mine"}, {}),
        ({}, {"header": np.ones(2)}),
        ({"a": float("inf")}, {}),
        ({}, {"a": np.array(["text"])}),
    ):
        with pytest.raises(ValueError, match=r"names must|not JSON compliant|hold numbers"):
            write_archive(tmp_path / "a.npz", values, arrays)
    assert list(tmp_path.iterdir()) == []
