"""What history hands out: small values, made of rows by queries.py. Knows no database.

TaskRecord, TaskEvent and TaskParameter have the attributes of Luigi's own; RunRecord and AttemptRecord are ours.
Instants are aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple


class RunStatus:
    """Words of `RunRecord.status`."""

    RUNNING: Final = "running"
    DONE: Final = "done"
    """Exit code 0."""
    FAILED: Final = "failed"
    """Any other exit code that is no signal's."""
    INTERRUPTED: Final = "interrupted"
    KILLED: Final = "killed"
    """It ended without a word; a later run found its process gone, or silent for too long."""


class AttemptStatus:
    """Words of `AttemptRecord.status`."""

    PENDING: Final = "pending"
    """It is to run in this run, and has not begun."""
    RUNNING: Final = "running"
    DONE: Final = "done"
    FAILED: Final = "failed"
    SKIPPED: Final = "skipped"
    """Not run: something it requires failed, or the run ended before its turn."""
    BLOCKED: Final = "blocked"
    HELD: Final = "held"
    LOST: Final = "lost"
    """Its run was killed while it was running; what became of it is not known."""
    FOUND: Final = "found"
    """Its run was killed, and a later run found the task complete: done, and by whom is not known."""


class TaskEvent(NamedTuple):
    """One moment in the life of a recorded task."""

    id: int
    task_id: int
    """`TaskRecord.id`."""
    event_name: str
    """PENDING, RUNNING, DONE or FAILED."""
    ts: datetime
    """Luigi writes its host's own time without a zone: outside of MySQL that is taken for UTC."""


class TaskParameter(NamedTuple):
    """One public parameter of a recorded task."""

    task_id: int
    """`TaskRecord.id`."""
    name: str
    value: str


class TaskRecord(NamedTuple):
    """A task as one run (of Luigi's: one life of the scheduler) met it."""

    id: int
    task_id: str | None
    """None where an older Luigi wrote it."""
    name: str
    """The task's family."""
    host: str | None
    events: tuple[TaskEvent, ...]
    """The newest first."""
    parameters: Mapping[str, TaskParameter]


class RunRecord(NamedTuple):
    """One `etlctl build`, `loop` or `etlctl.build()`."""

    run_id: str
    command: str
    profile: str | None
    host: str
    user: str
    pid: int
    code_version: str | None
    """The commit of the project, where it lies in a git repository."""
    etlctl_version: str
    status: str
    """See RunStatus."""
    started_at: datetime
    heartbeat_at: datetime
    """When it was last heard of."""
    ended_at: datetime | None
    exit_code: int | None
    planned: int
    """Tasks that were to run when it began."""
    counts: Mapping[str, int]
    """Tasks by their status at the end: OK, FAIL, SKIP, BLOCKED, HELD, UPTODATE; empty until then."""

    @property
    def duration_s(self) -> float | None:
        """Seconds from its begin to its end; None for one that has no end yet."""
        return None if self.ended_at is None else (self.ended_at - self.started_at).total_seconds()


class AttemptRecord(NamedTuple):
    """One attempt at one task; of a task that was never begun, the one it would have been."""

    run_id: str
    task_record: int
    """`TaskRecord.id`."""
    task_id: str
    label: str
    """`LoadFlights(2013-01-02)`."""
    name: str
    """The task's family."""
    parameters: Mapping[str, str]
    """Its public ones, as text."""
    number: int
    """From 1 in each run."""
    status: str
    """See AttemptStatus."""
    started_at: datetime | None
    """None for one that never began."""
    ended_at: datetime | None
    duration_s: float | None
    """Seconds it worked: waiting for tasks that it yielded is not counted."""
    rows: int | None
    host: str | None
    pid: int | None
    error: str
    """Its reason on the first line, details below; empty for none."""
    where: str
    """`pipelines/flights.py:41`, or empty."""
    notes: tuple[str, ...]
    log: str
    """Where its whole output is kept: a path or an `s3://` address; empty for nowhere."""


class LogTail(NamedTuple):
    """The end of an attempt's output, as the state database has it."""

    size_bytes: int
    """Of the whole output when this was written."""
    tail: bytes
    updated_at: datetime


def kept_id(task_id: str) -> str:
    """A task_id as the tables have it."""
    return clean(task_id, 200)


def clean(text: str, most: int | None = None) -> str:
    """`text` as every database takes it, in at most `most` characters: no NUL, no half of a surrogate pair."""
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    return text if most is None or len(text) <= most else text[: most - 1] + "…"
