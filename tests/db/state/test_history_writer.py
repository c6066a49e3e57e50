"""A run is written down as it goes, on every database, and is read back as it was."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from etlctl.core.context import Attempt
from etlctl.core.parameters import DateParameter, IntParameter, Parameter, ParameterVisibility
from etlctl.core.results import RunSummary, Status, TaskResult
from etlctl.core.task import Task
from etlctl.db.state import claims, schema
from etlctl.db.state.history import About, History
from etlctl.db.state.logs import TAIL_BYTES, LogStore
from etlctl.db.state.queries import Reader
from etlctl.db.state.store import Store
from etlctl.engine.failures import Failure
from etlctl.errors import ExitCode, UnavailableError
from etlctl.settings import ConnectionSettings, Secret

DAY = dt.date(2013, 1, 2)


class Flights(Task):
    """A task with a secret."""

    date = DateParameter()
    batch = IntParameter(default=500, significant=False)
    password = Parameter(default="hunter2", visibility=ParameterVisibility.PRIVATE)


class Played:
    """A run without a runner: tells an observer what a runner would."""

    def __init__(self, store: Store, run_id: str, *, logs: Path | None = None, **more: Any) -> None:
        self.said: list[str] = []
        self.run_id = run_id
        about = About(run_id, "etlctl build Flights --date 2013-01-02", Path("/nowhere"), "prod", **more)
        self.logs = LogStore("logs", Path(logs or "/nowhere"))
        self.history = History(store, about, logs=self.logs, warn=self.said.append)
        self.results: list[TaskResult] = []

    def starts(self, *tasks: Task) -> None:
        self.history.run_started(self.run_id, tasks[-1:], tasks)

    def begins(self, task: Task, number: int = 1, **more: Any) -> Attempt:
        attempt = Attempt(run_id=self.run_id, number=number, **more)
        self.history.task_started(task, attempt)
        return attempt

    def ends(self, task: Task, status: Status = Status.OK, **more: Any) -> None:
        self.results.append(TaskResult(task, status, **more))
        self.history.task_finished(self.results[-1], len(self.results), 99)

    def is_over(self) -> None:
        self.history.run_finished(RunSummary(self.run_id, tuple(self.results), dt.datetime.now(dt.UTC), 1.0))
        self.history.close()


@pytest.fixture
def history_store(database_url: str) -> Iterator[Store]:
    """A state on each kind of database in turn."""
    store = Store(ConnectionSettings("state", Secret(database_url)))
    yield store
    store.close()


@pytest.fixture
def local_store(sqlite_url: str) -> Iterator[Store]:
    """A state in a SQLite file."""
    store = Store(ConnectionSettings("state", Secret(sqlite_url)))
    yield store
    store.close()


def _until(is_so: Callable[[], Any], patience_s: float = 20) -> Any:
    """Waits until the writer has come so far; what was found."""
    end = time.monotonic() + patience_s
    while not (found := is_so()):
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)
    return found


def test_history_writes_a_run_with_its_tasks_and_attempts(history_store: Store) -> None:
    """The run, its counts, a task done with rows, one that failed at the second attempt, one behind it."""
    first, second, third = (Flights(date=DAY + dt.timedelta(n)) for n in range(3))
    began = dt.datetime.now(dt.UTC)
    run = Played(history_store, "20261122T100000-aaaa")

    run.starts(first, second, third)
    run.begins(first, worker="elsewhere:77").notes.append("a note")
    run.ends(first, rows=943, duration_s=0.5)
    attempt = run.begins(second)
    run.history.task_retried(second, Failure("it was shut", ("for the day",), where="flows.py:7"), attempt, 0.1)
    run.begins(second, 2)
    run.ends(second, Status.FAIL, reason="it was shut", where="flows.py:7", exit_code=ExitCode.FAILED)
    run.ends(third, Status.SKIP, reason="Flights(2013-01-03) failed")
    run.is_over()

    reader = Reader(history_store)
    (told,) = reader.runs()
    assert run.said == []
    assert (told.status, told.exit_code, told.profile, told.planned) == ("failed", 1, "prod", 3)
    assert told.counts == {"OK": 1, "FAIL": 1, "SKIP": 1, "BLOCKED": 0, "HELD": 0, "UPTODATE": 0}
    assert (told.host, told.pid) == (os.uname().nodename, os.getpid())
    assert abs((told.started_at - began).total_seconds()) < 60
    assert told.ended_at is not None and told.ended_at >= told.started_at
    attempts = {(one.label, one.number): one for one in reader.attempts_of_run(told.run_id)}
    assert {key: one.status for key, one in attempts.items()} == {
        ("Flights(2013-01-02)", 1): "done",
        ("Flights(2013-01-03)", 1): "failed",
        ("Flights(2013-01-03)", 2): "failed",
        ("Flights(2013-01-04)", 1): "skipped",
    }
    done = attempts["Flights(2013-01-02)", 1]
    assert (done.rows, done.duration_s, done.host, done.pid) == (943, 0.5, "elsewhere", 77)
    assert attempts["Flights(2013-01-03)", 1].error == "it was shut\nfor the day"
    assert attempts["Flights(2013-01-03)", 2].where == "flows.py:7"
    assert attempts["Flights(2013-01-04)", 1].started_at is None


def test_history_fills_the_tables_of_luigi(history_store: Store) -> None:
    """PENDING, RUNNING, DONE with their moments; public parameters, and no private one anywhere."""
    task = Flights(date=DAY, password="S3cr3t")
    before = time.time()
    run = Played(history_store, "20261122T100000-aaaa")

    run.starts(task)
    run.begins(task)
    run.ends(task)
    run.is_over()

    (record,) = Reader(history_store).records()
    assert (record.task_id, record.name, record.host) == (task.task_id, "Flights", os.uname().nodename)
    assert {name: one.value for name, one in record.parameters.items()} == {"date": "2013-01-02", "batch": "500"}
    assert [event.event_name for event in reversed(record.events)] == ["PENDING", "RUNNING", "DONE"]
    assert all(abs(event.ts.timestamp() - before) < 60 for event in record.events)
    with history_store.transaction(write=False) as session:
        for table in ("tasks", "task_events", "task_parameters", "etlctl_runs", "etlctl_attempts"):
            assert "S3cr3t" not in repr(session.run(f"SELECT * FROM {table}"))


def test_history_gives_each_run_records_of_its_own(history_store: Store) -> None:
    """One task in three runs: three records, and the newest is the one that its task_id finds."""
    task = Flights(date=DAY)

    for number in range(3):
        run = Played(history_store, f"2026112{number}T100000-aaaa")
        run.starts(task)
        run.begins(task)
        run.ends(task)
        run.is_over()

    reader = Reader(history_store)
    newest = reader.newest_record(task.task_id)
    assert newest is not None
    assert len(reader.records()) == 3
    assert newest.id == max(one.id for one in reader.records())
    assert [one.run_id for one in reader.attempts_at_task(task.task_id)] == [
        "20261122T100000-aaaa",
        "20261121T100000-aaaa",
        "20261120T100000-aaaa",
    ]


def test_history_takes_any_text(history_store: Store) -> None:
    """Quotes, percent signs, question marks, NUL, halves of surrogate pairs, any language, and what is too long."""

    class Texts(Task):
        text = Parameter()

    texts = ["it's 100 % :name ?", "a\0b", "\ud800", "Zürich 東京 🛫", "x" * 300, "\\n"]
    tasks = [Texts(text=text) for text in texts]
    run = Played(history_store, "20261122T100000-aaaa")

    run.starts(*tasks)
    for task in tasks:
        run.begins(task)
        run.ends(task, Status.FAIL, reason=task.text)
    run.is_over()

    assert run.said == []
    records = Reader(history_store).records()
    kept = {record.parameters["text"].value for record in records}
    assert kept == {"it's 100 % :name ?", "a\\x00b", "\\ud800", "Zürich 東京 🛫", "x" * 300, "\\n"}


def test_history_of_hundreds_of_tasks_is_whole(history_store: Store) -> None:
    """Rows go in statements of many; each finds its own record."""
    tasks = [Flights(date=DAY + dt.timedelta(n)) for n in range(613)]
    run = Played(history_store, "20261122T100000-aaaa")

    run.starts(*tasks)
    for number, task in enumerate(tasks):
        run.begins(task)
        run.ends(task, rows=number)
    run.is_over()

    attempts = Reader(history_store).attempts_of_run(run.run_id)
    assert {one.label: one.rows for one in attempts} == {task.task_label: n for n, task in enumerate(tasks)}
    assert all(one.parameters["date"] in one.label for one in attempts)


def test_history_shows_what_runs_while_it_runs(history_store: Store) -> None:
    """Another process sees the run, the attempt and the end of its log before it has ended."""
    task = Flights(date=DAY)
    run = Played(history_store, "20261122T100000-aaaa")
    reader = Reader(history_store)

    run.starts(task)
    run.begins(task)

    (running,) = _until(reader.running)
    assert (running.task_id, running.by) == (task.task_id, f"{os.uname().nodename}:{os.getpid()}")
    assert reader.runs()[0].status == "running"
    run.ends(task)
    run.is_over()
    assert reader.running() == []


def test_history_keeps_the_end_of_a_log(history_store: Store, tmp_path: Path) -> None:
    """64 KB, as bytes; also of one that grows, and of bytes that are no text."""
    task = Flights(date=DAY)
    run = Played(history_store, "20261122T100000-aaaa", logs=tmp_path)
    log = Path(run.logs.path_for(run.run_id, task.task_id, 1))
    log.parent.mkdir(parents=True)
    log.write_bytes(b"\xff\x00first")
    reader = Reader(history_store)

    run.starts(task)
    run.begins(task, log=str(log))
    (attempt,) = _until(lambda: [one for one in reader.attempts_of_run(run.run_id) if one.status == "running"])
    early = _until(lambda: reader.log_tail(attempt))
    log.write_bytes(b"\xff\x00first" + b"x" * TAIL_BYTES)
    run.ends(task)
    run.is_over()

    late = reader.log_tail(attempt)
    assert early.tail == b"\xff\x00first"
    assert late is not None
    assert (late.size_bytes, late.tail) == (TAIL_BYTES + 7, b"x" * TAIL_BYTES)


def test_history_of_a_dead_process_is_told_as_killed(history_store: Store) -> None:
    """The run killed, what it was at lost, what it had before it skipped; the next run's own rows are not touched."""
    schema.ensure(history_store)
    program = (
        "import sys, time\n"
        "sys.path[:0] = sys.argv[1:3]\n"
        "from test_history_writer import *\n"
        "store = Store(ConnectionSettings('state', Secret(sys.argv[3])))\n"
        "run = Played(store, '20261122T100000-dead')\n"
        "a, b, c = (Flights(date=DAY + dt.timedelta(n)) for n in range(3))\n"
        "run.starts(a, b, c)\n"
        "run.begins(a); run.ends(a)\n"
        "run.begins(b)\n"
        "while len(Reader(store).attempts_of_run(run.run_id)) < 3 or not Reader(store).running(): time.sleep(0.02)\n"
        "print('now', flush=True)\n"
        "time.sleep(60)\n"
    )
    here = Path(__file__).parent
    url = history_store.settings.url.reveal()
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(here), str(here.parents[1]), url], stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "now\n"
        child.kill()
    before = {one.label: one.status for one in Reader(history_store).attempts_of_run("20261122T100000-dead")}

    task = Flights(date=DAY + dt.timedelta(9))
    run = Played(history_store, "20261122T110000-aaaa")
    run.starts(task)
    run.begins(task)
    run.ends(task)
    found = Flights(date=DAY + dt.timedelta(1))
    run.results.append(TaskResult(found, Status.UPTODATE))
    with history_store.transaction() as session:
        claims.inserted(session, [("of the killed one", found.task_id)], "elsewhere", -1.0)
    run.is_over()

    with history_store.transaction() as session:
        ended = session.run("SELECT state, reason FROM etlctl_leases")
    assert ended == [("released", "its task was found complete in run 20261122T110000-aaaa")]
    reader = Reader(history_store)
    assert set(before.values()) == {"done", "lost", "skipped"}  # on this host one sees that it is gone
    assert [one.status for one in reader.runs()] == ["done", "killed"]
    after = {one.label: one.status for one in reader.attempts_of_run("20261122T100000-dead")}
    assert after == {"Flights(2013-01-02)": "done", "Flights(2013-01-03)": "found", "Flights(2013-01-04)": "skipped"}
    (attempt,) = [one for one in reader.attempts_of_run("20261122T100000-dead") if one.status == "found"]
    assert attempt.notes == ("done (found by marker) in run 20261122T110000-aaaa",)
    record = reader.newest_record(found.task_id)
    assert record is not None
    assert record.events[0].event_name == "DONE"


