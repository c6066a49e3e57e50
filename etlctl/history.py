"""History for Python: what ran, when, for how long, and how it ended. Reads the state database, and creates nothing.

    from etlctl import history
    for record in history.find_all_by_name("LoadFlights"):
        print(record.task_id, [(event.event_name, event.ts) for event in record.events])

The calls of Luigi's DbTaskHistory by their names, over its three tables, which a Luigi may have filled; `find_runs` and
`find_attempts` over what etlctl keeps besides. Called in a task, or in an app, they ask that one's state database;
elsewhere that of the current folder's settings; `History(url)` asks any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

from etlctl.core import context
from etlctl.core.task import Task
from etlctl.db.state.queries import Reader
from etlctl.db.state.records import (
    AttemptRecord,
    AttemptStatus,
    LogTail,
    RunRecord,
    RunStatus,
    TaskEvent,
    TaskParameter,
    TaskRecord,
)
from etlctl.db.state.store import Store
from etlctl.settings import ConnectionSettings, Secret
from etlctl.settings.urls import anchored, masked_url

__all__ = [
    "AttemptRecord",
    "AttemptStatus",
    "History",
    "LogTail",
    "RunRecord",
    "RunStatus",
    "TaskEvent",
    "TaskParameter",
    "TaskRecord",
    "find_all_by_name",
    "find_all_by_parameters",
    "find_all_events",
    "find_all_runs",
    "find_attempts",
    "find_latest_runs",
    "find_runs",
    "find_task_by_id",
    "find_task_by_task_id",
]
_A_DAY = timedelta(days=1)


class History:
    """One state database's history. Errors of the database are UnavailableError; one that is too new, UsageError.

    Its connections end with `close()`, or with the `with` block that it opens.
    """

    def __init__(self, url: str | None = None) -> None:
        """`url` in SQLAlchemy's form, such as Luigi's `db_connection`; without, the state of the settings in force."""
        here = context.current()
        if url is None:
            self._reader = Reader(Store(here.settings.state))
        else:
            place = anchored(url, here.project)
            self._reader = Reader(Store(ConnectionSettings(masked_url(url), Secret(place))))

    def close(self) -> None:
        """Closes its connections; it can be used again."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def find_all_runs(self, session: Any = None) -> list[TaskRecord]:
        """Every record, the oldest first. `session` is taken for Luigi's callers, here and below, and not used."""
        return self._reader.records()

    def find_latest_runs(self, session: Any = None) -> list[TaskRecord]:
        """Records with an event of the past 24 hours, the newest first."""
        return self._reader.updated_since(_A_DAY)

    def find_all_by_name(self, task_name: str, session: Any = None) -> Iterator[TaskRecord]:
        """Records of this family, the oldest first."""
        return self.find_all_by_parameters(task_name, session)

    def find_all_by_parameters(
        self,
        task_name: str,
        session: Any = None,
        **task_params: Any,
    ) -> Iterator[TaskRecord]:
        """Records of this family whose parameters have these values, by their text: `date="2013-01-02"` or a date."""
        texts = {name: str(value) for name, value in task_params.items()}
        return iter(self._reader.records_named(task_name, texts))

    def find_task_by_id(self, id: int, session: Any = None) -> TaskRecord | None:
        """The record of this number; None where there is none."""
        return self._reader.record(int(id))

    def find_task_by_task_id(self, task_id: str, session: Any = None) -> TaskRecord | None:
        """The newest record of this task_id; None where there is none."""
        return self._reader.newest_record(task_id)

    def find_all_events(self, session: Any = None) -> list[TaskEvent]:
        """Every event, the oldest first."""
        return self._reader.events()

    def find_runs(
        self, *, limit: int | None = None, since: datetime | None = None, statuses: Sequence[str] = ()
    ) -> list[RunRecord]:
        """Runs, the newest first; those that began since `since` (aware), in one of `statuses` (see RunStatus)."""
        return self._reader.runs(limit=limit, since=since, statuses=statuses)

    def find_attempts(self, of: str | Task, *, since: datetime | None = None) -> list[AttemptRecord]:
        """Attempts: of a run, by its id, in the order in which they began; or at a task, the newest first."""
        reader = self._reader
        found = reader.attempts_of_run(of) if isinstance(of, str) else reader.attempts_at_task(of.task_id)
        return [one for one in found if since is None or (one.started_at is not None and one.started_at >= since)]

    def find_log(self, attempt: AttemptRecord) -> LogTail | None:
        """The end of an attempt's output, 64 KB at most; None where it wrote nothing, or it was removed since."""
        return self._reader.log_tail(attempt)


def find_all_runs(session: Any = None) -> list[TaskRecord]:
    """See `History`, here and below: the same for the settings in force."""
    with History() as found:
        return found.find_all_runs(session)


def find_latest_runs(session: Any = None) -> list[TaskRecord]:
    """Records with an event of the past 24 hours, the newest first."""
    with History() as found:
        return found.find_latest_runs(session)


def find_all_by_name(task_name: str, session: Any = None) -> Iterator[TaskRecord]:
    """Records of this family, the oldest first."""
    with History() as found:
        return found.find_all_by_name(task_name, session)


def find_all_by_parameters(task_name: str, session: Any = None, **task_params: Any) -> Iterator[TaskRecord]:
    """Records of this family whose parameters have these values, by their text."""
    with History() as found:
        return found.find_all_by_parameters(task_name, session, **task_params)


def find_task_by_id(id: int, session: Any = None) -> TaskRecord | None:
    """The record of this number; None where there is none."""
    with History() as found:
        return found.find_task_by_id(id, session)


def find_task_by_task_id(task_id: str, session: Any = None) -> TaskRecord | None:
    """The newest record of this task_id; None where there is none."""
    with History() as found:
        return found.find_task_by_task_id(task_id, session)


def find_all_events(session: Any = None) -> list[TaskEvent]:
    """Every event, the oldest first."""
    with History() as found:
        return found.find_all_events(session)


def find_runs(
    *, limit: int | None = None, since: datetime | None = None, statuses: Sequence[str] = ()
) -> list[RunRecord]:
    """Runs, the newest first."""
    with History() as found:
        return found.find_runs(limit=limit, since=since, statuses=statuses)


def find_attempts(of: str | Task, *, since: datetime | None = None) -> list[AttemptRecord]:
    """Attempts of a run, or at a task."""
    with History() as found:
        return found.find_attempts(of, since=since)
