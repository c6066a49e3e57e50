"""By when schedules must be done, and one alert over all loops for each time that they are not, with the reason.

A deadline is looked at when its moment has come: in the waits of the loop, and between two tasks of a turn. What it is
about is the day that the schedule's last turn before it asked for: any turn on record that asked for that day, or a
later one, and has ended well by then keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta

from etlctl.db.state.operations import Operations, Turn
from etlctl.errors import ExitCode
from etlctl.loop.story import moment_text
from etlctl.schedule import Schedule, deadline

_MOST_TURNS = 1000
"""Looked through for one that ended well."""
_SECOND = timedelta(seconds=1)
KIND = "deadline"


class Deadlines:
    """Those of a loop's schedules, from `since` on."""

    def __init__(self, schedules: Iterable[Schedule], since: datetime) -> None:
        self._next = {
            one.name: (one, deadline.next_due(since, one.deadline, one.zone))
            for one in schedules
            if one.deadline is not None
        }

    def seconds_left(self, now: datetime) -> float | None:
        """Until the next one; None where there is none."""
        return min(((moment - now).total_seconds() for _, moment in self._next.values()), default=None)

    def look(self, now: datetime, operations: Operations, alert: Callable[[Schedule, str], object]) -> None:
        """Calls `alert` with one sentence for each deadline that has passed and was not kept, in one loop of all.

        Raises UnavailableError; then it is looked at again at the next call.
        """
        for name, (schedule, moment) in list(self._next.items()):
            if moment > now:
                continue
            why = _broken(schedule, moment, operations.turns(name, _MOST_TURNS))
            if why and operations.alerted(f"deadline {name} {moment.isoformat()}"):
                alert(schedule, f"not done by {moment_text(moment, schedule.zone)}: {why}")
            if schedule.deadline is not None:
                self._next[name] = schedule, deadline.next_due(max(moment, now), schedule.deadline, schedule.zone)


def _broken(schedule: Schedule, moment: datetime, turns: Iterable[Turn]) -> str:
    """Why the deadline was not kept; empty where it was."""
    expected = _day(schedule, schedule.times.latest(moment - _SECOND))
    asked = [turn for turn in turns if _day(schedule, turn.due) >= expected]
    if any(turn.code == ExitCode.DONE for turn in asked):
        return ""
    if not asked:
        return f"no turn for {expected} has begun"
    last = asked[0]
    named = f"the turn of {moment_text(last.due, schedule.zone)}"
    if last.code is None:
        return f"{named} is not at its end (by {last.holder} since {moment_text(last.began_at, schedule.zone)})"
    run = f": etlctl history {last.run_id}" if last.run_id else ""
    return f"{named} ended with exit {last.code}{_meaning(last.code)}{run}"


def _meaning(code: int) -> str:
    words = {
        ExitCode.FAILED: "a task failed",
        ExitCode.BLOCKED: "an input is missing",
        ExitCode.UNAVAILABLE: "a database could not be used",
        ExitCode.HELD: "it was held",
    }
    found = next((text for known, text in words.items() if known == code), "")
    return f" ({found})" if found else ""


def _day(schedule: Schedule, due: datetime) -> date:
    """The last day that a turn which was due then asks for; that of its own where it asks for none."""
    days = schedule.dates(due)
    return days[-1] if days else due.astimezone(schedule.zone).date()
