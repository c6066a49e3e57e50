"""What the contract leaves to Dask: workers that die, that know other modules or none, that do not end what they
should."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import etlctl
from dask_servers import DaskServers, dask_on, pids_in
from etlctl import settings
from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.engine.executors import dask as dask_module
from etlctl.engine.executors import dask_orders, remote
from etlctl.engine.executors.dask import DaskExecutor
from etlctl.engine.executors.spec import spec_of, spec_of_attempt
from etlctl.engine.executors.wire import encoded
from etlctl.engine.failures import Failure
from etlctl.errors import ExitCode
from executor_house import (
    Dies,
    FileTask,
    Hangs,
    PausesWithinTimeout,
    Prints,
    Spins,
    Yields,
    built,
    carried_out,
    reason,
    timed_out,
    within,
)


def test_worker_that_is_killed_loses_nothing_its_task_runs_elsewhere(dask: DaskExecutor, project: Path) -> None:
    """kill -9 in the middle of run(): another worker begins it again, and the summary says so."""
    task, attempt = Spins(name="once"), Attempt()
    dask.submit(task, attempt)
    os.kill(pids_in(project / "spins")[0], signal.SIGKILL)

    outcome = dask.wait(30)

    assert outcome is not None and outcome.failure is None
    assert len(set(pids_in(project / "spins"))) == 2
    assert len(attempt.notes) == 1
    assert attempt.notes[0].startswith("worker tcp://127.0.0.1:") and "was lost; begun again on tcp" in attempt.notes[0]
    assert attempt.worker == f"{socket.gethostname()}:{pids_in(project / 'spins')[-1]}"


def test_task_that_kills_its_worker_fails_alone(
    dask_servers: DaskServers, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it leaves before a word of it can have gone out; what waits behind it on its worker is not blamed."""
    monkeypatch.setattr(dask_module, "MOST_DEATHS", 1)
    wrong, good = Dies(name="exit 0"), [FileTask(name=str(number)) for number in range(8)]
    executor = dask_on(dask_servers.address, project, connect_timeout_s=90)
    try:
        summary = built(executor, good[0], wrong, *good[1:])
    finally:
        executor.close()

    assert [result.task for result in summary.results if result.status != "OK"] == [wrong]
    assert all(one.complete() for one in good)


@pytest.mark.long
def test_task_that_kills_each_worker_fails_alone(dask: DaskExecutor, tmp_path: Path) -> None:
    """With the cause in words, a retry allowed; what else was under way ends well."""
    wrong, good = Dies(name="killed"), [FileTask(name=str(number)) for number in range(8)]

    summary = built(dask, good[0], wrong, *good[1:])

    (failed,) = [result for result in summary.results if result.status == "FAIL"]
    assert failed.task == wrong
    assert failed.reason.startswith("3 workers died at it, the last was tcp://127.0.0.1:")
    assert failed.reason.endswith(": killed, out of memory, crashed in a library, or left by os._exit()")
    assert not failed.notes
    assert summary.exit_code is ExitCode.FAILED
    assert all(one.complete() for one in good)


def test_finished_task_that_is_ordered_again_is_found_complete(project: Path) -> None:
    """As Dask does when the worker dies that held its answer; a forced one runs again."""
    task = FileTask()
    task.write("before")

    told: list[dict[str, Any]] = []
    answer = remote.carried_out(_order(task, Attempt()), project, told.append, "tcp://w:1")
    assert answer["end"] is None and answer["told"]["notes"] == ["found complete"]
    assert Path(task.output().path).read_text() == "before"
    assert told == [{"begin": True}]
    assert remote.taken() == {"takes": f"{socket.gethostname()}:{os.getpid()}"}

    answer = remote.carried_out(_order(task, Attempt(forced=True)), project, told.append, "tcp://w:1")
    assert answer["end"] is None and answer["told"]["notes"] == []
    assert Path(task.output().path).read_text() == str(os.getpid())


def test_generator_is_begun_again_from_the_top_with_what_it_asked_for(dask: DaskExecutor, project: Path) -> None:
    """A task without outputs, which is never complete, is not asked for a second time."""
    summary = built(dask, Prints(name="yields"))

    assert summary.exit_code == 0, summary.text
    assert (project / "begun").read_text() == "xxx"


def test_needs_of_a_generator_say_that_it_restarts(dask: DaskExecutor) -> None:
    """Nothing of it is kept on the cluster meanwhile, so that nothing is left to abandon."""
    dask.submit(Yields(depth=1), Attempt())

    outcome = dask.wait(30)

    assert outcome is not None and outcome.restarts
    assert outcome.needs == (Yields(depth=0),)
    dask.abandon(Yields(depth=1))
    assert dask.wait(0.2) is None


