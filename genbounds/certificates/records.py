"""Tables and lists of a certificate as frozen dataclasses: no key unknown, none missing."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from genbounds.certificates.errors import CertificateError, at, shown
from genbounds.certificates.fields import rows

__all__ = ["keys_of", "read_rows", "records"]

Record = TypeVar("Record")


def keys_of(record: type, content: Any) -> dict[str, Any]:
    """Return a copy of a table whose keys are the fields of a dataclass: none unknown, none missing.

    Parameters
    ----------
    record : type
        The dataclass.
    content : object
        What stands in its place in the file.

    Returns
    -------
    dict
        Field names to values, which the dataclass checks itself.

    Raises
    ------
    CertificateError
        If the content is not a table, lacks a key or has one too many.
    """
    if not isinstance(content, Mapping):
        raise CertificateError("", f"must be a table (a JSON object), got {shown(content)}.")
    known = {field.name: field for field in fields(record)}
    for name, field in known.items():
        if name not in content and field.default is MISSING and field.default_factory is MISSING:
            raise CertificateError(name, "is missing. It has to stand in the file: save the certificate anew.")
    for name in content:
        if name not in known:
            raise CertificateError(str(name), f"is not a known key. Known here: {', '.join(known)}.")
    return dict(content)


def read_rows(record: type[Record], path: str, content: Any) -> tuple[Record, ...]:
    """Read a list of records that have a ``from_json``.

    Parameters
    ----------
    record : type
        The dataclass.
    path : str
        Where the list stands.
    content : object
        What stands there.

    Returns
    -------
    tuple
        The records.

    Raises
    ------
    CertificateError
        If the content is not a list, or a row is not what it must be.
    """
    read = []
    for place, row in enumerate(rows(path, content)):
        with at(f"{path}[{place}]"):
            read.append(record.from_json(row))  # type: ignore[attr-defined]
    return tuple(read)


def records(path: str, value: Any, record: type[Record]) -> tuple[Record, ...]:
    """Return `value` as a tuple, every element of which is a `record`.

    Parameters
    ----------
    path : str
        Where it stands.
    value : object
        A list or a tuple.
    record : type
        The dataclass wanted.

    Returns
    -------
    tuple
        The records.

    Raises
    ------
    CertificateError
        If something else is found.
    """
    found = rows(path, value)
    for place, element in enumerate(found):
        if not isinstance(element, record):
            raise CertificateError(f"{path}[{place}]", f"must be a {record.__name__}, got {shown(element)}.")
    return tuple(found)
