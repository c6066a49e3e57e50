"""Rows of the history as the values of records.py. Asks nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from etlctl.db.state.owners import is_dead
from etlctl.db.state.records import AttemptRecord, RunRecord, RunStatus, TaskEvent, TaskParameter

RUN = (
    "run_id, command, profile, host, user_name, pid, owner, code_version, etlctl_version, status, started_at, "
    "heartbeat_at, ended_at, exit_code, planned, ok_count, fail_count, skip_count, blocked_count, held_count, "
    "uptodate_count"
)
"""Columns of a RunRecord."""
_COUNTS = ("OK", "FAIL", "SKIP", "BLOCKED", "HELD", "UPTODATE")
ATTEMPT = (
    "a.run_id, a.task_record, a.task_id, a.label, t.name, a.number, a.status, a.started_at, a.ended_at, a.duration_s, "
    "a.row_count, a.host, a.pid, a.error, a.error_place, a.notes, a.log"
)
"""Columns of an AttemptRecord, of `etlctl_attempts a` and `tasks t`."""


def event_of(row: Sequence[Any]) -> TaskEvent:
    """Of id, task_id, event_name and ts: seconds since 1970, or the text that SQLite has."""
    id_, task_id, name, moment = row
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC) if isinstance(moment, str) else moment_of(moment)
    return TaskEvent(int(id_), int(task_id), str(name), at)


def run_of(row: Sequence[Any]) -> RunRecord:
    """Of the columns RUN; one that is told as running, and whose process is seen to be gone, is killed."""
    run_id, command, profile, host, user, pid, owner, code, release, status, started, heartbeat, ended, exit_code = row[
        :14
    ]
    planned, *numbers = row[14:]
    counts = {} if numbers[0] is None else dict(zip(_COUNTS, [int(number or 0) for number in numbers], strict=True))
    if status == RunStatus.RUNNING and is_dead(str(owner)):  # the next build writes it down
        status, ended = RunStatus.KILLED, heartbeat
    return RunRecord(
        str(run_id),
        command or "",
        profile,
        host or "",
        user or "",
        int(pid or 0),
        code,
        release or "",
        str(status),
        moment_of(started),
        moment_of(heartbeat),
        None if ended is None else moment_of(ended),
        None if exit_code is None else int(exit_code),
        int(planned or 0),
        counts,
    )


def attempt_of(row: Sequence[Any], parameters: Mapping[str, TaskParameter]) -> AttemptRecord:
    """Of the columns ATTEMPT, and its parameters."""
    (run_id, record, task_id, label, name, number, status, started, ended, duration, rows, host, pid) = row[:13]
    error, where, notes, log = row[13:]
    return AttemptRecord(
        str(run_id),
        int(record),
        str(task_id),
        label or str(task_id),
        name or "",
        {one: told.value for one, told in parameters.items()},
        int(number),
        str(status),
        None if started is None else moment_of(started),
        None if ended is None else moment_of(ended),
        None if duration is None else float(duration),
        None if rows is None else int(rows),
        host,
        None if pid is None else int(pid),
        error or "",
        where or "",
        tuple((notes or "").splitlines()),
        log or "",
    )


def moment_of(seconds: Any) -> datetime:
    """Aware UTC."""
    return datetime.fromtimestamp(float(seconds), UTC)
