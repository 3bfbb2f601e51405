"""One task for each architecture and draw of the data, run wherever there is room."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from genbounds.models.progress import track
from genbounds.sweeps import Store, Task, run

__all__ = ["results_of"]


def results_of(
    tasks: Mapping[str, Sequence[Task]], label: str, *, store: Store | None, executor: Executor | None, progress: bool
) -> dict[str, list[dict[str, Any]]]:
    """Run the tasks of all architectures and return their results in order.

    Parameters
    ----------
    tasks : mapping of str to sequence of Task
        For each architecture one task for each draw.
    label : str
        What a bar says is being done.
    store : Store or None
        Where results are looked up and kept.
    executor : Executor or None
        Where tasks run; None: in this process.
    progress : bool
        Show a bar on a terminal.

    Returns
    -------
    dict of str to list of dict
        Results by architecture, one for each draw.
    """
    every = [task for each in tasks.values() for task in each]
    outcomes = track(run(every, store=store, executor=executor), label, total=len(every), progress=progress)
    results = {outcome.task.id: outcome.result for outcome in outcomes}
    return {name: [results[task.id] for task in each] for name, each in tasks.items()}
