"""Running tasks: in this process or on any executor, only those whose results are missing."""

import traceback
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from genbounds.sweeps.fingerprints import NUMBERS, is_json
from genbounds.sweeps.store import Store
from genbounds.sweeps.task import Task

__all__ = ["Outcome", "TaskError", "run"]


class TaskError(ValueError):
    """A task failed; the message says which, with its arguments, and why."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a task.

    Parameters
    ----------
    task : Task
        The task.
    result : dict
        Arrays and JSON values by name.
    computed : bool
        Whether it was computed now; otherwise the store had it.
    """

    task: Task
    result: dict[str, Any]
    computed: bool


@dataclass(frozen=True)
class _Failure:
    """An exception as text: not every exception survives the way between processes."""

    summary: str
    trace: str


def run(tasks: Iterable[Task], *, store: Store | None = None, executor: Executor | None = None) -> Iterator[Outcome]:
    """Run tasks, and yield their outcomes as they come: first what the store has, then what is computed.

    Results depend on the tasks alone, not on the executor, the number of its workers or the order in which they finish:
    each call gets copies of its arguments, arrays in native byte order and C order.
    Each is stored before it is yielded, so that an interrupted run, started again, computes what is missing. If a
    task fails, those that have not begun are dropped, those that run are waited for and kept, and then it raises.

    Parameters
    ----------
    tasks : iterable of Task
        The work; the same task given twice is run once.
    store : Store, optional
        Where results are looked up and kept.
    executor : concurrent.futures.Executor, optional
        Where to run them: a process or thread pool, or dask.distributed's ``client.get_executor()``. By default they
        run in this process, one after the other. It is not shut down.

    Yields
    ------
    Outcome
        One for each distinct task.

    Raises
    ------
    TaskError
        If a task fails, returns no table or a worker dies.

    Examples
    --------
    >>> task = Task("genbounds.sweeps.fingerprints:json_sha256", {"content": [1]})
    >>> next(run([task]))  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    genbounds.sweeps.run.TaskError: task 2b2f... failed: TypeError: json_sha256() got an unexpected keyword ...
    """
    missing = []
    for task in {task.id: task for task in tasks}.values():
        result = None if store is None else store.read(task)
        if result is None:
            missing.append(task)
        else:
            yield Outcome(task, result, computed=False)
    if executor is None:
        for task in missing:
            yield _kept(task, _call(task), store)
    else:
        yield from _submitted(missing, store, executor)


def _call(task: Task) -> dict[str, Any] | _Failure:
    """Run one task, wherever this is."""
    # Its own copies, of one layout: what a function changes in place reaches no other task here, as in a process of its
    # own, and sums do not depend on strides.
    arguments = deepcopy(dict(task.arguments))
    arrays = {name: np.array(array, array.dtype.newbyteorder("="), order="C") for name, array in task.arrays.items()}
    try:
        return _table(task.resolve()(**arguments, **arrays, seed=task.seed))
    except (Exception, SystemExit) as error:
        return _Failure(f"{type(error).__name__}: {error}", traceback.format_exc())


def _table(result: Any) -> dict[str, Any]:
    if not isinstance(result, Mapping):
        raise TypeError(f"the function must return a mapping, got a {type(result).__name__}.")
    for name, value in result.items():
        if not (value.dtype.kind in NUMBERS if isinstance(value, np.ndarray) else is_json(value)):
            raise TypeError(
                f"the function must return arrays of numbers and JSON values, got {value!r:.80} as {name!r}."
            )
    return dict(result)


def _kept(task: Task, result: dict[str, Any] | _Failure, store: Store | None) -> Outcome:
    if isinstance(result, _Failure):
        error = TaskError(f"task {task} failed: {result.summary}")
        error.add_note(result.trace)
        raise error
    if store is not None:
        store.write(task, result)
    return Outcome(task, result, computed=True)


def _submitted(tasks: list[Task], store: Store | None, executor: Executor) -> Iterator[Outcome]:
    pending: dict[Future[dict[str, Any] | _Failure], Task] = {}
    failure: TaskError | None = None
    try:
        for task in tasks:
            try:
                pending[executor.submit(_call, task)] = task
            except BrokenExecutor as error:
                failure = TaskError(f"task {task} could not be begun: {type(error).__name__}: {error}")
                break
        while pending:
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                task = pending.pop(future)
                try:
                    outcome = _kept(task, _result(future), store)
                except TaskError as error:
                    failure = failure or error
                    for waiting in [waiting for waiting in pending if waiting.cancel()]:
                        del pending[waiting]
                else:
                    yield outcome
    finally:
        for future in pending:
            future.cancel()
    if failure is not None:
        raise failure


def _result(future: "Future[dict[str, Any] | _Failure]") -> dict[str, Any] | _Failure:
    try:
        return future.result()
    except (Exception, CancelledError) as error:  # the worker died, or the result could not be sent
        return _Failure(f"{type(error).__name__}: {error}", traceback.format_exc())
