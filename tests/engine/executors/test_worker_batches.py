"""Many short tasks: workers get them several at a time, and each has its own end all the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.core.graph import Graph
from etlctl.core.results import RunSummary, Status, TaskResult
from etlctl.engine.executors.workers import LocalExecutor
from etlctl.engine.runner import Runner
from executor_house import Quick, QuickFile, carried_out

_MANY = 240


def _built(executor: LocalExecutor, tasks: Sequence[Quick]) -> RunSummary:
    folder = context.current().project
    (folder / "out").mkdir()
    graph = Graph()
    runner = Runner(
        graph,
        executor,
        run_id="r1",
        project=folder,
        log_path=lambda task, number: str(folder / "logs" / f"{task.task_id}.{number}"),
    )
    return runner.run(graph.add(tasks))


def _with(odd: str, kind: type[Quick] = QuickFile, at: int = 150) -> list[Quick]:
    return [kind(number=number, odd=odd if number == at else "") for number in range(_MANY)]


def _failed(summary: RunSummary) -> list[TaskResult]:
    return [result for result in summary.results if result.status is not Status.OK]


def _written(number: int) -> str:
    return (context.current().project / "out" / f"quick-{number}").read_text()


def test_short_tasks_run_once_each_in_two_processes(workers: LocalExecutor) -> None:
    """Each is done by one of two processes, one time."""
    summary = _built(workers, _with(""))

    assert not _failed(summary)
    assert len({_written(number) for number in range(_MANY)}) <= 2
    assert not (context.current().project / "logs").exists()


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ("raises", "ValueError: odd"),
        ("segfault", "its process was killed by signal 11 (SIGSEGV): a library it uses crashed; its log holds where"),
        ("exit 0", "its process left by os._exit(0), or a library's exit(), before the task had ended"),
        (
            "killed",
            "its process was killed by signal 9 (SIGKILL); the kernel's OOM killer does that when memory runs out",
        ),
    ],
)
def test_short_task_that_fails_is_the_only_one(workers: LocalExecutor, odd: str, said: str) -> None:
    """Those before it in its batch are done, those behind it run elsewhere, and none twice."""
    summary = _built(workers, _with(odd))

    (failed,) = _failed(summary)
    assert failed.task == QuickFile(number=150, odd=odd)
    assert failed.reason == said
    assert all(_written(number).isdigit() and len(_written(number)) < 9 for number in range(_MANY) if number != 150)


def test_log_of_a_short_task_that_crashes_holds_where(workers: LocalExecutor) -> None:
    """Its own log, no other's."""
    _built(workers, _with("segfault"))

    (log,) = (context.current().project / "logs").iterdir()
    assert log.name.startswith(QuickFile(number=150, odd="segfault").task_id)
    assert "Fatal Python error: Segmentation fault" in log.read_text()
    assert "its process was killed by signal 11" in log.read_text()


def test_output_of_a_short_task_is_in_its_own_log(workers: LocalExecutor) -> None:
    """print() and descriptors alike; its neighbours have none."""
    tasks = [QuickFile(number=number, odd="prints" if number % 50 == 49 else "") for number in range(_MANY)]

    assert not _failed(_built(workers, tasks))

    logs = {log.name: log.read_text() for log in (context.current().project / "logs").iterdir()}
    assert logs == {
        f"{task.task_id}.1": f"printed by {task.number}\nwritten by {task.number}\n" for task in tasks if task.odd
    }


def test_short_task_that_takes_long_for_once_keeps_no_other_from_its_end(workers: LocalExecutor) -> None:
    """Nothing is lost, nothing runs twice."""
    assert not _failed(_built(workers, _with("sleeps")))
    assert all(len(_written(number)) < 9 for number in range(_MANY))


def test_short_task_that_ends_its_process_leaves_the_rest_to_others(workers: LocalExecutor) -> None:
    """A thread is left behind in the middle of a batch."""
    summary = _built(workers, _with("thread"))

    assert not _failed(summary)
    ((note,),) = [result.notes for result in summary.results if result.notes]
    assert note.startswith("run() left 1 thread (Thread-")
    assert all(len(_written(number)) < 9 for number in range(_MANY))


def test_generators_are_never_behind_one_another(workers: LocalExecutor) -> None:
    """One that yields for once, among many of its class that did not, waits without holding up the rest."""
    summary = _built(workers, [Quick(number=n, odd="yields" if n in (150, 151, 200) else "") for n in range(_MANY)])

    assert not _failed(summary), summary.text
    assert all(len(_written(number)) < 9 for number in range(_MANY))


def test_attempts_that_wait_for_a_worker_can_be_taken_back(workers: LocalExecutor, project: Path) -> None:
    """close() with more under way than there are workers."""
    (project / "out").mkdir()
    number = 1000
    while workers.capacity == 2:  # until sixteen in a row were quick, on a machine that may be busy
        number += 1
        assert carried_out(workers, QuickFile(number=number)).failure is None
    for number in range(100, 100 + workers.capacity):
        workers.submit(QuickFile(number=number, odd="sleeps"), Attempt())

    workers.close()
