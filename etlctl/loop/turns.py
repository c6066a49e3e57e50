"""When a schedule's turns are due: the first after a start, the next, what was missed; and how long to keep off after
a failure. Pure: the moment, what is on record, and chance come in as arguments.

A turn is known by the instant at which it was due, and each is begun once over all loops. Several that were missed are
one: a turn asks its whole window of dates anyway.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from etlctl.schedule import Every, Schedule, Times

SKIP, QUEUE = "skip", "queue"
"""What becomes of a turn that is due while the one before it runs: left out, or begun when that has ended."""
_MOST_DOUBLINGS = 30


class Recorded(Protocol):
    """What is on record of a turn."""

    @property
    def due(self) -> datetime:
        """The instant that names it."""

    @property
    def began_at(self) -> datetime:
        """When it was begun."""

    @property
    def ended_at(self) -> datetime | None:
        """None for one that runs, or that nobody has brought to its end."""


def due_after_start(schedule: Schedule, now: datetime, last: Recorded | None) -> datetime:
    """The turn that a loop begins with where `last` is the newest on record; see `first_due`."""
    is_at_once = isinstance(schedule.times, Every)
    return first_due(schedule.times, now, last, overlap=schedule.overlap, is_at_once=is_at_once)


def first_due(times: Times, now: datetime, last: Recorded | None, *, overlap: str, is_at_once: bool) -> datetime:
    """The turn that a loop begins with. `is_at_once` is for schedules that do not name a time of day.

    Else it is the last one that was missed, once; nothing was missed where nothing is on record.
    """
    if is_at_once and (last is None or last.due < now):
        return now
    if last is None:
        return times.after(now)
    return following_due(times, now, last, overlap=overlap)


def following_due(times: Times, now: datetime, last: Recorded, *, overlap: str) -> datetime:
    """The turn to begin next, where `last` is the newest on record: later than it, or itself where it has no end.

    At or before `now` it is due already. A clock that was set back repeats nothing.
    """
    latest = times.latest(now)
    if last.ended_at is None:
        return max(latest, last.due)
    if latest <= last.due:
        return times.after(max(now, last.due))
    if overlap == SKIP and last.began_at <= latest <= last.ended_at:
        return times.after(now)
    return latest


def backoff_s(failures: int, most_s: float, chance: float) -> float:
    """How long to wait after so many failures in a row: 1, 2, 4 … seconds, `most_s` at most, some of it left to chance.

    `chance` is from 0 to 1: loops that saw the same database fall do not all come back at the same moment.
    """
    whole = min(most_s, 2.0 ** min(max(failures - 1, 0), _MOST_DOUBLINGS))
    return whole * (0.5 + chance / 2)
