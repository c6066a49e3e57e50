"""A large run is written down by a process of its own, as a small one by a thread, also when one is killed."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from etlctl import runs
from etlctl.core.context import Attempt
from etlctl.core.parameters import DateParameter, IntParameter, Parameter, ParameterVisibility
from etlctl.core.results import RunSummary, Status, TaskResult
from etlctl.core.task import Task
from etlctl.db.state import dictation
from etlctl.db.state.aftermath import close_killed
from etlctl.db.state.history import About, History
from etlctl.db.state.ledger import Begun
from etlctl.db.state.logs import LogStore
from etlctl.db.state.owners import this_process
from etlctl.db.state.provenance import Process
from etlctl.db.state.queries import Reader
from etlctl.db.state.scribe import Scribe
from etlctl.db.state.store import Store
from etlctl.engine.failures import Failure
from etlctl.errors import ExitCode
from etlctl.settings import ConnectionSettings, Secret

RUN = "20261123T080000-abcd"
PATIENCE_S = 30.0


class Dictated(Task):
    """A task with a secret."""

    date = DateParameter()
    password = Parameter(default="hunter2", visibility=ParameterVisibility.PRIVATE)


FIRST, SECOND, THIRD = (Dictated(date=dt.date(2013, 1, day)) for day in (1, 2, 3))


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """A state in a SQLite file."""
    found = Store(ConnectionSettings("state", Secret(sqlite_url)))
    yield found
    found.close()


def _history(kind: type[History], store: Store, logs: Path, said: list[str]) -> History:
    about = About(RUN, "etlctl build Dictated", logs, "prod")
    return kind(store, about, logs=LogStore("logs", logs), warn=said.append)


def _until(is_so: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (found := is_so()):
        assert time.monotonic() < end, f"it did not come to that: {found}"
        time.sleep(0.02)
    return found


def _pid_of(history: History) -> int:
    """Of the process that writes."""
    pen = _until(lambda: vars(history)["_pen"])
    return int(pen._process.pid)


def _play(history: History) -> None:
    """A task with rows, a note and output; one that fails at the second attempt, one behind it; one that was done."""
    results = [
        TaskResult(FIRST, Status.OK, rows=943, duration_s=0.5),
        TaskResult(
            SECOND, Status.FAIL, "it is shut", where="flows.py:7", details=("again",), exit_code=ExitCode.FAILED
        ),
        TaskResult(THIRD, Status.SKIP, "it failed"),
    ]
    history.run_started(RUN, [THIRD], [FIRST, SECOND, THIRD])
    attempt = Attempt(worker="elsewhere:77", log="/nowhere/first.log")
    history.task_started(FIRST, attempt)
    attempt.notes.append("the file holds a header alone")
    history.task_finished(results[0], 1, 3)
    history.task_started(SECOND, again := Attempt())
    history.task_retried(SECOND, Failure("it was shut", ("for the day",), where="flows.py:6"), again, 0.1)
    history.task_started(SECOND, Attempt(number=2))
    history.task_finished(results[1], 2, 3)
    history.task_finished(results[2], 3, 3)
    history.run_finished(RunSummary(RUN, tuple(results), dt.datetime.now(dt.UTC), 1.0))
    history.close(PATIENCE_S)


def _told(store: Store) -> list[object]:
    """All that is on record but for moments, and whose process it was."""
    reader = Reader(store)
    (run,) = reader.runs()
    attempts = [
        (
            one.label,
            one.number,
            one.status,
            one.rows,
            one.parameters,
            one.host,
            one.pid,
            one.error,
            one.where,
            one.notes,
        )
        for one in reader.attempts_of_run(RUN)
    ]
    with store.transaction(write=False) as session:
        events = session.run("SELECT task_id, event_name FROM task_events ORDER BY task_id, id")
    return [run.status, run.exit_code, run.counts, run.planned, run.pid, run.command, run.profile, attempts, events]


def test_scribe_writes_what_a_history_writes(tmp_path: Path) -> None:
    """The same run, told to both: the same runs, attempts, parameters, events; the pid is the run's own."""
    found = []
    for kind in (History, Scribe):
        said: list[str] = []
        store = Store(ConnectionSettings("state", Secret(f"sqlite:///{tmp_path / kind.__name__}.db")))
        _play(_history(kind, store, tmp_path, said))
        assert said == []
        found.append(_told(store))
        store.close()

    assert found[1] == found[0]
    assert os.getpid() in found[1]
    assert "hunter2" not in repr(found[1])