def test_history_says_found_only_of_what_nobody_else_has_done(local_store: Store) -> None:
    """A run that was killed beside another that did its tasks: what the killed one did is not known."""
    begun, waiting = Flights(date=DAY), Flights(date=DAY + dt.timedelta(1))
    killed = Played(local_store, "20261122T100000-aaaa", beat_s=3600.0)
    killed.starts(begun, waiting)
    killed.begins(begun)
    reader = Reader(local_store)
    _until(reader.running)
    _until(lambda: len(reader.attempts_of_run(killed.run_id)) == 2)
    with local_store.transaction() as session:
        session.run("UPDATE etlctl_runs SET heartbeat_at = heartbeat_at - 1000")
    beside = Played(local_store, "20261122T100001-bbbb")
    beside.starts(begun, waiting)
    for task in (begun, waiting):
        beside.begins(task)
        beside.ends(task)
    beside.is_over()
    third = Played(local_store, "20261122T100002-cccc")
    third.starts()
    third.results += [TaskResult(task, Status.UPTODATE) for task in (begun, waiting)]
    third.is_over()

    assert {one.label: one.status for one in reader.attempts_of_run(killed.run_id)} == {
        "Flights(2013-01-02)": "lost",
        "Flights(2013-01-03)": "skipped",
    }
    killed.history.close()


