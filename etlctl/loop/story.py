"""What a turn says while it goes on, as lines for a log: what it did, never that there was nothing to do once more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo

from etlctl.core.context import Attempt
from etlctl.core.results import RunSummary, Status, TaskResult, failure_lines, result_line, total_line
from etlctl.core.task import Task
from etlctl.errors import ExitCode


class Story:
    """The Observer of one turn. A turn that finds nothing to do says so where the one before it did something.

    What cannot be used is told by the loop, once; so of tasks that end for that reason nothing is said here but how
    many they are.
    """

    def __init__(self, say: Callable[[str], None], title: str, *, is_brief: bool) -> None:
        """`is_brief`: the turn before found nothing to do either, or what could not be used is tried again."""
        self._say = say
        self._title = title
        self._is_brief = is_brief
        self._width = 0

    def run_started(self, run_id: str, tasks: Sequence[Task], to_run: Sequence[Task]) -> None:
        self._width = min(max((len(task.task_label) for task in to_run[:200]), default=0), 44)
        if to_run and not self._is_brief:
            self._say(f"{self._title}: run {run_id}, {len(to_run):,} to do")

    def task_started(self, task: Task, attempt: Attempt) -> None:
        return

    def task_finished(self, result: TaskResult, number: int, total: int) -> None:
        if result.status is Status.SKIP and result.reason.startswith("not started"):
            return
        if result.exit_code is not ExitCode.UNAVAILABLE and not (self._is_brief and result.status is not Status.OK):
            self._say(result_line(result, number, total, self._width))

    def run_finished(self, summary: RunSummary) -> None:
        if summary.exit_code is ExitCode.UNAVAILABLE:
            self._tell_put_off(summary)
            return
        idle = is_idle(summary)
        if idle and self._is_brief:
            return
        if idle:
            self._say(f"{self._title}: nothing to do")
            return
        for line in failure_lines(summary):
            if line:
                self._say(line)
        self._say(f"{self._title}: {total_line(summary)}")

    def _tell_put_off(self, summary: RunSummary) -> None:
        """A line for the first try, and for each that came further: an outage may last for a day."""
        if self._is_brief and not summary.counts[Status.OK]:
            return
        others = [one for one in summary.results if one.exit_code is not ExitCode.UNAVAILABLE]
        for line in failure_lines(replace(summary, results=tuple(others))):
            if line:
                self._say(line)
        self._say(f"{self._title}: {total_line(summary)}; what could not be used is tried again")


def is_idle(summary: RunSummary) -> bool:
    """Whether everything was done already."""
    return summary.counts[Status.UPTODATE] == len(summary.results)


def moment_text(instant: datetime, zone: tzinfo) -> str:
    """`2026-03-29 06:00 CEST`; with seconds where it has some."""
    local = instant.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M}{f':{local:%S}' if local.second else ''} {local:%Z}".rstrip()