def test_scribe_keeps_the_order_of_moments_by_this_process_s_clock(store: Store, tmp_path: Path) -> None:
    """They are taken when they happen, not when they are written."""
    before = store.now()
    _play(_history(Scribe, store, tmp_path, []))
    after = store.now()

    done = next(one for one in Reader(store).attempts_of_run(RUN) if one.status == "done")
    assert done.started_at is not None and done.ended_at is not None
    assert before - 1 <= done.started_at.timestamp() <= done.ended_at.timestamp() <= after + 1


def test_scribe_is_not_ended_by_what_ends_the_process_group(store: Store, tmp_path: Path) -> None:
    """A Ctrl-C, a SIGTERM to all and the end of the terminal are the run's business: it tells its end."""
    said: list[str] = []
    history = _history(Scribe, store, tmp_path, said)
    history.run_started(RUN, [FIRST], [FIRST])
    _until(lambda: Reader(store).runs() if store.is_there() else ())

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(_pid_of(history), number)
    history.task_finished(TaskResult(FIRST, Status.OK), 1, 1)
    history.run_finished(RunSummary(RUN, (), dt.datetime.now(dt.UTC), 1.0, ExitCode.INTERRUPTED))
    history.close(PATIENCE_S)

    (run,) = Reader(store).runs()
    assert said == []
    assert (run.status, run.exit_code) == ("interrupted", ExitCode.INTERRUPTED)
    assert [one.status for one in Reader(store).attempts_of_run(RUN)] == ["done"]


def test_scribe_that_is_killed_costs_the_run_its_history_and_nothing_else(store: Store, tmp_path: Path) -> None:
    """The run goes on; one sentence tells of it at the end."""
    said: list[str] = []
    history = _history(Scribe, store, tmp_path, said)
    history.run_started(RUN, [FIRST], [FIRST])
    _until(lambda: Reader(store).runs() if store.is_there() else ())

    os.kill(_pid_of(history), signal.SIGKILL)
    history.task_finished(TaskResult(FIRST, Status.OK), 1, 1)
    history.run_finished(RunSummary(RUN, (), dt.datetime.now(dt.UTC), 1.0))
    history.close(PATIENCE_S)

    why = "the process that wrote it has ended. The work itself is not touched by that."
    assert said == [f"the history of run {RUN} is not complete: {why}"]


