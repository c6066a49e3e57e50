"""What a run tells, as rows: moments of tasks become records, events and attempts, written in batches.

    ledger.note(moment)          folds it into rows that wait; touches no database
    ledger.write(session)        inserts and updates all that waits, inside the caller's transaction
    ledger.settle()              it was committed: nothing of it waits any more

What waits survives a transaction that failed, and is written by the next one. Used by one thread alone. Private
parameters never get here: `to_str_params(only_public=True)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

from etlctl.core.context import Attempt
from etlctl.core.results import Status, TaskResult
from etlctl.core.task import Task
from etlctl.db.state import bulk
from etlctl.db.state.bulk import MOMENT, PLAIN
from etlctl.db.state.records import AttemptStatus, clean, kept_id
from etlctl.db.state.store import Session
from etlctl.text import shortened

_MOST_ERROR = 8_000
_MOST_VALUE = 16_000
"""Characters of a parameter: Luigi's column is of 65,535 bytes on MySQL."""
_RESULTS: Final[Mapping[Status, str]] = {
    Status.OK: AttemptStatus.DONE,
    Status.UPTODATE: AttemptStatus.DONE,
    Status.FAIL: AttemptStatus.FAILED,
    Status.SKIP: AttemptStatus.SKIPPED,
    Status.BLOCKED: AttemptStatus.BLOCKED,
    Status.HELD: AttemptStatus.HELD,
}
_TASKS = dict.fromkeys(("task_id", "name", "host"), PLAIN)
_EVENTS = {"task_id": PLAIN, "event_name": PLAIN, "ts": MOMENT}
_PARAMETERS = dict.fromkeys(("task_id", "name", "value"), PLAIN)
_KEY = ("task_record", "number")
_PLANNED = dict.fromkeys((*_KEY, "run_id", "task_id", "label", "status"), PLAIN)
_ENDING = ("started_at", "ended_at", "duration_s", "row_count", "host", "pid", "error", "error_place", "notes", "log")
_ATTEMPTS = {**_PLANNED, **dict.fromkeys(_ENDING, PLAIN)}


class Failed(Protocol):
    """What is told of an attempt that is tried again; `engine.failures.Failure` is one."""

    @property
    def reason(self) -> str:
        """One line."""

    @property
    def details(self) -> tuple[str, ...]:
        """More lines."""

    @property
    def where(self) -> str:
        """`pipelines/flights.py:41`, or empty."""


class Begun(NamedTuple):
    """An attempt has begun; `at_s` is of the monotonic clock, here and below."""

    task: Task
    at_s: float
    attempt: Attempt


class Retried(NamedTuple):
    """An attempt has failed, and another one follows."""

    task: Task
    at_s: float
    attempt: Attempt
    error: str
    """Its reason on the first line, details below."""
    where: str


class Ended(NamedTuple):
    """A task has its result, whether it was begun or not."""

    task: Task
    at_s: float
    result: TaskResult


Moment = Begun | Retried | Ended


class Row:
    """One attempt as it will stand in the table; of a task that has not begun, the one it would be."""

    __slots__ = (
        "attempt",
        "duration_s",
        "ended_s",
        "entry",
        "error",
        "number",
        "rows",
        "started_s",
        "status",
        "where",
    )

    def __init__(self, entry: Entry, number: int = 1) -> None:
        self.entry = entry
        self.number = number
        self.status: str = AttemptStatus.PENDING
        self.attempt: Attempt | None = None
        self.started_s: float | None = None
        self.ended_s: float | None = None
        self.duration_s: float | None = None
        self.rows: int | None = None
        self.error = ""
        self.where = ""


class Entry:
    """One task of this run."""

    __slots__ = ("id", "label", "row", "task_id")

    def __init__(self, task: Task) -> None:
        self.task_id = kept_id(task.task_id)
        self.label = shortened(task.task_label, 200)
        self.id = 0
        self.row = Row(self)


