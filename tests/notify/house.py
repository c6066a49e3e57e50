"""Settings, tasks and summaries for tests of notifications."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from etlctl import ExternalTask, IntParameter, Parameter, ParameterVisibility, Task
from etlctl.core.results import RunSummary, Status, TaskResult
from etlctl.errors import ExitCode
from etlctl.settings import NotifySettings, Secret

EVERYTHING = ("ok", "fail", "blocked", "held", "recovered", "deadline", "alert")


class Load(Task):
    """Fails, or not, as the test says."""

    day = IntParameter(default=0)
    tags = ("nightly",)


class Report(Task):
    """Another family, without tags."""

    pin = Parameter(default="PIN-98765", visibility=ParameterVisibility.PRIVATE)


class Feed(ExternalTask):
    """What is waited for."""

    day = IntParameter(default=0)


class Needs(Task):
    """Blocked by a feed."""


def settings(kind: str = "webhook", url: str | None = None, **given: Any) -> NotifySettings:
    """One `[notify.ops]`."""
    told: dict[str, Any] = {
        "name": "ops",
        "kind": kind,
        "on": EVERYTHING,
        "tasks": (),
        "tags": (),
        "url": Secret(url) if url is not None else None,
        "timeout_s": 5.0,
        "retries": 0,
        "repeat_s": 3_600.0,
        "options": {},
        "place": "config/etlctl.toml:7: 'notify.ops'",
    }
    return NotifySettings(**{**told, **given})


def failed(task: Task, reason: str = "ValueError: no", **more: Any) -> TaskResult:
    """It ran and raised."""
    return TaskResult(task, Status.FAIL, reason, exit_code=ExitCode.FAILED, error=ValueError("no"), **more)


def blocked(task: Task, reason: str = "feed/1.csv is missing") -> TaskResult:
    """An input is missing."""
    return TaskResult(task, Status.BLOCKED, reason, exit_code=ExitCode.BLOCKED)


def done(task: Task) -> TaskResult:
    """It ran well."""
    return TaskResult(task, Status.OK, rows=3, duration_s=0.5)


def summary(*results: TaskResult, run_id: str = "20261123T050000-ab12", **more: Any) -> RunSummary:
    """The end of a run."""
    return RunSummary(run_id, results, datetime(2026, 11, 23, 5, tzinfo=UTC), 1.5, **more)


def said(records: Sequence[Any]) -> str:
    """The warnings of a log, a line each."""
    return "\n".join(record.getMessage() for record in records if record.levelname == "WARNING")
