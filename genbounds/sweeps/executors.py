"""Executors to run tasks on: this process, a pool of fresh processes, a dask cluster."""

from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

__all__ = ["open_executor"]


@contextmanager
def open_executor(workers: int = 1, cluster: str | None = None) -> Iterator[Executor | None]:
    """Open an executor for `genbounds.sweeps.run`, and close it afterwards.

    Parameters
    ----------
    workers : int
        Processes on this machine; 1 means this process itself. They are started afresh and not forked, so that nothing
        of this process's state reaches a result.
    cluster : str, optional
        Address of a dask scheduler, such as ``tcp://10.0.0.1:8786``; its workers are used instead. They must be able to
        import the functions.

    Yields
    ------
    Executor or None
        The executor; None stands for this process.

    Raises
    ------
    ValueError
        If the number of workers is below 1, both are given, or the scheduler cannot be reached.
    ImportError
        If a cluster is named and dask.distributed is not installed.
    """
    if workers < 1:
        raise ValueError(f"workers must be a whole number of at least 1, got {workers}. Give the number of cores.")
    if cluster is not None and workers != 1:
        raise ValueError(f"workers must be left out with a cluster, which has its own, got {workers}. Drop it.")
    if cluster is not None:
        try:
            from distributed import Client
        except ImportError as error:
            raise ImportError("A cluster needs dask.distributed. Run: pip install 'genbounds[dask]'") from error
        try:
            client = Client(cluster)
        except OSError as error:
            raise ValueError(f"cluster must be the address of a dask scheduler, got {cluster!r}: {error}.") from error
        with client:
            # Every task is run that is asked for; what was run before is for the store to say.
            yield client.get_executor(pure=False)
    elif workers == 1:
        yield None
    else:
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
