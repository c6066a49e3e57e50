"""How the tasks of a turn stand while it goes on, and after it: what is not done, and why. Asks no database.

The build tells it as one of its observers; whoever looks at deadlines asks it, from another thread too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Lock
from typing import Any

from etlctl.core.context import Attempt
from etlctl.core.daytime import deadline_of
from etlctl.core.results import RunSummary, Status, TaskResult
from etlctl.core.task import Task, requirements_of
from etlctl.loop.clock import Clock
from etlctl.loop.story import moment_text
from etlctl.schedule import Schedule

_DONE = (Status.OK, Status.UPTODATE)
_WORSE_FIRST = (Status.FAIL, Status.BLOCKED, Status.HELD, Status.SKIP)
_WORDS = {Status.FAIL: "failed", Status.BLOCKED: "blocked", Status.HELD: "held", Status.SKIP: "not run"}


class Standing:
    """That of the last build of a schedule's turn. An Observer, thread-safe."""

    def __init__(
        self, schedule: Schedule, due: datetime, clock: Clock, on_started: Callable[[], object] = lambda: None
    ) -> None:
        """`on_started` is called once the build has what it needs and has forked what it will fork from."""
        self.schedule = schedule
        self.due = due
        """Of the turn."""
        self._clock = clock
        self._on_started = on_started
        self._guard = Lock()
        self._left: set[Task] = set()
        self._deadlines: dict[Task, str] = {}
        """Of tasks that are not done."""
        self._kept: set[Task] = set()
        """Those with a deadline that are."""
        self._reached: set[str] = set()
        """Deadlines of all of these."""
        self._needs: dict[Task, list[Task]] = {}
        """What these require."""
        self._running: dict[Task, datetime] = {}
        self._ended: dict[Task, tuple[Status, bool, str]] = {}
        """What did not end well: also whether it is external, and the reason. No error: it holds the frames it came
        through."""

    # -- as an observer

    def run_started(self, run_id: str, tasks: Sequence[Task], to_run: Sequence[Task]) -> None:
        """See Observer."""
        needs = {task: _required(task) for task in to_run if task_deadline(task) is not None}
        with self._guard:
            self._left.update(to_run)
            self._needs.update(needs)
            for task in needs:
                self._reach(task)
        self._on_started()

    def task_started(self, task: Task, attempt: Attempt) -> None:
        """See Observer."""
        with self._guard:
            self._running.setdefault(task, self._clock.now())
            self._left.add(task)
            self._reach(task)

    def task_retried(self, task: Task, failure: Any, attempt: Attempt, delay_s: float) -> None:
        """See Observer: it waits for its next attempt."""
        with self._guard:
            self._running.pop(task, None)
            self._ended[task] = Status.FAIL, False, f"{failure.reason} (it is tried again)"

    def task_finished(self, result: TaskResult, number: int, total: int) -> None:
        """See Observer."""
        task = result.task
        with self._guard:
            self._running.pop(task, None)
            self._left.discard(task)
            self._ended.pop(task, None)
            if result.status in _DONE:
                if self._deadlines.pop(task, None) is not None:
                    self._kept.add(task)
            else:
                self._reach(task)
                self._ended[task] = result.status, bool(task.is_external), result.reason

    def run_finished(self, summary: RunSummary) -> None:
        """See Observer."""

    def _reach(self, task: Task) -> None:
        text = task_deadline(task)
        if text is not None:
            self._deadlines[task] = text
            self._reached.add(text)

    # -- what is asked

    def late(self, text: str) -> list[tuple[Task, str]]:
        """The tasks with this deadline that are not done, each with the reason."""
        with self._guard:
            return [(task, self._why(task)) for task, its in self._deadlines.items() if its == text]

    def deadlines(self) -> set[str]:
        """Of the tasks that are not done."""
        with self._guard:
            return set(self._deadlines.values())

    def has_reached(self, text: str) -> bool:
        """Whether any of its tasks, done or not, has this deadline, as far as it has met them."""
        with self._guard:
            return text in self._reached

    def is_kept(self, task: Task) -> bool:
        """Whether this turn has done it, as one that has a deadline."""
        with self._guard:
            return task in self._kept

    def why_of(self, task: Task) -> str:
        """Why it is not done; empty for one that this turn has not met."""
        with self._guard:
            known = task in self._ended or task in self._running or task in self._left
            return self._why(task) if known else ""

    def why(self) -> str:
        """Why the turn is not done, as the tasks that are the cause; empty where that is not known."""
        with self._guard:
            return "; ".join(part for part in (self._at_work(), self._worst()) if part)

    def _worst(self) -> str:
        for status in _WORSE_FIRST:
            found = [task for task, ended in self._ended.items() if ended[0] is status]
            found.sort(key=lambda task: not self._ended[task][1])  # the input itself before what needs it
            if found:
                more = f" (and {len(found) - 1:,} more)" if len(found) > 1 else ""
                return f"{found[0].task_label} {self._why(found[0])}{more}"
        return ""

    def _why(self, task: Task) -> str:
        if task in self._running:
            return f"is running since {self._moment(self._running[task])}"
        if task in self._ended:
            status, _, reason = self._ended[task]
            word = _WORDS.get(status, str(status))
            return f"{word}: {reason}" if reason and not reason.startswith(word) else reason or word
        waits = [one for one in self._needs.get(task, ()) if one in self._left or one in self._ended]
        if not waits:
            work = self._at_work()
            return f"has not begun{f': {work}' if work else ''}"
        first = min(waits, key=lambda one: (one not in self._running, one not in self._ended))
        if first in self._running or first in self._ended:
            return f"waits for {first.task_label}, which {self._why(first)}"
        work = self._at_work()
        return f"waits for {first.task_label}, which has not begun{f': {work}' if work else ''}"

    def _at_work(self) -> str:
        told = [f"{task.task_label} is running since {self._moment(since)}" for task, since in self._running.items()]
        return f"{told[0]}{f' (and {len(told) - 1:,} more)' if len(told) > 1 else ''}" if told else ""

    def _moment(self, instant: datetime) -> str:
        return moment_text(instant, self.schedule.zone)


def task_deadline(task: Task) -> str | None:
    """Its deadline; None also where a property of the user's raises, which fails the task before anything runs."""
    try:
        return deadline_of(task)
    except (Exception, SystemExit):  # noqa: BLE001  told by the graph, as the task's own failure
        return None


def _required(task: Task) -> list[Task]:
    try:
        return requirements_of(task)
    except (Exception, SystemExit):  # noqa: BLE001  a user's requires(): the graph has told of it
        return []
