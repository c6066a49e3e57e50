"""The truth about runs that ended without a word (kill -9, a machine that fell), told by the next one.

close_killed    their process is gone, or silent for too long: the run is `killed`, what it was at is `lost`
mark_found      a task that such a run was at, or had before it, is complete: `found`, with Luigi's event DONE
end_left        a lease that such a run had on a task that is complete, which nobody will claim, and end, any more
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from etlctl.db.state import bulk, claims
from etlctl.db.state.claiming import Judge
from etlctl.db.state.owners import is_dead
from etlctl.db.state.records import AttemptStatus, RunStatus
from etlctl.db.state.store import Session

_LOOKED_BACK_S: Final = 30 * 86_400.0
"""Runs that were killed longer ago than this are left as they are."""
_AT_ONCE: Final = 500
_NOT_BEGUN = "not begun when its run was killed"
_LOST = "its run was killed; what became of it is not known"


def close_killed(session: Session, run_id: str, silent_before: float) -> list[str]:
    """Closes the runs that are told as running and are not; their ids. `run_id` is the caller's own."""
    rows = session.run(
        "SELECT run_id, owner, heartbeat_at FROM etlctl_runs WHERE status = :running AND run_id <> :run_id",
        {"running": RunStatus.RUNNING, "run_id": run_id},
    )
    gone = [str(id_) for id_, owner, heartbeat in rows if float(heartbeat) < silent_before or is_dead(str(owner))]
    if not gone:
        return []
    session.run(
        "UPDATE etlctl_runs SET status = :killed, ended_at = heartbeat_at WHERE status = :running AND run_id IN :gone",
        {"killed": RunStatus.KILLED, "running": RunStatus.RUNNING, "gone": gone},
    )
    for before, after, why in (
        (AttemptStatus.RUNNING, AttemptStatus.LOST, _LOST),
        (AttemptStatus.PENDING, AttemptStatus.SKIPPED, _NOT_BEGUN),
    ):
        session.run(
            "UPDATE etlctl_attempts SET status = :after, error = :why WHERE status = :before AND run_id IN :gone",
            {"after": after, "why": why, "before": before, "gone": gone},
        )
    return gone


def close_left(session: Session, run_id: str, silent_before: float) -> None:
    """As `close_killed`, where another process wrote the run down: also when somebody has closed it before the last of
    it was written."""
    session.run(
        "UPDATE etlctl_runs SET status = :running WHERE run_id = :run_id AND status = :killed",
        {"running": RunStatus.RUNNING, "run_id": run_id, "killed": RunStatus.KILLED},
    )
    close_killed(session, "", silent_before)


def mark_found(session: Session, run_id: str, complete: Collection[str], now: float) -> int:
    """Of `complete`, the ids of tasks that are done now: attempts at them that were lost are found; how many.

    Where another run tells that it has done the task since the killed one began, what the killed one did stays unknown.
    """
    rows = session.run(
        "SELECT a.task_record, a.number, a.task_id, r.started_at FROM etlctl_attempts a "
        "JOIN etlctl_runs r ON r.run_id = a.run_id "
        "WHERE r.status = :killed AND r.heartbeat_at > :since AND a.status IN :open",
        {
            "killed": RunStatus.KILLED,
            "since": now - _LOOKED_BACK_S,
            "open": [AttemptStatus.LOST, AttemptStatus.SKIPPED],
        },
    )
    open_ = [(int(row[0]), int(row[1]), str(row[2]), float(row[3])) for row in rows if row[2] in complete]
    done = _done_since(session, {one[2] for one in open_})
    found = [(record, number) for record, number, task_id, begun in open_ if done.get(task_id, 0.0) < begun]
    if not found:
        return 0
    session.run_many(
        "UPDATE etlctl_attempts SET status = :found, ended_at = :now, error = NULL, notes = :notes "
        "WHERE task_record = :record AND number = :number",
        [
            {
                "found": AttemptStatus.FOUND,
                "now": now,
                "notes": f"done (found by marker) in run {run_id}",
                "record": record,
                "number": number,
            }
            for record, number in found
        ],
    )
    events = [(record, "DONE", now) for record in {record for record, _ in found}]
    bulk.insert(session, "task_events", {"task_id": bulk.PLAIN, "event_name": bulk.PLAIN, "ts": bulk.MOMENT}, events)
    return len(found)


def end_left(session: Session, run_id: str, complete: Collection[str]) -> int:
    """Ends what processes that are gone, or have let it expire, hold of `complete` tasks (ids); how many.

    Should one of them wake up all the same, its load ends before its COMMIT, as when it is taken over. What others lock
    is left to them: the fence of a load may, in a process that is stopped.
    """
    ids = {one[: claims.MOST_TASK_ID] for one in complete}
    is_dead = Judge()
    left = [
        key
        for key, task_id, owner, is_late in claims.running(session)
        if task_id in ids and (is_late or is_dead(owner))
    ]
    rows = claims.locked(session, sorted(left)) if left else {}
    over = [key for key, row in rows.items() if row.state == claims.RUNNING and (row.has_expired or is_dead(row.owner))]
    claims.release(session, over, f"its task was found complete in run {run_id}")
    return len(over)


def _done_since(session: Session, task_ids: Collection[str]) -> dict[str, float]:
    """When each task was done last, by a run that says so."""
    ids = sorted(task_ids)
    sql = "SELECT task_id, max(ended_at) FROM etlctl_attempts WHERE task_id IN :ids AND status = :done GROUP BY task_id"
    found: dict[str, float] = {}
    for start in range(0, len(ids), _AT_ONCE):
        values = {"ids": ids[start : start + _AT_ONCE], "done": AttemptStatus.DONE}
        found.update((str(task_id), float(ended or 0)) for task_id, ended in session.run(sql, values))
    return found
