"""Whether a schedule's deadline was kept, and why not, by its turns on record. Asks nothing and nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from itertools import takewhile

from etlctl.db.state.operations import Pause, Turn
from etlctl.errors import ExitCode
from etlctl.loop.story import moment_text
from etlctl.schedule import Schedule, turn_dates
from etlctl.schedule.deadline import Expected

_WORDS = {
    ExitCode.FAILED: "a task failed",
    ExitCode.BLOCKED: "an input is missing",
    ExitCode.UNAVAILABLE: "a database could not be used",
    ExitCode.HELD: "it was held",
}


class Lateness:
    """One deadline of a schedule, and its newest turns on record, the newest first."""

    def __init__(
        self, schedule: Schedule, expected: Expected, turns: Sequence[Turn], ahead: timedelta = timedelta()
    ) -> None:
        """The record's clock is that much `ahead` of the one that `expected` is of."""
        self._schedule = schedule
        self._ahead = ahead
        self._expected = expected
        self._turns = turns
        day = _day(schedule, expected.due)
        self._asked = list(takewhile(lambda turn: _day(schedule, turn.due) >= day, turns))
        """Those that asked for the same day, or a later one: no turn is due before the one that began before it."""

    def is_expected(self, seen_at: datetime) -> bool:
        """Whether the turn had to be: the schedule was on record by then, or known since `seen_at` already."""
        return self._expected.due > seen_at or any(turn.due < self._expected.by for turn in self._turns)

    def is_done(self) -> bool:
        """Whether a turn that asked for it has ended well, whenever that was."""
        return any(_is_done(turn) for turn in self._asked)

    def is_kept(self) -> bool:
        """Whether one has by the deadline."""
        by = self._expected.by + self._ahead
        return any(_is_done(turn) and turn.ended_at is not None and turn.ended_at <= by for turn in self._asked)

    def at_work(self) -> Turn | None:
        """The turn that should have been done, where it is under way."""
        newest = next((turn for turn in self._asked if turn.due < self._expected.by), None)
        return newest if newest is not None and newest.ended_at is None else None

    def may_be_mended(self) -> bool:
        """Whether it could have been done by other means since: no turn is at it, and none has done it."""
        return self.at_work() is None and not self.is_done()

    def due(self) -> datetime:
        """Of the newest turn before the deadline, one that began out of turn when a loop was started too."""
        return max((turn.due for turn in self._asked if turn.due < self._expected.by), default=self._expected.due)

    def why(self, now: datetime, *, known: Callable[[Turn], str], keeps: Callable[[], str]) -> str:
        """Why it was not kept. `known` tells what is known of a turn besides its record, `keeps` what keeps one that
        has not begun; both may say nothing."""
        asked = [turn for turn in self._asked if turn.due < self._expected.by]
        if not asked:
            told = self._before() or keeps()
            return f"the turn of {self._moment(self._expected.due)} has not begun{f': {told}' if told else ''}"
        well = next((turn for turn in asked if _is_done(turn)), None)
        if well is not None:
            return f"the turn of {self._moment(well.due)} ended well, but at {self._recorded(well.ended_at)}"
        ended = next((turn for turn in asked if turn.code is not None), None)
        newest = asked[0]
        if ended is None:
            return self._open(newest, known)
        why = known(ended) or next((text for code, text in _WORDS.items() if code == ended.code), "")
        cause = f"the turn of {self._moment(ended.due)} ended with exit {ended.code}{f': {why}' if why else ''}"
        run = f"; etlctl history {ended.run_id}" if ended.run_id else ""
        following = self._moment(self._schedule.times.after(now))
        rest = self._open(newest, known) if newest is not ended else f"the next turn is due {following}"
        return f"{cause}{run}; {rest}"

    def _before(self) -> str:
        """An earlier turn that is at work still: a schedule has one at a time."""
        newest = next(iter(self._turns), None)
        is_open = newest is not None and newest.ended_at is None and newest.due < self._expected.due
        return self._open(newest, lambda _: "") if newest is not None and is_open else ""

    def _open(self, turn: Turn, known: Callable[[Turn], str]) -> str:
        by = f"by {turn.holder} since {self._recorded(turn.began_at)}"
        if turn.ended_at is not None:
            return f"the turn of {self._moment(turn.due)} was cut off with its process ({by})"
        told = known(turn)
        return (
            f"the turn of {self._moment(turn.due)} is not at its end ({by}){f': {told}' if told else '; etlctl status'}"
        )

    def _recorded(self, instant: datetime | None) -> str:
        return self._moment(instant - self._ahead) if instant is not None else ""

    def _moment(self, instant: datetime) -> str:
        return moment_text(instant, self._schedule.zone)


def pause_of_all(families: Sequence[str], pauses: Sequence[Pause]) -> str:
    """Why nothing of these families may begin, where pauses hold all of them; else empty."""
    by_name = {one.task: one for one in pauses}
    found = [by_name.get("") or by_name.get(family) for family in families]
    return found[0].sentence if found and found[0] is not None and all(found) else ""


def _is_done(turn: Turn) -> bool:
    return turn.code == ExitCode.DONE


def _day(schedule: Schedule, due: datetime) -> date:
    """The last day that a turn which was due then asks for; that of its own where it asks for none."""
    if schedule.date is None:
        return due.astimezone(schedule.zone).date()
    return turn_dates(schedule.date, 1, due, schedule.zone)[-1]
