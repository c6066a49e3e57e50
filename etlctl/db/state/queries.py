"""Questions to the history, answered as the values of records.py. Creates and changes nothing.

A state database that is not there yet, one that only Luigi has filled, and one of an older Luigi without
`tasks.task_id` are read too: what they do not hold is empty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from etlctl.db.state import catalog, schema
from etlctl.db.state.owners import holder, is_dead
from etlctl.db.state.records import (
    AttemptRecord,
    AttemptStatus,
    LogTail,
    RunRecord,
    RunStatus,
    TaskEvent,
    TaskParameter,
    TaskRecord,
    kept_id,
)
from etlctl.db.state.rows import ATTEMPT, RUN, attempt_of, event_of, moment_of, run_of
from etlctl.db.state.store import Session, Store

_LUIGIS = ("tasks", "task_events", "task_parameters")
_OURS = (*_LUIGIS, "etlctl_runs", "etlctl_attempts")
_AT_ONCE = 500
"""Ids in one question."""
_SECONDS = {
    "sqlite": "ts",  # a text
    "postgresql": "CAST(extract(epoch FROM ts) AS double precision)",
    "mysql": "UNIX_TIMESTAMP(ts) + 0e0",
}
"""task_events.ts as seconds since 1970, or as SQLite has it."""
_FROM_ATTEMPTS = f"SELECT {ATTEMPT} FROM etlctl_attempts a LEFT JOIN tasks t ON t.id = a.task_record"
_RESULTS = (AttemptStatus.DONE, AttemptStatus.FAILED, AttemptStatus.LOST, AttemptStatus.FOUND)
TRIED = (AttemptStatus.RUNNING, *_RESULTS)
"""What was begun, or found done."""
FAILED = (AttemptStatus.FAILED, AttemptStatus.LOST)
_OF_THE_DEAD = {AttemptStatus.RUNNING: AttemptStatus.LOST, AttemptStatus.PENDING: AttemptStatus.SKIPPED}


SILENT_S = 180.0
"""A run that was not heard of for so long is not taken for running."""
_LIVING = "SELECT run_id, host, pid, owner FROM etlctl_runs WHERE status = :running AND heartbeat_at > :alive"
_UNDER_WAY = (
    "SELECT a.task_id, a.label, a.host, a.pid, a.started_at, a.run_id FROM etlctl_attempts a "
    "JOIN etlctl_runs r ON r.run_id = a.run_id "
    "WHERE r.status = :running AND a.status = :running AND r.heartbeat_at > :alive"
)
_HELD = "SELECT task_id, owner, granted_at FROM etlctl_leases WHERE state = 'running' AND expires_at > :now"


class Running(NamedTuple):
    """A task that somebody is at."""

    task_id: str
    label: str
    """`LoadFlights(2013-01-02)`; the task_id where only its lease is known."""
    by: str
    """`host:pid`."""
    since: datetime
    run_id: str | None
    """None where only its lease is known."""


class Reader:
    """Asks one state database. Each call is a transaction of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._is_checked = False

    def close(self) -> None:
        """Closes its connections; it can be used again."""
        self._store.close()

    @contextmanager
    def _session(self, table: str) -> Iterator[Session | None]:
        """A session to read with; None where `table` is not there, or not yet with all that belongs to it: MySQL makes
        one table after the other. UsageError for a database that is too new."""
        if not self._is_checked:
            schema.check(self._store)
            self._is_checked = True
        needed = {table, *(_LUIGIS if table in _LUIGIS else _OURS)}
        if self._store.tables(*needed) != needed:
            yield None
            return
        with self._store.transaction(write=False) as session:
            yield session

    # -- Luigi's questions

    def records(self) -> list[TaskRecord]:
        """Every record, the oldest first."""
        return self._records("", {})

    def record(self, id_: int) -> TaskRecord | None:
        """The record of this number."""
        return next(iter(self._records("WHERE t.id = :id", {"id": id_})), None)

    def newest_record(self, task_id: str) -> TaskRecord | None:
        """The newest record of a task_id; those of an older Luigi have none."""
        with self._session("tasks") as session:
            if session is None or not _has_task_id(session):
                return None
        return next(reversed(self._records("WHERE t.task_id = :task_id", {"task_id": task_id})), None)

    def records_named(self, name: str, parameters: Mapping[str, str]) -> list[TaskRecord]:
        """Records of a family that have these parameters, the oldest first."""
        condition, values = "WHERE t.name = :name", {"name": name}
        for number, (parameter, text) in enumerate(parameters.items()):
            condition += (
                " AND EXISTS (SELECT 1 FROM task_parameters p WHERE p.task_id = t.id "
                f"AND p.name = :n{number} AND p.value = :v{number})"
            )
            values |= {f"n{number}": parameter, f"v{number}": text}
        return self._records(condition, values)

    def _records(self, condition: str, values: Mapping[str, Any]) -> list[TaskRecord]:
        with self._session("tasks") as session:
            if session is None:
                return []
            task_id = "t.task_id" if _has_task_id(session) else "NULL"
            rows = session.run(f"SELECT t.id, {task_id}, t.name, t.host FROM tasks t {condition} ORDER BY t.id", values)
            ids = [int(row[0]) for row in rows]
            events, parameters = _events_of(session, ids), _parameters_of(session, ids)
        return [
            TaskRecord(int(id_), task_id, str(name), host, tuple(events[int(id_)]), parameters[int(id_)])
            for id_, task_id, name, host in rows
        ]

    def updated_since(self, since: timedelta) -> list[TaskRecord]:
        """Records with an event that is younger than `since`, the one with the newest event first."""
        with self._session("task_events") as session:
            if session is None:
                return []
            border = _border(session)
            sql = f"SELECT DISTINCT task_id FROM task_events WHERE ts >= {border}"
            ids = [int(row[0]) for row in session.run(sql, {"since": session.now() - since.total_seconds()})]
        found = [record for some in _parts(ids) for record in self._records("WHERE t.id IN :ids", {"ids": some})]
        return sorted(found, key=lambda record: (record.events[0].ts, record.id), reverse=True)

    def events(self) -> list[TaskEvent]:
        """Every event, the oldest first."""
        with self._session("task_events") as session:
            if session is None:
                return []
            sql = f"SELECT id, task_id, event_name, {_SECONDS[session.kind]} FROM task_events ORDER BY id"
            return [event_of(row) for row in session.run(sql)]

    # -- ours

    def runs(
        self, *, limit: int | None = None, since: datetime | None = None, statuses: Sequence[str] = ()
    ) -> list[RunRecord]:
        """Runs, the newest first; those that began since `since`, in one of `statuses`."""
        where, values = ["1 = 1"], dict[str, Any]()
        if since is not None:
            where.append("started_at >= :since")
            values["since"] = since.timestamp()
        if statuses:
            where.append("status IN :statuses")
            values["statuses"] = list(statuses)
        most = f" LIMIT {int(limit)}" if limit is not None else ""
        sql = f"SELECT {RUN} FROM etlctl_runs WHERE {' AND '.join(where)} ORDER BY started_at DESC, run_id DESC{most}"
        with self._session("etlctl_runs") as session:
            return [] if session is None else [run_of(row) for row in session.run(sql, values)]

    def runs_named(self, text: str) -> list[RunRecord]:
        """The run of this id; else those whose id begins or ends with `text`, the newest first."""
        escaped = text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        sql = (
            f"SELECT {RUN} FROM etlctl_runs WHERE run_id LIKE :begins ESCAPE '!' OR run_id LIKE :ends ESCAPE '!' "
            "ORDER BY started_at DESC LIMIT 20"
        )
        with self._session("etlctl_runs") as session:
            rows = [] if session is None else session.run(sql, {"begins": f"{escaped}%", "ends": f"%{escaped}"})
        found = [run_of(row) for row in rows]
        return [run for run in found if run.run_id == text] or found

    def attempts_of_run(self, run_id: str) -> list[AttemptRecord]:
        """What a run had to do, in the order in which it was begun; what was not begun comes last."""
        sql = (
            f"{_FROM_ATTEMPTS} WHERE a.run_id = :run_id "
            "ORDER BY CASE WHEN a.started_at IS NULL THEN 1 ELSE 0 END, a.started_at, a.task_record, a.number"
        )
        found = self._attempts(sql, {"run_id": run_id})
        if not any(one.status in _OF_THE_DEAD for one in found) or not self._is_dead(run_id):
            return found
        return [one._replace(status=_OF_THE_DEAD.get(one.status, one.status)) for one in found]

    def _is_dead(self, run_id: str) -> bool:
        return any(run.status == RunStatus.KILLED for run in self.runs_named(run_id))

    def attempts_at(
        self,
        name: str,
        parameters: Mapping[str, Sequence[str]],
        *,
        since: datetime | None = None,
        statuses: Sequence[str] = TRIED,
        limit: int | None = None,
    ) -> list[AttemptRecord]:
        """Attempts in one of `statuses` at tasks of a family, the newest first.

        Each of `parameters` has one of the texts beside it; `since` is of their beginning.
        """
        values: dict[str, Any] = {"name": name, "statuses": list(statuses)}
        where = "t.name = :name AND a.status IN :statuses"
        if since is not None:
            where += " AND a.started_at >= :since"
            values["since"] = since.timestamp()
        for number, (parameter, texts) in enumerate(parameters.items()):
            where += (
                " AND EXISTS (SELECT 1 FROM task_parameters p WHERE p.task_id = a.task_record "
                f"AND p.name = :n{number} AND p.value IN :v{number})"
            )
            values |= {f"n{number}": parameter, f"v{number}": list(texts)}
        most = f" LIMIT {int(limit)}" if limit is not None else ""
        return self._attempts(
            f"SELECT {ATTEMPT} FROM tasks t JOIN etlctl_attempts a ON a.task_record = t.id WHERE {where} "
            f"ORDER BY coalesce(a.started_at, a.ended_at, 0) DESC, a.task_record DESC, a.number DESC{most}",
            values,
        )

    def attempts_at_task(self, task_id: str) -> list[AttemptRecord]:
        """Every attempt at one task, the newest first."""
        sql = (
            f"{_FROM_ATTEMPTS} WHERE a.task_id = :task_id AND a.status IN :statuses "
            "ORDER BY a.task_record DESC, a.number DESC"
        )
        return self._attempts(sql, {"task_id": kept_id(task_id), "statuses": list(TRIED)})

    def last_results(self, task_ids: Iterable[str]) -> dict[str, AttemptRecord]:
        """The newest attempt at each of these tasks that has ended, or was found done; by task_id."""
        sql = (
            f"{_FROM_ATTEMPTS} WHERE a.task_record IN (SELECT max(task_record) FROM etlctl_attempts "
            "WHERE task_id IN :ids AND status IN :statuses GROUP BY task_id) AND a.status IN :statuses "
            "ORDER BY a.task_record, a.number"
        )
        found: dict[str, AttemptRecord] = {}
        for some in _parts(list({kept_id(one) for one in task_ids})):
            values = {"ids": some, "statuses": list(_RESULTS)}
            found.update((one.task_id, one) for one in self._attempts(sql, values, with_parameters=False))
        return found

    def running(self) -> list[Running]:
        """What is being run now, by whoever shares this state; the longest first.

        Leases alone tell of a run whose history is not kept; of one that is, the attempts do, since tasks are claimed
        a little ahead of their turn.
        """
        found: dict[str, Running] = {}
        told: set[str] = set()
        with self._session("etlctl_runs") as session:
            if session is not None:
                values = {"running": RunStatus.RUNNING, "alive": session.now() - SILENT_S}
                living = {
                    run_id: f"{host}:{pid}"
                    for run_id, host, pid, owner in session.run(_LIVING, values)
                    if not is_dead(owner)
                }
                told = set(living.values())
                for task_id, label, host, pid, since, run_id in session.run(_UNDER_WAY, values):
                    if run_id not in living:
                        continue
                    by = f"{host}:{pid}"
                    found[str(task_id)] = Running(
                        str(task_id), label or str(task_id), by, moment_of(since), str(run_id)
                    )
        with self._session("etlctl_leases") as session:
            rows = [] if session is None else session.run(_HELD, {"now": session.now()})
        for task_id, owner, since in rows:
            by = holder(str(owner))
            if by not in told and not is_dead(str(owner)):
                found.setdefault(str(task_id), Running(str(task_id), str(task_id), by, moment_of(since), None))
        return sorted(found.values(), key=lambda one: one.since)

    def log_tail(self, attempt: AttemptRecord) -> LogTail | None:
        """The end of its output; None where it wrote nothing, or its log is too old."""
        sql = "SELECT size_bytes, tail, updated_at FROM etlctl_logs WHERE task_record = :record AND number = :number"
        with self._session("etlctl_logs") as session:
            if session is None:
                return None
            rows = session.run(sql, {"record": attempt.task_record, "number": attempt.number})
        return LogTail(int(rows[0][0]), bytes(rows[0][1]), moment_of(rows[0][2])) if rows else None

    def _attempts(self, sql: str, values: Mapping[str, Any], *, with_parameters: bool = True) -> list[AttemptRecord]:
        with self._session("etlctl_attempts") as session:
            if session is None:
                return []
            rows = session.run(sql, values)
            of = _parameters_of(session, {int(row[1]) for row in rows}) if with_parameters else {}
        return [attempt_of(row, of.get(int(row[1]), {})) for row in rows]


