"""The story as JSON, one object a line on stderr: `[logs] format = "json"`, for what gathers the logs of containers.

    {"time": "2026-11-23T05:00:00.123Z", "level": "error", "logger": "etlctl", "message": "…", "run": "…", "task": "…",
     "attempt": 1, "status": "FAIL", …}

Every line is one whole object whatever a task, a file's name or an error holds: the text is ASCII, control characters
are written out, and what a task prints is an object a line too. What a child process writes to stderr by itself is not.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from threading import Lock
from typing import Any, TextIO, cast

from etlctl.cli.streams import Streams
from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.core.results import RunSummary, Status, TaskResult, total_line
from etlctl.core.task import Task
from etlctl.text import printable

_WARNING = "warning: "
_LONGEST_LINE = 64 * 1024
_LEVELS = {
    Status.FAIL: "error",
    Status.SKIP: "warning",
    Status.BLOCKED: "warning",
    Status.HELD: "warning",
}


class JsonLog:
    """Makes the lines. As an observer of runs it tells how tasks begin and end, and knows whose words a line holds."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._run = ""
        self._at_work: dict[int, Task] = {}
        self.printing = _Lines(self, "stderr")
        """A stream for what is printed."""

    def line(self, text: str, level: str = "info") -> str:
        """A text of the story as one object."""
        if level == "info" and text.startswith(_WARNING):
            text, level = text.removeprefix(_WARNING), "warning"
        return self._object(level, "etlctl", text)

    def told_at_once(self, text: str) -> None:
        """Writes a text of the story past every buffer: for handlers of signals, which may come in a write."""
        with suppress(OSError):
            os.write(2, f"{self.line(text)}\n".encode())

    def record(self, record: logging.LogRecord, text: str) -> str:
        """A record of `logging`, whose message and traceback are `text`, as one object."""
        return self._object(record.levelname.lower(), record.name, text, at=record.created)

    def printed(self, text: str, name: str, task: Task | None = None) -> None:
        """Writes a line that something has printed to the stream `name`."""
        self._streams.line(self._object("info", name, text, task=task.task_id if task is not None else None))

    def run_started(self, run_id: str, tasks: Sequence[Task], to_run: Sequence[Task]) -> None:
        """See Observer."""
        self._run = run_id
        self._tell(
            "info",
            f"the run begins: {len(to_run):,} task{'' if len(to_run) == 1 else 's'} to run",
            asked=[task.task_id for task in tasks[:20]],
        )

    def task_started(self, task: Task, attempt: Attempt) -> None:
        """See Observer."""
        self._at_work[id(attempt)] = task
        self._tell("info", f"{task.task_label} begins", task=task.task_id, attempt=attempt.number)

    def task_retried(self, task: Task, failure: Any, attempt: Attempt, delay_s: float) -> None:
        """See Observer."""
        self.printing.end(task)
        self._at_work.pop(id(attempt), None)
        text = f"{task.task_label} failed, and is tried again: {failure.reason}"
        self._tell("warning", text, task=task.task_id, attempt=attempt.number, delay_s=round(delay_s, 3))

    def task_finished(self, result: TaskResult, number: int, total: int) -> None:
        """See Observer."""
        task = result.task
        self.printing.end(task)
        self._at_work = {key: one for key, one in self._at_work.items() if one is not task}
        facts = {"status": str(result.status), "rows": result.rows, "duration_s": _rounded(result.duration_s)}
        facts |= {"reason": result.reason or None, "where": result.where or None, "log": result.log or None}
        text = f"{task.task_label} {result.status}{f': {result.reason}' if result.reason else ''}"
        self._tell(_LEVELS.get(result.status, "info"), text, task=task.task_id, **facts)

    def run_finished(self, summary: RunSummary) -> None:
        """See Observer."""
        code = int(summary.exit_code)
        counts = {status.value: number for status, number in summary.counts.items()}
        level = "error" if code else "info"
        self._tell(level, total_line(summary), exit_code=code, counts=counts, duration_s=_rounded(summary.duration_s))
        self._run = ""

    def _tell(self, level: str, text: str, **facts: Any) -> None:
        self._streams.line(self._object(level, "etlctl", text, **facts))

    def _object(self, level: str, logger: str, text: str, at: float | None = None, **facts: Any) -> str:
        moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
        found: dict[str, Any] = {
            "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z",
            "level": level,
            "logger": printable(logger),
            "message": "\n".join(map(printable, text.split("\n"))),
        }
        if self._run:
            found["run"] = self._run
        attempt = context.attempt()
        task = self._at_work.get(id(attempt))
        if task is not None:
            found |= {"task": task.task_id, "attempt": attempt.number}
        found |= {name: value for name, value in facts.items() if value is not None}
        return json.dumps(found)


def _rounded(seconds: float | None) -> float | None:
    return round(seconds, 3) if seconds is not None else None


@contextmanager
def spoken(streams: Streams) -> Iterator[JsonLog]:
    """From here on the story of `streams` is JSON, to the end of the process; within the block what is printed to
    Python's stderr is, too."""
    log = JsonLog(streams)
    streams.told = log.line
    before = sys.stderr
    sys.stderr = cast("TextIO", log.printing)
    try:
        yield log
    finally:
        log.printing.end()
        sys.stderr = before


class _Lines(io.TextIOBase):
    """A stream whose lines become objects. Thread-safe."""

    encoding = "utf-8"

    def __init__(self, log: JsonLog, name: str) -> None:
        self._log = log
        self._name = name
        self._begun = ""
        self._lock = Lock()

    def write(self, text: str) -> int:
        with self._lock:
            *whole, self._begun = (self._begun + text).split("\n")
            if len(self._begun) > _LONGEST_LINE:
                whole, self._begun = [*whole, self._begun], ""
        for line in whole:
            self._log.printed(line.removesuffix("\r"), self._name)
        return len(text)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return 2  # for a child that is given sys.stderr

    def end(self, task: Task | None = None) -> None:
        """A last line without an end, of `task`, is told."""
        with self._lock:
            begun, self._begun = self._begun, ""
        if begun:
            self._log.printed(begun, self._name, task)
