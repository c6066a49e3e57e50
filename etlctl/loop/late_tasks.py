"""Which tasks of a turn are late at a deadline of theirs, why, and who is told of each: once, over all loops.

look_at()
  while a turn goes on   how that stands, where it is about the tasks; else it waits for its end, and says so once
  between turns          the graph is asked anew
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from etlctl.core.daytime import deadline_of
from etlctl.core.task import Task
from etlctl.errors import EtlctlError, SettingsError, UnavailableError
from etlctl.loop.clock import Clock
from etlctl.loop.project import Project
from etlctl.loop.standing import Standing
from etlctl.loop.story import moment_text
from etlctl.loop.wanted import takes_days
from etlctl.schedule import Schedule
from etlctl.schedule.deadline import Expected, next_due
from etlctl.text import printable

KIND = "deadline"
_MOST_TOLD = 20
"""Tasks that are late at one moment and have an alert each; the others share one."""
_PATIENCE = timedelta(minutes=1)
"""With a turn about something else, before it is said that tasks wait behind it to be looked at."""
_logger = logging.getLogger("etlctl")


class LateTasks:
    """Those of a project's schedules. For one thread at a time."""

    def __init__(self, project: Project, clock: Clock, say: Callable[[str], None]) -> None:
        self._project = project
        self._clock = clock
        self._say = say
        self._waiting: dict[tuple[str, str], datetime] = {}
        """Schedule and deadline that are not looked at yet, since when."""

    def look_at(
        self,
        schedule: Schedule,
        text: str,
        expected: Expected,
        due: datetime,
        *,
        standing: Standing | None,
        current: Standing | None,
    ) -> bool:
        """Tells of each task with this deadline that the turn of `due` reaches and that is not done; False where that
        must wait. `standing` is how this loop's last turn of the schedule stands, `current` the one under way."""
        if current is None:
            late = self._found(schedule, text, expected, due, standing)
        elif _is_about(current, schedule, text, expected):
            late = current.late(text)
        else:
            if self._is_reached(schedule, text, standing):
                self._wait(schedule, text, expected, current)
            return False
        self._waiting.pop((schedule.name, text), None)
        self._tell_all(schedule, expected, late)
        self._is_first_look(schedule, text, expected)  # no loop need say that it cannot look
        return True

    def _is_reached(self, schedule: Schedule, text: str, standing: Standing | None) -> bool:
        """Whether the schedule has tasks with this deadline, as far as that is known without asking anything."""
        if standing is not None and standing.has_reached(text):
            return True
        registry = self._project.app.registry
        return any(class_deadline(registry.find(name)) == text for name in schedule.tasks)

    def _found(
        self, schedule: Schedule, text: str, expected: Expected, due: datetime, standing: Standing | None
    ) -> list[tuple[Task, str]]:
        """What the graph of the turn says now, with the reasons that this loop's own turn and the history know."""
        mine = standing if standing is not None and standing.due >= expected.due else None
        met = [task for task, _ in mine.late(text)] if mine is not None else []
        try:
            found = self._project.unfinished(schedule, due, text, met)
        except UnavailableError as error:  # the state's comes from what is asked next
            self._tell_unknown(schedule, text, expected, str(error))
            return []
        except EtlctlError:
            return []  # its turn says so
        known = mine.why_of if mine is not None else lambda _: ""
        found = [(task, why) for task, why in found if mine is None or not mine.is_kept(task)]
        recorded = self._project.recorded([task for task, _ in found if not known(task)], due)
        held = self._project.held(schedule, due) if found else ""
        paused = f"has not begun: {held}" if held else ""
        return [(task, known(task) or recorded.get(task) or paused or why) for task, why in found]

    def _wait(self, schedule: Schedule, text: str, expected: Expected, current: Standing) -> None:
        now = self._clock.now()
        if now - self._waiting.setdefault((schedule.name, text), now) >= _PATIENCE:
            work = current.why()
            turn = f"{current.schedule.name} {moment_text(current.due, current.schedule.zone)}"
            self._tell_unknown(schedule, text, expected, f"this loop is at {turn}{f': {work}' if work else ''}")

    # -- who hears of it

    def _tell_all(self, schedule: Schedule, expected: Expected, late: Sequence[tuple[Task, str]]) -> None:
        by = moment_text(expected.by, schedule.zone)
        told = 0
        more: list[str] = []
        for task, why in late:
            if self._is_new(task, expected):
                told += 1
                if told > _MOST_TOLD:
                    more.append(task.task_label)
                else:
                    sentence = f"{task.task_label} is not done by {by}: {printable(why)}"
                    self._say(f"{schedule.name}: {sentence}")
                    self._project.alert(KIND, f"{task.task_label} is late", sentence, task)
        if more:
            sentence = f"{len(more):,} more tasks are not done by {by}, {more[0]} the first of them"
            self._say(f"{schedule.name}: {sentence}")
            self._project.alert(KIND, f"{schedule.name}: {len(more):,} more tasks are late", sentence)

    def _tell_unknown(self, schedule: Schedule, text: str, expected: Expected, why: str) -> None:
        if self._is_first_look(schedule, text, expected):
            by = moment_text(expected.by, schedule.zone)
            sentence = f"whether its tasks are done by {by} is not known: {printable(why)}"
            self._say(f"{schedule.name}: {sentence}")
            self._project.alert(KIND, f"{schedule.name}: tasks may be late", sentence)

    def _is_first_look(self, schedule: Schedule, text: str, expected: Expected) -> bool:
        name = self._project.record_of(schedule)
        return self._project.operations.alerted(f"deadline {name} tasks {text} {expected.due.isoformat()}")

    def _is_new(self, task: Task, expected: Expected) -> bool:
        """A day's task is told of once, one without a day at each deadline, whichever schedules ask for it."""
        try:
            key = task.update_key
            of_day = any(takes_days(parameter) for _, parameter in task.get_params())
        except (Exception, SystemExit) as error:  # a user's: the other tasks are told of all the same
            _logger.error("%s: its deadline was not looked at", task.task_label, exc_info=error)
            return False
        return self._project.operations.alerted(f"deadline {key}{'' if of_day else f' {expected.by.isoformat()}'}")


def class_deadline(cls: type[Task]) -> str | None:
    """That of all tasks of a class; None where it has none, or each its own."""
    try:
        return deadline_of(cls)
    except SettingsError:  # set after the class was made; its task says so before it runs
        return None


def _is_about(current: Standing, schedule: Schedule, text: str, expected: Expected) -> bool:
    """Whether the turn under way asks for what is looked at: for the same days, or as one of that deadline."""
    if current.schedule.name != schedule.name:
        return False
    days = schedule.dates(expected.due)
    if days:
        return schedule.dates(current.due) == days
    return next_due(current.due, text, schedule.zone) == expected.by
