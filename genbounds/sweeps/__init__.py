"""Many independent runs: tasks, a store of their results, and executors to run them on."""

from genbounds.sweeps.archive import ArchiveError, read_archive, write_archive
from genbounds.sweeps.executors import open_executor
from genbounds.sweeps.run import Outcome, TaskError, run
from genbounds.sweeps.store import Store
from genbounds.sweeps.task import Task

__all__ = [
    "ArchiveError",
    "Outcome",
    "Store",
    "Task",
    "TaskError",
    "open_executor",
    "read_archive",
    "run",
    "write_archive",
]
