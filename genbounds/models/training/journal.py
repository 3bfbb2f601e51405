"""A file of measurements, one JSON line each, that a killed run can go on with."""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

__all__ = ["Journal", "fingerprint", "read_journal"]


class Journal:
    """Measurements, known by the fingerprints of what was measured and how.

    Parameters
    ----------
    path : str or Path, optional
        File of JSON lines, which grows by a line with each measurement; what it already holds is known. A line that a
        kill cut off is dropped. Without a file, measurements are kept in memory only.

    Raises
    ------
    ValueError
        If the file holds something else.

    Examples
    --------
    >>> journal = Journal()
    >>> journal.add({"weights": "0a1b", "settings": "2c3d", "epoch": 3})
    >>> journal.find("0a1b", "2c3d")["epoch"], journal.find("4e5f", "2c3d")
    (3, None)
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._lines: list[dict[str, Any]] = []
        if self.path is not None and self.path.exists():
            self._lines = read_journal(self.path)
            with self.path.open("r+b") as file:
                file.truncate(file.read().rfind(b"\n") + 1)

    def find(self, weights: str, settings: str) -> dict[str, Any] | None:
        """Return the last measurement of some weights, or None if there is none.

        Parameters
        ----------
        weights, settings : str
            Fingerprints.

        Returns
        -------
        dict or None
            What `add` was given, through JSON or not.
        """
        known = (line for line in reversed(self._lines) if (line["weights"], line["settings"]) == (weights, settings))
        return next(known, None)

    def add(self, line: Mapping[str, Any]) -> None:
        """Keep a measurement.

        Parameters
        ----------
        line : mapping
            JSON with the fingerprints ``weights`` and ``settings``, every number finite.
        """
        text = json.dumps(line, ensure_ascii=False, allow_nan=False)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text + "\n")
        self._lines.append(dict(line))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Go through the measurements in the order in which they were made.

        Yields
        ------
        dict
            One after the other.
        """
        yield from self._lines


def read_journal(path: str | Path) -> list[dict[str, Any]]:
    """Read the measurements in a file, and leave it as it is.

    Parameters
    ----------
    path : str or Path
        What a `Journal` wrote, or is writing.

    Returns
    -------
    list of dict
        In the order in which they were made; a line that is not finished is left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds something else.
    """
    path = Path(path)
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [_read(line, number, path) for number, line in enumerate(whole.splitlines(), 1)]


def _read(line: bytes, number: int, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError:
        content = None
    if not isinstance(content, dict) or not {"weights", "settings"} <= content.keys():
        raise ValueError(
            f"path must be a file with one measurement on each line, got {line[:40]!r} as line {number} "
            f"of {path.name}. Name another file."
        )
    return content


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Return a short name for settings, the same for the same.

    Parameters
    ----------
    settings : mapping
        JSON; NaN has a fingerprint too, so that whoever uses the settings can refuse them.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
