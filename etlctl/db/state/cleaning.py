"""Removes what is old from the state database: runs with all that belongs to them, ends of logs, leases that ended,
turns, stops, alerts and pauses that are over.

Records that only a Luigi has written are Luigi's, and stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from etlctl.db.state import schema
from etlctl.db.state.claims import forget_ended
from etlctl.db.state.records import RunStatus
from etlctl.db.state.store import Session, Store

_AT_ONCE: Final = 500
"""Rows of one transaction, so that nobody who writes waits for long."""
_SILENT_S: Final = 86_400.0
"""A run that is told as running and was not heard of for a day may go too."""


class Pruned(NamedTuple):
    """What was removed, or would be."""

    runs: int = 0
    attempts: int = 0
    logs: int = 0
    """Ends of logs."""
    leases: int = 0
    turns: int = 0
    """Of schedules; the last of each stays."""
    stops: int = 0
    alerts: int = 0
    pauses: int = 0
    """That have ended."""


def pruned(store: Store, *, runs_s: float, logs_s: float, leases_s: float, is_dry: bool) -> Pruned:
    """Removes what is older than each age (seconds): runs, turns, stops and alerts by their beginning (`runs_s`), the
    others by their end.

    Nothing is created: a state that is not there yet has nothing to remove. `is_dry` only counts.
    """
    schema.check(store)
    if not store.tables("etlctl_runs"):
        return Pruned()
    with store.transaction(write=False) as session:
        now = session.now()
        old = {"before": now - runs_s, "running": RunStatus.RUNNING, "heard": now - _SILENT_S}
        run_ids = [str(row[0]) for row in session.run(_OLD_RUNS, old)]
        logs = _counted(session, "etlctl_logs", "updated_at < :before", {"before": now - logs_s})
        leases = _counted(session, "etlctl_leases", _ENDED, {"before": now - leases_s})
    attempts = sum(_prune_run(store, run_id, is_dry=is_dry) for run_id in run_ids)
    if not is_dry and (logs or leases):
        with store.transaction() as session:
            session.run("DELETE FROM etlctl_logs WHERE updated_at < :before", {"before": now - logs_s})
        with store.transaction() as session:
            leases = forget_ended(session, leases_s)
    return Pruned(len(run_ids), attempts, logs, leases, **_pruned_operations(store, runs_s, is_dry=is_dry))


_OLD_RUNS: Final = (
    "SELECT run_id FROM etlctl_runs WHERE started_at < :before AND (status <> :running OR heartbeat_at < :heard)"
)
_ENDED: Final = "expires_at < :before AND coalesce(ended_at, expires_at) < :before"
_OF_RECORDS: Final = (
    "DELETE FROM task_events WHERE task_id IN :records",
    "DELETE FROM task_parameters WHERE task_id IN :records",
    "DELETE FROM etlctl_logs WHERE task_record IN :records",
    "DELETE FROM etlctl_attempts WHERE task_record IN :records",
    "DELETE FROM tasks WHERE id IN :records",
)


_OF_OPERATIONS: Final = {
    "stops": ("etlctl_stops", "stop_at < :before"),
    "alerts": ("etlctl_alerts", "alerted_at < :before"),
    "pauses": ("etlctl_pauses", "resumed_at < :before"),
}
_OLD_TURNS: Final = "profile = :profile AND schedule = :schedule AND number < :last AND began_at < :before"


def _pruned_operations(store: Store, age_s: float, *, is_dry: bool) -> dict[str, int]:
    """Turns, stops, alerts and ended pauses; none where an older release has made the tables."""
    if not store.tables("etlctl_turns"):
        return {}
    with store.transaction(write=not is_dry) as session:
        before = session.now() - age_s
        found = {
            name: _removed(session, table, condition, {"before": before}, is_dry=is_dry)
            for name, (table, condition) in _OF_OPERATIONS.items()
        }
        newest = "SELECT profile, schedule, max(number) FROM etlctl_turns GROUP BY profile, schedule"
        found["turns"] = sum(
            _removed(
                session,
                "etlctl_turns",
                _OLD_TURNS,
                {"profile": profile, "schedule": schedule, "last": last, "before": before},
                is_dry=is_dry,
            )
            for profile, schedule, last in session.run(newest)
        )
    return found


def _removed(session: Session, table: str, condition: str, values: dict[str, Any], *, is_dry: bool) -> int:
    """Rows that are gone; with `is_dry` those that would be."""
    if is_dry:
        return _counted(session, table, condition, values)
    session.run(f"DELETE FROM {table} WHERE {condition}", values)
    return session.rowcount


def _prune_run(store: Store, run_id: str, *, is_dry: bool) -> int:
    """Removes one run, its records first; how many attempts it had."""
    with store.transaction(write=False) as session:
        sql = "SELECT task_record FROM etlctl_attempts WHERE run_id = :run_id"
        found = [int(row[0]) for row in session.run(sql, {"run_id": run_id})]
    if is_dry:
        return len(found)
    records = sorted(set(found))
    for start in range(0, len(records), _AT_ONCE):
        _remove_records(store, records[start : start + _AT_ONCE])
    with store.transaction() as session:
        session.run("DELETE FROM etlctl_runs WHERE run_id = :run_id", {"run_id": run_id})
    return len(found)


def _remove_records(store: Store, records: Sequence[int]) -> None:
    with store.transaction() as session:
        for sql in _OF_RECORDS:
            session.run(sql, {"records": list(records)})


def _counted(session: Session, table: str, condition: str, values: dict[str, Any]) -> int:
    ((number,),) = session.run(f"SELECT count(*) FROM {table} WHERE {condition}", values)
    return int(number)
