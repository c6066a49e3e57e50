"""Where each schedule stands in a loop. Values alone; loop.py changes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from etlctl.db.state.operations import Turn
from etlctl.errors import ExitCode
from etlctl.schedule import Schedule


@dataclass
class Past:
    """A turn of this loop, as turns.Recorded."""

    due: datetime
    began_at: datetime
    ended_at: datetime | None


@dataclass
class Course:
    """Where one schedule stands in this loop."""

    schedule: Schedule
    record: str | None = None
    """The name of its turns on record; None while that is to be found out."""
    due: datetime | None = None
    """Of the turn to begin next; None while that is to be found out."""
    begins_at: datetime | None = None
    """`due`, with its jitter."""
    not_before: float = 0.0
    """By the monotonic clock."""
    is_first: bool = True
    turn: Turn | None = None
    """Claimed, and not brought to its end: what it needs could not be used."""
    unended: tuple[Turn, ExitCode, str | None] | None = None
    """A turn that has ended while the state database could not be told."""
    failures: int = 0
    """Turns in a row that failed."""
    outages: int = 0
    """Tries in a row that could not use something."""
    said: str = ""
    """What keeps it from beginning, as told last."""
    was_idle: bool = False
    """Whether its last turn found nothing to do."""

    def goes_on_from(self, old: Course) -> None:
        """After a reload: what was known of the schedule before still holds. What is due does where its times are the
        same; a turn that was claimed is to be claimed again."""
        self.not_before, self.failures, self.outages = old.not_before, old.failures, old.outages
        self.unended, self.said, self.was_idle = old.unended, old.said, old.was_idle
        self.is_first = False
        if old.schedule.tasks == self.schedule.tasks:
            self.record = old.record
        if (old.schedule.times.text, old.schedule.jitter_s) == (self.schedule.times.text, self.schedule.jitter_s):
            self.is_first, self.due, self.begins_at = old.is_first, old.due, old.begins_at
