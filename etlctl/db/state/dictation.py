"""What a run tells, on its way to the process that writes it down: plain values as JSON, many in one line.

    Dictation.words(moment)        here: a task is described once, then named by its id
    piece(words) -> bytes          one line
    Transcript.take(words)         there: the same moments again, for a History

Both ends are the same etlctl. Private parameters stay here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from etlctl.core.context import Attempt
from etlctl.core.results import Status, TaskResult
from etlctl.core.task import Task
from etlctl.db.state.history import History
from etlctl.db.state.ledger import Begun, Ended, Moment, Retried, parameters_of

Words = Sequence[Any]


class Dictation:
    """The end in the process of the run. Used by one thread."""

    def __init__(self) -> None:
        self._described: set[str] = set()
        self._attempts: dict[str, Attempt] = {}
        """Under way, by task."""

    def plan(self, task: Task, at_s: float) -> Iterator[Words]:
        """The task is to run."""
        yield from self._described_once(task)
        yield "plan", task.task_id, at_s

    def words(self, moment: Moment) -> Iterator[Words]:
        """What has happened to a task."""
        id_ = moment.task.task_id
        yield from self._described_once(moment.task)
        if isinstance(moment, Begun):
            attempt = self._attempts[id_] = moment.attempt
            yield "begun", id_, moment.at_s, attempt.number, attempt.worker, attempt.log
        elif isinstance(moment, Retried):
            yield "retried", id_, moment.at_s, moment.error, moment.where, *self._said(id_)
        else:
            self._described.discard(id_)
            result = moment.result
            rows = None if result.rows is None else int(result.rows)  # NumPy's are no numbers for JSON
            told = (result.status.value, result.reason, rows, result.duration_s, result.where, result.details)
            yield "ended", id_, moment.at_s, *told, *self._said(id_)

    def _described_once(self, task: Task) -> Iterator[Words]:
        id_ = task.task_id
        if id_ not in self._described:
            self._described.add(id_)
            yield "task", id_, task.task_family, task.task_label, dict(parameters_of(task))

    def _said(self, id_: str) -> tuple[str, list[str]]:
        attempt = self._attempts.pop(id_, None)
        return ("", []) if attempt is None else (attempt.worker, attempt.notes)


class _Told:
    """A task as far as a history knows it; stands for the Task."""

    __slots__ = ("parameters", "task_family", "task_id", "task_label")

    def __init__(self, id_: str, family: str, label: str, parameters: dict[str, str]) -> None:
        self.task_id = id_
        self.task_family = family
        self.task_label = label
        self.parameters = parameters

    def to_str_params(self, *, only_public: bool) -> dict[str, str]:
        return self.parameters


class Transcript:
    """The end in the process that writes: tells `history` what was dictated."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._tasks: dict[str, Any] = {}
        self._attempts: dict[str, Attempt] = {}

    def take(self, words: Words) -> None:
        """One of `Dictation`."""
        what, id_, *rest = words
        if what == "task":
            self._tasks[id_] = _Told(id_, *rest)
        elif what == "plan":
            self._history.plan([self._tasks[id_]], *rest)
        elif what == "begun":
            at_s, number, worker, log = rest
            attempt = self._attempts[id_] = Attempt(number=number, worker=worker, log=log)
            self._history.tell(Begun(self._tasks[id_], at_s, attempt))
        elif what == "retried":
            at_s, error, where, worker, notes = rest
            self._history.tell(Retried(self._tasks[id_], at_s, self._with(id_, worker, notes), error, where))
        else:
            self._end(id_, *rest)

    def _end(
        self,
        id_: str,
        at_s: float,
        status: str,
        reason: str,
        rows: int | None,
        duration_s: float | None,
        where: str,
        details: Sequence[str],
        worker: str,
        notes: list[str],
    ) -> None:
        self._with(id_, worker, notes)
        task = self._tasks.pop(id_)
        result = TaskResult(
            task, Status(status), reason, rows, duration_s=duration_s, where=where, details=tuple(details)
        )
        self._history.tell(Ended(task, at_s, result))

    def _with(self, id_: str, worker: str, notes: list[str]) -> Attempt:
        """The attempt, with what it has told by its end."""
        attempt = self._attempts.pop(id_, None) or Attempt()
        attempt.worker, attempt.notes = worker, notes
        return attempt


def piece(content: Sequence[Words]) -> bytes:
    """What goes through the pipe: a line, since JSON has no line break of its own."""
    return json.dumps(content, default=str, separators=(",", ":")).encode() + b"\n"
