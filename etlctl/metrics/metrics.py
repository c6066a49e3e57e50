"""What a run and a loop tell of themselves, as figures for Prometheus."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from etlctl.core.context import Attempt
from etlctl.core.results import RunSummary, Status, TaskResult
from etlctl.core.task import Task
from etlctl.errors import ExitCode
from etlctl.metrics import exposition, figures, textfile
from etlctl.metrics.figures import MOST_FAMILIES, OTHER, Figure, Figures

_logger = logging.getLogger("etlctl")


class Metrics:
    """An Observer of runs that hears a loop too. Thread-safe; a file that cannot be written is one warning."""

    def __init__(self, textfile: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        """`textfile` is absolute and written at the end of each run and turn. UsageError where the extra is missing."""
        exposition.needed()
        self._path = textfile
        self._clock = clock
        self._lock = Lock()
        self._all = Figures()
        """Since this process began: what a scrape reads."""
        self._unwritten = Figures()
        """Since the textfile was written."""
        self._families: set[str] = set()
        self._fails = False

    def run_started(self, run_id: str, tasks: Sequence[Task], to_run: Sequence[Task]) -> None:
        """See Observer."""

    def task_started(self, task: Task, attempt: Attempt) -> None:
        """See Observer."""

    def task_retried(self, task: Task, failure: Any, attempt: Attempt, delay_s: float) -> None:
        """See Observer."""
        self._count(figures.RETRIES, self._family(task))

    def task_finished(self, result: TaskResult, number: int, total: int) -> None:
        """See Observer."""
        if result.status is Status.UPTODATE:
            return  # run_finished counts them, with those that nobody is told of
        family = self._family(result.task)
        with self._lock:
            for one in (self._all, self._unwritten):
                one.count(figures.TASKS, family, result.status.lower())
                if result.rows is not None:
                    one.count(figures.ROWS, family, by=result.rows)
                if result.duration_s is not None:
                    one.observe(figures.DURATION, family, value=result.duration_s)
                if result.status is Status.OK:
                    one.set(figures.LAST_SUCCESS, family, to=self._clock())

    def run_finished(self, summary: RunSummary) -> None:
        """See Observer."""
        found = [result for result in summary.results if result.status is Status.UPTODATE]
        with self._lock:
            for one in (self._all, self._unwritten):
                for result in found:
                    one.count(figures.TASKS, self._family(result.task), Status.UPTODATE.lower())
                one.count(figures.RUNS, str(int(summary.exit_code)))
                one.set(figures.RUN_DURATION, to=summary.duration_s)
                one.set(figures.RUN_ENDED, to=self._clock())
                one.set(figures.RUN_CODE, to=int(summary.exit_code))
        self._write()

    def settings_loaded(self) -> None:
        """Of the loop: nothing is counted."""

    def state_reachable(self, ok: bool, why: str = "") -> None:
        """Of the loop: whether the state database can be used."""
        self._set(figures.STATE, to=float(ok))

    def turn_began(self, schedule: str, due: datetime) -> None:
        """Of the loop: a turn that was due at `due` (aware) begins now."""
        self._set(figures.LATENESS, schedule, to=max(0.0, self._clock() - due.timestamp()))

    def turn_ended(self, schedule: str, code: int, summary: RunSummary | None = None) -> None:
        """Of the loop: it has ended, with this exit code."""
        self._count(figures.TURNS, schedule, str(int(code)))
        if code == ExitCode.DONE:
            self._set(figures.LAST_TURN, schedule, to=self._clock())
        self._write()

    def next_due(self, schedule: str, instant: datetime) -> None:
        """Of the loop: when the next turn is due; aware."""
        self._set(figures.NEXT_DUE, schedule, to=instant.timestamp())

    def deadline_missed(self, schedule: str) -> None:
        """Of the loop: its deadline has passed, and its tasks are not done."""
        self._count(figures.MISSED, schedule)

    def text(self) -> str:
        """All figures since this process began, for a scrape; `exposition.CONTENT_TYPE` is its kind."""
        with self._lock:
            return exposition.text_of(self._all)

    def _count(self, figure: Figure, *labels: str) -> None:
        with self._lock:
            self._all.count(figure, *labels)
            self._unwritten.count(figure, *labels)

    def _set(self, figure: Figure, *labels: str, to: float) -> None:
        with self._lock:
            self._all.set(figure, *labels, to=to)
            self._unwritten.set(figure, *labels, to=to)

    def _family(self, task: Task) -> str:
        family = task.task_family
        if family not in self._families:
            if len(self._families) >= MOST_FAMILIES:
                return OTHER
            self._families.add(family)
        return family

    def _write(self) -> None:
        if self._path is None:
            return
        with self._lock:
            try:
                textfile.add(self._path, self._unwritten)
            except OSError as error:
                if not self._fails:
                    _logger.warning("the metrics cannot be written to %s: %s", self._path, error.strerror)
                self._fails = True
                return
            self._unwritten = Figures()
            self._fails = False
