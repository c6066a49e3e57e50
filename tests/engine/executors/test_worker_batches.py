"""Many short tasks: workers are handed the next ahead of time, and each has its own end all the same."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.core.graph import Graph
from etlctl.core.results import RunSummary, Status, TaskResult
from etlctl.engine.executors import supervisor
from etlctl.engine.executors.base import Outcome
from etlctl.engine.executors.jobs import Job, Output, State
from etlctl.engine.executors.peer import Worker
from etlctl.engine.executors.pool import Pool
from etlctl.engine.executors.wire import Ledger
from etlctl.engine.executors.workers import LocalExecutor
from etlctl.engine.failures import Failure
from etlctl.engine.runner import Runner
from executor_house import CountedFile, CountedShortFile, Quick, QuickFile, ShortFile, carried_out, within

_MANY = 240
_KINDS = pytest.mark.parametrize("kind", [QuickFile, ShortFile])
"""Several of the first are handed ahead, one of the second."""


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


@_KINDS
def test_short_tasks_run_once_each_in_two_processes(workers: LocalExecutor, kind: type[Quick]) -> None:
    """Each is done by one of two processes, one time."""
    summary = _built(workers, _with("", kind))

    assert not _failed(summary)
    assert len({_written(number) for number in range(_MANY)}) <= 2
    assert not (context.current().project / "logs").exists()


@_KINDS
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
def test_short_task_that_fails_is_the_only_one(workers: LocalExecutor, kind: type[Quick], odd: str, said: str) -> None:
    """Those before it are done, what was handed ahead behind it runs elsewhere, and none twice."""
    summary = _built(workers, _with(odd, kind))

    (failed,) = _failed(summary)
    assert failed.task == kind(number=150, odd=odd)
    assert failed.reason == said
    assert all(_written(number).isdigit() and len(_written(number)) < 9 for number in range(_MANY) if number != 150)


@_KINDS
def test_log_of_a_short_task_that_crashes_holds_where(workers: LocalExecutor, kind: type[Quick]) -> None:
    """Its own log, no other's."""
    _built(workers, _with("segfault", kind))

    (log,) = (context.current().project / "logs").iterdir()
    assert log.name.startswith(kind(number=150, odd="segfault").task_id)
    assert "Fatal Python error: Segmentation fault" in log.read_text()
    assert "its process was killed by signal 11" in log.read_text()


@_KINDS
@pytest.mark.parametrize("every", [1, 2, 50])
def test_output_of_a_short_task_is_in_its_own_log(workers: LocalExecutor, kind: type[Quick], every: int) -> None:
    """print() and descriptors alike; its neighbours have none of it."""
    tasks = [kind(number=number, odd="prints" if number % every == every - 1 else "") for number in range(_MANY)]

    assert not _failed(_built(workers, tasks))

    logs = {log.name: log.read_text() for log in (context.current().project / "logs").iterdir()}
    assert logs == {
        f"{task.task_id}.1": f"printed by {task.number}\nwritten by {task.number}\n" for task in tasks if task.odd
    }


def test_ends_are_told_apart_however_late_they_are_read(project: Path) -> None:
    """One that tells its end by itself among others that do so together, all over before anybody looks."""
    (project / "out").mkdir()
    pool = Pool(project, 1)
    for _ in range(16):
        pool._paces.took(CountedFile, 0.0, is_silent=True)
        pool._paces.took(CountedShortFile, 0.01, is_silent=True)
    try:
        first = CountedFile(number=200, odd="waits for 1")
        tasks = [first, CountedShortFile(number=201), CountedFile(number=202), CountedFile(number=203)]
        attempts = [Attempt() for _ in tasks]
        for task, attempt in zip(tasks, attempts, strict=True):
            pool.submit(task, attempt, (), None)
        assert pool.wait(0.01) is None
        until = time.monotonic() + 60
        with pool._supervisor.lock:
            (project / "out" / "go on").touch()
            while len(list((project / "out").iterdir())) < 5 and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.05)
        outcomes = [pool.wait(30) for _ in tasks]
    finally:
        pool.close()

    assert [outcome.failure for outcome in outcomes if isinstance(outcome, Outcome)] == [None] * 4
    assert [attempt.rows for attempt in attempts] == [200, 201, 202, 203]


def test_what_is_taken_back_is_told_from_what_the_worker_takes_meanwhile(project: Path) -> None:
    """The worker takes the second while we are at taking all of them back."""
    ours, theirs = socket.socketpair()
    worker = Worker(1, ours, os.open(os.devnull, os.O_RDONLY), Ledger())
    worker.equip()
    tasks = [CountedFile(number=number) for number in range(4)]
    first, *ahead = [Job(task, Attempt(), Output(task, "", 0, None), None) for task in tasks]
    for job in (first, *ahead):
        job.is_short = job.is_quick = True
        job.message = {"run": job.task.task_id}
    worker.state, worker.job = State.BUSY, first
    assert [worker.hand(job) for job in ahead] == [True] * 3
    send, queue = worker._orders or (ours, ours)
    worker._orders = send, cast("socket.socket", _Interrupted(queue))

    back = worker.taken_back()

    assert back == [ahead[0], ahead[2]]
    assert worker.goes_on() is ahead[1]
    worker.close()
    theirs.close()


