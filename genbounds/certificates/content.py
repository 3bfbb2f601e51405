"""Certificates as JSON that cannot mean two things: strict reading, one canonical form, its digest, atomic saving."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from genbounds.certificates.errors import CertificateError

__all__ = ["digest", "read", "write"]

#: Largest file read. Role bitmaps of ten million examples and a million draws stay well below it.
MAX_BYTES = 64 * 2**20

#: Tables and lists within one another; a certificate has eight or so, and the checks descend by recursion.
MAX_DEPTH = 64


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical form of everything but the entry ``digest``.

    The canonical form is JSON in ASCII with sorted keys, no spaces and every float as the shortest
    decimal that reads back as the same float.

    Parameters
    ----------
    content : mapping
        A certificate as JSON would carry it.

    Returns
    -------
    str
        ``sha256:`` and 64 hexadecimal digits.

    Examples
    --------
    >>> digest({"b": 0.1, "a": 1}) == digest({"a": 1, "b": 0.1, "digest": "anything"})
    True
    """
    rest = {key: value for key, value in content.items() if key != "digest"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return f"sha256:{hashlib.sha256(canonical.encode('ascii')).hexdigest()}"


def _refuse_constant(name: str) -> NoReturn:
    raise CertificateError("", f"holds {name}, which proves nothing. Every number in a certificate is finite.")


def _finite(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        raise CertificateError("", f"holds {digits[:40]}, which is beyond the range of a float.")
    return value


def _one_meaning(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise CertificateError("", f"has the key {twice!r} twice in one table, so that readers may differ on it.")
    return table


def _check_depth(content: Any) -> None:
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [
            entry
            for inner in level
            for entry in (inner.values() if isinstance(inner, dict) else inner)
            if isinstance(entry, dict | list)
        ]
        if not level:
            return
    raise CertificateError("", f"has more than {MAX_DEPTH} tables and lists within one another. Is it the right file?")


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON file strictly.

    Parameters
    ----------
    path : path
        File to read, at most 64 MiB.

    Returns
    -------
    dict
        Its content.

    Raises
    ------
    CertificateError
        If the file cannot be opened, is too large, is not JSON (truncated, binary), is not one table, is nested
        deeper than 64, has a key twice or a number that is not finite.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise CertificateError(
                file.name, f"has {size:,} bytes; none is larger than {MAX_BYTES:,}. Is it the right file?"
            )
        raw = file.read_bytes()
    except OSError as error:
        raise CertificateError(file.name, f"cannot be read: {error.strerror}. Check the path.") from error
    try:
        content = json.loads(
            raw.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_one_meaning,
        )
    except UnicodeDecodeError as error:
        raise CertificateError(file.name, f"is not text (byte {error.start}). Is it the right file?") from error
    except json.JSONDecodeError as error:
        raise CertificateError(
            "",
            f"file {file.name} is not JSON at line {error.lineno} ({error.msg}). It may be truncated: fetch it anew.",
        ) from error
    except CertificateError:
        raise
    except (ValueError, RecursionError) as error:
        raise CertificateError(file.name, f"is JSON that no certificate holds: {error}.") from error
    if not isinstance(content, dict):
        raise CertificateError("", f"must be one table (a JSON object), got a {type(content).__name__}.")
    _check_depth(content)
    return content


def write(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write a JSON file in one step: a reader or a crash never meets half of it.

    Parameters
    ----------
    path : path
        File to write; its folder must exist. What stood there before is replaced.
    content : mapping
        A certificate as JSON carries it.
    """
    file = Path(path)
    lines = json.dumps(content, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="ascii", newline="\n") as stream:
            stream.write(lines)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes the file private; a certificate is meant to be read by others.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
