"""Runs: the same results on any executor, whatever is killed, damaged or fails on the way."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from genbounds.sweeps import Store, Task, TaskError, open_executor, run

ROOT = Path(__file__).parents[2]


def draws(count=5, **more):
    return [Task("sweep_work:draw", {"size": size, "scale": 2.0, **more}) for size in range(1, count + 1)]


def entries(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.npz")}


def reference(tmp_path, tasks):
    list(run(tasks, store=Store(tmp_path / "reference")))
    return entries(tmp_path / "reference")


def test_a_result_depends_on_the_task_alone(work):
    task = draws()[2]
    (outcome,) = run([task])
    np.testing.assert_array_equal(outcome.result["values"], 2 * np.random.default_rng(task.seed).standard_normal(3))
    assert (outcome.computed, outcome.result["size"]) == (True, 3)


def test_a_process_pool_gives_the_same_bytes(work, tmp_path):
    tasks = draws()
    with open_executor(2) as executor:
        outcomes = list(run(reversed(tasks), store=Store(tmp_path / "pool"), executor=executor))
    assert {outcome.task.id for outcome in outcomes} == {task.id for task in tasks}
    assert entries(tmp_path / "pool") == reference(tmp_path, tasks)


def test_threads_give_the_same_bytes(work, tmp_path):
    with ThreadPoolExecutor(3) as executor:
        list(run(draws(), store=Store(tmp_path / "threads"), executor=executor))
    assert entries(tmp_path / "threads") == reference(tmp_path, draws())


@pytest.mark.filterwarnings("default")  # the cluster's own threads and sockets
def test_a_dask_cluster_gives_the_same_bytes(work, tmp_path):
    distributed = pytest.importorskip("distributed", reason="the cluster needs dask.distributed")
    with (
        distributed.LocalCluster(1, processes=False, threads_per_worker=2, dashboard_address=None) as cluster,
        open_executor(cluster=cluster.scheduler_address) as executor,
    ):
        list(run(draws(), store=Store(tmp_path / "dask"), executor=executor))
        with pytest.raises(TaskError, match="no such luck"):
            list(run([Task("sweep_work:fail", {"number": 2})], executor=executor))
    assert entries(tmp_path / "dask") == reference(tmp_path, draws())


def test_what_the_store_has_is_not_computed(work, tmp_path):
    store = Store(tmp_path / "store")
    list(run(draws(3), store=store))
    before = {path: path.stat().st_mtime_ns for path in store.folder.rglob("*.npz")}
    outcomes = list(run(draws(5), store=store))
    assert [outcome.computed for outcome in outcomes] == [False] * 3 + [True] * 2
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for outcome, fresh in zip(outcomes, run(draws(5)), strict=True):
        np.testing.assert_array_equal(outcome.result["values"], fresh.result["values"])
        assert outcome.result["size"] == fresh.result["size"]


def test_the_same_task_twice_is_run_once(work):
    assert len(list(run([*draws(2), *draws(2)]))) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_resumed(work, tmp_path, workers):
    """A process killed by SIGKILL leaves whole entries; resuming computes the others, to the same bytes."""
    store = Store(tmp_path / "store")
    script = tmp_path / "script.py"
    script.write_text(
        "from genbounds.sweeps import Store, Task, open_executor, run\n"
        "if __name__ == '__main__':\n"
        "    tasks = [Task('sweep_work:draw', {'size': n, 'scale': 2.0, 'wait': 0.15}) for n in range(1, 13)]\n"
        f"    with open_executor({workers}) as executor:\n"
        f"        list(run(tasks, store=Store({str(store.folder)!r}), executor=executor))\n",
        encoding="utf-8",
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    process = subprocess.Popen([sys.executable, str(script)], env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while len(entries(store.folder)) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in store.folder.rglob("*.npz")}
    assert 3 <= len(kept) < 12
    tasks = draws(12, wait=0.15)
    outcomes = list(run(tasks, store=store))
    assert sum(not outcome.computed for outcome in outcomes) == len(kept)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    with ThreadPoolExecutor(12) as executor:
        list(run(tasks, store=Store(tmp_path / "fresh"), executor=executor))
    assert entries(store.folder) == entries(tmp_path / "fresh")


def test_damaged_entries_are_computed_again(work, tmp_path):
    tasks = draws(3)
    whole = reference(tmp_path, tasks)
    store = Store(tmp_path / "reference")
    content = bytearray(store.path(tasks[0]).read_bytes())
    content[len(content) // 2] ^= 1
    store.path(tasks[0]).write_bytes(content)
    store.path(tasks[1]).write_bytes(content[:100])
    with pytest.warns(UserWarning, match="an entry of the store is not used") as caught:
        outcomes = list(run(tasks, store=store))
    assert len(caught) == 2
    assert sorted(outcome.computed for outcome in outcomes) == [False, True, True]
    assert entries(store.folder) == whole


def test_an_entry_of_another_task_is_not_taken(work, tmp_path):
    tasks = draws(2)
    whole = reference(tmp_path, tasks)
    store = Store(tmp_path / "reference")
    store.path(tasks[0]).write_bytes(store.path(tasks[1]).read_bytes())
    with pytest.warns(UserWarning, match="is of another task"):
        list(run(tasks, store=store))
    assert entries(store.folder) == whole


def test_writers_at_once(work, tmp_path):
    """Many writers of one entry: every reader finds none or a whole one."""
    task, store = draws(1)[0], Store(tmp_path / "store")
    (outcome,) = run([task])
    with ThreadPoolExecutor(8) as executor:
        writes = [executor.submit(store.write, task, outcome.result) for _ in range(60)]
        reads = [executor.submit(store.read, task) for _ in range(60)]
        for write in writes:
            write.result()
        for read in reads:
            found = read.result()
            assert found is None or np.array_equal(found["values"], outcome.result["values"])
    assert [path.name for path in store.folder.rglob("*") if path.is_file()] == [f"{task.id}.npz"]


def test_a_failing_task_is_named(work, tmp_path):
    tasks = [Task("sweep_work:fail", {"number": number}) for number in range(4)]
    message = rf"task {tasks[2].id[:12]} \(sweep_work:fail, {{\"number\": 2}}\) failed: OSError: no such luck"
    store = Store(tmp_path / "store")
    with pytest.raises(TaskError, match=message) as caught:
        list(run(tasks, store=store))
    assert "in fail" in caught.value.__notes__[0]
    assert len(entries(store.folder)) == 2
    with ThreadPoolExecutor(1) as executor, pytest.raises(TaskError, match=message):
        list(run(tasks, store=store, executor=executor))
    assert len(entries(store.folder)) >= 2


def test_what_runs_beside_a_failure_is_kept(work, tmp_path):
    slow = Task("sweep_work:draw", {"size": 1, "scale": 1.0, "wait": 0.3})
    late = draws(30, wait=0.2)
    with ThreadPoolExecutor(2) as executor, pytest.raises(TaskError, match="no such luck"):
        list(run([slow, Task("sweep_work:fail", {"number": 2}), *late], store=Store(tmp_path / "s"), executor=executor))
    assert Store(tmp_path / "s").path(slow).exists()
    assert len(entries(tmp_path / "s")) < 5


def test_errors_that_cannot_travel_and_workers_that_die(work):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        with pytest.raises(TaskError, match="Odd: what no process"):
            list(run([Task("sweep_work:odd", {})], executor=executor))
        with pytest.raises(TaskError, match="BrokenProcessPool"):
            list(run([Task("sweep_work:die", {})], executor=executor))
        with pytest.raises(TaskError, match="could not be begun: BrokenProcessPool"):
            list(run(draws(), executor=executor))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_function_that_leaves_the_program_has_failed(work, workers):
    with open_executor(workers) as executor, pytest.raises(TaskError, match="SystemExit: 7"):
        list(run([Task("sweep_work:leave", {})], executor=executor))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_function_changes_in_place_reaches_no_other_task(work, workers):
    """Two tasks that share memory and a list, the second a view that is neither in C order nor native."""
    shared, items = np.zeros((4, 6)), [1]
    views = [shared, shared.T[::2].view(">f8")]
    with open_executor(workers) as executor:
        tasks = [Task("sweep_work:change", {"items": items}, {"x": view}) for view in views]
        found = {outcome.task.id: outcome.result for outcome in run(tasks, executor=executor)}
    wanted = [{"total": total, "items": 2, "order": True, "native": True} for total in (24.0, 12.0)]
    assert [found[task.id] for task in tasks] == wanted
    assert not shared.any()
    assert items == [1]


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [("list", "must return a mapping, got a list"), ("object", "as 'x'"), ("nan", "JSON values, got nan as 'x'")],
)
def test_results_that_are_no_tables(work, kind, complaint):
    with pytest.raises(TaskError, match=complaint):
        list(run([Task("sweep_work:wrong", {"kind": kind})]))


def test_an_interrupt_keeps_what_is_done(work, tmp_path):
    tasks = [Task("sweep_work:interrupt", {"number": number}) for number in range(4)]
    with pytest.raises(KeyboardInterrupt):
        list(run(tasks, store=Store(tmp_path / "store")))
    assert len(entries(tmp_path / "store")) == 2


def test_a_reader_who_leaves_cancels_the_rest(work, tmp_path):
    with ThreadPoolExecutor(1) as executor:
        outcomes = run(draws(20, wait=0.05), store=Store(tmp_path / "store"), executor=executor)
        next(outcomes)
        outcomes.close()
    assert len(entries(tmp_path / "store")) < 5


def test_executors_refuse():
    with pytest.raises(ValueError, match="at least 1, got 0"), open_executor(0):
        pass
    with pytest.raises(ValueError, match="must be left out with a cluster"), open_executor(3, "tcp://127.0.0.1:1"):
        pass


def test_a_cluster_needs_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"genbounds\[dask\]"), open_executor(cluster="tcp://127.0.0.1:1"):
        pass