def test_worker_without_the_module_is_told_and_no_hang(
    dask: DaskExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the worker, the module and what is to be done; the worker goes on with others."""
    file = tmp_path / "flights_here_only.py"
    file.write_text("from etlctl import Task\n\n\nclass Load(Task):\n    def run(self):\n        pass\n")
    spec = importlib.util.spec_from_file_location("flights_here_only", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "flights_here_only", module)
    spec.loader.exec_module(module)

    with within(30):
        said = reason(carried_out(dask, module.Load()))

    assert said.startswith("worker tcp://127.0.0.1:")
    assert said.endswith(
        "cannot import flights_here_only: ModuleNotFoundError: No module named 'flights_here_only'; its pipelines "
        "folder must be the same"
    )
    assert carried_out(dask, FileTask()).failure is None


@pytest.mark.parametrize(
    ("what", "change", "said"),
    [
        ("version", lambda order: order | {"version": "0.0.1"}, "and the build 0.0.1: install the same"),
        (
            "project",
            lambda order: order | {"settings": order["settings"] | {"project": "/nowhere/etl"}},
            "there is no /nowhere/etl on its machine",
        ),
        (
            "settings file",
            lambda order: order | {"settings": order["settings"] | {"file": "/nowhere/etlctl.toml"}},
            "there is no /nowhere/etlctl.toml on its machine",
        ),
        (
            "database",
            lambda order: order | {"settings": order["settings"] | {"connections": {"warehouse": "postgresql://a/b"}}},
            "its connection warehouse leads to sqlite:///PROJECT/.etlctl/warehouse.db, and that of the build to post",
        ),
    ],
)
def test_worker_that_would_do_something_else_refuses(
    dask: DaskExecutor,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    said: str,
) -> None:
    """Another version, no project, another database: nothing of the task runs."""
    monkeypatch.setattr(dask_orders, "encoded", lambda order: encoded(change(order)))

    found = reason(carried_out(dask, FileTask()))

    assert found.startswith("worker tcp://127.0.0.1:") and said in found
    assert not FileTask().complete()


def test_timeout_breaks_off_what_runs_in_python(dask: DaskExecutor, project: Path) -> None:
    """Its `finally` runs, the worker goes on with others, Event.TIMEOUT is told."""
    timed_out.clear()
    with within(40):
        outcome = carried_out(dask, Spins(name="timeout", seconds=60))

    assert reason(outcome) == "took longer than its timeout of 0.5 s, and was ended"
    assert (project / "ended").exists()
    assert timed_out == [("Spins(timeout)", reason(outcome))]
    assert carried_out(dask, FileTask()).failure is None


def test_timeout_fails_an_attempt_that_does_not_end(dask: DaskExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that waits hears nothing: after a grace the attempt has failed, and its worker is named."""
    monkeypatch.setattr(dask_module, "GRACE_S", 0.3)

    outcome = carried_out(dask, Hangs(name="deaf", seconds=8))

    assert "was still at it, and goes on unless it is restarted" in reason(outcome)
    assert "its worker tcp://127.0.0.1:" in reason(outcome)


@pytest.mark.long
def test_timeout_clock_stands_still_while_needs_are_built(dask: DaskExecutor) -> None:
    """What it waits for takes longer than it may itself."""
    assert carried_out(dask, PausesWithinTimeout()).failure is None


def test_cancel_ends_an_attempt_with_the_failure_it_is_given(
    dask: DaskExecutor, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that runs, one that waits for a thread, one that waits for its needs; no grace is waited for."""
    monkeypatch.setattr(dask_module, "GRACE_S", 60.0)
    why = Failure("taken over by host b", exit_code=ExitCode.HELD)
    running, waiting = Spins(seconds=60), Yields(depth=1)
    dask.submit(waiting, Attempt())
    assert dask.wait(30) is not None
    dask.submit(running, Attempt())
    pids_in(project / "spins")
    assert dask.wait(0.3) is None

    with within(30):
        for task in (waiting, running):
            dask.cancel(task, why)
            outcome = dask.wait(30)
            assert outcome is not None and outcome.task == task and outcome.failure is why
    assert (project / "ended").exists()


def test_output_beyond_the_end_is_told_to_be_left_out(dask: DaskExecutor, tmp_path: Path) -> None:
    """The log has the last 64 KiB, after a notice; other threads' output goes there too."""
    log = tmp_path / "log"

    assert carried_out(dask, Prints(name="much"), Attempt(log=str(log))).failure is None

    text = log.read_text()
    assert "bytes are left out here; a worker of a cluster sends the end alone]" in text[:200]
    assert text.endswith("by a thread\nthe end\n")
    assert 65_000 < len(text) < 67_000


def test_output_is_shown_in_printable_lines(dask_servers: DaskServers, project: Path) -> None:
    """When the attempt has ended."""
    shown: list[str] = []
    executor = dask_on(
        dask_servers.address,
        project,
        shown=lambda task, line: shown.append(f"{task.task_label}: {line}"),
        connect_timeout_s=90,
    )
    try:
        carried_out(executor, Prints(name="colours"))
    finally:
        executor.close()

    assert shown == ["Prints(colours): \\x1b[31mred"]


def _order(task: FileTask, attempt: Attempt) -> dict[str, Any]:
    order = {"order": "a-1", "task": spec_of(task), "attempt": spec_of_attempt(attempt), "met": []}
    found: dict[str, Any] = json.loads(json.dumps(order))
    return found


def test_order_holds_no_class_and_no_password(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, texts, where connections lead."""
    environ = {"ETLCTL_CONNECTIONS_WAREHOUSE_URL": "postgresql://etl:hunter2@db.example.com/dw"}
    told = dask_orders.settings_told(settings.load(None, environ=environ, cwd=project))

    assert "hunter2" not in json.dumps(told)
    assert told["connections"] == {"warehouse": "postgresql://etl:***@db.example.com/dw"}
    assert told["project"] == str(context.current().project)
    assert etlctl.__version__


def test_order_that_was_given_up_is_ended_where_it_begins_all_the_same(dask: DaskExecutor, project: Path) -> None:
    """As one that Dask had sent to another worker before it heard of it: the next attempt would run beside it."""
    task = Spins(seconds=100)
    dask.submit(task, Attempt())
    (job,) = dask._by_order.values()
    pids_in(project / "spins")
    dask._by_order.clear()  # its begin is not yet looked at: that is what wait() does

    with within(60):
        while not (project / "ended").exists():
            assert dask.wait(0.1) is None
    assert job.on == ""