def test_history_of_a_silent_run_is_told_as_killed_until_it_speaks_again(local_store: Store) -> None:
    """A process that was stopped for long is told as killed; when it goes on, its own word counts."""
    task, other = Flights(date=DAY), Flights(date=DAY + dt.timedelta(1))
    stopped = Played(local_store, "20261122T100000-aaaa", beat_s=3600.0)
    stopped.starts(task)
    stopped.begins(task)
    reader = Reader(local_store)
    _until(reader.running)
    with local_store.transaction() as session:
        session.run("UPDATE etlctl_runs SET heartbeat_at = heartbeat_at - 1000")

    run = Played(local_store, "20261122T110000-aaaa")
    run.starts(other)
    run.is_over()
    meanwhile = {one.run_id: one.status for one in reader.runs()}
    stopped.ends(task)
    stopped.is_over()

    assert meanwhile[stopped.run_id] == "killed"
    assert {one.status for one in reader.runs()} == {"done"}
    assert [one.status for one in reader.attempts_of_run(stopped.run_id)] == ["done"]


def test_history_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    """A file where the folder should be: the calls return, close() says it once."""
    (tmp_path / "state").write_text("in the way")
    store = Store(ConnectionSettings("state", Secret(f"sqlite:///{tmp_path}/state/x.db")))
    task = Flights(date=DAY)
    run = Played(store, "20261122T100000-aaaa")

    run.starts(task)
    run.begins(task)
    run.ends(task)
    run.is_over()
    run.history.close()

    (said,) = run.said
    assert said.startswith("the history of run 20261122T100000-aaaa is not complete: ")


