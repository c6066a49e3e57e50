"""By when schedules and tasks must be done, and one alert over all loops for each that is not, with the reason.

A deadline is looked at when its moment has come: in the waits of the loop, and by a thread while a turn goes on. What
it is about is the day that the schedule's last turn before it asked for: any turn on record that asked for that day,
or a later one, and has ended well by then keeps a schedule's. A task's is kept when the task is complete.

    look()        of what has passed:  a schedule's   the turns on record, and how this loop's own stands
                                       a task's       while its turn runs: how that stands; else the graph is asked anew
    watching()    the same each second, from a thread, for as long as the block
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from threading import Event, Lock, Thread
from typing import NamedTuple

from etlctl.core.daytime import deadline_of
from etlctl.core.task import Task
from etlctl.db.state.operations import Turn
from etlctl.errors import EtlctlError, ExitCode, SettingsError, UnavailableError
from etlctl.loop.clock import Clock
from etlctl.loop.project import Project
from etlctl.loop.standing import Standing
from etlctl.loop.story import moment_text
from etlctl.loop.wanted import takes_days
from etlctl.schedule import Schedule, deadline
from etlctl.text import printable

KIND = "deadline"
_MOST_TURNS = 1000
"""Looked through for one that ended well."""
_MOST_TOLD = 20
"""Tasks that are late at one moment and have an alert each; the others share one."""
_SECOND = timedelta(seconds=1)
_EVERY_S = 1.0
_AGAIN_S = 5.0
"""Looked at again, where the state database could not be used."""
_JOIN_S = 2.0
_NEVER_S = 86_400.0
_logger = logging.getLogger("etlctl")


class _Watched(NamedTuple):
    """A time of day that is looked at."""

    schedule: str
    text: str
    is_of_tasks: bool


class Deadlines:
    """Those of a project's schedules and their tasks, from now on. Thread-safe."""

    def __init__(self, project: Project, clock: Clock, say: Callable[[str], None]) -> None:
        self._project = project
        self._clock = clock
        self._say = say
        self._schedules = {one.name: one for one in project.schedules}
        self._standings: dict[str, Standing] = {}
        self._current: Standing | None = None
        self._guard = Lock()
        self._next: dict[_Watched, datetime] = {}
        classes = [cls for cls in project.app.registry.classes() if cls.deadline is not None]
        self._is_watching = bool(classes)
        texts = {text for cls in classes if (text := _class_deadline(cls)) is not None}
        for one in project.schedules:
            if one.deadline is not None:
                self._watch(one, one.deadline, is_of_tasks=False)
                self._is_watching = True
            for text in texts:
                self._watch(one, text, is_of_tasks=True)

    def _watch(self, schedule: Schedule, text: str, *, is_of_tasks: bool) -> None:
        watched = _Watched(schedule.name, text, is_of_tasks)
        if watched not in self._next:
            self._next[watched] = deadline.next_due(self._clock.now(), text, schedule.zone)

    def begun(self, schedule: Schedule, due: datetime) -> Standing:
        """What the build of this turn is to tell how it goes."""
        found = self._standings[schedule.name] = Standing(schedule, due, self._clock)
        return found

    @contextmanager
    def watching(self, standing: Standing) -> Iterator[None]:
        """In the block, a turn, deadlines are looked at by a thread: the turn may be one long task."""
        if not self._is_watching:
            yield
            return
        is_over = Event()
        self._current = standing
        thread = Thread(target=self._serve, args=[is_over], name="etlctl-deadlines", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            self._current = None
            thread.join(_JOIN_S)  # it may wait for a database that is gone; it ends as soon as it has been told so

    def _serve(self, is_over: Event) -> None:
        wait_s = 0.0
        while not is_over.wait(wait_s):
            wait_s = _EVERY_S
            try:
                current = self._current
                if current is not None and self._looked(current) is None:
                    wait_s = _AGAIN_S
            except Exception:  # a thread that is gone would tell of nothing any more
                _logger.exception("deadlines: internal error")
                wait_s = _AGAIN_S

    def look(self) -> float | None:
        """Seconds to the next one; those that have passed are looked at. For the waits of the loop.

        None where the state database cannot be asked: then they are looked at the next time.
        """
        return self._looked(None)

    def _looked(self, current: Standing | None) -> float | None:
        if not self._guard.acquire(blocking=False):
            return None  # a thread of a turn that is over waits for the state database still
        try:
            return self._looked_alone(current)
        except UnavailableError:
            return None  # whoever asks the state next says so
        finally:
            self._guard.release()

    def _looked_alone(self, current: Standing | None) -> float | None:
        now = self._clock.now()
        if current is not None:
            for text in current.deadlines():  # a property's is known by its task alone
                self._watch(current.schedule, text, is_of_tasks=True)
        for watched, moment in list(self._next.items()):
            if moment <= now:
                self._look_at_safely(watched, moment, current)
        return min(((moment - now).total_seconds() for moment in self._next.values()), default=_NEVER_S)

    def _look_at_safely(self, watched: _Watched, moment: datetime, current: Standing | None) -> None:
        try:
            is_looked_at = self._look_at(watched, moment, current)
        except UnavailableError:
            raise
        except Exception as error:  # users' code that nobody foresaw: neither the loop nor the others end by it
            _logger.error("%s: its deadline was not looked at", watched.schedule, exc_info=error)
            is_looked_at = True
        if is_looked_at:
            zone = self._schedules[watched.schedule].zone
            self._next[watched] = deadline.next_due(max(moment, self._clock.now()), watched.text, zone)

    def _look_at(self, watched: _Watched, moment: datetime, current: Standing | None) -> bool:
        schedule = self._schedules[watched.schedule]
        if watched.is_of_tasks:
            return self._look_at_tasks(schedule, watched.text, moment, current)
        self._look_at_schedule(schedule, moment, current)
        return True

    # -- a schedule's

    def _look_at_schedule(self, schedule: Schedule, moment: datetime, current: Standing | None) -> None:
        turns = self._project.operations.turns(schedule.name, _MOST_TURNS)
        why = self._broken(schedule, moment, turns, current)
        if why and self._project.operations.alerted(f"deadline {schedule.name} {moment.isoformat()}"):
            sentence = f"not done by {moment_text(moment, schedule.zone)}: {why}"
            self._say(f"{schedule.name}: {printable(sentence)}")
            self._project.heard("deadline_missed", schedule.name)
            self._project.alert(KIND, f"{schedule.name} is late", sentence)

    def _broken(self, schedule: Schedule, moment: datetime, turns: Iterable[Turn], current: Standing | None) -> str:
        """Why the deadline was not kept; empty where it was."""
        expected = _day(schedule, schedule.times.latest(moment - _SECOND))
        asked = [turn for turn in turns if _day(schedule, turn.due) >= expected]
        if any(turn.code == ExitCode.DONE for turn in asked):
            return ""
        if not asked:
            busy = current is not None and current.schedule.name != schedule.name and current.why()
            return f"no turn for {expected} has begun{f'; {busy}' if busy else ''}"
        last = asked[0]
        standing = self._standings.get(schedule.name)
        known = standing.why() if standing is not None and standing.due == last.due else ""
        named = f"the turn of {moment_text(last.due, schedule.zone)}"
        if last.code is None:
            since = f"by {last.holder} since {moment_text(last.began_at, schedule.zone)}"
            return f"{named} is not at its end ({since}){f': {known}' if known else ''}"
        if last.run_id and not known:
            known = self._project.recorded_cause(last.run_id)
        run = f"; etlctl history {last.run_id}" if last.run_id else ""
        return f"{named} did not end well: {known or _meaning(last.code)}{run}"

    # -- a task's

    def _look_at_tasks(self, schedule: Schedule, text: str, moment: datetime, current: Standing | None) -> bool:
        """False where that must wait: the main thread is at a turn that is about something else."""
        if current is not None:
            is_about_it = current.schedule.name == schedule.name and _is_of(schedule, current.due, text, moment)
            if not is_about_it:
                return False
            late = current.late(text)
        else:
            late = self._found_late(schedule, text, moment)
        told = 0
        more: list[Task] = []
        for task, why in late:
            if self._project.operations.alerted(_key(task, schedule, moment)):
                told += 1
                if told > _MOST_TOLD:
                    more.append(task)
                else:
                    self._tell(schedule, task, f"not done by {moment_text(moment, schedule.zone)}: {why}")
        if more:
            sentence = f"{len(more):,} more tasks are not done by {moment_text(moment, schedule.zone)}"
            self._say(f"{schedule.name}: {sentence}")
            self._project.alert(KIND, f"{schedule.name}: {len(more):,} more tasks are late", sentence)
        return True

    def _tell(self, schedule: Schedule, task: Task, sentence: str) -> None:
        self._say(f"{schedule.name}: {task.task_label} {printable(sentence)}")
        self._project.alert(KIND, f"{task.task_label} is late", f"{task.task_label} {sentence}", task)

    def _found_late(self, schedule: Schedule, text: str, moment: datetime) -> list[tuple[Task, str]]:
        """What the graph of the turn before `moment` says now, with the reasons that this loop's own turn knows."""
        standing = self._standings.get(schedule.name)
        due = schedule.times.latest(moment - _SECOND)
        if standing is not None and due < standing.due < moment:
            due = standing.due
        if not _is_of(schedule, due, text, moment):
            return []
        try:
            found = self._project.unfinished(schedule, due, text)
            held = self._project.held(schedule, due)
        except UnavailableError:
            raise
        except EtlctlError:
            return []  # its turn says so
        known = standing.why_of if standing is not None and standing.due >= due else lambda _: ""
        recorded = self._project.recorded([task for task, _ in found if not known(task)], due)
        paused = f"has not begun: {held}" if held else ""
        return [(task, known(task) or recorded.get(task) or paused or why) for task, why in found]


def _is_of(schedule: Schedule, due: datetime, text: str, moment: datetime) -> bool:
    """Whether that moment is the deadline of a turn that was due then: a later one's is another day's."""
    return deadline.next_due(due, text, schedule.zone) == moment


def _key(task: Task, schedule: Schedule, moment: datetime) -> str:
    """Of the alert: a day's task is told of once, one without a day each day that it is asked for."""
    of_day = any(takes_days(parameter) for _, parameter in task.get_params())
    return f"deadline {task.update_key}{'' if of_day else f' {schedule.name} {moment.isoformat()}'}"


def _class_deadline(cls: type[Task]) -> str | None:
    try:
        return deadline_of(cls)
    except SettingsError:  # set after the class was made; its task says so before it runs
        return None


def _meaning(code: int) -> str:
    words = {
        ExitCode.FAILED: "a task failed",
        ExitCode.BLOCKED: "an input is missing",
        ExitCode.UNAVAILABLE: "a database could not be used",
        ExitCode.HELD: "it was held",
    }
    return next((text for known, text in words.items() if known == code), f"exit {code}")


def _day(schedule: Schedule, due: datetime) -> date:
    """The last day that a turn which was due then asks for; that of its own where it asks for none."""
    days = schedule.dates(due)
    return days[-1] if days else due.astimezone(schedule.zone).date()
