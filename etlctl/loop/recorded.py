"""Why tasks of turns that other loops had are not done, by the history of their runs; nothing where none is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from etlctl.core.task import Task
from etlctl.db.state.queries import Reader
from etlctl.db.state.records import AttemptRecord, AttemptStatus, kept_id
from etlctl.db.state.store import Store

_WORSE_FIRST = (AttemptStatus.FAILED, AttemptStatus.BLOCKED, AttemptStatus.HELD)


def reasons_of(store: Store, tasks: Sequence[Task], since: datetime) -> dict[Task, str]:
    """How the last attempt at each ended, of those that ended badly since then. Raises UnavailableError."""
    if not tasks:
        return {}
    found = Reader(store).last_results(task.task_id for task in tasks)
    records = ((task, found.get(kept_id(task.task_id))) for task in tasks)
    return {task: _told(one) for task, one in records if one is not None and _is_bad(one) and _ended_since(one, since)}


def cause_of(store: Store, run_id: str) -> str:
    """`Load(2026-05-07) failed: bad data`: what a run did not end well for; empty for nothing. As reasons_of raises."""
    bad = [one for one in Reader(store).attempts_of_run(run_id) if _is_bad(one)]
    if not bad:
        return ""
    first = min(bad, key=lambda one: (_WORSE_FIRST.index(one.status), one.error.startswith("blocked by ")))
    more = f" (and {len(bad) - 1:,} more)" if len(bad) > 1 else ""
    return f"{first.label} {_told(first)}{more}"


def _is_bad(one: AttemptRecord) -> bool:
    return one.status in _WORSE_FIRST


def _ended_since(one: AttemptRecord, since: datetime) -> bool:
    at = one.ended_at or one.started_at
    return at is None or at >= since


def _told(one: AttemptRecord) -> str:
    reason = one.error.partition("\n")[0]
    return f"{one.status}: {reason}" if reason and not reason.startswith(one.status) else reason or one.status