class _Interrupted:
    """A queue of which somebody else takes the second."""

    def __init__(self, queue: socket.socket) -> None:
        self._queue = queue
        self._taken = 0
        self.close = queue.close

    def recv(self, most: int) -> bytes:
        self._taken += 1
        if self._taken == 2:
            self._queue.recv(most)
        return self._queue.recv(most)


@_KINDS
@pytest.mark.parametrize("at", [100, 150, _MANY - 3])
def test_short_task_that_takes_long_for_once_keeps_no_other_waiting(
    workers: LocalExecutor, kind: type[Quick], at: int
) -> None:
    """It ends when all others have: what was handed ahead behind it goes elsewhere. Nothing is lost or runs twice."""
    assert not _failed(_built(workers, _with(f"waits for {_MANY - 1}", kind, at)))
    assert all(len(_written(number)) < 9 for number in range(_MANY))


@_KINDS
def test_timeout_ends_the_short_task_that_hangs_and_no_other(workers: LocalExecutor, kind: type[Quick]) -> None:
    """The signal meets it alone, whatever stands behind it."""
    tasks = [kind(number=n) if n % 80 != 79 else ShortFile(number=n, odd="hangs") for n in range(_MANY)]

    summary = _built(workers, tasks)

    assert {result.task for result in _failed(summary)} == set(tasks[79::80])
    assert {result.reason for result in _failed(summary)} == {"took longer than its timeout of 0.3 s, and was ended"}


@_KINDS
def test_short_task_that_ends_its_process_leaves_the_rest_to_others(workers: LocalExecutor, kind: type[Quick]) -> None:
    """A thread is left behind by one that others stand behind."""
    summary = _built(workers, _with("thread", kind))

    assert not _failed(summary)
    ((note,),) = [result.notes for result in summary.results if result.notes]
    assert note.startswith("run() left 1 thread (Thread-")
    assert all(len(_written(number)) < 9 for number in range(_MANY))


def test_generators_are_never_behind_one_another(workers: LocalExecutor) -> None:
    """One that yields for once, among many of its class that did not, waits without holding up the rest."""
    summary = _built(workers, [Quick(number=n, odd="yields" if n in (150, 151, 200) else "") for n in range(_MANY)])

    assert not _failed(summary), summary.text
    assert all(len(_written(number)) < 9 for number in range(_MANY))


def _warm(workers: LocalExecutor, kind: type[Quick]) -> None:
    """Until some may be handed ahead, on a machine that may be busy."""
    (context.current().project / "out").mkdir()
    number = 1000
    while workers.capacity == 2 or (kind is QuickFile and workers.capacity == 4):
        number += 1
        assert carried_out(workers, kind(number=number)).failure is None


def _waits() -> str:
    """What has tasks wait until _let_go(), or until what waits is ended."""
    return f"waits for {len(os.listdir(_out())) + 1}"


def _let_go() -> None:
    (_out() / "go on").touch()


def _out() -> Path:
    return context.current().project / "out"


@_KINDS
def test_attempts_that_wait_for_a_worker_can_be_taken_back(
    workers: LocalExecutor, kind: type[Quick], monkeypatch: pytest.MonkeyPatch
) -> None:
    """close() with more under way than there are workers: it waits for none of them."""
    monkeypatch.setattr(supervisor, "CLOSE_GRACE_S", 60.0)
    _warm(workers, kind)
    odd = _waits()
    for number in range(100, 100 + workers.capacity):
        workers.submit(kind(number=number, odd=odd), Attempt())

    with within(40):
        workers.close()


@_KINDS
def test_cancel_ends_what_was_handed_ahead_before_it_begins(workers: LocalExecutor, kind: type[Quick]) -> None:
    """It never runs; what stands before and behind it does."""
    _warm(workers, kind)
    odd = _waits()
    tasks = [kind(number=number, odd=odd) for number in range(100, 104)]
    for task in tasks:
        workers.submit(task, Attempt())

    why = Failure("taken over by host b")
    workers.cancel(tasks[2], why)
    with within(60):
        first = workers.wait(30)
        _let_go()
        outcomes = {one.task: one for one in (first, *(workers.wait(30) for _ in tasks[1:])) if one is not None}

    assert [outcomes[task].failure for task in tasks] == [None, None, why, None]
    assert not tasks[2].complete()


@_KINDS
def test_cancel_of_what_runs_leaves_what_was_handed_ahead_behind_it(workers: LocalExecutor, kind: type[Quick]) -> None:
    """That goes to another worker, and is no attempt the more."""
    _warm(workers, kind)
    odd = _waits()
    tasks = [kind(number=number, odd=odd) for number in range(100, 104)]
    for task in tasks:
        workers.submit(task, Attempt())

    why = Failure("taken over by host b")
    workers.cancel(tasks[0], why)
    with within(60):
        first = workers.wait(30)
        _let_go()
        outcomes = {one.task: one for one in (first, *(workers.wait(30) for _ in tasks[1:])) if one is not None}

    assert [outcomes[task].failure for task in tasks] == [why, None, None, None]
    assert all(task.complete() for task in tasks[1:])


def test_attempt_whose_parameters_are_large_waits_for_an_idle_worker(workers: LocalExecutor) -> None:
    """What no datagram holds goes by the channel."""
    summary = _built(workers, [QuickFile(number=n, odd="long " + "x" * (100_000 * (n > 200))) for n in range(_MANY)])

    assert not _failed(summary)
