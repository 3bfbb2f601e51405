"""What a run has already worked out, kept in its folder so that an interrupted run goes on where it stopped."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Store"]


class Store:
    """Named results of one run in one folder; asking again for a finished one costs nothing.

    Parameters
    ----------
    folder : Path or None
        Where to keep them; None keeps nothing.
    settings : mapping
        Everything the results depend on, as JSON values. A folder that holds results of other settings is refused.

    Raises
    ------
    ValueError
        If the folder belongs to a run with other settings, naming what differs.
    """

    def __init__(self, folder: Path | None, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self._results: dict[str, Any] = {}
        self._settings = settings
        path = self.file("run.json")
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            self._write(path)
            return
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["settings"] != (now := json.loads(json.dumps(settings))):
            names = sorted(name for name in kept["settings"] | now if kept["settings"].get(name) != now.get(name))
            raise ValueError(
                f"the output folder must be new or belong to the same run, but {', '.join(names)} differ from what it "
                "was started with. Choose another folder, or delete this one."
            )
        self._results = kept["results"]

    def _write(self, path: Path) -> None:
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"settings": self._settings, "results": self._results}, indent=1), encoding="utf-8")
        part.replace(path)

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return the result called `name`, computing it if this run does not have it yet.

        Parameters
        ----------
        name : str
            Name of the result.
        compute : callable
            Returns a JSON value.

        Returns
        -------
        object
            The result.
        """
        if name not in self._results:
            self._results[name] = compute()
            if (path := self.file("run.json")) is not None:
                self._write(path)
        return self._results[name]

    def file(self, name: str) -> Path | None:
        """Return the path of a file of the run, or None if nothing is kept.

        Parameters
        ----------
        name : str
            File name.

        Returns
        -------
        Path or None
            The path; the file may not exist yet.
        """
        return None if self.folder is None else self.folder / name