def _has_task_id(session: Session) -> bool:
    found = catalog.found(session, "tasks")
    return found is not None and "task_id" in found.columns


def _border(session: Session) -> str:
    """The instant `:since` as task_events.ts is kept, so that its index is of use."""
    return {
        "sqlite": "strftime('%Y-%m-%d %H:%M:%f', :since, 'unixepoch')",
        "postgresql": "to_timestamp(:since) AT TIME ZONE 'UTC'",
        "mysql": "FROM_UNIXTIME(:since)",
    }[session.kind]


def _events_of(session: Session, ids: Sequence[int]) -> dict[int, list[TaskEvent]]:
    found: dict[int, list[TaskEvent]] = defaultdict(list)
    sql = (
        f"SELECT id, task_id, event_name, {_SECONDS[session.kind]} FROM task_events WHERE task_id IN :ids "
        "ORDER BY ts DESC, id DESC"
    )
    for some in _parts(ids):
        for row in session.run(sql, {"ids": some}):
            event = event_of(row)
            found[event.task_id].append(event)
    return found


def _parameters_of(session: Session, ids: Iterable[int]) -> dict[int, dict[str, TaskParameter]]:
    found: dict[int, dict[str, TaskParameter]] = defaultdict(dict)
    sql = "SELECT task_id, name, value FROM task_parameters WHERE task_id IN :ids ORDER BY task_id, name"
    for some in _parts(list(ids)):
        for id_, name, value in session.run(sql, {"ids": some}):
            found[int(id_)][str(name)] = TaskParameter(int(id_), str(name), "" if value is None else str(value))
    return found


def _parts(ids: Sequence[Any]) -> Iterator[list[Any]]:
    return (list(ids[start : start + _AT_ONCE]) for start in range(0, len(ids), _AT_ONCE))
