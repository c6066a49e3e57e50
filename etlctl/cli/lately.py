"""What the history says of tasks that stand in a plan: what runs now, by whom and since when, and how each ended last.

The state database decides nothing about what is done; where it cannot be asked, a line says so and the rest is told.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etlctl.cli.runs import usual_s
from etlctl.cli.session import Session
from etlctl.cli.standing import done_at, moment_text
from etlctl.cli.states import Shown, state_of
from etlctl.core.plan import PlannedTask
from etlctl.core.results import seconds
from etlctl.core.task import Task
from etlctl.errors import UnavailableError
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.state.queries import Running
    from etlctl.db.state.records import AttemptRecord

_BADLY = ("failed", "lost")


@dataclass(frozen=True)
class Lately:
    """By `task_id` as the history keeps it."""

    running: Mapping[str, Running] = field(default_factory=dict)
    """Of all tasks, asked for or not."""
    last: Mapping[str, AttemptRecord] = field(default_factory=dict)

    def running_of(self, task: Task) -> Running | None:
        """Who is at it now."""
        return self.running.get(_kept(task))

    def last_of(self, task: Task) -> AttemptRecord | None:
        """How it ended last."""
        return self.last.get(_kept(task))

    def state(self, one: PlannedTask) -> Shown:
        """How it stands on a screen."""
        state = state_of(one.decision)
        if self.running_of(one.task) is not None:
            return "running"
        last = self.last_of(one.task)
        return "failed" if state == "missing" and last is not None and last.status in _BADLY else state

    def told(self, one: PlannedTask, now: dt.datetime) -> str:
        """What stands behind a task in a list: since when it is done, by whom it is being run, why it is missing."""
        running = self.running_of(one.task)
        if running is not None:
            return f"running since {moment_text(running.since, now)} by {running.by}"
        last = self.last_of(one.task)
        if state_of(one.decision) == "done":
            moment = done_at([one])
            took_s = None if moment is None or last is None else last.duration_s
            return moment_text(moment, now) + ("" if took_s is None else f", took {seconds(took_s)}")
        if last is not None and self.state(one) == "failed":
            why = shortened(last.error.partition("\n")[0], 160)
            return f"{last.status} {moment_text(last.ended_at or last.started_at, now)} in run {last.run_id}: {why}"
        return one.reason

    def usually(self, planned: Iterable[PlannedTask]) -> str:
        """How long tasks like these took last, in the middle; `-` where none is known."""
        usual = usual_s(last for one in planned if (last := self.last_of(one.task)) is not None)
        return "-" if usual is None else seconds(usual)


def lately(call: Session, planned: Sequence[PlannedTask]) -> Lately:
    """What the history says of these; says on stderr where it cannot be asked. UsageError where it is too new."""
    try:
        reader = call.history
        last = reader.last_results([one.task.task_id for one in planned])
        return Lately({one.task_id: one for one in reader.running()}, last)
    except UnavailableError as error:
        call.streams.story(f"etlctl: what runs now, and how tasks ended last, is not known: {error}")
        return Lately()


def _kept(task: Task) -> str:
    from etlctl.db.state.records import kept_id

    return kept_id(task.task_id)