def test_scribe_that_cannot_be_started_is_done_without(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread writes, as for a small run."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    said: list[str] = []

    _play(_history(Scribe, store, tmp_path, said))

    assert said == []
    assert _told(store)[0] == "failed"


KILLED = """
import datetime as dt, sys, time
from pathlib import Path
from etlctl.core.context import Attempt
from etlctl.core.parameters import IntParameter
from etlctl.core.results import Status, TaskResult
from etlctl.core.task import Task
from etlctl.db.state.history import About
from etlctl.db.state.logs import LogStore
from etlctl.db.state.scribe import Scribe
from etlctl.db.state.store import Store
from etlctl.settings import ConnectionSettings, Secret

class Counted(Task):
    number = IntParameter()

store = Store(ConnectionSettings("state", Secret(sys.argv[1])))
folder = Path(sys.argv[2])
history = Scribe(store, About(sys.argv[3], "etlctl build Counted", folder), logs=LogStore("logs", folder))
done, at_work, waiting = map(Counted, range(3))
history.run_started("", [waiting], [done, at_work, waiting])
for one in (done, at_work):
    history.task_started(one, Attempt())
history.task_finished(TaskResult(done, Status.OK), 1, 3)
while not store.is_there():
    time.sleep(0.01)
print("told", flush=True)
time.sleep(600)
"""


def test_scribe_tells_the_truth_of_a_run_that_was_killed(store: Store, sqlite_url: str, tmp_path: Path) -> None:
    """kill -9 of the run: what was told is written, what was at work is lost, the run is killed, the scribe is gone."""
    command = [sys.executable, "-c", KILLED, sqlite_url, str(tmp_path), RUN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "told\n"
        told = {"Counted(0)": "done", "Counted(1)": "running", "Counted(2)": "pending"}
        try:
            _until(lambda: _statuses(store) == ("running", told))
        finally:
            process.kill()

    _until(
        lambda: _statuses(store) == ("killed", {"Counted(0)": "done", "Counted(1)": "lost", "Counted(2)": "skipped"})
    )


def test_scribe_closes_a_run_that_was_closed_before_its_last_words(store: Store, tmp_path: Path) -> None:
    """The next build was quicker: what began shortly before the kill is lost too, and does not run for ever."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    host, machine, *_, chance = this_process().split(":")
    process = Process(f"{host}:{machine}:{ended.pid}:1:{chance}", ended.pid, time.monotonic())
    history = History(store, About(RUN, "etlctl build Dictated", tmp_path, process=process), warn=lambda text: None)
    history.begin(1)
    _until(lambda: Reader(store).runs() if store.is_there() else ())
    with store.transaction() as session:
        assert close_killed(session, "", 0.0) == [RUN]

    history.tell(Begun(FIRST, time.monotonic(), Attempt()))
    history.close(PATIENCE_S)

    assert history.missing == ""
    assert _statuses(store) == ("killed", {"Dictated(2013-01-01)": "lost"})


def _statuses(store: Store) -> tuple[str, dict[str, str]]:
    with store.transaction(write=False) as session:
        runs_ = session.run("SELECT status FROM etlctl_runs")
        rows = session.run("SELECT label, status FROM etlctl_attempts")
    return " ".join(str(status) for (status,) in runs_), {str(label): str(status) for label, status in rows}


def test_build_of_many_tasks_has_a_scribe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is no child of a task: none is told to have left it running, and what tasks print is kept."""
    from etlctl import settings
    from etlctl.app import App

    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "etlctl.toml").touch()
    monkeypatch.setattr(runs, "_LARGE", 3)
    made: list[History] = []

    def begin(self: Scribe, planned: int) -> None:
        made.append(self)
        History.begin(self, planned)

    monkeypatch.setattr(Scribe, "begin", begin)
    tasks = [Talking(number) for number in range(4)]

    with App.open(settings.load(None, environ={}, cwd=tmp_path)) as app:
        summary = app.build(tasks)

    assert summary, summary.text
    assert len(made) == 1
    assert [result.notes for result in summary.results] == [()] * 4
    store = Store(ConnectionSettings("state", Secret(f"sqlite:///{tmp_path}/.etlctl/state.db")))
    with store.transaction() as session:
        assert session.run("SELECT count(*) FROM etlctl_attempts WHERE status = 'done'") == [(4,)]
        assert session.run("SELECT DISTINCT tail FROM etlctl_logs") == [(b"a word\n",)]
    store.close()


class Talking(Task):
    """Prints."""

    number = IntParameter()
    is_done = False

    def complete(self) -> bool:
        return self.is_done

    def run(self) -> None:
        print("a word")
        self.is_done = True


def test_piece_is_one_line_whatever_is_told() -> None:
    """Line breaks, half a surrogate pair, a number that is none: and what JSON does not know, as text."""
    told = ["task", "two\nlines", "\udce9", "\u2028", 1.5, None, ["y"]]

    data = dictation.piece([told, ["plan", Path("x"), float("inf")]])

    assert data.count(b"\n") == 1 and data.endswith(b"\n")
    assert json.loads(data) == [told, ["plan", "x", float("inf")]]
