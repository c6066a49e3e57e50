"""What documents tell of tasks by the state database: who is at one now, how it ended last, what is paused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypedDict

from etlctl.cli.plain import instant, rounded

if TYPE_CHECKING:
    from etlctl.db.state.operations import Pause
    from etlctl.db.state.queries import Running
    from etlctl.db.state.records import AttemptRecord


class PauseDocument(TypedDict):
    """One pause."""

    task: Annotated[str, "a task's family, a task_id, or empty: everything"]
    label: Annotated[str, "what it is called on a screen; empty for everything"]
    reason: Annotated[str, "why, or empty"]
    by: Annotated[str, "`user@host` of who paused it"]
    since: Annotated[str | None, "instant in ISO 8601, UTC"]


def pause_document(pause: Pause) -> PauseDocument:
    """One pause."""
    return PauseDocument(
        task=pause.task, label=pause.label, reason=pause.reason, by=pause.by, since=instant(pause.since)
    )


class RunningDocument(TypedDict):
    """Who is at a task now."""

    by: Annotated[str, "`host:pid`"]
    since: Annotated[str, "instant in ISO 8601, UTC"]
    run_id: Annotated[str | None, "its run; null where only its lease is known"]


class LastDocument(TypedDict):
    """How a task ended when it was run last, by the history."""

    status: Annotated[str, "done, failed, lost or found"]
    run_id: Annotated[str, "id of that run"]
    ended_at: Annotated[str | None, "instant in ISO 8601, UTC"]
    duration_s: Annotated[float | None, "seconds it worked"]
    rows: Annotated[int | None, "rows loaded or written"]
    error: Annotated[str, "the error, or empty"]


def running_document(running: Running | None) -> RunningDocument | None:
    """Who is at it."""
    if running is None:
        return None
    return RunningDocument(by=running.by, since=running.since.isoformat(), run_id=running.run_id)


def last_document(last: AttemptRecord | None) -> LastDocument | None:
    """How it ended."""
    if last is None:
        return None
    return LastDocument(
        status=last.status,
        run_id=last.run_id,
        ended_at=instant(last.ended_at),
        duration_s=rounded(last.duration_s),
        rows=last.rows,
        error=last.error,
    )
