"""By when schedules and tasks must be done, and one alert over all loops for each that is not, with the reason.

A deadline is that of a turn: the first such time of day after it was due, and of several turns that have the same the
last one's. It is looked at when it has come, or as soon as a loop is there to do so. Any turn on record that asked for
the same day, or a later one, and has ended well by then keeps a schedule's; a task's is kept when the task is complete.

    look()        what has passed:  a schedule's   the turns on record, and how this loop's own stands
                                    a task's       see late_tasks.py
    watching()    the same each second, from a thread, while a turn goes on
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Lock, Thread
from typing import NamedTuple

from etlctl.db.state.operations import Turn
from etlctl.errors import UnavailableError
from etlctl.loop.clock import Clock
from etlctl.loop.late_tasks import KIND, LateTasks, class_deadline
from etlctl.loop.lateness import Lateness, pause_of_all
from etlctl.loop.project import Project
from etlctl.loop.standing import Standing
from etlctl.loop.story import moment_text
from etlctl.schedule import Schedule, deadline
from etlctl.schedule.deadline import Expected
from etlctl.text import printable

_MOST_TURNS = 1000
"""Looked through for one that ended well."""
_EVERY_S = 1.0
_AGAIN = timedelta(seconds=5)
"""Looked at again, where the state database could not be used, a turn about something else is under way, or another
loop knows more."""
_SET_BACK = timedelta(minutes=1)
"""A clock on the wall that goes back by more has been set: what was far ahead may be near."""
_JOIN_S = 2.0
_NEVER_S = 86_400.0
_logger = logging.getLogger("etlctl")

Seen = Mapping[tuple[str, str], datetime]
"""Since when this loop knows of a schedule, by its name and times."""


class _Watched(NamedTuple):
    """A time of day that is looked at."""

    is_of_tasks: bool
    """First, as they are looked at in this order: a schedule's asks nothing but the state database."""
    schedule: str
    text: str


