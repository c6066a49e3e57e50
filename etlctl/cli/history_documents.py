"""The documents that `--json` of `etlctl history` and `etlctl logs` prints, and how they are made; see documents.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final, TypedDict

from etlctl.cli.documents import Document, head
from etlctl.cli.plain import instant, rounded

if TYPE_CHECKING:
    from etlctl.db.state.records import AttemptRecord, RunRecord


class RunDocument(TypedDict):
    """One run."""

    run_id: Annotated[str, "id of the run"]
    status: Annotated[str, "running, done, failed, interrupted or killed"]
    exit_code: Annotated[int | None, "what it exited with; null while it runs, and when it was killed"]
    command: Annotated[str, "what was typed, without private values"]
    profile: Annotated[str | None, "profile of the settings"]
    started_at: Annotated[str | None, "instant in ISO 8601, UTC"]
    ended_at: Annotated[str | None, "instant in ISO 8601, UTC; of one that was killed, when it was last heard of"]
    heartbeat_at: Annotated[str | None, "when it was last heard of"]
    duration_s: Annotated[float | None, "seconds; null while it runs"]
    host: Annotated[str, "machine it ran on"]
    user: Annotated[str, "who ran it"]
    pid: Annotated[int, "its process there"]
    code_version: Annotated[str | None, "commit of the project; null outside of a git repository"]
    etlctl_version: Annotated[str, "release of etlctl"]
    planned: Annotated[int, "tasks that were to run when it began"]
    counts: Annotated[dict[str, int], "tasks by status at its end; empty until then"]


class AttemptDocument(TypedDict):
    """One attempt at one task."""

    run_id: Annotated[str, "id of its run"]
    task_id: Annotated[str, "the id in the marker table"]
    family: Annotated[str, "the task's name on the command line"]
    label: Annotated[str, "its short name on a screen"]
    params: Annotated[dict[str, str], "its public parameters as text"]
    number: Annotated[int, "which attempt of its run, from 1"]
    status: Annotated[str, "pending, running, done, failed, skipped, blocked, held, lost or found"]
    started_at: Annotated[str | None, "instant in ISO 8601, UTC; null when it did not begin"]
    ended_at: Annotated[str | None, "instant in ISO 8601, UTC; null until it ends"]
    duration_s: Annotated[float | None, "seconds it worked; null when it did not end"]
    rows: Annotated[int | None, "rows loaded or written; null when it counts none"]
    host: Annotated[str | None, "machine of the process that ran it"]
    pid: Annotated[int | None, "that process"]
    error: Annotated[str, "the error, its reason on the first line; empty for none"]
    where: Annotated[str, "file and line of the code that failed, or empty"]
    notes: Annotated[list[str], "sentences worth telling although nothing failed"]
    log: Annotated[str, "where its whole output is kept, or empty"]


class HistoryDocument(Document):
    """`etlctl/history`: runs, or what was done in one, or to one task."""

    runs: Annotated[list[RunDocument], "the newest first; with a RUN that one; with a TASK none"]
    attempts: Annotated[list[AttemptDocument], "of a RUN in the order of their beginning; of TASKs the newest first"]


class LogDocument(AttemptDocument):
    """The output of one attempt."""

    text: Annotated[str, "what it wrote; bytes that are no UTF-8 are written out"]
    whole: Annotated[bool, "whether `text` is all of it; false for the last 64 KB that the state database has"]


class LogsDocument(Document):
    """`etlctl/logs`: what attempts of a run wrote."""

    run_id: Annotated[str, "id of the run"]
    logs: Annotated[list[LogDocument], "of the attempts that wrote something, in the order of their beginning"]


SCHEMAS: Final[dict[str, type[Any]]] = {"etlctl/history": HistoryDocument, "etlctl/logs": LogsDocument}
"""The documents of this file, by their `schema`."""


def history_document(runs: Iterable[RunRecord], attempts: Iterable[AttemptRecord]) -> HistoryDocument:
    """What was asked for."""
    return HistoryDocument(
        **head("etlctl/history"),
        runs=[_run_document(run) for run in runs],
        attempts=[attempt_document(attempt) for attempt in attempts],
    )


def logs_document(run_id: str, logs: Iterable[tuple[AttemptRecord, str, bool]]) -> LogsDocument:
    """Attempts with their text, and whether it is the whole."""
    return LogsDocument(
        **head("etlctl/logs"),
        run_id=run_id,
        logs=[LogDocument(**attempt_document(attempt), text=text, whole=whole) for attempt, text, whole in logs],
    )


def _run_document(run: RunRecord) -> RunDocument:
    return RunDocument(
        run_id=run.run_id,
        status=run.status,
        exit_code=run.exit_code,
        command=run.command,
        profile=run.profile,
        started_at=instant(run.started_at),
        ended_at=instant(run.ended_at),
        heartbeat_at=instant(run.heartbeat_at),
        duration_s=rounded(run.duration_s),
        host=run.host,
        user=run.user,
        pid=run.pid,
        code_version=run.code_version,
        etlctl_version=run.etlctl_version,
        planned=run.planned,
        counts=dict(run.counts),
    )


def attempt_document(attempt: AttemptRecord) -> AttemptDocument:
    """One attempt."""
    return AttemptDocument(
        run_id=attempt.run_id,
        task_id=attempt.task_id,
        family=attempt.name,
        label=attempt.label,
        params=dict(attempt.parameters),
        number=attempt.number,
        status=attempt.status,
        started_at=instant(attempt.started_at),
        ended_at=instant(attempt.ended_at),
        duration_s=rounded(attempt.duration_s),
        rows=attempt.rows,
        host=attempt.host,
        pid=attempt.pid,
        error=attempt.error,
        where=attempt.where,
        notes=list(attempt.notes),
        log=attempt.log,
    )