def test_history_goes_on_when_the_database_comes_back(local_store: Store) -> None:
    """What was told while it was locked is written afterwards; nothing is missing, nothing is there twice."""
    tasks = [Flights(date=DAY + dt.timedelta(n)) for n in range(5)]
    run = Played(local_store, "20261122T100000-aaaa")
    run.starts(*tasks)
    reader = Reader(local_store)
    _until(reader.runs)
    failed = threading.Event()
    transaction = local_store.transaction

    def broken(**more: Any) -> Any:
        failed.set()
        raise UnavailableError("gone for a while")

    local_store.transaction = broken  # type: ignore[method-assign]  # a database that is away, at any moment we like
    for task in tasks:
        run.begins(task)
        run.ends(task)
    assert failed.wait(20)
    local_store.transaction = transaction  # type: ignore[method-assign]
    run.is_over()

    assert run.said == []
    assert [one.status for one in reader.attempts_of_run(run.run_id)] == ["done"] * 5
    assert len(reader.records()) == 5


def test_history_that_is_left_without_an_end_is_interrupted(local_store: Store) -> None:
    """An error of the program's own: close() alone."""
    run = Played(local_store, "20261122T100000-aaaa")
    run.starts(Flights(date=DAY))
    run.history.close()

    (told,) = Reader(local_store).runs()
    assert (told.status, told.exit_code) == ("interrupted", None)
    assert run.said == []
