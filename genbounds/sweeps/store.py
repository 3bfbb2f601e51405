"""The store: results of tasks under the names that their content gives them, in one folder."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genbounds.sweeps.archive import ArchiveError, read_archive, write_archive
from genbounds.sweeps.task import Task

__all__ = ["Store"]


class Store:
    """Results of tasks in a folder; any number of processes may read and write it at once.

    Each entry is a file of its own, named after the task's id and written in one step. A process that is killed leaves
    whole entries and at most a file that ends in ``.part``, which nothing reads.

    Parameters
    ----------
    folder : str or Path
        Made when the first result is kept.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, task: Task) -> Path:
        """Return where the result of a task is, or would be.

        Parameters
        ----------
        task : Task
            The task.

        Returns
        -------
        Path
            Its file.
        """
        return self.folder / task.id[:2] / f"{task.id}.npz"

    def read(self, task: Task) -> dict[str, Any] | None:
        """Return the result of a task.

        Parameters
        ----------
        task : Task
            The task.

        Returns
        -------
        dict or None
            Arrays and JSON values by name; None if the store does not have it. An entry that is damaged, or that
            belongs to another task, is none: a warning says so, and writing the result anew replaces it.
        """
        try:
            values, arrays = read_archive(self.path(task))
        except FileNotFoundError:
            return None
        except ArchiveError as error:
            warnings.warn(f"an entry of the store is not used: {error}", stacklevel=2)
            return None
        if values.get("task") != task.content:
            warnings.warn(
                f"an entry of the store is not used: {self.path(task).name} is of another task.", stacklevel=2
            )
            return None
        return {**values["values"], **arrays}

    def write(self, task: Task, result: Mapping[str, Any]) -> None:
        """Keep the result of a task.

        Parameters
        ----------
        task : Task
            The task.
        result : mapping of str to object
            Arrays of numbers and JSON values by name.
        """
        arrays = {name: value for name, value in result.items() if isinstance(value, np.ndarray)}
        values = {name: value for name, value in result.items() if name not in arrays}
        path = self.path(task)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_archive(path, {"task": task.content, "values": values}, arrays)