class Ledger:
    """The rows of one run."""

    def __init__(self, run_id: str, host: str, pid: int) -> None:
        self.run_id = run_id
        self._host = host
        self._pid = pid
        self._entries: dict[str, Entry | None] = {}
        """By task_id; None for a task that has its result, which is written."""
        self._ended: list[str] = []
        """Those whose result waits to be written."""
        self._new: list[tuple[Entry, Task]] = []
        self._events: list[tuple[Entry, str, float]] = []
        self._rows: dict[Row, None] = {}
        self.running: dict[Row, None] = {}
        """Attempts under way."""
        self.log_of: Callable[[str], str] = str
        """Where the output that goes to a file is to be found in the end; empty for one that was not written to."""

    @property
    def waiting(self) -> int:
        """Rows that wait to be written, more or less."""
        return len(self._new) + len(self._events) + len(self._rows)

    @property
    def changed(self) -> Iterable[Row]:
        """Attempts that wait to be written."""
        return self._rows

    def plan(self, task: Task, at_s: float) -> None:
        """The task is to run in this run."""
        if task.task_id not in self._entries:
            self._enter(task, at_s)

    def _enter(self, task: Task, at_s: float) -> Entry:
        entry = self._entries[task.task_id] = Entry(task)
        self._new.append((entry, task))
        self._events.append((entry, "PENDING", at_s))
        self._rows[entry.row] = None
        return entry

    def note(self, moment: Moment) -> None:
        """Folds what has happened into the rows that wait."""
        entry = self._entries.get(moment.task.task_id) or self._enter(moment.task, moment.at_s)
        if isinstance(moment, Begun):
            self._begin(entry, moment)
        elif isinstance(moment, Retried):
            self._end(entry, moment.at_s, AttemptStatus.FAILED, moment.error, moment.where)
        else:
            self._finish(entry, moment)

    def _begin(self, entry: Entry, moment: Begun) -> None:
        number = moment.attempt.number
        row = entry.row
        if row.number != number:
            row = entry.row = Row(entry, number)
        row.attempt, row.started_s, row.status = moment.attempt, moment.at_s, AttemptStatus.RUNNING
        self._rows[row] = None
        self.running[row] = None
        self._events.append((entry, "RUNNING", moment.at_s))

    def _finish(self, entry: Entry, moment: Ended) -> None:
        result = moment.result
        row = entry.row
        self._ended.append(moment.task.task_id)
        row.rows, row.duration_s = result.rows, result.duration_s
        error = "\n".join((result.reason, *result.details)) if result.reason or result.details else ""
        self._end(entry, moment.at_s, _RESULTS[result.status], error, result.where)
        if result.status is Status.OK:
            self._events.append((entry, "DONE", moment.at_s))
        elif result.status is Status.FAIL:
            self._events.append((entry, "FAILED", moment.at_s))

    def _end(self, entry: Entry, at_s: float, status: str, error: str, where: str) -> None:
        row = entry.row
        row.status, row.ended_s, row.error, row.where = status, at_s, error, where
        if row.duration_s is None and row.started_s is not None:
            row.duration_s = at_s - row.started_s
        self._rows[row] = None
        self.running.pop(row, None)

    # -- writing

    def write(self, session: Session, offset_s: float) -> None:
        """Writes what waits; `offset_s` takes the monotonic clock to the database's."""
        self._insert_records(session)
        events = [(entry.id, name, at_s + offset_s) for entry, name, at_s in self._events]
        bulk.insert(session, "task_events", _EVENTS, events)
        planned = [row for row in self._rows if row.status == AttemptStatus.PENDING]
        bulk.insert(session, "etlctl_attempts", _PLANNED, [self._head(row) for row in planned], key=_KEY)
        told = [row for row in self._rows if row.status != AttemptStatus.PENDING]
        bulk.insert(session, "etlctl_attempts", _ATTEMPTS, [self._values(row, offset_s) for row in told], key=_KEY)

    def settle(self) -> None:
        """What was written last is committed."""
        self._entries.update(dict.fromkeys(self._ended))
        self._new, self._events, self._rows, self._ended = [], [], {}, []

    def reread(self, session: Session) -> None:
        """After a transaction whose end nobody could tell: records that are there already are not made again."""
        if not self._new:
            return
        sql = "SELECT task_id, task_record FROM etlctl_attempts WHERE run_id = :run_id"
        known = {str(task_id): int(record) for task_id, record in session.run(sql, {"run_id": self.run_id})}
        for entry, _ in self._new:
            entry.id = known.get(entry.task_id, 0)
        self._new = [new for new in self._new if not new[0].id]

    def _insert_records(self, session: Session) -> None:
        if not self._new:
            return
        rows = [(entry.task_id, _name(task.task_family), self._host) for entry, task in self._new]
        ids = bulk.insert_counted(session, "tasks", _TASKS, rows)
        values: list[tuple[int, str, str]] = []
        for (entry, task), id_ in zip(self._new, ids, strict=True):
            entry.id = id_
            texts = parameters_of(task)
            values.extend([(id_, _name(name), clean(str(text), _MOST_VALUE)) for name, text in texts.items()])
        bulk.insert(session, "task_parameters", _PARAMETERS, values)

    def _head(self, row: Row) -> list[Any]:
        entry = row.entry
        return [entry.id, row.number, self.run_id, entry.task_id, entry.label, row.status]

    def _values(self, row: Row, offset_s: float) -> list[Any]:
        attempt = row.attempt
        host = pid = notes = log = None
        if attempt is not None:
            host, pid = _place(attempt.worker) if attempt.worker else (self._host, self._pid)
            notes = clean("\n".join(attempt.notes)) if attempt.notes else None
            log = clean(self.log_of(attempt.log), 1_000) if attempt.log else None
        return [
            *self._head(row),
            None if row.started_s is None else row.started_s + offset_s,
            None if row.ended_s is None else row.ended_s + offset_s,
            row.duration_s,
            row.rows,
            host,
            pid,
            clean(row.error, _MOST_ERROR) if row.error else None,
            clean(row.where, 400) if row.where else None,
            notes or None,
            log or None,
        ]


@lru_cache(maxsize=256)
def _name(text: str) -> str:
    """Of a family, or of a parameter: there are few, and many tasks have them."""
    return clean(text, 128)


@lru_cache(maxsize=256)
def _place(worker: str) -> tuple[str, int | None]:
    """Host and pid of `host:pid`."""
    host, _, pid = worker.rpartition(":")
    return clean(host, 128), int(pid) if pid.isdecimal() else None


def parameters_of(task: Task) -> Mapping[str, str]:
    """The public ones, as text."""
    try:
        return task.to_str_params(only_public=True)
    except Exception:  # noqa: BLE001  a kind of the user's own: the task is recorded without
        return {}
