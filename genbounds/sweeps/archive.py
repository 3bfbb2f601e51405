"""Archives: JSON values and arrays in one .npz file that is written whole, and refused if a bit of it has changed."""

import io
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.sweeps.fingerprints import table_sha256

__all__ = ["ArchiveError", "read_archive", "write_archive"]

#: Name of the entry with the JSON values, as bytes of UTF-8.
_HEADER = "header"


class ArchiveError(ValueError):
    """A file is no archive, or not the one that was written."""


def write_archive(path: Path, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write values and arrays in one step: a reader, a crash or another writer never meets half of a file.

    Equal content gives equal bytes.

    Parameters
    ----------
    path : Path
        File to write, .npz; its folder must exist. What stood there before is replaced.
    values : mapping
        JSON values by name, every number finite.
    arrays : mapping of str to ndarray
        Arrays of numbers or booleans by name.

    Raises
    ------
    ValueError
        If JSON cannot carry the values, an array holds something else than numbers, or a name is taken.
    """
    taken = {_HEADER, "file"}.intersection(arrays) or {"sha256"}.intersection(values)
    if taken:
        raise ValueError(f"names must not be header, file or, of a value, sha256, got {min(taken)!r}. Rename it.")
    header = dict(values) | {"sha256": table_sha256(values, arrays)}
    text = json.dumps(header, sort_keys=True, indent=1, allow_nan=False)
    content = io.BytesIO()
    entries = {_HEADER: np.frombuffer(text.encode(), np.uint8)} | dict(sorted(arrays.items()))
    np.savez_compressed(content, allow_pickle=False, **entries)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_archive(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `write_archive` wrote. Nothing is unpickled.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    values : dict
        JSON values by name.
    arrays : dict of str to ndarray
        Arrays by name.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ArchiveError
        If it is no archive, or its content is not what its own fingerprint says.
    """
    content = io.BytesIO(path.read_bytes())
    try:
        with np.load(content, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        values = json.loads(arrays.pop(_HEADER).tobytes())
        sha256 = values.pop("sha256")
        intact = table_sha256(values, arrays) == sha256
    except Exception as error:  # a damaged zip raises nearly anything
        raise ArchiveError(
            f"{path.name} must be an archive written by genbounds, got another file or a damaged one "
            f"({type(error).__name__}). Fetch or compute it again."
        ) from error
    if not intact:
        raise ArchiveError(
            f"{path.name} must have the content that its fingerprint says, got another. Fetch or compute it again."
        )
    return values, arrays
