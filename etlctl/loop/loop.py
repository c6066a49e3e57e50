"""The loop: waits for what is due, begins its turns one after the other, and outlives what goes wrong in them.

    Loop.run()
      opener()            settings, pipelines, schedules; again at SIGHUP
      until a signal:
        _step(course)     for the schedule that is due first, and in time
          _plan             what is due next, by what is on record
          _attend           paused? -> claimed from the other loops? -> _turn
            _turn             App.build for the whole window, oldest first -> _settle; a thread looks at deadlines
        _idle               nothing is due: looks at deadlines and at the state database, and waits

When turns are due is decided in turns.py, what they consist of in wanted.py. One turn at a time: a build belongs to the
main thread, as signals do. Of several schedules the one that has been due for longest goes first.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Thread
from typing import NamedTuple, Protocol

from etlctl.core.interruption import heard
from etlctl.core.results import Observer, RunSummary
from etlctl.db.state.operations import Ahead, Busy, Turn
from etlctl.errors import EtlctlError, ExitCode, UnavailableError
from etlctl.loop.clock import Clock
from etlctl.loop.course import Course, Past
from etlctl.loop.cycles import Cycles
from etlctl.loop.deadlines import Deadlines
from etlctl.loop.outages import InTurn, Outages, state_warnings
from etlctl.loop.presence import LOOK_S, STATE, StatePresence
from etlctl.loop.project import CLOSE_WAIT_S, Project, kept_of_start
from etlctl.loop.story import Story, is_idle, moment_text
from etlctl.loop.troubles import Troubles
from etlctl.loop.turns import backoff_s, due_after_start, following_due
from etlctl.loop.vitals import Vitals
from etlctl.text import printable

_logger = logging.getLogger("etlctl")
_LONGEST_WAIT_S = LOOK_S
"""Without a look at the clock on the wall: it may have been set, or the machine have slept."""
_PAUSED_S = 5.0
"""Between two looks whether a pause has ended."""
_FAILING = (ExitCode.FAILED, ExitCode.USAGE, ExitCode.TORN)
"""What is not mended by waiting for somebody else: the next turn keeps off for a while."""


class Ending(Protocol):
    """How the loop hears of signals; `ending.Ending` is one."""

    def __call__(self) -> ExitCode | None:
        """The exit code of the first signal; None while there was none."""

    def take_reload(self) -> bool:
        """Whether settings and pipelines are to be read anew."""


class _Built(NamedTuple):
    """What came of a turn."""

    code: ExitCode
    summary: RunSummary | None = None
    why: str = ""
    """What could not be used, where that is the code."""


class Loop:
    """One loop; `run` is its whole life. `say` takes its story, a line at a time; without `tells_tasks` somebody else
    tells of tasks. `patience` is asked at the end how long messages may take then, in seconds."""

    def __init__(
        self,
        opener: Callable[[], Project],
        *,
        clock: Clock,
        ending: Ending,
        vitals: Vitals,
        say: Callable[[str], None],
        tells_tasks: bool = True,
        chance: Callable[[], float] = random.random,
        patience: Callable[[], float] = lambda: CLOSE_WAIT_S,
    ) -> None:
        self._opener = opener
        self._clock = clock
        self._ending = ending
        self._vitals = vitals
        self._say = say
        self._tells_tasks = tells_tasks
        self._chance = chance
        self._patience = patience
        self._project = opener()
        self._began_with = self._project.app.settings
        self._project.operations.stop = ending
        self._troubles = Troubles(lambda: self._project)
        self._outages = Outages(say, clock.monotonic, self._troubles)
        self._state = StatePresence(lambda: self._project, self._outages, vitals, clock)
        self._leaving: list[Thread] = []
        """Wait for messages of projects that a reload has replaced."""
        self._cycles = Cycles()
        self.turns = 0
        """That have ended."""
        self._courses = {one.name: Course(one) for one in self._project.schedules}
        self._deadlines = Deadlines(self._project, clock, say)
        vitals.settings_loaded()

    def run(self, turns: int | None = None, *, keeps_open: bool = False) -> ExitCode:
        """Until a signal (its exit code), or until so many turns have ended (DONE); with `keeps_open` it can go on.

        UsageError where the state database is of a newer release; nothing else that happens in a turn comes out.
        """
        with state_warnings(self._outages, STATE, self._ending):
            try:
                return self._run(turns)
            except KeyboardInterrupt as error:
                heard(error)
                return self._ending() or ExitCode.INTERRUPTED
            finally:
                if not keeps_open:
                    self._close()

    def _run(self, turns: int | None) -> ExitCode:
        while self._ending() is None and self.turns != turns:
            self._outages.look()
            if self._ending.take_reload():
                self._reload()
            course = self._next()
            if course is None:
                self._idle()
            elif self._step(course):
                self.turns += 1
                self._deadlines.look()  # what waited for its end; nothing may ever be idle
        return self._ending() or ExitCode.DONE

    def _close(self) -> None:
        until = time.monotonic() + min(CLOSE_WAIT_S, self._patience())
        for thread in self._leaving:
            thread.join(max(0.0, until - time.monotonic()))
        self._project.close(max(0.0, until - time.monotonic()))

    # -- what is next

    def _next(self) -> Course | None:
        """The schedule that may go on now; of several the one that has waited longest."""
        now, moment = self._clock.now(), self._clock.monotonic()
        able = [
            one
            for one in self._courses.values()
            if one.not_before <= moment and (one.begins_at is None or one.begins_at <= now)
        ]
        return min(able, key=lambda one: one.begins_at or now, default=None)

    def _idle(self) -> None:
        now, moment = self._clock.now(), self._clock.monotonic()
        waits = [
            max((one.begins_at - now).total_seconds() if one.begins_at is not None else 0.0, one.not_before - moment)
            for one in self._courses.values()
        ]
        self._state.look()
        left_s = self._deadlines.look()
        seconds = min([*waits, _LONGEST_WAIT_S, *([left_s] if left_s is not None else [])])
        self._vitals.waits(seconds)
        self._clock.wait(max(seconds, 0.001))

    def _step(self, course: Course) -> bool:
        """One thing to do for a schedule; whether a turn has ended."""
        try:
            self._end(course)
            has_ended = self._plan(course) if course.due is None else self._attend(course, course.due)
        except UnavailableError as error:  # of the state database: those of a turn come out as its exit code
            self._put_off(course)
            self._state.gone(error)
            if course.turn is None:
                course.due = course.begins_at = None
            return False
        except EtlctlError:
            raise
        except Exception as error:  # ours, or of users' code that nobody foresaw: the other schedules go on
            _logger.exception("%s: %s", course.schedule.name, _internal(error))
            self._troubles.turn_refused(course.schedule.name, "its turn", _internal(error))
            course.due = course.begins_at = None
            self._keep_off(course)
            return False
        return has_ended

    def _state_answered(self, course: Course) -> None:
        self._state.here()
        if course.turn is None:
            course.outages = 0

    def _put_off(self, course: Course) -> None:
        """Something cannot be used: tries again, less and less often."""
        course.outages += 1
        delay_s = backoff_s(course.outages, self._project.backoff_max_s, self._chance())
        course.not_before = self._clock.monotonic() + delay_s

    def _plan(self, course: Course) -> bool:
        """Finds out what is due next."""
        schedule, now = course.schedule, self._clock.now()
        last = self._project.operations.last_turn(self._record(course))
        self._state.ask()
        self._state_answered(course)
        if course.is_first:
            due = due_after_start(schedule, now, last)
        elif last is None:
            due = schedule.times.after(now)
        else:
            due = following_due(schedule.times, now, last, overlap=schedule.overlap)
        self._set_due(course, due)
        return False

    def _record(self, course: Course) -> str:
        if course.record is None:
            course.record = self._project.record_of(course.schedule)
        return course.record

    def _set_due(self, course: Course, due: datetime) -> None:
        course.due = due
        course.begins_at = due + timedelta(seconds=course.schedule.jitter_s * self._chance())
        self._vitals.next_due(course.schedule.name, due)
        self._project.heard("next_due", course.schedule.name, due)

    # -- a turn

    def _attend(self, course: Course, due: datetime) -> bool:
        if self._is_paused(course, due):
            return False
        turn = self._kept(course, course.turn) if course.turn is not None else self._claimed(course, due)
        if turn is None:
            return False
        try:
            return self._turn(course, turn)
        except Exception:
            course.unended = course.unended or (turn, ExitCode.FAILED, None)
            raise

    def _is_paused(self, course: Course, due: datetime) -> bool:
        """Whether pauses hold all that the turn consists of: then it is not begun, and due all the same."""
        why = self._project.held(course.schedule, due)
        self._tell(course, f"waits: {why}" if why else "")
        if why:
            course.not_before = self._clock.monotonic() + _PAUSED_S
        return bool(why)

    def _tell(self, course: Course, sentence: str) -> None:
        """Says what keeps it from beginning, once."""
        if sentence and sentence != course.said:
            self._say(f"{course.schedule.name}: {printable(sentence)}")
        course.said = sentence

    def _claimed(self, course: Course, due: datetime) -> Turn | None:
        answer = self._project.operations.claim_turn(self._record(course), due, course.schedule.tasks)
        self._state_answered(course)
        course.is_first = False
        if isinstance(answer, Turn):
            return answer
        if isinstance(answer, Ahead):
            course.not_before = self._clock.monotonic() + _LONGEST_WAIT_S
            self._outages.gone(course.schedule.name, answer.sentence)
        elif isinstance(answer, Busy):  # until it has ended, or its process has: then it is ours
            course.not_before = self._clock.monotonic() + self._project.look_s
            self._vitals.next_due(course.schedule.name, due)
        course.due = course.begins_at = course.record = None
        return None

    def _kept(self, course: Course, turn: Turn) -> Turn | None:
        """The turn that could not be brought to its end; None where it is another's now, or a later one is due."""
        is_over = course.schedule.times.latest(self._clock.now()) > turn.due
        if is_over:
            self._project.operations.end_turn(turn, code=ExitCode.UNAVAILABLE)
        if is_over or self._project.operations.lost(turn):
            course.turn = course.due = course.begins_at = None
            return None
        return turn

    def _turn(self, course: Course, turn: Turn) -> bool:
        name, began_at = course.schedule.name, self._clock.now()
        self._vitals.turn_began(name, turn.due)
        self._project.heard("turn_began", name, turn.due)
        built = self._built(course, turn)
        code = self._ending() or built.code
        self._vitals.turn_ended(name, code, built.summary)
        self._project.heard("turn_ended", name, code, built.summary)
        if self._ending() is not None:
            return False  # its row stays without an end: whoever begins next goes on with it
        if self._project.operations.lost(turn):  # taken over, or the state is gone: asking it tells which
            course.turn = course.due = course.begins_at = None
            return False
        self._cycles.turn_ended(is_large=not course.was_idle)
        past = Past(turn.due, began_at, self._clock.now())
        if built.code is ExitCode.UNAVAILABLE:
            course.turn = turn
            self._put_off(course)
            if built.why:
                self._outages.gone(name, built.why)
            return False
        self._outages.back(name)
        self._settle(course, turn, built, past)
        return True

    def _built(self, course: Course, turn: Turn) -> _Built:
        schedule, project = course.schedule, self._project
        title = f"{schedule.name} {moment_text(turn.due, schedule.zone)}"
        ear = InTurn(self._outages, schedule.name, self._state.look_in_turn)
        observers: list[Observer] = [ear]
        if self._tells_tasks:
            is_brief = course.was_idle or course.turn is not None or self._outages.is_gone(schedule.name)
            observers.append(Story(self._say, title, is_brief=is_brief))

        def stop() -> ExitCode | None:
            return self._ending() or (ExitCode.UNAVAILABLE if project.operations.lost(turn) else None)

        try:
            with self._deadlines.watching(schedule, turn.due) as standing:
                summary = project.build(schedule, turn.due, observers=[standing, *observers], stop=stop)
        except UnavailableError as error:
            return _Built(error.exit_code, None, str(error))
        except EtlctlError as error:
            self._say(f"{title}: {printable(str(error))}")
            self._troubles.turn_refused(schedule.name, title, str(error))
            return _Built(error.exit_code)
        except (Exception, SystemExit) as error:
            _logger.exception("%s: %s", title, _internal(error))
            self._troubles.turn_refused(schedule.name, title, _internal(error))
            return _Built(ExitCode.FAILED)
        self._troubles.turn_built(schedule.name)
        course.was_idle = is_idle(summary)
        return _Built(summary.exit_code, summary, ear.left(summary))

    def _settle(self, course: Course, turn: Turn, built: _Built, past: Past) -> None:
        """The turn has come to its end, well or not; what is due next follows from it."""
        schedule, code = course.schedule, built.code
        course.turn, course.outages = None, 0
        course.unended = turn, code, built.summary.run_id if built.summary is not None else None
        self._set_due(course, following_due(schedule.times, self._clock.now(), past, overlap=schedule.overlap))
        if code in _FAILING:
            self._keep_off(course)
        else:
            course.failures = 0
        self._end(course)

    def _keep_off(self, course: Course) -> None:
        """It has failed: its next turn waits for a while, longer after each failure."""
        course.failures += 1
        keep_off_s = backoff_s(course.failures, self._project.backoff_max_s, self._chance())
        course.not_before = self._clock.monotonic() + keep_off_s

    def _end(self, course: Course) -> None:
        """Writes a turn's end down, now or after an outage."""
        if course.unended is not None:
            turn, code, run_id = course.unended
            self._project.operations.end_turn(turn, code=code, run_id=run_id)
            self._state_answered(course)
            course.unended = None

    # -- reload

    def _reload(self) -> None:
        """Settings and pipelines as they are now; those before stay where these cannot be used."""
        try:
            fresh = self._opener()
        except (EtlctlError, OSError) as error:
            self._say(f"settings and pipelines stay as they were, since they cannot be read: {printable(str(error))}")
            self._troubles.reload_refused(str(error))
            return
        except (Exception, SystemExit) as error:
            _logger.exception("settings and pipelines stay as they were: %s", _internal(error))
            self._troubles.reload_refused(_internal(error))
            return
        if self._ending() is not None:  # it was asked for meanwhile
            fresh.close(0.0)
            return
        fresh.operations.stop = self._ending
        before, self._project = self._project, fresh
        leaving = before.replaced()
        self._leaving = [one for one in [*self._leaving, leaving] if one is not None and one.is_alive()]
        self._deadlines = Deadlines(fresh, self._clock, self._say, before=self._deadlines.seen)
        gone, self._courses = self._courses, {one.name: Course(one) for one in fresh.schedules}
        for name, course in self._courses.items():
            if name in gone:
                course.goes_on_from(gone.pop(name))
        for name in gone:
            self._vitals.forget(name)
            self._outages.forget(name)
        self._vitals.settings_loaded()
        self._troubles.reloaded()
        kept = kept_of_start(self._began_with, fresh.app.settings)
        self._say(f"settings and pipelines were read anew: {', '.join(self._courses)}{f'; {kept}' if kept else ''}")


def _internal(error: BaseException) -> str:
    return f"internal error: {printable(f'{type(error).__name__}: {error}')}"
