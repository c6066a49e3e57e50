"""Observers that other distributions bring along: the entry points of the group `etlctl.observers`.

An entry point names a class, or a function, that is called without arguments once a run and returns the observer: any
object with some of Luigi's three calls

    task_scheduled(task)                 the task is to run
    task_started(task, worker_host)      an attempt begins
    task_finished(task, successful)      it has ended, or was given up

and, where it wants more, `run_started`, `task_retried` and `run_finished` of `core.results.Observer`. One that cannot
be loaded is told in a line and left out; one that raises is told in a line and called no more.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from etlctl.core.context import Attempt
from etlctl.core.private import hidden
from etlctl.core.results import Observer, RunSummary, Status, TaskResult
from etlctl.core.task import Task
from etlctl.errors import EtlctlError
from etlctl.text import shortened

GROUP = "etlctl.observers"
_logger = logging.getLogger("etlctl")


def plugged_in(path: Iterable[str] | None = None) -> list[Observer]:
    """The observers of the distributions on `path` (without: sys.path), by the names of their entry points."""
    places = list(sys.path if path is None else path)
    if not any(_may_hold(place) for place in places):
        return []
    from importlib.metadata import distributions  # 20 ms, and hardly anybody has any

    found: dict[str, Any] = {}
    for distribution in distributions(path=places):
        for point in distribution.entry_points:
            if point.group == GROUP:
                found.setdefault(point.name, point)  # the first on the path wins, as for imports
    observers: list[Observer] = []
    for name in sorted(found):
        try:
            observers.append(PluggedIn(name, found[name].load()()))
        except (Exception, SystemExit) as error:  # noqa: BLE001  code of somebody else's: the run goes on without it
            _logger.warning("the observer %s (%s) cannot be used: %s", name, found[name].value, _told(error))
    return observers


class PluggedIn:
    """One observer of somebody else's, whose errors stay its own."""

    def __init__(self, name: str, observer: Any) -> None:
        self.name = name
        self._observer = observer

    def run_started(self, run_id: str, tasks: Sequence[Task], to_run: Sequence[Task]) -> None:
        """See Observer."""
        self._call("run_started", run_id, tasks, to_run)
        for task in to_run:
            self._call("task_scheduled", task)

    def task_started(self, task: Task, attempt: Attempt) -> None:
        """See Observer; Luigi's call gets the host."""
        self._call("task_started", task, attempt.worker.rpartition(":")[0] or os.uname().nodename)

    def task_retried(self, task: Task, failure: Any, attempt: Attempt, delay_s: float) -> None:
        """See Observer."""
        self._call("task_retried", task, failure, attempt, delay_s)

    def task_finished(self, result: TaskResult, number: int, total: int) -> None:
        """See Observer; Luigi's call gets the task and whether it went well."""
        self._call("task_finished", result.task, result.status in (Status.OK, Status.UPTODATE))

    def run_finished(self, summary: RunSummary) -> None:
        """See Observer."""
        self._call("run_finished", summary)

    def _call(self, name: str, *arguments: Any) -> None:
        call: Callable[..., Any] | None = getattr(self._observer, name, None)
        if call is None:
            return
        try:
            call(*arguments)
        except (Exception, SystemExit) as error:  # noqa: BLE001  code of somebody else's: the run goes on without it
            self._observer = None
            _logger.warning("the observer %s raised in %s() and is told no more: %s", self.name, name, _told(error))


def _told(error: BaseException) -> str:
    text = str(error)
    shown = text if isinstance(error, EtlctlError) else f"{type(error).__name__}: {text}".rstrip(": ")
    return shortened(hidden(shown), 300)


def _may_hold(place: str) -> bool:
    """Whether a distribution in `place` names our group; True for what is no folder (a zip): that takes a real look."""
    try:
        with os.scandir(place or ".") as entries:
            return any(
                _names_group(entry.path) for entry in entries if entry.name.endswith((".dist-info", ".egg-info"))
            )
    except NotADirectoryError:
        return True
    except OSError:
        return False


def _names_group(folder: str) -> bool:
    try:
        with open(os.path.join(folder, "entry_points.txt"), encoding="utf-8") as file:
            return f"[{GROUP}]" in "".join(file.read().split())
    except (OSError, UnicodeDecodeError):
        return False
