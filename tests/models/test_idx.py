"""IDX files: read whole, or refused with the reason."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from genbounds.models.examples import DataError
from genbounds.models.idx import read_idx, read_part


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


IMAGES = np.arange(60, dtype=np.uint8).reshape(5, 3, 4)
LABELS = np.array([0, 1, 2, 1, 0], dtype=np.uint8)


def write(path, content):
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("suffix", ["", ".gz"])
@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=3, max_side=6)))
def test_round_trip(tmp_path_factory, suffix, array):
    path = write(tmp_path_factory.mktemp("idx") / f"values{suffix}", idx_bytes(array))
    found = read_idx(path, array.ndim)
    assert np.array_equal(found, array)
    assert found.flags.writeable


@pytest.mark.parametrize("suffix", ["", ".gz"])
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated_files_raise(tmp_path_factory, suffix, share):
    path = write(tmp_path_factory.mktemp("idx") / f"images{suffix}", idx_bytes(IMAGES))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"IDX file images.* must .*Copy or download"):
        read_idx(path, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx_bytes(IMAGES) + b"x", r"must hold 60 values for its shape \(5, 3, 4\), got more"),
        (idx_bytes(IMAGES)[:-7], "must hold 60 values.*got 53"),
        (idx_bytes(LABELS), "header for 3 axes of unsigned bytes"),
        (b"\x00\x00\x0d\x03" + idx_bytes(IMAGES)[4:], "header for 3 axes of unsigned bytes"),
        (b"<html>", "header"),
        (b"\x00\x00\x08\x03" + b"\xff" * 12, "must hold 79228162458924105385300197375 values"),
    ],
)
def test_wrong_content(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_idx(write(tmp_path / "images", content), 3)


def test_a_file_that_goes_on_after_a_whole_block(tmp_path):
    path = write(tmp_path / "images", idx_bytes(np.zeros((2**10, 2**5, 2**5), np.uint8)) + b"x")
    with pytest.raises(DataError, match=r"must hold 1048576 values.*got more"):
        read_idx(path, 3)


def test_a_name_that_promises_gzip(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(idx_bytes(IMAGES))
    with pytest.raises(DataError, match="must be readable, got: Not a gzipped file"):
        read_idx(path, 3)


@pytest.mark.parametrize(
    "names",
    [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte"),
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte.gz"),
    ],
)
def test_a_part_under_its_known_names(tmp_path, names):
    write(tmp_path / names[0], idx_bytes(IMAGES))
    write(tmp_path / names[1], idx_bytes(LABELS))
    images, labels = read_part(tmp_path, "train")
    assert np.array_equal(images, IMAGES)
    assert np.array_equal(labels, LABELS)
    with pytest.raises(DataError, match=r"must hold t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz, got train-"):
        read_part(tmp_path, "test")


def test_counts_must_agree(tmp_path):
    write(tmp_path / "t10k-images-idx3-ubyte", idx_bytes(IMAGES))
    write(tmp_path / "t10k-labels-idx1-ubyte", idx_bytes(LABELS[:4]))
    with pytest.raises(DataError, match="got 5 images and 4 labels"):
        read_part(tmp_path, "test")
