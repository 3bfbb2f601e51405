"""The IDX format of MNIST and its kin: read whole, checked against its own header."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genbounds.models.examples import DataError

__all__ = ["read_idx", "read_part"]

_COPY_AGAIN = "Copy or download the file again."

#: File name stem of each part, as published.
_STEMS = {"train": "train", "test": "t10k"}


def read_part(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the images and labels of one part of an IDX folder.

    Parameters
    ----------
    folder : Path
        Folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and their ``t10k`` twins, each plain
        or ``.gz`` (plain is preferred); a dot may stand for the hyphen before ``idx``.
    part : str
        ``train`` or ``test``.

    Returns
    -------
    images : ndarray of uint8, shape (n, height, width)
        Intensities.
    labels : ndarray of uint8, shape (n,)
        Classes.

    Raises
    ------
    DataError
        If a file is missing, damaged, or images and labels differ in number.
    """
    images = read_idx(_find(folder, part, "images-idx3"), axes=3)
    labels = read_idx(_find(folder, part, "labels-idx1"), axes=1)
    if len(images) != len(labels):
        raise DataError(
            f"IDX part {part} must have one label per image, got {len(images)} images and {len(labels)} labels. "
            "Take both files from the same place."
        )
    return images, labels


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes.

    Parameters
    ----------
    path : Path
        Plain file, or gzip if its name ends in ``.gz``.
    axes : int
        Number of axes expected.

    Returns
    -------
    ndarray of uint8
        Its values.

    Raises
    ------
    DataError
        If the file is no such IDX file, or is shorter or longer than its header says.
    """
    opener: Callable[..., object] = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:  # type: ignore[attr-defined]
            head = file.read(4 + 4 * axes)
            if len(head) < 4 + 4 * axes or head[:4] != bytes([0, 0, 8, axes]):
                raise DataError(
                    f"IDX file {path.name} must begin with a header for {axes} axes of unsigned bytes, got "
                    f"{head[:4]!r} and {len(head)} bytes. {_COPY_AGAIN}"
                )
            shape = tuple(int(size) for size in np.frombuffer(head, ">u4", offset=4))
            wanted = int(np.prod([int(size) for size in shape], dtype=object))
            values = bytearray()  # in blocks, so that a damaged header allocates nothing
            while len(values) <= wanted and (block := file.read(2**20)):
                values += block
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"IDX file {path.name} must be readable, got: {error}. {_COPY_AGAIN}") from error
    if len(values) != wanted:
        found = "more" if len(values) > wanted else str(len(values))
        raise DataError(
            f"IDX file {path.name} must hold {wanted} values for its shape {shape}, got {found}. {_COPY_AGAIN}"
        )
    return np.frombuffer(values, np.uint8).reshape(shape)


def _find(folder: Path, part: str, kind: str) -> Path:
    stem = f"{_STEMS[part]}-{kind}-ubyte"
    for name in (stem, stem.replace("-idx", ".idx")):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    held = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise DataError(
        f"IDX folder {folder.name} must hold {stem} or {stem}.gz, got {held}. Name the folder of the files."
    )