class Deadlines:
    """Those of a project's schedules and their tasks. Thread-safe."""

    def __init__(
        self, project: Project, clock: Clock, say: Callable[[str], None], *, before: Seen | None = None
    ) -> None:
        """`before` is what was seen by those before a reload."""
        self._project = project
        self._clock = clock
        self._say = say
        self._late_tasks = LateTasks(project, clock, say)
        self._schedules = {one.name: one for one in project.schedules}
        self._standings: dict[str, Standing] = {}
        self._current: Standing | None = None
        self._guard = Lock()
        self._looked_at = now = clock.now()
        self._not_before = 0.0
        """By the monotonic clock."""
        self._next: dict[_Watched, datetime] = {}
        self._left: dict[str, datetime] = {}
        """Turns by their schedule, and when they were due, that other loops had the first word about."""
        self.seen: Seen = {key: (before or {}).get(key, now) for key in map(_identity, project.schedules)}
        classes = [cls for cls in project.app.registry.classes() if cls.deadline is not None]
        texts = {text for cls in classes if (text := class_deadline(cls)) is not None}
        for one in project.schedules:
            if one.deadline is not None:
                self._watch(_Watched(False, one.name, one.deadline))
            for text in texts:
                self._watch(_Watched(True, one.name, text))
        self._is_watching = bool(classes or self._next)

    def _watch(self, watched: _Watched) -> None:
        self._next.setdefault(watched, self._looked_at)  # what has passed before may have been looked at by nobody

    # -- while a turn goes on

    @contextmanager
    def watching(self, schedule: Schedule, due: datetime) -> Iterator[Standing]:
        """In the block, a turn, deadlines are looked at by a thread: the turn may be one long task.

        What comes is one of the observers of its build, with which the thread begins: a build forks before that, and
        would copy what a thread holds.
        """
        is_over = Event()
        threads: list[Thread] = []

        def begin() -> None:
            if self._is_watching:
                threads.append(Thread(target=self._serve, args=[is_over], name="etlctl-deadlines", daemon=True))
                threads[-1].start()

        standing = self._standings[schedule.name] = Standing(schedule, due, self._clock, begin)
        self._current = standing
        try:
            yield standing
        finally:
            is_over.set()
            self._current = None
            for thread in threads:  # it may wait for a database that is gone; it ends as soon as it has been told so
                thread.join(_JOIN_S)

    def _serve(self, is_over: Event) -> None:
        wait_s = 0.0
        while not is_over.wait(wait_s):
            wait_s = _EVERY_S
            try:
                current = self._current
                if current is not None:
                    self._looked(current)
            except Exception:  # a thread that is gone would tell of nothing any more
                _logger.exception("deadlines: internal error")
                wait_s = _AGAIN.total_seconds()

    # -- what has passed

    def look(self) -> float | None:
        """Seconds to the next one; those that have passed are looked at. For the loop, between turns.

        None where the state database cannot be asked: then they are looked at some seconds later.
        """
        return self._looked(None)

    def _looked(self, current: Standing | None) -> float | None:
        if self._clock.monotonic() < self._not_before or not self._guard.acquire(blocking=False):
            return None  # a thread of a turn that is over may wait for the state database still
        try:
            return self._looked_alone(current)
        except UnavailableError:  # whoever asks the state next says so
            self._not_before = self._clock.monotonic() + _AGAIN.total_seconds()
            return None
        finally:
            self._guard.release()

    def _looked_alone(self, current: Standing | None) -> float | None:
        now = self._clock.now()
        if now < self._looked_at - _SET_BACK:
            self._next = dict.fromkeys(self._next, now)
        self._looked_at = now
        for name, standing in self._standings.items():
            for text in standing.deadlines():  # a property's is known by its task alone
                self._watch(_Watched(True, name, text))
        for watched in sorted(one for one, moment in self._next.items() if moment <= now):
            schedule = self._schedules[watched.schedule]
            if self._is_looked_at(watched, schedule, now, current):
                self._next[watched] = deadline.upcoming(schedule.times, now, watched.text, schedule.zone)
            else:
                self._next[watched] = now + _AGAIN
        return min(((moment - now).total_seconds() for moment in self._next.values()), default=_NEVER_S)

    def _is_looked_at(self, watched: _Watched, schedule: Schedule, now: datetime, current: Standing | None) -> bool:
        try:
            expected = deadline.passed(schedule.times, now, watched.text, schedule.zone)
            return self._look_at(watched, schedule, expected, current)
        except UnavailableError:
            raise
        except (Exception, SystemExit) as error:  # users' code that nobody foresaw: neither loop nor others end by it
            _logger.error("%s: its deadline was not looked at", watched.schedule, exc_info=error)
            return True

    def _look_at(self, watched: _Watched, schedule: Schedule, expected: Expected, current: Standing | None) -> bool:
        """False where it must be looked at again."""
        operations = self._project.operations
        turns = operations.turns(self._project.record_of(schedule), _MOST_TURNS)
        ahead = operations.now() - self._clock.now() if turns else timedelta()
        lateness = Lateness(schedule, expected, turns, ahead)
        if not lateness.is_expected(self.seen[_identity(schedule)]):
            return True
        if not watched.is_of_tasks:
            if lateness.is_kept():
                return True
            if self._is_left_to_another(lateness, schedule, expected):
                return False
            if current is None and lateness.may_be_mended() and self._project.is_complete(schedule, lateness.due()):
                return True
            self._tell(schedule, expected, lateness, current)
            return True
        if lateness.is_done():
            return True
        standing = self._standings.get(schedule.name)
        due = lateness.due()
        return self._late_tasks.look_at(schedule, watched.text, expected, due, standing=standing, current=current)

    def _is_left_to_another(self, lateness: Lateness, schedule: Schedule, expected: Expected) -> bool:
        """Whether a loop that is at the turn knows more of it, and has a few seconds yet to tell."""
        turn, standing = lateness.at_work(), self._standings.get(schedule.name)
        if turn is None or (standing is not None and standing.due == turn.due):
            return False
        is_left = self._left.get(schedule.name) != expected.due
        self._left[schedule.name] = expected.due
        return is_left

    def _tell(self, schedule: Schedule, expected: Expected, lateness: Lateness, current: Standing | None) -> None:
        """Before anything is on record as told, all that must be asked for it has been."""
        why = lateness.why(
            self._clock.now(),
            known=lambda turn: self._known(schedule, turn),
            keeps=lambda: self._keeps(schedule, current),
        )
        name = self._project.record_of(schedule)
        if self._project.operations.alerted(f"deadline {name} {expected.due.isoformat()}"):
            sentence = f"not done by {moment_text(expected.by, schedule.zone)}: {why}"
            self._say(f"{schedule.name}: {printable(sentence)}")
            self._project.heard("deadline_missed", schedule.name)
            self._project.alert(KIND, f"{schedule.name} is late", sentence)

    def _known(self, schedule: Schedule, turn: Turn) -> str:
        """What this loop, or the history, knows of a turn."""
        standing = self._standings.get(schedule.name)
        told = standing.why() if standing is not None and standing.due == turn.due else ""
        return told or (self._project.recorded_cause(turn.run_id) if turn.run_id else "")

    def _keeps(self, schedule: Schedule, current: Standing | None) -> str:
        """Why its turn has not begun, as far as this loop knows."""
        registry = self._project.app.registry
        families = [registry.find(name).task_family for name in schedule.tasks]
        paused = pause_of_all(families, self._project.operations.pauses())
        if paused or current is None:
            return paused
        work = current.why()
        turn = f"{current.schedule.name} {moment_text(current.due, current.schedule.zone)}"
        return f"this loop is at {turn}{f': {work}' if work else ''}"


def _identity(schedule: Schedule) -> tuple[str, str]:
    return schedule.name, schedule.times.text
